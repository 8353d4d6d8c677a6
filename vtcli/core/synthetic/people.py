"""Who is in the picture: a `SyntheticPerson` holds all but the garment, and can be rendered in any garment."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vtcli.core.synthetic.bodies import ArmPose, Pose
from vtcli.core.synthetic.garments import SyntheticGarment

HAIR_STYLES = ("long", "bob", "short", "bun")
POSES = ("down", "hip", "hips", "folded", "up", "front", "pocket")


@dataclass(frozen=True)
class Thing:
    """A `strap` across the torso with a `bag`, or a `hand` thing. Sizes in metres, colour RGB 0-255."""

    kind: str
    side: int = 1  # 1: hangs from the left shoulder or in the left hand; -1: the right
    width: float = 0.02
    size: tuple[float, float] = (0.2, 0.15)  # across, up
    hang: float = 0.0  # height of a strap's lower end; how far below the hand a thing hangs
    round: float = 2.0  # exponent of the outline: 2 an ellipse, 8 nearly a rectangle
    colour: tuple[int, int, int] = (40, 32, 28)


@dataclass(frozen=True)
class SyntheticPerson:
    """A body, a pose, a face, hair, trousers, a place in the frame. Colours RGB 0-255."""

    female: bool = True
    mixture: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2, 0.2, 0.2)
    skin: tuple[int, int, int] = (224, 182, 154)
    pose_name: str = "down"
    pose: Pose = field(default_factory=lambda: Pose(ArmPose((0.2, 0, -1), (0.1, -0.2, -1)),
                                                    ArmPose((0.2, 0, -1), (0.1, -0.2, -1))))  # fmt: skip
    hair: str = "long"
    hair_colour: tuple[int, int, int] = (70, 46, 32)
    hair_length: float = 0.42
    parting: float = 0.02
    wave: float = 0.3
    lips: tuple[int, int, int] = (176, 84, 84)
    eyes: tuple[int, int, int] = (92, 66, 44)
    trousers: tuple[int, int, int] = (44, 52, 74)
    denim: bool = True
    waist: float = 0.25
    backdrop: int = 240
    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    seed: int = 0
    leg_end: float = -1.0  # height on the mean body where the trousers end; above the waist: no trousers
    skirt: SyntheticGarment | None = None
    ground: int | None = None  # seed of a backdrop that is not the studio's
    things: tuple[Thing, ...] = ()  # carried or worn over everything
    forward: float = 0.0  # metres that forearms and hair are pulled out of loose cloth, in the z-buffer
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)  # red, green and blue of the photo's light


_SKIN = ((248, 218, 198), (240, 204, 180), (231, 190, 162), (217, 172, 140), (192, 143, 110), (158, 110, 80),
         (122, 82, 60), (92, 61, 46), (72, 48, 38))  # fmt: skip
_HAIR_DARK = ((26, 20, 18), (34, 24, 20), (46, 32, 24))
_HAIR_ANY = (
    *_HAIR_DARK,
    (70, 46, 32),
    (98, 66, 42),
    (132, 94, 58),
    (176, 138, 90),
    (206, 174, 124),
    (142, 72, 38),
)
_TROUSERS = (((40, 50, 76), True), ((62, 84, 122), True), ((104, 130, 164), True), ((22, 23, 27), False),
             ((30, 31, 36), True), ((236, 234, 228), False), ((118, 108, 92), False), ((96, 98, 104), False),
             ((84, 24, 36), False), ((64, 70, 56), False))  # fmt: skip


def _jitter(rng: np.random.Generator, v: tuple[float, float, float], by: float) -> tuple[float, float, float]:
    a = np.array(v) + rng.normal(0, by, 3)
    return (float(a[0]), float(a[1]), float(a[2]))


def usual_arm(rng: np.random.Generator, kind: str) -> ArmPose:
    """An arm of one of the usual kinds, with small variations."""

    def arm(upper, lower, by=0.03, **rest) -> ArmPose:  # type: ignore[no-untyped-def]
        return ArmPose(_jitter(rng, upper, by), _jitter(rng, lower, by), **rest)

    if kind == "down":
        return arm((rng.uniform(0.16, 0.3), 0.03, -1), (rng.uniform(0.0, 0.14), -0.25, -1), 0.02,
                   twist=float(rng.uniform(-15, 15)), curl=float(rng.uniform(12, 32)))  # fmt: skip
    if kind == "hip":
        return arm((rng.uniform(0.75, 0.9), 0.16, -0.78), (-0.64, -0.34, -0.60), 0.02, twist=-55.0,
                   flex=float(rng.uniform(15, 30)), curl=18.0, shrug=3.0)  # fmt: skip
    if kind == "pocket":
        return arm((rng.uniform(0.42, 0.55), 0.12, -1), (-0.3, -0.2, -0.95), 0.015, twist=-10.0, curl=25.0)
    if kind == "front":
        return arm((0.28, 0.04, -1), (-0.42, -0.72, rng.uniform(-0.6, -0.25)), 0.02, twist=-25.0, curl=28.0)
    if kind == "up":
        return arm((0.80, -0.12, 0.62), (-0.70, 0.08, rng.uniform(0.35, 0.55)), 0.02, twist=20.0, curl=30.0,
                   flex=10.0, shrug=14.0)  # fmt: skip
    raise ValueError(kind)


def random_pose(rng: np.random.Generator, name: str) -> Pose:
    """A pose of the named kind with small variations."""
    spread = {"turn": 4.0, "head_turn": 7.0, "head_tilt": 3.0, "head_nod": 2.0, "lean": 1.5, "hip_shift": 2.5}
    common = {k: float(rng.normal(0, v)) for k, v in spread.items()}
    if name == "hips":
        return Pose(usual_arm(rng, "hip"), usual_arm(rng, "hip"), **common)
    if name == "folded":
        low = ArmPose((0.17, -0.22, -1), (-0.9, -0.40, 0.06), twist=-20.0, curl=15.0)
        high = ArmPose((0.17, -0.34, -1), (-0.9, -0.44, 0.17), twist=-20.0, curl=15.0)
        return Pose(low, high, **common) if rng.uniform() < 0.5 else Pose(high, low, **common)
    first = usual_arm(rng, name)
    second = usual_arm(
        rng, "down" if name != "down" and rng.uniform() < 0.8 else str(rng.choice(["down", "pocket"]))
    )
    return Pose(first, second, **common) if rng.uniform() < 0.5 else Pose(second, first, **common)


def random_person(rng: np.random.Generator) -> SyntheticPerson:
    """A person chosen by `rng`."""
    female = bool(rng.uniform() < 0.7)
    mixture = rng.dirichlet(np.full(6, 0.5)) * np.array([1, 1 if female else 0.8] * 3)
    tone = rng.uniform(0, 1)
    african = mixture[0] + mixture[1] > 0.5
    place = (0.45 + 0.55 * tone if african else 0.6 * tone) * (len(_SKIN) - 1)
    low = int(place)
    skin = np.array(_SKIN[low]) + (np.array(_SKIN[min(low + 1, len(_SKIN) - 1)]) - _SKIN[low]) * (place - low)
    skin = skin + rng.normal(0, 2.5, 3)
    dark = place > 4.2 or mixture[2] + mixture[3] > 0.6
    hair_colours = _HAIR_DARK if dark and rng.uniform() < 0.85 else _HAIR_ANY
    style = str(rng.choice(HAIR_STYLES, p=[0.52, 0.14, 0.1, 0.24] if female else [0.03, 0.05, 0.88, 0.04]))
    trousers, denim = _TROUSERS[rng.integers(len(_TROUSERS))]
    name = str(rng.choice(POSES, p=[0.34, 0.18, 0.1, 0.1, 0.08, 0.1, 0.1]))
    redness = np.array([0.82, 0.56, 0.56]) if female else np.array([0.80, 0.60, 0.57])
    lips = np.clip(skin * redness + (rng.normal(0, 7, 3) + ([14, 0, 0] if female else 0)), 20, 255)
    iris = (
        ((78, 52, 34), (60, 40, 28))
        if dark
        else ((78, 52, 34), (92, 84, 52), (84, 112, 136), (100, 122, 100))
    )
    return SyntheticPerson(
        female=female, mixture=tuple(float(v) for v in mixture), skin=rgb(skin), pose_name=name,
        pose=random_pose(rng, name), hair=style, hair_colour=hair_colours[rng.integers(len(hair_colours))],
        hair_length=float(rng.uniform(0.30, 0.52)), parting=float(rng.normal(0, 0.018)),
        wave=float(rng.uniform(0.05, 1.0)), lips=rgb(lips), eyes=iris[rng.integers(len(iris))],
        trousers=trousers, denim=denim, waist=float(rng.uniform(0.20, 0.30)),
        backdrop=int(rng.integers(226, 250)), x=float(rng.normal(0, 0.012)), y=float(rng.normal(0, 0.008)),
        scale=float(rng.uniform(0.97, 1.06)), seed=int(rng.integers(1 << 30)),
    )  # fmt: skip


def rgb(colour: np.ndarray) -> tuple[int, int, int]:
    """The nearest colour of whole 0-255."""
    r, g, b = (int(np.clip(round(float(c)), 0, 255)) for c in colour)
    return r, g, b
