"""Labels and joints: LIP's 20 labels, OpenPose's COCO-18 joints, and how foreign sets map onto them.

LIP: Gong et al., "Look into Person", CVPR 2017. COCO-18 and BODY_25: OpenPose (Cao et al., CVPR 2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")

LIP_NAMES = (
    "background", "hat", "hair", "glove", "sunglasses", "upper-clothes", "dress", "coat", "socks", "pants",
    "jumpsuits", "scarf", "skirt", "face", "left-arm", "right-arm", "left-leg", "right-leg", "left-shoe",
    "right-shoe",
)  # fmt: skip
LABELS = len(LIP_NAMES)
BACKGROUND, HAT, HAIR, GLOVE, SUNGLASSES, UPPER_CLOTHES, DRESS, COAT, SOCKS, PANTS = range(10)
JUMPSUITS, SCARF, SKIRT, FACE, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG, LEFT_SHOE, RIGHT_SHOE = range(10, 20)
IGNORE = 255
"""Parse value of pixels that no loss and no metric counts."""

TORSO_SKIN, THING = 20, 21
"""Labels of vtcli's own parser beside LIP's: the bare skin of neck, chest and midriff, and what is carried (a bag, its strap,
what a hand holds). LIP's maps call both background."""
PARSER_LABELS = 22

TOP_LABELS = (UPPER_CLOTHES, DRESS, COAT)
"""The garment region that a shop photo of a top stands for (CP-VTON)."""
HEAD_LABELS = (HAT, HAIR, SUNGLASSES, FACE)
"""What `keep=head` keeps (CP-VTON)."""
ARM_LABELS = (LEFT_ARM, RIGHT_ARM)
LOWER_LABELS = (PANTS, SKIRT, SOCKS, LEFT_LEG, RIGHT_LEG, LEFT_SHOE, RIGHT_SHOE)
"""Below the waist."""
SKIN_LABELS = (FACE, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG)

LIP_PALETTE = np.array(
    [
        (0, 0, 0), (128, 0, 0), (255, 0, 0), (0, 85, 0), (170, 0, 51), (255, 85, 0), (0, 0, 85),
        (0, 119, 221), (85, 85, 0), (0, 85, 85), (85, 51, 0), (52, 86, 128), (0, 128, 0), (0, 0, 255),
        (51, 170, 221), (0, 255, 255), (85, 255, 170), (170, 255, 85), (255, 255, 0), (255, 170, 0),
    ],
    dtype=np.uint8,
)  # fmt: skip

JOINT_NAMES = (
    "nose", "neck", "right-shoulder", "right-elbow", "right-wrist", "left-shoulder", "left-elbow",
    "left-wrist", "right-hip", "right-knee", "right-ankle", "left-hip", "left-knee", "left-ankle",
    "right-eye", "left-eye", "right-ear", "left-ear",
)  # fmt: skip
JOINTS = len(JOINT_NAMES)
NOSE, NECK, R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST = range(8)
R_HIP, R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE, R_EYE, L_EYE, R_EAR, L_EAR = range(8, 18)


def joints_present(keypoints: Array) -> Array:
    """Which joints of `keypoints` (…, 2 or more: x, y in pixels) are there, (…) bool: x > 1 and y > 1.

    CP-VTON's rule: an estimator that has not found a joint puts it at (0, 0).
    """
    return (keypoints[..., 0] > 1) & (keypoints[..., 1] > 1)


def joints_inside(keypoints: Array, size: tuple[int, int]) -> Array:
    """Which joints are there and inside a picture of `size` (height, width), its outermost pixels left out, (…) bool."""
    return joints_present(keypoints) & (keypoints[..., 0] < size[1] - 1) & (keypoints[..., 1] < size[0] - 1)


BODY25_TO_COCO18 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""BODY_25 has the middle of the hips at 8; the rest follow COCO-18's order."""
COCO17_TO_COCO18 = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""COCO's 17 joints have no neck (-1), and left before right."""


