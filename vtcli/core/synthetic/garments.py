"""What a garment is: cut, fabric, pattern. Where its edges run and what colour a spot of it has.

A spot is named by coordinates that belong to the garment, not to who wears it: its place (x, y, z) on the
mean body in the rest pose, `around` (signed metres from the front's middle), `along` (metres down the
sleeve from the shoulder), `angle` around the sleeve, and whether it lies on a sleeve.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

SLEEVES = {"none": -0.02, "short": 0.135, "three-quarter": 0.36, "long": 0.552}
"""Metres from the shoulder joint along the arm where the sleeve ends."""
NECKS = ("round", "v", "boat")
MORE_NECKS = ("square", "high", "straps", "halter", "off-shoulder")
"""What `random_garment` does not draw but varied garments have."""
PATTERNS = (
    "plain",
    "stripes",
    "dots",
    "floral",
    "heather",
    "print",
    "text",
    "blocks",
    "pinstripes",
    "speckle",
)
MORE_PATTERNS = ("bars", "checks")
"""Likewise."""


@dataclass(frozen=True)
class SyntheticGarment:
    """A top. Lengths in metres on the mean body; colours RGB 0-255."""

    sleeve: str = "short"
    neck: str = "round"
    neck_width: float = 0.085
    neck_depth: float = 0.075
    hem: float = 0.06
    ease: float = 0.014
    flare: float = 0.0
    sleeve_ease: float = 0.010
    colour: tuple[int, int, int] = (240, 240, 240)
    accent: tuple[int, int, int] = (30, 40, 90)
    accent2: tuple[int, int, int] = (200, 60, 60)
    pattern: str = "plain"
    scale: float = 0.05
    text: str = "hello"
    rib: float = 0.014
    contrast_rib: bool = False
    wrinkle: float = 1.0
    sheen: float = 0.05
    seed: int = 0
    sleeve_end: float | None = None  # metres from the shoulder joint; None: as `sleeve` says
    sleeve_flare: float = 0.0  # metres that a sleeve widens per metre
    strap: float = 0.01  # half the width of a strap
    shop_spread: float = 0.0  # how much further out the sleeves lie in the shop photo
    shop_turn: float = 0.0  # degrees that the garment is turned in the shop photo
    shop_size: float = 1.0  # of the shop photo's usual scale

    @property
    def cuff(self) -> float:
        """Metres from the shoulder joint along the arm to the sleeve's end."""
        return SLEEVES[self.sleeve] if self.sleeve_end is None else self.sleeve_end


_WORDS = (
    "hello", "sunday", "bonjour", "NORTH", "ocean", "studio 9", "amour", "wild", "salt", "1987", "coffee",
    "nomad", "LUNA", "maybe", "soleil", "DRAWN",
)  # fmt: skip
_COLOURS = (
    (246, 246, 244), (245, 245, 242), (24, 25, 29), (30, 31, 36), (33, 40, 66), (27, 34, 60), (122, 126, 132),
    (176, 178, 182), (214, 190, 160), (228, 206, 190), (236, 196, 196), (190, 60, 62), (124, 28, 42),
    (70, 100, 146), (150, 184, 214), (96, 112, 82), (58, 82, 66), (222, 178, 66), (196, 112, 70),
    (118, 88, 124), (226, 130, 150), (44, 104, 110), (150, 108, 84), (205, 214, 200),
)  # fmt: skip


