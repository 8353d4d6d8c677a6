"""Steps captured as CUDA graphs: thousands of small kernels are started by one call.

A small network's step is bound by starting kernels; captured, one of lite's GMM takes half of the time on an H200, beside
twice the samples. A captured step always works on the same memory: it makes its own batch on the device (`resident.py`),
and what it draws from the CPU's generator is fixed when it is captured. So there are several, which take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import torch
from torch import Tensor, nn

Step = Callable[[], dict[str, Tensor]]
"""Forward and backward; returns the losses. Gradients are added to those that are there."""


class CapturedSteps:
    """`step` as CUDA graphs, one for each key; on other devices it runs as it is."""

    def __init__(self, step: Step, modules: Iterable[nn.Module], device: torch.device) -> None:
        self.step, self.modules, self.device = step, list(modules), device
        self.gradients = [p for module in self.modules for p in module.parameters() if p.requires_grad]
        self._graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, dict[str, Tensor]]] = {}
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def __call__(self, key: Hashable, seed: int) -> dict[str, Tensor]:
        """One step: gradients, from zero, and losses. `key` says which graph; `seed` what it draws from the CPU's
        generator when it is captured."""
        for parameter in self.gradients:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.device.type != "cuda":
            return self._run()
        if key not in self._graphs:
            self._capture(key, seed)
        graph, losses = self._graphs[key]
        graph.replay()
        return {name: loss.clone() for name, loss in losses.items()}

    def _run(self) -> dict[str, Tensor]:
        torch._foreach_zero_([p.grad for p in self.gradients if p.grad is not None])
        return {name: loss.detach() for name, loss in self.step().items()}

    def _capture(self, key: Hashable, seed: int) -> None:
        """Capture the step. Two steps come before, in which libraries choose their kernels and constants are made; they
        leave no trace in the networks' statistics, nor in the device's generator."""
        buffers = [b for module in self.modules for b in module.buffers()]
        before, generator = [b.clone() for b in buffers], torch.cuda.get_rng_state(self.device)
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(2):
                torch.default_generator.manual_seed(seed)
                self._run()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        torch.cuda.synchronize(self.device)
        torch.default_generator.manual_seed(seed)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            losses = self._run()
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
        torch.cuda.set_rng_state(generator, self.device)
        self._graphs[key] = (graph, losses)
