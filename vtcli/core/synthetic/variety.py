"""People and garments of more kinds than `random_person` and `random_garment` know: what triplets show.

Cuts run on between the usual ones (sleeves, hems, necklines, width); arms and hands come before the torso
or go up; bags, skirts, dresses and shorts are worn; a third of the backdrops is not the studio's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vtcli.core.synthetic.bodies import ArmPose, Pose
from vtcli.core.synthetic.garments import MORE_PATTERNS, PATTERNS, SyntheticGarment, random_garment
from vtcli.core.synthetic.people import SyntheticPerson, Thing, random_person, random_pose, rgb, usual_arm

# ---------------------------------------------------------------- garments

_NECKS = {"round": 0.34, "v": 0.20, "boat": 0.10, "square": 0.08, "high": 0.08, "straps": 0.10,
          "halter": 0.04, "off-shoulder": 0.06}  # fmt: skip
_WIDTH = {"round": (0.066, 0.115), "v": (0.062, 0.105), "boat": (0.115, 0.138), "square": (0.075, 0.115),
          "high": (0.07, 0.07), "straps": (0.062, 0.1), "halter": (0.055, 0.065),
          "off-shoulder": (0.12, 0.12)}  # fmt: skip
_DEPTH = {"round": (0.035, 0.14), "v": (0.09, 0.19), "boat": (0.03, 0.05), "square": (0.07, 0.14),
          "high": (0.006, 0.024), "straps": (0.12, 0.19), "halter": (0.03, 0.15),
          "off-shoulder": (0.085, 0.13)}  # fmt: skip
_LETTERS = "abcdefghiklmnoprstuvwyAEKLMNOST0123 "
_BARE = ("straps", "halter", "off-shoulder")
"""What holds on no shoulder lies close."""
# metres from the shoulder joint, and how often
_SLEEVES = (("none", 0.0, 0.0, 0.22), ("short", 0.03, 0.08, 0.07), ("short", 0.08, 0.19, 0.23),
            ("short", 0.19, 0.29, 0.12), ("three-quarter", 0.29, 0.45, 0.12),
            ("long", 0.45, 0.565, 0.24))  # fmt: skip
# height on the mean body, and how often: cropped, usual, long, tunics
_HEMS = ((0.20, 0.34, 0.14), (0.03, 0.20, 0.58), (-0.05, 0.03, 0.20), (-0.20, -0.05, 0.08))


def _tone(rng: np.random.Generator) -> tuple[int, int, int]:
    grey = rng.uniform(18, 246)
    return rgb(grey + rng.normal(0, 1, 3) * rng.uniform(0, 0.9) * min(grey, 256 - grey, 80))


def _some(rng: np.random.Generator, rows: tuple[tuple[float, float, float], ...]) -> float:
    """A number of one of the ranges (low, high, share)."""
    low, high, _ = rows[rng.choice(len(rows), p=[r[2] for r in rows])]
    return float(rng.uniform(low, high))


def _sleeve(rng: np.random.Generator, neck: str) -> tuple[str, float | None]:
    if neck in ("straps", "halter"):
        return "none", None
    name, low, high, _ = _SLEEVES[rng.choice(len(_SLEEVES), p=[s[3] for s in _SLEEVES])]
    if neck == "off-shoulder":
        return ("long", float(rng.uniform(0.45, 0.565))) if rng.uniform() < 0.4 else (
            "short", float(rng.uniform(0.16, 0.29)))  # fmt: skip
    return name, None if name == "none" else float(rng.uniform(low, high))


def random_garment_varied(rng: np.random.Generator) -> SyntheticGarment:
    """A top of any cut chosen by `rng`."""
    g = random_garment(rng)
    neck = str(rng.choice(list(_NECKS), p=list(_NECKS.values())))
    sleeve, end = _sleeve(rng, neck)
    loose = float(rng.uniform())
    pattern = g.pattern
    if pattern == "plain" and rng.uniform() < 0.4:
        pattern = str(rng.choice(PATTERNS + MORE_PATTERNS))
    elif rng.uniform() < 0.15:
        pattern = str(rng.choice(MORE_PATTERNS))
    scale = float(g.scale * np.exp(rng.normal(0, 0.35)))
    if rng.uniform() < 0.6:
        g = replace(g, colour=_tone(rng), accent=_tone(rng), accent2=_tone(rng))
    return replace(
        g, neck=neck, neck_width=float(rng.uniform(*_WIDTH[neck])),
        neck_depth=float(rng.uniform(*_DEPTH[neck])), sleeve=sleeve, sleeve_end=end,
        hem=_some(rng, _HEMS), ease=0.003 + (0.009 if neck in _BARE else 0.045) * loose**2,
        flare=float(rng.uniform(0, 0.15) * loose + (rng.uniform(0.05, 0.18) if rng.uniform() < 0.12 else 0)),
        sleeve_ease=float(rng.uniform(0.003, 0.012 + 0.022 * loose)),
        sleeve_flare=float(rng.uniform(0.02, 0.13)) if rng.uniform() < 0.15 else 0.0,
        strap=float(rng.uniform(0.005, 0.024)), pattern=pattern, scale=scale,
        text="".join(rng.choice(list(_LETTERS), rng.integers(2, 9))).strip() or "x",
        shop_spread=float(rng.uniform(-0.12, 0.35)), shop_turn=float(rng.normal(0, 1.2)),
        shop_size=float(rng.uniform(0.88, 1.04)),
    )  # fmt: skip


def random_dress(rng: np.random.Generator) -> SyntheticGarment:
    """A dress chosen by `rng`: a top that goes on down to the thighs or out of the picture."""
    g = random_garment_varied(rng)
    return replace(g, hem=float(rng.uniform(-0.28, -0.06)), ease=min(g.ease, 0.02),
                   flare=float(rng.uniform(0, 0.22)) if rng.uniform() < 0.6 else 0.0)  # fmt: skip


def _skirt(rng: np.random.Generator) -> SyntheticGarment:
    flare = float(rng.uniform(0.05, 0.4)) if rng.uniform() < 0.6 else 0.0
    return replace(random_garment_varied(rng), neck="round", neck_depth=0.08, sleeve="none", sleeve_end=None,
                   hem=float(rng.uniform(-0.28, -0.06)), ease=0.003, flare=flare, wrinkle=0.7,
                   pattern=str(rng.choice(["plain", "checks", "dots", "bars", "heather", "floral"])))  # fmt: skip


# ---------------------------------------------------------------- poses

_SHOULDER = np.array([0.165, -0.02, 0.647])
"""The mean body's, like the lengths below: x outwards, y back, z up."""
_UPPER, _LOWER = 0.288, 0.256
_FREE = {"before": 0.30, "lifted": 0.10, "out": 0.08, "down": 0.26, "hip": 0.12, "pocket": 0.14}


