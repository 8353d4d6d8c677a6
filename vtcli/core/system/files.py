"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from vtcli.core.system.errors import VtcliError


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path`.

    Raises VtcliError naming `path` when the folder is read-only, absent, or the disk is full; the former
    file, if any, then stands untouched.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)  # mkstemp's 0600 would hide results from a group
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


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, lambda stream: stream.write(text.encode() + b"\n"))


def read_json(path: Path) -> Any:
    """Read a JSON file; VtcliError names it when it is absent or broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError as problem:
        raise VtcliError(f"{path}: no such file") from problem
    except (OSError, ValueError, RecursionError) as problem:
        raise VtcliError(f"{path}: not a readable JSON file ({problem})") from problem
