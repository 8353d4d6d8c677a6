"""Light and materials: skin, cloth, hair, trousers, backdrop. Colours 0..1; light adds up in linear space."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from scipy import ndimage

from vtcli.core.synthetic.bodies import mesh
from vtcli.core.synthetic.garments import SyntheticGarment, _sample
from vtcli.core.synthetic.hair import hairline
from vtcli.core.synthetic.people import SyntheticPerson

KEY = np.array([-0.42, -0.78, 0.46]) / np.linalg.norm([-0.42, -0.78, 0.46])
FILL = np.array([0.75, -0.62, 0.10]) / np.linalg.norm([0.75, -0.62, 0.10])
TOP = np.array([0.0, -0.25, 0.97])


def linear(colour: np.ndarray) -> np.ndarray:
    """sRGB 0..1 to linear light."""
    return np.power(np.clip(colour, 0, 1), 2.2)


def encode(light: np.ndarray) -> np.ndarray:
    """Linear light to sRGB 0..1, highlights rolled off softly."""
    x = np.maximum(light, 0)
    knee = 0.82
    x = np.where(x > knee, knee + (1 - knee) * (1 - np.exp(-(x - knee) / (1 - knee))), x)
    return np.power(x, 1 / 2.2)


def wrapped(n: np.ndarray, light: np.ndarray, wrap: float) -> np.ndarray:
    """Lambert's cosine that reaches `wrap` beyond the terminator: (n,)."""
    return np.clip((n @ light + wrap) / (1 + wrap), 0, 1)


def studio(n: np.ndarray, wrap: float = 0.25, key: float = 0.62) -> np.ndarray:
    """Light that falls on a surface with normals (n, 3) in a studio with a big soft box at the left."""
    sky = 0.5 + 0.5 * n[:, 2]
    facing = np.clip(-n[:, 1], 0, 1)
    return (0.20 + 0.10 * sky + 0.14 * facing + key * wrapped(n, KEY, wrap)
            + 0.20 * wrapped(n, FILL, 0.3) + 0.06 * wrapped(n, TOP, 0.1))  # fmt: skip


@cache
def noise_tile(kind: str) -> np.ndarray:
    """Repeating noise (512, 512) float32 with mean 0 and deviation 1. `folds` is ridged, `fine` is grain."""
    rng = np.random.default_rng({"soft": 1, "folds": 2, "fine": 3, "knit": 4, "strand": 5}[kind])
    white = rng.standard_normal((512, 512))
    if kind == "soft":
        out = sum(ndimage.gaussian_filter(rng.standard_normal((512, 512)), s, mode="wrap") * s * w
                  for s, w in ((24, 1.0), (12, 0.5), (6, 0.25)))  # fmt: skip
    elif kind == "folds":
        a = ndimage.gaussian_filter(white, (26, 9), mode="wrap")
        b = ndimage.gaussian_filter(rng.standard_normal((512, 512)), (14, 5), mode="wrap")
        a, b = a / a.std(), b / b.std()
        out = np.exp(-np.abs(a) * 1.4) + 0.25 * np.exp(-np.abs(b) * 1.6)
        out = ndimage.gaussian_filter(out, (5.0, 2.6), mode="wrap")
    elif kind == "fine":
        out = ndimage.gaussian_filter(white, 0.8, mode="wrap")
    elif kind == "knit":
        out = ndimage.gaussian_filter(white, (0.7, 3), mode="wrap") + ndimage.gaussian_filter(
            white.T, (2, 0.7), mode="wrap"
        )
    else:
        out = (
            ndimage.gaussian_filter(white, (40, 0.8), mode="wrap")
            + 0.8 * ndimage.gaussian_filter(rng.standard_normal((512, 512)), (60, 4), mode="wrap") * 2.5
        )
    out = (out - out.mean()) / out.std()
    return out.astype(np.float32)


