"""The figures of a set of weights on a prepared test split, one table: what came out against what is asked for.

    python benchmarks/quality.py prepared quality --weights runs --ccp CCP/val
    python benchmarks/quality.py prepared quality --weights runs --ccp CCP/val --final

`prepared` is a store made by `vtcli prepare`. The half of its test pairs that is for choosing between trainings is
measured; with `--final`, once a choice is made, the other half stands beside it (`vtcli.core.data.validation`). `quality`
takes a folder for each half (results of an earlier call are continued), `quality.md` and `quality.json`. Image metrics are `vtcli score`'s; everything else is defined in its
function's docstring. `--ccp` is a folder of labelled street photos (photos/, labels/, labels.json), none of them
trained on; `--plain` a weights folder whose TOM was trained with L1 alone, for the Fréchet distance to be compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from benchmarks.on_triplets import on_triplets
from vtcli.core.data import labels as L
from vtcli.core.data.label_metrics import LabelCounts, pck
from vtcli.core.data.labelled_photos import GROUPS, LabelledPhotos
from vtcli.core.data.pixels import grey_levels, likeliest, signed
from vtcli.core.data.results import image_file
from vtcli.core.data.store import PreparedStore
from vtcli.core.data.validation import HALVES, write_half
from vtcli.core.models.load import load_parser
from vtcli.core.models.parser import INPUT_SIZE
from vtcli.core.models.tps import jacobian
from vtcli.core.models.warping import Warp
from vtcli.core.models.weights import stage_file
from vtcli.core.scoring.distances import Statistics, frechet_distance
from vtcli.core.scoring.features import Lite0Vectors, extract
from vtcli.core.scoring.pictures import StorePicture
from vtcli.core.scoring.runs import load_runs
from vtcli.core.scoring.sleeve_scores import arms_in, arms_of, report
from vtcli.core.system import runtime
from vtcli.core.training import augment, backgrounds
from vtcli.core.training.pairs import Pairs, read_pairs
from vtcli.core.tryon.composing.composer import compose_batch
from vtcli.core.tryon.networks import Networks, People
from vtcli.core.tryon.photos.annotate import Annotator

BATCH = 20
ROWS: list[tuple[str, str, float, float]] = [
    ("head SSIM", ">=", 0.74, 0.79),
    ("head MS-SSIM", ">=", 0.78, 0.83),
    ("head PSNR (dB)", ">=", 18.0, 19.5),
    ("outside SSIM", ">=", 0.83, 0.88),
    ("head Laplacian energy, arms and face", ">=", 0.5, 0.8),
    ("FD (Lite0), outside, unpaired", "", 0, 0),
    ("FD (Lite0) against that of L1 alone", "<=", 2 / 3, 1 / 3),
    ("warp IoU", ">=", 0.83, 0.90),
    ("warps that fold", "<=", 0.01, 0.0),
    ("head M_exp mean IoU", ">=", 0.82, 0.88),
    ("parser mean IoU", ">=", 0.88, 0.92),
    ("parser mean IoU, street, crop 1.05", ">=", 0.77, 0.85),
    ("parser mean IoU, street, crop 0.55", ">=", 0.83, 0.90),
    ("parser PCK@0.1", ">=", 0.88, 0.94),
    ("halo (grey levels)", "<=", 6.0, 3.0),
    ("SSIM lost from raw photos, head", "<=", 0.02, 0.01),
    ("sleeve end, result: mean error", "<=", 0.07, 0.045),
    ("sleeve end, result: slope on the worn one", "<=", 0.05, 0.02),
    ("sleeve end, result: slope on the garment's own", ">=", 0.82, 0.92),
    ("triplets: level line, 90th percentile (degrees)", "<=", 12.0, 6.0),
]
"""Figure, how it is compared, what it must reach, what is aimed at."""


def vtcli(*arguments: object) -> None:
    """Run the command line as a user would."""
    subprocess.run([sys.executable, "-m", "vtcli", *map(str, arguments)], check=True)


def scores(data: Path, out: Path, weights: Path, device: str) -> dict[str, float]:
    """Try-ons over the split by the CLI, scored by the CLI."""
    runs = {"head": ("paired", "head"), "outside": ("paired", "outside"), "unpaired": ("unpaired", "outside")}
    for name, (pairs, keep) in runs.items():
        vtcli("tryon", "--data", data, "--pairs", pairs, "--keep", keep, "--save-parse",
              "--weights", weights, "--device", device, "-o", out / name)  # fmt: skip
    file = out / "scores.json"
    vtcli("score", *(out / name for name in runs), "--json", file, "--bootstrap", 0, "--device", device)
    found = {row["run"]: row for row in json.loads(file.read_text()) if row["seen"] == "all"}
    head, outside, unpaired = (found[name] for name in runs)
    return {
        "head SSIM": head["ssim"], "head MS-SSIM": head["ms_ssim"], "head PSNR (dB)": head["psnr"],
        "head FD (Lite0)": head["fd_lite0"], "outside SSIM": outside["ssim"],
        "outside MS-SSIM": outside["ms_ssim"], "outside PSNR (dB)": outside["psnr"],
        "outside FD (Lite0)": outside["fd_lite0"], "FD (Lite0), outside, unpaired": unpaired["fd_lite0"],
        "head M_exp mean IoU": head["m_exp_iou"], "warp IoU": head["figures"]["warp_iou"],
        "outside warp IoU": outside["figures"]["warp_iou"],
    }  # fmt: skip


def plain_distance(data: Path, out: Path, weights: Path, device: str) -> float:
    """The unpaired Fréchet distance of another weights folder."""
    vtcli("tryon", "--data", data, "--pairs", "unpaired", "--keep", "outside", "--weights", weights,
          "--device", device, "-o", out / "plain")  # fmt: skip
    file = out / "plain.json"
    vtcli("score", out / "plain", "--json", file, "--bootstrap", 0, "--device", device)
    return float(json.loads(file.read_text())[0]["fd_lite0"])


def photos_distance(store: PreparedStore, others: PreparedStore, device: torch.device) -> float:
    """The Fréchet distance of photos from photos: the split's, against as many evenly spread ones of another split. What
    is asked of try-ons should be read beside it."""
    vectors = Lite0Vectors(device)

    def statistics(photos: PreparedStore) -> Statistics:
        rows = np.linspace(0, len(photos) - 1, len(store)).round().astype(int)
        pictures = [StorePicture(photos.root, int(row)) for row in rows]
        return Statistics.of(extract(pictures, vectors, lambda done: None))

    return frechet_distance(statistics(store), statistics(others))


def laplacian_energy(store: PreparedStore, results: Path) -> float:
    """Mean square of the grey picture's 3×3 Laplacian over all pixels of face and arms, results against photos."""
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    drawn = real = 0.0
    for row, entry in enumerate(store.manifest.entries):
        skin = np.isin(store.read("parse", [row])[0], (L.FACE, *L.ARM_LABELS))[1:-1, 1:-1]
        photo = store.read("image", [row])[0]
        result = np.asarray(Image.open(image_file(results, entry.name)).convert("RGB"))
        energies = []
        for picture in (result, photo):
            grey = torch.from_numpy(np.asarray(Image.fromarray(picture).convert("L"), np.float32))[None, None]
            energies.append(float(F.conv2d(grey, kernel)[0, 0].square().numpy()[skin].sum()))
        drawn, real = drawn + energies[0], real + energies[1]
    return drawn / real


