"""Any photo: how well people are found and framed, and whether the result leaves alone what it should.

    python benchmarks/photos.py prepared CCP/val photos

`prepared` is a store made by `vtcli prepare` (its test split is used); `CCP/val` a folder of labelled street photos
(photos/, labels/, labels.json); `photos` takes `photos.md`, `photos.json` and contact sheets to look at. None of
the pictures has been trained on. Each metric is defined in its function's docstring. `--limit N` takes N pictures a
section, `--only boxes,tryons` names sections; metrics of an earlier call's other sections are then kept.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.table import Target, table
from vtcli.core.data import labels as L
from vtcli.core.data.images import open_rgb
from vtcli.core.data.label_metrics import LabelCounts
from vtcli.core.data.labelled_photos import GROUPS, LabelledPhotos
from vtcli.core.data.store import PreparedStore
from vtcli.core.data.validation import write_half
from vtcli.core.garments.cutout import garment_mask
from vtcli.core.garments.placement import Garment, place
from vtcli.core.models.composition import CLOTHES
from vtcli.core.system.errors import VtcliError
from vtcli.core.training.backgrounds import person_mask
from vtcli.core.tryon.composing.full_warp import FullWarp
from vtcli.core.tryon.photos.window import Box
from vtcli.core.tryon.pipeline import TryOn
from vtcli.core.tryon.results import TryOnResult

TARGETS = (
    Target("people found, street photos (box IoU >= 0.7)", ">=", 0.85, 0.97),
    Target("people found, composites (box IoU >= 0.7)", ">=", 0.90, 0.98),
    Target("parse mean IoU lost, worst degradation", "<=", 0.05, 0.02),
    Target("pixels changed outside the stated region", "<=", 0, 0),
    Target("old garment left over, street photos", "<=", 0.03, 0.005),
    Target("printed text, gradient energy, lowest quarter", ">=", 0.7, 0.9),
)
"""Metric, how it is compared, what it must reach, what is aimed at."""
TOPS = (L.UPPER_CLOTHES, L.COAT)


@dataclass
class Bench:
    """What every section needs, and what it leaves: metrics by name."""

    engine: TryOn
    store: PreparedStore
    street: LabelledPhotos
    out: Path
    limit: int
    metrics: dict[str, float] = field(default_factory=dict)

    def garment(self, row: int) -> np.ndarray:
        """A shop photo of the store, another one for each row."""
        return self.store.read("cloth", [(37 * row + 11) % len(self.store)])[0]


# --- boxes -----------------------------------------------------------------------------------------------------


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, wide) * max(0, tall)
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return both / max(1, sum(areas) - both)


def boxes(bench: Bench) -> None:
    """Share of street photos in which the first person found has a box of IoU >= 0.7 with the labels' box."""
    cells = []
    for i, (photo, truth) in enumerate(
        list(zip(bench.street.photos, bench.street.boxes, strict=True))[: bench.limit]
    ):
        cells.append(_boxed(bench.engine, photo, truth, str(i)))
    _boxes_done(bench, cells, "people found, street photos (box IoU >= 0.7)", "boxes-street.png")


def composites(bench: Bench) -> None:
    """The same where people are set into other pictures at 25 to 100 % of their height: half of them whole
    people (street photos' labels) anywhere, half of them VITON's, cut at the hips by the lower edge."""
    rng = np.random.default_rng(7)
    scenes = list(_backdrops(bench))
    cells = []
    for i in range(bench.limit):
        share = 0.25 + 0.75 * (i + 0.5) / bench.limit
        if i % 2:
            person, mask = _figure(bench.street, int(rng.integers(len(bench.street))))
        else:
            person, mask, _ = _viton_person(bench.store, int(rng.integers(len(bench.store))))
        size = [(800, 600), (720, 720), (640, 960)][i % 3]
        behind = _fill(rng, scenes, size)
        picture, truth, _ = set_into(rng, person, mask, behind, share, anywhere=bool(i % 2))
        cells.append(_boxed(bench.engine, picture, truth, f"{i} {share:.2f}"))
    _boxes_done(bench, cells, "people found, composites (box IoU >= 0.7)", "boxes-composites.png")


