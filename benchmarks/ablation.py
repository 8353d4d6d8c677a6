"""The paper's Table 1 on a prepared split, by the command line alone: does the auxiliary segmentation help?

    python benchmarks/ablation.py prepared ablation --gmm-steps 2000 --tom-steps 1500 --seeds 0 1

Trains, at equal samples, the GMM without and with the auxiliary decoder for every seed, and for the first seed the
TOM (`--keep head`, CP-VTON's losses): baseline (no decoder anywhere), in the TOM only, in both. With `--equal-time`
the first seed's auxiliary networks are trained again for the minutes that their plain counterparts took. Runs that
are there already are kept, so an interrupted ablation goes on. Writes `ablation/table.md`: figures with 95 %
paired-bootstrap intervals of the differences to the baseline, warp IoU per seed, and every command line.
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

from vtcli.core.weights import read_facts

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
        return read_facts(folder / stage / "final.safetensors")


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


def toms(a: Ablation, equal_time: bool) -> list[str]:
    """The paper's rows: try-ons of the whole split, scored against the baseline: lines of a table."""
    seed = a.seeds[0]
    recipe = ["--keep", "head", "--losses", "cpvton"]
    steps = ["--steps", str(a.tom_steps), *recipe]
    rows = [
        ("baseline", False, "plain", steps),
        ("aux in TOM", True, "plain", steps),
        ("aux in both", True, "aux", steps),
    ]
    results, notes = [], []
    for name, aux, gmm, budget in rows:
        folder = a.train(
            "tom", name.replace(" ", "-"), aux, seed, budget, "--gmm", a.out / f"gmm-{gmm}-{seed}"
        )
        results.append(_try_on(a, folder, a.out / f"gmm-{gmm}-{seed}"))
        notes.append(a.facts(folder, "tom"))
    if equal_time:
        minutes = f"{notes[0]['seconds'] / 60:.2f}"
        budget = ["--minutes", minutes, *recipe]
        name = "aux in both, the baseline's time"
        gmm_folder = a.out / f"gmm-aux-time-{seed}"
        folder = a.train("tom", "aux-in-both-time", True, seed, budget, "--gmm", gmm_folder)
        rows.append((name, True, "aux-time", budget))
        results.append(_try_on(a, folder, gmm_folder))
        notes.append(a.facts(folder, "tom"))
    file = a.out / "scores.json"
    a.run("score", *results, "--json", file, "--report", a.out / "report.html")
    scored = [row for row in json.loads(file.read_text()) if row["seen"] == "all"]
    lines = [
        "| | " + " | ".join(label for _, label, _ in METRICS) + " | warp IoU | samples | seconds |",
        "|---" * (len(METRICS) + 4) + "|",
    ]
    for (name, *_), row, facts in zip(rows, scored, notes, strict=True):
        cells = []
        for key, _, digits in METRICS:
            cell = f"{row[key]:.{digits}f}"
            difference = row["difference_to_first"].get(key)
            if difference:
                low, high = difference["low"], difference["high"]
                cell += f" ({difference['difference']:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}])"
            cells.append(cell)
        cells += [f"{row['figures']['warp_iou']:.4f}", f"{facts['samples']:,}", str(facts["seconds"])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _try_on(a: Ablation, tom: Path, gmm: Path) -> Path:
    """Results folder of the pair of networks over the split, paired, `head`."""
    weights = tom / "weights"
    weights.mkdir(exist_ok=True)
    for stage, folder in (("gmm", gmm), ("tom", tom)):
        (weights / f"{stage}.safetensors").write_bytes((folder / stage / "final.safetensors").read_bytes())
    results = a.out / "results" / tom.name
    a.run(
        "tryon", "--data", a.data, "--pairs", "paired", "--keep", "head", "--weights", weights, "-o", results
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
    parser.add_argument("--equal-time", action="store_true")
    parser.add_argument("--train-options", default="", help="more options for every `vtcli train`")
    o = parser.parse_args()
    a = Ablation(o.data, o.out, o.seeds, o.gmm_steps, o.tom_steps, shlex.split(o.train_options))
    a.out.mkdir(parents=True, exist_ok=True)
    first = gmms(a, o.equal_time)
    second = toms(a, o.equal_time)
    text = "\n".join([*second, "", *first, "", "```sh", *a.commands, "```", ""])
    (a.out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