def batches(store: PreparedStore, device: torch.device) -> Iterator[Pairs]:
    """The split's own pairs, in order."""
    for start in range(0, len(store), BATCH):
        batch = read_pairs(store, np.arange(start, min(start + BATCH, len(store))))
        yield Pairs.of({k: v.to(device) for k, v in batch.items()})


def folded_share(store: PreparedStore, networks: Networks) -> float:
    """Share of pairs whose grid's Jacobian has a determinant ≤ 0 anywhere inside the warped garment."""
    folded: list[Tensor] = []
    for pairs in batches(store, networks.device):
        people = People(pairs.image, pairs.parse, pairs.keypoints)
        warp = networks.warp(people, pairs.cloth, pairs.cloth_mask, pairs.front_mask, "head")
        inside = warp.mask[:, 0, 1:, 1:] >= 0.5
        folded.append(((jacobian(warp.grid) <= 0) & inside).flatten(1).any(1))
    return float(torch.cat(folded).double().mean())


def halo(store: PreparedStore, networks: Networks, photos: LabelledPhotos | None) -> float:
    """Mean difference of result and photo, in grey levels, in the background 3 to 12 pixels outside of M_exp's person.

    The split's people are cut out by their parse and set on other backgrounds (seeded); `keep=outside`, paired.
    """
    strips = photos.backgrounds() if photos is not None else []
    rng = np.random.default_rng(0)
    differences = []
    for pairs in batches(store, networks.device):
        images = []
        pictures = grey_levels(pairs.image).cpu().numpy()
        for picture, parse, joints in zip(pictures, pairs.parse, pairs.keypoints, strict=True):
            person = backgrounds.person_mask(picture, parse.cpu().numpy(), joints.cpu().numpy())
            images.append(backgrounds.replace_background(rng, picture, person, strips))
        image = signed(torch.from_numpy(np.stack(images)).to(networks.device))
        people = People(image, pairs.parse, pairs.keypoints)
        warp = networks.warp(people, pairs.cloth, pairs.cloth_mask, pairs.front_mask, "outside")
        composition = networks.compose(people, warp, "outside")
        if composition.expected_parse is None:
            return float("nan")
        given = (grey_levels(pairs.cloth).cpu().numpy(), pairs.cloth_mask[:, 0].cpu().numpy() > 0.5)
        made = compose_batch(np.stack(images), people, *given, warp, composition, "outside")
        person_map = (composition.expected_parse.argmax(1) > 0).float()[:, None]
        ring = _grown(person_map, 12) & ~_grown(person_map, 2) & (pairs.parse == 0)[:, None]
        grey = (
            (signed(torch.from_numpy(made)).to(image.device) - image).mul(127.5).mean(1, keepdim=True).abs()
        )
        differences.append(torch.stack([grey[i][ring[i]].mean() for i in range(len(grey)) if ring[i].any()]))
    return float(torch.cat(differences).mean())


