"""The table that `quality.py` and `photos.py` write: each metric beside what it must reach and what is aimed at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """What is asked of the metric called `name`: `sign` is ">=", "<=" or "" where nothing is asked."""

    name: str
    sign: str = ""
    must: float = 0.0
    aim: float = 0.0

    def row(self, value: float | None) -> str:
        """The metric's line of the table."""
        if value is None:
            return f"| {self.name} | not measured | | | |"
        if not self.sign:
            return f"| {self.name} | {value:.4g} | | | |"
        met = value >= self.must if self.sign == ">=" else value <= self.must
        asked = f"{self.sign} {self.must:.3g} | {self.sign} {self.aim:.3g}"
        return f"| {self.name} | {value:.4g} | {asked} | {'yes' if met else 'no'} |"


def table(metrics: dict[str, float], targets: Sequence[Target]) -> str:
    """The metrics as Markdown: those of `targets`, then the others."""
    named = {target.name for target in targets}
    others = [Target(name) for name in metrics if name not in named]
    lines = ["| metric | measured | must | aim | |", "|---|---|---|---|---|"]
    lines += [target.row(metrics.get(target.name)) for target in (*targets, *others)]
    return "\n".join(lines) + "\n"


def write(metrics: dict[str, float], targets: Sequence[Target], folder: Path, name: str) -> None:
    """Print the table and write it to `folder`, as `name`.md and as `name`.json."""
    text = table(metrics, targets)
    print(text)
    (folder / f"{name}.md").write_text(text)
    (folder / f"{name}.json").write_text(json.dumps(metrics, indent=1) + "\n")