def _exchange(count: int, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    order = np.arange(count)
    for a, b in pairs:
        order[a], order[b] = b, a
    return order


FLIP_PARSER_LABELS = _exchange(
    PARSER_LABELS, ((LEFT_ARM, RIGHT_ARM), (LEFT_LEG, RIGHT_LEG), (LEFT_SHOE, RIGHT_SHOE))
)
"""`FLIP_PARSER_LABELS[parse]` is the parse of the mirrored person (the map must be mirrored as well)."""
FLIP_LABELS = FLIP_PARSER_LABELS[:LABELS]
"""The same of LIP's labels alone."""
FLIP_JOINTS = _exchange(
    JOINTS,
    ((R_SHOULDER, L_SHOULDER), (R_ELBOW, L_ELBOW), (R_WRIST, L_WRIST), (R_HIP, L_HIP), (R_KNEE, L_KNEE),
     (R_ANKLE, L_ANKLE), (R_EYE, L_EYE), (R_EAR, L_EAR)),
)  # fmt: skip
"""`keypoints[FLIP_JOINTS]` are the joints of the mirrored person (x must be mirrored as well)."""

# Accessories (belt, bag) have no LIP label: they count as what they usually lie on or as background.
ATR_TO_LIP = np.array(
    [BACKGROUND, HAT, HAIR, SUNGLASSES, UPPER_CLOTHES, SKIRT, PANTS, DRESS, PANTS, LEFT_SHOE, RIGHT_SHOE,
     FACE, LEFT_LEG, RIGHT_LEG, LEFT_ARM, RIGHT_ARM, BACKGROUND, SCARF],
    dtype=np.uint8,
)  # fmt: skip
# CIHP is LIP but for 10, the skin of the torso and neck, which LIP's maps call background.
CIHP_TO_LIP = np.array([BACKGROUND if i == JUMPSUITS else i for i in range(LABELS)], dtype=np.uint8)
# CP-VTON+ (Minar et al., CVPR workshops 2020) adds 20 to LIP's: the skin of neck and chest.
CPVTON_PLUS_TO_LIP = np.array([*range(LABELS), BACKGROUND], dtype=np.uint8)
# ACGPN (Yang et al., CVPR 2020), as its authors list them; 2 and 3 are not used, 7 is "noise".
ACGPN_TO_LIP = np.array(
    [BACKGROUND, HAIR, BACKGROUND, BACKGROUND, UPPER_CLOTHES, LEFT_SHOE, RIGHT_SHOE, BACKGROUND, PANTS, LEFT_LEG,
     RIGHT_LEG, LEFT_ARM, FACE, RIGHT_ARM],
    dtype=np.uint8,
)  # fmt: skip
# GP-VTON (Xie et al., CVPR 2023), `parse-bytedance`: LIP's with pants for each leg (9, 10), neck (11), then sleeves (21, 22;
# 24, 25 those of label 6) and a bag (23). What 26 to 28 mean is not published; its code lets them be.
GP_VTON_TO_LIP = np.array(
    [BACKGROUND, HAT, HAIR, GLOVE, SUNGLASSES, UPPER_CLOTHES, DRESS, COAT, SOCKS, PANTS, PANTS, BACKGROUND, SCARF, SKIRT,
     FACE, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG, LEFT_SHOE, RIGHT_SHOE, UPPER_CLOTHES, UPPER_CLOTHES, BACKGROUND,
     DRESS, DRESS, BACKGROUND, BACKGROUND, BACKGROUND],
    dtype=np.uint8,
)  # fmt: skip

LabelSet = Literal["lip", "atr", "cihp", "cp-vton+", "acgpn", "gp-vton"]
TO_LIP: dict[LabelSet, np.ndarray] = {
    "lip": np.arange(LABELS, dtype=np.uint8), "atr": ATR_TO_LIP, "cihp": CIHP_TO_LIP,
    "cp-vton+": CPVTON_PLUS_TO_LIP, "acgpn": ACGPN_TO_LIP, "gp-vton": GP_VTON_TO_LIP,
}  # fmt: skip
"""Label set → LIP label of each of its own."""
LABEL_SETS = tuple(TO_LIP)
