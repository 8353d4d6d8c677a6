"""A corpus of files as they should not be, made on the spot, and a walk of it through every command.

A command may refuse a file: then it ends with 1 or 2, says why in one line that names the file, and leaves nothing.
Or it takes it: then its result is whole. A traceback, a killed process or half a result is a loss.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.reliability import forks

Corpus = dict[str, bytes]
SAMPLES = forks.ROOT / "sample_data"


# -- pictures ------------------------------------------------------------------------------------------------


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def _png_of_size(width: int, height: int, depth: int = 1) -> bytes:
    """A PNG that claims a size, and holds a little of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def pictures(photo: Image.Image) -> Corpus:
    """Odd and broken pictures by file name, made from `photo`."""
    corpus: Corpus = {}
    for kind, suffix in (("JPEG", "jpg"), ("PNG", "png")):
        whole = _encode(photo, kind)
        for tenth in range(1, 10):
            corpus[f"cut-{tenth}0.{suffix}"] = whole[: len(whole) * tenth // 10]
    corpus["empty.jpg"] = b""
    corpus["text.jpg"] = b"This is not a picture.\n" * 20
    corpus["noise.png"] = b"\x89PNG\r\n\x1a\n" + np.random.default_rng(0).bytes(4000)
    corpus["one-pixel.png"] = _encode(Image.new("RGB", (1, 1), (9, 9, 9)), "PNG")
    corpus["wide.png"] = _encode(Image.new("RGB", (30_000, 1), (200, 9, 9)), "PNG")
    corpus["tall.jpg"] = _encode(Image.new("RGB", (1, 30_000), (9, 200, 9)), "JPEG")
    corpus["bomb-50000.png"] = _png_of_size(50_000, 50_000)
    corpus["bomb-2-billion.png"] = _png_of_size(2**31 - 1, 2**31 - 1)
    corpus["bomb-short.png"] = _png_of_size(9_000, 9_000, 8)
    corpus["cmyk.jpg"] = _encode(photo.convert("CMYK"), "JPEG")
    corpus["grey.jpg"] = _encode(photo.convert("L"), "JPEG")
    deep = np.asarray(photo.convert("L")).astype(np.uint16) * 257
    corpus["sixteen-bit.png"] = _encode(Image.fromarray(deep), "PNG")
    corpus["sixteen-bit.tif"] = _encode(Image.fromarray(deep), "TIFF")
    palette = photo.quantize(64)
    corpus["palette.png"] = _encode(palette, "PNG")
    corpus["palette-transparent.png"] = _encode(palette, "PNG", transparency=3)
    corpus["transparent.png"] = _encode(Image.new("RGBA", photo.size, (0, 0, 0, 0)), "PNG")
    frames = [photo.rotate(180)]
    corpus["animated.gif"] = _encode(photo, "GIF", save_all=True, append_images=frames)
    corpus["animated.webp"] = _encode(photo, "WEBP", save_all=True, append_images=frames)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        corpus[f"exif-{orientation}.jpg"] = _encode(photo, "JPEG", exif=exif)
    corpus["exif-99.jpg"] = _encode(photo, "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff")
    corpus["<script>alert(1)</script>.jpg".replace("/", "\u2215")] = _encode(photo, "JPEG")
    corpus["[red]mark up[/red].jpg".replace("/", "\u2215")] = corpus["cut-10.jpg"]
    return corpus


def parse_maps(parse: np.ndarray) -> Corpus:
    """Parse maps that are none."""
    beyond, far = parse.copy(), parse.copy()
    beyond[0, 0], far[...] = 20, 255
    return {
        "label-20.png": _encode(Image.fromarray(beyond), "PNG"),
        "label-255.png": _encode(Image.fromarray(far), "PNG"),
        "small.png": _encode(Image.fromarray(parse[::3, ::2]), "PNG"),
        "lossy.jpg": _encode(Image.fromarray(parse), "JPEG", quality=50),
        "sixteen-bit.png": _encode(Image.fromarray(parse.astype(np.uint16) * 900), "PNG"),
        "float.tif": _encode(Image.fromarray(np.full(parse.shape, np.nan, np.float32)), "TIFF"),
        "colours.png": _encode(Image.effect_noise(parse.shape[::-1], 90).convert("RGB"), "PNG"),
        "empty.png": b"",
        "nothing.png": _encode(Image.fromarray(np.zeros_like(parse)), "PNG"),
    }


def poses() -> Corpus:
    """Pose files that hold no pose, or an odd one."""

    def people(*values: list[Any], key: str = "pose_keypoints_2d") -> bytes:
        return json.dumps({"people": [{key: v} for v in values]}).encode()

    joint = [60.0, 90.0, 0.9]
    return {
        "empty.json": b"",
        "nothing.json": b"{}",
        "list.json": b"[]",
        "text.json": b"people",
        "latin-1.json": b'{"people": "\xe9"}',
        "deep.json": b"[" * 100_000,
        "nobody.json": people(),
        "not-people.json": b'{"people": [1, null, "x"]}',
        "nan.json": b'{"people": [{"pose_keypoints_2d": [NaN' + b", 1" * 53 + b"]}]}",
        "infinite.json": b'{"people": [{"pose_keypoints_2d": [1e999' + b", 1" * 53 + b"]}]}",
        "huge.json": b'{"people": [{"pose_keypoints_2d": [1' + b"0" * 400 + b", 1" * 53 + b"]}]}",
        "true.json": people([True] * 54),
        "points-17.json": people(joint * 17),
        "points-18.json": people(joint * 18),
        "points-25.json": people(joint * 25),
        "points-137.json": people(joint * 137),
        "no-points.json": people([]),
        "outside.json": people([5000.0, -30.0, 0.9] * 18),
        "some-outside.json": people([*joint * 14, *[9e9, -9e9, 0.9] * 4]),
        "absent.json": people([0.0, 0.0, 0.0] * 18),
    }


def pair_lists(person: str, cloth: str, other: str) -> Corpus:
    """Lists of pairs, in all the ways in which people and programs write them."""
    line = f"{person}.jpg {cloth}.jpg"
    return {
        "crlf.txt": f"{line}\r\n{other}.jpg {cloth}.jpg\r\n".encode(),
        "bom.txt": b"\xef\xbb\xbf" + line.encode(),
        "utf-16.txt": line.encode("utf-16"),
        "comments.txt": f"# people first\n\n  \n{line}\n\n# end".encode(),
        "tab.txt": line.replace(" ", "\t").encode(),
        "comma.csv": line.replace(" ", ",").encode(),
        "no-suffix.txt": f"{person} {cloth}\n".encode(),
        "empty.txt": b"",
        "blank.txt": b"\n\n \n",
        "one-column.txt": f"{person}.jpg\n".encode(),
        "three-columns.txt": f"{line} {other}.jpg\n".encode(),
        "unknown.txt": b"nobody.jpg nothing.jpg\n",
        "spaces.txt": b"a person.jpg a cloth.jpg\n",
        "unicode.txt": "пéрсона.jpg 服.jpg\n".encode(),
        "parent.txt": f"../{person}.jpg {cloth}.jpg\n".encode(),
        "dots.txt": f".. {cloth}.jpg\n".encode(),
        "absolute.txt": f"/etc/passwd {cloth}.jpg\n".encode(),
        "backslash.txt": f"..\\{person}.jpg {cloth}.jpg\n".encode(),
        "drive.txt": f"C:{person}.jpg {cloth}.jpg\n".encode(),
        "nul.txt": f"{person}\0.jpg {cloth}.jpg\n".encode(),
        "latin-1.txt": b"p\xe9rson.jpg cloth.jpg\n",
        "binary.txt": np.random.default_rng(1).bytes(3000),
        "long-line.txt": b"x" * 1_000_000,
        "twice.txt": f"{line}\n{line}\n".encode(),
        "100000.txt": "".join(f"person{i}.jpg cloth{i}.jpg\n" for i in range(100_000)).encode(),
    }


# -- hostile files -------------------------------------------------------------------------------------------


class _Planted:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch '{self.target}'",))


def planted_pickles(target: Path) -> Corpus:
    """Files that write `target` if anything unpickles them: plain, as torch saves them, and as an array."""
    import torch

    new, old, array, archive = (io.BytesIO() for _ in range(4))
    torch.save({"state_dict": _Planted(target)}, new)
    torch.save(_Planted(target), old, _use_new_zipfile_serialization=False)
    trap = np.array([_Planted(target)], dtype=object)
    np.save(array, trap, allow_pickle=True)
    np.savez(archive, mu=trap, sigma=trap)
    return {
        "plain.pkl": pickle.dumps(_Planted(target)), "torch.pth": new.getvalue(), "torch-old.pth": old.getvalue(),
        "array.npy": array.getvalue(), "arrays.npz": archive.getvalue(),
    }  # fmt: skip


def lying_safetensors(whole: bytes) -> Corpus:
    """A weights file whose header says what is not so."""
    length = struct.unpack("<Q", whole[:8])[0]
    header, body = json.loads(whole[8 : 8 + length]), whole[8 + length :]

    def with_header(change: Callable[[dict[str, Any]], object]) -> bytes:
        copy = json.loads(json.dumps(header))
        change(copy)
        text = json.dumps(copy).encode()
        return struct.pack("<Q", len(text)) + text + body

    first = next(k for k, v in header.items() if v.get("dtype") == "F16")

    def put(**what: Any) -> Callable[[dict[str, Any]], object]:
        return lambda h: h[first].update(what)

    return {
        "longer-header": struct.pack("<Q", 2**63) + whole[8:],
        "header-past-end": struct.pack("<Q", len(whole)) + whole[8:],
        "no-header": b"\0" * 8,
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "offsets-past-end": with_header(put(data_offsets=[0, 10**12])),
        "offsets-backwards": with_header(put(data_offsets=[64, 0])),
        "offsets-negative": with_header(put(data_offsets=[-64, 0])),
        "huge-shape": with_header(put(shape=[10**9, 10**9])),
        "negative-shape": with_header(put(shape=[-1])),
        "other-type": with_header(put(dtype="F64")),
        "unknown-type": with_header(put(dtype="PICKLE")),
        "no-facts": with_header(lambda h: h["__metadata__"].pop("facts")),
        "facts-no-json": with_header(lambda h: h["__metadata__"].update(facts="{")),
        "facts-deep": with_header(lambda h: h["__metadata__"].update(facts="[" * 100_000)),
        "facts-list": with_header(lambda h: h["__metadata__"].update(facts="[]")),
        "no-metadata": with_header(lambda h: h.pop("__metadata__")),
    }


def lying_shards(shape: tuple[int, ...], target: Path) -> Corpus:
    """`.npy` files for a shard of uint8 `shape` whose headers lie."""

    def npy(header: str, body: bytes = b"") -> bytes:
        text = header.encode() + b" " * (-(10 + len(header) + 1) % 64) + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body

    def described(kind: str, size: tuple[int, ...]) -> str:
        return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {size!r}, }}"

    trap = pickle.dumps(_Planted(target))
    return {
        "object": npy(described("|O", shape), trap),
        "short": npy(described("|u1", shape), b"\0" * 100),
        "longer-shape": npy(described("|u1", (shape[0] * 1000, *shape[1:])), b"\0" * int(np.prod(shape))),
        "huge-shape": npy(described("|u1", (2**62, 2**62)), b"\0" * 64),
        "negative-shape": npy(described("|u1", (-4, *shape[1:])), b"\0" * 64),
        "other-type": npy(described("<f8", shape), b"\0" * 8 * int(np.prod(shape))),
        "no-dict": npy("__import__('os').system('touch x')"),
        "unclosed": npy("{'descr': '|u1', 'shape': (" + "(" * 500),
        "pickle": trap,
        "empty": b"",
        "version-9": b"\x93NUMPY\x09\x00" + b"\0" * 100,
    }


