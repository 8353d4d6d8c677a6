"""How fast vtcli is: beside CP-VTON's published way of doing the same, and beside what the machine can do.

    python benchmarks/run.py                      the whole table (about half an hour on two cores), and growth
    python benchmarks/run.py --quick              fewer rounds, fewer pairs, no growth
    python benchmarks/run.py --only tps-4 help    some rows

Every row with a baseline is measured turn about (baseline, vtcli, baseline, …) in two processes; a ratio is the
median of the rounds' ratios. The data are `sample_data`'s pairs, repeated and marked, or those of `--data VITON`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from benchmarks.speed import commands, fid
from benchmarks.speed.busy import beside
from benchmarks.speed.growth import growth
from benchmarks.speed.machine import describe, machine_line
from benchmarks.speed.material import make_viton
from benchmarks.speed.turns import ROOT, Side, matrix_rates, take_turns
from vtcli.core.system import runtime

say = Console(stderr=True)
RATIOS = {
    "load-uint8": ("training input, store → uint8 batches", 40.0),
    "load-float": ("training input, store → float representation, 256×192", 6.0),
    "tps-4": ("TPS grid, batch 4", 40.0),
    "tps-16": ("TPS grid, batch 16", 40.0),
    "train-gmm": ("GMM training step of 4, paper", 2.0),
    "train-gmm-aux": ("GMM training step of 4, paper, aux", 1.7),
    "train-tom": ("TOM training step of 4, paper", 2.0),
    "train-tom-aux": ("TOM training step of 4, paper, aux", 1.5),
    "infer-paper-1": ("GMM + TOM inference, paper, batch 1", 1.5),
    "infer-paper-16": ("GMM + TOM inference, paper, batch 16", 1.5),
    "infer-lite-1": ("GMM + TOM inference, lite, batch 1", 8.0),
    "infer-lite-16": ("GMM + TOM inference, lite, batch 16", 8.0),
    "split": ("batch try-on over a split, lite, files to files", 1.0),
}
"""Row → title, and the ratio asked for."""
RATES = {
    "prepare": ("vtcli prepare", 200.0, "pairs/s"),
    "tryon": ("batch tryon over a split, lite, store in, PNG out", 15.0, "pairs/s"),
    "score": ("score without FID", 25.0, "images/s"),
}
"""Row → title, and the rate asked for, of a whole command."""
TIMES = {
    "help": ("vtcli --help", 0.35),
    "cold": ("vtcli tryon, cold, beyond importing torch", 2.0),
}
"""Row → title, and the most seconds allowed."""
SHARES = {"fid": ("FID in score: Inception alone, of the time that it adds", 0.85)}
"""Row → title, and the share asked for."""
BUSY = {
    "busy-tryon": ("vtcli tryon of a photo", 2.5),
    "busy-parser": ("parser training step of 16, lite", 2.5),
    "busy-gmm": ("GMM training step of 32, lite, aux", 2.5),
    "busy-tom": ("TOM training step of 16, lite, aux", 2.5),
    "busy-score": ("vtcli score without FID", 2.5),
}
"""Row → title, and how much longer it may take while every core also runs a busy loop."""
FLOPS = [row for row in RATIOS if row.startswith(("train", "infer"))]


class Bench:
    """One run: its data, its settings, its results."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options, self.work = options, work
        self.quick: bool = options.quick
        self.rounds = 2 if self.quick else 5
        self.pairs = 64 if self.quick else 1000
        self.split = 32 if self.quick else 500
        self.device = ("--device", options.device)

    @cached_property
    def viton(self) -> Path:
        """The pairs that the rows work on; made when the first row asks for them."""
        say.print("making the pairs")
        counts = {"train": self.pairs, "test": self.split}
        return make_viton(self.options.data, self.work / "viton", counts)

    @cached_property
    def store(self) -> Path:
        """The same, prepared."""
        commands.vtcli("prepare", self.viton, "--out", self.work / "store")
        return self.work / "store"

    def config(self, data: bool = True) -> dict[str, Any]:
        """A worker's settings; `data=False` for rows that need no data."""
        viton, store = (self.viton, self.store) if data else (self.work, self.work)
        return {
            "viton": str(viton), "store": str(store), "device": self.options.device, "jobs": self.options.jobs,
            "quick": self.quick,
        }  # fmt: skip

    def ratio(self, row: str) -> dict[str, Any]:
        """A row with a baseline."""
        title, target = RATIOS[row]
        if row == "split":
            found = self._split()
        else:
            found = take_turns(row, self.config(not row.startswith("tps")), self.rounds).to_json()
        return {"title": title, "target": target, **found, "met": found["ratio"] >= target}

    def _split(self) -> dict[str, Any]:
        count = 12 if self.quick else 64
        few = make_viton(self.options.data, self.work / "few", {"train": 4, "test": count})
        commands.vtcli("prepare", few, "--out", self.work / "few-store")
        program = (
            "import torch; from pathlib import Path; from benchmarks.speed.baseline.stages import test_split; "
            f"test_split(Path({str(few)!r}), 'test', Path({str(self.work / 'few-baseline')!r}), "
            f"{self.options.jobs}, torch.device({self.options.device!r}))"
        )
        theirs, ours = [], []
        for number in range(1 if self.quick else 3):
            theirs.append(commands.run("-c", program).seconds / count)
            out = self.work / f"few-results-{number}"
            store = self.work / "few-store"
            ours.append(
                commands.vtcli("tryon", "--data", store, "-o", out, "--keep", "head", *self.device).seconds
                / count
            )
        ratios = sorted(b / o for b, o in zip(theirs, ours, strict=True))
        middle = len(ratios) // 2
        return {
            "baseline_seconds": sorted(theirs)[middle], "seconds": sorted(ours)[middle], "ratio": ratios[middle],
            "ratio_range": [ratios[0], ratios[-1]], "rounds": len(ratios),
        }  # fmt: skip

    def rate(self, row: str) -> dict[str, Any]:
        """A whole command's rate, starting Python included."""
        title, target, unit = RATES[row]
        results = self.work / "results"
        if row == "prepare":
            call: tuple[object, ...] = (
                "prepare",
                self.viton,
                "--out",
                self.work / "again",
                "--split",
                "train",
            )
            count = self.pairs
        else:
            count = self.split
            call = ("tryon", "--data", self.store, "-o", results, "--keep", "head", *self.device)
            if row == "score":
                if not (results / "results.json").is_file():
                    commands.vtcli(*call)
                call = ("score", results, "--bootstrap", 0, *self.device)
        measured = commands.vtcli(*call)
        again = {
            "prepare": (*call, "--force", "--jobs", 1), "score": (*call, "--jobs", 1),
            "tryon": (*call[:4], self.work / "profiled", *call[5:]),
        }[row]  # fmt: skip
        rate = count / measured.seconds
        return {
            "title": title, "target": target, "unit": unit, "rate": rate, "count": count, "seconds": measured.seconds,
            "peak_mib": round(measured.peak), "costs": commands.costs(*again), "met": rate >= target,
        }  # fmt: skip

    def share(self, row: str) -> dict[str, Any]:
        """How much of a command's time is spent where it must be."""
        title, target = SHARES[row]
        count = 12 if self.quick else 100
        results = self.work / "few-scored"
        commands.vtcli(
            "tryon", "--data", self.store, "-o", results, "--keep", "head", "--limit", count, *self.device
        )
        found = fid.share(results, count, self.options.device, self.work)
        return {"title": title, "target": target, "count": count, **found, "met": found["share"] >= target}

    def busy(self, row: str) -> dict[str, Any]:
        """Work beside a busy loop on every core."""
        title, target = BUSY[row]
        rounds = 1 if self.quick else 3
        if row in ("busy-tryon", "busy-score"):
            photos = ROOT / "sample_data" / "person.jpg", ROOT / "sample_data" / "cloth.jpg"
            call: tuple[object, ...] = ("tryon", *photos, "-o", self.work / "busy.png", *self.device)
            if row == "busy-score":
                results = self.work / "busy-results"
                call = ("tryon", "--data", self.store, "-o", results, "--keep", "head", "--limit", 32)
                commands.vtcli(*call, *self.device)
                call = ("score", results, "--bootstrap", 0, *self.device)
            found = beside(lambda: commands.vtcli(*call).seconds, rounds)
        else:
            with Side(row.replace("busy", "step"), "ours", self.config()) as side:
                found = beside(lambda: float(side.ask("go")), rounds)
        return {"title": title, "target": target, **found, "met": found["ratio"] <= target}

    def time(self, row: str) -> dict[str, Any]:
        """A command's start."""
        title, target = TIMES[row]
        runs = 3 if self.quick else 9
        if row == "help":
            seconds = commands.median(runs, *commands.VTCLI, "--help")
        else:
            photos = ROOT / "sample_data" / "person.jpg", ROOT / "sample_data" / "cloth.jpg"
            call = (*commands.VTCLI, "tryon", *photos, "-o", self.work / "cold.png", *self.device)
            seconds = commands.median(runs, *call) - commands.median(runs, "-c", "import torch")
        return {"title": title, "target": target, "seconds": seconds, "met": seconds <= target}


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


