"""vtcli: image-based virtual try-on, two photos in and one picture out.

>>> from vtcli import TryOn
>>> result = TryOn.load(device="cpu")(person, cloth)  # Pillow images in, Pillow image out
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["TryOn", "__version__"]

if TYPE_CHECKING:
    from vtcli.core.tryon.pipeline import TryOn


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, and `vtcli --help` must not wait for it.
    if name == "TryOn":
        from vtcli.core.tryon.pipeline import TryOn

        return TryOn
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
