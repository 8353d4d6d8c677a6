"""The surface of a garment: the body's own surface, smoothed, eased, hung, then posed with the body."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy import ndimage, sparse
from scipy.spatial import cKDTree

from vtcli.core.synthetic.bodies import TORSO_AXIS_Y, incidence, mesh
from vtcli.core.synthetic.garments import SyntheticGarment, cuff_distance, hem_distance, neck_distance

_Z = np.linspace(-0.30, 0.72, 69)
_ANGLES = 72
_TUBE_TOP = 0.47
_SHARE_FROM = 0.62


@dataclass(frozen=True)
class Frame:
    """What is fixed for every garment: its n vertices and their coordinates on the cloth.

    The first `upper` vertices are the body's own (chest, shoulders, arms); the rest is a tube around the
    trunk, which hangs free of the legs.
    """

    index: np.ndarray  # (upper,) vertices of the body mesh
    upper: int
    faces: np.ndarray  # (t, 3) into the n
    place: np.ndarray  # (n, 3) on the mean body
    around: np.ndarray  # (n,) metres from the front's middle around the trunk, signed as x
    along: np.ndarray  # (n,) metres down the arm from the shoulder joint
    sleeve: np.ndarray  # (n,) 0..1, how much of a sleeve
    turn: np.ndarray  # (n, 2) cosine and sine of the angle around the arm, 0 in front
    bones: np.ndarray  # (n, 4)
    weight: np.ndarray  # (n, 4)
    smooth: sparse.csr_matrix  # neighbour average, (n, n)
    incidence: sparse.csr_matrix  # (n, t)
    to_grid: sparse.csr_matrix  # upper and lower trunk vertices of the body -> the (z, angle) grid
    tube_cells: np.ndarray  # flat grid cells of the tube's vertices
    cell: np.ndarray  # (2, upper) fractional row and column of the upper vertices
    share: np.ndarray  # (upper,) 0..1, how much the grid rules
    hull: np.ndarray  # (angles, angles) cosines for the convex hull
    angles: np.ndarray  # (angles,)

    @cached_property
    def attributes(self) -> np.ndarray:
        """What cloth is shaded by, (n, 8) float32: place, around, along, sleeve, turn."""
        columns = [*self.place.T, self.around, self.along, self.sleeve, *self.turn.T]
        return np.stack(columns, 1).astype(np.float32)


def _cylinder(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = points[:, 0], points[:, 1] - TORSO_AXIS_Y
    return np.arctan2(x, -y), np.hypot(x, y)


def _arm_coordinates(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Metres along the arm and (cosine, sine) of the angle around it, for places on the mean body."""
    m = mesh()
    joints = m.joints.mean(0)
    along = np.zeros(len(place))
    turn = np.zeros((len(place), 2))
    for side, sign in (("L", 1), ("R", -1)):
        mine = place[:, 0] * sign > 0
        shoulder, elbow, wrist = (
            joints[m.bones[f"{b}.{side}"]] for b in ("upperarm01", "lowerarm01", "wrist")
        )
        bisector = (elbow - shoulder) / np.linalg.norm(elbow - shoulder) + (wrist - elbow) / np.linalg.norm(
            wrist - elbow
        )
        forearm = np.clip((place - elbow) @ bisector / np.linalg.norm(bisector) / 0.07 + 0.5, 0, 1)
        forearm = forearm * forearm * (3 - 2 * forearm)
        for low in (False, True):
            start, end = (elbow, wrist) if low else (shoulder, elbow)
            axis = (end - start) / np.linalg.norm(end - start)
            part = forearm if low else 1 - forearm
            value = (place - start) @ axis + (np.linalg.norm(elbow - shoulder) if low else 0)
            along += np.where(mine, part * value, 0)
            ahead = np.array([0, -1.0, 0]) - axis * (axis @ [0, -1.0, 0])
            ahead /= np.linalg.norm(ahead)
            outward = np.cross(axis, ahead) * -sign
            rel = place - start
            rel = rel - np.outer(rel @ axis, axis)
            angle = np.arctan2(rel @ outward, rel @ ahead)
            turn += np.where(mine, part, 0)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return along, turn / (np.linalg.norm(turn, axis=1, keepdims=True) + 1e-9)


