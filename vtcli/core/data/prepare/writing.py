"""Reads the pairs that the store does not hold yet, and writes their shards.

One process reads and writes shard by shard. Under torchrun the inputs are cut into parts of a shard's length that are
dealt out to the ranks; from the parts the ranks then write, as one process would have, the same shards and the same
journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vtcli.core.data.layouts import Skip
from vtcli.core.data.prepare.annotator import Annotator
from vtcli.core.data.prepare.events import Advanced, Doubt, Event
from vtcli.core.data.prepare.journal import Journal, ShardRecord
from vtcli.core.data.prepare.pair_reader import Pair
from vtcli.core.data.prepare.parts import Part, Parts
from vtcli.core.data.prepare.plan import SplitPlan
from vtcli.core.data.prepare.shards import Shard, sort_into_shards
from vtcli.core.data.store import FIELDS, write_shard
from vtcli.core.system import distributed
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import sweep
from vtcli.core.system.workers import ordered_map


def write_shards(
    plan: SplitPlan, journal: Journal, annotator: Annotator, doubted: Callable[[], Sequence[Doubt]]
) -> Iterator[Event]:
    """Write the shards that `journal` lacks, and its records of them. VtcliError when they cannot be written.

    What is `doubted` of the inputs is asked for, and reported, when the first shard is to be written: before that
    nothing is touched.
    """
    distributed.barrier()  # every rank has seen what was there
    start = journal.records[-1].upto if journal.records else 0
    parts = Parts(plan.folder, plan.header, plan.chain, start, plan.shard_size)
    if plan.options.force and distributed.is_first():
        parts.remove()
    if distributed.gather(parts.begun)[0] or distributed.world() > 1:
        yield from doubted()
        if distributed.is_first():
            _open_for_writing(plan, journal)
        yield from _write_parts(plan, parts, annotator)
        yield from _join_parts(plan, parts, journal)
    else:
        yield from _write_alone(plan, journal, annotator, doubted)


def _open_for_writing(plan: SplitPlan, journal: Journal) -> None:
    # From here on the folder is no whole store: first of all it must stop saying that it is.
    try:
        (plan.folder / "manifest.json").unlink(missing_ok=True)
    except OSError as problem:
        raise VtcliError(f"{plan.folder}: cannot be written ({problem.strerror or problem})") from problem
    sweep(plan.folder)
    journal.restart()


def _write_alone(
    plan: SplitPlan, journal: Journal, annotator: Annotator, doubted: Callable[[], Sequence[Doubt]]
) -> Iterator[Event]:
    start = journal.records[-1].upto if journal.records else 0
    opened = False
    results = ordered_map(plan.reader, plan.files.pairs[start:], plan.jobs, plan.chunk)
    for item in sort_into_shards(plan, journal.records, results):
        if not isinstance(item, Shard):
            yield item
            continue
        if not opened:
            yield from doubted()
            _open_for_writing(plan, journal)
            opened = True
        if item.items:
            item.record.parser = annotator.fill(item.items)
            arrays = {field: np.stack([pair.arrays[field] for pair in item.items]) for field in FIELDS}
            write_shard(plan.folder, item.number, arrays)
        journal.add(item.record)


def _write_parts(plan: SplitPlan, parts: Parts, annotator: Annotator) -> Iterator[Event]:
    """Read this rank's share of the parts that are not there yet."""
    left = distributed.gather(parts.missing() if distributed.is_first() else [])[0]
    mine: list[int] = left[distributed.rank() :: distributed.world()]
    pairs = [pair for start in mine for pair in plan.files.pairs[parts.range_of(start)]]
    results = ordered_map(plan.reader, pairs, plan.jobs, plan.chunk)
    done = 0
    for start in mine:
        found: list[Pair | Skip] = []
        for _ in plan.files.pairs[parts.range_of(start)]:
            found.append(next(results))
            done += 1
            yield Advanced(plan.split, "prepare", done, len(pairs))
        parser = annotator.fill([pair for pair in found if isinstance(pair, Pair)])
        parts.write(start, found, parser)
    distributed.barrier()


def _join_parts(plan: SplitPlan, parts: Parts, journal: Journal) -> Iterator[Event]:
    """Write this rank's share of the shards from the parts; rank 0 then writes the journal."""
    read: dict[int, Part] = {}
    records: list[ShardRecord] = []
    for item in sort_into_shards(plan, journal.records, parts.rows(read)):
        if not isinstance(item, Shard):
            continue
        if item.items:
            parsers = (read[row.part].parser for row in item.items)
            item.record.parser = next(filter(None, parsers), "")
            if item.number % distributed.world() == distributed.rank():
                write_shard(plan.folder, item.number, parts.arrays(item.items))
        records.append(item.record)
    yield Advanced(plan.split, "prepare", len(plan.files.pairs), len(plan.files.pairs))
    distributed.barrier()
    for record in records:
        journal.add(record, write=distributed.is_first())
