"""Pictures of `weft eval colour`: which name was given for which, and the mistakes farthest from the shop's word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.yardsticks import charts
from models.yardsticks.colour import ColourReport, Named
from models.yardsticks.colour_names import right_names
from models.yardsticks.photos import Photos
from processors.lab import ciede2000, lab_of_hex
from processors.palette import PALETTE

WORST = 20
MOST_COLOURS = 24


def draw(named: Sequence[Named], found: ColourReport, photos: Photos, out: Path) -> list[Path]:
    """Write up to two PNGs."""
    judged = [one for one in named if one.colours]
    path = out / "colour-confusion.png"
    paths = [charts.picture(path, (13.0, 8.5), lambda figure: _confusion(figure, judged, found))]
    wrong = sorted((one for one in judged if not one.first), key=_distance, reverse=True)[:WORST]
    if wrong:
        size = charts.tile_size(len(wrong), 5, 2.1, 3.1)
        paths.append(charts.picture(out / "colour-worst.png", size, lambda figure: _worst(figure, wrong, photos)))
    return paths


def _distance(one: Named) -> float:
    """CIEDE2000 from the colour named first to the nearest that would have been right."""
    codes = dict(PALETTE)
    said = lab_of_hex(one.colours[0].hex)
    return min(float(ciede2000(lab_of_hex(codes[name])[None], said)[0]) for name in right_names(one.asked.shops))


def _confusion(figure: Any, judged: Sequence[Named], found: ColourReport) -> None:
    shops = [name for name, _ in Counter(one.asked.shops for one in judged).most_common(MOST_COLOURS)]
    said = {one.colours[0].name for one in judged}
    ours = [name for name, _ in PALETTE if name in said]
    ours += sorted(said.difference(ours))  # "multicoloured" has no swatch
    table = np.zeros((len(shops), len(ours)), np.int64)
    for one in judged:
        if one.asked.shops in shops:
            table[shops.index(one.asked.shops), ours.index(one.colours[0].name)] += 1
    right = np.array([[name in right_names(shop) for name in ours] for shop in shops], np.bool_)
    axes = figure.subplots()
    charts.matrix(axes, table, [f"{shop} ({table[n].sum()})" for n, shop in enumerate(shops)], ours, right=right)
    for label, name in zip(axes.get_xticklabels(), ours, strict=True):
        code = dict(PALETTE).get(name, "#ffffff")
        label.set_bbox({"facecolor": code, "edgecolor": charts.PALE, "pad": 1.5, "alpha": 0.9})
        dark = float(lab_of_hex(code)[0]) < 60
        label.set_color("white" if dark else charts.INK)
    axes.set(xlabel="first colour named (framed: counted as right)", ylabel="the shop's colour")
    axes.set_title(f"Right first {found.top1:.3f}, first or second {found.top2:.3f}; {found.items} products")


def _worst(figure: Any, wrong: Sequence[Named], photos: Photos) -> None:
    from matplotlib.patches import Rectangle

    figure.suptitle("Farthest from the shop's word. Square: the colour named", x=0.01, ha="left", fontsize=11)
    for axes, one in zip(charts.tiles(figure, len(wrong), 5), wrong, strict=True):
        pixels, scale = charts.small(photos, one.asked.path)
        axes.imshow(pixels)
        if one.box is not None:
            x0, y0, x1, y1 = (value * scale for value in one.box)
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=charts.WRONG, linewidth=1.4))
        side = pixels.shape[1] * 0.16
        axes.add_patch(Rectangle((2, 2), side, side, facecolor=one.colours[0].hex, edgecolor="white", linewidth=1.5))
        axes.set_title(f"{one.asked.shops} → {one.colours[0].name}\n{one.category}", fontsize=8)