def reaching_arm(wrist: np.ndarray, elbow: np.ndarray, **rest: float) -> ArmPose:
    """The arm whose wrist comes to `wrist` (3,) on the mean body, or as near as it reaches, with its elbow
    towards the direction `elbow` (3,); x outwards (two-bone inverse kinematics)."""
    along = wrist - _SHOULDER
    reach = float(np.clip(np.linalg.norm(along), 0.12, (_UPPER + _LOWER) * 0.985))
    along = along / np.linalg.norm(along)
    aside = elbow - along * (elbow @ along)
    aside = aside / np.linalg.norm(aside)
    part = (reach**2 + _UPPER**2 - _LOWER**2) / (2 * reach)
    upper = along * part + aside * np.sqrt(max(_UPPER**2 - part**2, 1e-6))
    lower = along * reach - upper
    return ArmPose(tuple(map(float, upper)), tuple(map(float, lower)), **rest)  # type: ignore[arg-type]


def _free_arm(rng: np.random.Generator, kind: str, nearer: float = 0.0) -> ArmPose:
    """One arm; `nearer`: metres that it comes further to the front, past the other arm."""
    hand = {"twist": float(rng.uniform(-60, 30)), "curl": float(rng.uniform(8, 50)),
            "flex": float(rng.uniform(-15, 20))}  # fmt: skip
    if kind == "before":
        wrist = np.array(
            [rng.uniform(-0.14, 0.20), -rng.uniform(0.21, 0.27) - nearer, rng.uniform(0.14, 0.68)]
        )
        elbow = np.array([rng.uniform(0.5, 1.0), rng.uniform(-0.3, 0.5), -rng.uniform(0.5, 1.0)])
    elif kind == "lifted":
        wrist = np.array([rng.uniform(0.06, 0.45), -rng.uniform(0.02, 0.22), rng.uniform(0.80, 1.15)])
        elbow = np.array([1.0, rng.uniform(-0.5, 0.1), rng.uniform(-0.3, 0.4)])
    elif kind == "out":
        wrist = np.array([rng.uniform(0.42, 0.65), -rng.uniform(-0.05, 0.25), rng.uniform(0.25, 0.8)])
        elbow = np.array([0.5, rng.uniform(0.0, 0.8), -1.0])
    else:
        return usual_arm(rng, kind)
    return reaching_arm(wrist, elbow, shrug=float(rng.uniform(0, 10)) if kind == "lifted" else 0.0, **hand)


