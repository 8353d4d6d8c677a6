"""The presets by name: "paper" is `cpvton.py`, "lite" is `lite_gmm.py` and `lite_tom.py`. Weights files name one."""

from __future__ import annotations

from vtcli.core.models.common import GMM, TOM
from vtcli.core.models.cpvton import PaperGMM, PaperGMMSettings, PaperTOM, PaperTOMSettings
from vtcli.core.models.lite_gmm import LiteGMM, LiteGMMSettings
from vtcli.core.models.lite_tom import LiteTOM, LiteTOMSettings

GMM_PRESETS: dict[str, PaperGMMSettings | LiteGMMSettings] = {
    "paper": PaperGMMSettings(),
    "lite": LiteGMMSettings(),
}
TOM_PRESETS: dict[str, PaperTOMSettings | LiteTOMSettings] = {
    "paper": PaperTOMSettings(),
    "lite": LiteTOMSettings(),
}


def build_gmm(preset: str, aux: bool) -> GMM:
    """A GMM with fresh weights; `aux`: with the auxiliary decoder."""
    settings = GMM_PRESETS[preset]
    return PaperGMM(settings, aux) if isinstance(settings, PaperGMMSettings) else LiteGMM(settings, aux)


def build_tom(preset: str, aux: bool) -> TOM:
    """A TOM with fresh weights; `aux`: with the auxiliary decoder."""
    settings = TOM_PRESETS[preset]
    return PaperTOM(settings, aux) if isinstance(settings, PaperTOMSettings) else LiteTOM(settings, aux)
