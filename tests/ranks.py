"""Several processes as torchrun would start them, forked from this one: torch need not be imported again."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any

import torch

# A process that has used CUDA, or may have, cannot be forked.
_HOW = "spawn" if torch.cuda.is_available() else "fork"


def run_ranks(count: int, function: Callable[..., None], *arguments: Any) -> list[int]:
    """Run `function(*arguments)` as `count` ranks; their exit codes (an exception is 1)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context: Any = multiprocessing.get_context(_HOW)
    ranks = [context.Process(target=_one, args=(r, count, port, function, arguments)) for r in range(count)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(200)
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in ranks]


def _one(rank: int, count: int, port: int, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    function(*arguments)
