"""vtcli: image-based virtual try-on, two photos in and one picture out.

    from vtcli import TryOn

    tryon = TryOn.load(device="cpu")
    tryon("person.jpg", "cloth.jpg").save("out.png")  # a Pillow image

What is in `__all__` is public, with the methods and attributes that `docs/api.md` shows; nothing else is promised.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vtcli.core.system.errors import VtcliError

__version__ = "0.1.0"
__all__ = [
    "Choice",
    "NobodyFound",
    "TryOn",
    "TryOnResult",
    "UnfitPhoto",
    "VtcliError",
    "WarpResult",
    "__version__",
]

if TYPE_CHECKING:
    from vtcli.core.tryon.photos.finding import Choice
    from vtcli.core.tryon.photos.problems import NobodyFound, UnfitPhoto
    from vtcli.core.tryon.pipeline import TryOn
    from vtcli.core.tryon.results import TryOnResult, WarpResult

_HOMES = {
    "Choice": "photos.finding", "NobodyFound": "photos.problems", "TryOn": "pipeline", "TryOnResult": "results",
    "UnfitPhoto": "photos.problems", "WarpResult": "results",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, and `vtcli --help` must not wait for it.
    if name in _HOMES:
        return getattr(import_module(f"vtcli.core.tryon.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