def noise(kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The tile at (x, y) in tiles (n,): (n,)."""
    return _sample(noise_tile(kind), np.asarray(x, np.float32) * 512, np.asarray(y, np.float32) * 512, True)[
        :, 0
    ]


# ---------------------------------------------------------------- skin and face


@cache
def _eye_centres() -> np.ndarray:
    m = mesh()
    return np.stack(
        [m.vertices[(m.masks["eyes"] > 0.5) & (m.vertices[:, 0] * s > 0)].mean(0) for s in (1, -1)]
    )


def _bump(x: np.ndarray, middle: float, width: float) -> np.ndarray:
    return np.exp(-(((x - middle) / width) ** 2))


def skin_colour(p: SyntheticPerson, place: np.ndarray, lips: np.ndarray, lids: np.ndarray, nails: np.ndarray,
                eyes: np.ndarray, face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Albedo (n, 3) sRGB and gloss (n,) of bare skin at `place` (n, 3) on the mean body; `face`: the head."""
    skin = np.array(p.skin, np.float32) / 255
    out = np.tile(skin, (len(place), 1)).astype(np.float32)
    x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    mottle = noise("soft", place[:, 0] * 3 + place[:, 1] * 2, z * 3)
    out *= 1 + 0.018 * mottle[:, None]
    out += face[:, None] * 0.012 * noise("fine", place[:, 0] * 4, z * 4)[:, None]
    front = face * (y < -0.06)
    red = front * (
        0.65 * _bump(x, 0.046, 0.022) * _bump(z, 0.862, 0.02)
        + 0.5 * _bump(x, 0, 0.014) * _bump(z, 0.862, 0.012)
    )
    out *= 1 - red[:, None] * np.array([0.01, 0.10, 0.085])
    brow_low = front * _bump(z, 0.885, 0.008) * _bump(x, 0.030, 0.02)
    out *= 1 - 0.10 * brow_low[:, None]
    hair = np.array(p.hair_colour, np.float32) / 255
    if not p.female:
        beard = front * np.clip((0.852 - z) / 0.02, 0, 1) * np.clip((x + 0.02) / 0.03, 0.4, 1)
        beard *= 0.11 + 0.03 * noise("fine", place[:, 0] * 8, z * 8)
        out += np.clip(beard, 0, 1)[:, None] * (hair * 0.5 + 0.1 - out)
    # hair thins out towards its line: no hard edge where the cap ends
    roots = np.clip((hairline(place) + 0.007) / 0.012, 0, 1) * np.clip(face * 3 - 2, 0, 1)
    roots *= 0.80 + 0.15 * noise("strand", place[:, 0] * 9, z * 0.3)
    out += np.clip(roots, 0, 0.9)[:, None] * (hair * 0.85 - out)
    # brows: hairs along an arched line
    bx = np.clip((x - 0.012) / 0.044, 0, 1)
    arch = 0.9105 + 0.0085 * np.sin(bx * 2.2) - 0.003 * bx
    thick = (0.0036 if p.female else 0.0044) * (1 - 0.72 * bx**1.5)
    brow = np.clip(1.3 - np.abs(z - arch) / thick, 0, 1) * ((x > 0.010) & (x < 0.058)) * front
    brow *= 0.68 + 0.2 * noise("fine", place[:, 0] * 7 + z * 5, z * 2)
    out += np.clip(brow, 0, 0.92)[:, None] * (hair * 0.75 - out)
    # lids and lashes
    centres = _eye_centres()
    ex, ez = x - centres[0, 0], z - centres[0, 2]
    upper = np.abs(ez - (0.0062 - 42 * ex**2 + 0.06 * ex))
    lash = front * np.clip(1.5 - upper / 0.0016, 0, 1) * (np.abs(ex) < 0.0165)
    lower = np.abs(ez - (-0.0058 + 30 * ex**2))
    lash = np.maximum(
        lash * (0.9 if p.female else 0.7),
        0.35 * front * np.clip(1.3 - lower / 0.0012, 0, 1) * (np.abs(ex) < 0.014),
    )
    out *= 1 - 0.16 * (lids * front)[:, None]
    out += (lash * (1 - eyes))[:, None] * (np.array([0.10, 0.07, 0.06]) - out)
    lip = np.array(p.lips, np.float32) / 255
    soft = np.clip(lips * 1.6 - 0.3, 0, 1)
    out += (
        soft[:, None]
        * (0.75 if p.female else 0.40)
        * (lip * (0.92 + 0.08 * np.clip((z - 0.815) / 0.01, -1, 1))[:, None] - out)
    )
    mouth = front * np.clip(1.2 - np.abs(z - (0.8205 + 1.5 * x**2)) / 0.0013, 0, 1) * (x < 0.024)
    out *= 1 - 0.55 * mouth[:, None]
    pale = np.clip(nails * 1.3 - 0.2, 0, 1)[:, None]
    out += pale * 0.25 * (np.array([0.93, 0.74, 0.72]) - out)
    # eyeballs
    ball = eyes > 0.5
    if ball.any():
        r = np.hypot(ex[ball], ez[ball] - 0.0004)
        white = np.array([0.90, 0.88, 0.86]) * np.clip(1.0 - 25 * np.abs(ex[ball]), 0.62, 1)[:, None]
        iris = np.array(p.eyes, np.float32) / 255
        value = white + np.clip((0.0064 - r) / 0.0008, 0, 1)[:, None] * (
            iris * (0.6 + 90 * r[:, None]) - white
        )
        value *= 1 - 0.8 * np.clip((0.0030 - r) / 0.0006, 0, 1)[:, None]
        value *= 1 - 0.45 * np.clip((ez[ball] - 0.001) / 0.005, 0, 1)[:, None]
        spark = np.hypot(place[ball, 0] - np.sign(place[ball, 0]) * centres[0, 0] + 0.0022, ez[ball] - 0.0028)
        value += np.clip((0.0015 - spark) / 0.0006, 0, 1)[:, None] * 0.85
        out[ball] = value
    gloss = 0.05 + 0.05 * face + 0.12 * soft
    return np.clip(out, 0, 1), gloss


def lit_skin(albedo: np.ndarray, gloss: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Linear light off skin: light wraps further in red, as it does through skin."""
    a = linear(albedo)
    red, green, blue = studio(n, 0.42), studio(n, 0.26), studio(n, 0.20)
    half = KEY + np.array([0, -1.0, 0])
    half /= np.linalg.norm(half)
    shine = np.power(np.clip(n @ half, 0, 1), 18) * gloss
    rim = np.power(1 - np.clip(-n[:, 1], 0, 1), 3) * 0.05
    return a * np.stack([red, green, blue], 1) * 1.06 + (shine + rim * a.mean(1))[:, None]


# ---------------------------------------------------------------- cloth


def fold_height(g: SyntheticGarment, place: np.ndarray, around: np.ndarray, along: np.ndarray,
                angle: np.ndarray, on_sleeve: np.ndarray, bend: tuple[float, float], seed: int,
                strength: float) -> np.ndarray:  # fmt: skip
    """Height of folds in metres (n,). `bend` is how far left and right elbow are bent, 0..1."""
    rng = np.random.default_rng(seed)
    o = rng.uniform(0, 1, 12)
    x, z = place[:, 0], place[:, 2]
    loose = np.clip((g.ease - 0.006) / 0.022, 0, 1)
    height = np.zeros(len(x), np.float32)
    # long drapes down to the hem
    drape = noise("folds", around / 1.15 + o[0], z / 2.4 + o[1])
    low = np.clip((0.48 - z) / 0.30, 0, 1)
    height += 0.0058 * (0.30 + loose) * (0.15 + 0.85 * low) * drape
    # pulls from the armpit across the chest and down to the waist
    px = np.abs(around) * 0.72 - (0.55 - z) * 0.9
    right = np.clip(x / 0.05 + 0.5, 0, 1)

    def two_sided(u: np.ndarray, v: np.ndarray, shift: float) -> np.ndarray:
        """Other folds on either side of the body's middle, without a break between them."""
        one, other = noise("folds", u + shift, v), noise("folds", u + shift + 0.31, v + 0.4)
        return one * right + other * (1 - right)

    pull = two_sided(px / 0.95, (np.abs(around) + z) / 1.9 + o[3], float(o[2]))
    near = np.exp(-(((np.abs(x) - 0.15) / 0.07) ** 2) - ((z - 0.52) / 0.10) ** 2)
    waist = np.exp(-(((z - 0.30) / 0.09) ** 2)) * np.clip(np.abs(around) / 0.12, 0.15, 1)
    height += 0.0052 * (1.15 * near + 0.55 * waist + 0.12) * pull
    # bunching at the waist
    # folds fan out from the sides, steeper on one than on the other
    slant = right * (o[9] * 1.1 - 0.2) + (1 - right) * (o[10] * 1.1 - 0.2)
    bunch = two_sided(z / 0.60 + np.abs(around) * slant, around / 1.3 + o[5], float(o[4]))
    height += 0.0036 * waist * bunch * (1.1 - 0.5 * loose)
    height += 0.0030 * noise("soft", around / 1.0 + o[6], z / 1.0 + o[7]) * (0.6 + loose)
    if on_sleeve.any():
        s = on_sleeve
        bent = np.where(x[s] > 0, bend[0], bend[1])
        a, t = along[s], angle[s]
        rings = noise("folds", a / 0.62 + 0.05 * t + o[8], t / 6.283 + o[9])
        elbow = np.exp(-(((a - 0.26) / 0.06) ** 2)) * (0.45 + 1.1 * bent)
        end = np.exp(-(((a - 0.53) / 0.06) ** 2)) * 0.8
        top = np.exp(-((a / 0.07) ** 2)) * 0.6
        spiral = noise("folds", a / 1.1 + t * 0.16 + o[10], t / 6.283 - a * 0.6 + o[11])
        width = np.clip(g.sleeve_ease / 0.012, 0.6, 1.6)
        height[s] = 0.0042 * width * ((elbow + end + top) * rings + (0.30 + 0.3 * bent) * spiral)
    # A fold seldom reaches the neckline's rib
    return height * g.wrinkle * strength * 1.3


def lit_cloth(albedo: np.ndarray, sheen: float, n: np.ndarray, cavity: np.ndarray) -> np.ndarray:
    """Linear light off cloth; `cavity` (n,) < 1 in the folds' depths."""
    a = linear(albedo)
    light = studio(n, 0.15, 0.66)
    half = KEY + np.array([0, -1.0, 0])
    half /= np.linalg.norm(half)
    fuzz = np.power(1 - np.clip(-n[:, 1], 0, 1), 2) * 0.06
    shine = np.power(np.clip(n @ half, 0, 1), 12) * sheen * 0.5
    return (
        a * (light * 1.03)[:, None] + (0.006 + fuzz * (0.15 + a.mean(1)) + shine)[:, None] * 0.55
    ) * cavity[:, None]


# ---------------------------------------------------------------- hair


def lit_hair(
    p: SyntheticPerson, n: np.ndarray, tangent: np.ndarray, across: np.ndarray, along: np.ndarray
) -> np.ndarray:
    """Linear light off hair: Kajiya and Kay's strand model, its colour changing from strand to strand."""
    base = np.array(p.hair_colour, np.float32) / 255
    strand = noise("strand", across * 9, along * 0.12)
    coarse = noise("strand", across * 2.2 + 0.3, along * 0.08)
    a = linear(base) * np.exp(0.20 * strand + 0.26 * coarse)[:, None]
    a = a * (0.75 + 0.45 * np.clip(along, 0, 1.2))[:, None]
    t = tangent + n * (0.10 * strand + 0.08 * coarse)[:, None]
    t /= np.linalg.norm(t, axis=1, keepdims=True) + 1e-9
    half = KEY + np.array([0, -1.0, 0])
    half /= np.linalg.norm(half)
    along_light, along_half = t @ KEY, t @ half
    diffuse = np.sqrt(np.clip(1 - along_light**2, 0, 1))
    shine = np.power(np.sqrt(np.clip(1 - along_half**2, 0, 1)), 38) * np.clip(n @ half + 0.25, 0, 1)
    light = studio(n, 0.35, 0.5) * (0.45 + 0.55 * diffuse)
    return a * light[:, None] * 1.1 + (shine * (0.6 + 0.4 * np.clip(strand, -1, 1)))[:, None] * (
        0.05 + 0.42 * a
    )


# ---------------------------------------------------------------- trousers


def trousers_colour(p: SyntheticPerson, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Albedo (n, 3) and fold height (n,) of the trousers."""
    base = np.array(p.trousers, np.float32) / 255
    x, z = place[:, 0], place[:, 2]
    out = np.tile(base, (len(x), 1)).astype(np.float32)
    front = place[:, 1] < 0.02
    if p.denim:
        out *= 1 + 0.07 * noise("knit", x * 5, z * 5)[:, None]
        fade = np.exp(-(((np.abs(x) - 0.09) / 0.05) ** 2)) * np.clip((0.12 - z) / 0.12, 0, 1) * front
        out += 0.10 * fade[:, None]
    thread = np.array([0.62, 0.45, 0.26]) if p.denim else base * 0.7
    top = p.waist - z

    def line(d: np.ndarray, width: float = 0.0016) -> np.ndarray:
        return np.clip(1.4 - np.abs(d) / width, 0, 1)

    out *= 1 - 0.35 * line(top - 0.040, 0.0022)[:, None]
    stitch = np.maximum(line(top - 0.036), line(top - 0.004))
    fly = line(x - 0.003, 0.0018) * (top > 0.04) * (top < 0.19) * front
    arc = np.hypot((np.abs(x) - 0.155) / 0.075, (top - 0.045) / 0.07) - 1
    pocket = line(arc * 0.07) * (top > 0.04) * front
    out *= 1 - 0.45 * np.maximum(fly, pocket)[:, None]
    stitch = np.maximum(stitch, line(arc * 0.07 - 0.005) * (top > 0.04) * front)
    out += 0.35 * stitch[:, None] * (thread - out)
    if p.denim:
        button = front & (np.hypot(x - 0.002, top - 0.02) < 0.008)
        out[button] = (0.66, 0.56, 0.44)
    creases = (
        0.0017
        * noise("folds", (np.abs(x) * 0.5 + z) / 0.45 + 0.3, (x - z) / 0.9)
        * np.exp(-(((z - 0.02) / 0.09) ** 2))
    )
    creases = creases + 0.0015 * noise("soft", x / 0.4, z / 0.4)
    return np.clip(out, 0, 1), creases.astype(np.float32)


# ---------------------------------------------------------------- picture


def occlusion(depth: np.ndarray, covered: np.ndarray, pixels_per_metre: float) -> np.ndarray:
    """How open each pixel lies, (H, W) 0..1, from depth (H, W; metres, larger is nearer).

    Depth darkening (Luft et al. 2006): a pixel that lies deeper than its surroundings gets less light.
    """
    floor = depth[covered].min() if covered.any() else 0.0
    d = np.where(covered, depth, floor - 0.5).astype(np.float32)
    out = np.ones_like(d)
    for radius, weight, reach in ((0.008, 0.30, 0.02), (0.022, 0.42, 0.05), (0.06, 0.34, 0.14)):
        sigma = max(0.6, radius * pixels_per_metre)
        # neighbours that tower far above count as much as near ones: clip
        blurred = cv2.GaussianBlur(d, (0, 0), sigma)
        above = np.clip((blurred - d) / reach, 0, 1)
        out *= 1 - weight * above
    return out


def backdrop(height: int, width: int, level: int, mask: np.ndarray) -> np.ndarray:
    """Studio paper, (H, W, 3) sRGB 0..1, with the person's soft shadow."""
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    yy, xx = yy / height, xx / width
    shade = (
        level / 255
        + 0.025 * (1 - np.hypot((xx - 0.42) / 0.9, (yy - 0.35) / 0.9))
        - 0.02 * np.clip(yy - 0.75, 0, 1)
    )
    matrix = np.array([[1, 0, 0.06 * width], [0, 1, 0.025 * height]], np.float32)
    moved = cv2.warpAffine(mask.astype(np.float32), matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(moved, (96, 128), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), 7, borderType=cv2.BORDER_REPLICATE), (width, height))
    tight = cv2.resize(cv2.GaussianBlur(small, (0, 0), 2.5, borderType=cv2.BORDER_REPLICATE), (width, height))
    shade = shade * (1 - 0.05 * soft - 0.025 * tight)
    return np.clip(shade[..., None] * np.array([0.998, 0.998, 1.0], np.float32), 0, 1)
