"""`draw_cloth`: the shop photo of a garment and its mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vtcli.core.synthetic import bodies, shade
from vtcli.core.synthetic.bodies import ArmPose, Pose, mesh
from vtcli.core.synthetic.garments import SyntheticGarment
from vtcli.core.synthetic.scene import SIZE, View, down, occluded, picture, unit, visible_parts
from vtcli.core.synthetic.worn import ClothView, cloth_part, cloth_view, shade_cloth


def _shop_pose(g: SyntheticGarment) -> Pose:
    """Sleeves hang down; short ones lie further out."""
    spread = g.shop_spread
    if g.sleeve in ("short", "none"):
        arm = ArmPose((0.68 + spread, 0.0, -1), (0.68 + spread, -0.04, -1))
    else:
        arm = ArmPose((0.44 + spread, 0.0, -1), (0.27 + spread, -0.04, -1))
    return Pose(arm, arm)


def _level_turn(degrees: float) -> np.ndarray:
    """Rotation (3, 3) in the picture's plane."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, 0, -s], [0, 1.0, 0], [s, 0, c]])


def draw_cloth(garment: SyntheticGarment, size: tuple[int, int] = SIZE,
               samples: int = 2) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The shop photo of `garment`: image (H, W, 3) uint8 on white, mask (H, W) uint8 0/255.

    The garment alone, from the front, a little flattened, sleeves hanging; through the neckline the inside
    of its back shows. The mask is exactly where the picture is not the white ground.
    """
    image, mask, _ = shop_photo(garment, size, samples)
    return image, mask


def shop_photo(garment: SyntheticGarment, size: tuple[int, int],
               samples: int) -> tuple[np.ndarray, np.ndarray, ClothView]:  # fmt: skip
    """`draw_cloth`, and what the picture shows of the cloth."""
    height, width = size[0] * samples, size[1] * samples
    m = mesh()
    rest, joints = m.vertices * np.array([0.95, 1, 1]), m.joints.mean(0) * np.array([0.95, 1, 1])
    rest_normals = bodies.normals(rest, m.faces, m.incidence)
    rotation, translation = bodies.bone_transforms(joints, _shop_pose(garment))
    part = cloth_part(
        replace(garment, ease=garment.ease * 0.8 + 0.004), rest, rest_normals, rotation, translation
    )
    part.vertices = part.vertices * np.array([1.0, 0.55, 1.0])
    hips = np.clip((0.30 - part.vertices[:, 2]) / 0.25, 0, 1)
    part.vertices[:, 0] *= 1 - 0.11 * hips * hips * (3 - 2 * hips)  # laid straight, not over hips
    if garment.shop_turn:
        part.vertices = part.vertices @ _level_turn(garment.shop_turn).T
    part.normals = part.normals * np.array([1.0, 1.6, 1.0])
    on = part.edge > 0
    low, high = part.vertices[on].min(0), part.vertices[on].max(0)
    per_metre = min(0.86 * width / (high[0] - low[0]), 0.84 * height / (high[2] - low[2]), 330 / 256 * height)
    per_metre *= garment.shop_size
    centre = (low + high) / 2
    view = View(per_metre, width / 2, height * 0.49, centre)

    surfaces = visible_parts([part], view, height, width)
    visible, faces = surfaces.visible, surfaces.faces
    n = unit(visible.interpolate(part.normals, faces))
    inside = n[:, 1] > 0.0
    n[:, 1] = np.where(inside, -n[:, 1], n[:, 1])
    light = np.zeros((height * width, 3), np.float32)
    light[visible.pixels] = shade_cloth(garment, visible, faces, n, inside, (height, width), per_metre,
                                         (0, 0), garment.seed % 99991 + 7, 0.55)  # fmt: skip
    light, covered = occluded(light, visible, height, width, per_metre)
    image = picture(np.where(covered[..., None], shade.encode(light * 1.04), 1.0), samples)
    mask = down(covered.astype(np.float32), samples)[..., 0] > 0
    image[mask] = np.minimum(image[mask], 254)
    shown = cloth_view(part, view, visible, ~inside, height, width)
    return image, np.where(mask, 255, 0).astype(np.uint8), shown
