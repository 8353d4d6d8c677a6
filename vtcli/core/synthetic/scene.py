"""The camera, the meshes of a scene, what is seen of them, and a picture's last steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np

from vtcli.core.synthetic import shade
from vtcli.core.synthetic.raster import Visible, rasterise

SIZE = (256, 192)
CAMERA = 4.0
"""Metres from the camera to the neck."""


@dataclass
class View:
    """A camera: picture pixels from space."""

    scale: float
    x: float
    y: float
    centre: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        nearer = 1 / (1 + (points[:, 1] - self.centre[1]) / CAMERA)
        return np.stack([self.x + (points[:, 0] - self.centre[0]) * self.scale * nearer,
                         self.y - (points[:, 2] - self.centre[2]) * self.scale * nearer], 1)  # fmt: skip


At = Callable[[np.ndarray], np.ndarray]
"""Interpolates values (V,) or (V, C) of a part's vertices at some of its fragments."""


@dataclass
class Part:
    """One mesh of the scene. `cut(at)` says which fragments are cut away, in the triangles of `check`."""

    kind: str
    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (T, 3)
    normals: np.ndarray  # (V, 3)
    edge: np.ndarray = field(default_factory=lambda: np.zeros(0))
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    nearer: float | np.ndarray = 0.0  # metres (of each vertex) towards the camera, in the z-buffer only
    cut: Callable[[At], np.ndarray] | None = None
    check: np.ndarray | None = None  # (T,) triangles that the cut goes through, all by default


@dataclass
class VisibleParts:
    """What is seen of the parts of a scene, in rising order of pixels."""

    visible: Visible
    faces: np.ndarray  # (T, 3) of all parts
    part: np.ndarray  # (T,) which part a triangle belongs to
    starts: np.ndarray  # (parts + 1,) the first vertex of each part

    def of(self, number: int) -> tuple[Visible, np.ndarray]:
        """The visible fragments of one part; faces in its own numbering of vertices."""
        visible = self.visible.select(self.part[self.visible.triangles] == number)
        return visible, self.faces - self.starts[number]


def visible_parts(parts: list[Part], view: View, height: int, width: int) -> VisibleParts:
    """The parts through a z-buffer."""
    vertices = np.concatenate([p.vertices for p in parts])
    starts = np.cumsum([0] + [len(p.vertices) for p in parts])
    faces = np.concatenate([p.faces + starts[i] for i, p in enumerate(parts)])
    part = np.repeat(np.arange(len(parts)), [len(p.faces) for p in parts])
    nearer = [np.broadcast_to(p.nearer, len(p.vertices)) for p in parts]
    depth = -vertices[:, 1] + np.concatenate(nearer)
    check = np.concatenate([_checked(p) for p in parts])

    def discard(t: np.ndarray, w: np.ndarray) -> np.ndarray:
        drop = np.zeros(len(t), bool)
        some = np.flatnonzero(check[t])
        kind = part[t[some]]
        for number, p in enumerate(parts):
            which = some[kind == number]
            if p.cut is not None and len(which):
                corners, weights = faces[t[which]] - starts[number], w[which]
                drop[which] = p.cut(partial(_at, corners=corners, weights=weights))
        return drop

    return VisibleParts(rasterise(view(vertices), depth, faces, height, width, discard), faces, part, starts)


def _checked(part: Part) -> np.ndarray:
    if part.cut is None:
        return np.zeros(len(part.faces), bool)
    return np.ones(len(part.faces), bool) if part.check is None else part.check


def _at(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    w = weights if values.ndim == 1 else weights[:, :, None]
    # quicker than a sum along an axis of three, and the same to the last bit
    a, b, c = (values[corners[:, k]] * w[:, k] for k in range(3))
    return a + b + c


def facing(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Triangles of a closed surface that turn to the camera."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    away = (b[:, 2] - a[:, 2]) * (c[:, 0] - a[:, 0]) - (b[:, 0] - a[:, 0]) * (c[:, 2] - a[:, 2])
    size = np.abs(away) + np.abs(
        (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    )
    return away < 0.15 * size


def spread(values: np.ndarray, pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Values (n,) or (n, C) laid out as a picture (H, W[, C]), 0 elsewhere."""
    out = np.zeros((height * width, *values.shape[1:]), values.dtype)
    out[pixels] = values
    return out.reshape(height, width, *values.shape[1:])


def screen_bump(value: np.ndarray, pixels: np.ndarray, height: int, width: int, per_metre: float,
                 limit: float = 0.9) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Slopes (n, 2) to the right and down of `value` metres at `pixels`, and its height above its
    surroundings (n,)."""
    picture = spread(value, pixels, height, width)
    weight = spread(np.ones(len(pixels), np.float32), pixels, height, width)
    sigma = max(0.012 * per_metre, 1.0)
    around = cv2.GaussianBlur(picture, (0, 0), sigma) / np.maximum(
        cv2.GaussianBlur(weight, (0, 0), sigma), 1e-3
    )
    filled = np.where(weight > 0, picture, around)
    gx = cv2.Sobel(filled, cv2.CV_32F, 1, 0, ksize=3) / 8 * per_metre
    gy = cv2.Sobel(filled, cv2.CV_32F, 0, 1, ksize=3) / 8 * per_metre
    slope = np.clip(np.stack([gx.ravel()[pixels], gy.ravel()[pixels]], 1), -limit, limit)
    return slope, (picture - around).ravel()[pixels]


def bent(n: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Normals tilted by slopes seen on the screen (x right, y down; space: x right, z up)."""
    out = n - slope[:, :1] * np.array([1.0, 0, 0]) + slope[:, 1:] * np.array([0, 0, 1.0])
    return unit(out)


def unit(n: np.ndarray) -> np.ndarray:
    """Vectors (..., 2 or 3) of length 1."""
    squares = [n[..., k] ** 2 for k in range(n.shape[-1])]
    return n / (np.sqrt(sum(squares[1:], squares[0]))[..., None] + 1e-9)


def occluded(light: np.ndarray, visible: Visible, height: int, width: int,
              per_metre: float) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Light (H, W, 3) with what the surroundings keep off, and where the scene covers the picture (H, W)."""
    covered = spread(np.ones(len(visible.pixels), bool), visible.pixels, height, width)
    depth = spread(visible.depth, visible.pixels, height, width)
    opened = shade.occlusion(depth, covered, per_metre)
    return light.reshape(height, width, 3) * opened[..., None], covered


def down(picture: np.ndarray, by: int) -> np.ndarray:
    h, w = picture.shape[0] // by, picture.shape[1] // by
    return picture.reshape(h, by, w, by, -1).mean((1, 3))


def vote(label: np.ndarray, by: int) -> np.ndarray:
    """The commonest label of each by×by block."""
    rays = [label[y::by, x::by] for y in range(by) for x in range(by)]
    present = np.unique(label)
    counts = [sum((ray == k).astype(np.uint8) for ray in rays) for k in present]
    return present[np.argmax(counts, axis=0)].astype(np.uint8)


def picture(colour: np.ndarray, samples: int) -> np.ndarray:
    """uint8 RGB from sRGB 0..1 with `samples`² rays a pixel."""
    return np.clip(down(colour, samples) * 255 + 0.5, 0, 255).astype(np.uint8)