def random_garment(rng: np.random.Generator) -> SyntheticGarment:
    """A garment chosen by `rng`."""
    colour = _COLOURS[rng.integers(len(_COLOURS))]
    others = [c for c in _COLOURS if abs(sum(c) - sum(colour)) > 190]
    accent = others[rng.integers(len(others))]
    accent2 = _COLOURS[rng.integers(len(_COLOURS))]
    sleeve = str(rng.choice(list(SLEEVES), p=[0.16, 0.42, 0.14, 0.28]))
    neck = str(rng.choice(NECKS, p=[0.62, 0.24, 0.14]))
    pattern = str(rng.choice(PATTERNS, p=[0.27, 0.17, 0.08, 0.07, 0.09, 0.1, 0.1, 0.05, 0.03, 0.04]))
    width = {
        "round": rng.uniform(0.072, 0.105),
        "v": rng.uniform(0.07, 0.095),
        "boat": rng.uniform(0.115, 0.135),
    }
    depth = {
        "round": rng.uniform(0.055, 0.12),
        "v": rng.uniform(0.13, 0.19),
        "boat": rng.uniform(0.035, 0.05),
    }
    scale = {"stripes": rng.uniform(0.022, 0.075), "dots": rng.uniform(0.025, 0.055),
             "pinstripes": rng.uniform(0.016, 0.03)}.get(pattern, rng.uniform(0.05, 0.1))  # fmt: skip
    loose = rng.uniform()
    return SyntheticGarment(
        sleeve=sleeve, neck=neck, neck_width=float(width[neck]), neck_depth=float(depth[neck]),
        hem=float(rng.uniform(0.03, 0.17)), ease=float(0.006 + 0.026 * loose**1.5),
        flare=float(rng.uniform(0, 0.12) * loose),
        sleeve_ease=float(rng.uniform(0.005, 0.011 + 0.014 * loose)),
        colour=colour, accent=accent, accent2=accent2, pattern=pattern, scale=float(scale),
        text=str(rng.choice(_WORDS)), rib=float(rng.uniform(0.008, 0.02)),
        contrast_rib=bool(rng.uniform() < 0.2), wrinkle=float(rng.uniform(0.7, 1.3)),
        sheen=float(rng.uniform(0.0, 0.12)), seed=int(rng.integers(1 << 30)),
    )  # fmt: skip


# ---------------------------------------------------------------- edges


def _shoulder_height(x: np.ndarray) -> np.ndarray:
    """Height of the shoulders' top on the mean body at |x| metres from the middle (no neck)."""
    return np.interp(
        np.abs(x), [0.05, 0.07, 0.09, 0.12, 0.15, 0.18], [0.752, 0.741, 0.731, 0.717, 0.704, 0.688]
    )


def neck_distance(g: SyntheticGarment, place: np.ndarray) -> np.ndarray:
    """Metres from the neckline, positive on the cloth, at `place` (n, 3)."""
    x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    if g.neck in ("high", "straps", "off-shoulder"):
        return _open_neck(g, x, y, z)
    back = np.clip((y + 0.03) / 0.05, 0, 1)
    back = back * back * (3 - 2 * back)
    edge = _shoulder_height(np.array([g.neck_width]))[0]
    below = np.maximum(edge - z, 0)
    depth = g.neck_depth + 0.006
    if g.neck == "v":
        front = (x - g.neck_width * (1 - below / depth)) * depth / np.hypot(depth, g.neck_width)
    else:
        power = {"boat": 2.8, "square": 9.0}.get(g.neck, 2.5)
        radius = ((x / g.neck_width) ** power + (below / depth) ** power + 1e-9) ** (1 / power)
        front = (radius - 1) * _reach(x, below, radius, g.neck_width, depth)
    radius = np.sqrt((x / g.neck_width) ** 2 + (below / 0.028) ** 2 + 1e-9)
    behind = (radius - 1) * _reach(x, below, radius, g.neck_width, 0.028)
    if g.neck == "halter":  # narrow towards the neck; no cloth over the shoulders
        half = np.interp(z, [0.50, 0.58, 0.72], [0.18, 0.125, g.neck_width + 4 * g.strap])
        front, behind = np.minimum(front, half - x), np.minimum(behind, 0.52 - z)
    return front * (1 - back) + behind * back


