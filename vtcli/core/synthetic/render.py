"""`draw_person`: a person in a garment, as a photo with its parse and joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.data.triplets import PersonMaps
from vtcli.core.synthetic import shade
from vtcli.core.synthetic.backdrops import backdrop_colour
from vtcli.core.synthetic.bodies import ArmPose, mesh
from vtcli.core.synthetic.dressing import Outfit, Stance, outfit_parts, pose_person, usual_outfit
from vtcli.core.synthetic.garments import SyntheticGarment
from vtcli.core.synthetic.people import SyntheticPerson
from vtcli.core.synthetic.raster import Visible
from vtcli.core.synthetic.scene import (
    SIZE,
    Part,
    View,
    bent,
    down,
    occluded,
    picture,
    screen_bump,
    unit,
    visible_parts,
    vote,
)
from vtcli.core.synthetic.worn import ClothView, cloth_view, shade_cloth


@dataclass
class RenderedPerson(PersonMaps):
    """A rendered photo with its maps, and keypoints (18, 3) float32, COCO-18 (x, y, confidence; zeros where absent)."""

    keypoints: np.ndarray


def draw_person(person: SyntheticPerson, garment: SyntheticGarment, size: tuple[int, int] = SIZE,
                samples: int = 2) -> RenderedPerson:  # fmt: skip
    """Draw `person` in `garment` at `size` (height, width), `samples`² rays a pixel.

    Only the garment changes with `garment`: body, pose, hair, trousers and backdrop are the person's.
    """
    return draw_dressed(pose_person(person, size, samples), usual_outfit(person, garment))[0]


def draw_dressed(stance: Stance, outfit: Outfit) -> tuple[RenderedPerson, ClothView]:
    """The posed person in `outfit`, and what the picture shows of its top."""
    person, view, samples = stance.person, stance.view, stance.samples
    height, width = stance.shape
    parts = outfit_parts(stance, outfit)
    surfaces = visible_parts(parts, view, height, width)
    light = np.zeros((height * width, 3), np.float32)
    label = np.zeros(height * width, np.uint8)
    neck = np.zeros(height * width, np.float32)
    thing = np.zeros(height * width, np.float32)
    for i, part in enumerate(parts):
        v, faces = surfaces.of(i)
        if not len(v.pixels) and part.kind != "cloth":
            continue
        n = unit(v.interpolate(part.normals, faces))
        if part.kind == "skin":
            label[v.pixels] = part.extra["label"][v.triangles]  # it comes first: its triangles count from 0
            neck[v.pixels] = label[v.pixels] == L.BACKGROUND
            light[v.pixels] = _skin_light(person, v, faces, n)
        elif part.kind in ("cloth", "skirt"):
            garment = outfit.top if part.kind == "cloth" else outfit.skirt
            assert garment is not None
            inside = n[:, 1] > 0.15
            light[v.pixels] = _cloth_light(stance, garment, v, faces, n, inside)
            label[v.pixels] = outfit.top_label if part.kind == "cloth" else outfit.skirt_label
            if part.kind == "cloth":
                v.triangles = v.triangles - int(np.searchsorted(surfaces.part, i))
                worn = cloth_view(part, view, v, ~inside, height, width)
        elif part.kind == "hair":
            strand = v.interpolate(part.extra["strand"], faces)
            light[v.pixels] = shade.lit_hair(person, n, strand[:, :3], strand[:, 3], strand[:, 4])
            label[v.pixels] = L.HAIR
        elif part.kind == "trousers":
            light[v.pixels] = _trousers_light(stance, v, faces, n)
            label[v.pixels] = L.PANTS
        else:
            light[v.pixels] = _thing_light(part, n)
            thing[v.pixels] = 1
    light, covered = occluded(light, surfaces.visible, height, width, view.scale)
    colour = np.where(covered[..., None], shade.encode(light), _ground(stance, covered))
    if person.light != (1.0, 1.0, 1.0):
        colour = colour * np.array(person.light, np.float32)
    image = picture(colour, samples)
    parse = vote(label.reshape(height, width), samples)
    # Of a pixel that is half of it and half clothes the vote says background.
    neck, thing = (down(x.reshape(height, width), samples)[..., 0] >= 0.5 for x in (neck, thing))
    joints = _joints(view, stance.points, stance.size, samples)
    nothing = parse == L.BACKGROUND
    return RenderedPerson(image, parse, neck & nothing, thing & nothing, joints), worn


def _skin_light(person: SyntheticPerson, v: Visible, faces: np.ndarray, n: np.ndarray) -> np.ndarray:
    values = v.interpolate(mesh().attributes, faces)
    albedo, gloss = shade.skin_colour(person, values[:, :3], *values[:, 3:].T)
    return shade.lit_skin(albedo, gloss, n)


def _cloth_light(stance: Stance, garment: SyntheticGarment, v: Visible, faces: np.ndarray, n: np.ndarray,
                 inside: np.ndarray) -> np.ndarray:  # fmt: skip
    pose = stance.person.pose
    seed = stance.person.seed % 100003 + garment.seed % 99991
    return shade_cloth(garment, v, faces, n, inside, stance.shape, stance.view.scale,
                       (_elbow(pose.left), _elbow(pose.right)), seed, 1.0)  # fmt: skip


def _trousers_light(stance: Stance, v: Visible, faces: np.ndarray, n: np.ndarray) -> np.ndarray:
    height, width = stance.shape
    place = v.interpolate(mesh().attributes, faces)[:, :3]
    albedo, creases = shade.trousers_colour(stance.person, place)
    slope, above = screen_bump(creases, v.pixels, height, width, stance.view.scale)
    cavity = 1 + np.clip(above / 0.003, -1, 0.3) * 0.15
    return shade.lit_cloth(albedo, 0.04, bent(n, slope), cavity)


def _thing_light(part: Part, n: np.ndarray) -> np.ndarray:
    albedo = np.tile(part.extra["colour"], (len(n), 1))
    return shade.lit_cloth(albedo, 0.25, n, np.ones(len(n)))


def _ground(stance: Stance, covered: np.ndarray) -> np.ndarray:
    """The backdrop (H, W, 3), sRGB 0..1, with the person's shadow."""
    height, width = stance.shape
    studio = shade.backdrop(height, width, stance.person.backdrop, covered)
    if stance.person.ground is None:
        return studio
    return backdrop_colour(height, width, stance.person.ground) * (studio / (stance.person.backdrop / 255))


def _elbow(arm: ArmPose) -> float:
    a, b = np.array(arm.upper), np.array(arm.lower)
    return float(np.clip(1 - (a @ b) / np.linalg.norm(a) / np.linalg.norm(b), 0, 1))


def _joints(view: View, points: np.ndarray, size: tuple[int, int], samples: int) -> np.ndarray:
    out = np.zeros((18, 3), np.float32)
    found = np.isfinite(points[:, 0])
    xy = view(points[found]) / samples
    inside = L.joints_inside(xy, size)
    where = np.flatnonzero(found)[inside]
    out[where, :2] = xy[inside]
    out[where, 2] = 0.9
    return out