def _grown(mask: Tensor, radius: int) -> Tensor:
    return F.max_pool2d(mask, 2 * radius + 1, stride=1, padding=radius) > 0.5


def parser_figures(store: PreparedStore, annotator: Annotator) -> dict[str, float]:
    """Mean IoU over background, hair, upper-clothes, pants, face and arms, and PCK within 0.1 of the torso."""
    counts = LabelCounts()
    right = counted = 0
    for pairs in batches(store, annotator.device):
        seen = annotator(pairs.image)
        counts.add(seen.parse, pairs.parse)
        hit, there = pck(seen.keypoints.cpu(), pairs.keypoints.cpu())
        right, counted = right + hit, counted + there
    return {"parser mean IoU": counts.metrics()["mean_iou"], "parser PCK@0.1": right / counted}


CLASSES = (
    (L.BACKGROUND,), (*L.TOP_LABELS, L.SCARF), (L.HAIR,), (L.FACE, *L.ARM_LABELS, L.LEFT_LEG, L.RIGHT_LEG),
)  # fmt: skip
"""Background, top, hair, skin: what street photos' labels and LIP's have in common."""


def street_figure(photos: LabelledPhotos, annotator: Annotator, share: float) -> float:
    """Mean IoU over `CLASSES`, counted over all photos, in crops `share` of the person's height high from her head
    down (a twentieth of it is margin); pixels whose label counts in no class, or in several, count for nothing."""
    of_group = np.full(256, -1, np.int64)
    classes = [{*labels, *((L.TORSO_SKIN,) if L.FACE in labels else ())} for labels in CLASSES]
    for g, members in enumerate(GROUPS):
        inside = [c for c, labels in enumerate(classes) if set(members) <= labels]
        other = not any(set(members) & labels for labels in classes) and L.THING not in members
        of_group[g] = inside[0] if inside else len(classes) if other else -1
    of_label = np.full(L.PARSER_LABELS, len(classes))
    for c, labels in enumerate(classes):
        of_label[list(labels)] = c
    table = np.zeros((len(CLASSES) + 1, len(CLASSES) + 1), np.int64)
    for photo, groups, (left, top, right, bottom) in zip(
        photos.photos, photos.groups, photos.boxes, strict=True
    ):
        tall = share * (bottom - top)
        scale = INPUT_SIZE[0] / tall
        x, y = (left + right) / 2, top - 0.025 * (bottom - top)
        matrix = np.array([[scale, 0, INPUT_SIZE[1] / 2 - scale * x], [0, scale, -scale * y]])
        picture = augment.warp_image(photo, matrix, INPUT_SIZE)
        truth = of_group[augment.warp_labels(groups, matrix, INPUT_SIZE, outside=L.IGNORE)]
        tensor = torch.from_numpy(picture).to(annotator.device).permute(2, 0, 1)[None].float() / 127.5 - 1
        annotation = annotator(tensor)
        labels = torch.where(annotation.own[0, 0] > 0.5, L.TORSO_SKIN, annotation.parse[0])
        predicted = of_label[labels.cpu().numpy()]
        known = truth >= 0
        np.add.at(table, (predicted[known], truth[known]), 1)
    hits = table.diagonal()
    iou = hits / np.maximum(table.sum(0) + table.sum(1) - hits, 1)
    return float(iou[: len(CLASSES)].mean())


