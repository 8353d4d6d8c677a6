"""`draw_person`: a person in a garment, as a photo with its parse and joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.synthetic import bodies, cloth, hair, shade
from vtcli.core.synthetic.bodies import ArmPose, mesh
from vtcli.core.synthetic.garments import SyntheticGarment, hem_distance
from vtcli.core.synthetic.people import SyntheticPerson
from vtcli.core.synthetic.scene import (
    SIZE,
    At,
    Part,
    View,
    bent,
    facing,
    occluded,
    picture,
    screen_bump,
    see,
    unit,
    vote,
)
from vtcli.core.synthetic.worn import ClothView, cloth_part, cloth_view, shade_cloth

_HIDDEN = 0.018
"""Metres inside of the garment's edge from which on the skin below cannot be seen."""


@dataclass
class RenderedPerson:
    """A rendered photo. image (H, W, 3) uint8 RGB; parse (H, W) uint8 LIP labels; keypoints (18, 3) float32
    COCO-18 (x, y, confidence; zeros where absent); neck (H, W) bool: bare skin that the parse calls
    background, as VITON's maps do."""

    image: np.ndarray
    parse: np.ndarray
    keypoints: np.ndarray
    neck: np.ndarray


@dataclass
class Stance:
    """A person posed before the camera: all that no garment changes."""

    person: SyntheticPerson
    size: tuple[int, int]
    samples: int
    rest: np.ndarray  # (V, 3) the body at rest
    rest_normals: np.ndarray
    rotation: np.ndarray  # (J, 3, 3)
    translation: np.ndarray  # (J, 3)
    posed: np.ndarray  # (V, 3)
    posed_normals: np.ndarray
    points: np.ndarray  # (18, 3) joints in space
    view: View
    hair: Part

    @property
    def shape(self) -> tuple[int, int]:
        """Rays down and across."""
        return self.size[0] * self.samples, self.size[1] * self.samples


def pose_person(person: SyntheticPerson, size: tuple[int, int] = SIZE, samples: int = 2) -> Stance:
    """Body, hair and camera of `person` for pictures of `size` (height, width), `samples`² rays a pixel."""
    height, width = size[0] * samples, size[1] * samples
    m = mesh()
    rest, joints = bodies.mixed(person.female, np.array(person.mixture))
    rest_normals = bodies.normals(rest, m.faces, m.incidence)
    rotation, translation = bodies.bone_transforms(joints, person.pose)
    posed = bodies.skin(rest, rotation, translation)
    points = bodies.keypoints(posed, joints, rotation, translation)
    hips = (points[L.L_HIP] + points[L.R_HIP]) / 2
    # VITON's framing: neck at (95, 84), hips 117 pixels below it, of 192 x 256
    per_metre = 117 / 256 * height / (points[L.NECK, 2] - hips[2]) * 1.05 * person.scale
    crown = posed[m.head > 0.9, 2].max() + 0.03
    per_metre = min(per_metre, (84 / 256 + person.y - 0.004) * height / (crown - points[L.NECK, 2]))
    view = View(per_metre, (0.495 + person.x) * width, (84 / 256 + person.y) * height, points[L.NECK])
    return Stance(
        person, size, samples, rest, rest_normals, rotation, translation, posed,
        bodies.normals(posed, m.faces, m.incidence), points, view,
        _hair_part(person, rest, rotation, translation),
    )  # fmt: skip


def draw_person(person: SyntheticPerson, garment: SyntheticGarment, size: tuple[int, int] = SIZE,
                samples: int = 2) -> RenderedPerson:  # fmt: skip
    """Draw `person` in `garment` at `size` (height, width), `samples`² rays a pixel.

    Only the garment changes with `garment`: body, pose, hair, trousers and backdrop are the person's.
    """
    return draw_dressed(pose_person(person, size, samples), garment)[0]


def draw_dressed(stance: Stance, garment: SyntheticGarment) -> tuple[RenderedPerson, ClothView]:
    """The posed person in `garment`, and what the picture shows of the garment."""
    person, view, samples = stance.person, stance.view, stance.samples
    height, width = stance.shape
    m = mesh()
    dressed = cloth_part(garment, stance.rest, stance.rest_normals, stance.rotation, stance.translation)
    parts = [_skin_part(stance, garment, dressed), _trousers_part(stance, garment), dressed, stance.hair]
    seen = see(parts, view, height, width)
    light = np.zeros((height * width, 3), np.float32)
    label = np.zeros(height * width, np.uint8)
    neck = np.zeros(height * width, np.uint8)
    for i, p in enumerate(parts):
        v, local = seen.of(i)
        n = unit(v.interpolate(p.normals, local))
        if p.kind == "cloth":
            inside = n[:, 1] > 0.15
            elbows = (_elbow(person.pose.left), _elbow(person.pose.right))
            seed = person.seed % 100003 + garment.seed % 99991
            light[v.pixels] = shade_cloth(garment, v, local, n, inside, (height, width), view.scale, elbows,
                                          seed, 1.0)  # fmt: skip
            label[v.pixels] = L.UPPER_CLOTHES
            v.triangles = v.triangles - int(np.searchsorted(seen.part, i))
            worn = cloth_view(p, view, v, ~inside, height, width)
        elif p.kind == "hair":
            strand = v.interpolate(p.extra["strand"], local)
            light[v.pixels] = shade.lit_hair(person, n, strand[:, :3], strand[:, 3], strand[:, 4])
            label[v.pixels] = L.HAIR
        elif p.kind == "trousers":
            albedo, creases = shade.trousers_colour(person, v.interpolate(m.attributes, local)[:, :3])
            slope, above = screen_bump(creases, v.pixels, height, width, view.scale)
            cavity = 1 + np.clip(above / 0.003, -1, 0.3) * 0.15
            light[v.pixels] = shade.lit_cloth(albedo, 0.04, bent(n, slope), cavity)
            label[v.pixels] = L.PANTS
        else:
            kinds = p.extra["label"][v.triangles]  # skin comes first: its triangles count from 0
            values = v.interpolate(m.attributes, local)
            albedo, gloss = shade.skin_colour(person, values[:, :3], *values[:, 3:].T)
            light[v.pixels] = shade.lit_skin(albedo, gloss, n)
            label[v.pixels] = kinds
            neck[v.pixels] = kinds == L.BACKGROUND
    light, covered = occluded(light, seen.visible, height, width, view.scale)
    ground = shade.backdrop(height, width, person.backdrop, covered)
    image = picture(np.where(covered[..., None], shade.encode(light), ground), samples)
    parse = vote(label.reshape(height, width), samples)
    bare = vote(neck.reshape(height, width), samples) > 0
    joints = _joints(view, stance.points, stance.size, samples)
    return RenderedPerson(image, parse, joints, bare & (parse == L.BACKGROUND)), worn


