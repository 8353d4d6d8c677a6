"""The paper's Table 1 by the command line alone: does the auxiliary segmentation help, at equal samples?

    vtcli prepare VITON --size 128x96 --out small
    python benchmarks/ablation.py small ablation --epochs 10 --seeds 0 1 2 --jobs 2
    python benchmarks/ablation.py small ablation --epochs 10 --seeds 0 1 2 --jobs 2 --variants

For every seed it trains the GMM without and with the auxiliary decoder, and three TOMs: baseline (no decoder anywhere), aux
in TOM, aux in both. `--variants` adds, for the first seed, the decoder in both with other weights of its loss and without
class weights. Nothing uses M_exp at test time: rows differ by the features that the decoders share, which is the paper's
claim. `--equal-time RATIO` adds the first seed's decoder in both for 1 / RATIO of the steps, RATIO being how many times as
long a step takes with it (`python benchmarks/ablation.py small ablation --step-times` measures it).

Metrics are those of the test pairs that are for choosing (`vtcli.core.data.validation`), which it writes to
`ablation/choosing`. Runs that are there are kept, one that was stopped is resumed. Writes `ablation/table.md`, with 95 %
intervals of the differences to the baseline over images and seeds, and `ablation/curves.svg`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vtcli.core.data.store import PreparedStore
from vtcli.core.data.validation import write_half
from vtcli.core.models.weights import read_metadata

METRICS = (("ssim", "SSIM", 4), ("psnr", "PSNR (dB)", 2))
"""Those that each picture has: name, title, digits."""
ROUNDS = 2000
"""Of the bootstrap."""
BATCH = 16
"""Samples of a step, the preset's."""
TIMED_STEPS = 120
"""Of each run that `--step-times` measures."""


@dataclass(frozen=True)
class Row:
    """A row of the table: the names of its two runs without their seeds, which of them have the decoder, and options of the
    auxiliary losses."""

    name: str
    gmm: str
    tom: str
    gmm_aux: bool = True
    tom_aux: bool = True
    options: tuple[str, ...] = ()


BASELINE = Row("baseline", "gmm-plain", "tom-baseline", gmm_aux=False, tom_aux=False)
BOTH = Row("aux in both", "gmm-aux", "tom-aux-in-both")
ROWS = (BASELINE, Row("aux in TOM", "gmm-plain", "tom-aux-in-TOM", gmm_aux=False), BOTH)
FLAT = ("--skin-weight", "1", "--background-weight", "1")
VARIANTS = (
    Row("aux in both, no class weights", "gmm-aux-flat", "tom-aux-flat", options=FLAT),
    Row("aux in both, weight 0.03", "gmm-aux-0.03", "tom-aux-0.03", options=("--aux-weight", "0.03")),
    Row("aux in both, weight 0.3", "gmm-aux-0.3", "tom-aux-0.3", options=("--aux-weight", "0.3")),
)


@dataclass
class Ablation:
    """Paths and settings of one ablation, and the command lines so far."""

    data: Path
    out: Path
    preset: str
    epochs: float
    losses: str
    jobs: int
    commands: list[str] = field(default_factory=list)

    def run(self, *arguments: object) -> None:
        """One vtcli command, noted. Side by side each has one thread."""
        words = [str(a) for a in arguments]
        self.commands.append(shlex.join(["vtcli", *words]))
        print("$", self.commands[-1], flush=True)
        threads = {"OMP_NUM_THREADS": "1"} if self.jobs > 1 else {}
        subprocess.run([sys.executable, "-m", "vtcli", *words], check=True, env={**os.environ, **threads})

    def folder(self, name: str, seed: int) -> Path:
        """Where a run lives."""
        return self.out / f"{name}-{seed}"

    def train(self, row: Row, stage: str, seed: int, epochs: float | None = None, suffix: str = "") -> None:
        """Train a stage of `row`, if it has not been trained."""
        aux = row.gmm_aux if stage == "gmm" else row.tom_aux
        folder = self.folder((row.gmm if stage == "gmm" else row.tom) + suffix, seed)
        words: list[object] = [
            "train", stage, "--preset", self.preset, "--recipe", "vtcli", "--aux" if aux else "--no-aux",
            "--data", self.data, "--out", folder, "--seed", seed, "--epochs", epochs or self.epochs,
            "--validate-every", 790, *(row.options if aux else ()),
        ]  # fmt: skip
        if stage == "tom":
            gmm = self.folder(row.gmm + suffix, seed)
            words += ["--gmm", gmm, "--keep", "head", "--losses", self.losses]
        if (folder / stage / "final.safetensors").is_file():
            self.commands.append(shlex.join(["vtcli", *map(str, words)]))
            return
        resume = ["--resume"] if (folder / stage / "last.safetensors").is_file() else []
        self.run(*words, *resume)

    def try_on(self, row: Row, seed: int, suffix: str = "") -> Path:
        """Results folder of the row's networks over the pairs for choosing, paired, `head`."""
        tom, gmm = self.folder(row.tom + suffix, seed), self.folder(row.gmm + suffix, seed)
        weights = tom / "weights"
        weights.mkdir(exist_ok=True)
        for stage, folder in (("gmm", gmm), ("tom", tom)):
            (weights / f"{stage}.safetensors").write_bytes(
                (folder / stage / "final.safetensors").read_bytes()
            )
        results = self.out / "results" / tom.name
        self.run(
            "tryon", "--data", self.out / "choosing", "--pairs", "paired", "--keep", "head", "--weights", weights,
            "-o", results,
        )  # fmt: skip
        return results

    def metadata(self, name: str, seed: int) -> dict[str, Any]:
        """The header of the weights that a run ended with."""
        stage = name.split("-")[0]
        return read_metadata(self.folder(name, seed) / stage / "final.safetensors")


