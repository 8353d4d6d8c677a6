"""No work is lost to where the words go: encodings, closed pipes, full disks, narrow terminals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from score_samples import blur, make_results, make_store, run_score
from typer.main import get_command

from vtcli.cli import console
from vtcli.cli.app import app


def run_process(
    *arguments: object, encoding: str = "utf-8", columns: int = 80, **streams: int
) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a process whose streams have `encoding`."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": str(columns), "NO_COLOR": "1"}
    ended = subprocess.run(
        [sys.executable, "-m", "vtcli", *map(str, arguments)],
        env=environment, timeout=300, check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},  # type: ignore[call-overload]
    )  # fmt: skip
    return ended.returncode, *((part or b"").decode(encoding) for part in (ended.stdout, ended.stderr))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two small runs of one store."""
    root = tmp_path_factory.mktemp("console")
    store = make_store(root / "store", 3, size=(48, 40))
    return [make_results(root / f"run-{i}", store, blur(0.5 + i)) for i in range(2)]


def _names(command: Any, prefix: str = "") -> list[str]:
    """`command` and everything below it, as words of the command line."""
    below = getattr(command, "commands", {})
    return [prefix.strip(), *(n for name, sub in below.items() for n in _names(sub, f"{prefix} {name}"))]


def test_help_and_lists_in_poor_encodings() -> None:
    """Every command's help is written by one process, in both encodings."""
    names = _names(get_command(app))
    assert {"train", "weights list", "score"} <= set(names)
    program = (
        "import sys\nfrom vtcli.cli.app import main\n"
        f"for name in {names!r}:\n"
        "    sys.argv = ['vtcli', *name.split(), '--help']\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert not end.code, (name, end.code)\n"
        "sys.argv = ['vtcli', 'weights', 'list']\nmain()\n"
    )
    for encoding in ("ascii", "cp1252"):
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, timeout=300, check=False,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr.decode(encoding)
        text = ended.stdout.decode(encoding)
        assert text.count("Usage") == len(names)
        assert "Traceback" not in ended.stderr.decode(encoding)


def test_a_table_in_ascii_has_all_its_rows(results: list[Path]) -> None:
    code, out, err = run_process("score", *results, "--bootstrap", 20, encoding="ascii")
    assert code == 0, err
    assert "SSIM ^" in out
    assert "FD (Lite0) v" in out
    assert "Traceback" not in err


def test_files_are_written_though_the_reader_has_gone(results: list[Path], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arguments = (
        "--json",
        tmp_path / "s.json",
        "--per-image",
        tmp_path / "s.csv",
        "--report",
        tmp_path / "s.html",
    )
    code, _, err = run_process("score", *results, *arguments, "--bootstrap", 20, stdout=writer)
    os.close(writer)
    assert (code, "Traceback" in err, "Exception ignored" in err) == (0, False, False), err
    assert all((tmp_path / name).stat().st_size for name in ("s.json", "s.csv", "s.html"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_standard_output_is_one_line_after_the_files(
    results: list[Path], tmp_path: Path
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    code, _, err = run_process("score", results[0], "--json", tmp_path / "s.json", stdout=full)
    assert code == 1
    assert "vtcli: standard output: cannot be written (No space left on device)" in err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert (tmp_path / "s.json").stat().st_size
    code, out, _ = run_process("score", results[0], "--json", tmp_path / "t.json", stderr=full)
    os.close(full)
    assert code == 0
    assert "SSIM" in out
    assert (tmp_path / "t.json").stat().st_size


def test_eight_runs_are_readable_at_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "store", 3, size=(176, 168))
    runs = [make_results(tmp_path / f"run-{i}", store, blur(0.5 + 0.2 * i)) for i in range(8)]
    monkeypatch.setattr(console.out, "width", 80)
    result = run_score(*runs, "--bootstrap", 20, "--jobs", 1)
    assert result.exception is None, result.exception
    lines = [line for line in result.stdout.splitlines() if line.startswith(("│", "┃", "all pairs"))]
    assert all(len(line) <= 80 for line in lines)
    heads = [line for line in lines if line.startswith("┃")]
    assert len(heads) > 1
    assert all(sum(f"run-{i} " in head for head in heads) == 1 for i in range(8)), (
        "each run once, its name whole"
    )
    assert sum("runs 1 to" in line for line in lines) == 1
    cells = [line for line in lines if line.startswith("│ SSIM ↑")]
    assert len(cells) == len(heads)
    assert "…" not in "".join(lines)


def test_a_log_holds_no_cursor_codes_and_whole_cells(
    results: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FORCE_COLOR makes rich take a pipe for a terminal: colours, yes, but no bars."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, _, err = run_process("score", *results, "--bootstrap", 20)
    assert code == 0
    assert not any(code in err for code in ("\x1b[?25l", "\x1b[2K", "\x1b[1A")), err
    monkeypatch.delenv("FORCE_COLOR")
    code, out, _ = run_process("weights", "list", columns=40)
    assert code == 0
    assert "…" not in out
    assert all(name in out for name in ("gmm.safetensors", "parser.safetensors", "sha256"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("tryon", "a.jpg", "b.jpg", "-o", "-"), ("tryon", "a.jpg", "b.jpg", "-o", "o.png", "--panel", "-"),
        ("tryon", "--data", "d", "-o", "-"), ("warp", "a.jpg", "b.jpg", "-o", "-"), ("prepare", "d", "-o", "-"),
        ("train", "gmm", "--out", "-"), ("weights", "import", "a.pth", "-o", "-"), ("score", "r", "--json", "-"),
        ("score", "r", "--report", "-"),
    ],
)  # fmt: skip
def test_nothing_goes_to_a_file_called_dash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vtcli: Any, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = vtcli(*arguments)
    assert ended.code == 2
    assert "-: nothing is written to standard output; name a file" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "code", "arguments", "told"),
    [
        (
            "cv2", "raise ImportError('libGL.so.1: cannot open shared object file')", ("prepare", "d"),
            "opencv-python-headless does not load (libGL.so.1: cannot open shared object file); `pip install "
            "--force-reinstall opencv-python-headless` repairs it, after `pip uninstall opencv-python",
        ),
        (
            "torch", "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')", ("weights", "list"),
            "torch is not installed; `pip install --force-reinstall torch` repairs it",
        ),
        (
            "torch", "import torch_inside", ("weights", "list"),
            "torch does not load (No module named 'torch_inside'); `pip install --force-reinstall torch` repairs it",
        ),
    ],
)  # fmt: skip
def test_a_missing_or_broken_library_is_one_line_with_the_repair(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    code: str,
    arguments: tuple[str, ...],
    told: str,
) -> None:
    (tmp_path / f"{module}.py").write_text(code)
    (tmp_path / "d/image").mkdir(parents=True)
    root = Path(__file__).resolve().parent.parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(root))))
    monkeypatch.chdir(tmp_path)
    code_, _, err = run_process(*arguments)
    assert code_ == 1
    assert told in err
    assert len(err.splitlines()) == 1
