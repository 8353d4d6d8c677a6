"""Lists of pairs, as people and programs write them: a person's and a garment's file a line.

Every part of vtcli that takes a list reads it here. What is understood:

    names apart by a tab, a comma, a semicolon or blanks, with or without their endings; names with blanks; quoted cells
    UTF-8 and UTF-16, with and without a byte-order mark; any ends of lines; blank lines, and comments after #
    a first line of titles, such as person,cloth; of more than two, or in another order, the columns of that name
    Excel's line sep=;
    a third column that says the garment's category, as DressCode and GP-VTON have it: lines of other than tops are left out
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vtcli.core.data.images import IMAGE_SUFFIXES
from vtcli.core.system.errors import VtcliError

_SUFFIX = "(?:" + "|".join(re.escape(s) for s in sorted(IMAGE_SUFFIXES, key=len, reverse=True)) + ")"
_APART = re.compile(r"\s*[,;]\s*")
_THING = "image|img|im|photo|picture|file|filename|name|path|id"
_TITLES = tuple(
    re.compile(rf"(?:(?:{words}|{_THING})s?[ _-]?)+", re.IGNORECASE)
    for words in ("person|people|human|model", "cloth|clothe|clothing|garment|top|product|c")
)
"""Words in the titles of a list's two columns."""
_PLAIN = re.compile(rf"(?:(?:{_THING})s?[ _-]?)+", re.IGNORECASE)
"""Titles that do not tell which of the two it is."""
_TOPS, _OTHERS = {"0", "upper", "upper_body"}, {"1", "2", "lower", "lower_body", "dresses", "dress"}
"""Words of a third column for tops, and for other garments (DressCode, GP-VTON)."""


