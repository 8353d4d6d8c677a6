"""Pictures: `draw_person` (photo, parse, joints) and `draw_cloth` (shop photo, mask)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.synthetic import bodies, cloth, hair, shade
from vtcli.core.synthetic.bodies import ArmPose, Pose, mesh
from vtcli.core.synthetic.garments import Garment, colours, cuff_distance, hem_distance, neck_distance
from vtcli.core.synthetic.people import Person
from vtcli.core.synthetic.raster import Visible, rasterise

SIZE = (256, 192)
_CAMERA = 4.0


@dataclass
class DrawnPerson:
    """A drawn photo. image (H, W, 3) uint8 RGB; parse (H, W) uint8 LIP labels; keypoints (18, 3) float32
    COCO-18 (x, y, confidence; zeros where absent); neck (H, W) bool: bare skin that the parse calls
    background, as VITON's maps do."""

    image: np.ndarray
    parse: np.ndarray
    keypoints: np.ndarray
    neck: np.ndarray


@dataclass
class _View:
    """A camera: picture pixels from space."""

    scale: float
    x: float
    y: float
    centre: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        nearer = 1 / (1 + (points[:, 1] - self.centre[1]) / _CAMERA)
        return np.stack([self.x + (points[:, 0] - self.centre[0]) * self.scale * nearer,
                         self.y - (points[:, 2] - self.centre[2]) * self.scale * nearer], 1)  # fmt: skip


_Cut = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass
class _Part:
    """One mesh of the scene."""

    kind: str
    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    edge: np.ndarray = field(default_factory=lambda: np.zeros(0))
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    nearer: float = 0.0
    check: np.ndarray | None = None  # (t,) triangles that the cut goes through