def sleeve_metrics(results: Path, device: torch.device) -> dict[str, float]:
    """Sleeve ends of unpaired try-ons, by the own parser (as `vtcli score --sleeves`) and by M_exp as saved."""
    (run,) = load_runs([results])
    people, garments = run.photos, run.cloths
    assert people is not None and garments is not None
    expected = (np.asarray(Image.open(file)) for file in run.parses or ())
    out = {}
    for kind, arms in (
        ("result", arms_of(run, device, lambda done: None)),
        ("M_exp", arms_in(expected, [p for p in people if isinstance(p, StorePicture)], garments)),
    ):
        found = report(arm for picture in arms for arm in picture)
        assert found is not None
        out |= {
            f"sleeve end, {kind}: mean error": found.error,
            f"sleeve end, {kind}: share within 0.1": found.near,
            f"sleeve end, {kind}: slope on the garment's own": found.on_garment,
            f"sleeve end, {kind}: slope on the worn one": found.on_worn,
        }
    return out


def triplet_metrics(folder: Path, networks: Networks) -> dict[str, float]:
    """Unpaired try-on of synthetic people, against the truth: `folder` holds triplets of a test split."""

    def dress(people: People, cloth: Tensor, mask: Tensor, front: Tensor) -> tuple[Warp, np.ndarray | None]:
        warp = networks.warp(people, cloth, mask, front, "outside")
        expected = networks.compose(people, warp, "outside").expected_parse
        return warp, None if expected is None else likeliest(expected).cpu().numpy()

    return on_triplets(folder, dress, networks.device)


def raw_ssim(store: PreparedStore, out: Path, weights: Path, device: str) -> float:
    """SSIM, `head`, of the same pairs with parse and pose from the own parser: a raw folder, prepared by the CLI."""
    for name in ("image", "cloth"):
        folder = out / "raw" / "test" / name
        folder.mkdir(parents=True, exist_ok=True)
        for row, entry in enumerate(store.manifest.entries):
            file = folder / f"{entry.name}.png"
            if not file.exists():
                Image.fromarray(store.read(name, [row])[0]).save(file, compress_level=1)
    vtcli("prepare", out / "raw", "--out", out / "raw-prepared", "--weights", weights, "--device", device)
    vtcli("tryon", "--data", out / "raw-prepared", "--pairs", "paired", "--keep", "head",
          "--weights", weights, "--device", device, "-o", out / "raw-head")  # fmt: skip
    file = out / "raw.json"
    vtcli("score", out / "raw-head", "--json", file, "--bootstrap", 0, "--device", device)
    return float(json.loads(file.read_text())[0]["ssim"])


