"""A person before the camera and what is worn: the meshes of skin, trousers, skirt, top, hair and things."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.synthetic import bodies, cloth, hair, shade
from vtcli.core.synthetic.bodies import mesh
from vtcli.core.synthetic.garments import SyntheticGarment, hem_distance
from vtcli.core.synthetic.people import SyntheticPerson
from vtcli.core.synthetic.scene import SIZE, At, Part, View, facing, unit
from vtcli.core.synthetic.things import thing_part
from vtcli.core.synthetic.worn import cloth_part

_HIDDEN = 0.018
"""Metres inside of the garment's edge from which on the skin below cannot be seen."""


@dataclass(frozen=True)
class Outfit:
    """A top (or a dress) with the label that parses give it, and a skirt below it, or the lower part of a
    dress. Without a skirt the person's trousers go with it."""

    top: SyntheticGarment
    top_label: int = L.UPPER_CLOTHES
    skirt: SyntheticGarment | None = None
    skirt_label: int = L.SKIRT
    waist: float = 0.25  # height on the mean body below which what is worn below covers the skin

    @property
    def covered(self) -> float:
        """Height up to which the top's hem lets see what is worn below it."""
        if self.skirt is not None and self.skirt_label == L.SKIRT:
            return min(self.waist, self.top.hem + 0.02)
        return self.top.hem + (0.02 if self.skirt is None else 0.006)


def usual_outfit(person: SyntheticPerson, top: SyntheticGarment) -> Outfit:
    """`top` over the person's own trousers or skirt."""
    return Outfit(top, skirt=person.skirt, waist=person.waist)


def dress_outfit(person: SyntheticPerson, dress: SyntheticGarment) -> Outfit:
    """A dress, over the person's trousers if there are any."""
    return Outfit(dress, L.DRESS, waist=person.waist)


def outfit_over_dress(top: SyntheticGarment, dress: SyntheticGarment) -> Outfit:
    """`top` over a dress, whose lower part looks out like a skirt."""
    return Outfit(top, skirt=dress, skirt_label=L.DRESS, waist=top.hem + 0.03)


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


def outfit_parts(stance: Stance, outfit: Outfit) -> list[Part]:
    """Skin, trousers, skirt, top, hair and things, as far as there are any; skin is the first."""
    person = stance.person
    posed = (stance.rest, stance.rest_normals, stance.rotation, stance.translation)
    top = cloth_part(outfit.top, *posed)
    f = cloth.frame()
    forearm = np.clip((f.along - 0.15) / 0.1, 0, 1) * (f.sleeve > 0.5)
    top.nearer = top.nearer + _pull(person, top.vertices, forearm)
    parts = [_skin_part(stance, outfit, top)]
    if person.leg_end < outfit.waist:
        parts.append(_trousers_part(stance, outfit))
    if outfit.skirt is not None:
        skirt = cloth_part(outfit.skirt, *posed)
        skirt.kind, skirt.nearer = "skirt", 0.004
        parts.append(_cut_above(skirt, outfit.covered))
    things = [thing_part(t, stance.rest, stance.rotation, stance.translation) for t in person.things]
    return [*parts, top, stance.hair, *things]


def _pull(person: SyntheticPerson, posed: np.ndarray, share: np.ndarray) -> np.ndarray | float:
    """How much nearer (V,) vertices come that lie before the body: loose cloth gives way to arms and hair."""
    if not person.forward:
        return 0.0
    return person.forward * share * np.clip((-posed[:, 1] - 0.10) / 0.06, 0, 1)


def _cut_above(skirt: Part, top: float) -> Part:
    """The part of a dress or skirt that lies below `top` metres."""
    height, below = cloth.frame().place[:, 2], skirt.cut
    shown = (height[skirt.faces] < top).any(1)
    checked = (height[skirt.faces] > top).any(1) | (True if skirt.check is None else skirt.check)
    skirt.faces, skirt.check = skirt.faces[shown], checked[shown]

    def cut(at: At) -> np.ndarray:
        return (at(height) > top) | (below(at) if below else False)

    skirt.cut = cut
    return skirt


def _skin_part(stance: Stance, outfit: Outfit, top: Part) -> Part:
    """Bare skin: what neither the top nor what is worn below hides."""
    m, f = mesh(), cloth.frame()
    waist = outfit.waist
    edge = np.full(len(m.vertices), -1.0)
    edge[f.index] = top.edge[: f.upper]
    trunk = (m.arm < 0.02) & (m.vertices[:, 2] < 0.5)
    edge[trunk] = hem_distance(outfit.top, m.vertices[trunk])
    height = m.vertices[:, 2]
    legs = stance.person.leg_end + 0.01 if outfit.skirt is None else outfit.skirt.hem + _HIDDEN
    z, arm = height[m.faces], m.arm[m.faces].max(1)
    skin = (edge[m.faces] <= _HIDDEN).any(1) & facing(stance.posed, m.faces)
    skin &= (z.max(1) > waist - 0.01) | (arm > 0.25) | (z.min(1) < legs)
    shown = m.faces[skin]
    checked = (edge[shown] > _HIDDEN).any(1) | (height[shown] < waist).any(1)
    label = m.face_label[skin]
    low = (height[shown].mean(1) < 0.08) & (arm[skin] < 0.3)
    label[low] = np.where(m.vertices[shown[low], 0].mean(1) > 0, L.LEFT_LEG, L.RIGHT_LEG)

    def cut(at: At) -> np.ndarray:
        level = at(height)
        hidden = (level < waist - 0.01) & (at(m.arm) < 0.3) & (level > legs)
        return hidden | (at(edge) > _HIDDEN)

    nearer = _pull(stance.person, stance.posed, np.clip((m.arm - 0.9) * 10, 0, 1))
    return Part("skin", stance.posed, shown, stance.posed_normals, extra={"label": label}, nearer=nearer,
                cut=cut, check=checked)  # fmt: skip


def _trousers_part(stance: Stance, outfit: Outfit) -> Part:
    """The body's surface from the waist to the legs' end, let out a little."""
    m, rest, rest_normals = mesh(), stance.rest, stance.rest_normals
    waist, end = stance.person.waist, stance.person.leg_end
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
    top = min(waist, outfit.covered)
    z = m.vertices[chosen, 2]
    chosen = chosen[(z < top).any(1) & (z > end).any(1)]
    height = m.vertices[:, 2]
    z = height[chosen]

    def cut(at: At) -> np.ndarray:
        level = at(height)
        return (level > top) | (level < end)

    return Part("trousers", legs, chosen, legs_normals, nearer=-0.015, cut=cut,
                check=(z > top).any(1) | (z < end).any(1))  # fmt: skip


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

    nearer = 0.002 + _pull(person, root, np.clip((0.78 - h.vertices[:, 2]) / 0.06, 0, 1))
    return Part("hair", root, h.faces, unit(tip), extra={"strand": strand}, nearer=nearer, cut=cut,
                check=(h.edge[h.faces] < 0.02).any(1))  # fmt: skip