@dataclass
class Scored:
    """A row of one seed: its metrics as `vtcli score` tells them, and those of each picture by metric and name."""

    row: Row
    seed: int
    metrics: dict[str, Any]
    pictures: dict[str, dict[str, float]]


def train_all(
    a: Ablation, rows: Sequence[Row], seeds: Sequence[int], suffix: str = "", epochs: float | None = None
) -> None:
    """All GMMs, then all TOMs, `a.jobs` at a time."""
    for stage in ("gmm", "tom"):
        wanted = {
            (row.gmm if stage == "gmm" else row.tom, seed): (row, seed) for seed in seeds for row in rows
        }
        with ThreadPoolExecutor(a.jobs) as pool:
            list(pool.map(lambda job, s=stage: a.train(job[0], s, job[1], epochs, suffix), wanted.values()))  # type: ignore[misc]


def score(a: Ablation, rows: Sequence[Row], seed: int, suffix: str = "") -> list[Scored]:
    """The rows of one seed, tried on and scored."""
    results = [a.try_on(row, seed, suffix) for row in rows]
    file, table = a.out / f"scores{suffix}-{seed}.json", a.out / f"pictures{suffix}-{seed}.csv"
    a.run("score", *results, "--json", file, "--per-image", table, "--bootstrap", 0)
    told = [one for one in json.loads(file.read_text()) if one["seen"] == "all"]
    with table.open(newline="", encoding="utf-8") as lines:
        pictures = list(csv.DictReader(lines))
    scored = []
    for row, folder, metrics in zip(rows, results, told, strict=True):
        own = [line for line in pictures if Path(line["run"]).name == folder.name]
        by_metric = {key: {line["name"]: float(line[key]) for line in own} for key, _, _ in METRICS}
        scored.append(Scored(row, seed, metrics, by_metric))
    return scored


