"""Bodies: mixtures of the baked meshes, posed by linear blend skinning. Metres; x left, y back, z up.

`x` is the person's own left, which is the right of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from scipy import sparse

from vtcli.core.data import labels as L

UNIT = 20000.0
TORSO_AXIS_Y = -0.005
SLIM = (0.93, 0.97)
HIP = np.array([0.112, 0.0, 0.075])
"""Left hip joint of the mean body (the baked bones end above it)."""


@dataclass(frozen=True)
class Mesh:
    """The shared topology with what is fixed for every body (V vertices, T triangles)."""

    vertices: np.ndarray  # (V, 3) float64, mean body
    deltas: np.ndarray  # (12, V, 3)
    joints: np.ndarray  # (12, J, 3)
    parents: np.ndarray
    bones: dict[str, int]
    faces: np.ndarray  # (T, 3)
    weight_index: np.ndarray  # (V, 4)
    weight: np.ndarray  # (V, 4)
    masks: dict[str, np.ndarray]  # (V,) 0..1
    arm: np.ndarray  # (V,) share of weight on arm and hand bones
    hand: np.ndarray
    head: np.ndarray
    face_label: np.ndarray  # (T,) LIP label of bare skin; trousers' part is 0
    smooth: sparse.csr_matrix  # row-stochastic neighbour average
    incidence: sparse.csr_matrix  # (V, T) 1 where a triangle has a vertex

    @cached_property
    def attributes(self) -> np.ndarray:
        """What skin is shaded by, (V, 8) float32: place, lips, lids, nails, eyes, head."""
        m = self.masks
        columns = [*self.vertices.T, m["lips"], m["eyelids"], m["fingernails"], m["eyes"], self.head]
        return np.stack(columns, 1).astype(np.float32)


def incidence(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    """(count, T) matrix that sums over the triangles around a vertex."""
    triangles = np.repeat(np.arange(len(faces)), 3)
    shape = (count, len(faces))
    return sparse.csr_matrix((np.ones(faces.size), (faces.ravel(), triangles)), shape=shape)


@cache
def mesh() -> Mesh:
    """Read `bodies.npz` once."""
    with np.load(Path(__file__).with_name("bodies.npz"), allow_pickle=False) as d:
        data = {k: d[k] for k in d.files}
    vertices = data["vertices"] / UNIT
    names = [str(b) for b in data["bones"]]
    bones = {n: i for i, n in enumerate(names)}
    index = data["weight_index"].astype(np.int64)
    weight = data["weight"].astype(np.float64)
    weight /= weight.sum(1, keepdims=True)

    def share(test: Callable[[str], bool]) -> np.ndarray:
        return (weight * np.isin(index, [i for n, i in bones.items() if test(n)])).sum(1)

    arm = share(lambda n: n.startswith(("upperarm", "lowerarm", "wrist", "finger")))
    hand = share(lambda n: n.startswith(("wrist", "finger")))
    head = share(lambda n: n == "head")
    faces = data["faces"].astype(np.int64)
    centre = vertices[faces].mean(1)
    arm_face, head_face = arm[faces].mean(1), head[faces].mean(1)
    label = np.zeros(len(faces), dtype=np.uint8)
    label[arm_face > 0.5] = np.where(centre[arm_face > 0.5, 0] > 0, L.LEFT_ARM, L.RIGHT_ARM)
    # The face ends at the jaw: a plane from under the chin up to the ear lobes.
    jaw = 0.784 + 0.42 * (centre[:, 1] + 0.155)
    label[(head_face > 0.3) & (centre[:, 2] > jaw)] = L.FACE

    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    count = len(vertices)
    adjacency = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    adjacency = adjacency.tocsr()
    degree = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1)
    return Mesh(
        vertices, data["deltas"] / UNIT, data["joints"].astype(np.float64), data["parents"].astype(int),
        bones, faces, index, weight, {k[5:]: v / 255.0 for k, v in data.items() if k.startswith("mask_")},
        arm, hand, head, label, sparse.diags(1 / degree) @ adjacency, incidence(faces, count),
    )  # fmt: skip


@dataclass(frozen=True)
class ArmPose:
    """Where an arm goes. Directions are unit-free (left, back, up) with `left` meaning outwards.

    `upper` and `lower` are the directions of upper and lower arm; `twist` turns the hand about the forearm
    (degrees), `flex` bends the wrist, `curl` the fingers, `shrug` lifts the shoulder.
    """

    upper: tuple[float, float, float]
    lower: tuple[float, float, float]
    twist: float = 0.0
    flex: float = 0.0
    curl: float = 20.0
    shrug: float = 0.0


@dataclass(frozen=True)
class Pose:
    """A whole pose: two arms, a turn of body and head (degrees), a lean to the side."""

    left: ArmPose
    right: ArmPose
    turn: float = 0.0
    head_turn: float = 0.0
    head_tilt: float = 0.0
    head_nod: float = 0.0
    lean: float = 0.0
    hip_shift: float = 0.0


def _axis_angle(axis: np.ndarray, angle: float) -> np.ndarray:
    axis = axis / (np.linalg.norm(axis) + 1e-12)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    cross = np.cross(a, b)
    return _axis_angle(cross, float(np.arctan2(np.linalg.norm(cross), a @ b))) if cross.any() else np.eye(3)


def _twist_angle(a: np.ndarray, b: np.ndarray, axis: np.ndarray) -> float:
    axis = axis / np.linalg.norm(axis)
    a = a - axis * (a @ axis)
    b = b - axis * (b @ axis)
    return float(np.arctan2(np.cross(a, b) @ axis, a @ b))


def bone_transforms(joints: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (J, 3, 3) and translation (J, 3) of each bone, for rest joints (J, 3)."""
    m = mesh()
    local: dict[int, np.ndarray] = {}
    rad = np.deg2rad
    up, out, back = np.eye(3)[2], np.eye(3)[0], np.eye(3)[1]
    local[m.bones["root"]] = _axis_angle(up, rad(pose.turn)) @ _axis_angle(back, rad(-pose.hip_shift))
    for name in ("spine04", "spine03", "spine02"):
        local[m.bones[name]] = _axis_angle(back, rad((pose.lean + pose.hip_shift) / 3))
    for name, part in (("neck01", 0.25), ("neck02", 0.25), ("head", 0.5)):
        local[m.bones[name]] = (
            _axis_angle(up, rad(pose.head_turn * part))
            @ _axis_angle(back, rad(pose.head_tilt * part))
            @ _axis_angle(out, rad(pose.head_nod * part))
        )
    rotation = np.tile(np.eye(3), (len(joints), 1, 1))
    translation = np.zeros((len(joints), 3))
    swings: dict[str, np.ndarray] = {}
    for name, bone in m.bones.items():
        parent = m.parents[bone]
        above = rotation[parent] if parent >= 0 else np.eye(3)
        turn = local.get(bone, np.eye(3))
        if name[-2:] in (".L", ".R"):
            turn = _arm_turn(m, joints, pose, name, above, rotation, swings)
        rotation[bone] = above @ turn
        placed = joints[bone] if parent < 0 else above @ joints[bone] + translation[parent]
        translation[bone] = placed - rotation[bone] @ joints[bone]
    return rotation, translation