def random_pose_varied(rng: np.random.Generator) -> tuple[str, Pose]:
    """Name and pose: each arm for itself, or both folded, clasped or on the hips."""
    common = {"turn": float(rng.normal(0, 9)), "head_turn": float(rng.normal(0, 9)),
              "head_tilt": float(rng.normal(0, 4)), "head_nod": float(rng.normal(0, 3)),
              "lean": float(rng.normal(0, 2.2)), "hip_shift": float(rng.normal(0, 3))}  # fmt: skip
    draw = rng.uniform()
    if draw < 0.16:
        name = str(rng.choice(["folded", "hips"], p=[0.65, 0.35]))
        return name, replace(random_pose(rng, name), **common)
    if draw < 0.24:  # hands meet before the body
        height, x = rng.uniform(0.12, 0.5), rng.normal(0, 0.02)
        arms = [reaching_arm(np.array([0.045 + side * x, -0.235 - 0.035 * (side > 0), height]),
                             np.array([0.9, 0.2, -0.8]), twist=-30.0, curl=30.0) for side in (1, -1)]  # fmt: skip
        return "clasped", Pose(arms[0], arms[1], **common)
    kinds = [str(k) for k in rng.choice(list(_FREE), 2, p=list(_FREE.values()))]
    left = _free_arm(rng, kinds[0])
    right = _free_arm(rng, kinds[1], nearer=0.07 if kinds == ["before", "before"] else 0.0)
    return "+".join(kinds), Pose(left, right, **common)


# ---------------------------------------------------------------- people


def _mixture(rng: np.random.Generator, usual: tuple[float, ...]) -> tuple[float, ...]:
    """Thinner and heavier than the baked builds (each face type's two lie next to each other)."""
    weights = np.array(usual) / sum(usual)
    more = rng.uniform(-0.25, 0.6) / 3
    return tuple(float(w) for w in weights + more * np.array([-1, 1] * 3))


def _things(rng: np.random.Generator, pose: str) -> tuple[Thing, ...]:
    things = []
    if rng.uniform() < 0.16:
        size = (float(rng.uniform(0.12, 0.26)), float(rng.uniform(0.09, 0.2)))
        things.append(Thing("strap", int(rng.choice([-1, 1])), float(rng.uniform(0.008, 0.045)), size,
                            float(rng.uniform(-0.02, 0.2)), float(rng.choice([2.5, 4, 8])), _tone(rng)))  # fmt: skip
    kinds = pose.split("+")
    held = [
        side
        for side, kind in zip((1, -1), kinds, strict=False)
        if len(kinds) == 2 and kind in ("before", "down")
    ]
    if held and rng.uniform() < 0.25:
        side = int(held[rng.integers(len(held))])
        if kinds[0 if side > 0 else 1] == "before" and rng.uniform() < 0.7:  # a phone, a cup, flowers
            size = (float(rng.uniform(0.06, 0.12)), float(rng.uniform(0.1, 0.18)))
            hang = -0.03
        else:  # a handbag
            size, hang = (float(rng.uniform(0.16, 0.3)), float(rng.uniform(0.13, 0.22))), 0.10
        things.append(Thing("hand", side, 0.0, size, hang, float(rng.choice([2, 4, 8])), _tone(rng)))
    return tuple(things)


def _light(rng: np.random.Generator) -> np.ndarray:
    """Darker or lighter by a few percent, warmer or colder; never so light that white is lost."""
    return np.minimum(np.exp(rng.normal(-0.03, 0.04) + rng.normal(0, 0.02, 3)), 1.02)


def random_person_varied(rng: np.random.Generator) -> SyntheticPerson:
    """A person chosen by `rng`."""
    p = random_person(rng)
    name, pose = random_pose_varied(rng)
    lower = rng.uniform()
    skirt, leg_end = (_skirt(rng), 9.0) if lower < 0.2 else (None, -1.0)
    if 0.2 <= lower < 0.34:
        leg_end = float(rng.uniform(-0.16, -0.01))
    trousers = p.trousers if rng.uniform() < 0.5 else _tone(rng)
    return replace(
        p, pose_name=name, pose=pose, mixture=_mixture(rng, p.mixture), skirt=skirt, leg_end=leg_end,
        hair_length=float(rng.uniform(0.26, 0.62)), trousers=trousers,
        denim=p.denim and trousers == p.trousers, things=_things(rng, name), forward=0.06,
        ground=int(rng.integers(1 << 30)) if rng.uniform() < 1 / 3 else None,
        light=tuple(float(v) for v in _light(rng)),
        x=float(rng.normal(0, 0.025)), y=float(rng.normal(0, 0.015)), scale=float(rng.uniform(0.92, 1.12)),
    )  # fmt: skip
