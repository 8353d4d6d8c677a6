"""How time and memory grow with the number of pairs: prepare, an epoch, batch try-on, score."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.speed.commands import vtcli
from benchmarks.speed.material import make_viton


def growth(source: Path, work: Path, counts: list[int], device: str) -> list[dict[str, Any]]:
    """For each count, seconds and peak MiB of each command over that many pairs."""
    table = []
    for count in counts:
        folder = work / f"growth-{count}"
        viton = make_viton(source, folder / "viton", {"train": count, "test": 16})
        store, results = folder / "store", folder / "results"
        row: dict[str, Any] = {"pairs": count}
        for name, arguments in (
            ("prepare", ("prepare", viton, "--out", store)),
            ("epoch", ("train", "gmm", "--data", store, "--out", folder / "run", "--epochs", 1, "--val", 8,
                       "--device", device)),
            ("tryon", ("tryon", "--data", store, "--split", "train", "-o", results, "--keep", "head",
                       "--device", device)),
            ("score", ("score", results, "--bootstrap", 0, "--device", device)),
        ):  # fmt: skip
            ran = vtcli(*arguments)
            row[name] = {"seconds": round(ran.seconds, 2), "peak_mib": round(ran.peak)}
        table.append(row)
        shutil.rmtree(folder)
    return table
