"""One engine behind a queue, and the results of a while. Nothing is written to the disk."""

from __future__ import annotations

import io
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from vtcli import Choice, TryOn, TryOnResult, VtcliError
from vtcli.core.data.images import open_rgb, open_rgba
from vtcli.core.tryon.photos.problems import RefusedPhoto
from vtcli.core.tryon.pipeline import Keep
from vtcli.core.tryon.results import LOW_CONFIDENCE

FORMATS = {"JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"}
"""Pillow's names of what may be uploaded; it knows more, some of which call other programs."""
MOST_PIXELS = 60_000_000
"""Pixels of an upload at most: a phone's largest photo has 50 million."""
HELD_BYTES, HELD_SECONDS = 256 * 2**20, 30 * 60
"""Results are held until they take that much memory or are that old, the oldest going first."""
MOST_WAITING = 64
"""Requests in the queue at most."""

Event = dict[str, Any]
Tell = Callable[[Event], None]


@dataclass(frozen=True)
class Request:
    """A person's photo and garments' shop photos, as files' bytes, and what else `TryOn.run` wants to know."""

    person: bytes
    cloths: Sequence[bytes]
    keep: Keep = "outside"
    force: bool = False
    number: int = 1
    cloth_mask: bytes | None = None
    protect: bytes | None = None
    redraw: bytes | None = None


@dataclass
class Held:
    """A result's files by name, and when it was made."""

    files: dict[str, bytes]
    made: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return sum(map(len, self.files.values()))


