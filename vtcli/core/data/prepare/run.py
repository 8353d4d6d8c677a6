"""`prepare`: the splits of a data folder, one after the other.

One pass over the inputs, shard by shard, with a journal: stopped at any moment, a later call goes on after the last
whole shard; where nothing has changed it does nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from vtcli.core.data.layouts import Layout, SplitName, find_layout
from vtcli.core.data.prepare.annotator import Annotator, LoadAnnotator
from vtcli.core.data.prepare.compare import doubts
from vtcli.core.data.prepare.events import Advanced, Event, LayoutFound, SplitStarted
from vtcli.core.data.prepare.journal import Journal, ShardRecord
from vtcli.core.data.prepare.parts import Parts
from vtcli.core.data.prepare.plan import PrepareOptions, SplitPlan
from vtcli.core.data.prepare.resume import recorded, usable_records
from vtcli.core.data.prepare.summary import finish
from vtcli.core.data.prepare.writing import write_shards
from vtcli.core.system import distributed
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.locks import hold
from vtcli.core.system.workers import ordered_map


def prepare(
    data_dir: Path, out: Path, options: PrepareOptions, load_annotator: LoadAnnotator | None = None
) -> Iterator[Event]:
    """Prepare the splits of `data_dir` into `out/train` and `out/test`, reporting what happens on the way.

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
    wanted = [split for split in layout.splits if options.split in (None, split)]
    labels = options.labels or layout.labels
    counts: dict[str, int] = {split: layout.splits[split].listed for split in wanted}
    parsed = any(pair.parse_file for split in wanted for pair in layout.splits[split].pairs)
    yield LayoutFound(layout.title, labels if parsed else None, counts, layout.unused)
    with hold(out, "vtcli prepare") if distributed.is_first() else nullcontext():
        yield from _prepare_splits(layout, wanted, out, options, Annotator(load_annotator))
    distributed.barrier()


def _prepare_splits(
    layout: Layout, wanted: list[SplitName], out: Path, options: PrepareOptions, annotator: Annotator
) -> Iterator[Event]:
    records: dict[SplitName, list[ShardRecord]] = {}
    for split in wanted:
        plan = SplitPlan(layout, layout.splits[split], out, options)
        journal = Journal(plan.folder, plan.header, _kept(plan, annotator))
        unchanged = journal.complete
        pairs_read = journal.records[-1].upto if journal.records else 0
        kept = sum(len(record.entries) for record in journal.records)
        yield SplitStarted(split, len(plan.files.pairs), pairs_read, kept)
        if not unchanged:
            # The parser takes seconds to load: it looks at the sample while the pairs are read.
            with ThreadPoolExecutor(1) as beside:
                doubted = beside.submit(doubts, plan, annotator)
                yield from write_shards(plan, journal, annotator, doubted.result)
        records[split] = journal.records
        train_photos: set[str] | None = None
        if split == "test" and "train" in layout.splits:
            train = SplitPlan(layout, layout.splits["train"], out, options)
            train_photos = yield from _photo_hashes(train, records.get("train", []))
        if distributed.is_first():
            report = finish(plan, journal.records, train_photos, unchanged)
            Parts(plan.folder, plan.header, plan.chain, 0, plan.shard_size).remove()
            yield report


def _kept(plan: SplitPlan, annotator: Annotator) -> list[ShardRecord]:
    """The records of shards that an earlier run has left; VtcliError where it has left another store."""
    if plan.options.force:
        return []
    records = usable_records(plan, annotator)
    if not records and (plan.folder / "manifest.json").is_file():
        raise VtcliError(
            f"{plan.folder}: holds a store of other data, or made with other options or by an older vtcli; "
            "--force rewrites it, another --out keeps it"
        )
    return records


def _photo_hashes(plan: SplitPlan, records: list[ShardRecord]) -> Generator[Event, None, set[str]]:
    """Hashes of the photos that the split's store holds, or would hold; a generator's return value.

    `records` are those of this run, empty where the split is not prepared by it.
    """
    records = records or recorded(plan)
    if records and records[-1].last and records[-1].chain == plan.chain[-1]:
        return {photo for record in records for photo in record.photos}
    hashes: set[str] = set()
    mine = plan.files.pairs[distributed.rank() :: distributed.world()]
    found = ordered_map(plan.reader.photo_hash, mine, plan.jobs, plan.chunk)
    for done, photo in enumerate(found, start=1):
        hashes.add(photo)
        yield Advanced(plan.split, "compare", done, len(mine))
    return set().union(*distributed.gather(sorted(hashes))) - {""}
