"""Hair: a cap over the scalp, and locks (ribbons of strands) that fall from it.

Built on the rest pose of the head and carried along by the skeleton; knows nothing of garments, so that the
same person has the same hair in every one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np

from vtcli.core.synthetic.bodies import incidence, mesh, normals
from vtcli.core.synthetic.people import SyntheticPerson

CENTRE = np.array([0.0, -0.045, 0.915])
"""Middle of the skull on the mean body."""


@dataclass
class Hair:
    """Geometry in the rest pose. `across` names a strand, `along` the way down it (0..1)."""

    vertices: np.ndarray  # (n, 3)
    faces: np.ndarray  # (t, 3)
    normals: np.ndarray  # (n, 3)
    tangents: np.ndarray  # (n, 3)
    across: np.ndarray  # (n,)
    along: np.ndarray  # (n,)
    edge: np.ndarray  # (n,) cut where negative
    skin_index: np.ndarray  # (n,) vertex of the mesh whose bones carry it


def hairline(place: np.ndarray, low: float = 0.0) -> np.ndarray:
    """Metres inside of the hairline (on the scalp) for places (n, 3) on the mean head."""
    y, z = place[:, 1], place[:, 2]
    x = np.abs(place[:, 0])
    # from the forehead (y -0.15) over the temples and around the ears to the nape
    line = np.interp(y, [-0.16, -0.135, -0.115, -0.095, -0.082, -0.066, -0.058, -0.02, 0.03, 0.06],
                     [0.955, 0.948, 0.930, 0.910, 0.880, 0.866, 0.905, 0.875, 0.820, 0.80])  # fmt: skip
    line = line + 0.006 * np.clip((x - 0.02) / 0.03, 0, 1) * (y < -0.12)
    return z - line + low


@cache
def _front_depth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Front and back of the torso (y) over |x| and z on the mean body: hair lies on it."""
    m = mesh()
    torso = (m.arm < 0.9) & (m.head < 0.3)
    v = m.vertices[torso]
    xs, zs = np.linspace(0, 0.2, 11), np.linspace(0.35, 0.80, 24)
    front, back = np.zeros((11, 24)), np.zeros((11, 24))
    for i, x in enumerate(xs):
        for j, z in enumerate(zs):
            d = (np.abs(v[:, 0]) - x) ** 2 + (v[:, 2] - z) ** 2
            near = np.argsort(d)[:14]
            front[i, j], back[i, j] = v[near, 1].min(), v[near, 1].max()
    return np.stack([front, back]), xs, zs