def _open_neck(g: SyntheticGarment, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Metres from necklines that run level: a high collar, a top on straps or below the shoulders."""
    if g.neck == "high":
        return 0.745 + g.neck_depth + 0.2 * (y + 0.03) - z
    top = _shoulder_height(np.array([0.09]))[0] - g.neck_depth
    if g.neck == "off-shoulder":
        return top - z
    rise = ((g.seed >> 5) % 4) / 4 * 0.45  # from straight to heart-shaped
    body = top + rise * np.minimum(x, g.neck_width) - np.maximum(x - g.neck_width, 0) * 0.35 - z
    return np.maximum(body, g.strap - np.abs(x - g.neck_width))


def _reach(x: np.ndarray, below: np.ndarray, radius: np.ndarray, width: float, depth: float) -> np.ndarray:
    """How many metres one unit of the oval's `radius` is in this direction."""
    return np.clip(np.hypot(x, below) / np.maximum(radius, 1e-6), min(width, depth), max(width, depth))


def hem_distance(g: SyntheticGarment, place: np.ndarray) -> np.ndarray:
    """Metres above the hem."""
    return place[:, 2] - g.hem


def cuff_distance(g: SyntheticGarment, along: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Metres before the sleeve's end (or the armhole, without sleeves)."""
    if g.sleeve == "none":
        # the armhole: an upright cut a little inside of the shoulder joint, wider below
        return 0.150 - np.abs(place[:, 0]) + 0.25 * np.clip(0.6 - place[:, 2], -0.03, 0.2)
    return g.cuff - along


# ---------------------------------------------------------------- colour


@lru_cache(maxsize=64)
def _print_picture(text: str, pattern: str, accent: tuple[int, int, int], accent2: tuple[int, int, int],
                   seed: int) -> np.ndarray:  # fmt: skip
    """A chest print, (256, 256, 4) float32: RGB 0-255 and cover 0-1."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    size = 512
    rng = np.random.default_rng(seed)
    picture = Image.new("RGBA", (size, size), (*accent, 0))
    draw = ImageDraw.Draw(picture)
    if pattern == "text":
        points = 40
        while points < 300:
            box = draw.textbbox((0, 0), text, font=ImageFont.load_default(points + 8))
            if box[2] - box[0] > size * 0.92 or box[3] - box[1] > size * 0.55:
                break
            points += 8
        font = ImageFont.load_default(points)
        draw.text((size / 2, size * 0.42), text, font=font, fill=(*accent, 255), anchor="mm")
        if rng.uniform() < 0.6:
            small = ImageFont.load_default(34)
            line = str(
                rng.choice(["since always", "no. 18", "studio collection", "good company", "52 N 13 E"])
            )
            draw.text(
                (size / 2, size * 0.42 + points * 0.72), line, font=small, fill=(*accent2, 255), anchor="mm"
            )
    else:
        kind = rng.integers(3)
        if kind == 0:  # sun over hills
            draw.ellipse((150, 60, 362, 272), fill=(*accent2, 255))
            for i in range(4):
                top = 220 + i * 55
                xs = np.linspace(30, 482, 60)
                ys = top + 26 * np.sin(xs / rng.uniform(30, 70) + rng.uniform(0, 6))
                shade = tuple(int(c * (0.75 + 0.12 * i)) for c in accent)
                shape = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
                draw.polygon([*shape, (482, 460), (30, 460)], fill=(*shade, 255))
        elif kind == 1:  # leaves
            for k in range(9):
                angle, reach = k * 0.7 + rng.uniform(-0.2, 0.2), rng.uniform(130, 215)
                t = np.linspace(0, 1, 30)
                wide = np.sin(np.pi * t) * reach * 0.24
                cx, cy = 256 + np.cos(angle) * t * reach, 256 + np.sin(angle) * t * reach
                px, py = -np.sin(angle) * wide, np.cos(angle) * wide
                outline = np.concatenate(
                    [np.stack([cx + px, cy + py], 1), np.stack([cx - px, cy - py], 1)[::-1]]
                )
                tone = accent if k % 2 else accent2
                draw.polygon([tuple(map(float, p)) for p in outline], fill=(*tone, 255))
                draw.line([(256, 256), (float(cx[-1]), float(cy[-1]))], fill=(250, 250, 245, 120), width=3)
        else:  # rings and bars
            for k in range(6):
                r = 220 - k * 36
                tone = (accent, accent2, (245, 240, 228))[k % 3]
                draw.ellipse((256 - r, 240 - r, 256 + r, 240 + r), fill=(*tone, 255))
            draw.rectangle((36, 225, 476, 262), fill=(*accent, 255))
    grain = rng.uniform(0.86, 1.0, (64, 64))
    grain = np.asarray(
        Image.fromarray((grain * 255).astype(np.uint8)).resize((256, 256), Image.Resampling.BICUBIC)
    )
    out = np.asarray(
        picture.filter(ImageFilter.GaussianBlur(0.6)).resize((256, 256), Image.Resampling.LANCZOS)
    )
    out = out.astype(np.float32)
    out[..., 3] *= grain / 255.0 / 255.0
    return out


@lru_cache(maxsize=32)
def _tile(seed: int, kind: str) -> np.ndarray:
    """A repeating tile (256, 256) of cover 0..1 (second channel for floral: which accent)."""
    rng = np.random.default_rng(seed)
    out = np.zeros((256 * 3, 256 * 3, 2), np.float32)
    count = 11 if kind == "floral" else 60
    for _ in range(count):
        x, y = rng.uniform(0, 256, 2)
        r, turn, which = rng.uniform(13, 26), rng.uniform(0, 6.3), float(rng.integers(2))
        if kind == "speckle":
            r = rng.uniform(1.2, 4.5)
        for dx in (0, 256, 512):
            for dy in (0, 256, 512):
                cx, cy = x + dx, y + dy
                if kind == "speckle":
                    cv2.circle(out, (int(cx * 8), int(cy * 8)), int(r * 8), (1.0, which), -1, cv2.LINE_AA, 3)
                    continue
                for k in range(5):
                    a = turn + k * 2 * np.pi / 5
                    px, py = cx + np.cos(a) * r * 0.55, cy + np.sin(a) * r * 0.55
                    axes = (int(r * 0.52), int(r * 0.3))
                    cv2.ellipse(
                        out, (int(px), int(py)), axes, np.degrees(a), 0, 360, (1.0, which), -1, cv2.LINE_AA
                    )
                cv2.circle(out, (int(cx), int(cy)), int(r * 0.24), (0.25, which), -1, cv2.LINE_AA)
                leaf = turn + 0.6
                cv2.ellipse(out, (int(cx + np.cos(leaf) * r * 1.4), int(cy + np.sin(leaf) * r * 1.4)),
                            (int(r * 0.5), int(r * 0.16)), np.degrees(leaf), 0, 360, (0.8, 1 - which), -1,
                            cv2.LINE_AA)  # fmt: skip
    return out[256:512, 256:512].copy()


def _sample(picture: np.ndarray, x: np.ndarray, y: np.ndarray, wrap: bool) -> np.ndarray:
    """Bilinear `picture` at pixel positions x, y (n,)."""
    h, w = picture.shape[:2]
    mode = cv2.BORDER_WRAP if wrap else cv2.BORDER_CONSTANT
    if wrap:
        x, y = np.mod(x, w), np.mod(y, h)
    # remap wants a 2-D map whose sides stay under 32768
    side = 4096
    rows = -(-len(x) // side)
    mx, my = (np.zeros(rows * side, np.float32) - 10 for _ in range(2))
    mx[: len(x)], my[: len(x)] = x, y
    out = cv2.remap(
        picture, mx.reshape(rows, side), my.reshape(rows, side), cv2.INTER_LINEAR, borderMode=mode
    )
    return out.reshape(rows * side, -1)[: len(x)]


def _soft(value: np.ndarray, blur: float) -> np.ndarray:
    """A step at 0 softened over `blur` metres (the cloth's own blur; pixels add theirs by supersampling)."""
    return np.clip(value / blur + 0.5, 0, 1)


def colours(g: SyntheticGarment, place: np.ndarray, around: np.ndarray, along: np.ndarray, angle: np.ndarray,
            on_sleeve: np.ndarray) -> np.ndarray:  # fmt: skip
    """Albedo (n, 3), 0..1 linear-ish sRGB, of the garment's outside."""
    base = np.array(g.colour, np.float32) / 255
    accent = np.array(g.accent, np.float32) / 255
    accent2 = np.array(g.accent2, np.float32) / 255
    n = len(around)
    out = np.tile(base, (n, 1)).astype(np.float32)
    # One running coordinate down the cloth, one across: on sleeves along the arm and around it.
    down = np.where(on_sleeve, 0.66 - along, place[:, 2]).astype(np.float32)
    across = np.where(on_sleeve, angle * 0.05, around).astype(np.float32)
    front = place[:, 1] < 0.01
    if g.pattern == "stripes":
        phase = np.mod(down / g.scale, 1.0)
        share = 0.3 + 0.3 * ((g.seed >> 3) % 8) / 8
        cover = _soft((share / 2 - np.abs(phase - 0.5)) * g.scale, 0.0015)
        out += cover[:, None] * (accent - out)
    elif g.pattern == "pinstripes":
        phase = np.mod(across / g.scale, 1.0)
        cover = 0.8 * _soft((0.07 - np.abs(phase - 0.5)) * g.scale, 0.0015)
        out += cover[:, None] * (accent - out)
    elif g.pattern == "bars":
        phase = np.mod(across / g.scale, 1.0)
        cover = _soft((0.25 - np.abs(phase - 0.5)) * g.scale, 0.0015)
        out += cover[:, None] * (accent - out)
    elif g.pattern == "checks":
        for run, tone in ((down, accent), (across, accent2)):
            cover = 0.55 * _soft((0.2 - np.abs(np.mod(run / g.scale, 1.0) - 0.5)) * g.scale, 0.0015)
            out += cover[:, None] * (tone - out)
    elif g.pattern == "dots":
        row = np.floor(down / g.scale)
        px = np.mod(across / g.scale + 0.5 * np.mod(row, 2), 1.0) - 0.5
        py = np.mod(down / g.scale, 1.0) - 0.5
        cover = _soft((0.2 - np.hypot(px, py)) * g.scale, 0.0015)
        out += cover[:, None] * (accent - out)
    elif g.pattern in ("floral", "speckle"):
        tile = _tile(g.seed, g.pattern)
        step = 256 / (g.scale * (2.4 if g.pattern == "floral" else 1.6))
        value = _sample(tile, across * step, -down * step, True)
        tone = accent * (1 - value[:, 1:2]) + accent2 * value[:, 1:2]
        out += value[:, :1] * (tone - out)
    elif g.pattern == "blocks":
        cover = _soft(down - 0.48, 0.002)
        out += cover[:, None] * (accent - out)
        band = _soft(0.012 - np.abs(down - 0.468), 0.002)
        out += band[:, None] * (accent2 - out)
    elif g.pattern in ("print", "text"):
        half = 0.105 if g.pattern == "print" else 0.115
        centre = 0.475 - max(0.0, g.neck_depth - 0.1) * 0.5
        picture = _print_picture(g.text, g.pattern, g.accent, g.accent2, g.seed)
        on = front & ~on_sleeve & (np.abs(around) < half) & (np.abs(place[:, 2] - centre) < half)
        where = np.flatnonzero(on)
        if len(where):
            x = (around[where] / half * 0.5 + 0.5) * 256 - 0.5
            y = (0.5 - (place[where, 2] - centre) / half * 0.5) * 256 - 0.5
            value = _sample(picture, x, y, False)
            out[where] += value[:, 3:] * (value[:, :3] / 255 - out[where])
    return out
