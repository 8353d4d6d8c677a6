"""Try-on (or warps) over a whole split: store in, results folder out; interrupted, it continues.

While a run is under way its settings stand in `run.json`; a picture is there whole or not at all, and one that
is there is not made again. `results.json` comes last.
"""

from __future__ import annotations

import csv
import io
import platform
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import vtcli
from vtcli.core.data import labels as L
from vtcli.core.data.store import PreparedStore
from vtcli.core.errors import UsageProblem, VtcliError
from vtcli.core.files import read_json, write_atomically, write_json
from vtcli.core.representation import has_label
from vtcli.core.results import ResultPair, ResultsInfo, image_file, parse_file
from vtcli.core.tryon.networks import Networks, People


@dataclass
class SplitOptions:
    """`kind`: "tryon" or "warp"; `pairs`: "paired", "unpaired" or a file of pairs; `save_parse`: keep M_exp."""

    kind: str = "tryon"
    pairs: str = "paired"
    keep: str = "head"
    batch_size: int = 8
    save_parse: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class _Job:
    person: int
    cloth: int
    name: str


def choose_pairs(store: PreparedStore, pairs: str) -> list[tuple[int, int]]:
    """Positions (person, garment) of "paired", "unpaired" (the split's own list), or a file's pairs: two names
    a line, with or without extension, apart by a comma, a tab or blanks; `#` starts a comment."""
    if pairs == "paired":
        return [(i, i) for i in range(len(store))]
    if pairs == "unpaired":
        if not store.manifest.unpaired:
            raise VtcliError(f"{store.root}: this split has no unpaired list; give a file with --pairs FILE")
        return [(store.index(p), store.cloth_index(c)) for p, c in store.manifest.unpaired]
    path = Path(pairs)
    if not path.is_file():
        raise UsageProblem(f"--pairs {pairs}: neither 'paired' nor 'unpaired' nor a file")
    chosen = []
    text = path.read_text(encoding="utf-8-sig")
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        separator = "," if "," in line else "\t" if "\t" in line else " "
        row = [cell.strip() for cell in next(csv.reader([line], delimiter=separator)) if cell.strip()]
        if len(row) != 2:
            raise VtcliError(
                f"{path}: line {number} should name a person and a garment, but has {len(row)} names"
            )
        person, cloth = (Path(cell).stem for cell in row)
        chosen.append((store.index(person), store.cloth_index(cloth)))
    if not chosen:
        raise VtcliError(f"{path}: names no pair")
    return chosen


def run_split(
    networks: Networks, store: PreparedStore, out: Path, options: SplitOptions
) -> Iterator[tuple[int, int]]:
    """Make the pictures of a split; yields (done, all) after each batch.

    Raises VtcliError when `out` holds another run's pictures.
    """
    started = time.monotonic()
    jobs = _name_jobs(store, choose_pairs(store, options.pairs)[: options.limit])
    settings = _settings(networks, store, options)
    earlier = _begin(out, settings)
    figures: dict[str, dict[str, float]] = earlier.get("figures", {})
    left = [job for job in jobs if not _complete(out, job, options, figures)]
    done = len(jobs) - len(left)
    yield done, len(jobs)
    with ThreadPoolExecutor(2) as writers:
        pending: list[Future[None]] = []
        for start in range(0, len(left), options.batch_size):
            batch = left[start : start + options.batch_size]
            pictures, parses, ious = _make(networks, store, batch, options)
            for other in pending:
                other.result()
            pending = [
                writers.submit(_write, out, job, pictures[i], parses[i] if parses is not None else None)
                for i, job in enumerate(batch)
            ]
            for job, iou in zip(
                batch, ious, strict=False
            ):  # unpaired garments have no worn one to compare with
                figures.setdefault("warp_iou", {})[job.name] = round(iou, 6)
            done += len(batch)
            yield done, len(jobs)
        for other in pending:
            other.result()
    ResultsInfo(
        kind=options.kind, keep=options.keep, pairing=_pairing(options), split=store.manifest.split,
        store=str(store.root.resolve()), size=store.size,
        pairs=[_pair(store, job) for job in jobs], weights=networks.hashes,
        options=asdict(options), versions=_versions(), device=str(networks.device),
        seconds=round(time.monotonic() - started + earlier.get("seconds", 0.0), 2), figures=figures,
    ).save(out)  # fmt: skip
    (out / "run.json").unlink(missing_ok=True)


