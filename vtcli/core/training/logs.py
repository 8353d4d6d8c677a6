"""What a run writes down: log.jsonl, TensorBoard's events, contact sheets."""

from __future__ import annotations

import json
import math
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import make_grid

from vtcli.core.data.pixels import grey_levels
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import write_atomically

SHEET_COLUMNS = 8


def contact_sheet(*rows: Tensor) -> np.ndarray:
    """Rows of pictures, each (n, 3, H, W) in [-1, 1], as one uint8 picture; the first eight of each row are shown."""
    pictures = torch.cat([row[:SHEET_COLUMNS] for row in rows])
    sheet: np.ndarray = (
        grey_levels(make_grid(pictures, nrow=len(rows[0][:SHEET_COLUMNS]), padding=0)[None])[0].cpu().numpy()
    )
    return sheet


class RunLog:
    """`log.jsonl` of a run, one JSON object a line, and TensorBoard's events where tensorboard is installed.

    A run that is resumed from `step` makes later steps and validations again: their lines are taken out first, and
    so is a line that was cut short.
    """

    def __init__(self, folder: Path, step: int, validated: int) -> None:
        self._path = folder / "log.jsonl"
        self._drop_later_lines(step, validated)
        try:
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as problem:
            raise self._failed(problem) from problem
        self._board: Any = None
        with suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder), max_queue=100, purge_step=step or None)  # type: ignore[no-untyped-call]

    def _drop_later_lines(self, step: int, validated: int) -> None:
        if not self._path.is_file():
            return
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = []
        for line in lines:
            group, of_step = _group_and_step(line)
            if of_step <= (validated if group == "validation" else step):
                kept.append(line)
        if kept != lines:
            text = "".join(f"{line}\n" for line in kept)
            write_atomically(self._path, lambda stream: stream.write(text.encode()))

    def _failed(self, problem: OSError) -> VtcliError:
        return VtcliError(f"{self._path}: cannot be written ({problem.strerror or problem})")

    def scalars(self, group: str, values: dict[str, float], step: int) -> None:
        """Write down values of a `group` ("training" or "validation"); VtcliError where the disk does not take them."""
        line = {"step": step, "group": group, **{k: round(float(v), 6) for k, v in values.items()}}
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as problem:
            raise self._failed(problem) from problem
        if self._board is not None:
            for key, value in values.items():
                self._board.add_scalar(f"{group}/{key}", value, step)

    def panels(self, panels: dict[str, np.ndarray], step: int) -> None:
        """Show pictures (H, W, 3) uint8 in TensorBoard."""
        if self._board is not None:
            for name, image in panels.items():
                self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Close both; a full disk was reported by `scalars` already."""
        with suppress(OSError):
            self._file.close()
        if self._board is not None:
            with suppress(OSError):
                self._board.close()


def _group_and_step(line: str) -> tuple[str, float]:
    try:
        value = json.loads(line)
        return str(value["group"]), float(value["step"])
    except (ValueError, TypeError, KeyError):
        return "", math.inf


class LossMeter:
    """Means of the losses since the last line of the log. Sums stay on the device: reading them would wait for it."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.steps = 0
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()

    def add(self, losses: dict[str, Tensor]) -> None:
        """Count the losses of one step."""
        self.steps += 1
        for key, value in losses.items():
            self._sums[key] = self._sums[key] + value.detach() if key in self._sums else value.detach()
            self._counts[key] += 1

    def take(self) -> dict[str, float]:
        """Each loss's mean over the steps that had it; counting starts anew."""
        means = {key: float(total) / self._counts[key] for key, total in self._sums.items()}
        self._reset()
        return means