# -- the walk ------------------------------------------------------------------------------------------------


def _write(folder: Path, corpus: Corpus) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in corpus.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in corpus}


def _keep_networks(weights: Path) -> None:
    """Load networks once; forks inherit them."""
    from vtcli.core.tryon import pipeline

    load = cache(pipeline.TryOn.load)
    load(weights, "cpu")
    load(weights, "cpu", tom=False)
    pipeline.TryOn.load = load  # type: ignore[method-assign, assignment]
    forks.keep_annotator(weights, "cpu")


class Walk:
    """Runs commands on bad files, and tallies how they end."""

    def __init__(self, bench: Any, tally: type, every: int) -> None:
        self.bench, self.tally = bench, tally
        self.every, self.count = every, 0
        self.folder = bench.work / "bad"
        self.out = self.folder / "out"
        self.trap = self.folder / "sprung"
        self.person, self.cloth = SAMPLES / "person.jpg", SAMPLES / "cloth.jpg"

    def try_one(
        self, tally: Any, what: str, arguments: list[object], result: Path | None = None
    ) -> int | None:
        """One command on one file; `result` is what it writes where it takes the file. The exit code, or None
        where this is not the nth."""
        self.count += 1
        if self.count % self.every:
            return None
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        ended = forks.run(arguments, self.bench.logs)
        tally.tried += 1
        tally.check(ended.problem is None, f"{what}: {ended.problem}")
        if ended.code:
            lines = [line for line in ended.err.splitlines() if line.startswith("vtcli: ")]
            tally.check(len(lines) == 1, f"{what}: says {len(lines)} lines: {ended.err.strip()[-300:]}")
            if result is not None:
                tally.check(not result.exists(), f"{what}: refused, but left {result.name}")
        elif result is not None:
            tally.check(result.is_file(), f"{what}: taken, but there is no {result.name}")
        tally.check(not list(self.out.rglob("*.part")), f"{what}: left temporary files")
        tally.check(not self.trap.exists(), f"{what}: RAN THE FILE'S CODE")
        self.trap.unlink(missing_ok=True)
        return ended.code

    def photos(self) -> Iterator[Any]:
        """Pictures, parse maps and poses through tryon and warp."""
        picture = self.out / "out.png"
        photo = Image.open(self.person).convert("RGB")
        photo.thumbnail((192, 256))
        garment = Image.open(self.cloth).convert("RGB")
        garment.thumbnail((192, 256))
        people, garments = (
            _write(self.folder / kind, pictures(image))
            for kind, image in (("people", photo), ("garments", garment))
        )
        small, shop = self.folder / "person.png", self.folder / "cloth.png"
        photo.save(small)
        garment.save(shop)
        common = ["-o", picture, "--weights", self.bench.weights, "--device", "cpu"]
        uses: list[tuple[str, str, dict[str, Path], Callable[[Path], list[object]]]] = [
            ("tryon", "person", people, lambda bad: ["tryon", bad, shop]),
            ("tryon", "cloth", garments, lambda bad: ["tryon", small, bad]),
            ("warp", "cloth", garments, lambda bad: ["warp", small, bad]),
            ("tryon", "--cloth-mask", garments, lambda bad: ["tryon", small, shop, "--cloth-mask", bad]),
        ]
        parse = np.zeros((photo.height, photo.width), np.uint8)
        parse[40:120, 50:140], parse[10:40, 80:110] = 5, 13
        maps, pose_files = (
            _write(self.folder / "maps", parse_maps(parse)),
            _write(self.folder / "poses", poses()),
        )
        for command in ("tryon", "warp"):
            uses.append((command, "--parse", maps, lambda b, c=command: [c, small, shop, "--parse", b]))  # type: ignore[misc]
            uses.append((command, "--pose", pose_files, lambda b, c=command: [c, small, shop, "--pose", b]))  # type: ignore[misc]
        for command, part, files, arguments in uses:
            tally = self.tally(f"bad files, {command} {part}")
            refused = sum(
                bool(self.try_one(tally, f"{command} {part} {name}", [*arguments(path), *common], picture))
                for name, path in files.items()
            )
            tally.note = f"{refused} refused in a line, {tally.tried - refused} taken"
            yield tally

    def data_folders(self) -> Iterator[Any]:
        """The corpus in a data folder, for prepare: bad pairs are left out, good ones are not."""
        from vtcli.core.data.store import PreparedStore

        tally = self.tally("bad files, prepare")
        kinds = {
            "image": pictures(Image.open(self.person).convert("RGB").resize((96, 128))),
            "cloth": pictures(Image.open(self.cloth).convert("RGB").resize((96, 128))),
            "image-parse": parse_maps(np.full((128, 96), 5, np.uint8)),
            "pose": poses(),
        }
        good = sorted(p.stem for p in (SAMPLES / "test" / "image").iterdir())[0]
        number = good.split("_")[0]
        sources = {
            "image": SAMPLES / "test" / "image" / f"{good}.jpg",
            "cloth": SAMPLES / "test" / "cloth" / f"{number}_1.jpg",
            "image-parse": SAMPLES / "test" / "image-parse" / f"{good}.png",
            "pose": SAMPLES / "test" / "pose" / f"{good}_keypoints.json",
        }
        for kind, corpus in kinds.items():
            data = self.folder / f"data-{kind}"
            names = ["good", *(f"{i:03d}" for i in range(len(corpus)))]
            for folder, source in sources.items():
                suffix = "_1" if folder == "cloth" else "_0"
                for name in names:
                    stem = f"{name}{suffix}" + ("_keypoints" if folder == "pose" else "")
                    place = data / "train" / folder / f"{stem}{source.suffix}"
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(source, place)
                    if folder == kind and name != "good":
                        bad = list(corpus)[int(name)]
                        place.unlink()
                        place.with_suffix(Path(bad).suffix).write_bytes(corpus[bad])
            out = self.out / "store"
            code = self.try_one(
                tally, f"prepare {kind}", ["prepare", data, "--out", out, "--jobs", 1, "--size", "128x96",
                "--keep-duplicates", "--weights", self.bench.weights, "--device", "cpu"], out / "train" / "manifest.json",
            )  # fmt: skip
            if code is not None:
                tally.tried += len(corpus) - 1
            if code == 0:
                kept = {e.name for e in PreparedStore.open(out, "train").manifest.entries}
                tally.check("good_0" in kept, f"prepare {kind}: lost the good pair")
        yield tally

    def lists(self) -> Iterator[Any]:
        """Lists of pairs through tryon --pairs and prepare."""
        from vtcli.core.data.store import PreparedStore

        entries = PreparedStore.open(self.bench.store, "test").manifest.entries
        corpus = pair_lists(entries[0].name, entries[0].cloth, entries[1].name)
        files = _write(self.folder / "lists", corpus)
        folders = SAMPLES / "test" / "image", SAMPLES / "test" / "cloth"
        for command in ("tryon", "tryon of photos", "warp", "prepare"):
            tally = self.tally(f"bad files, pairs lists, {command}")
            for name, path in files.items():
                if command == "prepare":
                    data = self.folder / "listed"
                    shutil.rmtree(data, ignore_errors=True)
                    data.mkdir()
                    (data / "test").symlink_to(SAMPLES / "test")
                    shutil.copy(path, data / "test_pairs.txt")
                    arguments: list[object] = [
                        "prepare", data, "--out", self.out / "store", "--jobs", 1, "--size", "64x48",
                    ]  # fmt: skip
                    result = self.out / "store" / "test" / "manifest.json"
                elif command == "tryon of photos":
                    arguments = [
                        "tryon", "--pairs", path, "--people", folders[0], "--cloths", folders[1], "-o", self.out / "results",
                        "--weights", self.bench.weights, "--device", "cpu",
                    ]  # fmt: skip
                    result = self.out / "results" / "sheet.jpg"
                else:
                    arguments = [
                        command, "--data", self.bench.store, "--pairs", path, "-o", self.out / "results", "--weights",
                        self.bench.weights, "--device", "cpu",
                    ]  # fmt: skip
                    result = self.out / "results" / "results.json"
                self.try_one(tally, f"{command}, {name}", arguments, result)
            yield tally
        tally = self.tally("links out of the data folder, prepare")
        data = self.folder / "linked"
        shutil.rmtree(data, ignore_errors=True)
        for kind in ("image", "cloth"):
            (data / kind).mkdir(parents=True)
            shutil.copy(self.person if kind == "image" else self.cloth, data / kind / "good.jpg")
            for name, target in (
                ("secret", "/etc/hostname"),
                ("loop", data / kind / "loop.jpg"),
                ("none", "/none"),
            ):
                (data / kind / f"{name}.jpg").symlink_to(target)
        out = self.out / "store"
        self.try_one(
            tally, "links", ["prepare", data, "--out", out, "--jobs", 1, "--size", "64x48", "--weights",
            self.bench.weights, "--device", "cpu"], out / "train" / "manifest.json",
        )  # fmt: skip
        yield tally

    def scores(self) -> Iterator[Any]:
        """Results folders with bad pictures, through score; names with markup into the report."""
        tally = self.tally("bad files, score")
        info = json.loads((self.bench.results / "results.json").read_text())
        first = info["pairs"][0]["name"]
        size = (info["size"][1], info["size"][0])
        corpus = pictures(Image.open(self.person).convert("RGB").resize(size))
        results = self.folder / "results"
        outputs = ["--json", self.out / "scores.json", "--report", self.out / "report.html", "--bootstrap", 0]
        for name, data in corpus.items():
            shutil.rmtree(results, ignore_errors=True)
            shutil.copytree(self.bench.results, results)
            (results / "images" / f"{first}.png").write_bytes(data)
            self.try_one(
                tally, f"score, {name}", ["score", results, *outputs, "--jobs", 1, "--device", "cpu"],
                self.out / "scores.json",
            )  # fmt: skip
        yield tally

    def pickles(self) -> Iterator[Any]:
        """A pickle that would write a file, wherever a path of weights, statistics or a checkpoint is accepted."""
        tally = self.tally("planted pickles")
        store, weights, results = self.bench.store, self.bench.weights, self.bench.results
        planted = _write(self.folder / "planted", planted_pickles(self.trap))
        picture = self.out / "out.png"
        train = ["train", "--data", store, "--out", self.out, "--steps", 1, "--batch-size", 2, "--val", 2]
        for name, path in planted.items():
            traps = self.folder / f"planted-{name}"
            for file in ("gmm", "tom", "parser", "gmm/last", "gmm/best"):
                (traps / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, traps / f"{file}.safetensors")
            linked = self.folder / f"stored-{name}"
            shutil.rmtree(linked, ignore_errors=True)
            shutil.copytree(store, linked)
            shutil.copy(path, linked / "test" / "image-0000.npy")
            shutil.copy(path, linked / "train" / "image-0000.npy")
            scored = ["score", results, "--json", self.out / "scores.json", "--bootstrap", 0, "--jobs", 1]
            statistics = path if path.suffix == ".npz" else path.with_suffix(".npz")
            statistics.write_bytes(path.read_bytes())
            typed = [
                a
                for stage in ("gmm", "tom", "parser")
                for a in ([*train[:1], stage, *train[1:], "--init", path],)
            ]
            for arguments in (
                ["tryon", self.person, self.cloth, "-o", picture, "--weights", traps],
                ["tryon", self.person, self.cloth, "-o", picture, "--weights", path],
                ["warp", self.person, self.cloth, "-o", picture, "--weights", traps],
                ["tryon", "--data", store, "-o", self.out / "r", "--weights", traps],
                ["tryon", "--data", linked, "-o", self.out / "r", "--weights", weights],
                ["prepare", SAMPLES / "test", "--out", self.out / "p", "--weights", traps, "--jobs", 1],
                ["weights", "import", path, "--out", self.out / "w"],
                ["weights", "list", traps],
                ["weights", "list", path],
                *typed,
                [*train[:1], "tom", *train[1:], "--gmm", path],
                [*train[:1], "tom", *train[1:], "--perceptual", "vgg19", "--vgg-weights", path],
                [*train[:1], "gmm", "--data", linked, *train[3:]],
                [*train[:1], "gmm", *train[1:], "--extra", linked],
                [*train[:1], "gmm", "--data", store, "--out", traps, *train[5:], "--resume"],
                [*scored, "--inception-weights", path],
                [*scored, "--lpips-weights", path],
                [*scored, "--reference", statistics],
                [*scored, "--reference", linked / "test"],
            ):
                what = " ".join(str(a) for a in arguments[:2]) + f" … {arguments[-1]}: {name}"
                self.try_one(tally, what, arguments)
        yield tally

    def lies(self) -> Iterator[Any]:
        """Weights, shards and manifests that lie."""
        tally = self.tally("lying safetensors")
        whole = (self.bench.weights / "tom.safetensors").read_bytes()
        lying = self.folder / "lying"
        for name, data in lying_safetensors(whole).items():
            shutil.rmtree(lying, ignore_errors=True)
            shutil.copytree(self.bench.weights, lying)
            (lying / "tom.safetensors").write_bytes(data)
            for arguments in (
                ["tryon", "--data", self.bench.store, "-o", self.out / "r", "--weights", lying],
                ["weights", "list", lying],
            ):
                code = self.try_one(tally, f"{arguments[0]}, {name}", arguments)
                tally.check(code != 0 or arguments[0] == "weights", f"{name}: taken")
        yield tally

        tally = self.tally("lying shards")
        image = np.load(self.bench.store / "test" / "image-0000.npy", mmap_mode="r")
        for name, data in lying_shards(image.shape, self.trap).items():
            stored = self.folder / "stored"
            shutil.rmtree(stored, ignore_errors=True)
            shutil.copytree(self.bench.store, stored)
            (stored / "test" / "image-0000.npy").write_bytes(data)
            for arguments in (
                ["tryon", "--data", stored, "-o", self.out / "r", "--weights", self.bench.weights],
                ["score", self.bench.results, "--reference", stored / "test", "--json", self.out / "s.json"],
                ["train", "gmm", "--data", stored, "--out", self.out, "--steps", 1],
            ):
                code = self.try_one(tally, f"{arguments[0]}, {name}", arguments)
                tally.check(code in (None, 1), f"{arguments[0]}, {name}: taken")
        yield tally

        tally = self.tally("lying manifests")
        manifest = json.loads((self.bench.store / "test" / "manifest.json").read_text())
        for name, change in manifest_lies(manifest).items():
            stored = self.folder / "stored"
            shutil.rmtree(stored, ignore_errors=True)
            shutil.copytree(self.bench.store, stored)
            (stored / "test" / "manifest.json").write_text(change)
            outside = self.folder / "escaped.png"
            code = self.try_one(
                tally,
                name,
                ["tryon", "--data", stored, "-o", self.out / "r" / "s", "--weights", self.bench.weights],
            )
            tally.check(code in (None, 1), f"{name}: taken")
            tally.check(
                not outside.exists() and not list(self.folder.glob("*escaped*")), f"{name}: wrote outside"
            )
        yield tally


