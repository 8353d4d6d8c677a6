"""Try-on (or warps) over a whole split: store in, results folder out; interrupted, it continues.

While a run is under way its settings stand in `run.json`, and each process keeps a journal of the pictures that it
has made, with their IoUs. A picture is there whole or not at all, and one that is there is not made again.
`results.json` comes last, and the journals go.

Pairs are made in batches that are the same in every run of the same list, since a network's last bit depends on
what it sees together: neither an interruption nor the number of processes changes a byte. Under torchrun the
batches that are left are dealt out to the ranks.
"""

from __future__ import annotations

import io
import json
import os
import platform
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import vtcli
from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import has_label
from vtcli.core.data.pairs_lists import read_pairs_list, stem
from vtcli.core.data.parse_missed import add_missed
from vtcli.core.data.pixels import grey_levels, likeliest, shares, signed
from vtcli.core.data.results import ResultPair, ResultsInfo, image_file, parse_file
from vtcli.core.data.store import PreparedStore
from vtcli.core.models.load import load_parser
from vtcli.core.models.weights import stage_file
from vtcli.core.system import distributed
from vtcli.core.system.errors import UsageProblem, VtcliError
from vtcli.core.system.files import read_json, sweep, write_atomically, write_json
from vtcli.core.system.locks import hold
from vtcli.core.tryon.composing.composer import compose_batch
from vtcli.core.tryon.networks import Networks, People
from vtcli.core.tryon.photos.annotate import Annotator

LONGEST = 255 - len(".png")
"""Bytes of a picture's name without its ending: what file systems take."""


