"""A table of metrics, each beside what it must reach and what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What is asked of the metric called `name`: `sign` is ">=", "<=" or "" where nothing is asked."""

    name: str
    sign: str = ""
    must: float = 0.0
    aim: float = 0.0

    @property
    def asked(self) -> str:
        """What it must reach and what is aimed at, as two cells."""
        return f"{self.sign} {self.must:.3g} | {self.sign} {self.aim:.3g}" if self.sign else " | "

    def met(self, value: float | None) -> str:
        """Whether `value` reaches it; "" where nothing was asked or measured."""
        if value is None or not self.sign:
            return ""
        return "yes" if (value >= self.must if self.sign == ">=" else value <= self.must) else "no"


def table(columns: Mapping[str, Mapping[str, float]], targets: Sequence[Target]) -> str:
    """Metrics by column as Markdown: those of `targets` first, then the others."""
    named = {target.name for target in targets}
    others = dict.fromkeys(name for metrics in columns.values() for name in metrics if name not in named)
    lines = [
        f"| metric | {' | '.join(columns)} | must | aim |{' |' * len(columns)}",
        "|---" * (3 + 2 * len(columns)) + "|",
    ]
    for target in (*targets, *map(Target, others)):
        values = [metrics.get(target.name) for metrics in columns.values()]
        cells = ["not measured" if value is None else f"{value:.4g}" for value in values]
        met = [target.met(value) for value in values]
        lines.append(f"| {target.name} | {' | '.join(cells)} | {target.asked} | {' | '.join(met)} |")
    return "\n".join(lines) + "\n"