def manifest_lies(manifest: dict[str, Any]) -> dict[str, str]:
    """Manifests, as text, that name files outside, or nothing that could be."""
    lies: dict[str, str] = {"no-json": "{", "deep": "[" * 100_000, "list": "[]", "empty": ""}

    def lie(name: str, change: Callable[[dict[str, Any]], object]) -> None:
        copy = json.loads(json.dumps(manifest))
        change(copy)
        lies[name] = json.dumps(copy)

    for name, value in (
        ("parent", "../../../escaped"), ("absolute", "/tmp/escaped"), ("dots", ".."), ("nul", "a\0b"), ("nothing", ""),
    ):  # fmt: skip
        for key in ("name", "cloth"):
            lie(f"{key}-{name}", lambda m, k=key, v=value: m["entries"][0].update({k: v}))  # type: ignore[misc]
    lie("name-number", lambda m: m["entries"][0].update(name=5))
    lie("twice", lambda m: m["entries"].append(dict(m["entries"][0])))
    lie("size-huge", lambda m: m.update(size=[10**9, 10**9]))
    lie("size-negative", lambda m: m.update(size=[-1, 96]))
    lie("size-text", lambda m: m.update(size="ab"))
    lie("size-infinite", lambda m: m.update(size=[1e999, 96]))
    lie("shard-size-0", lambda m: m.update(shard_size=0))
    lie("shard-size-1", lambda m: m.update(shard_size=1))
    lie("shard-size-huge", lambda m: m.update(shard_size=10**30))
    lie("entries-number", lambda m: m.update(entries=3))
    lie("entries-none", lambda m: m.update(entries=[]))
    lie("unpaired-outside", lambda m: m.update(unpaired=[["../x", "/y", "z"]]))
    lie("version", lambda m: m.update(version=99))
    return lies


def walk(bench: Any, tally: type, every: int = 1) -> Iterator[Any]:
    """The corpus through every command that reads such files; of all cases every nth."""
    walker = Walk(bench, tally, every)
    shutil.rmtree(walker.folder, ignore_errors=True)
    walker.folder.mkdir(parents=True)
    _keep_networks(bench.weights)
    for part in (
        walker.photos, walker.data_folders, walker.lists, walker.scores, walker.pickles, walker.lies,
    ):  # fmt: skip
        yield from part()