def _in_short(row: dict[str, Any]) -> str:
    """A row's own figure, for whoever is waiting."""
    for key in ("ratio", "rate", "share", "seconds"):
        if key in row:
            return f"{key} {row[key]:.3g}{'' if row['met'] else ', NOT met'}"
    return ""


def tables(result: dict[str, Any]) -> list[Table]:
    """The run as tables."""
    rows = result["rows"]
    tables = []
    table = Table(
        "work", "baseline", "vtcli", "ratio", "asked", "", "peak MiB", title="vtcli beside CP-VTON's way"
    )
    for row in (r for r in RATIOS if r in rows):
        v = rows[row]
        peaks = f"{v['baseline_peak_mib']} / {v['peak_mib']}" if "peak_mib" in v else ""
        low, high = v["ratio_range"]
        table.add_row(
            v["title"], _ms(v["baseline_seconds"]), _ms(v["seconds"]), f"{v['ratio']:.2f} ({low:.2f}–{high:.2f})",
            f"≥ {v['target']:g}", "yes" if v["met"] else "NO", peaks,
        )  # fmt: skip
    tables.append(table)
    table = Table("command", "measured", "asked", "", "peak MiB", title="whole commands")
    for row in (r for r in RATES if r in rows):
        v = rows[row]
        table.add_row(
            v["title"], f"{v['rate']:.1f} {v['unit']}", f"≥ {v['target']:g}", "yes" if v["met"] else "NO",
            str(v["peak_mib"]),
        )  # fmt: skip
    for row in (r for r in SHARES if r in rows):
        v = rows[row]
        table.add_row(
            v["title"], f"{v['share']:.0%}", f"≥ {v['target']:.0%}", "yes" if v["met"] else "NO", ""
        )
    for row in (r for r in TIMES if r in rows):
        v = rows[row]
        table.add_row(
            v["title"], f"{v['seconds']:.2f} s", f"≤ {v['target']:g} s", "yes" if v["met"] else "NO", ""
        )
    tables.append(table)
    table = Table("work", "idle", "busy", "ratio", "asked", "", title="beside a busy loop on every core")
    for row in (r for r in BUSY if r in rows):
        v = rows[row]
        low, high = v["ratio_range"]
        table.add_row(
            v["title"], _ms(v["idle_seconds"]), _ms(v["seconds"]), f"{v['ratio']:.2f} ({low:.2f}–{high:.2f})",
            f"≤ {v['target']:g}", "yes" if v["met"] else "NO",
        )  # fmt: skip
    tables.append(table)
    rates = result.get("matrix_products", {})
    said = [f"{rate / 1e9:.0f} GFLOP/s in {name}" for name, rate in rates.items()]
    table = Table(
        "work", "GFLOP a unit", "GFLOP/s", "of float32's", "of bfloat16's",
        title=f"of the machine's matrix products: {', '.join(said)}",
    )  # fmt: skip

    def share(speed: float, kind: str) -> str:
        return f"{speed / rates[kind]:.0%}" if kind in rates else "none here"

    for row in (r for r in FLOPS if r in rows):
        v = rows[row]
        speed = v["flops_per_second"]
        table.add_row(
            v["title"], f"{v['flops'] / 1e9:.1f}", f"{speed / 1e9:.0f}", share(speed, "float32"),
            share(speed, "bfloat16"),
        )  # fmt: skip
    tables.append(table)
    table = Table("work", "largest costs", title="where vtcli's time goes")
    for v in rows.values():
        if v.get("costs"):
            table.add_row(v["title"], ", ".join(f"{name} {share:.0%}" for name, share in v["costs"]))
    tables.append(table)
    if result.get("growth"):
        table = Table(
            "pairs", "prepare", "epoch (GMM, lite)", "batch tryon", "score", title="growth: time, peak memory"
        )
        for v in result["growth"]:
            cells = [
                f"{v[k]['seconds']:.1f} s, {v[k]['peak_mib']} MiB"
                for k in ("prepare", "epoch", "tryon", "score")
            ]
            table.add_row(f"{v['pairs']:,}", *cells)
        tables.append(table)
    return [t for t in tables if t.row_count]


