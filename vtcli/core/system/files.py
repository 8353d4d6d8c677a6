"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from vtcli.core.system.errors import VtcliError

_PREFIX = 40
"""Characters of a file's name that its temporary file's name begins with: the whole of a long one would be too long."""


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


_MODE = 0o666 & ~_umask()
"""Permissions of new files. The process's mask can only be read by setting it, which is done once: beside a second thread
that writes, its files would be open to all."""


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path`.

    Raises VtcliError naming `path` when the folder is read-only, absent, or the disk is full; the former
    file, if any, then stands untouched.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            prefix=f".{path.name[:_PREFIX]}.", suffix=".part", dir=path.parent
        )
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(_MODE)  # mkstemp's 0600 would hide results from a group
        Path(temporary).replace(path)
        temporary = None
    except OSError as problem:
        raise VtcliError(f"{path}: cannot be written ({problem.strerror or problem})") from problem
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the temporary files that a killed process has left in `folder`. Only for whoever holds it."""
    with suppress(OSError):
        for path in Path(folder).glob(".*.part"):
            path.unlink(missing_ok=True)


def is_plain_name(name: object) -> bool:
    """Whether `name` can be a file's name and nothing else: no path, nor a way out of a folder."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not any(c in name for c in ("/", os.sep, "\0"))
    )


_HEADS = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself; `git lfs pull` fetches it"),
    (
        rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|\?xml|!--)",
        "a web page, not the file: the download failed, or wants to be confirmed in a browser; download it again",
    ),
    (rb"\x1f\x8b|Rar!|7z\xbc\xaf|BZh|\xfd7zXZ", "an archive; unpack it and name the file inside"),
)
"""How files begin that people have in another file's place."""


def not_the_file(path: Path) -> str | None:
    """What lies in a weights file's place, with what to do, where its first bytes say so; None where they do not."""
    try:
        with Path(path).open("rb") as stream:
            head = stream.read(512)
    except OSError:
        return None
    if not head:
        return "an empty file; download or copy it again"
    if zipfile.is_zipfile(path) and not any(
        name.endswith("data.pkl") for name in zipfile.ZipFile(path).namelist()
    ):
        return "a zip archive; unpack it and name the file inside"
    return next((words for begins, words in _HEADS if re.match(begins, head, re.IGNORECASE)), None)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, lambda stream: stream.write(text.encode() + b"\n"))


def read_json(path: Path) -> Any:
    """Read a JSON file; VtcliError names it when it is absent or broken."""
    try:
        return json.loads(Path(path).read_bytes())  # UTF-8 and, as PowerShell writes it, UTF-16
    except FileNotFoundError as problem:
        raise VtcliError(f"{path}: no such file") from problem
    except (OSError, ValueError, RecursionError) as problem:
        raise VtcliError(f"{path}: not a readable JSON file ({problem})") from problem
