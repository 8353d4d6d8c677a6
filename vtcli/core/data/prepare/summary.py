"""What has become of a split: its manifest, `skipped.csv`, and the counts for the report."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from pathlib import Path

from vtcli.core.data.layouts import Skip, relative_name
from vtcli.core.data.prepare.events import SplitDone
from vtcli.core.data.prepare.journal import ShardRecord
from vtcli.core.data.prepare.pair_reader import PARSER_FIELDS
from vtcli.core.data.prepare.plan import SplitPlan
from vtcli.core.data.store import FIELDS, Entry, Manifest, write_manifest
from vtcli.core.garments.masks import VERSION as MASKS_VERSION
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import read_json, write_atomically


def finish(
    plan: SplitPlan, records: list[ShardRecord], train_photos: set[str] | None, unchanged: bool
) -> SplitDone:
    """Write manifest and `skipped.csv`, if they are not there as they should be.

    `train_photos` are the hashes of the training split's photos, None where there is no such split; `unchanged`:
    no shard had to be written.
    """
    entries = _entries(records, train_photos or ())
    unpaired, dangling = _unpaired(plan, entries)
    skipped = plan.files.skipped + [skip for record in records for skip in record.skipped] + dangling
    _write_skipped(plan.folder, skipped)
    if entries:
        manifest = Manifest(
            plan.split, plan.options.size, entries, unpaired, plan.layout.kind,
            _derived_by(records), plan.shard_size,
        )  # fmt: skip
        _remove_surplus(plan.folder, sum(bool(record.entries) for record in records))
        if not _is_written(manifest, plan.folder / "manifest.json"):
            unchanged = False
            write_manifest(plan.folder, manifest)
    return SplitDone(
        split=plan.split,
        folder=plan.folder,
        listed=plan.files.listed,
        written=len(entries),
        different=len({entry.hash for entry in entries}),
        duplicates=sum(record.duplicates for record in records),
        seen=None if train_photos is None else sum(entry.seen for entry in entries),
        unseen=len({entry.hash for entry in entries if not entry.seen}),
        skipped=skipped,
        derived={f: n for f in FIELDS if (n := sum(f in entry.derived for entry in entries))},
        unchanged=unchanged,
        unpaired=len(unpaired),
    )


def _entries(records: list[ShardRecord], train_photos: Collection[str]) -> list[Entry]:
    return [
        Entry(entry.name, entry.cloth, entry.hash, photo in train_photos, entry.derived)
        for record in records
        for entry, photo in zip(record.entries, record.photos, strict=True)
    ]


def _derived_by(records: list[ShardRecord]) -> dict[str, str]:
    """Which field was made by what."""
    fields = {field for record in records for entry in record.entries for field in entry.derived}
    parsers = {record.parser for record in records if record.parser}
    by = {field: f"parser sha256:{sha256}" for sha256 in parsers for field in fields & PARSER_FIELDS}
    masks = ("garment_mask", "front_mask", *(fields & {"cloth_mask"}))
    by |= dict.fromkeys(masks, f"vtcli's garment masks, version {MASKS_VERSION}")
    return dict(sorted(by.items()))


def _unpaired(plan: SplitPlan, entries: list[Entry]) -> tuple[list[tuple[str, str]], list[Skip]]:
    """The split's own list as far as the store can serve it, and what it cannot."""
    persons, cloths = {entry.name for entry in entries}, {entry.cloth for entry in entries}
    served, dangling = [], []
    for person, cloth in plan.files.unpaired:
        if person in persons and cloth in cloths:
            served.append((person, cloth))
        elif person in persons:  # persons that are missing have been reported already
            file = relative_name(plan.layout.root, plan.files.cloths / cloth)
            dangling.append(Skip(file, f"listed with {person}, but no pair of this split has this garment"))
    return served, dangling


def _is_written(manifest: Manifest, path: Path) -> bool:
    try:
        return path.is_file() and Manifest.from_json(read_json(path), path) == manifest
    except VtcliError:
        return False


def _remove_surplus(folder: Path, shards: int) -> None:
    """Remove shards of a longer store that was here before."""
    for field in FIELDS:
        for path in folder.glob(f"{field}-[0-9]*.npy"):
            number = path.stem.removeprefix(f"{field}-")
            if number.isdigit() and int(number) >= shards:
                path.unlink(missing_ok=True)


def _write_skipped(folder: Path, skipped: list[Skip]) -> None:
    path = folder / "skipped.csv"
    if not skipped:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "reason"))
    writer.writerows((skip.file, skip.reason) for skip in skipped)
    data = text.getvalue().encode()
    if not path.is_file() or path.read_bytes() != data:
        write_atomically(path, lambda stream: stream.write(data))
