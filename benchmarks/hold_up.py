"""What vtcli loses when it is killed, when the disk is full or read-only, and when files are bad: nothing.

    python benchmarks/hold_up.py --work DIR --json held.json        # in full, 30 kills of each command
    python benchmarks/hold_up.py --work DIR --kills 2 --only kills  # a little of it

Runs are forked from one process that has torch imported, on the pairs in `sample_data`, with networks and shards
made small (`forks.shrink`): the code that runs is the commands' own. Delays are seeded. Every kill is a SIGKILL to
the whole process group; the command is then started again, and killed again, until it gets through, and what it
leaves must be, byte for byte, what an undisturbed run leaves (training: every weight and optimiser value bit for bit).
Filling a disk needs the right to mount a small tmpfs; without it that part is left out, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.reliability import bad_files, forks

SAMPLES = forks.ROOT / "sample_data"
SIZE = "128x96"
TERM_SECONDS = 10.0


@dataclass
class Tally:
    """One line of the table: `tried` times something was done; `lost` says what went wrong (nothing should)."""

    what: str
    tried: int = 0
    note: str = ""
    lost: list[str] = field(default_factory=list)

    def check(self, right: bool, problem: str) -> None:
        """Note a loss."""
        if not right:
            self.lost.append(problem)


@dataclass
class Command:
    """A command under test: its arguments for an output folder, and what it leaves there, comparable."""

    name: str
    arguments: Callable[[Path], list[object]]
    leaves: Callable[[Path], dict[str, Any]]
    sound: Callable[[Path], str | None] = lambda out: None
    """What is wrong with the folder a killed run has left, if something is."""


class Bench:
    """The pairs, the small weights and the commands."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.logs = work / "logs"
        self.store, self.weights, self.results = work / "store", work / "weights", work / "results"
        self.commands = {
            c.name: c
            for c in (
                Command("prepare", self._prepare, _tree, _sound_store),
                Command("train", self._train, _run_folder, _sound_run),
                Command("tryon", self._tryon, _tree, _sound_pictures),
                Command("score", self._score, _tree, _sound_scores),
            )
        }

    def set_up(self) -> None:
        """Make what the commands need."""
        import torch

        from vtcli.core.models.presets import build_gmm, build_tom
        from vtcli.core.models.weights import save_weights

        torch.manual_seed(0)
        metadata = {"preset": "lite", "aux": True, "size": [int(side) for side in SIZE.split("x")]}
        gmm, tom = build_gmm("lite", True), build_tom("lite", True)
        save_weights(self.weights / "gmm.safetensors", gmm, {"stage": "gmm", **metadata})
        save_weights(self.weights / "tom.safetensors", tom, {"stage": "tom", **metadata})
        for arguments in (self._prepare(self.store), self._tryon(self.results)):
            ended = forks.run(arguments, self.logs)
            if ended.code:
                raise SystemExit(f"cannot set up: {ended.err}")

    def _prepare(self, out: Path) -> list[object]:
        return ["prepare", SAMPLES, "--out", out, "--size", SIZE, "--jobs", 1]

    def _train(self, out: Path) -> list[object]:
        resume = ["--resume"] if (out / "gmm" / "last.safetensors").exists() else []
        return [
            "train", "gmm", "--data", self.store, "--out", out, "--steps", 12, "--batch-size", 4, "--val", 4,
            "--validate-every", 5, "--checkpoint-minutes", 0, "--device", "cpu", *resume,
        ]  # fmt: skip

    def _tryon(self, out: Path) -> list[object]:
        return [
            "tryon", "--data", self.store, "--weights", self.weights, "--batch-size", 2, "--save-parse", "-o", out,
            "--device", "cpu",
        ]  # fmt: skip

    def _score(self, out: Path) -> list[object]:
        return [
            "score", self.results, "--json", out / "scores.json", "--per-image", out / "pictures.csv", "--report",
            out / "report.html", "--bootstrap", 20, "--jobs", 1, "--device", "cpu",
        ]  # fmt: skip


# -- what a command leaves, and what must be so at any moment -------------------------------------------------

SECONDS = re.compile(rb'"seconds": [0-9.]+')
WRITTEN = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d UTC")
RUNNING_TIME = re.compile(rb"[0-9.]+ s(?:econds)?\b")


def _tree(folder: Path) -> dict[str, Any]:
    """Every file's bytes, but for locks; how long it took is blotted out."""
    files: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(".lock"):
            data = path.read_bytes()
            if path.suffix == ".json":
                data = SECONDS.sub(b"", data)
            if path.suffix == ".html":
                data = WRITTEN.sub(b"", RUNNING_TIME.sub(b"", data))
            files[str(path.relative_to(folder))] = data
    return files


def _tensors(path: Path) -> dict[str, bytes]:
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        return {key: file.get_tensor(key).numpy().tobytes() for key in file.keys()}  # noqa: SIM118