def _facing(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Triangles of a closed surface that turn to the camera."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    away = (b[:, 2] - a[:, 2]) * (c[:, 0] - a[:, 0]) - (b[:, 0] - a[:, 0]) * (c[:, 2] - a[:, 2])
    size = np.abs(away) + np.abs(
        (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    )
    return away < 0.15 * size


def _cloth_part(g: Garment, rest: np.ndarray, rest_normals: np.ndarray, rotation: np.ndarray,
                translation: np.ndarray) -> _Part:  # fmt: skip
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
    return _Part("cloth", posed, f.faces[keep], n_all, edge=edge, nearer=0.006,
                 check=(edge[f.faces[keep]] < 0.045).any(1))  # fmt: skip


def _rasterise(parts: list[_Part], view: _View, height: int, width: int,
               cut: _Cut) -> tuple[Visible, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """What is seen of the parts; the scene's faces (t, 3), each face's part, each part's first vertex.

    `cut(part, face, weights, faces)` says which fragments are cut away.
    """
    vertices = np.concatenate([p.vertices for p in parts])
    starts = np.cumsum([0] + [len(p.vertices) for p in parts])
    faces = np.concatenate([p.faces + starts[i] for i, p in enumerate(parts)])
    part = np.repeat(np.arange(len(parts)), [len(p.faces) for p in parts])
    depth = -vertices[:, 1] + np.repeat([p.nearer for p in parts], [len(p.vertices) for p in parts])
    check = np.concatenate([np.ones(len(p.faces), bool) if p.check is None else p.check for p in parts])

    def discard(t: np.ndarray, w: np.ndarray) -> np.ndarray:
        drop = np.zeros(len(t), bool)
        some = np.flatnonzero(check[t])
        drop[some] = cut(part[t[some]], t[some], w[some], faces)
        return drop

    visible = rasterise(view(vertices), depth, faces, height, width, discard)
    return visible, faces, part, starts


def _spread(values: np.ndarray, pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Values (n,) or (n, C) laid out as a picture (H, W[, C]), 0 elsewhere."""
    out = np.zeros((height * width, *values.shape[1:]), values.dtype)
    out[pixels] = values
    return out.reshape(height, width, *values.shape[1:])


def _screen_bump(value: np.ndarray, pixels: np.ndarray, height: int, width: int, per_metre: float,
                 limit: float = 0.9) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Slopes (n, 2) to the right and down of `value` metres at `pixels`, and its height above its
    surroundings (n,)."""
    picture = _spread(value, pixels, height, width)
    weight = _spread(np.ones(len(pixels), np.float32), pixels, height, width)
    sigma = max(0.012 * per_metre, 1.0)
    around = cv2.GaussianBlur(picture, (0, 0), sigma) / np.maximum(
        cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3
    )
    filled = np.where(weight > 0, picture, around)
    gx = cv2.Sobel(filled, cv2.CV_32F, 1, 0, ksize=3) / 8 * per_metre
    gy = cv2.Sobel(filled, cv2.CV_32F, 0, 1, ksize=3) / 8 * per_metre
    slope = np.clip(np.stack([gx.ravel()[pixels], gy.ravel()[pixels]], 1), -limit, limit)
    return slope, (picture - around).ravel()[pixels]


def _bent(n: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Normals tilted by slopes seen on the screen (x right, y down; space: x right, z up)."""
    out = n - slope[:, :1] * np.array([1.0, 0, 0]) + slope[:, 1:] * np.array([0, 0, 1.0])
    return _unit(out)


def _shade_cloth(g: Garment, v: Visible, faces: np.ndarray, n: np.ndarray, inside: np.ndarray,
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
    slope, above = _screen_bump(relief.astype(np.float32), v.pixels, height, width, per_metre)
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
    out = shade.lit_cloth(albedo, g.sheen, _bent(n, slope), cavity)
    if inside.any():
        flat = shade.linear(np.clip(albedo[inside] * 0.86, 0, 1))
        label = (np.abs(place[inside, 0]) < 0.018) & (np.abs(neck[inside] - 0.028) < 0.009)
        flat[label] = 0.75 if np.mean(g.colour) < 128 else 0.16
        out[inside] = flat * (0.40 + 0.22 * np.clip(neck[inside] / 0.03, 0, 1))[:, None]
    return out


def _elbow(arm: ArmPose) -> float:
    a, b = np.array(arm.upper), np.array(arm.lower)
    return float(np.clip(1 - (a @ b) / np.linalg.norm(a) / np.linalg.norm(b), 0, 1))


def _down(picture: np.ndarray, by: int) -> np.ndarray:
    h, w = picture.shape[0] // by, picture.shape[1] // by
    return picture.reshape(h, by, w, by, -1).mean((1, 3))


def _vote(label: np.ndarray, by: int) -> np.ndarray:
    """The commonest label of each by×by block."""
    h, w = label.shape[0] // by, label.shape[1] // by
    blocks = label.reshape(h, by, w, by).transpose(0, 2, 1, 3).reshape(h, w, -1)
    present = np.unique(label)
    counts = np.stack([(blocks == k).sum(-1) for k in present])
    return present[counts.argmax(0)].astype(np.uint8)


def draw_person(
    person: Person, garment: Garment, size: tuple[int, int] = SIZE, samples: int = 2
) -> DrawnPerson:
    """Draw `person` in `garment` at `size` (height, width), `samples`² rays a pixel.

    Only the garment changes with `garment`: body, pose, hair, trousers and backdrop are the person's.
    """
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
    view = _View(per_metre, (0.495 + person.x) * width, (84 / 256 + person.y) * height, points[L.NECK])

    parts, cut = _person_parts(person, garment, rest, rest_normals, posed, rotation, translation)
    visible, faces, part, starts = _rasterise(parts, view, height, width, cut)
    light = np.zeros((height * width, 3), np.float32)
    label = np.zeros(height * width, np.uint8)
    neck = np.zeros(height * width, np.uint8)
    for i, p in enumerate(parts):
        v = visible.select(part[visible.triangles] == i)
        local = faces - starts[i]
        n = _unit(v.interpolate(p.normals, local))
        if p.kind == "cloth":
            bend = (_elbow(person.pose.left), _elbow(person.pose.right))
            seed = person.seed % 100003 + garment.seed % 99991
            light[v.pixels] = _shade_cloth(
                garment, v, local, n, n[:, 1] > 0.15, (height, width), per_metre, bend, seed, 1.0
            )
            label[v.pixels] = L.UPPER_CLOTHES
        elif p.kind == "hair":
            strand = v.interpolate(p.extra["strand"], local)
            light[v.pixels] = shade.lit_hair(person, n, strand[:, :3], strand[:, 3], strand[:, 4])
            label[v.pixels] = L.HAIR
        elif p.kind == "trousers":
            albedo, creases = shade.trousers_colour(person, v.interpolate(m.attributes, local)[:, :3])
            slope, above = _screen_bump(creases, v.pixels, height, width, per_metre)
            cavity = 1 + np.clip(above / 0.003, -1, 0.3) * 0.15
            light[v.pixels] = shade.lit_cloth(albedo, 0.04, _bent(n, slope), cavity)
            label[v.pixels] = L.PANTS
        else:
            kinds = p.extra["label"][v.triangles]  # skin comes first: its triangles count from 0
            values = v.interpolate(m.attributes, local)
            albedo, gloss = shade.skin_colour(person, values[:, :3], *values[:, 3:].T)
            light[v.pixels] = shade.lit_skin(albedo, gloss, n)
            label[v.pixels] = kinds
            neck[v.pixels] = kinds == L.BACKGROUND
    light, covered = _occluded(light, visible, height, width, per_metre)
    ground = shade.backdrop(height, width, person.backdrop, covered)
    image = _picture(np.where(covered[..., None], shade.encode(light), ground), samples)
    parse = _vote(label.reshape(height, width), samples)
    bare = _vote(neck.reshape(height, width), samples) > 0
    return DrawnPerson(image, parse, _joints(view, points, size, samples), bare & (parse == L.BACKGROUND))


def _unit(n: np.ndarray) -> np.ndarray:
    return n / (np.linalg.norm(n, axis=-1, keepdims=True) + 1e-9)


def _occluded(light: np.ndarray, visible: Visible, height: int, width: int,
              per_metre: float) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Light (H, W, 3) with what the surroundings keep off, and where the scene covers the picture (H, W)."""
    covered = _spread(np.ones(len(visible.pixels), bool), visible.pixels, height, width)
    depth = _spread(visible.depth, visible.pixels, height, width)
    opened = shade.occlusion(depth, covered, per_metre)
    return light.reshape(height, width, 3) * opened[..., None], covered


def _picture(colour: np.ndarray, samples: int) -> np.ndarray:
    """uint8 RGB from sRGB 0..1 with `samples`² rays a pixel."""
    return np.clip(_down(colour, samples) * 255 + 0.5, 0, 255).astype(np.uint8)


def _joints(view: _View, points: np.ndarray, size: tuple[int, int], samples: int) -> np.ndarray:
    out = np.zeros((18, 3), np.float32)
    seen = np.isfinite(points[:, 0])
    xy = view(points[seen]) / samples
    inside = L.joints_inside(xy, size)
    where = np.flatnonzero(seen)[inside]
    out[where, :2] = xy[inside]
    out[where, 2] = 0.9
    return out


def _person_parts(person: Person, garment: Garment, rest: np.ndarray, rest_normals: np.ndarray,
                  posed: np.ndarray, rotation: np.ndarray,
                  translation: np.ndarray) -> tuple[list[_Part], _Cut]:  # fmt: skip
    """Skin, trousers, garment and hair, posed, and where they are cut."""
    m = mesh()
    f = cloth.frame()
    dressed = _cloth_part(garment, rest, rest_normals, rotation, translation)
    edge = np.full(len(m.vertices), -1.0)
    edge[f.index] = dressed.edge[: f.upper]
    trunk = (m.arm < 0.02) & (m.vertices[:, 2] < 0.5)
    edge[trunk] = hem_distance(garment, m.vertices[trunk])
    posed_normals = bodies.normals(posed, m.faces, m.incidence)
    hidden = 0.018
    skin = (edge[m.faces] <= hidden).any(1) & _facing(posed, m.faces)
    skin &= (m.vertices[m.faces, 2].max(1) > person.waist - 0.01) | (m.arm[m.faces].max(1) > 0.25)
    shown = m.faces[skin]
    checked = (edge[shown] > hidden).any(1) | (m.vertices[shown, 2] < person.waist).any(1)
    body = _Part("skin", posed, shown, posed_normals, extra={"label": m.face_label[skin]}, check=checked)

    # trousers: the body's surface below the waist, let out a little
    low = m.vertices[:, 2] < person.waist + 0.05
    chosen = m.faces[low[m.faces].any(1) & (m.arm[m.faces].max(1) < 0.3)]
    out = rest
    for _ in range(6):
        out = 0.5 * out + 0.5 * (m.smooth @ out)
    out = (
        np.maximum(((out - rest) * rest_normals).sum(1), 0)[:, None] * rest_normals
        + rest
        + rest_normals * 0.007
    )
    legs = bodies.skin(out, rotation, translation)
    legs_normals = bodies.normals(legs, m.faces, m.incidence)
    chosen = chosen[_facing(legs, chosen)]
    top = min(person.waist, garment.hem + 0.02)
    chosen = chosen[(m.vertices[chosen, 2] < top).any(1)]
    trousers = _Part("trousers", legs, chosen, legs_normals, nearer=-0.015,
                     check=(m.vertices[chosen, 2] > top).any(1))  # fmt: skip

    h = hair.build(person, rest)
    carry = (m.weight_index[h.skin_index], m.weight[h.skin_index])
    root = bodies.skin(h.vertices, rotation, translation, *carry)
    tip = bodies.skin(h.vertices + h.normals * 0.01, rotation, translation, *carry) - root
    run = bodies.skin(h.vertices + h.tangents * 0.01, rotation, translation, *carry) - root
    strand = np.concatenate([_unit(run), h.across[:, None], h.along[:, None]], 1)
    locks = _Part("hair", root, h.faces, _unit(tip), extra={"strand": strand}, nearer=0.002,
                  check=(h.edge[h.faces] < 0.02).any(1))  # fmt: skip
    parts = [body, trousers, dressed, locks]
    starts = np.cumsum([0] + [len(p.vertices) for p in parts])
    waist = person.waist
    place_z = m.vertices[:, 2]

    def cut(part: np.ndarray, t: np.ndarray, w: np.ndarray, faces: np.ndarray) -> np.ndarray:
        drop = np.zeros(len(part), bool)

        def at(values: np.ndarray, k: int, which: np.ndarray) -> np.ndarray:
            corners = faces[t[which]] - starts[k]
            return (values[corners] * w[which].reshape(len(corners), 3, *([1] * (values.ndim - 1)))).sum(1)

        which = np.flatnonzero(part == 0)
        below = (at(place_z, 0, which) < waist - 0.01) & (at(m.arm, 0, which) < 0.3)
        drop[which] = below | (at(edge, 0, which) > hidden)
        which = np.flatnonzero(part == 1)
        drop[which] = at(place_z, 1, which) > top
        which = np.flatnonzero(part == 2)
        values = at(f.attributes, 2, which)
        drop[which] = cloth.edge_distance(garment, values[:, :3], values[:, 4], values[:, 5]) < 0
        which = np.flatnonzero(part == 3)
        strand = shade.noise("strand", at(h.across, 3, which) * 7, at(h.along, 3, which) * 0.05)
        drop[which] = at(h.edge, 3, which) < 0.003 + 0.0045 * strand
        return drop

    return parts, cut


_SHOP_ARM = ArmPose((0.44, 0.0, -1), (0.27, -0.04, -1))
_SHOP_SHORT = ArmPose((0.68, 0.0, -1), (0.68, -0.04, -1))


def draw_cloth(
    garment: Garment, size: tuple[int, int] = SIZE, samples: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """The shop photo of `garment`: image (H, W, 3) uint8 on white, mask (H, W) uint8 0/255.

    The garment alone, from the front, a little flattened, sleeves hanging; through the neckline the inside
    of its back shows. The mask is exactly where the picture is not the white ground.
    """
    height, width = size[0] * samples, size[1] * samples
    m = mesh()
    rest, joints = m.vertices * np.array([0.95, 1, 1]), m.joints.mean(0) * np.array([0.95, 1, 1])
    rest_normals = bodies.normals(rest, m.faces, m.incidence)
    arm = _SHOP_SHORT if garment.sleeve in ("short", "none") else _SHOP_ARM
    rotation, translation = bodies.bone_transforms(joints, Pose(arm, arm))
    part = _cloth_part(
        replace(garment, ease=garment.ease * 0.8 + 0.004), rest, rest_normals, rotation, translation
    )
    part.vertices = part.vertices * np.array([1.0, 0.55, 1.0])
    hips = np.clip((0.30 - part.vertices[:, 2]) / 0.25, 0, 1)
    part.vertices[:, 0] *= 1 - 0.11 * hips * hips * (3 - 2 * hips)  # laid straight, not over hips
    f = cloth.frame()
    part.normals = part.normals * np.array([1.0, 1.6, 1.0])
    on = part.edge > 0
    low, high = part.vertices[on].min(0), part.vertices[on].max(0)
    per_metre = min(0.86 * width / (high[0] - low[0]), 0.84 * height / (high[2] - low[2]), 330 / 256 * height)
    centre = (low + high) / 2
    view = _View(per_metre, width / 2, height * 0.49, centre)

    def cut(kind: np.ndarray, t: np.ndarray, w: np.ndarray, faces: np.ndarray) -> np.ndarray:
        corners = faces[t]

        def at(values: np.ndarray) -> np.ndarray:
            return (values[corners] * w.reshape(len(w), 3, *([1] * (values.ndim - 1)))).sum(1)

        values = at(f.attributes)
        return cloth.edge_distance(garment, values[:, :3], values[:, 4], values[:, 5]) < 0

    visible, faces, _, _ = _rasterise([part], view, height, width, cut)
    n = _unit(visible.interpolate(part.normals, faces))
    inside = n[:, 1] > 0.0
    n[:, 1] = np.where(inside, -n[:, 1], n[:, 1])
    light = np.zeros((height * width, 3), np.float32)
    light[visible.pixels] = _shade_cloth(garment, visible, faces, n, inside, (height, width), per_metre,
                                         (0, 0), garment.seed % 99991 + 7, 0.55)  # fmt: skip
    light, covered = _occluded(light, visible, height, width, per_metre)
    image = _picture(np.where(covered[..., None], shade.encode(light * 1.04), 1.0), samples)
    mask = _down(covered.astype(np.float32), samples)[..., 0] > 0
    image[mask] = np.minimum(image[mask], 254)
    return image, np.where(mask, 255, 0).astype(np.uint8)