def _arm_turn(m: Mesh, joints: np.ndarray, pose: Pose, name: str, above: np.ndarray, rotation: np.ndarray,
              swings: dict[str, np.ndarray]) -> np.ndarray:  # fmt: skip
    part, side = name[:-2], name[-1]
    sign = 1.0 if side == "L" else -1.0
    arm = pose.left if side == "L" else pose.right
    at = {n: joints[m.bones[f"{n}.{side}"]] for n in ("clavicle", "upperarm01", "lowerarm01", "wrist",
                                                      "finger3-1", "finger2-1", "finger5-1")}  # fmt: skip
    mirror = np.array([sign, 1, 1])
    # Directions are meant in the turned body's frame.
    frame = rotation[m.bones["spine01"]]
    upper, lower = frame @ (np.array(arm.upper) * mirror), frame @ (np.array(arm.lower) * mirror)
    upper_rest, lower_rest = at["lowerarm01"] - at["upperarm01"], at["wrist"] - at["lowerarm01"]
    if part == "clavicle":
        return _axis_angle(np.array([0, -sign, 0]), np.deg2rad(arm.shrug))
    if part == "upperarm01":
        swing = _between(upper_rest, above.T @ upper)
        bent = above @ swing @ lower_rest
        angle = _twist_angle(bent, lower, upper)
        swings[side] = np.array([angle])
        return swing @ _axis_angle(upper_rest, angle * 0.4)
    if part == "upperarm02":
        return _axis_angle(upper_rest, float(swings[side][0]) * 0.6)
    if part == "lowerarm01":
        return _between(lower_rest, above.T @ lower)
    if part in ("lowerarm02", "wrist"):
        turn = _axis_angle(lower_rest, sign * np.deg2rad(arm.twist) * 0.5)
        if part == "wrist":
            across = at["finger2-1"] - at["finger5-1"]
            turn = turn @ _axis_angle(across, -sign * np.deg2rad(arm.flex))
        return turn
    if part.startswith("finger") and part[6] != "1":
        across = at["finger2-1"] - at["finger5-1"]
        return _axis_angle(across, -sign * np.deg2rad(arm.curl) * (1.0 + 0.15 * (int(part[6]) - 2)))
    return np.eye(3)


