"""What `tryon` and `warp` share: reading the two photos and their annotations, writing pictures, running splits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vtcli.cli import console
from vtcli.core.errors import UsageProblem

if TYPE_CHECKING:
    from PIL import Image

    from vtcli.core.tryon.split import SplitOptions


def require_photos(person: Path | None, cloth: Path | None, data: Path | None, out: Path | None) -> None:
    """Either two photos or --data, and -o: UsageProblem otherwise."""
    if out is None:
        raise UsageProblem("say where the result goes with -o/--out")
    if data is not None and person is not None:
        raise UsageProblem("give either PERSON and CLOTH, or --data; not both")
    if data is None and (person is None or cloth is None):
        raise UsageProblem("give two photos, PERSON and CLOTH, or a prepared store with --data")


def read_annotations(
    cloth_mask: Path | None, parse: Path | None, pose: Path | None, labels: str = "lip"
) -> dict[str, Any]:
    """Files that win over the project's own annotations, read and checked, as arguments of `TryOn.run`."""
    from vtcli.core.data.annotations import read_mask, read_parse, read_pose

    return {
        "cloth_mask": read_mask(cloth_mask) if cloth_mask else None,
        "parse": read_parse(parse, labels) if parse else None,  # type: ignore[arg-type]
        "keypoints": read_pose(pose) if pose else None,
    }


def check_size(given: Any, photo: Image.Image, parse: Path | None) -> None:
    """A parse map must have the photo's size."""
    if given is not None and given.shape != (photo.height, photo.width):
        raise UsageProblem(
            f"{parse}: {given.shape[1]}×{given.shape[0]}, but the photo is {photo.width}×{photo.height}; "
            "a parse map must have its photo's size"
        )


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a picture in the format of its name (PNG, JPEG, WebP), whole or not at all."""
    from vtcli.core.files import write_atomically

    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise UsageProblem(f"{path}: name a .png, .jpg or .webp file")
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    if kind == "PNG":
        options["compress_level"] = 4
    if kind == "JPEG" and image.mode != "RGB":
        raise UsageProblem(f"{path}: JPEG has no transparency; name a .png or .webp file")
    data = io.BytesIO()
    image.save(data, kind, **options)
    write_atomically(path, lambda stream: stream.write(data.getvalue()))


def check_name(path: Path | None) -> None:
    """Refuse an output name whose format is unknown before the work, not after it."""
    if path is not None and path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UsageProblem(f"{path}: name a .png, .jpg or .webp file")


def over_split(
    data: Path, split: str, out: Path, weights: Path | None, device: str, options: SplitOptions
) -> None:
    """Run a whole split with a progress bar, and say where the results are."""
    from vtcli.core import distributed, runtime
    from vtcli.core.data.store import PreparedStore
    from vtcli.core.tryon.networks import Networks
    from vtcli.core.tryon.split import run_split

    runtime.keep_memory()
    store = PreparedStore.open(data, split)
    chosen = runtime.choose_device(distributed.local_device(device))
    networks = Networks.load(weights, chosen, tom=options.kind == "tryon")
    with distributed.joined(), console.progress(options.kind, None, "pairs") as advance:
        for done, total in run_split(networks, store, out, options):
            advance(done, f"of {total}")
    console.say(f"the pictures are in {out / 'images'}; score them with: vtcli score {out}")
