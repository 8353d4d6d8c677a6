"""Distributions of metrics as SVG that takes the page's own text colour, for light and dark."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

_INK = "#010203"  # stands for the page's text colour until `currentColor` takes its place
_COLOURS = (
    "#4477AA",
    "#EE6677",
    "#228833",
    "#CCBB44",
    "#66CCEE",
    "#AA3377",
    "#888888",
)  # Paul Tol's "bright"
_LABEL = 22
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a run's name may hold a dollar sign
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def colour(position: int) -> str:
    """The colour of the run at `position`."""
    return _COLOURS[position % len(_COLOURS)]


def distribution(columns: Sequence[tuple[int, str, np.ndarray]], salt: str) -> str:
    """An `<svg>` with a row per run: the shape of its metric's distribution, quartiles and median.

    `columns` holds (the run's position, its name, finite values); `salt` keeps the ids of a page's plots apart.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure = Figure(figsize=(4.4, 0.75 + 0.55 * len(columns)), layout="constrained")
        axes = figure.add_subplot()
        for row, (position, _, values) in enumerate(columns):
            shade = colour(position)
            if len(values) > 1 and np.ptp(values) > 0:
                body = axes.violinplot(values, [row], orientation="horizontal", widths=0.8, showextrema=False)
                for part in body["bodies"]:  # type: ignore[attr-defined]
                    part.set(facecolor=shade, edgecolor="none", alpha=0.45)
            low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
            axes.plot([low, high], [row, row], color=shade, linewidth=4, solid_capstyle="butt")
            axes.plot([middle], [row], "o", color=shade, markeredgecolor=_INK, markersize=6)
        names = [name if len(name) <= _LABEL else name[: _LABEL - 1] + "…" for _, name, _ in columns]
        axes.set_yticks(range(len(columns)), names)
        axes.set_ylim(len(columns) - 0.45, -0.55)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=6)
        axes.grid(axis="x", color=_INK, alpha=0.15)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")