def main() -> None:
    """Parse the command line, measure, print the tables, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # What needs no pairs comes first, so that there is something to read within seconds.
    first = [*TIMES, "tps-4", "tps-16"]
    every = [*first, *(r for r in (*RATIOS, *RATES, *SHARES, *BUSY) if r not in first), "growth"]
    parser.add_argument("--only", nargs="+", choices=every, metavar="ROW", help=", ".join(every))
    parser.add_argument("--quick", action="store_true", help="fewer rounds and pairs, no growth")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--data", type=Path, default=ROOT / "sample_data", help="VITON folder to take pairs from"
    )
    parser.add_argument("--jobs", type=int, default=2, help="cores that both sides of the loading rows use")
    parser.add_argument("--growth", nargs="+", type=int, default=[250, 1000, 4000], metavar="PAIRS")
    parser.add_argument("--json", type=Path, default=Path("benchmark.json"), help="file to write")
    options = parser.parse_args()
    device = runtime.choose_device(options.device)
    chosen = options.only or [row for row in every if row != "growth" or not options.quick]
    result: dict[str, Any] = {"quick": options.quick, **describe(device), "rows": {}}
    say.print(machine_line(result))
    with tempfile.TemporaryDirectory(prefix="vtcli-bench-") as name:
        bench = Bench(options, Path(name))
        kinds = (
            (RATIOS, bench.ratio), (RATES, bench.rate), (SHARES, bench.share), (TIMES, bench.time), (BUSY, bench.busy),
        )  # fmt: skip
        for row in (r for r in chosen if r != "growth"):
            measure = next(measure for rows, measure in kinds if row in rows)
            result["rows"][row] = measure(row)
            say.print(f"{row}: {_in_short(result['rows'][row])}")
            options.json.write_text(json.dumps(result, indent=1) + "\n")
        if any(row in FLOPS for row in chosen):
            result["matrix_products"] = matrix_rates(bench.config(False))
        if "growth" in chosen:
            say.print("growth")
            result["growth"] = growth(options.data, Path(name), options.growth, options.device)
    options.json.write_text(json.dumps(result, indent=1) + "\n")
    console = Console()
    console.print(machine_line(result))
    for table in tables(result):
        console.print(table)


if __name__ == "__main__":
    main()