def difference(mine: np.ndarray, first: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean of `mine` less `first`, both (seeds, pictures), and its 95 % interval by the hierarchical bootstrap: seeds are
    drawn with replacement, then pictures, the same for all seeds (Davison and Hinkley 1997, section 3.8)."""
    apart = mine - first
    rng = np.random.default_rng(seed)
    seeds, pictures = apart.shape
    draws = [
        apart[rng.integers(0, seeds, seeds)][:, rng.integers(0, pictures, pictures)].mean()
        for _ in range(ROUNDS)
    ]
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(apart.mean()), float(low), float(high)


def _values(scored: Sequence[Scored], row: Row, key: str) -> np.ndarray:
    """(seeds, pictures) of a row, pictures in the order of their names."""
    return np.array([[v for _, v in sorted(s.pictures[key].items())] for s in scored if s.row == row])


def table(scored: Sequence[Scored], rows: Sequence[Row], a: Ablation) -> list[str]:
    """Means over seeds, differences to the baseline, and the range over seeds of what is known of a whole run alone."""
    titles = [title for _, title, _ in METRICS]
    lines = ["| row | " + " | ".join([*titles, "FD (Lite0)", "warp IoU", "M_exp mean IoU"]) + " | seeds |"]
    lines.append("|---" * (len(METRICS) + 5) + "|")
    for row in rows:
        mine = [s for s in scored if s.row == row]
        cells = []
        for key, _, digits in METRICS:
            own, first = _values(mine, row, key), _values(scored, BASELINE, key)
            cell = f"{own.mean():.{digits}f}"
            if row != BASELINE:
                value, low, high = difference(own, first[: len(own)])
                cell += f" ({value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}])"
            cells.append(cell)
        cells.append(_range([s.metrics["fd_lite0"] for s in mine], 2))
        gmms = [a.metadata(row.gmm, s.seed)["figures"] for s in mine]
        toms = [a.metadata(row.tom, s.seed)["figures"] for s in mine]
        cells.append(_range([f["warp_iou"] for f in gmms], 4))
        cells.append(_range([f["parse_mean_iou_head"] for f in toms if "parse_mean_iou_head" in f], 3))
        lines.append(f"| {row.name} | " + " | ".join(cells) + f" | {', '.join(str(s.seed) for s in mine)} |")
    return [*lines, ""]


def _range(values: Sequence[float], digits: int) -> str:
    if not values:
        return ""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def curves(a: Ablation, rows: Sequence[Row], seeds: Sequence[int]) -> None:
    """SSIM of the TOMs, and IoU of the GMMs' warps, over the samples seen: `curves.svg`, a line for each run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    colours = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(row.name for row in rows))}
    for axes, stage, key in zip(figure.subplots(1, 2), ("gmm", "tom"), ("warp_iou", "ssim"), strict=True):
        drawn: set[str] = set()
        for row in rows:
            for seed in seeds:
                log = a.folder(row.gmm if stage == "gmm" else row.tom, seed) / stage / "log.jsonl"
                if not log.is_file() or str(log) in drawn:
                    continue
                drawn.add(str(log))
                told = [json.loads(line) for line in log.read_text().splitlines()]
                told = [line for line in told if line["group"] == "validation"]
                name = row.name
                if stage == "gmm" and row in ROWS:
                    name = "aux" if row.gmm_aux else "plain"
                label = None if f"label {name}" in drawn else name
                drawn.add(f"label {name}")
                axes.plot(
                    [BATCH * line["step"] / 1000 for line in told], [line[key] for line in told], marker=".",
                    color=colours[row.name], alpha=0.8, label=label,
                )  # fmt: skip
        axes.set(xlabel="thousand samples", title="warp IoU" if stage == "gmm" else "SSIM of the try-on")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(a.out / "curves.svg", metadata={"Date": None})


def step_times(a: Ablation) -> None:
    """How long a step of each stage takes with and without the decoder, in turns, on an idle machine."""
    import tempfile

    spent: dict[tuple[str, bool], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for turn in range(3):
            for row in (BASELINE, BOTH):
                timed = Ablation(a.data, Path(name) / f"{turn}", a.preset, 1, a.losses, 1)
                epochs = TIMED_STEPS * BATCH / len(PreparedStore.open(a.data, "train"))
                for stage in ("gmm", "tom"):
                    started = time.monotonic()
                    timed.train(row, stage, 0, epochs)
                    spent.setdefault((stage, row.gmm_aux), []).append(time.monotonic() - started)
                    print(stage, row.name, f"{spent[stage, row.gmm_aux][-1]:.1f} s", flush=True)
    for stage in ("gmm", "tom"):
        ratios = [b / p for p, b in zip(spent[stage, False], spent[stage, True], strict=True)]
        print(
            f"{stage}: with the decoder {statistics.median(ratios):.2f} times as long (whole runs of {TIMED_STEPS} steps)"
        )


def main() -> None:
    """Parse the command line, train, score, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--preset", default="paper-small")
    parser.add_argument("--losses", default="l1", help="of the TOM: l1, cpvton or full")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, each with one thread")
    parser.add_argument("--variants", action="store_true", help="other weights, for the first seed")
    parser.add_argument(
        "--equal-time", type=float, metavar="RATIO", help="how long a step takes with the decoder"
    )
    parser.add_argument("--step-times", action="store_true", help="measure that, and nothing else")
    o = parser.parse_args()
    a = Ablation(o.data, o.out, o.preset, o.epochs, o.losses, o.jobs)
    if o.step_times:
        step_times(a)
        return
    a.out.mkdir(parents=True, exist_ok=True)
    write_half(PreparedStore.open(o.data, "test"), "choosing", a.out / "choosing" / "test")
    train_all(a, ROWS, o.seeds)
    scored = [one for seed in o.seeds for one in score(a, ROWS, seed)]
    lines = table(scored, ROWS, a)
    if o.variants:
        train_all(a, VARIANTS, o.seeds[:1])
        first = score(a, (BASELINE, BOTH, *VARIANTS), o.seeds[0])
        lines += table(first, (BASELINE, BOTH, *VARIANTS), a)
    if o.equal_time:
        train_all(a, (BOTH,), o.seeds[:1], "-time", o.epochs / o.equal_time)
        short = score(a, (BOTH,), o.seeds[0], "-time")
        ssim = statistics.mean(short[0].pictures["ssim"].values())
        lines += [f"Aux in both for the baseline's time, seed {o.seeds[0]}: SSIM {ssim:.4f}", ""]
    curves(a, (*ROWS, *(VARIANTS if o.variants else ())), o.seeds)
    text = "\n".join([*lines, "```sh", *dict.fromkeys(a.commands), "```", ""])
    (a.out / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
