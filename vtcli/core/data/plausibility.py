"""Given parse maps and joints compared with what the parser sees: is it the same person, in the same labels?

A given annotation wins over the parser's, so one of another label set, another photo or another order of joints would
be believed; here it is told. The parser errs, too: only what no error of it explains counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.data.labels import LABEL_SETS, TO_LIP, LabelSet

LEAST_AGREEMENT = 0.7
"""Share of the person's pixels on which two parse maps of one photo agree at least, in regions: of 200 of VITON's
validation photos two have less, the median 0.95; of another person's maps all have less, of mirrored ones 90 %; ATR's labels read as
LIP's have 0.30 in the median."""
BETTER, SURE_AGREEMENT = 0.15, 0.86
"""By how much another reading must agree better to be named, and how much it must agree at least."""
LEAST_HEAD, LEAST_SEEN = 0.5, 0.005
"""Share of the head that the parser sees which is a head in the given map at least, 0.89 and more in 128 of VITON's test
photos; and the share of the picture from which a head counts."""
EXCHANGED, SIDED = 0.8, 0.002
"""Share of arms and legs that are on the other side in the given map from which its sides are exchanged; and the share of the
picture that both maps must show of either side. Of 250 of VITON's test photos none has more than 0.71, and with the sides
exchanged 83 % have more than 0.8."""
FARTHEST = 0.15
"""Median distance of given joints from the parser's, in lengths of the torso; of 125 of VITON's test photos the median has 0.013,
the highest 0.041."""
NEAREST = 0.08
"""The same, within which another reading of the joints is named: it must be as near as joints of real photos are."""
JOINTS_COMPARED = 5
"""The least number of joints that must be known on both sides."""

_REGIONS = np.zeros(L.LABELS, np.uint8)
"""Labels → regions: background, head, top, lower body, arms, legs. Finer labels are a matter of taste."""
for _region, _labels in enumerate(
    (
        (*L.HEAD_LABELS, L.SCARF),
        (*L.TOP_LABELS, L.JUMPSUITS),
        (L.PANTS, L.SKIRT),
        (*L.ARM_LABELS, L.GLOVE),
        (L.LEFT_LEG, L.RIGHT_LEG, L.LEFT_SHOE, L.RIGHT_SHOE, L.SOCKS),
    ),
    start=1,
):
    _REGIONS[list(_labels)] = _region


@dataclass(frozen=True)
class ParseProblem:
    """What is wrong with a given parse map. `labels`: the label set in which it would fit the photo, where there is one."""

    words: str
    labels: LabelSet | None = None


def agreement(given: np.ndarray, seen: np.ndarray) -> float:
    """The share of pixels in which two label maps (H, W) of LIP show the same region of the body, of those where either
    shows a person. 1.0 where neither does."""
    a, b = _REGIONS[given], _REGIONS[seen]
    person = (a > 0) | (b > 0)
    return float((a == b)[person].mean()) if person.any() else 1.0


def parse_problem(given: np.ndarray, seen: np.ndarray, labels: LabelSet = "lip") -> ParseProblem | None:
    """What is wrong with the parse map `given` (H, W), LIP labels, of a photo in which the parser sees `seen` (H, W); None
    where nothing is. `labels`: the label set that it was read as."""
    own = agreement(given, seen)
    if labels == "lip":
        others = {
            name: agreement(table[given], seen)
            for name, table in TO_LIP.items()
            if given.max(initial=0) < len(table)
        }
        name = max(others, key=lambda one: others[one])
        if others[name] > max(own + BETTER, SURE_AGREEMENT):
            return ParseProblem(f"does not look like LIP labels, but like {name.upper()}'s", name)
        skin = given == L.JUMPSUITS
        if skin.any() and skin.mean() < 0.1 and np.isin(seen[skin], _NO_GARMENT).mean() > 0.6:
            return ParseProblem("has label 10 on skin, as in CIHP, and not on a jumpsuit, as in LIP", "cihp")
    known = ", ".join(name.upper() for name in LABEL_SETS)
    if own < LEAST_AGREEMENT:
        return ParseProblem(
            f"is not one of this photo, or in other labels: it agrees with what vtcli sees on {own:.0%} of the person (at "
            f"least {LEAST_AGREEMENT:.0%} is needed); vtcli reads the label sets {known}"
        )
    head = np.isin(seen, L.HEAD_LABELS)
    found = float(np.isin(given[head], L.HEAD_LABELS).mean()) if head.mean() > LEAST_SEEN else 1.0
    if found < LEAST_HEAD:
        return ParseProblem(
            f"is in other labels: it shows a head on {found:.0%} of the one that vtcli sees; vtcli reads the label sets {known}"
        )
    if exchanged(given, seen) > EXCHANGED:
        return ParseProblem("has left and right exchanged: the left arm is the person's own left one")
    return None


