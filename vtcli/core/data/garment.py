"""A garment cut out of its shop photo: a mask for photos with a plain background."""

from __future__ import annotations

import numpy as np

VERSION = 1
"""Goes up when masks change, so that a prepared store knows that its masks are old."""

_WORK = 256
_LEAST = 2.0
_MOST = 30.0
_SHARE = 0.3
_TRIM = 8


def garment_mask(rgb):
    import cv2
    h, w = rgb.shape[:2]
    scale = max(h, w) / _WORK
    small = rgb
    if scale > 1.25:
        small = cv2.resize(rgb, (max(1, round(w / scale)), max(1, round(h / scale))), interpolation=cv2.INTER_AREA)
    return segment(small.astype(np.float32))

def background(img, iters=6):
    h, w = img.shape[:2]
    ring = np.zeros((h, w), bool)
    b = max(2, min(h, w) // 48)
    ring[:b] = ring[-b:] = True
    ring[:, :b] = ring[:, -b:] = True
    ys, xs = np.nonzero(ring)
    v = img[ys, xs]
    # mode colour
    q = (v // 16).astype(int)
    code = (q[:, 0] << 8) | (q[:, 1] << 4) | q[:, 2]
    top = np.bincount(code).argmax()
    c0 = np.median(v[code == top], axis=0)
    return ring, ys, xs, v, c0

def basis(ys, xs, h, w, order):
    x = xs / w * 2 - 1
    y = ys / h * 2 - 1
    cols = [np.ones_like(x), x, y]
    if order > 1:
        cols += [x * x, x * y, y * y]
    return np.stack(cols, -1).astype(np.float32)

def fit(img, ys, xs, v, order=2, iters=8):
    h, w = img.shape[:2]
    A = basis(ys, xs, h, w, order)
    return A

def segment(img):
    import cv2
    h, w = img.shape[:2]
    B, s = model(img)
    return segment_with(img, B, s)

def model(img):
    h, w = img.shape[:2]
    ring, ys, xs, v, c0 = background(img)
    A = basis(ys, xs, h, w, 2)
    r = np.abs(v - c0).max(1)
    # start from the commonest colour, widen while the fit explains the border
    coef = np.zeros((A.shape[1], 3), np.float32); coef[0] = c0
    tol = 40.0
    for _ in range(8):
        wgt = np.clip(1 - (r / tol) ** 2, 0, None) ** 2
        Aw = A * wgt[:, None]
        coef = np.linalg.solve(A.T @ Aw + 1e-2 * np.eye(A.shape[1], dtype=np.float32) , Aw.T @ v)
        r = np.abs(v - A @ coef).max(1)
        inl = r < tol
        med = np.median(r[inl]) if inl.any() else 0
        tol = max(6.0, min(tol, 5 * 1.5 * med + 2))
    Y, X = np.mgrid[:h, :w]
    B = (basis(Y.ravel(), X.ravel(), h, w, 2) @ coef).reshape(h, w, 3)
    inl = r < tol
    s = 1.48 * np.median(r[inl]) if inl.any() else 1.0
    return np.clip(B, 0, 255), float(s)

def disc(n):
    import cv2
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (n, n))

R = 5
PR = 20
HF = 0.08
HC = 12
def grow(out, into, n):
    import cv2
    cross = disc(3)
    for _ in range(n):
        out = out | (cv2.dilate(out, cross) & into)
    return out

def segment_with(img, B, s):
    import cv2
    h, w = img.shape[:2]
    pad = 2 * R
    res = np.pad(img - B, ((pad, pad), (pad, pad), (0, 0)))
    d = np.abs(cv2.GaussianBlur(res, (0, 0), 1.0)).max(2)
    fine = np.abs(cv2.GaussianBlur(res, (0, 0), 0.5)).max(2)
    low = max(_LEAST, 2.0 * s)
    cand = (d > low).astype(np.uint8)
    closed = cv2.morphologyEx(cand, cv2.MORPH_CLOSE, disc(2 * R + 1))
    out = outside(closed).astype(np.uint8)
    out = grow(out, 1 - cand, R + 1)
    D = local(fine, 1 - out)
    halo = (d < np.clip(HF * D, low, HC)).astype(np.uint8)
    more = grow(out, halo, 24)
    out |= cv2.morphologyEx(more, cv2.MORPH_OPEN, disc(7))
    # pockets
    n, lab, stats, _ = cv2.connectedComponentsWithStats(halo & (1 - out), connectivity=4)
    for k in range(1, n):
        x, y, bw, bh, area = stats[k]
        if area < 25:
            continue
        sl = np.s_[max(0, y - 3):y + bh + 3, max(0, x - 3):x + bw + 3]
        comp = (lab[sl] == k).astype(np.uint8)
        ring = (cv2.dilate(comp, disc(7)) & (1-comp) & (1 - out[sl])).astype(bool)
        if not ring.any(): continue
        rm = np.median(d[sl][ring]); cm = np.median(d[sl][comp > 0])
        if (rm > PR and cm < max(low, 0.06 * rm)) or (rm > 8 and cm < 0.4 * low):
            out[sl] |= comp
    thr = np.clip(_SHARE * local(fine, 1 - out), low, _MOST)
    out = grow(out, (fine < thr).astype(np.uint8), 3)
    mask = 1 - out
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc(3))
    mask = mask[pad:-pad, pad:-pad]
    return keep(mask)

def local(d, region):
    import cv2
    core = cv2.erode(region, disc(5)).astype(np.float32)
    return cv2.blur(d * core, (25, 25)) / np.maximum(cv2.blur(core, (25, 25)), 1e-3)

def outside(closed):
    import cv2
    n, lab = cv2.connectedComponents((1 - closed), connectivity=4)
    ids = np.unique(np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]]))
    ids = ids[ids > 0]
    return np.isin(lab, ids)

def keep(mask):
    import cv2
    n, lab, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if n < 2: return mask.astype(bool)
    area = stats[1:, cv2.CC_STAT_AREA]
    ok = np.nonzero(area >= 0.03 * area.max())[0] + 1
    return np.isin(lab, ok)
