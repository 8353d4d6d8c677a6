"""Which pairs go into which shard: in their order, without duplicates, as many as a shard takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from vtcli.core.data.layouts import Skip
from vtcli.core.data.prepare.events import Advanced
from vtcli.core.data.prepare.journal import ShardRecord
from vtcli.core.data.prepare.pair_reader import Pair
from vtcli.core.data.prepare.parts import Row
from vtcli.core.data.prepare.plan import SplitPlan
from vtcli.core.data.store import Entry

Item = TypeVar("Item", Pair, Row)


@dataclass
class Shard(Generic[Item]):
    """The pairs that go into shard `number`, and its record."""

    number: int
    record: ShardRecord
    items: list[Item]


def sort_into_shards(
    plan: SplitPlan, records: Sequence[ShardRecord], results: Iterable[Item | Skip]
) -> Iterator[Advanced | Shard[Item]]:
    """Sort `results`, what became of the pairs that the shards in `records` do not hold yet, into further shards.

    A shard comes when it is full, the last one when the inputs end, though it may be empty. Duplicates go by content.
    """
    start = records[-1].upto if records else 0
    number = len(records)
    known = {entry.hash for record in records for entry in record.entries}
    skipped, duplicates = sum(len(r.skipped) for r in records), sum(r.duplicates for r in records)
    total = len(plan.files.pairs)
    items: list[Item] = []
    record = ShardRecord(start, plan.chain[start])
    for done, result in enumerate(results, start=start + 1):
        if isinstance(result, Skip):
            record.skipped.append(result)
            skipped += 1
        elif plan.drop_duplicates and result.pair_hash in known:
            record.duplicates += 1
            duplicates += 1
        else:
            known.add(result.pair_hash)
            items.append(result)
        yield Advanced(plan.split, "prepare", done, total, skipped, duplicates)
        if len(items) == plan.shard_size or done == total:
            yield _shard(number, record, items, plan, done)
            number += 1
            items, record = [], ShardRecord(done, plan.chain[done])
    if start == total:  # no pairs at all
        yield _shard(number, record, items, plan, total)


def _shard(number: int, record: ShardRecord, items: list[Item], plan: SplitPlan, upto: int) -> Shard[Item]:
    record.upto, record.chain, record.last = upto, plan.chain[upto], upto == len(plan.files.pairs)
    record.entries = [Entry(i.name, i.cloth, i.pair_hash, False, i.derived) for i in items]
    record.photos = [i.photo_hash for i in items]
    return Shard(number, record, items)