def _depth_at(side: int, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    table, xs, zs = _front_depth()
    i = np.clip(np.abs(x) / (xs[1] - xs[0]), 0, 9.999)
    j = np.clip((z - zs[0]) / (zs[1] - zs[0]), 0, 22.999)
    i0, j0 = i.astype(int), j.astype(int)
    fi, fj = i - i0, j - j0
    t = table[side]
    return ((t[i0, j0] * (1 - fj) + t[i0, j0 + 1] * fj) * (1 - fi)
            + (t[i0 + 1, j0] * (1 - fj) + t[i0 + 1, j0 + 1] * fj) * fi)  # fmt: skip


def _cap(person: SyntheticPerson, rest: np.ndarray, rng: np.random.Generator) -> Hair:
    m = mesh()
    line = hairline(m.vertices)
    keep = (m.head > 0.5) & (line > -0.03) & (m.masks["ears"] < 0.3) & (m.masks["eyes"] < 0.5)
    faces = m.faces[keep[m.faces].all(1)]
    index, faces = np.unique(faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    place, points = m.vertices[index], rest[index]
    rel = place - CENTRE
    up = np.clip((place[:, 2] - 0.90) / 0.09, 0, 1)
    inside = np.clip(line[index] / 0.03, 0, 1)
    inside = inside * inside * (3 - 2 * inside)
    if person.hair == "short":
        thick = 0.004 + (0.010 + 0.016 * up * (0.4 + person.wave)) * inside
    elif person.hair == "bun":
        thick = 0.003 + 0.009 * inside
    else:
        thick = 0.004 + 0.016 * inside + 0.004 * up
        dip = np.exp(-(((place[:, 0] - person.parting) / 0.008) ** 2)) * (place[:, 2] > 0.93)
        thick = thick * (1 - 0.45 * dip)
    out = points + normals(rest, m.faces, m.incidence)[index] * thick[:, None]
    if person.hair in ("bun", "short"):
        # combed back: strands run from forehead to nape
        across = np.arctan2(rel[:, 0], np.maximum(np.abs(rel[:, 2]), 0.02)) * 0.085
        along = np.arctan2(rel[:, 1] + 0.05, rel[:, 2] + 0.06)
        away = np.array([1.0, 0, 0])
    else:
        across = np.arctan2(rel[:, 1] + 0.01, np.hypot(rel[:, 2], rel[:, 0]) + 0.03) * 0.1
        across = across + 0.3 * (place[:, 0] > person.parting)
        along = np.abs(np.arctan2(rel[:, 0] - person.parting, np.abs(rel[:, 2]) + 0.03))
        away = np.array([0, 1.0, 0])
    n = normals(out, faces, incidence(faces, len(out)))
    tangent = np.cross(n, away)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    return Hair(out, faces, n, tangent, across, along, line[index], index)


def _ribbons(path: np.ndarray, width: np.ndarray, side: np.ndarray, out: np.ndarray, first: float,
             carrier: np.ndarray) -> Hair:  # fmt: skip
    """Ribbons of three columns. path (k, s, 3), width (k, s), side and out (k, s, 3) unit."""
    k, s, _ = path.shape
    columns = np.array([-0.5, 0.0, 0.5])
    v = path[:, :, None] + side[:, :, None] * (columns[:, None] * width[:, :, None, None])
    v[:, :, 1] += out * width[..., None] * 0.22
    n = out[:, :, None] + side[:, :, None] * (columns[:, None] * 0.9)
    n /= np.linalg.norm(n, axis=-1, keepdims=True)
    tangent = np.gradient(path, axis=1)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-9
    grid = np.arange(k * s * 3).reshape(k, s, 3)
    a, b = grid[:, :-1, :-1].ravel(), grid[:, :-1, 1:].ravel()
    c, d = grid[:, 1:, :-1].ravel(), grid[:, 1:, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    across = first + np.arange(k)[:, None, None] * 0.031 + columns * width[:, :, None]
    along = np.broadcast_to(np.linspace(0, 1, s)[None, :, None], (k, s, 3))
    # frayed ends: the edge runs out at the tip
    edge = (1.0 - along) * 0.06
    return Hair(
        v.reshape(-1, 3), faces, n.reshape(-1, 3), np.repeat(tangent[:, :, None], 3, 2).reshape(-1, 3),
        np.broadcast_to(across, (k, s, 3)).ravel(), along.ravel(), edge.ravel(),
        np.repeat(carrier.ravel(), 3),
    )  # fmt: skip


@cache
def _carriers() -> tuple[int, np.ndarray, np.ndarray]:
    """A vertex moved by the head alone, and (height, vertex) of vertices down neck and spine."""
    m = mesh()
    head = int(np.argmax(m.vertices[:, 2]))
    zs = np.linspace(0.3, 0.86, 29)
    middle = np.flatnonzero((np.abs(m.vertices[:, 0]) < 0.05) & (m.arm < 0.05))
    verts = np.array(
        [
            middle[np.argmin(np.abs(m.vertices[middle, 2] - z) + np.abs(m.vertices[middle, 1] - 0.02))]
            for z in zs
        ]
    )
    return head, zs, verts


def _locks(person: SyntheticPerson, rng: np.random.Generator) -> Hair:
    """Locks from the parting over the sides of the head, down to the hair's length."""
    count, steps = 230, 18
    length = person.hair_length if person.hair == "long" else 0.20
    azimuth = rng.uniform(1.0, np.pi, count) * rng.choice([-1, 1], count)
    azimuth[: count // 3] = rng.uniform(1.0, 1.6, count // 3) * np.sign(azimuth[: count // 3])
    layer = rng.uniform(0, 1, count) ** 0.7
    sign = np.sign(azimuth)
    a = np.abs(azimuth)
    t = np.linspace(0, 1, steps)
    lengths = length * rng.uniform(0.82, 1.0, count)
    if person.hair == "bob":
        lengths = length * rng.uniform(0.92, 1.0, count)
    # on the skull: from the parting around to the side; then straight down
    polar = np.minimum(t[None] * 2.6, 1.0) * (0.52 * np.pi)
    thick = 0.012 + 0.020 * layer
    rx, ry, rz = 0.074, 0.098, 0.094
    sx, sy = np.sin(a), -np.cos(a)
    path = np.zeros((count, steps, 3))
    reach = np.sin(polar)
    path[:, :, 0] = person.parting * (1 - reach) + (rx + thick[:, None]) * reach * (sign * sx)[:, None]
    path[:, :, 1] = CENTRE[1] + (ry + thick[:, None]) * reach * sy[:, None] + 0.02 * (1 - reach)
    path[:, :, 2] = CENTRE[2] + (rz + thick[:, None] * 0.6) * np.cos(polar)
    fall = np.clip((t - 1 / 2.6) / (1 - 1 / 2.6), 0, 1)
    path[:, :, 2] -= fall[None] * lengths[:, None]
    drop = fall[None] * lengths[:, None]
    # away from the face, then gathered a little towards the neck, then spread on the shoulders
    front = a < 1.55
    gather = np.clip(drop / 0.12, 0, 1)
    path[:, :, 0] *= 1 - 0.16 * gather * (1 - np.clip((drop - 0.12) / 0.15, 0, 1) * 0.9)
    path[:, :, 1] += np.where(front[:, None], 0.02 * gather, -0.03 * gather)
    z = path[:, :, 2]
    wave = person.wave * 0.012 * np.clip(drop / 0.2, 0, 1)
    phase = rng.uniform(0, 6.3, (count, 1))
    period = 0.045 + 0.03 * rng.uniform(size=(count, 1))
    path[:, :, 0] += wave * np.sin(drop / period + phase)
    path[:, :, 1] += wave * np.cos(drop / period * 0.9 + phase)
    path[:, :, 0] += rng.normal(0, 0.010, (count, 1)) * np.clip(drop / 0.1, 0, 1)
    over = np.clip((0.80 - z) / 0.08, 0, 1)
    lying = (0.034 + 0.016 * layer)[:, None]
    y_front = _depth_at(0, path[:, :, 0], z) - lying
    y_back = _depth_at(1, path[:, :, 0], z) + lying
    y = path[:, :, 1]
    path[:, :, 1] = np.where(front[:, None], np.minimum(y, y + (y_front - y) * over),
                             np.maximum(y, y + (y_back - y) * over))  # fmt: skip
    for _ in range(3):  # no corners
        path[:, 1:-1] = 0.5 * path[:, 1:-1] + 0.25 * (path[:, :-2] + path[:, 2:])
    width = (
        (0.012 + 0.016 * rng.uniform(size=(count, 1))) * (1 - 0.7 * t[None] ** 4) * np.ones((count, steps))
    )
    outward = path - np.array([0, CENTRE[1], 0])
    outward[:, :, 2] = np.where(fall[None] > 0, 0, path[:, :, 2] - CENTRE[2])
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True) + 1e-9
    tangent = np.gradient(path, axis=1)
    side = np.cross(tangent, outward)
    side /= np.linalg.norm(side, axis=-1, keepdims=True) + 1e-9
    head, zs, verts = _carriers()
    carrier = np.where(z > 0.845, head, verts[np.clip(np.searchsorted(zs, z), 0, len(zs) - 1)])
    return _ribbons(path, width, side, outward, 1.0, carrier)


def _bun(person: SyntheticPerson, rng: np.random.Generator) -> Hair:
    """A knot on top of the head's back: ribbons wound around an ellipsoid."""
    count, steps = 46, 16
    centre = np.array([0.0, 0.0, 1.018])
    t = np.linspace(0, 1, steps)
    start, tilt = rng.uniform(0, 6.3, (count, 1)), rng.normal(0, 0.55, (count, 1))
    size = 0.036 + 0.012 * rng.uniform(size=(count, 1)) * 0.4
    angle = start + t[None] * 2.4
    band = tilt + 0.5 * (t[None] - 0.5)
    offset = np.stack([size * np.cos(angle) * np.cos(band), size * np.sin(angle) * np.cos(band) * 0.9,
                       size * np.sin(band) * 0.85], -1)  # fmt: skip
    path = centre + offset
    out = offset / np.linalg.norm(offset, axis=-1, keepdims=True)
    side = np.cross(np.gradient(path, axis=1), out)
    side /= np.linalg.norm(side, axis=-1, keepdims=True) + 1e-9
    width = 0.016 * np.ones((count, steps))
    head, _, _ = _carriers()
    ribbons = _ribbons(path, width, side, out, 3.0, np.full((count, steps), head))
    ribbons.edge[:] = 0.05
    return ribbons


def build(person: SyntheticPerson, rest: np.ndarray) -> Hair:
    """The person's hair around the head of `rest` (V, 3) vertices."""
    rng = np.random.default_rng(person.seed)
    parts = [_cap(person, rest, rng)]
    shift = rest[np.argmax(mesh().vertices[:, 2])] - mesh().vertices[np.argmax(mesh().vertices[:, 2])]
    if person.hair in ("long", "bob"):
        parts.append(_locks(person, rng))
    if person.hair == "bun":
        parts.append(_bun(person, rng))
    for part in parts[1:]:
        part.vertices = part.vertices + shift
    offset = np.cumsum([0] + [len(p.vertices) for p in parts])
    for part, first in zip(parts, offset, strict=False):
        part.faces = part.faces + first
    return Hair(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Hair)))