def _trunk_grid() -> tuple[sparse.csr_matrix, np.ndarray]:
    """The (z, angle) grid around the trunk: the matrix that averages the body's vertices nearest to each cell
    (on the mean body), and the cells' angles."""
    m = mesh()
    torso = np.flatnonzero((m.arm < 0.35) & (m.head < 0.25) & (m.vertices[:, 2] < 0.72))
    theta, _ = _cylinder(m.vertices[torso])
    tree = cKDTree(np.stack([m.vertices[torso, 2] * 6, np.cos(theta), np.sin(theta)], 1))
    angles = (np.arange(_ANGLES) + 0.5) / _ANGLES * 2 * np.pi - np.pi
    zz, aa = np.meshgrid(_Z, angles, indexing="ij")
    distance, near = tree.query(np.stack([zz.ravel() * 6, np.cos(aa).ravel(), np.sin(aa).ravel()], 1), k=4)
    weight = 1 / (distance + 1e-3) ** 2
    weight /= weight.sum(1, keepdims=True)
    rows = np.repeat(np.arange(zz.size), 4)
    to_grid = sparse.csr_matrix(
        (weight.ravel(), (rows, torso[near].ravel())), shape=(zz.size, len(m.vertices))
    )
    return to_grid, angles


@cache
def frame() -> Frame:
    """Computed once from the mean body."""
    m = mesh()
    dense = np.zeros((len(m.vertices), len(m.bones)))
    np.put_along_axis(dense, m.weight_index, m.weight, axis=1)
    reach, _ = _arm_coordinates(m.vertices)
    keep = (m.head < 0.25) & ((m.hand < 0.5) | (reach < 0.575)) & (m.masks["eyes"] < 0.5)
    trunk_low = (m.arm < 0.02) & (m.vertices[:, 2] < _TUBE_TOP - 0.035)
    faces = m.faces[keep[m.faces].all(1) & ~trunk_low[m.faces].all(1)]
    index, faces = np.unique(faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    place = m.vertices[index]
    along, turn = _arm_coordinates(place)
    sleeve = np.clip((along + 0.03) / 0.05, 0, 1) * np.clip((m.arm[index] - 0.2) / 0.35, 0, 1)

    to_grid, angles = _trunk_grid()
    zz = np.repeat(_Z[:, None], _ANGLES, axis=1)
    hull = np.cos(angles[:, None] - angles[None, :])

    # Around the trunk: arc length of the smoothed, convex mean cross-section, signed from the front's middle.
    mean_radius = _hulled((to_grid @ _cylinder(m.vertices)[1]).reshape(zz.shape), hull, 1.0)
    mean_radius = ndimage.gaussian_filter(mean_radius, (2, 2), mode=("nearest", "wrap"))
    step = 2 * np.pi / _ANGLES
    slope = np.gradient(mean_radius, step, axis=1)
    speed = np.hypot(mean_radius, slope)
    half = _ANGLES // 2
    arc = np.concatenate([np.zeros((len(_Z), 1)), np.cumsum(speed[:, half:], axis=1) * step], axis=1)

    def arc_at(z: np.ndarray, theta: np.ndarray) -> np.ndarray:
        zi = np.clip((z - _Z[0]) / (_Z[1] - _Z[0]), 0, len(_Z) - 1)
        value = ndimage.map_coordinates(arc, [zi, np.abs(theta) / step], order=1, mode="nearest")
        return value * np.where(theta < 0, -1, 1)

    theta_upper, _ = _cylinder(place)
    high = np.clip((place[:, 2] - 0.54) / 0.08, 0, 1)  # over the shoulders an angle says nothing
    around = arc_at(place[:, 2], theta_upper) * (1 - high) + place[:, 0] * 1.06 * high

    tube_rows = np.flatnonzero(_Z <= _TUBE_TOP)[::-1][::2]
    cells = tube_rows[:, None] * _ANGLES + np.arange(_ANGLES)[None]
    tube_theta = np.broadcast_to(angles, cells.shape).ravel()
    tube_z = np.repeat(_Z[tube_rows], _ANGLES)
    r = mean_radius[tube_rows].ravel()
    tube = np.stack([r * np.sin(tube_theta), TORSO_AXIS_Y - r * np.cos(tube_theta), tube_z], 1)
    local = np.arange(cells.size).reshape(cells.shape)
    a, b = local[:-1], np.roll(local, -1, axis=1)[:-1]
    c, d = local[1:], np.roll(local, -1, axis=1)[1:]
    tube_faces = np.concatenate(
        [np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]
    )
    count = len(tube)
    tube_weight = to_grid[cells.ravel()] @ dense
    all_weight = np.concatenate([dense[index], tube_weight])
    bones = np.argsort(-all_weight, axis=1)[:, :4]
    best = np.take_along_axis(all_weight, bones, axis=1)
    all_faces = np.concatenate([faces, tube_faces + len(index)])
    total = len(index) + count
    edges = np.concatenate([all_faces[:, [0, 1]], all_faces[:, [1, 2]], all_faces[:, [2, 0]]])
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    adjacency = sparse.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(total, total))
    degree = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1)
    cell = np.stack(
        [(place[:, 2] - _Z[0]) / (_Z[1] - _Z[0]), (theta_upper + np.pi) / (2 * np.pi) * _ANGLES - 0.5]
    )
    share = np.clip(1 - m.arm[index] / 0.35, 0, 1) * np.clip((_SHARE_FROM - place[:, 2]) / 0.10, 0, 1)
    none = np.zeros(count)
    return Frame(
        index, len(index), all_faces, np.concatenate([place, tube]),
        np.concatenate([around, arc_at(tube_z, tube_theta)]), np.concatenate([along, none - 0.2]),
        np.concatenate([sleeve, none]), np.concatenate([turn, np.stack([none + 1, none], 1)]),
        bones, best / best.sum(1, keepdims=True), sparse.csr_matrix(sparse.diags(1 / degree) @ adjacency),
        incidence(all_faces, total), to_grid, cells.ravel(), cell, share, hull, angles,
    )  # fmt: skip


