"""What all pictures of the yardsticks share: one look, figures without a window, curves, tables and tiles of photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.yardsticks.photos import Photos
from processors.decode import shrink
from processors.values import Box, Pixels

INK, PALE, RIGHT, WRONG = "#22262b", "#9aa2ab", "#2a7f62", "#c8352b"
LINES = ("#3b6fb6", "#d9822b", "#2a7f62", "#c8352b", "#7d5ba6", "#8a5a3c", "#d16ba5", "#6b7178", "#a6a62a", "#2aa6a6")
STYLE = {
    "font.size": 10, "axes.edgecolor": PALE, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11,
    "axes.titlelocation": "left", "figure.facecolor": "white", "legend.frameon": False,
}  # fmt: skip
TILE = 320
"""Longest side of a photo in a gallery, pixels."""
DPI = 110


def picture(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> Path:
    """Write one PNG: `draw` gets a matplotlib figure of `size` inches."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(path, dpi=DPI)
    return path


def matrix(
    axes: Any, counts: NDArray[np.int64], rows: Sequence[str], columns: Sequence[str], *, right: NDArray[np.bool_]
) -> None:
    """A confusion matrix: shares of each row as shade, counts as text; the cells that are `right` are framed."""
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    share = counts / total
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    small = 9 if len(columns) <= 12 else 6.5
    for (row, column), count in np.ndenumerate(counts):
        if right[row, column]:
            from matplotlib.patches import Rectangle

            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=RIGHT, linewidth=1.2))
        if count:
            shade = "white" if share[row, column] > 0.55 else INK
            axes.text(column, row, str(count), ha="center", va="center", fontsize=small, color=shade)


def bars(axes: Any, names: Sequence[str], series: Sequence[tuple[str, Sequence[float], str]]) -> None:
    """Grouped horizontal bars with their values written behind; the first name on top. `series`: (label, values, colour)."""
    height = 0.8 / len(series)
    most = max((v for _, values, _ in series for v in values if np.isfinite(v)), default=1.0) or 1.0
    for n, (label, values, colour) in enumerate(series):
        at = np.arange(len(names)) + n * height
        axes.barh(at, values, height * 0.92, color=colour, label=label)
        for y, value in zip(at, values, strict=True):
            text = f"{value:.2f}" if isinstance(value, float) else str(value)
            axes.text((value if np.isfinite(value) else 0) + most * 0.01, y, text, va="center", fontsize=8)
    axes.set_yticks(np.arange(len(names)) + 0.4 - height / 2, names)
    axes.set_xlim(0, most * 1.12)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    if len(series) > 1:
        axes.legend(loc="lower right", fontsize=8)


def small(photos: Photos, path: str, box: Box | None = None, scaled: float = 1.0) -> tuple[Pixels, float]:
    """One photo of at most `TILE` pixels a side (or a box of it, in pixels of the decoded photo), and its scale."""
    from processors import crops

    pixels = photos.load(path).decoded.pixels
    if box is not None:
        x0, y0, x1, y1 = (value * scaled for value in box)
        pixels = crops.cut(pixels, (x0, y0, x1, y1))
    shown = shrink(pixels, TILE)
    return shown, shown.shape[1] / pixels.shape[1]


def tiles(figure: Any, count: int, columns: int) -> list[Any]:
    """`count` axes without ticks, in rows of `columns`; the empty rest is not drawn."""
    rows = -(-count // columns)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    return list(grid[:count])


def tile_size(count: int, columns: int, width: float = 2.4, height: float = 3.0) -> tuple[float, float]:
    """Inches of a gallery of `count` tiles, with room for a title."""
    return (columns * width, -(-count // columns) * height + 0.5)
