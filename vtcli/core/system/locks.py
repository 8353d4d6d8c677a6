"""One run at a time in an output folder: a lock that names its owner and dies with it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from vtcli.core.system.errors import VtcliError

LOCK = ".lock"
OWNER = ".lock-owner.json"


@contextmanager
def hold(folder: Path, work: str) -> Iterator[None]:
    """Hold `folder` (made where it is absent) for `work`, a word or two for whoever comes second.

    The lock is the operating system's on `folder/.lock`: it ends with its process, however that ends, so there
    is nothing to clear away by hand. VtcliError names the owner where another run holds the folder, and the
    folder where nothing can be written in it.
    """
    folder = Path(folder)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise VtcliError(
            f"{folder}: in use by {_owner(folder)}; wait for it to end, or choose another folder"
        ) from None
    except OSError as problem:
        raise VtcliError(f"{folder}: cannot be written ({problem.strerror or problem})") from problem
    try:
        _sign(folder, work)
        yield
    finally:
        with suppress(OSError):
            (folder / OWNER).unlink()
        lock.release()


def _sign(folder: Path, work: str) -> None:
    owner = {
        "work": work, "pid": os.getpid(), "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }  # fmt: skip
    with suppress(OSError):  # it only serves a message: on a full disk the work itself will complain
        (folder / OWNER).write_text(json.dumps(owner), encoding="utf-8")


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return f"`{owner['work']}` (process {owner['pid']} on {owner['host']}, since {owner['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"  # it has only just begun