class Results:
    """Files of results by a key that nobody can guess, for a while."""

    def __init__(self, most_bytes: int = HELD_BYTES, most_seconds: float = HELD_SECONDS) -> None:
        self.most_bytes, self.most_seconds = most_bytes, most_seconds
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, files: dict[str, bytes]) -> str:
        """Hold files; their key."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._held[key] = Held(files)
            self._tidy()
        return key

    def get(self, key: str, name: str) -> bytes | None:
        """A file, or None where it is no longer held."""
        with self._lock:
            self._tidy()
            held = self._held.get(key)
        return held.files.get(name) if held else None

    def forget(self, keys: Sequence[str]) -> None:
        """Drop results before their time."""
        with self._lock:
            for key in keys:
                self._held.pop(key, None)

    def __len__(self) -> int:
        return len(self._held)

    def _tidy(self) -> None:
        oldest = time.monotonic() - self.most_seconds
        while self._held and next(iter(self._held.values())).made < oldest:
            self._held.popitem(last=False)
        while len(self._held) > 1 and sum(held.size for held in self._held.values()) > self.most_bytes:
            self._held.popitem(last=False)


class Busy(VtcliError):
    """The queue is full."""


class Service:
    """Try-ons one after the other, in the order of their asking; each asker is told how far things are."""

    def __init__(self, engine: TryOn) -> None:
        self.engine = engine
        self.results = Results()
        self._worker = ThreadPoolExecutor(1, "tryon")
        self._waiting: list[Tell] = []
        self._lock = threading.Lock()

    def submit(self, request: Request, tell: Tell) -> Future[None]:
        """Queue a request. `tell` hears of its way, from the worker's thread: events "queued" (how many are `ahead`),
        "working" (`done` of `total` steps, and a `note`), "result", "refused", and "done" at the end."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                raise Busy("too many are waiting; try again in a minute")
            self._waiting.append(tell)
            tell({"event": "queued", "ahead": len(self._waiting) - 1})
        future = self._worker.submit(self._run, request, tell)
        future.add_done_callback(lambda done: self._left(tell) if done.cancelled() else None)
        return future

    def people(self, person: bytes) -> Future[dict[str, Any]]:
        """The boxes of everybody in a photo."""
        return self._worker.submit(self._people, person)

    def close(self) -> None:
        """Stop when the work at hand is done."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _left(self, tell: Tell) -> None:
        with self._lock:
            if tell in self._waiting:
                self._waiting.remove(tell)
            for ahead, other in enumerate(self._waiting, 1):
                other({"event": "queued", "ahead": ahead})

    def _people(self, person: bytes) -> dict[str, Any]:
        photo = checked(person, "the person's photo")
        found = self.engine.people(photo)
        return {"size": photo.size, "people": [{"box": list(one.box)} for one in found]}

    def _run(self, request: Request, tell: Tell) -> None:
        self._left(tell)
        try:
            self._try_on(request, tell)
        except VtcliError as problem:
            tell(_refused(problem, None))
        except MemoryError:
            tell(
                {
                    "event": "refused",
                    "cloth": None,
                    "message": "not enough memory for this picture",
                    "helps": [],
                }
            )
        except Exception as problem:  # a fault of the program must not leave the asker waiting
            tell({"event": "refused", "cloth": None, "message": f"internal error: {problem!r}", "helps": []})
        tell({"event": "done"})

    def _try_on(self, request: Request, tell: Tell) -> None:
        total = 1 + 2 * len(request.cloths)
        tell({"event": "working", "done": 0, "total": total, "note": "looking at the person"})
        protect, redraw = (
            None if mask is None else checked(mask, "the mask") for mask in (request.protect, request.redraw)
        )
        who = self.engine.look(
            checked(request.person, "the person's photo"), protect=protect, redraw=redraw, force=request.force,
            choice=Choice(request.number),
        )  # fmt: skip
        mask = None if request.cloth_mask is None else checked(request.cloth_mask, "the garment's mask")
        for number, cloth in enumerate(request.cloths):
            of = f" {number + 1} of {len(request.cloths)}" if len(request.cloths) > 1 else ""
            tell(
                {
                    "event": "working",
                    "done": 1 + 2 * number,
                    "total": total,
                    "note": f"cutting out garment{of}",
                }
            )
            try:
                picture = checked(cloth, "the garment's photo", alpha=True)
                garment = self.engine.cut_out(picture, mask=mask, force=request.force)
                tell({"event": "working", "done": 2 + 2 * number, "total": total, "note": f"trying on{of}"})
                result = self.engine.dress(who, garment, keep=request.keep)
            except VtcliError as problem:
                tell(_refused(problem, number))
                continue
            tell(self._result(number, result, request.keep))

    def _result(self, number: int, result: TryOnResult, keep: Keep) -> Event:
        before = result.person.photo if keep == "outside" else result.person.view
        key = self.results.add(
            {
                "image.png": _encoded(result.image, "PNG", compress_level=3),
                "before.jpg": _encoded(Image.fromarray(np.ascontiguousarray(before)), "JPEG", quality=92),
                "panel.jpg": _encoded(result.panel(), "JPEG", quality=88),
            }
        )
        confidence = result.confidence
        warning = ""
        if confidence < LOW_CONFIDENCE:
            warning = "The networks were unsure about this picture. The panel shows what they recognised."
        return {
            "event": "result", "cloth": number, "id": key, "size": list(result.image.size),
            "confidence": round(confidence, 3), "warning": warning,
        }  # fmt: skip


def checked(data: bytes, name: str, alpha: bool = False) -> Image.Image:
    """An upload as a picture, RGB (RGBA with `alpha`), upright; VtcliError names what it should have been."""
    stream = io.BytesIO(data)
    stream.name = name
    try:
        with Image.open(stream) as image:
            kind, pixels = image.format, image.width * image.height
    except Image.DecompressionBombError:
        kind, pixels = "PNG", MOST_PIXELS + 1
    except Exception:  # whatever a decoder stumbles on: `open_rgb` finds the words
        kind, pixels = "PNG", 0
    if kind not in FORMATS:
        raise VtcliError(f"{name}: {kind} is not taken here; save it as JPEG or PNG")
    if pixels > MOST_PIXELS:
        raise VtcliError(
            f"{name}: too many pixels (the limit is {MOST_PIXELS // 1_000_000} million); scale it down"
        )
    stream.seek(0)
    return open_rgba(stream) if alpha else open_rgb(stream)


def _refused(problem: VtcliError, number: int | None) -> Event:
    helps = list(problem.helps) if isinstance(problem, RefusedPhoto) else []
    picture = problem.picture if isinstance(problem, RefusedPhoto) else ""
    return {"event": "refused", "cloth": number, "picture": picture, "message": str(problem), "helps": helps}


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()
