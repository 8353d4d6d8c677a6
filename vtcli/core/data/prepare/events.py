"""What `prepare` reports on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vtcli.core.data.labels import LabelSet
from vtcli.core.data.layouts import Skip


@dataclass(frozen=True)
class LayoutFound:
    """The data folder's layout is known; `labels` of its parse maps (None: it has none); `splits` maps each split to be prepared to
    its number of pairs, `unused` is what lies in the folder and is not read."""

    layout: str
    labels: LabelSet | None
    splits: dict[str, int]
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitStarted:
    """Work on a split begins. Of its `total` pairs `read` need no reading; the store has `kept`."""

    split: str
    total: int
    read: int
    kept: int


@dataclass(frozen=True)
class Doubt:
    """Of `looked_at` given `what` ("garment masks", "parse maps", "poses") of a split, `wrong` do not fit their pictures,
    most of them for `reason`. `labels`: the label set that would fit better, where there is one."""

    split: str
    what: str
    looked_at: int
    wrong: int
    reason: str
    labels: LabelSet | None = None

    def told(self) -> str:
        """All of it in a line."""
        return (
            f"{self.split}: {self.wrong} of {self.looked_at} {self.what} looked at do not fit: {self.reason}"
        )


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

    Of the pairs `listed`, `written` are in the store and `different` of those differ by content; `duplicates` were
    left out because they repeat others. `seen` pairs have a photo that the training split has, too (None without a
    training split); `unseen` counts the different pairs that have not. `derived` counts the fields that vtcli made.
    `unchanged`: the whole store was there already.
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


Event = LayoutFound | SplitStarted | Doubt | Advanced | SplitDone
