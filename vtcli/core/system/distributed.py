"""Several processes as one run: who is who under `torchrun`, and the little that they exchange.

torchrun starts the processes (ranks) and sets RANK, WORLD_SIZE, LOCAL_RANK and the address where they meet;
`joined` makes them a group of torch.distributed. Without torchrun there is one rank, number 0, and every
function here is the identity. Ranks exchange tensors only: nothing is pickled.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from vtcli.core.system.errors import UsageProblem, VtcliError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

MEETING = timedelta(minutes=10)
"""How long a rank waits at the start where the launcher says that they meet."""
PATIENCE = timedelta(hours=24)
"""How long a rank waits for the others: one may have a far slower share. A dead one is noticed at once."""


def launched() -> tuple[int, int]:
    """(rank, number of ranks) as torchrun says in the environment; (0, 1) without it."""
    try:
        number, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError:
        return 0, 1
    return (number, count) if 0 <= number < count else (0, 1)


@contextmanager
def joined() -> Iterator[None]:
    """Be one of torchrun's ranks for a while: gloo between CPUs, NCCL between GPUs.

    VtcliError where another rank has ended, whose own message says why, and where the ranks cannot talk, with the cause.
    """
    number, count = launched()
    if count == 1 or _is_joined():
        yield
        return
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        store, number, count = next(dist.rendezvous("env://", timeout=MEETING))
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=PATIENCE)
        yield
    except (dist.DistError, RuntimeError) as problem:
        if _has_left(problem):
            raise VtcliError(f"another of the {count} processes has ended; its message says why") from problem
        if isinstance(problem, dist.DistError) or _is_of_the_group(problem):
            raise VtcliError(f"the {count} processes cannot work together: {_cause(problem)}") from problem
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


_LEFT = (
    "connection closed",
    "connection reset",
    "connection was likely closed",
    "broken pipe",
    "ncclremoteerror",
)


def _has_left(problem: Exception) -> bool:
    """Whether the error says that another rank is no longer there."""
    text = str(problem).lower()
    return any(word in text for word in _LEFT)


def _is_of_the_group(problem: RuntimeError) -> bool:
    return any(word in str(problem).lower() for word in ("gloo", "nccl"))


def _cause(problem: Exception) -> str:
    """The lines of an error that say what was wrong: NCCL's own last word stands apart from where it was raised."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    last = [after for line, after in pairwise(lines) if line.lower().startswith("last error")]
    first = lines[0] if lines else type(problem).__name__
    return f"{first} ({last[0]})" if last else first


def _is_joined() -> bool:
    # Who has joined has imported torch; `prepare` by itself does without, and starts seconds earlier.
    if "torch.distributed" not in sys.modules:
        return False
    import torch.distributed as dist

    return dist.is_initialized()


def rank() -> int:
    """This process's number, from 0 on."""
    if not _is_joined():
        return 0
    import torch.distributed as dist

    return dist.get_rank()


def world() -> int:
    """How many processes work on this run."""
    if not _is_joined():
        return 1
    import torch.distributed as dist

    return dist.get_world_size()


def local_world() -> int:
    """How many of the processes run on this machine."""
    try:
        return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) if world() > 1 else 1
    except ValueError:
        return 1


def is_first() -> bool:
    """Whether this is rank 0, which alone writes logs, manifests and checkpoints."""
    return rank() == 0


def local_device(name: str) -> str:
    """The device for this rank: "auto" and "cuda" mean the GPU of its local number, where there is one."""
    if launched()[1] == 1 or name not in ("auto", "cuda"):
        return name
    import torch

    if not torch.cuda.is_available():
        return name
    local, present = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= present:
        raise UsageProblem(
            f"{present} GPUs here for {local + 1} or more processes; start fewer (torchrun --nproc-per-node), or compute on the CPU (--device cpu)"
        )
    torch.cuda.set_device(local)
    return f"cuda:{local}"


def barrier() -> None:
    """Wait until every rank is here."""
    if world() > 1:
        import torch
        import torch.distributed as dist

        dist.all_reduce(torch.zeros(1))


def agree(first: float, any_of: bool) -> tuple[float, bool]:
    """Rank 0's number (not negative), and whether any rank says yes."""
    if world() == 1:
        return first, any_of
    import torch
    import torch.distributed as dist

    values = torch.tensor([first if is_first() else 0.0, float(any_of)], dtype=torch.float64)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return float(values[0]), bool(values[1])


def mean(values: dict[str, float]) -> dict[str, float]:
    """The mean over the ranks of each value; all ranks must have the same keys."""
    if world() == 1:
        return values
    import torch
    import torch.distributed as dist

    sums = torch.tensor([values[key] for key in values], dtype=torch.float64)
    dist.all_reduce(sums)
    return dict(zip(values, (sums / world()).tolist(), strict=True))


def mean_tensor(value: Tensor) -> Tensor:
    """The mean over the ranks of a number that a loss divides by. A rank's sum over *its* samples, divided by
    this, averages over the ranks to the loss of the global batch. Takes no part in gradients."""
    if world() == 1:
        return value
    import torch.distributed as dist

    total = value.detach().clone().float()
    dist.all_reduce(total)
    return total / world()


def gather(value: Any) -> list[Any]:
    """Each rank's JSON-ready value, in order of rank, the same list on all."""
    if world() == 1:
        return [value]
    import torch
    import torch.distributed as dist

    data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(world())]
    dist.all_gather(lengths, torch.tensor([len(data)]))
    longest = max(int(length) for length in lengths)
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(data)] = data
    received = [torch.zeros(longest, dtype=torch.uint8) for _ in range(world())]
    dist.all_gather(received, padded)
    return [json.loads(bytes(t[: int(n)].numpy())) for t, n in zip(received, lengths, strict=True)]


def synchronised_norms(network: nn.Module, device: torch.device) -> nn.Module:
    """`network` with BatchNorm over the global batch, where torch has that (CUDA). On CPUs each rank normalises
    with its own samples, as a batch of that size would; see `average_buffers`."""
    if world() > 1 and device.type == "cuda":
        from torch import nn

        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return converted
    return network


def data_parallel(network: nn.Module, device: torch.device) -> nn.Module:
    """`network` such that backward averages its gradients over the ranks; starts with rank 0's weights."""
    if world() == 1:
        return network
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    for tensor in (*network.parameters(), *network.buffers()):
        dist.broadcast(tensor.data, 0)
    ids = [device.index] if device.type == "cuda" else None
    with warnings.catch_warnings(action="ignore"):  # newer torch has another word for broadcast_buffers
        return DistributedDataParallel(network, device_ids=ids, broadcast_buffers=False, init_sync=False)


def unwrap(network: nn.Module) -> nn.Module:
    """The network inside `data_parallel`'s wrapper and torch.compile's."""
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    compiled = getattr(network, "_orig_mod", network)
    inner = compiled if isinstance(compiled, nn.Module) else network
    return inner.module if isinstance(inner, DistributedDataParallel) else inner


def average_gradients(network: nn.Module) -> None:
    """Average the gradients of a network that `data_parallel` does not wrap."""
    if world() > 1:
        _average([p.grad for p in network.parameters() if p.grad is not None])


def average_buffers(network: nn.Module, device: torch.device) -> None:
    """Average BatchNorm's running statistics over the ranks, where each has its own (on CPUs)."""
    if world() > 1 and device.type != "cuda":
        _average([b for b in network.buffers() if b.is_floating_point()])


def _average(tensors: list[Tensor]) -> None:
    if not tensors:
        return
    import torch
    import torch.distributed as dist

    with torch.no_grad():
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        flat /= world()
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))
