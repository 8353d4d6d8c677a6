"""What of an earlier run can be kept: the shards that lie on disk whole, and whose inputs are still the same."""

from __future__ import annotations

import numpy as np

from vtcli.core.data.prepare.annotator import Annotator
from vtcli.core.data.prepare.journal import Journal, ShardRecord
from vtcli.core.data.prepare.plan import SplitPlan
from vtcli.core.data.store import FIELDS, field_dtype, field_shape, shard_file


def recorded(plan: SplitPlan) -> list[ShardRecord]:
    """The records in the folder's journal, if it was made with the same options."""
    journal = Journal.load(plan.folder)
    return journal.records if journal is not None and journal.header == plan.header else []


def usable_records(plan: SplitPlan, annotator: Annotator) -> list[ShardRecord]:
    """The journal's records up to the first whose inputs have changed or whose shard is not there."""
    records: list[ShardRecord] = []
    for number, record in enumerate(recorded(plan)):
        if not _still_holds(plan, annotator, number, record):
            break
        records.append(record)
    return records


def _still_holds(plan: SplitPlan, annotator: Annotator, number: int, record: ShardRecord) -> bool:
    if record.upto >= len(plan.chain) or record.chain != plan.chain[record.upto]:
        return False
    if record.last != (record.upto == len(plan.files.pairs)):
        return False
    if record.parser and record.parser != annotator.sha256:
        return False
    count = len(record.entries)
    if not count:
        return record.last
    return all(_is_whole(plan, field, number, count) for field in FIELDS)


def _is_whole(plan: SplitPlan, field: str, number: int, count: int) -> bool:
    try:
        path = shard_file(plan.folder, field, number)
        array: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    except Exception:  # a header that lies makes NumPy stumble in many ways
        return False
    expected = (count, *field_shape(field, plan.options.size))
    return array.shape == expected and array.dtype == field_dtype(field)
