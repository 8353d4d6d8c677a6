"""Which pairs of a test split choose between trainings, and which only judge what was chosen.

Whatever looks at a figure and then trains again has trained on it a little: half of the pairs are for that, and the
other half is for the figures that are published. Which is which follows from the pairs' content: their hashes, in order,
first half and second half. So it does not depend on names or on the order of a list of pairs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from vtcli.core.data.store import FIELDS, VERSION, PreparedStore, write_manifest, write_shard
from vtcli.core.system.errors import VtcliError

HALVES = ("choosing", "final")
"""`choosing`: `vtcli train` validates on it, and so does tuning. `final`: for published figures alone."""


def half(store: PreparedStore, name: str) -> np.ndarray:
    """Rows of `store`, in its order, that belong to the half called `name`. Photos that training has seen are in
    neither; of an odd number the first half has one more."""
    entries = store.manifest.entries
    unseen = [row for row, entry in enumerate(entries) if not entry.seen]
    ordered = sorted(unseen, key=lambda row: (entries[row].hash, entries[row].name))
    middle = (len(ordered) + 1) // 2
    chosen = ordered[:middle] if name == HALVES[0] else ordered[middle:]
    return np.array(sorted(chosen), dtype=np.int64)


def write_half(store: PreparedStore, name: str, folder: Path) -> PreparedStore:
    """The half as a prepared store of its own in `folder`, whose unpaired list gives each person the next one's garment.
    One that is there already is kept."""
    rows = half(store, name)
    if not len(rows):
        raise VtcliError(f"{store.root}: too few pairs that training has not seen for two halves")
    if not (folder / "manifest.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        size = store.shard_size
        for number, start in enumerate(range(0, len(rows), size)):
            write_shard(folder, number, {f: store.read(f, rows[start : start + size]) for f in FIELDS})
        entries = [store.manifest.entries[row] for row in rows]
        others = entries[1:] + entries[:1]
        unpaired = [(a.name, b.cloth) for a, b in zip(entries, others, strict=True)]
        given = replace(store.manifest, entries=entries, unpaired=unpaired, version=VERSION)
        write_manifest(folder, given)
    return PreparedStore.open(folder)
