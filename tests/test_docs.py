"""Documents name files that are there; links between them lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("*.md")),
    ROOT / "vtcli/weights/README.md",
    *sorted((ROOT / "benchmarks").glob("*.md")),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing, f"{document}: {missing}"


def test_files_that_the_architecture_names() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = "data|garments|synthetic|models|training|tryon|scoring|system"
    named = set(re.findall(rf"\b((?:{rooms})/\w+\.py)", text))
    missing = sorted(name for name in named if not (ROOT / "vtcli/core" / name).exists())
    assert len(named) > 15
    assert not missing, missing


def test_names_that_the_architecture_gives_with_a_file_are_in_it() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    pairs = re.findall(r"`(\w+/\w+\.py)`, `(\w+)(?:\(\))?`", text)
    missing = [
        f"{file}: {name}" for file, name in pairs
        if not re.search(rf"\b{name}\b", (ROOT / "vtcli/core" / file).read_text(encoding="utf-8"))
    ]  # fmt: skip
    assert len(pairs) > 1
    assert not missing, missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_in_documents(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(
        re.findall(
            r"(?<![\w/])((?:vtcli|benchmarks|tests|docs|examples)/[\w/.-]+\.(?:py|md|ipynb|jpg))", text
        )
    )
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing, f"{document}: {missing}"


def test_the_model_card_has_a_header_of_key_and_value() -> None:
    text = (ROOT / "vtcli/weights/README.md").read_text(encoding="utf-8")
    _, header, body = text.split("---\n", 2)
    keys = [line.split(":")[0] for line in header.splitlines() if line and line[0] not in " -"]
    assert {"license", "library_name", "pipeline_tag", "datasets", "metrics"} <= set(keys)
    assert body.lstrip().startswith("# Model card")


def test_the_reference_is_made_of_the_docstrings(tmp_path: Path) -> None:
    """After a change of public docstrings or signatures: griffe2md vtcli -o docs/api.md"""
    pytest.importorskip("griffe2md", reason="griffe2md is not installed")
    command = [
        sys.executable,
        "-c",
        "from griffe2md import main; main()",
        "vtcli",
        "-o",
        str(tmp_path / "api.md"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    made = (tmp_path / "api.md").read_text(encoding="utf-8")
    assert "vtcli.TryOn.batch" in made and "vtcli.core.tryon.split" not in made
    assert (ROOT / "docs/api.md").read_text(encoding="utf-8") == made
