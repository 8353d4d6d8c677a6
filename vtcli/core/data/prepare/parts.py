"""Parts of a store in the making: what several processes read, before it becomes shards.

`SPLIT/parts/` has, for the inputs from number N on (as many as a shard takes), `N-FIELD.npy` and, last, `N.json`:
what became of each of them. A part depends on its inputs alone: a later run can use the parts that are there, however
many processes it has. Only what cannot be read is left out yet; duplicates go when the parts are joined.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtcli.core.data.layouts import Skip
from vtcli.core.data.prepare.pair_reader import Pair
from vtcli.core.data.store import FIELDS, field_dtype, field_shape, save_array
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import read_json, sweep, write_json


@dataclass(frozen=True)
class Row:
    """A pair in a part: its arrays are row `row` of the part that begins at input `part`. Else as `Pair`."""

    part: int
    row: int
    name: str
    cloth: str
    photo_hash: str
    pair_hash: str
    derived: tuple[str, ...]


@dataclass
class Part:
    """What became of a part's inputs, in order; `parser`: hash of the weights that derived something, or ""."""

    found: list[Row | Skip]
    parser: str


class Parts:
    """The parts of the inputs from `start` on; `header` are the journal's options, `chain` its fingerprints."""

    def __init__(
        self, split_folder: Path, header: dict[str, Any], chain: Sequence[str], start: int, length: int
    ) -> None:
        self.folder = split_folder / "parts"
        self.header, self.chain = header, chain
        self.total = len(chain) - 1
        self.length = length
        self.starts = range(start, self.total, length)
        height, width = header["size"]
        self.size = (int(height), int(width))

    @property
    def begun(self) -> bool:
        """Whether an earlier run has left parts."""
        return self.folder.is_dir()

    def range_of(self, start: int) -> slice:
        """The inputs of the part that begins at `start`."""
        return slice(start, min(start + self.length, self.total))

    def missing(self) -> list[int]:
        """Where the parts begin that are not there, or were made of other inputs."""
        sweep(self.folder)
        return [start for start in self.starts if self._read(start) is None]

    def write(self, start: int, found: Sequence[Pair | Skip], parser: str) -> None:
        """Write a part; VtcliError where that fails."""
        pairs = [pair for pair in found if isinstance(pair, Pair)]
        for field in FIELDS if pairs else ():
            array = np.ascontiguousarray(np.stack([p.arrays[field] for p in pairs]), field_dtype(field))
            save_array(self._file(start, field), array)
        rows = [
            {"file": i.file, "reason": i.reason}
            if isinstance(i, Skip)
            else {
                "name": i.name, "cloth": i.cloth, "photo_hash": i.photo_hash, "pair_hash": i.pair_hash,
                "derived": list(i.derived),
            }
            for i in found
        ]  # fmt: skip
        write_json(
            self.folder / f"{start:010d}.json", {**self._stamp(start), "parser": parser, "found": rows}
        )

    def rows(self, read: dict[int, Part]) -> Iterator[Row | Skip]:
        """What became of every input, in order; each part is put into `read` as it is reached."""
        for start in self.starts:
            part = self._read(start)
            if part is None:
                raise VtcliError(
                    f"{self.folder}: the part from {start} on is missing or broken; do all processes see the "
                    "same folder? Start again: what is there will be used"
                )
            read[start] = part
            yield from part.found

    def arrays(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """Every field of `rows`, stacked."""
        out: dict[str, np.ndarray] = {}
        for field in FIELDS:
            maps = {part: self._map(part, field) for part in {row.part for row in rows}}
            out[field] = np.stack([maps[row.part][row.row] for row in rows])
        return out

    def remove(self) -> None:
        """Remove every part."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _stamp(self, start: int) -> dict[str, Any]:
        window = self.range_of(start)
        return {"options": self.header, "inputs": [self.chain[window.start], self.chain[window.stop]]}

    def _file(self, start: int, field: str) -> Path:
        return self.folder / f"{start:010d}-{field}.npy"

    def _map(self, start: int, field: str) -> np.ndarray:
        try:
            array: np.ndarray = np.lib.format.open_memmap(self._file(start, field), mode="r")
        except Exception as problem:  # a header that lies makes NumPy stumble in many ways
            raise VtcliError(f"{self._file(start, field)}: cannot be read ({problem})") from problem
        return array

    def _read(self, start: int) -> Part | None:
        """The part from `start` on, if it is whole and made of these inputs with these options."""
        path = self.folder / f"{start:010d}.json"
        window = self.range_of(start)
        try:
            value = read_json(path)
            if any(value[key] != expected for key, expected in self._stamp(start).items()):
                return None
            found: list[Row | Skip] = []
            count = 0
            for item in value["found"]:
                if "reason" in item:
                    found.append(Skip(**item))
                else:
                    found.append(Row(start, count, **{**item, "derived": tuple(item["derived"])}))
                    count += 1
            for field in FIELDS if count else ():
                array = self._map(start, field)
                if array.shape != (count, *field_shape(field, self.size)) or array.dtype != field_dtype(
                    field
                ):
                    return None
            return Part(found, str(value["parser"])) if len(found) == window.stop - window.start else None
        except (VtcliError, KeyError, TypeError, ValueError, AttributeError):
            return None
