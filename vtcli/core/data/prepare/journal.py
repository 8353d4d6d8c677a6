"""The journal of a store in the making: which inputs each finished shard came from.

`SPLIT/journal.jsonl` has a line of options, then one for each finished shard, in order. A line is added once
its shard lies on disk. A later run keeps the shards whose inputs are still the same and goes on from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from vtcli.core.data.layouts import PairFiles, Skip
from vtcli.core.data.store import Entry
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import write_atomically

FORMAT = "vtcli-journal"
VERSION = 1


@dataclass
class ShardRecord:
    """What came of the inputs up to `upto`, from where the shard before it ended.

    `chain` is the fingerprint of all inputs up to there, `photos` the photo hashes of `entries`, `parser` the
    hash of the weights that derived something in it (empty if nothing), `last` whether the inputs end here.
    """

    upto: int
    chain: str
    entries: list[Entry] = field(default_factory=list)
    photos: list[str] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    duplicates: int = 0
    parser: str = ""
    last: bool = False


class Journal:
    """The journal of one split's folder: `header` (the options) and `records` (the shards)."""

    def __init__(self, folder: Path, header: dict[str, Any], records: list[ShardRecord]) -> None:
        self.path = folder / "journal.jsonl"
        self.header = header
        self.records = records

    @classmethod
    def load(cls, folder: Path) -> Journal | None:
        """The journal in `folder`, as far as it is whole; None where there is none that can be used."""
        journal = cls(folder, {}, [])
        try:
            lines = journal.path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return None
        for number, line in enumerate(lines):
            try:
                value = json.loads(line)
                if number == 0:
                    if value["format"] != FORMAT or value["version"] != VERSION:
                        return None
                    journal.header = value["options"]
                else:
                    journal.records.append(_record(value))
            except (ValueError, TypeError, KeyError, RecursionError):
                break  # a line cut short by an interruption: what follows is made again
        return journal if journal.header else None

    def restart(self) -> None:
        """Write the journal anew with the records it now has."""
        first = json.dumps({"format": FORMAT, "version": VERSION, "options": self.header})
        lines = [first, *(_line(record) for record in self.records)]
        write_atomically(self.path, lambda stream: stream.write("".join(f"{x}\n" for x in lines).encode()))

    def add(self, record: ShardRecord, write: bool = True) -> None:
        """Add the record of a shard that lies on disk; without `write` another process writes it."""
        self.records.append(record)
        if not write:
            return
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(_line(record) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as problem:
            raise VtcliError(f"{self.path}: cannot be written ({problem.strerror or problem})") from problem

    @property
    def complete(self) -> bool:
        """Whether the inputs have been followed to their end."""
        return bool(self.records) and self.records[-1].last


def input_chain(pairs: Sequence[PairFiles]) -> list[str]:
    """Fingerprints of the first 0, 1, 2, … pairs' files: names, sizes, times of change."""
    chain = [blake2b(digest_size=16).hexdigest()]
    for pair in pairs:
        digest = blake2b(f"{chain[-1]}|{pair.name}|{pair.cloth}".encode(), digest_size=16)
        for file in (pair.image_file, pair.cloth_file, pair.mask_file, pair.parse_file, pair.pose_file):
            digest.update(repr(_state(file)).encode())
        chain.append(digest.hexdigest())
    return chain


def _state(file: Path | None) -> tuple[str, int, int] | None:
    if file is None:
        return None
    try:
        state = file.stat()
    except OSError:
        return (file.name, -1, -1)
    return (file.name, state.st_size, state.st_mtime_ns)


def _line(record: ShardRecord) -> str:
    return json.dumps(asdict(record), ensure_ascii=False)


def _record(value: dict[str, Any]) -> ShardRecord:
    value["entries"] = [Entry(**{**e, "derived": tuple(e["derived"])}) for e in value["entries"]]
    value["skipped"] = [Skip(**s) for s in value["skipped"]]
    return ShardRecord(**value)
