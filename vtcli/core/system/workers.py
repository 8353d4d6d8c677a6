"""Work on many files by several processes, in order and with bounded memory; on a few arrays by threads."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from vtcli.core.system.cores import usable_cores
from vtcli.core.system.errors import VtcliError

Item = TypeVar("Item")
Result = TypeVar("Result")
Other = TypeVar("Other")

_AHEAD = 3
"""Chunks under way for each process: enough to keep it busy, few enough to hold in memory."""


def default_jobs() -> int:
    """How many processes to use: one a core that this process may use."""
    return usable_cores()


def ordered_map(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, chunk: int
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order, computed by `jobs` processes in chunks of `chunk`.

    `function` and the items are pickled (processes are spawned). With one job, or no more items than a chunk,
    all happens in this process. Closing the iterator ends the processes.
    """
    if jobs <= 1 or len(items) <= chunk:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin)
    try:
        pending: deque[Future[list[Result]]] = deque()
        for start in range(0, len(items), chunk):
            pending.append(pool.submit(_run, function, items[start : start + chunk]))
            if len(pending) >= _AHEAD * jobs:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool as problem:
        raise VtcliError(
            "a worker process died, perhaps for want of memory; fewer at a time (--jobs 1) may do"
        ) from problem
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def side_by_side(function: Callable[..., Result], *items: Sequence[Any]) -> list[Result]:
    """`list(map(function, *items))`, in threads where there is more than a little to do: for work that spends its time
    in libraries that let go of Python's lock."""
    if len(items[0]) < 4:
        return list(map(function, *items))
    with ThreadPoolExecutor(min(len(items[0]), default_jobs())) as pool:
        return list(pool.map(function, *items))


def both(first: Callable[[], Result], second: Callable[[], Other]) -> tuple[Result, Other]:
    """The results of two functions that run at the same time, the second in a thread. Where both fail, the first one's
    error counts."""
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(second)
        return first(), other.result()


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    os.environ["OPENCV_FOR_THREADS_NUM"] = "1"  # one process, one core


def _run(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]
