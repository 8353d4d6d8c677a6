"""Imports go one way through the rooms, in no circle; maps of rooms name their files; functions are short."""

from __future__ import annotations

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "vtcli" / "core"
BELOW = {
    "system": set(),
    "garments": {"system"},
    "data": {"garments", "system"},
    "synthetic": {"data", "system"},
    "models": {"data", "garments", "system"},
    "training": {"models", "data", "garments", "system"},
    "tryon": {"models", "data", "garments", "system"},
    "scoring": {"models", "data", "garments", "system"},
}  # fmt: skip
"""The rooms that each room of `vtcli/core` may import from, besides itself."""


def _modules() -> dict[str, Path]:
    """The project's modules by their dotted names."""
    files = {file.relative_to(ROOT).with_suffix(""): file for file in sorted((ROOT / "vtcli").rglob("*.py"))}
    return {".".join(p.parts[:-1] if p.name == "__init__" else p.parts): file for p, file in files.items()}


def _imported(file: Path, modules: dict[str, Path]) -> set[str]:
    """The project's modules that `file` imports anywhere, in functions and for types too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{file}: a relative import"
            inner = {f"{node.module}.{name.name}" for name in node.names}
            names |= inner & modules.keys() or {node.module}
    return names & modules.keys()


def _room(module: str) -> str | None:
    parts = module.split(".")
    return parts[2] if parts[:2] == ["vtcli", "core"] and len(parts) > 2 else None


def test_every_room_is_known() -> None:
    assert {p.name for p in CORE.iterdir() if (p / "__init__.py").exists()} == BELOW.keys()
    list(graphlib.TopologicalSorter(BELOW).static_order())  # the rule itself has no circle


def test_no_room_imports_upward() -> None:
    modules, upward = _modules(), []
    crossings = set()
    for module, file in modules.items():
        room = _room(module)
        if room is None:
            continue
        for other in _imported(file, modules):
            if other == "vtcli":  # the version
                continue
            assert other.startswith("vtcli.core"), f"{module} knows of {other}, which is above"
            below = _room(other)
            if below not in (room, None):
                crossings.add((room, below))
            if below not in BELOW[room] | {room, None}:
                upward.append(f"{module} imports {other}")
    assert not upward, upward
    assert {("training", "models"), ("models", "data"), ("data", "system")} <= crossings


def test_no_circle_between_modules() -> None:
    modules = _modules()
    # `vtcli` itself hands out TryOn and the version: it is above and below.
    graph = {module: _imported(file, modules) - {module, "vtcli"} for module, file in modules.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("folder", ["vtcli", "benchmarks", "tests"])
def test_functions_are_short(folder: str) -> None:
    """80 lines at most below the signature, which on the command line is a list of options."""
    long = []
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                lines = node.end_lineno - node.body[0].lineno + 1
                if lines > 80:
                    long.append(f"{file.relative_to(ROOT)}: {node.name}, {lines} lines")
    assert not long, long


PACKAGES = [
    ROOT / "vtcli" / "cli",
    *sorted(p.parent for p in CORE.rglob("__init__.py")),
    *sorted(p.parent for p in (ROOT / "benchmarks").rglob("__init__.py")),
]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_map_of_a_room_names_its_files(package: Path) -> None:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    files = {file.stem for file in package.glob("*.py")} - {"__init__"}
    rooms = {folder.name for folder in package.iterdir() if (folder / "__init__.py").exists()}
    unnamed = sorted(name for name in files | rooms if not re.search(rf"\b{name}\b", text))
    assert not unnamed, f"{package}: its docstring does not name {unnamed}"
    named = set(re.findall(r"(?<!/)\b(\w+)\.py\b", text))
    assert named <= files | {"__init__"}, f"{package}: not there: {sorted(named - files)}"