@dataclass
class SplitOptions:
    """`kind`: "tryon" or "warp"; `pairs`: "paired", "unpaired", "shuffled" or a file of pairs; `save_parse`: keep M_exp."""

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
    """Positions (person, garment) of "paired", "unpaired" (the split's own list), "shuffled" (everyone in the garment of
    another, the same one every time), or a file's pairs: two names
    a line, with or without extension (`vtcli.core.data.pairs_lists.read_pairs_list`)."""
    if pairs == "paired":
        return [(i, i) for i in range(len(store))]
    if pairs == "unpaired":
        if not store.manifest.unpaired:
            raise VtcliError(
                f"{store.root}: this split has no unpaired list; take shuffled pairs, or name a file of pairs"
            )
        return [(store.index(p), store.cloth_index(c)) for p, c in store.manifest.unpaired]
    if pairs == "shuffled":
        order = np.random.default_rng(0).permutation(len(store))
        return sorted(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    path = Path(pairs)
    if not path.is_file():
        raise UsageProblem(f"pairs {pairs}: neither 'paired', 'unpaired' nor 'shuffled' nor a file")
    entries = store.manifest.entries
    listed = read_pairs_list(path, (e.name for e in entries), (e.cloth for e in entries))
    if not listed:
        raise VtcliError(f"{path}: names no pair")
    return [(store.index(stem(person)), store.cloth_index(stem(cloth))) for person, cloth in listed]


def run_split(
    networks: Networks, store: PreparedStore, out: Path, options: SplitOptions
) -> Iterator[tuple[int, int]]:
    """Make the pictures of a split; yields (done, all) after each batch (under torchrun, of this rank's share).

    Raises VtcliError when `out` holds another run's pictures, or another run is at work there, and UsageProblem when the
    store's pictures are of another size than the networks'.
    """
    networks.check_size(store)
    with hold(out, f"vtcli {options.kind}") if distributed.is_first() else nullcontext():
        yield from _run(networks, store, out, options)


def _run(
    networks: Networks, store: PreparedStore, out: Path, options: SplitOptions
) -> Iterator[tuple[int, int]]:
    started = time.monotonic()
    jobs = _name_jobs(store, choose_pairs(store, options.pairs)[: options.limit])
    batches = [jobs[i : i + options.batch_size] for i in range(0, len(jobs), options.batch_size)]
    settings = _settings(networks, store, options)
    earlier: dict[str, Any] = {}
    left: list[int] = []
    if distributed.is_first():
        earlier = _begin(out, settings)
        for folder in (out, out / "images", out / "parse"):
            sweep(folder)
        known = {**earlier.get("figures", {}).get("warp_iou", {}), **_journalled(out)}
        left = [
            n for n, batch in enumerate(batches) if not all(_complete(out, j, options, known) for j in batch)
        ]
    left = distributed.gather(left)[0]  # as rank 0 sees the folder: the others may look later
    mine = left[distributed.rank() :: distributed.world()]
    total = sum(len(batches[n]) for n in mine)
    if distributed.world() == 1:
        total = len(jobs)
    done = total - sum(len(batches[n]) for n in mine)
    yield done, total
    journal = _Journal(out, distributed.rank())
    annotator = _annotator(networks, store, options) if mine else None
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(2) as writers:
        pending: list[Future[None]] = []
        written: dict[str, float | None] = {}

        def read(place: int) -> Future[list[np.ndarray]]:
            rows = [job.cloth for job in batches[mine[place]]] if place < len(mine) else []
            fields = ("cloth", mask_field(networks), "front_mask")
            return reader.submit(lambda: [store.read(name, rows) for name in fields])

        # An older store's masks are repaired while the batch before is made.
        following = read(0)
        for place, number in enumerate(mine):
            batch, cloths, following = batches[number], following.result(), read(place + 1)
            pictures, parses, ious = _make(networks, annotator, store, batch, cloths, options)
            for other in pending:
                other.result()
            journal.add(written)
            pending = [
                writers.submit(_write, out, job, pictures[i], parses[i] if parses is not None else None)
                for i, job in enumerate(batch)
            ]
            # Garments that are not the person's own have no worn one to be compared with.
            written = {job.name: round(ious[i], 6) if ious else None for i, job in enumerate(batch)}
            done += len(batch)
            yield done, total
        for other in pending:
            other.result()
        journal.add(written)
    distributed.barrier()
    if not distributed.is_first():
        return
    known = {**earlier.get("figures", {}).get("warp_iou", {}), **_journalled(out)}
    ResultsInfo(
        kind=options.kind, keep=options.keep, pairing=_pairing(options), split=store.manifest.split,
        store=str(store.root.resolve()), size=store.size,
        pairs=[_pair(store, job) for job in jobs], weights=networks.hashes,
        options=asdict(options), versions=_versions(), device=str(networks.device),
        seconds=round(time.monotonic() - started + earlier.get("seconds", 0.0), 2),
        figures={"warp_iou": dict(sorted(known.items()))} if known else {},
    ).save(out)  # fmt: skip
    for path in (*_journals(out), out / "run.json"):
        path.unlink(missing_ok=True)


def mask_field(networks: Networks) -> str:
    """The store's field with the garment's mask: repaired, or for CP-VTON's GMM as given."""
    return "cloth_mask" if networks.gmm.cpvton_inputs else "garment_mask"


def _name_jobs(store: PreparedStore, pairs: list[tuple[int, int]]) -> list[_Job]:
    entries = store.manifest.entries
    once = len({person for person, _ in pairs}) == len(pairs)
    names = [_short(entries[p].name if once else f"{entries[p].name}__{entries[c].cloth}") for p, c in pairs]
    if len(set(names)) != len(names):
        raise VtcliError(f"{store.root}: the same pair is listed twice")
    return [_Job(p, c, name) for (p, c), name in zip(pairs, names, strict=True)]


def _short(name: str) -> str:
    """`name` itself, or, where no file can have it, its beginning and a hash of the whole."""
    data = name.encode()
    if len(data) <= LONGEST:
        return name
    mark = blake2b(data, digest_size=4).hexdigest()
    return f"{data[: LONGEST - len(mark) - 1].decode(errors='ignore')}-{mark}"


def _pairing(options: SplitOptions) -> str:
    return options.pairs if options.pairs in ("paired", "unpaired", "shuffled") else Path(options.pairs).name


def _settings(networks: Networks, store: PreparedStore, options: SplitOptions) -> dict[str, Any]:
    return {
        "kind": options.kind, "keep": options.keep, "pairing": _pairing(options), "save_parse": options.save_parse,
        "store": str(store.root.resolve()), "weights": networks.hashes,
    }  # fmt: skip


def _begin(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Claim `out` for these settings; what an earlier, equal run left (metrics, seconds)."""
    if (out / "results.json").is_file():
        info = ResultsInfo.load(out)
        held: Any = {
            "kind": info.kind, "keep": info.keep, "pairing": info.pairing,
            "save_parse": bool(info.options.get("save_parse")), "store": info.store, "weights": info.weights,
        }  # fmt: skip
        left = {"figures": info.figures, "seconds": info.seconds}
    elif (out / "run.json").is_file():
        held, left = read_json(out / "run.json"), {}
    else:
        write_json(out / "run.json", settings)
        return {}
    if not isinstance(held, dict):
        raise VtcliError(f"{out / 'run.json'}: not the settings of a run; choose another folder")
    different = [key for key in settings if held.get(key) != settings[key]]
    if different:
        raise VtcliError(
            f"{out}: holds another run's pictures (other {', '.join(different)}); choose another folder"
        )
    return left


def _complete(out: Path, job: _Job, options: SplitOptions, ious: dict[str, float]) -> bool:
    there = image_file(out, job.name).is_file() and (
        not options.save_parse or parse_file(out, job.name).is_file()
    )
    return there and (job.person != job.cloth or job.name in ious)


class _Journal:
    """What one rank has made, a line each: the picture's name and its IoU. Lines follow their pictures."""

    def __init__(self, out: Path, rank: int) -> None:
        self.path = out / f"journal-{rank:05d}.jsonl"

    def add(self, written: dict[str, float | None]) -> None:
        if not written:
            return
        # A line that an interruption cut short must not swallow the next.
        lines = "\n" + "".join(json.dumps([name, iou]) + "\n" for name, iou in written.items())
        try:
            with self.path.open("ab") as stream:
                stream.write(lines.encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as problem:
            raise VtcliError(f"{self.path}: cannot be written ({problem.strerror or problem})") from problem


def _journals(out: Path) -> list[Path]:
    return sorted(out.glob("journal-*.jsonl"))


def _journalled(out: Path) -> dict[str, float]:
    """The IoUs in all ranks' journals, those of earlier runs included."""
    ious: dict[str, float] = {}
    for path in _journals(out):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                name, iou = json.loads(line)
            except (ValueError, TypeError):
                continue  # blank, or cut short: that picture is made again
            if isinstance(name, str) and isinstance(iou, int | float):
                ious[name] = float(iou)
    return ious


def _annotator(networks: Networks, store: PreparedStore, options: SplitOptions) -> Annotator | None:
    """Who looks again at people whose parse is given. With keep=head nothing of the old garment stays in any case; and
    CP-VTON's networks take the parse as it is."""
    given = any("parse" not in entry.derived for entry in store.manifest.entries)
    if options.keep != "outside" or networks.gmm.cpvton_inputs or not given:
        return None
    return Annotator(load_parser(stage_file(None, "parser")), networks.device)


def _make(
    networks: Networks, annotator: Annotator | None, store: PreparedStore, batch: list[_Job],
    garments: list[np.ndarray], options: SplitOptions,
) -> tuple[np.ndarray, np.ndarray | None, list[float]]:  # fmt: skip
    rows = [job.person for job in batch]
    image, parse, keypoints = (store.read(name, rows) for name in ("image", "parse", "keypoints"))
    device = networks.device
    labels, joints = (torch.from_numpy(x).to(device) for x in (parse, keypoints))
    people = People(signed(torch.from_numpy(image).to(device)), labels, joints)
    if annotator is not None:
        people = replace(people, parse=_with_missed(annotator, store, rows, people))
    cloths, masks, _ = garments
    cloth, mask, front = (torch.from_numpy(field).to(device) for field in garments)
    mask, front = (shares(x) for x in (mask, front))
    warp = networks.warp(people, signed(cloth), mask, front, options.keep)
    ious: list[float] = []
    if all(job.person == job.cloth for job in batch):
        ours, worn = warp.mask[:, 0] >= 0.5, has_label(labels, L.TOP_LABELS)
        both, either = (ours & worn).flatten(1).sum(1), (ours | worn).flatten(1).sum(1)
        ious = (both / either.clamp_min(1)).tolist()
    if options.kind == "warp":
        return grey_levels(warp.cloth).cpu().numpy(), None, ious
    composition = networks.compose(people, warp, options.keep, parse=options.save_parse)
    parses = None
    if options.save_parse:
        if composition.expected_parse is None:
            raise VtcliError("these TOM weights have no auxiliary decoder, so there is no M_exp to save")
        parses = likeliest(composition.expected_parse).cpu().numpy()
    pictures = compose_batch(image, people, cloths, masks > 127, warp, composition, options.keep)
    return pictures, parses, ious


def _with_missed(annotator: Annotator, store: PreparedStore, rows: list[int], people: People) -> Tensor:
    """The parse of the `people` at `rows`, with what a given one misses; those that vtcli made are its own word already."""
    given = [i for i, row in enumerate(rows) if "parse" not in store.manifest.entries[row].derived]
    parse = people.parse.clone()
    if given:
        seen = annotator(people.image[given], mirror=False).probabilities
        parse[given] = add_missed(parse[given], seen, people.keypoints[given])
    return parse


def _write(out: Path, job: _Job, picture: np.ndarray, parse: np.ndarray | None) -> None:
    """Write what is not there yet: of a batch that was interrupted, some pictures are."""
    if parse is not None and not parse_file(out, job.name).is_file():
        indexed = Image.fromarray(parse, "P")
        indexed.putpalette(L.LIP_PALETTE.tobytes())
        _save_png(parse_file(out, job.name), indexed)
    if not image_file(out, job.name).is_file():
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
