"""A data folder → the prepared store: read, check, drop duplicates, derive what is missing, write shards.

One pass over the inputs, shard by shard, with a journal (`vtcli.core.data.journal`): stopped at any moment, a
later call goes on after the last whole shard; where nothing has changed it does nothing.

Under torchrun the inputs are cut into parts of a shard's length (`vtcli.core.data.parts`) that are dealt out to the
ranks; from the parts the ranks then write, as one process would have, the same shards and the same journal.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from vtcli.core.data.annotations import LabelSet
from vtcli.core.data.journal import Journal, ShardRecord, input_chain
from vtcli.core.data.labels import JOINTS, LABELS
from vtcli.core.data.layouts import Layout, Skip, SplitFiles, SplitName, find_layout, relative_name
from vtcli.core.data.pairs import Pair, PairReader
from vtcli.core.data.parts import Part, Parts, Row
from vtcli.core.data.store import (
    FIELDS,
    SHARD_SIZE,
    VERSION,
    Entry,
    Manifest,
    field_dtype,
    field_shape,
    shard_file,
    write_manifest,
    write_shard,
)
from vtcli.core.garments.masks import VERSION as MASKS_VERSION
from vtcli.core.system import distributed
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import read_json, sweep, write_atomically
from vtcli.core.system.locks import hold
from vtcli.core.system.workers import default_jobs, ordered_map

Annotate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(n, H, W, 3) uint8 photos → LIP labels (n, H, W) uint8 and COCO-18 joints (n, 18, 3) float32."""
LoadAnnotator = Callable[[], tuple[Annotate, str]]
"""Loads the parser when it is first needed; returns it and the SHA-256 of its weights."""

_ANNOTATE_BATCH = 32
_CHUNK_BYTES = 8_000_000
_SHARD_PIXELS = SHARD_SIZE * 256 * 192


@dataclass(frozen=True)
class PrepareOptions:
    """How to prepare. `size` is (height, width); `splits` None means all that are there; `labels` None means
    the layout's own; `shard_size` None means 256 pairs, fewer where pictures are large."""

    size: tuple[int, int] = (256, 192)
    split: SplitName | None = None
    jobs: int = 0
    force: bool = False
    keep_duplicates: bool = False
    labels: LabelSet | None = None
    shard_size: int | None = None


@dataclass(frozen=True)
class LayoutFound:
    """The data folder's layout is known; `splits` maps each split to be prepared to its number of pairs."""

    layout: str
    labels: LabelSet
    splits: dict[str, int]


@dataclass(frozen=True)
class SplitStarted:
    """Work on a split begins. Of its `total` pairs `read` need no reading; the store has `kept`."""

    split: str
    total: int
    read: int
    kept: int


@dataclass(frozen=True)
class Advanced:
    """`done` of the split's pairs are read; `task` "compare": only their photos, for comparison."""

    split: str
    task: str
    done: int
    total: int
    skipped: int = 0
    duplicates: int = 0


@dataclass(frozen=True)
class SplitDone:
    """What has become of a split. Counts are of pairs.

    `listed` there were, `written` are in the store, `different` of those differ by content, `duplicates` were
    left out as repetitions, `seen` have a photo that the training split has too (None without one), `unseen`
    different pairs have not; `derived` counts the fields that vtcli made. `unchanged`: it was all there.
    """

    split: str
    folder: Path
    listed: int
    written: int
    different: int
    duplicates: int
    seen: int | None
    unseen: int
    skipped: list[Skip]
    derived: dict[str, int]
    unchanged: bool
    unpaired: int = 0


Event = LayoutFound | SplitStarted | Advanced | SplitDone


