"""Beside other programs: commands wait without spinning and use the cores they may use; a library user's process is
left alone."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vtcli.core.system import cores

ROOT = Path(__file__).resolve().parent.parent
NAMES = (*cores.WAITING, "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# What a command does is replaced by a look at the environment and at what OpenMP itself has understood.
COMMAND = """
import json, os, sys, threading
from vtcli.cli import app
def look():
    assert "torch" not in sys.modules
    before = dict(os.environ)
    import torch
    print(json.dumps([before, torch.get_num_threads()]))
app.app = look
app.main()
"""
LIBRARY = """
import json, os
before = dict(os.environ)
from vtcli import TryOn
import vtcli.core.training.run, vtcli.core.scoring.evaluate
assert TryOn.load
print(json.dumps([before, dict(os.environ)]))
"""


def _run(program: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k not in NAMES}
    return subprocess.run(
        [sys.executable, "-c", program], env={**kept, "PYTHONPATH": str(ROOT), **more}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip


def test_commands_wait_without_spinning() -> None:
    ended = _run(COMMAND, OMP_DISPLAY_ENV="verbose")
    environment, threads = json.loads(ended.stdout)
    assert {k: environment.get(k) for k in cores.WAITING} == cores.WAITING
    assert threads <= cores.usable_cores()
    if "GOMP_SPINCOUNT" in ended.stderr:  # GNU's OpenMP says what it has understood
        assert "GOMP_SPINCOUNT = '0'" in ended.stderr


def test_what_the_user_has_set_stays() -> None:
    environment, _ = json.loads(_run(COMMAND, OMP_WAIT_POLICY="active", OMP_NUM_THREADS="1").stdout)
    assert environment["OMP_WAIT_POLICY"] == "active" and environment["OMP_NUM_THREADS"] == "1"
    assert "GOMP_SPINCOUNT" not in environment and "KMP_BLOCKTIME" not in environment


def test_a_library_users_process_is_left_alone() -> None:
    before, after = json.loads(_run(LIBRARY).stdout)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert not changed & set(NAMES)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_threads_follow_the_affinity() -> None:
    first = min(os.sched_getaffinity(0))
    program = f"import os; os.sched_setaffinity(0, {{{first}}})\n" + COMMAND
    assert json.loads(_run(program).stdout)[1] == 1


def test_limits_of_control_groups(tmp_path: Path) -> None:
    own, mounts = tmp_path / "cgroup", tmp_path / "mounts"

    def group(lines: str, files: dict[str, str]) -> float:
        own.write_text(lines)
        for name, text in files.items():
            (mounts / name).parent.mkdir(parents=True, exist_ok=True)
            (mounts / name).write_text(text)
        return cores.cpu_quota(own, mounts)

    assert cores.cpu_quota(tmp_path / "absent", mounts) == math.inf
    assert group("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}) == math.inf
    assert group("0::/a/b\n", {"a/b/cpu.max": "250000 100000\n"}) == 2.5
    assert group("0::/a/b\n", {"a/cpu.max": "50000 100000\n"}) == 0.5  # the group above allows less
    assert group("0::/\n", {"cpu.max": "300000 100000\n"}) == 3.0
    version_1 = {"cpu,cpuacct/cpu.cfs_quota_us": "150000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}
    line = "4:cpu,cpuacct:/docker/123\n2:memory:/docker/123\n"
    assert group(line, version_1) == 1.5
    assert group(line, {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n"}) == math.inf


def test_threads_follow_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert cores.settings() == cores.WAITING or cores.cpu_quota() < math.inf
    monkeypatch.setattr(cores, "cpu_quota", lambda: 0.5)
    assert cores.usable_cores() == 1
    assert cores.settings() == {**cores.WAITING, "OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert cores.settings() == cores.WAITING
