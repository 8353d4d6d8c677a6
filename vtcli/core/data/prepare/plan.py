"""The options of `prepare`, and what is to be made of one split."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vtcli.core.data.labels import LabelSet
from vtcli.core.data.layouts import Layout, SplitFiles, SplitName
from vtcli.core.data.prepare.journal import input_chain
from vtcli.core.data.prepare.pair_reader import PairReader
from vtcli.core.data.store import SHARD_SIZE, VERSION, row_bytes
from vtcli.core.garments.masks import VERSION as MASKS_VERSION
from vtcli.core.system import distributed
from vtcli.core.system.workers import default_jobs

SHARD_PIXELS = SHARD_SIZE * 256 * 192
"""Pixels of one field in a shard at most: of larger pictures a shard takes fewer, and memory stays the same."""
CHUNK_BYTES = 8_000_000
"""Of the pairs that a process sends back at a time."""


@dataclass(frozen=True)
class PrepareOptions:
    """How to prepare. `size` is (height, width); `split` None means all that are there; `jobs` 0 means every core;
    `labels` None means the layout's own; `shard_size` None means 256 pairs, fewer where pictures are large."""

    size: tuple[int, int] = (256, 192)
    split: SplitName | None = None
    jobs: int = 0
    force: bool = False
    keep_duplicates: bool = False
    labels: LabelSet | None = None
    shard_size: int | None = None


@dataclass
class SplitPlan:
    """One split: its files, its folder in the store, and everything that follows from the options.

    `header` are the options that a store depends on; `chain` the fingerprints of the inputs (`input_chain`).
    """

    layout: Layout
    files: SplitFiles
    out: Path
    options: PrepareOptions
    folder: Path = field(init=False)
    jobs: int = field(init=False)
    drop_duplicates: bool = field(init=False)
    shard_size: int = field(init=False)
    reader: PairReader = field(init=False)
    chain: list[str] = field(init=False)
    header: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        options, (height, width) = self.options, self.options.size
        labels = options.labels or self.layout.labels
        self.folder = self.out / self.split
        self.jobs = options.jobs if options.jobs > 0 else max(1, default_jobs() // distributed.local_world())
        self.drop_duplicates = self.split == "train" and not options.keep_duplicates
        self.shard_size = options.shard_size or max(1, min(SHARD_SIZE, SHARD_PIXELS // (height * width)))
        self.reader = PairReader(self.layout.root, options.size, labels)
        self.chain = input_chain(self.files.pairs)
        self.header = {
            "split": self.split,
            "layout": self.layout.kind,
            "size": list(options.size),
            "labels": labels,
            "drop_duplicates": self.drop_duplicates,
            "shard_size": self.shard_size,
            "store": VERSION,
            "garment": MASKS_VERSION,
        }

    @property
    def split(self) -> SplitName:
        """The split's name."""
        return self.files.split

    @property
    def chunk(self) -> int:
        """Pairs that a process reads at a time."""
        share = -(-len(self.files.pairs) // (4 * self.jobs))  # small sets, too, are spread over the processes
        return max(1, min(32, share, CHUNK_BYTES // row_bytes(self.options.size)))