def _boxed(engine: TryOn, photo: np.ndarray, truth: Box, name: str) -> tuple[float, str, np.ndarray]:
    found = engine.people(photo)
    iou = box_iou(found[0].box, truth) if found else 0.0
    shown = photo.copy()
    thick = max(2, photo.shape[0] // 200)
    cv2.rectangle(shown, truth[:2], truth[2:], (0, 220, 0), thick)
    for person in found[:1]:
        cv2.rectangle(shown, person.box[:2], person.box[2:], (255, 0, 0), thick)
    return iou, f"{name}: {iou:.2f}", shown


def _boxes_done(bench: Bench, cells: list[tuple[float, str, np.ndarray]], metric: str, sheet: str) -> None:
    ious = np.array([iou for iou, _, _ in cells])
    bench.metrics[metric] = float((ious >= 0.7).mean())
    bench.metrics[metric.split("(")[0] + "median IoU"] = float(np.median(ious))
    worst = sorted(cells, key=lambda cell: cell[0])[:40]
    contact_sheet([(name, picture) for _, name, picture in worst], 10, 200).save(bench.out / sheet)


def _viton_person(store: PreparedStore, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image, parse, joints = (store.read(name, [row])[0] for name in ("image", "parse", "keypoints"))
    return image, person_mask(image, parse, joints), parse


def _figure(street: LabelledPhotos, row: int) -> tuple[np.ndarray, np.ndarray]:
    return street.photos[row], street.groups[row] != 0


def _backdrops(bench: Bench) -> Iterator[np.ndarray]:
    """Pieces of street photos beside people, and photographs and textures of scikit-image. Pieces in which the
    parser sees somebody are left out: passers-by are larger than the person then, and rightly found first."""
    yield from (strip for strip in bench.street.backgrounds(90) if not bench.engine.people(strip))
    for name in ("coffee", "rocket", "brick", "grass", "gravel"):
        picture = getattr(skimage.data, name)()
        yield np.dstack([picture] * 3) if picture.ndim == 2 else picture


def _fill(rng: np.random.Generator, scenes: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """A scene that covers `size`, its proportions kept."""
    scene = scenes[int(rng.integers(len(scenes)))]
    factor = max(size[0] / scene.shape[0], size[1] / scene.shape[1])
    large = cv2.resize(scene, None, fx=factor + 1e-3, fy=factor + 1e-3, interpolation=cv2.INTER_LINEAR)
    top = int(rng.integers(large.shape[0] - size[0] + 1))
    left = int(rng.integers(large.shape[1] - size[1] + 1))
    return large[top : top + size[0], left : left + size[1]].copy()


def set_into(
    rng: np.random.Generator,
    image: np.ndarray,
    mask: np.ndarray,
    behind: np.ndarray,
    share: float,
    anywhere: bool,
) -> tuple[np.ndarray, Box, tuple[float, float, float]]:
    """The person of `mask` on another picture, `share` of its height high; upright on its lower edge unless
    `anywhere`. The picture, the person's box, and (scale, x, y) from the image's pixels to the picture's."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    scale = share * behind.shape[0] / (rows[-1] + 1 - rows[0])
    scale = min(scale, behind.shape[1] / (columns[-1] + 1 - columns[0]))
    room = behind.shape[0] - scale * (rows[-1] + 1 - rows[0])
    top = rng.uniform(0, room) if anywhere else room
    left = rng.uniform(0, behind.shape[1] - scale * (columns[-1] + 1 - columns[0]))
    x, y = left - scale * columns[0], top - scale * rows[0]
    matrix = np.array([[scale, 0, x + (scale - 1) / 2], [0, scale, y + (scale - 1) / 2]])
    alpha = cv2.GaussianBlur(cv2.erode(mask.astype(np.float32), np.ones((3, 3))), (0, 0), 0.7)
    if scale < 0.7:
        image, alpha = (cv2.GaussianBlur(a, (0, 0), 0.4 / scale) for a in (image, alpha))
    size = (behind.shape[1], behind.shape[0])
    person = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
    picture = np.clip(person * soft + behind * (1 - soft) + 0.5, 0, 255).astype(np.uint8)
    inside = np.nonzero(soft[..., 0] > 0.5)
    box = (inside[1].min(), inside[0].min(), inside[1].max() + 1, inside[0].max() + 1)
    return picture, tuple(int(v) for v in box), (scale, x, y)  # type: ignore[return-value]


# --- parse -----------------------------------------------------------------------------------------------------


def parses(bench: Bench) -> None:
    """Mean IoU (background, hair, upper-clothes, pants, face, arms; counted over all pictures) of the parse that
    the try-on works with, against VITON's, on clean test photos and on the same photos degraded. Pixels that the
    try-on's window leaves out in either count for nothing."""
    kinds = (*DEGRADATIONS, "small in a larger picture")
    counts = {kind: LabelCounts() for kind in ("clean", *kinds)}
    scenes = list(_backdrops(bench))
    rows = np.linspace(0, len(bench.store) - 1, bench.limit).astype(int)
    cells: list[tuple[str, np.ndarray]] = []
    for i, row in enumerate(rows):
        rng = np.random.default_rng(int(row))
        image, mask, truth = _viton_person(bench.store, int(row))
        clean = _parse_of(bench.engine, image)
        maps = {"clean": clean}
        for kind, degrade in DEGRADATIONS.items():
            there, back = degrade(image, rng)
            maps[kind] = back(_parse_of(bench.engine, there))
        behind = _fill(rng, scenes, [(800, 600), (640, 900)][i % 2])
        picture, _, (scale, x, y) = set_into(rng, image, mask, behind, rng.uniform(0.25, 0.5), False)
        large = _parse_of(bench.engine, picture)
        grid_y = np.clip(
            np.round((np.arange(256) + 0.5) * scale + y - 0.5).astype(int), 0, large.shape[0] - 1
        )
        grid_x = np.clip(
            np.round((np.arange(192) + 0.5) * scale + x - 0.5).astype(int), 0, large.shape[1] - 1
        )
        maps["small in a larger picture"] = large[grid_y[:, None], grid_x[None]]
        for kind, parse in maps.items():
            known = (parse != L.IGNORE) & (clean != L.IGNORE)
            counts[kind].add(torch.from_numpy(parse[known]), torch.from_numpy(truth[known]))
        if i < 16:
            cells += [(kind, _coloured(image, parse)) for kind, parse in maps.items()]
    metrics = {kind: count.metrics()["mean_iou"] for kind, count in counts.items()}
    bench.metrics |= {f"parse mean IoU, {kind}": value for kind, value in metrics.items()}
    worst = min(metrics[kind] for kind in kinds)
    bench.metrics["parse mean IoU lost, worst degradation"] = metrics["clean"] - worst
    contact_sheet(cells, len(kinds) + 1, 220).save(bench.out / "parses.png")


Degraded = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]


def _relit(image: np.ndarray, rng: np.random.Generator) -> Degraded:
    """A warm or cold light from one side, and another exposure."""
    side = np.linspace(*rng.permutation([0.55, 1.15]), image.shape[1])[None, :, None]
    tint = np.array([1.12, 1.0, 0.85])[:: int(rng.choice([-1, 1]))]
    lit = 255.0 * (image / 255.0) ** rng.uniform(0.75, 1.35) * side * tint
    return np.clip(lit, 0, 255).astype(np.uint8), _same


def _jpeg(image: np.ndarray, rng: np.random.Generator) -> Degraded:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=30)
    return np.asarray(Image.open(data)), _same


def _exif(image: np.ndarray, rng: np.random.Generator) -> Degraded:
    """As a camera held sideways stores it: lying pixels and an orientation tag."""
    data = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(image))).save(data, "JPEG", quality=92, exif=exif)
    data.seek(0)
    return np.asarray(open_rgb(data)), _same