def prepare(
    data_dir: Path, out: Path, options: PrepareOptions, load_annotator: LoadAnnotator | None = None
) -> Iterator[Event]:
    """Prepare the splits of `data_dir` into `out/train` and `out/test`, telling what happens as it goes.

    Training keeps the first of pairs that are equal by content (photo and garment, decoded). Test pairs are
    all kept; those whose photo is a training photo as well are marked `seen`, also where only the test split
    is prepared. Pictures of another size are scaled and padded, never stretched. Missing garment masks are
    cut out of the shop photo; missing parse maps and joints come from `load_annotator`'s parser. Files that
    cannot be used are left out and listed in `skipped.csv` of the split's folder.

    VtcliError when the folder has no known layout, a list cannot be read, nothing can be written, the parser
    is needed but not given, `out` holds another folder's store and not `options.force`, or another run is at
    work there. A split of which nothing is left gets no manifest; its `SplitDone` says `written=0`.

    Under torchrun each rank calls this with the same arguments; `SplitDone` comes from rank 0 alone.
    """
    data_dir, out = Path(data_dir), Path(out)
    layout = find_layout(data_dir, options.split)
    wanted = [s for s in layout.splits if options.split in (None, s)]
    labels = options.labels or layout.labels
    yield LayoutFound(layout.title, labels, {s: layout.splits[s].listed for s in wanted})
    with hold(out, "vtcli prepare") if distributed.is_first() else nullcontext():
        yield from _prepare(layout, wanted, out, options, labels, _Annotator(load_annotator))
    distributed.barrier()


def _prepare(
    layout: Layout,
    wanted: list[SplitName],
    out: Path,
    options: PrepareOptions,
    labels: LabelSet,
    annotator: _Annotator,
) -> Iterator[Event]:
    makers: dict[str, _SplitMaker] = {}
    for split in wanted:
        makers[split] = _SplitMaker(layout, layout.splits[split], out, options, labels, annotator)
        yield from makers[split].make_shards()
        seen: set[str] | None = None
        if split == "test" and "train" in layout.splits:
            train = makers.get("train") or _SplitMaker(
                layout, layout.splits["train"], out, options, labels, annotator
            )
            seen = yield from train.photo_hashes()
        if distributed.is_first():
            yield makers[split].finish(seen)


Item = TypeVar("Item", Pair, Row)


@dataclass
class _Shard(Generic[Item]):
    """What goes into a shard, and its record."""

    number: int
    record: ShardRecord
    items: list[Item]


class _Annotator:
    """The parser, loaded when first needed."""

    def __init__(self, load: LoadAnnotator | None) -> None:
        self._load = load
        self._loaded: tuple[Annotate, str] | None = None

    def get(self) -> tuple[Annotate, str]:
        if self._loaded is None:
            if self._load is None:
                raise VtcliError("parse maps or joints are missing, and there is no parser to make them")
            self._loaded = self._load()
        return self._loaded

    def fill(self, pairs: Sequence[Pair]) -> str:
        """Fill in the missing parse maps and joints of `pairs`; returns the weights' hash if used."""
        needy = [p for p in pairs if {"parse", "keypoints"} & set(p.derived)]
        if not needy:
            return ""
        annotate, sha256 = self.get()
        for start in range(0, len(needy), _ANNOTATE_BATCH):
            batch = needy[start : start + _ANNOTATE_BATCH]
            photos = np.stack([p.arrays["image"] for p in batch])
            parses, keypoints = annotate(photos)
            if parses.shape != photos.shape[:3] or keypoints.shape != (len(batch), JOINTS, 3):
                raise ValueError(f"annotator gave {parses.shape} and {keypoints.shape} for {photos.shape}")
            if int(parses.max()) >= LABELS:
                raise ValueError(f"annotator gave label {parses.max()}")
            for pair, parse, joints in zip(batch, parses, keypoints, strict=True):
                if "parse" in pair.derived:
                    pair.arrays["parse"] = parse.astype(np.uint8)
                if "keypoints" in pair.derived:
                    pair.arrays["keypoints"] = joints.astype(np.float32)
        return sha256