def _name_jobs(store: PreparedStore, pairs: list[tuple[int, int]]) -> list[_Job]:
    entries = store.manifest.entries
    once = len({person for person, _ in pairs}) == len(pairs)
    names = [entries[p].name if once else f"{entries[p].name}__{entries[c].cloth}" for p, c in pairs]
    if len(set(names)) != len(names):
        raise VtcliError(f"{store.root}: the same pair is listed twice")
    return [_Job(p, c, name) for (p, c), name in zip(pairs, names, strict=True)]


def _pairing(options: SplitOptions) -> str:
    return options.pairs if options.pairs in ("paired", "unpaired") else Path(options.pairs).name


def _settings(networks: Networks, store: PreparedStore, options: SplitOptions) -> dict[str, Any]:
    return {
        "kind": options.kind, "keep": options.keep, "pairing": _pairing(options), "save_parse": options.save_parse,
        "store": str(store.root.resolve()), "weights": networks.hashes,
    }  # fmt: skip


def _begin(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Claim `out` for these settings; what an earlier, equal run left (figures, seconds)."""
    if (out / "results.json").is_file():
        info = ResultsInfo.load(out)
        held = {
            "kind": info.kind, "keep": info.keep, "pairing": info.pairing,
            "save_parse": bool(info.options.get("save_parse")), "store": info.store, "weights": info.weights,
        }  # fmt: skip
        left = {"figures": info.figures, "seconds": info.seconds}
    elif (out / "run.json").is_file():
        held, left = read_json(out / "run.json"), {}
    else:
        write_json(out / "run.json", settings)
        return {}
    different = [key for key in settings if held.get(key) != settings[key]]
    if different:
        raise VtcliError(
            f"{out}: holds another run's pictures (other {', '.join(different)}); choose another folder"
        )
    return left


def _complete(out: Path, job: _Job, options: SplitOptions, figures: dict[str, dict[str, float]]) -> bool:
    there = image_file(out, job.name).is_file() and (
        not options.save_parse or parse_file(out, job.name).is_file()
    )
    return there and (job.person != job.cloth or job.name in figures.get("warp_iou", {}))


def _make(
    networks: Networks, store: PreparedStore, batch: list[_Job], options: SplitOptions
) -> tuple[np.ndarray, np.ndarray | None, list[float]]:
    people_rows, cloth_rows = [j.person for j in batch], [j.cloth for j in batch]
    image, cloth = (
        _pixels(store.read(name, rows), networks.device)
        for name, rows in (("image", people_rows), ("cloth", cloth_rows))
    )
    mask = torch.from_numpy(store.read("cloth_mask", cloth_rows)).to(networks.device)[:, None].float() / 255.0
    parse = torch.from_numpy(store.read("parse", people_rows)).to(networks.device)
    keypoints = torch.from_numpy(store.read("keypoints", people_rows)).to(networks.device)
    people = People(image, parse, keypoints)
    warp = networks.warp(people, cloth, mask)
    ious: list[float] = []
    if all(job.person == job.cloth for job in batch):
        ours, worn = warp.mask[:, 0] >= 0.5, has_label(parse, L.TOP_LABELS)
        both, either = (ours & worn).flatten(1).sum(1), (ours | worn).flatten(1).sum(1)
        ious = (both / either.clamp_min(1)).tolist()
    if options.kind == "warp":
        return _bytes(warp.cloth), None, ious
    made = networks.compose(people, warp, options.keep, parse=options.save_parse)
    parses = None
    if options.save_parse:
        if made.expected_parse is None:
            raise VtcliError(
                "--save-parse: these TOM weights have no auxiliary decoder, so there is no M_exp to save"
            )
        parses = made.expected_parse.argmax(1).to(torch.uint8).cpu().numpy()
    return _bytes(made.result), parses, ious


def _pixels(batch: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(batch).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def _bytes(x: Tensor) -> np.ndarray:
    out: np.ndarray = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return out


def _write(out: Path, job: _Job, picture: np.ndarray, parse: np.ndarray | None) -> None:
    if parse is not None:
        indexed = Image.fromarray(parse, "P")
        indexed.putpalette(L.LIP_PALETTE.tobytes())
        _save_png(parse_file(out, job.name), indexed)
    _save_png(image_file(out, job.name), Image.fromarray(picture))


def _save_png(path: Path, image: Image.Image) -> None:
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    write_atomically(path, lambda stream: stream.write(data.getvalue()))


def _pair(store: PreparedStore, job: _Job) -> ResultPair:
    person, cloth = store.manifest.entries[job.person], store.manifest.entries[job.cloth]
    return ResultPair(job.name, person.name, cloth.cloth, person.seen)


def _versions() -> dict[str, str]:
    return {"vtcli": vtcli.__version__, "torch": torch.__version__, "python": platform.python_version()}