def skin(vertices: np.ndarray, rotation: np.ndarray, translation: np.ndarray,
         bones: np.ndarray | None = None, weight: np.ndarray | None = None) -> np.ndarray:  # fmt: skip
    """Pose `vertices` (n, 3) by four `bones` (n, 4) with `weight` (n, 4); the mesh's own by default."""
    m = mesh()
    bones = m.weight_index if bones is None else bones
    weight = m.weight if weight is None else weight
    matrix = np.concatenate([rotation, translation[:, :, None]], axis=2).reshape(-1, 12)
    blended = np.zeros((len(bones), 12))
    for k in range(4):
        blended += matrix[bones[:, k]] * weight[:, k, None]
    moved = blended.reshape(-1, 3, 4)
    return np.einsum("nij,nj->ni", moved[:, :, :3], vertices) + moved[:, :, 3]


def mixed(female: bool, mixture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rest vertices (V, 3) and joints (J, 3) of a mixture (6,) of the six bodies of one sex."""
    m = mesh()
    rows = slice(0, 6) if female else slice(6, 12)
    w = np.asarray(mixture, dtype=np.float64)
    w = w / w.sum()
    vertices = m.vertices + np.tensordot(w, m.deltas[rows], 1)
    joints = np.tensordot(w, m.joints[rows], 1)
    # The frame of a fashion photo: a slimmer build and a slightly larger head than the average body's.
    slim = SLIM[0] if female else SLIM[1]
    pivot = joints[m.bones["head"]]
    vertices[:, 0] *= slim
    joints[:, 0] *= slim
    head = m.head[:, None]
    grown = pivot + (vertices - pivot) * np.array([1.06 / slim, 1.06, 1.06])
    return vertices + head * (grown - vertices), joints


def normals(vertices: np.ndarray, faces: np.ndarray, around: sparse.csr_matrix) -> np.ndarray:
    """Unit vertex normals, area-weighted; `around` is the faces' `incidence`."""
    a = vertices[faces[:, 0]]
    out = around @ np.cross(vertices[faces[:, 1]] - a, vertices[faces[:, 2]] - a)
    return out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-12)


def keypoints(
    posed: np.ndarray, joints: np.ndarray, rotation: np.ndarray, translation: np.ndarray
) -> np.ndarray:
    """COCO-18 joints in space, (18, 3); knees and ankles, which are never in the frame, are NaN."""
    m = mesh()

    def bone(name: str) -> np.ndarray:
        b = m.bones[name]
        return rotation[b] @ joints[b] + translation[b]

    out = np.full((18, 3), np.nan)
    rest = m.vertices
    nose = np.argmin(np.where(m.head > 0.8, rest[:, 1], 1.0))
    out[L.NOSE] = posed[nose]
    for side, eye, ear, shoulder, elbow, wrist, hip in (
        (1, L.L_EYE, L.L_EAR, L.L_SHOULDER, L.L_ELBOW, L.L_WRIST, L.L_HIP),
        (-1, L.R_EYE, L.R_EAR, L.R_SHOULDER, L.R_ELBOW, L.R_WRIST, L.R_HIP),
    ):
        half = rest[:, 0] * side > 0
        out[eye] = posed[(m.masks["eyes"] > 0.5) & half].mean(0)
        out[ear] = posed[(m.masks["ears"] > 0.5) & half].mean(0)
        name = "L" if side > 0 else "R"
        out[shoulder] = bone(f"upperarm01.{name}")
        out[elbow] = bone(f"lowerarm01.{name}")
        out[wrist] = bone(f"wrist.{name}")
        root = m.bones["root"]
        out[hip] = rotation[root] @ (HIP * [side, 1, 1]) + translation[root]
    out[L.NECK] = (out[L.L_SHOULDER] + out[L.R_SHOULDER]) / 2
    return out