def table(halves: dict[str, dict[str, float]]) -> str:
    """The figures of each half side by side, as Markdown: those asked for, then the others."""
    lines = [
        f"| figure | {' | '.join(halves)} | must | aim | {' | '.join('' for _ in halves)} |",
        "|---" * (3 + 2 * len(halves)) + "|",
    ]
    for name, sign, must, aim in ROWS:
        values = [figures.get(name) for figures in halves.values()]
        cells = ["not measured" if value is None else f"{value:.4g}" for value in values]
        met = ["" if value is None or not sign else _met(value, sign, must) for value in values]
        asked = f"{sign} {must:.3g} | {sign} {aim:.3g}" if sign else " | "
        lines.append(f"| {name} | {' | '.join(cells)} | {asked} | {' | '.join(met)} |")
    listed = {name for name, *_ in ROWS}
    others = dict.fromkeys(name for figures in halves.values() for name in figures if name not in listed)
    for name in others:
        cells = [f"{figures[name]:.4g}" if name in figures else "" for figures in halves.values()]
        lines.append(f"| {name} | {' | '.join(cells)} | | | {' | '.join('' for _ in halves)} |")
    return "\n".join(lines) + "\n"


def _met(value: float, sign: str, must: float) -> str:
    return "yes" if (value >= must if sign == ">=" else value <= must) else "no"


def measure(
    data: Path, out: Path, weights: Path, device: str, photos: LabelledPhotos | None, train: PreparedStore | None,
    plain: Path | None,
) -> dict[str, float]:  # fmt: skip
    """The figures over the split `data/test`; its results folders go to `out`. `train`: photos for the distance of photos
    from photos; `plain` as `--plain`."""
    chosen = runtime.choose_device(device)
    store, networks = PreparedStore.open(data, "test"), Networks.load(weights, chosen)
    annotator = Annotator(load_parser(stage_file(weights, "parser")), chosen)
    figures = scores(data, out, weights, device)
    figures["head Laplacian energy, arms and face"] = laplacian_energy(store, out / "head")
    figures["warps that fold"] = folded_share(store, networks)
    figures["halo (grey levels)"] = halo(store, networks, photos)
    figures |= parser_figures(store, annotator)
    figures |= sleeve_metrics(out / "unpaired", chosen)
    if photos is not None:
        for share in (1.05, 0.55):
            figures[f"parser mean IoU, street, crop {share}"] = street_figure(photos, annotator, share)
    raw = raw_ssim(store, out, weights, device)
    figures["SSIM lost from raw photos, head"] = figures["head SSIM"] - raw
    if train is not None:
        figures["FD (Lite0), as many training photos"] = photos_distance(store, train, chosen)
    if plain is not None:
        distance = plain_distance(data, out, plain, device)
        figures["FD (Lite0), outside, unpaired, L1 alone"] = distance
        figures["FD (Lite0) against that of L1 alone"] = figures["FD (Lite0), outside, unpaired"] / distance
    return figures


def main() -> None:
    """Parse the command line, measure, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, help="default: those that come with vtcli")
    parser.add_argument("--final", action="store_true", help="the other half as well, for published figures")
    parser.add_argument("--ccp", type=Path)
    parser.add_argument("--triplets", type=Path, help="a test split of synthetic triplets, OUT/test")
    parser.add_argument("--plain", type=Path)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    runtime.keep_memory()
    weights = options.weights or stage_file(None, "gmm").parent
    whole = PreparedStore.open(options.data, "test")
    photos = LabelledPhotos.read(options.ccp) if options.ccp else None
    train = PreparedStore.open(options.data, "train") if (options.data / "train").is_dir() else None
    halves: dict[str, dict[str, float]] = {}
    for name in HALVES if options.final else HALVES[:1]:
        out = options.out / name
        write_half(whole, name, out / "prepared" / "test")
        given = (out / "prepared", out, weights, options.device, photos, train, options.plain)
        halves[name] = measure(*given)
    if options.triplets is not None:
        networks = Networks.load(weights, runtime.choose_device(options.device))
        halves[HALVES[0]] |= triplet_metrics(options.triplets, networks)
    text = table(halves)
    print(text)
    (options.out / "quality.md").write_text(text)
    (options.out / "quality.json").write_text(json.dumps(halves, indent=1) + "\n")


if __name__ == "__main__":
    main()