def _elbow(arm: ArmPose) -> float:
    a, b = np.array(arm.upper), np.array(arm.lower)
    return float(np.clip(1 - (a @ b) / np.linalg.norm(a) / np.linalg.norm(b), 0, 1))


def _joints(view: View, points: np.ndarray, size: tuple[int, int], samples: int) -> np.ndarray:
    out = np.zeros((18, 3), np.float32)
    seen = np.isfinite(points[:, 0])
    xy = view(points[seen]) / samples
    inside = (xy[:, 0] > 1) & (xy[:, 1] > 1) & (xy[:, 0] < size[1] - 1) & (xy[:, 1] < size[0] - 1)
    where = np.flatnonzero(seen)[inside]
    out[where, :2] = xy[inside]
    out[where, 2] = 0.9
    return out


def _skin_part(stance: Stance, garment: SyntheticGarment, dressed: Part) -> Part:
    """Bare skin: what neither the garment nor the trousers hide."""
    m, f = mesh(), cloth.frame()
    waist = stance.person.waist
    edge = np.full(len(m.vertices), -1.0)
    edge[f.index] = dressed.edge[: f.upper]
    trunk = (m.arm < 0.02) & (m.vertices[:, 2] < 0.5)
    edge[trunk] = hem_distance(garment, m.vertices[trunk])
    skin = (edge[m.faces] <= _HIDDEN).any(1) & facing(stance.posed, m.faces)
    skin &= (m.vertices[m.faces, 2].max(1) > waist - 0.01) | (m.arm[m.faces].max(1) > 0.25)
    shown = m.faces[skin]
    checked = (edge[shown] > _HIDDEN).any(1) | (m.vertices[shown, 2] < waist).any(1)
    height = m.vertices[:, 2]

    def cut(at: At) -> np.ndarray:
        return ((at(height) < waist - 0.01) & (at(m.arm) < 0.3)) | (at(edge) > _HIDDEN)

    return Part("skin", stance.posed, shown, stance.posed_normals, extra={"label": m.face_label[skin]},
                cut=cut, check=checked)  # fmt: skip


def _trousers_part(stance: Stance, garment: SyntheticGarment) -> Part:
    """The body's surface below the waist, let out a little."""
    m, rest, rest_normals = mesh(), stance.rest, stance.rest_normals
    waist = stance.person.waist
    low = m.vertices[:, 2] < waist + 0.05
    chosen = m.faces[low[m.faces].any(1) & (m.arm[m.faces].max(1) < 0.3)]
    out = rest
    for _ in range(6):
        out = 0.5 * out + 0.5 * (m.smooth @ out)
    out = (
        np.maximum(((out - rest) * rest_normals).sum(1), 0)[:, None] * rest_normals
        + rest
        + rest_normals * 0.007
    )
    legs = bodies.skin(out, stance.rotation, stance.translation)
    legs_normals = bodies.normals(legs, m.faces, m.incidence)
    chosen = chosen[facing(legs, chosen)]
    top = min(waist, garment.hem + 0.02)
    chosen = chosen[(m.vertices[chosen, 2] < top).any(1)]
    height = m.vertices[:, 2]
    return Part("trousers", legs, chosen, legs_normals, nearer=-0.015, cut=lambda at: at(height) > top,
                check=(m.vertices[chosen, 2] > top).any(1))  # fmt: skip


def _hair_part(person: SyntheticPerson, rest: np.ndarray, rotation: np.ndarray,
               translation: np.ndarray) -> Part:  # fmt: skip
    m = mesh()
    h = hair.build(person, rest)
    carry = (m.weight_index[h.skin_index], m.weight[h.skin_index])
    root = bodies.skin(h.vertices, rotation, translation, *carry)
    tip = bodies.skin(h.vertices + h.normals * 0.01, rotation, translation, *carry) - root
    run = bodies.skin(h.vertices + h.tangents * 0.01, rotation, translation, *carry) - root
    strand = np.concatenate([unit(run), h.across[:, None], h.along[:, None]], 1)

    def cut(at: At) -> np.ndarray:
        gaps = shade.noise("strand", at(h.across) * 7, at(h.along) * 0.05)
        return at(h.edge) < 0.003 + 0.0045 * gaps

    return Part("hair", root, h.faces, unit(tip), extra={"strand": strand}, nearer=0.002, cut=cut,
                check=(h.edge[h.faces] < 0.02).any(1))  # fmt: skip