class _SplitMaker:
    """Makes one split's folder."""

    def __init__(
        self,
        layout: Layout,
        files: SplitFiles,
        out: Path,
        options: PrepareOptions,
        labels: LabelSet,
        annotator: _Annotator,
    ) -> None:
        self.layout = layout
        self.files = files
        self.split = files.split
        self.folder = out / files.split
        self.options = options
        self.annotator = annotator
        self.jobs = options.jobs if options.jobs > 0 else max(1, default_jobs() // distributed.local_world())
        self.drop_duplicates = self.split == "train" and not options.keep_duplicates
        height, width = options.size
        self.shard_size = options.shard_size or max(1, min(SHARD_SIZE, _SHARD_PIXELS // (height * width)))
        self.reader = PairReader(layout.root, options.size, labels)
        self.chain = input_chain(files.pairs)
        self.header: dict[str, Any] = {
            "split": self.split,
            "layout": layout.kind,
            "size": list(options.size),
            "labels": labels,
            "drop_duplicates": self.drop_duplicates,
            "shard_size": self.shard_size,
            "store": VERSION,
            "garment": MASKS_VERSION,
        }
        self.journal = Journal(self.folder, self.header, [])
        self.unchanged = False

    def make_shards(self) -> Iterator[Event]:
        """Write the shards that are missing."""
        self.journal.records = [] if self.options.force else self._usable_records()
        if not self.journal.records and not self.options.force and (self.folder / "manifest.json").is_file():
            raise VtcliError(
                f"{self.folder}: holds a store of other data, or made with other options or by an older vtcli; "
                "--force rewrites it, another --out keeps it"
            )
        kept = sum(len(r.entries) for r in self.journal.records)
        total = len(self.files.pairs)
        self.unchanged = self.journal.complete
        read = self.journal.records[-1].upto if self.journal.records else 0
        yield SplitStarted(self.split, total, read, kept)
        if self.unchanged:
            return
        distributed.barrier()  # every rank has seen what was there
        if distributed.is_first():
            # From here on the folder is no whole store: first of all it must stop saying that it is.
            try:
                (self.folder / "manifest.json").unlink(missing_ok=True)
            except OSError as problem:
                raise VtcliError(
                    f"{self.folder}: cannot be written ({problem.strerror or problem})"
                ) from problem
            sweep(self.folder)
            self.journal.restart()
        parts = Parts(self.folder, self.header, self.chain, read, self.shard_size)
        if self.options.force and distributed.is_first():
            parts.remove()
        if distributed.gather(parts.begun)[0] or distributed.world() > 1:
            yield from self._write_parts(parts)
            yield from self._join_parts(parts)
        else:
            yield from self._write_rest()

    def photo_hashes(self) -> Generator[Event, None, set[str]]:
        """Hashes of the photos that this split's store holds, or would hold; a generator's return value."""
        records = self.journal.records or self._recorded()
        if records and records[-1].last and records[-1].chain == self.chain[-1]:
            return {photo for record in records for photo in record.photos}
        hashes: set[str] = set()
        mine = self.files.pairs[distributed.rank() :: distributed.world()]
        found = ordered_map(self.reader.photo_hash, mine, self.jobs, self._chunk())
        for done, photo in enumerate(found, start=1):
            hashes.add(photo)
            yield Advanced(self.split, "compare", done, len(mine))
        return set().union(*distributed.gather(sorted(hashes))) - {""}

    def finish(self, train_photos: set[str] | None) -> SplitDone:
        """Write manifest and skipped.csv, if they are not there as they should be, and take stock."""
        records = self.journal.records
        photos = [photo for record in records for photo in record.photos]
        entries = [
            Entry(e.name, e.cloth, e.hash, photo in (train_photos or ()), e.derived)
            for e, photo in zip((e for r in records for e in r.entries), photos, strict=True)
        ]
        unpaired, dangling = self._unpaired(entries)
        skipped = self.files.skipped + [s for r in records for s in r.skipped] + dangling
        _write_skipped(self.folder, skipped)
        if entries:
            manifest = Manifest(
                self.split, self.options.size, entries, unpaired, self.layout.kind,
                self._derived_by(entries), self.shard_size,
            )  # fmt: skip
            self._remove_surplus(sum(bool(r.entries) for r in records))
            if not self._has(manifest):
                self.unchanged = False
                write_manifest(self.folder, manifest)
        Parts(self.folder, self.header, self.chain, 0, self.shard_size).remove()
        return SplitDone(
            split=self.split,
            folder=self.folder,
            listed=self.files.listed,
            written=len(entries),
            different=len({e.hash for e in entries}),
            duplicates=sum(r.duplicates for r in records),
            seen=None if train_photos is None else sum(e.seen for e in entries),
            unseen=len({e.hash for e in entries if not e.seen}),
            skipped=skipped,
            derived={f: n for f in FIELDS if (n := sum(f in e.derived for e in entries))},
            unchanged=self.unchanged,
            unpaired=len(unpaired),
        )

    def _write_rest(self) -> Iterator[Event]:
        start = self.journal.records[-1].upto if self.journal.records else 0
        results = ordered_map(self.reader, self.files.pairs[start:], self.jobs, self._chunk())
        for item in self._shards(results):
            if isinstance(item, _Shard):
                self._write_one(item.number, item.record, item.items)
            else:
                yield item

    def _shards(self, results: Iterable[Item | Skip]) -> Iterator[Advanced | _Shard[Item]]:
        """Sort what has become of the pairs that no shard holds yet into shards. Duplicates go by content."""
        records = self.journal.records
        start = records[-1].upto if records else 0
        number = len(records)
        known = {e.hash for r in records for e in r.entries}
        skips, repeats = sum(len(r.skipped) for r in records), sum(r.duplicates for r in records)
        total = len(self.files.pairs)
        waiting: list[Item] = []
        record = ShardRecord(start, self.chain[start])
        for done, result in enumerate(results, start=start + 1):
            if isinstance(result, Skip):
                record.skipped.append(result)
                skips += 1
            elif self.drop_duplicates and result.pair_hash in known:
                record.duplicates += 1
                repeats += 1
            else:
                known.add(result.pair_hash)
                waiting.append(result)
            yield Advanced(self.split, "prepare", done, total, skips, repeats)
            if len(waiting) == self.shard_size or done == total:
                record.upto, record.chain, record.last = done, self.chain[done], done == total
                yield _Shard(number, record, waiting)
                number += 1
                waiting, record = [], ShardRecord(done, self.chain[done])
        if start == total:  # no pairs at all
            yield _Shard(number, ShardRecord(total, self.chain[total], last=True), [])

    def _write_one(self, number: int, record: ShardRecord, pairs: list[Pair]) -> None:
        if pairs:
            record.parser = self.annotator.fill(pairs)
            _enter(record, pairs)
            write_shard(self.folder, number, {f: np.stack([p.arrays[f] for p in pairs]) for f in FIELDS})
        self.journal.add(record)

    def _write_parts(self, parts: Parts) -> Iterator[Event]:
        """Read this rank's share of the parts that are not there yet."""
        left = distributed.gather(parts.missing() if distributed.is_first() else [])[0]
        mine: list[int] = left[distributed.rank() :: distributed.world()]
        pairs = [pair for start in mine for pair in self.files.pairs[parts.range_of(start)]]
        results = ordered_map(self.reader, pairs, self.jobs, self._chunk())
        done = 0
        for start in mine:
            found: list[Pair | Skip] = []
            for _ in self.files.pairs[parts.range_of(start)]:
                found.append(next(results))
                done += 1
                yield Advanced(self.split, "prepare", done, len(pairs))
            parser = self.annotator.fill([pair for pair in found if isinstance(pair, Pair)])
            parts.write(start, found, parser)
        distributed.barrier()

    def _join_parts(self, parts: Parts) -> Iterator[Event]:
        """Write this rank's share of the shards from the parts; rank 0 then writes the journal."""
        read: dict[int, Part] = {}
        made: list[ShardRecord] = []
        for item in self._shards(parts.rows(read)):
            if not isinstance(item, _Shard):
                continue
            if item.items:
                _enter(item.record, item.items)
                item.record.parser = next(
                    (read[row.part].parser for row in item.items if row.needs_parser), ""
                )
                if item.number % distributed.world() == distributed.rank():
                    write_shard(self.folder, item.number, parts.arrays(item.items))
            made.append(item.record)
        yield Advanced(self.split, "prepare", len(self.files.pairs), len(self.files.pairs))
        distributed.barrier()
        for record in made:
            self.journal.add(record, write=distributed.is_first())

    def _recorded(self) -> list[ShardRecord]:
        """What the folder's journal says, if it was made with the same options."""
        journal = Journal.load(self.folder)
        return journal.records if journal is not None and journal.header == self.header else []

    def _usable_records(self) -> list[ShardRecord]:
        """The journal's records whose inputs are still the same and whose shards are there."""
        records: list[ShardRecord] = []
        for number, record in enumerate(self._recorded()):
            if not self._still_holds(number, record):
                break
            records.append(record)
        return records

    def _still_holds(self, number: int, record: ShardRecord) -> bool:
        if record.upto >= len(self.chain) or record.chain != self.chain[record.upto]:
            return False
        if record.last != (record.upto == len(self.files.pairs)):
            return False
        if record.parser and record.parser != self.annotator.get()[1]:
            return False
        count = len(record.entries)
        if not count:
            return record.last
        return all(self._whole(field, number, count) for field in FIELDS)

    def _whole(self, field: str, number: int, count: int) -> bool:
        try:
            path = shard_file(self.folder, field, number)
            array: np.ndarray = np.lib.format.open_memmap(path, mode="r")
        except Exception:  # a header that lies makes NumPy stumble in many ways
            return False
        expected = (count, *field_shape(field, self.options.size))
        return array.shape == expected and array.dtype == field_dtype(field)

    def _derived_by(self, entries: list[Entry]) -> dict[str, str]:
        fields = {f for e in entries for f in e.derived}
        parsers = {r.parser for r in self.journal.records if r.parser}
        by = {f: f"parser sha256:{sha}" for sha in parsers for f in fields & {"parse", "keypoints"}}
        made = ("garment_mask", "front_mask", *(fields & {"cloth_mask"}))
        by |= dict.fromkeys(made, f"vtcli's garment masks, version {MASKS_VERSION}")
        return dict(sorted(by.items()))

    def _unpaired(self, entries: list[Entry]) -> tuple[list[tuple[str, str]], list[Skip]]:
        """The split's own list as far as the store can serve it, and what it cannot."""
        persons, cloths = {e.name for e in entries}, {e.cloth for e in entries}
        served, dangling = [], []
        for person, cloth in self.files.unpaired:
            if person in persons and cloth in cloths:
                served.append((person, cloth))
            elif person in persons:  # persons that are missing have been reported already
                reason = f"listed with {person}, but no pair of this split has this garment"
                file = relative_name(self.layout.root, self.files.folder / "cloth" / cloth)
                dangling.append(Skip(file, reason))
        return served, dangling

    def _has(self, manifest: Manifest) -> bool:
        path = self.folder / "manifest.json"
        try:
            return path.is_file() and Manifest.from_json(read_json(path), path) == manifest
        except VtcliError:
            return False

    def _remove_surplus(self, shards: int) -> None:
        """Remove shards of a longer store that was here before."""
        for field in FIELDS:
            for path in self.folder.glob(f"{field}-[0-9]*.npy"):
                number = path.stem.removeprefix(f"{field}-")
                if number.isdigit() and int(number) >= shards:
                    path.unlink(missing_ok=True)

    def _chunk(self) -> int:
        height, width = self.options.size
        share = -(-len(self.files.pairs) // (4 * self.jobs))  # small sets too are spread over the processes
        return max(1, min(32, share, _CHUNK_BYTES // (height * width * 8)))


def _enter(record: ShardRecord, items: Sequence[Pair | Row]) -> None:
    record.entries = [Entry(i.name, i.cloth, i.pair_hash, False, i.derived) for i in items]
    record.photos = [i.photo_hash for i in items]


def _write_skipped(folder: Path, skipped: list[Skip]) -> None:
    path = folder / "skipped.csv"
    if not skipped:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "reason"))
    writer.writerows((s.file, s.reason) for s in skipped)
    data = text.getvalue().encode()
    if not path.is_file() or path.read_bytes() != data:
        write_atomically(path, lambda stream: stream.write(data))