def read_pairs_list(
    path: Path, persons: Iterable[str] = (), cloths: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """The pairs of a list of plain file names, as listed; arguments as of `read_rows`. VtcliError as there, and for a path
    in a name's place."""
    pairs = []
    for number, *pair in read_rows(path, persons, cloths):
        for name in pair:
            _check_name(path, number, name)
        pairs.append((pair[0], pair[1]))
    return pairs


def read_rows(
    path: Path, persons: Iterable[str] = (), cloths: Iterable[str] = ()
) -> list[tuple[int, str, str]]:
    """A list's lines as (number of the line, person, garment), as listed.

    Where a line can be cut into two names in several ways, the one counts whose names are known (`persons`, `cloths`: names
    without suffix). VtcliError names the line that is not two names.
    """
    known = set(persons), set(cloths)
    rows = []
    first = True
    table: _Table | None = None
    for number, raw in enumerate(re.split(r"\r\n|\n|\r", _text(path)), start=1):
        line = raw.strip(" \ufeff")
        if not line.strip() or line.lstrip().startswith("#") or re.fullmatch(r"sep=.", line):
            continue
        if first and (table := _table(line)) is not None:
            first = False
            continue
        cuts = _cuts(line) if table is None else table.cut(line)
        if not cuts:
            raise VtcliError(
                f"{path}, line {number}: expected two file names, apart by a comma, a semicolon, a tab or blanks (a table has "
                f"titles 'person' and 'cloth'), got {_short(line)}"
            )
        titles, first = first and _are_titles(cuts[0], known), False
        if titles or (len(cuts[0]) == 3 and cuts[0][2].lower() in _OTHERS):
            continue
        fits = [c for c in cuts if stem(c[0]) in known[0] and stem(c[1]) in known[1]]
        chosen = (fits or cuts)[0]
        rows.append((number, chosen[0], chosen[1]))
    return rows


def stem(name: str) -> str:
    """A file's name without its picture suffix, in Unicode's composed form (as macOS does not give it)."""
    base = unicodedata.normalize("NFC", name)
    for suffix in IMAGE_SUFFIXES:
        if base.lower().endswith(suffix) and len(base) > len(suffix):
            return base[: -len(suffix)]
    return base


def _text(path: Path) -> str:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as problem:
        raise VtcliError(f"{path}: no such file") from problem
    except OSError as problem:
        raise VtcliError(f"{path}: cannot be read ({problem.strerror or problem})") from problem
    if data.startswith(b"PK\x03\x04"):
        raise VtcliError(f"{path}: a spreadsheet or an archive, not a text; save the list as CSV")
    try:
        return data.decode(_encoding(data))
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        raise VtcliError(f"{path}, line {line}: not UTF-8; save the list as UTF-8") from problem


def _encoding(data: bytes) -> str:
    """How a list is encoded: by its byte-order mark, or by where UTF-16 has its zeros."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    zeros = [data[start:200:2].count(0) for start in (0, 1)]
    if max(zeros) > 0.4 * len(data[:200:2]) and len(data) % 2 == 0:
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    return "utf-8-sig"


@dataclass(frozen=True)
class _Table:
    """A list with titles: the mark between its cells, and the numbers of the person's and the garment's column."""

    mark: str
    person: int
    cloth: int

    def cut(self, line: str) -> list[Cut]:
        """The pair of a line; none where a cell is missing or empty."""
        cells = [cell.strip() for cell in _cells(line, self.mark)]
        pair = [cells[i] for i in (self.person, self.cloth) if i < len(cells) and cells[i]]
        return [tuple(pair)] if len(pair) == 2 else []


def _table(line: str) -> _Table | None:
    """What a first line of titles says, where it names a column of people and one of garments among others, or in another
    order; None for any other line."""
    for mark in "\t,;":
        cells = [cell.strip() for cell in _cells(line, mark)]
        own = [
            [i for i, cell in enumerate(cells) if words.fullmatch(cell) and not _PLAIN.fullmatch(cell)]
            for words in _TITLES
        ]
        if len(cells) > 1 and len(own[0]) == len(own[1]) == 1:
            columns = own[0][0], own[1][0]
            return None if (len(cells), columns) == (2, (0, 1)) else _Table(mark, *columns)
    return None


def _cells(line: str, mark: str) -> list[str]:
    with suppress(csv.Error):  # cells too long for its reader
        return next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])
    return []


Cut = tuple[str, ...]
"""A line cut into a person's and a garment's name, and a category where there is one."""


def _cuts(line: str) -> list[Cut]:
    """Every way in which a line can be two names, the likeliest first."""
    quoted = _quoted(line)
    if "\t" in line:
        found = _two([part.strip() for part in line.split("\t")])
        return quoted + ([found] if found else [])
    line = line.strip().rstrip(",; ")
    cuts: list[Cut] = []
    for match in re.finditer(rf"{_SUFFIX}(?P<gap>\s*[,;]\s*|\s+)", line, re.IGNORECASE):
        names, rest = line[: match.start("gap")], line[match.end("gap") :]
        if rest:
            cuts.append(_two([names, *_last_word(rest)]) or (names, rest))
    for cells in (_APART.split(line), re.split(r"\s*[,;]\s*|\s+", line)):
        if not cuts and (found := _two(cells)):
            cuts.append(found)
    return quoted + cuts


def _quoted(line: str) -> list[Cut]:
    """A line with whole cells in quotes, as spreadsheets write names with blanks or commas, cut into its cells."""
    if re.search(r'(^|[\t,; ])"[^"]+"($|[\t,; ])', line):
        for mark in "\t,; ":
            if found := _two([cell.strip() for cell in _cells(line.strip(), mark)]):
                return [found]
    return []


def _two(cells: list[str]) -> Cut | None:
    """Two names, and a category where there is one; None for anything else. Empty cells at the end do not count."""
    while cells and not cells[-1]:
        cells = cells[:-1]
    named = len(cells) == 2 or (len(cells) == 3 and cells[2].lower() in _TOPS | _OTHERS)
    return tuple(cells) if named and all(cells) else None


def _last_word(rest: str) -> list[str]:
    """A name and the category after it, where there is one after a name with a suffix."""
    match = re.fullmatch(rf"(.*{_SUFFIX})(?:\s*[,;]\s*|\s+)(\w+)", rest, re.IGNORECASE)
    return [match[1], match[2]] if match and match[2].lower() in _TOPS | _OTHERS else [rest]


def _are_titles(cut: Cut, known: tuple[set[str], set[str]]) -> bool:
    plain = (name == stem(name) and name not in names for name, names in zip(cut[:2], known, strict=True))
    return all(plain) and all(words.fullmatch(name) for name, words in zip(cut[:2], _TITLES, strict=True))


def _check_name(path: Path, number: int, name: str) -> None:
    if name in (".", "..") or re.search(r"[/\\\x00-\x1f]|^[A-Za-z]:", name):
        raise VtcliError(f"{path}, line {number}: {_short(name)} is a path; lists hold plain file names")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