def _hulled(grid: np.ndarray, hull: np.ndarray, amount: float) -> np.ndarray:
    """Each cross-section of radii (z, angle) drawn towards its convex hull, as cloth spans hollows."""
    grid = grid.astype(np.float32)
    support = (grid[:, :, None] * hull[None].astype(np.float32)).max(1)
    convex = (support[:, None, :] / np.where(hull > 0.2, hull, 1e-3)[None].astype(np.float32)).min(2)
    return grid + (convex - grid) * amount


def edge_distance(
    g: SyntheticGarment, place: np.ndarray, along: np.ndarray, arm_side: np.ndarray
) -> np.ndarray:
    """Metres inside of the nearest edge, negative off the cloth. `arm_side`: >0 where `along` counts."""
    cuff = cuff_distance(g, along, place)
    if g.sleeve != "none":
        cuff = np.where(arm_side > 0, cuff, 1.0)
    hem = np.where(arm_side > 0.5, 1.0, hem_distance(g, place))
    return np.minimum(np.minimum(neck_distance(g, place), hem), cuff)


def surface(g: SyntheticGarment, rest: np.ndarray,
            normals: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """Rest positions (n, 3) of the garment's vertices on a body with `rest` vertices and unit `normals`.

    Also the trunk's normals (n, 3) at rest with their weight (n,): they run on across the two meshes' border.
    """
    f = frame()
    n = f.upper
    points, normal = rest[f.index], normals[f.index]
    smooth = f.smooth[:n, :n]
    for _ in range(3):
        normal = 0.4 * normal + 0.6 * (smooth @ normal)
    normal = normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9)
    soft = points
    for _ in range(4):
        soft = 0.4 * soft + 0.6 * (smooth @ soft)
    along = f.along[:n]
    wide = np.clip((along + 0.02) / 0.14, 0, 1) * (f.sleeve[:n] > 0)
    ease = g.ease * 0.6 * (1 - wide) + g.sleeve_ease * wide
    # wide sleeves widen towards their end
    ease = ease + wide * np.clip(along, 0, 0.3) * (g.sleeve_ease - 0.006) * 1.2
    ease = ease + wide * np.clip(along - 0.05, 0, 0.5) * g.sleeve_flare
    # smoothing shrinks thin parts: never into the body; and along the normal only, so that prints stay put
    depth = np.maximum(((soft - points) * normal).sum(1), -0.002) + 0.004 + ease
    for _ in range(3):
        depth = 0.5 * depth + 0.5 * (smooth @ depth)
    # on the trunk the cloth is let out sideways, so that what is level stays level
    outward = normal.copy()
    outward[:, 2] *= np.clip((f.place[:n, 2] - 0.56) / 0.12, 0, 1) * (1 - wide) + wide
    lifted = points + outward * depth[:, None]

    tight = float(np.clip(1 - (g.ease - 0.006) / 0.022, 0, 1))
    grid = (f.to_grid @ _cylinder(rest)[1]).reshape(len(_Z), _ANGLES) + 0.005 + g.ease
    heights = (f.to_grid @ (rest[:, 2] - mesh().vertices[:, 2])).reshape(len(_Z), _ANGLES) + _Z[:, None]
    grid = _hulled(grid, f.hull, 0.95 - 0.3 * tight)
    # Hang: from the chest down, the cloth gives way only so fast.
    step = _Z[1] - _Z[0]
    give = (0.04 + 0.5 * tight - g.flare) * step
    for row in range(len(_Z) - 2, -1, -1):
        if _Z[row] < 0.50:
            grid[row] = np.maximum(grid[row], grid[row + 1] - give)
    grid = ndimage.gaussian_filter(grid, (1.2, 1.5), mode=("nearest", "wrap"))
    heights = ndimage.gaussian_filter(heights, (2, 6), mode=("nearest", "wrap"))
    target = ndimage.map_coordinates(
        np.pad(grid, ((0, 0), (2, 2)), mode="wrap"), [f.cell[0], f.cell[1] + 2], order=1, mode="nearest"
    )
    rise = ndimage.map_coordinates(
        np.pad(heights - _Z[:, None], ((0, 0), (2, 2)), mode="wrap"),
        [f.cell[0], f.cell[1] + 2],
        order=1,
        mode="nearest",
    )
    lifted[:, 2] += f.share * (f.place[:n, 2] + rise - lifted[:, 2])
    _, radius = _cylinder(lifted)
    grow = 1 + f.share * (target / np.maximum(radius, 1e-6) - 1)
    lifted[:, 0] *= grow
    lifted[:, 1] = (lifted[:, 1] - TORSO_AXIS_Y) * grow + TORSO_AXIS_Y
    r = grid.ravel()[f.tube_cells]
    theta = f.angles[f.tube_cells % _ANGLES]
    # level rows, so that hems and stripes run straight; near the top they join the chest's surface
    join = np.clip((_Z - 0.30) / (_TUBE_TOP - 0.04 - 0.30), 0, 1)[:, None]
    middle = np.average(heights, axis=1)[:, None]
    level = (middle + (heights - middle) * join**2).ravel()[f.tube_cells]
    tube = np.stack([r * np.sin(theta), TORSO_AXIS_Y - r * np.cos(theta), level], 1)
    return np.concatenate([lifted, tube]), _grid_normals(f, grid)


def _grid_normals(f: Frame, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normals (n, 3) of the grid's surface at every vertex of the garment, and how far they hold, (n,)."""
    around = (np.roll(grid, -1, axis=1) - np.roll(grid, 1, axis=1)) / (2 * (f.angles[1] - f.angles[0]))
    down = np.gradient(grid, _Z[1] - _Z[0], axis=0)
    s, c = np.sin(f.angles), np.cos(f.angles)
    normal = np.stack([s * grid - c * around, -c * grid - s * around, -down * grid], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    padded = np.pad(normal, ((0, 0), (2, 2), (0, 0)), mode="wrap")
    at = [f.cell[0], f.cell[1] + 2]
    upper = np.stack(
        [ndimage.map_coordinates(padded[..., k], at, order=1, mode="nearest") for k in range(3)], 1
    )
    everywhere = np.concatenate([upper, normal.reshape(-1, 3)[f.tube_cells]])
    return everywhere, np.concatenate([f.share * (f.place[: f.upper, 2] < 0.6), np.ones(len(f.tube_cells))])