def _mirrored(image: np.ndarray, rng: np.random.Generator) -> Degraded:
    def back(parse: np.ndarray) -> np.ndarray:
        flipped = parse[:, ::-1]
        return np.where(flipped == L.IGNORE, flipped, L.FLIP_LABELS[np.minimum(flipped, L.LABELS - 1)])

    return np.ascontiguousarray(image[:, ::-1]), back


def _same(parse: np.ndarray) -> np.ndarray:
    return parse


DEGRADATIONS: dict[str, Callable[[np.ndarray, np.random.Generator], Degraded]] = {
    "EXIF rotation": _exif, "re-lit": _relit, "JPEG 30": _jpeg, "mirrored": _mirrored,
}  # fmt: skip


def _parse_of(engine: TryOn, photo: np.ndarray) -> np.ndarray:
    """The parse that a try-on works with, at the photo's size; IGNORE outside of its window."""
    who = engine.look(photo, force=True)
    out = np.full(photo.shape[:2], L.IGNORE, np.uint8)
    who.window.paste(out, _nearest(who.people.parse[0].cpu().numpy(), who.view.shape[:2]))
    return out


def _nearest(parse: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(parse, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _coloured(photo: np.ndarray, parse: np.ndarray) -> np.ndarray:
    colours = L.LIP_PALETTE[np.minimum(parse, L.LABELS - 1)]
    return np.where((parse > 0)[..., None], photo // 3 + colours // 3 * 2, photo)


# --- try-ons ---------------------------------------------------------------------------------------------------


def tryons(bench: Bench) -> None:
    """Try-ons on the street photos, another garment each.

    "pixels changed outside the stated region": their number over all photos. "old garment left over": of the
    pixels that the labels call a top (and no coat), the share that the result still shows unchanged (within 3
    levels) where M_exp expects no clothes; pixels beyond the window count, as M_exp says nothing there. Next to it
    the share within the window, and the share of photos that were refused.
    """
    changed = refused = 0
    left_over, left_inside, cells, details = [], [], [], []
    seconds, confidences = [], []
    for i in range(min(bench.limit, len(bench.street))):
        photo, garment = bench.street.photos[i], Image.fromarray(bench.garment(i))
        problem = ""
        started = time.perf_counter()
        try:
            result = bench.engine.run(Image.fromarray(photo), garment)
        except VtcliError as error:
            refused, problem = refused + 1, str(error)
            result = bench.engine.run(Image.fromarray(photo), garment, force=True)
        seconds.append(time.perf_counter() - started)
        confidences.append(result.confidence)
        picture = np.asarray(result.image)
        changed += int((picture != photo).any(2)[~result.region].sum())
        everywhere, inside = _left_over(photo, picture, bench.street.groups[i], result)
        left_over.append(everywhere)
        left_inside.append(inside)
        cells += [
            (f"{i} {problem[:20]}", photo),
            (f"left {everywhere[0] / max(1, everywhere[1]):.3f}", picture),
        ]
        details += [
            (f"{i}", result.person.picture()),
            ("cloth", np.asarray(garment)),
            ("result", result.picture.pixels),
        ]
    for name, pairs in (
        ("old garment left over, street photos", left_over),
        ("old garment left over, in the window", left_inside),
    ):
        bench.metrics[name] = sum(a for a, _ in pairs) / max(1, sum(b for _, b in pairs))
    bench.metrics["pixels changed outside the stated region"] = changed
    bench.metrics["street photos refused"] = refused / max(1, len(left_over))
    bench.metrics["confidence, street photos, median"] = float(np.median(confidences))
    bench.metrics["confidence, street photos, lowest tenth"] = float(np.percentile(confidences, 10))
    bench.metrics["seconds a try-on, median"] = float(np.median(seconds))
    for start in range(0, len(cells), 50):
        contact_sheet(cells[start : start + 50], 10, 300).save(bench.out / f"tryons-{start // 50}.png")
    for start in range(0, len(details), 60):
        contact_sheet(details[start : start + 60], 12, 256).save(bench.out / f"details-{start // 60}.png")


def _left_over(
    photo: np.ndarray, picture: np.ndarray, groups: np.ndarray, result: TryOnResult
) -> tuple[tuple[int, int], tuple[int, int]]:
    old = np.isin(groups, [g for g, members in enumerate(GROUPS) if members == (L.UPPER_CLOTHES,)])
    window, size = result.person.window, result.person.view.shape[:2]
    expected = np.zeros(photo.shape[:2], np.uint8)
    within = np.zeros(photo.shape[:2], bool)
    window.paste(within, np.ones(size, bool))
    if result.composition.expected_parse is not None:
        likeliest = result.composition.expected_parse[0].argmax(0).byte().cpu().numpy()
        window.paste(expected, _nearest(likeliest, size))
    same = np.abs(picture.astype(np.int16) - photo).max(2) <= 3
    left = old & same & ~np.isin(expected, CLOTHES)
    return (int(left.sum()), int(old.sum())), (int((left & within).sum()), int((old & within).sum()))


# --- print -----------------------------------------------------------------------------------------------------


def prints(bench: Bench) -> None:
    """Printed text on 1,000×1,333 photos: mean squared gradient of the luminance over the text's place in the
    result, against that of the shop photo resized to the size the garment has there. A shop photo with printed
    lines, drawn at 1,600 pixels of height, on VITON's people; where an arm covers the text it does not count."""
    cloth = Image.open(Path(__file__).parents[1] / "sample_data" / "cloth.jpg")
    shop, text = _printed(cloth)
    ratios, cells = [], []
    for i in range(min(bench.limit, 24)):
        image = bench.store.read("image", [(41 * i + 5) % len(bench.store)])[0]
        photo = Image.fromarray(image).resize((1000, 1333), Image.Resampling.BICUBIC)
        try:
            result = bench.engine.run(photo, Image.fromarray(shop))
        except VtcliError:
            continue
        ratio, where = _print_ratio(shop, text, result)
        if ratio is None:
            continue
        ratios.append(ratio)
        cells.append((f"{ratio:.2f}", np.asarray(result.image)[where]))
    bench.metrics["printed text, gradient energy, median"] = float(np.median(ratios))
    bench.metrics["printed text, gradient energy, lowest quarter"] = float(np.percentile(ratios, 25))
    bench.metrics["printed text, gradient energy, highest"] = float(np.max(ratios))
    contact_sheet(cells, 6, 260).save(bench.out / "prints.png")


def _printed(cloth: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """The shop photo at 1,600 pixels of height with three printed lines, and the box around them (bool)."""
    large = cloth.convert("RGB").resize((1200, 1600), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(large)
    font = ImageFont.load_default(76)
    box = (390, 560, 810, 850)
    draw.rectangle(box, fill=(250, 250, 245))
    for line, words in enumerate(("MORNING", "& EVENING", "since 1987")):
        draw.text((600, 605 + 90 * line), words, fill=(20, 20, 30), font=font, anchor="mm")
    text = np.zeros((1600, 1200), bool)
    text[box[1] + 12 : box[3] - 12, box[0] + 12 : box[2] - 12] = True
    return np.asarray(large), text


def _print_ratio(
    shop: np.ndarray, text: np.ndarray, result: TryOnResult
) -> tuple[float | None, tuple[slice, slice]]:
    window = result.person.window
    size = (window.height, window.width)
    # The text's box goes the garment's way, as a garment of the same outline.
    marked = place(np.where(text[..., None], 255, 0).astype(np.uint8).repeat(3, 2), garment_mask(shop))
    marked = Garment(marked.canvas, (marked.canvas[:, :1] > 0).float() * marked.mask, marked.inside)
    _, alpha = FullWarp(marked, result.warp, size).whole()
    expected = result.composition.expected_parse
    worn = np.ones(size, bool)
    if expected is not None:
        shown = _nearest(expected[0].argmax(0).byte().cpu().numpy(), size)
        worn = cv2.erode(np.isin(shown, CLOTHES).astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    inside = (alpha > 0.99) & worn
    if inside.sum() < 0.6 * (alpha > 0.5).sum() or inside.sum() < 500:
        return None, (slice(0, 1), slice(0, 1))
    factor = float(np.sqrt((alpha > 0.5).sum() / text.sum()))
    resized = cv2.resize(shop, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    reference = cv2.resize(text.astype(np.uint8), resized.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    ours = _energy(result.picture.pixels, inside)
    rows, columns = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
    top, left = max(0, window.top + rows[0] - 20), max(0, window.left + columns[0] - 20)
    return ours / _energy(resized, reference), (
        slice(top, window.top + rows[-1] + 20),
        slice(left, window.left + columns[-1] + 20),
    )


def _energy(rgb: np.ndarray, inside: np.ndarray) -> float:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    dy, dx = np.gradient(grey)
    return float((dx**2 + dy**2)[inside].mean())


# --- sheets and tables -----------------------------------------------------------------------------------------


def contact_sheet(cells: list[tuple[str, np.ndarray]], columns: int, height: int) -> Image.Image:
    """Pictures of any size in cells of equal height, with captions."""
    font = ImageFont.load_default(12)
    wide = max((round(p.shape[1] * height / p.shape[0]) for _, p in cells), default=1)
    wide = min(wide, round(1.6 * height))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (wide + 4), max(1, rows) * (height + 18)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (name, array) in enumerate(cells):
        picture = Image.fromarray(np.ascontiguousarray(array))
        picture.thumbnail((wide, height), Image.Resampling.BICUBIC)
        if picture.height < height and picture.width < wide:
            factor = min(height / picture.height, wide / picture.width)
            picture = picture.resize(
                (max(1, int(picture.width * factor)), max(1, int(picture.height * factor)))
            )
        x, y = (i % columns) * (wide + 4), (i // columns) * (height + 18)
        draw.text((x + 2, y + 1), name, fill=(30, 30, 30), font=font)
        sheet.paste(picture, (x, y + 16))
    return sheet


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "boxes": boxes, "composites": composites, "parses": parses, "tryons": tryons, "prints": prints,
}  # fmt: skip


def main() -> None:
    """Parse the command line, measure, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("ccp", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, help="default: those that come with vtcli")
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    engine = TryOn.load(options.weights, options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    store = PreparedStore.open(options.data, options.split)
    if options.split == "test":  # the other half is not looked at
        store = write_half(store, "choosing", options.out / "choosing")
    bench = Bench(
        engine,
        store,
        LabelledPhotos.read(options.ccp),
        options.out,
        options.limit,
    )
    earlier = options.out / "photos.json"
    if options.only != ",".join(SECTIONS) and earlier.is_file():
        bench.metrics |= json.loads(earlier.read_text())
    for name in options.only.split(","):
        started = time.perf_counter()
        SECTIONS[name](bench)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    text = table({"measured": bench.metrics}, TARGETS)
    print(text)
    (options.out / "photos.md").write_text(text)
    (options.out / "photos.json").write_text(json.dumps(bench.metrics, indent=1) + "\n")


if __name__ == "__main__":
    main()
