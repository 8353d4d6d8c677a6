"""Things in front of the garment: a bag on a strap across the torso, a thing in the hand."""

from __future__ import annotations

import numpy as np

from vtcli.core.synthetic import bodies
from vtcli.core.synthetic.bodies import mesh
from vtcli.core.synthetic.people import Thing
from vtcli.core.synthetic.scene import Part, unit

_OFF = 0.022
"""Metres that a strap lies off the skin: about as far as an ordinary top does."""


def thing_part(thing: Thing, rest: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> Part:
    """The mesh of a thing on a body with `rest` vertices, posed by the bones' transforms."""
    if thing.kind == "strap":
        vertices, faces, normals = _strap(thing, rest, rotation, translation)
        nearer = 0.07
    else:
        centre = _hand(thing, rotation, translation) - np.array([0, 0.015, thing.hang])
        vertices, faces, normals = _patch(thing, centre)
        nearer = 0.0
    return Part("thing", vertices, faces, normals, nearer=nearer,
                extra={"colour": np.array(thing.colour, np.float64) / 255})  # fmt: skip


def _hand(thing: Thing, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Where the hand holds something: between the fingers' first joints, posed."""
    m = mesh()
    joints = m.joints.mean(0)
    side = "L" if thing.side > 0 else "R"
    at = [m.bones[f"{b}.{side}"] for b in ("finger2-2", "finger4-2", "finger3-1")]
    return np.mean([rotation[b] @ joints[b] + translation[b] for b in at], axis=0)


def _patch(thing: Thing, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cushion that faces the camera: vertices, faces, normals."""
    rings, spokes = np.linspace(0, 1, 6)[1:], np.linspace(0, 2 * np.pi, 33)[:-1]
    c, s = np.cos(spokes), np.sin(spokes)
    radius = (np.abs(c) ** thing.round + np.abs(s) ** thing.round) ** (-1 / thing.round)
    outline = np.stack([c * radius * thing.size[0] / 2, s * radius * thing.size[1] / 2], 1)
    flat = np.concatenate([[[0.0, 0.0]], *(outline * r for r in rings)])
    level = np.concatenate([[0.0], np.repeat(rings, len(spokes))])
    vertices = centre + np.stack([flat[:, 0], 0.02 * level**4, flat[:, 1]], 1)
    lean = level**4 * 1.2
    away = unit(flat) * lean[:, None]
    normals = unit(np.stack([away[:, 0], -np.ones(len(flat)), away[:, 1]], 1))
    n = len(spokes)
    ring = np.arange(n)
    after = (ring + 1) % n
    faces = [np.stack([np.zeros(n, int), 1 + ring, 1 + after], 1)]
    for k in range(len(rings) - 1):
        a, b = 1 + k * n + ring, 1 + k * n + after
        faces += [np.stack([a, a + n, b], 1), np.stack([b, a + n, b + n], 1)]
    return vertices, np.concatenate(faces), normals


def _strap(thing: Thing, rest: np.ndarray, rotation: np.ndarray,
           translation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """A band from one shoulder over the front to the other hip, with its bag: vertices, faces, normals."""
    m = mesh()
    t = np.linspace(0, 1, 40)
    x = thing.side * (0.10 - 0.30 * t)
    z = 0.725 + (thing.hang - 0.725) * t
    trunk = np.flatnonzero((m.arm < 0.3) & (m.head < 0.2) & (m.vertices[:, 1] < 0.03))
    away = (rest[trunk, 0] - x[:, None]) ** 2 + (rest[trunk, 2] - z[:, None]) ** 2
    near = trunk[np.argsort(away, axis=1)[:, :6]]
    y = rest[near, 1].mean(1)
    # a band spans hollows: the upper hull of its distance to the front, then smoothed
    hull = np.array([_chord(t, -y, k) for k in range(len(t))])
    y = -_smoothed(hull) - _OFF
    across = np.array([z[1] - z[0], 0, -(x[1] - x[0])])
    across = across / np.linalg.norm(across) * thing.width / 2
    path = np.stack([x, y, z], 1)
    carry = (m.weight_index[near[:, 0]], m.weight[near[:, 0]])
    # bones of the trunk alone, smoothed along the band
    edges = [bodies.skin(path + across * k, rotation, translation, *carry) for k in (-1, 0, 1)]
    edges = [np.stack([_smoothed(e[:, i]) for i in range(3)], 1) for e in edges]
    vertices = np.stack(edges, 1).reshape(-1, 3)
    grid = np.arange(len(vertices)).reshape(-1, 3)
    a, b, c, d = grid[:-1, :-1].ravel(), grid[:-1, 1:].ravel(), grid[1:, :-1].ravel(), grid[1:, 1:].ravel()
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    side = unit(across)
    normals = np.stack([unit(np.array([0, -1.0, 0.15]) + side * k * 0.7) for k in (-1, 0, 1)])
    bag, bag_faces, bag_normals = _patch(thing, vertices[-2] - np.array([0, 0.03, thing.size[1] * 0.4]))
    return (np.concatenate([vertices, bag]), np.concatenate([faces, bag_faces + len(vertices)]),
            np.concatenate([np.tile(normals, (len(t), 1)), bag_normals]))  # fmt: skip


def _smoothed(value: np.ndarray) -> np.ndarray:
    """The running mean of five."""
    return np.convolve(np.pad(value, 2, mode="edge"), np.ones(5) / 5, "valid")


def _chord(t: np.ndarray, value: np.ndarray, k: int) -> float:
    """The upper convex hull of `value` over `t` at index `k`."""
    left, right = t[: k + 1], t[k:]
    if k in (0, len(t) - 1):
        return float(value[k])
    part = (t[k] - left[:, None]) / np.maximum(right[None] - left[:, None], 1e-9)
    return float((value[: k + 1, None] * (1 - part) + value[None, k:] * part).max())
