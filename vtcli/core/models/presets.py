"""The presets by name: "paper" and "paper-small" are `cpvton.py`, "lite" is `lite_gmm.py` and `lite_tom.py`. Weights
files name one. A preset is its network's sizes, which build it."""

from __future__ import annotations

from vtcli.core.models.common import GMM, TOM
from vtcli.core.models.cpvton import PaperGMMSettings, PaperTOMSettings
from vtcli.core.models.lite_gmm import LiteGMMSettings
from vtcli.core.models.lite_tom import LiteTOMSettings

# "paper-small" is for stores of 128×96, where two CPU cores train it in minutes: a halving less, and about a quarter of
# the channels.
GMM_PRESETS: dict[str, PaperGMMSettings | LiteGMMSettings] = {
    "paper": PaperGMMSettings(),
    "paper-small": PaperGMMSettings((128, 96), (24, 48, 96), (128, 128, 64, 64), (32, 16)),
    "lite": LiteGMMSettings(),
}
TOM_PRESETS: dict[str, PaperTOMSettings | LiteTOMSettings] = {
    "paper": PaperTOMSettings(),
    "paper-small": PaperTOMSettings((16, 32, 64, 128, 128), (8, 16, 32, 64)),
    "lite": LiteTOMSettings(),
}


def build_gmm(preset: str, aux: bool) -> GMM:
    """A GMM with fresh weights; `aux`: with the auxiliary decoder."""
    return GMM_PRESETS[preset].build(aux)


def build_tom(preset: str, aux: bool) -> TOM:
    """A TOM with fresh weights; `aux`: with the auxiliary decoder."""
    return TOM_PRESETS[preset].build(aux)
