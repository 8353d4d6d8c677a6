"""A garment in a scene: its mesh, posed; its light; and what of it a picture shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vtcli.core.synthetic import bodies, cloth, shade
from vtcli.core.synthetic.garments import (
    SyntheticGarment,
    colours,
    cuff_distance,
    hem_distance,
    neck_distance,
)
from vtcli.core.synthetic.raster import Visible
from vtcli.core.synthetic.scene import At, Part, View, bent, screen_bump


@dataclass
class ClothView:
    """A garment in a picture of `height` by `width` rays: its mesh before the camera, and what is seen.

    The mesh of a garment has the same triangles in every picture (`cloth_part`), so that a visible
    fragment's triangle and weights say where the same spot of the cloth lies in any other picture.
    """

    part: Part
    view: View
    visible: Visible
    outside: np.ndarray  # (n,) whether a fragment shows the cloth's outside
    place: np.ndarray  # (n, 3) where on the mean body
    sleeve: np.ndarray  # (n,) 0..1, how much of a sleeve
    height: int
    width: int


def cloth_view(part: Part, view: View, visible: Visible, outside: np.ndarray, height: int,
               width: int) -> ClothView:  # fmt: skip
    """What a picture shows of the garment; `visible` in the triangles of `part`."""
    values = visible.interpolate(cloth.frame().attributes, part.faces)
    return ClothView(part, view, visible, outside, values[:, :3], values[:, 5], height, width)


def cloth_part(g: SyntheticGarment, rest: np.ndarray, rest_normals: np.ndarray, rotation: np.ndarray,
               translation: np.ndarray) -> Part:  # fmt: skip
    """The garment on a body with `rest` vertices and normals, posed by the bones' transforms."""
    f = cloth.frame()
    at_rest, (trunk, share) = cloth.surface(g, rest, rest_normals)
    posed = bodies.skin(at_rest, rotation, translation, f.bones, f.weight)
    n = f.upper
    # bent joints crease the cloth; the trunk stays, or its border with the tube would open
    posed[:n] += 0.5 * (1 - f.share[:, None]) * (f.smooth[:n, :n] @ posed[:n] - posed[:n])
    edge = cloth.edge_distance(g, f.place, f.along, f.sleeve)
    keep = (edge[f.faces] > -0.045).any(1)
    tip = bodies.skin(at_rest + trunk * 0.01, rotation, translation, f.bones, f.weight)
    trunk = (tip - bodies.skin(at_rest, rotation, translation, f.bones, f.weight)) * 100
    own = bodies.normals(posed, f.faces, f.incidence)
    n_all = own + share[:, None] * (trunk - own)

    def cut(at: At) -> np.ndarray:
        values = at(f.attributes)
        return cloth.edge_distance(g, values[:, :3], values[:, 4], values[:, 5]) < 0

    return Part("cloth", posed, f.faces[keep], n_all, edge=edge, nearer=0.006, cut=cut,
                check=(edge[f.faces[keep]] < 0.045).any(1))  # fmt: skip