def exchanged(given: np.ndarray, seen: np.ndarray) -> float:
    """Of the arms, legs and shoes that two label maps (H, W) both show at a place, the share that is of the other side in
    `given`: that of the left ones or that of the right ones, whichever is lower. 0.0 where too little of a side is seen:
    whose hand it is in crossed arms, the parser may confuse."""
    other = L.FLIP_LABELS[given]
    sided = (other != given) & ((given == seen) | (other == seen))
    shares = []
    for side in (_LEFT, _RIGHT):
        here = sided & np.isin(seen, side)
        shares.append(float((other == seen)[here].mean()) if here.mean() > SIDED else 0.0)
    return min(shares)


_LEFT = (L.LEFT_ARM, L.LEFT_LEG, L.LEFT_SHOE)
_RIGHT = (L.RIGHT_ARM, L.RIGHT_LEG, L.RIGHT_SHOE)
_NO_GARMENT = (L.BACKGROUND, L.FACE, L.HAIR, *L.ARM_LABELS, L.SCARF)


def joints_problem(given: np.ndarray, seen: np.ndarray, width: int) -> str | None:
    """What is wrong with the joints `given` (18, 3) of a photo `width` pixels wide, in which the parser sees `seen`
    (18, 3); None where nothing is, or where too few are known to tell."""
    trunk = [L.NECK, L.R_SHOULDER, L.L_SHOULDER]
    if given[:, 2].any() and not given[trunk, 2].any() and (seen[trunk, 2] > 0).all():
        return "joints have neither neck nor shoulders, which vtcli sees"
    own = _distance(given, seen)
    if own is None or own <= FARTHEST:
        return None
    mirrored = given.copy()
    mirrored[:, 0] = np.where(given[:, 2] > 0, width - 1 - given[:, 0], 0)
    others = {
        "have x and y exchanged": given[:, [1, 0, 2]],
        "have left and right exchanged": given[L.FLIP_JOINTS],
        "are of the mirrored photo": mirrored[L.FLIP_JOINTS],
        "have x counted from the photo's right edge": mirrored,
    }
    for words, other in others.items():
        distance = _distance(other, seen)
        if distance is not None and distance <= min(NEAREST, 0.6 * own):
            return f"joints {words}"
    for factor in (2.0, 0.5, 4.0, 0.25):
        distance = _distance(given * np.array([factor, factor, 1]), seen)
        if distance is not None and distance <= min(NEAREST, 0.6 * own):
            return f"joints are of a picture {1 / factor:g} times as large"
    return "joints do not lie where vtcli sees the person's"


def _distance(given: np.ndarray, seen: np.ndarray) -> float | None:
    """Median distance of the joints that both have, in lengths of the torso (1.5 widths of the shoulders where no hips are
    seen); None where there are too few."""
    both = (given[:, 2] > 0) & (seen[:, 2] > 0)
    shoulders = seen[[L.R_SHOULDER, L.L_SHOULDER]]
    if both.sum() < JOINTS_COMPARED or not (shoulders[:, 2] > 0).all():
        return None
    torso = 1.5 * float(np.hypot(*(shoulders[0] - shoulders[1])[:2]))
    hips = seen[[L.R_HIP, L.L_HIP]]
    if (hips[:, 2] > 0).all():
        torso = max(torso, float(np.hypot(*(hips.mean(0) - shoulders.mean(0))[:2])))
    return float(np.median(np.hypot(*(given - seen)[both, :2].T))) / max(torso, 1.0)
