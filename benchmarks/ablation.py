"""The paper's Table 1 on a prepared split, by the command line alone: does the auxiliary segmentation help?

    python benchmarks/ablation.py prepared ablation --gmm-steps 2000 --tom-steps 1500 --seeds 0 1 --tom-seeds 0 1

Trains, at equal samples, the GMM without and with the auxiliary decoder for every seed, and the TOM (`--keep head`,
CP-VTON's losses) for the first seed: baseline (no decoder anywhere), in the TOM only, in both; for others that
`--tom-seeds` names, the first two of these. With `--equal-time` the first seed's auxiliary networks are trained again
for the minutes that their plain counterparts took; with `--aux-weights` its TOM with other weights of the auxiliary
loss. Figures are those of the test pairs that are for choosing (`vtcli.core.data.validation`), which it
writes to `ablation/choosing`. Runs that are there already are kept, so an interrupted ablation goes on. Writes `ablation/table.md`: figures
with 95 % paired-bootstrap intervals of the differences to the baseline of the same seed, warp IoU per seed, and every
command line.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vtcli.core.data.store import PreparedStore
from vtcli.core.data.validation import write_half
from vtcli.core.models.weights import read_metadata

METRICS = (
    ("ssim", "SSIM", 4),
    ("ms_ssim", "MS-SSIM", 4),
    ("psnr", "PSNR (dB)", 2),
    ("fd_lite0", "FD (Lite0)", 2),
)


@dataclass
class Ablation:
    """Paths and settings of one ablation, and the command lines so far."""

    data: Path
    out: Path
    seeds: list[int]
    gmm_steps: int
    tom_steps: int
    extra: list[str]
    commands: list[str] = field(default_factory=list)

    def run(self, *arguments: object) -> None:
        """One vtcli command, noted."""
        words = [str(a) for a in arguments]
        self.commands.append(shlex.join(["vtcli", *words]))
        print("$", self.commands[-1], flush=True)
        subprocess.run([sys.executable, "-m", "vtcli", *words], check=True)

    def train(self, stage: str, name: str, aux: bool, seed: int, budget: list[str], *more: object) -> Path:
        """Train into `out/name`; a run that has ended is kept, one that was stopped is resumed."""
        folder = self.out / name
        decoder = "--aux" if aux else "--no-aux"
        words = [
            "train",
            stage,
            decoder,
            "--data",
            self.data,
            "--out",
            folder,
            "--seed",
            seed,
            *budget,
            *more,
        ]
        if (folder / stage / "final.safetensors").is_file():
            self.commands.append(shlex.join(["vtcli", *map(str, [*words, *self.extra])]))
            return folder
        resume = ["--resume"] if (folder / stage / "last.safetensors").is_file() else []
        self.run(*words, *self.extra, *resume)
        return folder

    def facts(self, folder: Path, stage: str) -> dict[str, Any]:
        """The header of the weights that a run ended with."""
        return read_metadata(folder / stage / "final.safetensors")


@dataclass
class Row:
    """One row of the paper's table: a TOM with or without the decoder, upon which GMM, and what it is trained with."""

    name: str
    aux: bool
    gmm: Path
    options: list[str]

    def folder(self, seed: int) -> str:
        """Name of its run."""
        return f"tom-{self.name.replace(',', '').replace(' ', '-')}-{seed}"