def shade_cloth(g: SyntheticGarment, v: Visible, faces: np.ndarray, n: np.ndarray, inside: np.ndarray,
                shape: tuple[int, int], per_metre: float, bend: tuple[float, float], seed: int,
                strength: float) -> np.ndarray:  # fmt: skip
    """Linear light (k, 3) off the garment's visible pixels; `inside`: where its inside is seen."""
    height, width = shape
    values = v.interpolate(cloth.frame().attributes, faces)
    place, around, along, sleeve = values[:, :3], values[:, 3], values[:, 4], values[:, 5]
    angle = np.arctan2(values[:, 7], values[:, 6])
    on_sleeve = (sleeve > 0.5) & (g.sleeve != "none")
    relief = shade.fold_height(g, place, around, along, angle, on_sleeve, bend, seed, strength)
    neck = neck_distance(g, place)
    hem = np.where(on_sleeve, 1.0, hem_distance(g, place))
    cuff = cuff_distance(g, along, place)
    cuff = np.where(on_sleeve | (g.sleeve == "none"), cuff, 1.0)
    calm = np.clip(neck / 0.05, 0.15, 1)
    relief = relief * calm
    # a folded edge: the last millimetres turn in; the seam of the rib is a groove
    border = np.minimum(np.minimum(neck, hem), cuff)
    relief = relief - 0.0022 * np.exp(-np.maximum(border, 0) / 0.0025)
    seam = np.exp(-(((neck - g.rib) / 0.0016) ** 2))
    stitch = np.exp(-(((np.minimum(hem, cuff) - 0.018) / 0.0014) ** 2))
    armhole = np.exp(-(((along + 0.012) / 0.0016) ** 2)) * (sleeve > 0.02) * (sleeve < 0.98)
    armhole = armhole * (g.sleeve != "none")
    relief = relief - 0.0010 * seam - 0.0006 * stitch
    armhole = armhole * 0.6
    slope, above = screen_bump(relief.astype(np.float32), v.pixels, height, width, per_metre)
    shift = relief * 0.2
    albedo = colours(
        g, place + shift[:, None] * np.array([0.5, 0, 1.0]), around + shift * 0.5, along, angle, on_sleeve
    )
    rib = (neck < g.rib) & (neck > -1)
    if g.contrast_rib:
        albedo[rib] = np.array(g.accent) / 255
    if g.pattern == "heather":
        grain = shade.noise("knit", around * 3.1, place[:, 2] * 3.1 + along)
        albedo = albedo * (1 + 0.085 * grain[:, None])
    grain = shade.noise("fine", around * 5 + angle * 0.1, place[:, 2] * 5 + along)
    albedo = albedo * (1 + 0.018 * grain[:, None])
    albedo = albedo * (1 - 0.13 * seam - 0.10 * stitch - 0.08 * armhole)[:, None]
    bright = albedo.mean(1)
    cavity = 1 + np.clip(above / 0.0035, -1, 0.4) * (0.16 + 0.08 * (1 - bright))
    out = shade.lit_cloth(albedo, g.sheen, bent(n, slope), cavity)
    if inside.any():
        flat = shade.linear(np.clip(albedo[inside] * 0.86, 0, 1))
        label = (np.abs(place[inside, 0]) < 0.018) & (np.abs(neck[inside] - 0.028) < 0.009)
        flat[label] = 0.75 if np.mean(g.colour) < 128 else 0.16
        out[inside] = flat * (0.40 + 0.22 * np.clip(neck[inside] / 0.03, 0, 1))[:, None]
    return out


SAME_SPOT = 0.02
"""Metres on the mean body within which two pictures' fragments count as the same spot of the cloth: more than
two rays lie apart on a surface seen at a slant, less than a sleeve's front from its back."""


def correspondence(worn: ClothView, shop: ClothView) -> np.ndarray:
    """Where the shop picture shows what `worn` shows of the same garment: (height, width, 2) float32.

    For each ray of the worn picture (x, y) in rays of the shop picture, whose first ray has its centre at
    0.5; NaN where the garment's outside is not seen in either of the two.
    """
    index = np.full(shop.height * shop.width, -1)
    index[shop.visible.pixels] = np.arange(len(shop.visible.pixels))
    xy = worn.visible.interpolate(shop.view(shop.part.vertices), worn.part.faces)
    shown = np.zeros(len(xy), bool)
    for dx in (0, 1):  # any of the four rays around the place may see the spot
        for dy in (0, 1):
            x = np.floor(xy[:, 0] - 0.5).astype(int) + dx
            y = np.floor(xy[:, 1] - 0.5).astype(int) + dy
            within = (x >= 0) & (x < shop.width) & (y >= 0) & (y < shop.height)
            hit = np.where(within, index[np.where(within, y * shop.width + x, 0)], -1)
            near = np.linalg.norm(worn.place - shop.place[hit], axis=1) < SAME_SPOT
            shown |= (hit >= 0) & shop.outside[hit] & near
    xy[~(shown & worn.outside)] = np.nan
    out = np.full((worn.height * worn.width, 2), np.nan, np.float32)
    out[worn.visible.pixels] = xy
    return out.reshape(worn.height, worn.width, 2)