def _run_folder(out: Path) -> dict[str, Any]:
    folder = out / "gmm"
    left: dict[str, Any] = {
        f: _tensors(folder / f) for f in ("last.safetensors", "best.safetensors", "final.safetensors")
    }
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    left["validation"] = [line for line in lines if line["group"] == "validation"]
    left["files"] = sorted(p.name for p in folder.iterdir() if not p.name.startswith((".lock", "events.out")))
    return left


def _sound_run(out: Path) -> str | None:
    import torch
    from safetensors import safe_open

    for path in (out / "gmm").glob("*.safetensors"):
        with safe_open(str(path), framework="pt") as file:
            for key in file.keys():  # noqa: SIM118
                if not bool(torch.isfinite(file.get_tensor(key).float()).all()):
                    return f"{path.name}: {key} is not finite"
    return None


def _sound_store(out: Path) -> str | None:
    from vtcli.core.data.store import PreparedStore

    for manifest in out.glob("*/manifest.json"):
        PreparedStore.open(manifest.parent)
    return None


def _sound_pictures(out: Path) -> str | None:
    from PIL import Image

    for path in out.glob("*/*.png"):
        with Image.open(path) as image:
            image.load()
    if (out / "results.json").exists():
        json.loads((out / "results.json").read_text())
    return None


def _sound_scores(out: Path) -> str | None:
    if (out / "scores.json").exists():
        json.loads((out / "scores.json").read_text())
    page = out / "report.html"
    return None if not page.exists() or "</html>" in page.read_text() else "report.html is cut short"


def _soundness(command: Command, out: Path) -> str | None:
    try:
        return command.sound(out)
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"


def _differences(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    names = [k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)]
    return ", ".join(sorted(names)[:5])


# -- kills ---------------------------------------------------------------------------------------------------


def kill(bench: Bench, command: Command, kills: int, seed: int) -> Tally:
    """Kill a command at random moments until it has been killed `kills` times, and see it through each time."""
    tally = Tally(f"kill -9, {command.name}")
    folder = bench.work / f"kill-{command.name}"
    shutil.rmtree(folder, ignore_errors=True)
    whole = forks.run(command.arguments(folder / "whole"), bench.logs)
    if whole.code:
        tally.lost.append(f"undisturbed it failed: {whole.err}")
        return tally
    expected = command.leaves(folder / "whole")
    delay = forks.moments(seed, whole.seconds)
    runs, through = 0, 0
    while tally.tried < kills:
        out = folder / f"run-{runs}"
        runs += 1
        while True:
            last = tally.tried >= kills
            ended, killed = forks.run_and_signal(command.arguments(out), bench.logs, 1e6 if last else delay())
            if killed is None:
                break
            tally.tried += 1
            problem = _soundness(command, out)
            tally.check(problem is None, f"run {runs}, kill {tally.tried}: left {problem}")
        through += 1
        tally.check(ended.code == 0, f"run {runs}: started again it failed: {ended.err.strip()}")
        if ended.code == 0:
            different = _differences(command.leaves(out), expected)
            tally.check(not different, f"run {runs}: ended otherwise: {different}")
        shutil.rmtree(out, ignore_errors=True)
    tally.note = f"{through} runs seen through, each equal to an undisturbed one of {whole.seconds:.1f} s"
    return tally


def terminate(bench: Bench, times: int, seed: int) -> Tally:
    """SIGTERM to a training at random moments: a checkpoint within ten seconds, and the same end."""
    command = bench.commands["train"]
    tally = Tally("SIGTERM, train")
    folder = bench.work / "term"
    shutil.rmtree(folder, ignore_errors=True)
    whole = forks.run(command.arguments(folder / "whole"), bench.logs)
    expected = command.leaves(folder / "whole")
    delay = forks.moments(seed, whole.seconds)
    slowest, runs, tries = 0.0, 0, 0
    while tally.tried < times and tries < 6 * times:
        out = folder / f"run-{runs}"
        runs += 1
        while True:
            tries += 1
            last = tally.tried >= times
            ended, took = forks.run_and_signal(
                command.arguments(out), bench.logs, 1e6 if last else delay(), signal.SIGTERM
            )
            if took is None:
                break
            if ended.code == -signal.SIGTERM:
                continue  # it had not begun to train: there is nothing to save
            tally.tried += 1
            slowest = max(slowest, took)
            tally.check(took <= TERM_SECONDS, f"SIGTERM {tally.tried}: took {took:.1f} s")
            if ended.code == 0:  # it was as good as done, and got there in time
                break
            saved = (out / "gmm" / "last.safetensors").exists()
            tally.check(ended.code == 130 and saved, f"SIGTERM {tally.tried}: code {ended.code}: {ended.err}")
        different = _differences(command.leaves(out), expected) if ended.code == 0 else ended.err
        tally.check(not different, f"run {runs}: ended otherwise: {different}")
        shutil.rmtree(out, ignore_errors=True)
    tally.note = f"slowest checkpoint after {slowest:.1f} s, {runs} runs seen through"
    return tally