def gmms(a: Ablation, equal_time: bool) -> list[str]:
    """The GMM without and with the decoder, every seed: lines of a table."""
    lines = [
        "| GMM | seed | samples | seconds | warp IoU | θ as predicted | L1 | warps that fold | M_exp mean IoU |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for seed in a.seeds:
        plain = a.train("gmm", f"gmm-plain-{seed}", False, seed, ["--steps", str(a.gmm_steps)])
        runs = [("plain", plain)]
        runs.append(("aux", a.train("gmm", f"gmm-aux-{seed}", True, seed, ["--steps", str(a.gmm_steps)])))
        if equal_time and seed == a.seeds[0]:
            minutes = f"{a.facts(plain, 'gmm')['seconds'] / 60:.2f}"
            runs.append(
                (
                    "aux, the plain one's time",
                    a.train("gmm", f"gmm-aux-time-{seed}", True, seed, ["--minutes", minutes]),
                )
            )
        for name, folder in runs:
            facts = a.facts(folder, "gmm")
            f = facts["figures"]
            parse = f"{f['parse_mean_iou']:.4f}" if "parse_mean_iou" in f else ""
            lines.append(
                f"| {name} | {seed} | {facts['samples']:,} | {facts['seconds']} | {f['warp_iou']:.4f} "
                f"| {f.get('predicted_iou', f['warp_iou']):.4f} | {f['l1']:.4f} "
                f"| {f['folded']:.1%} | {parse} |"
            )
    return lines


def toms(a: Ablation, seed: int, equal_time: bool, aux_weights: list[float]) -> list[str]:
    """The paper's rows: try-ons of the whole split, scored against the baseline of the same seed: lines of a table. All
    rows of the first seed, of others those that differ in the TOM alone."""
    first = seed == a.seeds[0]
    recipe = ["--keep", "head", "--losses", "cpvton"]
    steps = ["--steps", str(a.tom_steps), *recipe]
    plain = a.out / f"gmm-plain-{seed}"
    rows = [Row("baseline", False, plain, steps), Row("aux in TOM", True, plain, steps)]
    if first:
        rows.append(Row("aux in both", True, a.out / f"gmm-aux-{seed}", steps))
    for weight in aux_weights if first else []:
        rows.append(Row(f"aux in TOM, weight {weight}", True, plain, [*steps, "--aux-weight", str(weight)]))
    folders = [_trained(a, row, seed) for row in rows]
    if first and equal_time:
        minutes = f"{a.facts(folders[0], 'tom')['seconds'] / 60:.2f}"
        quick = ["--minutes", minutes, *recipe]
        rows.append(Row("aux in both, equal time", True, a.out / f"gmm-aux-time-{seed}", quick))
        folders.append(_trained(a, rows[-1], seed))
    results = [_try_on(a, folder, row.gmm) for folder, row in zip(folders, rows, strict=True)]
    file = a.out / f"scores-{seed}.json"
    a.run("score", *results, "--json", file, "--report", a.out / f"report-{seed}.html")
    scored = [row for row in json.loads(file.read_text()) if row["seen"] == "all"]
    lines = [
        f"| seed {seed} | "
        + " | ".join(label for _, label, _ in METRICS)
        + " | warp IoU | samples | seconds |",
        "|---" * (len(METRICS) + 4) + "|",
    ]
    for row, folder, figures in zip(rows, folders, scored, strict=True):
        facts = a.facts(folder, "tom")
        cells = []
        for key, _, digits in METRICS:
            cell = f"{figures[key]:.{digits}f}"
            difference = figures["difference_to_first"].get(key)
            if difference:
                low, high = difference["low"], difference["high"]
                cell += f" ({difference['difference']:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}])"
            cells.append(cell)
        cells += [f"{figures['figures']['warp_iou']:.4f}", f"{facts['samples']:,}", str(facts["seconds"])]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _trained(a: Ablation, row: Row, seed: int) -> Path:
    return a.train("tom", row.folder(seed), row.aux, seed, row.options, "--gmm", row.gmm)


def _try_on(a: Ablation, tom: Path, gmm: Path) -> Path:
    """Results folder of the pair of networks over the split, paired, `head`."""
    weights = tom / "weights"
    weights.mkdir(exist_ok=True)
    for stage, folder in (("gmm", gmm), ("tom", tom)):
        (weights / f"{stage}.safetensors").write_bytes((folder / stage / "final.safetensors").read_bytes())
    results = a.out / "results" / tom.name
    a.run(
        "tryon",
        "--data",
        a.out / "choosing",
        "--pairs",
        "paired",
        "--keep",
        "head",
        "--weights",
        weights,
        "-o",
        results,
    )
    return results


def main() -> None:
    """Parse the command line, train, score, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--gmm-steps", type=int, default=2000)
    parser.add_argument("--tom-steps", type=int, default=1500)
    parser.add_argument("--tom-seeds", type=int, nargs="+", help="some of --seeds; by default the first")
    parser.add_argument("--equal-time", action="store_true")
    parser.add_argument("--aux-weights", type=float, nargs="*", default=[], help="for the first TOM seed")
    parser.add_argument("--train-options", default="", help="more options for every `vtcli train`")
    o = parser.parse_args()
    tom_seeds = o.tom_seeds or o.seeds[:1]
    if not set(tom_seeds) <= set(o.seeds):
        parser.error("--tom-seeds: each needs GMMs of the same seed: name it in --seeds, too")
    a = Ablation(o.data, o.out, o.seeds, o.gmm_steps, o.tom_steps, shlex.split(o.train_options))
    a.out.mkdir(parents=True, exist_ok=True)
    write_half(PreparedStore.open(o.data, "test"), "choosing", a.out / "choosing" / "test")
    warps = gmms(a, o.equal_time)
    tryons = []
    for seed in tom_seeds:
        tryons += toms(a, seed, o.equal_time, o.aux_weights)
    text = "\n".join([*tryons, *warps, "", "```sh", *a.commands, "```", ""])
    (a.out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