# -- disks ---------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[str], None]]:
    """A tmpfs of `size` bytes at `folder`, and a function that remounts it with other options."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield (
            lambda options: subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True) and None
        )
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def can_mount() -> bool:
    """Whether this process may mount a tmpfs."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder) / "disk", 1 << 20):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def fill(bench: Bench, command: Command, times: int, seed: int) -> Tally:
    """Run a command on disks that are too small; then, with room, to its end."""
    tally = Tally(f"full disk, {command.name}")
    folder = bench.work / f"disk-{command.name}"
    shutil.rmtree(folder, ignore_errors=True)
    whole = forks.run(command.arguments(folder / "whole"), bench.logs)
    expected = command.leaves(folder / "whole")
    need = sum(p.stat().st_blocks * 512 for p in (folder / "whole").rglob("*") if p.is_file())
    share = forks.moments(seed, 0.85)
    for number in range(times):
        disk = folder / f"disk-{number}"
        size = max(16384, int(need * (0.02 + share())))
        with small_disk(disk, size) as remount:
            out = disk / "out"
            ended = forks.run(command.arguments(out), bench.logs)
            tally.tried += 1
            case = f"disk {number} of {size} bytes"
            tally.check(ended.problem is None, f"{case}: {ended.problem}")
            tally.check(ended.code == 1, f"{case}: exit code {ended.code}")
            tally.check("No space left" in ended.err, f"{case}: says {ended.err.strip()}")
            tally.check(not list(out.rglob("*.part")), f"{case}: left temporary files")
            problem = _soundness(command, out)
            tally.check(problem is None, f"{case}: left {problem}")
            remount(f"size={10 * need + (1 << 20)}")
            ended = forks.run(command.arguments(out), bench.logs)
            tally.check(ended.code == 0, f"{case}, enlarged: {ended.err.strip()}")
            if ended.code == 0:
                different = _differences(command.leaves(out), expected)
                tally.check(not different, f"{case}, enlarged: ended otherwise: {different}")
    tally.note = f"2 % to 87 % of the {need:,} bytes it needs; then enlarged, the same end"
    del whole
    return tally


def read_only(bench: Bench, command: Command) -> Tally:
    """Run a command again on a finished folder that has become read-only: one line, and nothing changed."""
    tally = Tally(f"read-only folder, {command.name}")
    more: dict[str, list[object]] = {"prepare": ["--force"], "train": ["--resume"]}
    with small_disk(bench.work / f"ro-{command.name}", 1 << 28) as remount:
        for out in (bench.work / f"ro-{command.name}" / name for name in ("finished", "empty")):
            out.mkdir()
            remount("rw")
            if out.name == "finished":
                ended = forks.run(command.arguments(out), bench.logs)
                tally.check(ended.code == 0, f"could not be made: {ended.err}")
            before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
            arguments = command.arguments(out)
            extra = [a for a in more.get(command.name, []) if a not in arguments] if before else []
            remount("ro")
            ended = forks.run([*arguments, *extra], bench.logs)
            tally.tried += 1
            tally.check(ended.problem is None, f"{out.name}: {ended.problem}")
            tally.check(
                ended.code == 1 and "Read-only" in ended.err,
                f"{out.name}: code {ended.code}: {ended.err.strip()}",
            )
            after = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
            tally.check(before == after, f"{out.name}: changed")
            remount("rw")
    return tally


# -- all of it -----------------------------------------------------------------------------------------------


def main() -> None:
    """Run what is asked for; print a table, write JSON; exit 1 where anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="folder to work in (default: a temporary one)")
    parser.add_argument("--kills", type=int, default=30, help="kills of each command, SIGTERMs a third of it")
    parser.add_argument("--disks", type=int, default=10, help="small disks for each command")
    parser.add_argument("--every", type=int, default=1, help="of the bad files' cases, every nth")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=["kills", "term", "disk", "corpus"])
    parser.add_argument("--commands", nargs="*", default=["prepare", "train", "tryon", "score"])
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    options = parser.parse_args()
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
    forks.warm()
    forks.shrink()
    forks.keep_annotator(None, "auto")
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        tallies: list[Tally] = []

        def done(tally: Tally) -> None:
            tallies.append(tally)
            print(f"{tally.what:28} {tally.tried:6,} {len(tally.lost):5} lost  {tally.note}", flush=True)
            for line in tally.lost[:20]:
                print(f"    {line}", flush=True)
            if options.json is not None:
                options.json.write_text(json.dumps([asdict(t) for t in tallies], indent=1) + "\n")

        bench = Bench(Path(folder))
        bench.set_up()
        chosen = [bench.commands[name] for name in options.commands]
        if "kills" in options.only:
            for command in chosen:
                done(kill(bench, command, options.kills, options.seed))
        if "term" in options.only:
            done(terminate(bench, max(1, options.kills // 3), options.seed))
        if "disk" in options.only:
            if can_mount():
                for command in chosen:
                    done(fill(bench, command, options.disks, options.seed))
                    done(read_only(bench, command))
            else:
                done(Tally("full disk, read-only folder", note="left out: no right to mount"))
        if "corpus" in options.only:
            for tally in bad_files.walk(bench, Tally, options.every):
                done(tally)
    if any(tally.lost for tally in tallies):
        sys.exit(1)


if __name__ == "__main__":
    main()
