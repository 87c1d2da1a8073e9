"""Pictures of `weft eval attributes`: is a vote of 80 % right in 80 % of cases, and what was taken for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.yardsticks import charts
from models.yardsticks.attributes import BINS, FACETS, AttributesReport, FacetReport

UNKNOWN = "unknown"
MOST_VALUES = 10


def draw(found: AttributesReport, theta: Callable[[str], float], out: Path) -> list[Path]:
    """Write two PNGs; `theta` gives, for each facet, the confidence below which nothing is stated."""
    facets = [(facet, report) for facet in FACETS if (report := getattr(found, facet)) is not None]

    def reliability(figure: Any) -> None:
        for axes, (facet, report) in zip(figure.subplots(1, len(facets), squeeze=False)[0], facets, strict=True):
            _reliability(axes, facet, report, theta(facet))

    def confusion(figure: Any) -> None:
        for axes, (facet, report) in zip(figure.subplots(1, len(facets), squeeze=False)[0], facets, strict=True):
            _confusion(axes, facet, report)

    return [
        charts.picture(out / "attributes-reliability.png", (5.2 * len(facets), 5.0), reliability),
        charts.picture(out / "attributes-confusion.png", (5.8 * len(facets), 5.0), confusion),
    ]


def _reliability(axes: Any, facet: str, report: FacetReport, theta: float) -> None:
    filled = [b for b in report.bins if b.votes]
    axes.plot([0, 1], [0, 1], color=charts.PALE, linewidth=1, linestyle="--")
    most = max(b.votes for b in filled) if filled else 1
    for n, b in enumerate(report.bins):
        axes.bar((n + 0.5) / BINS, 0.22 * b.votes / most, 0.9 / BINS, color="#dfe5ec")
    axes.plot([b.confidence for b in filled], [b.accuracy for b in filled], "o-", color=charts.LINES[0], linewidth=1.8)
    for b in filled:
        axes.annotate(str(b.votes), (b.confidence, b.accuracy), textcoords="offset points", xytext=(0, 7), fontsize=7)
    axes.axvline(theta, color=charts.WRONG, linewidth=1)
    axes.text(theta, 1.02, " θ", color=charts.WRONG, fontsize=9)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.08), xlabel="share of the votes", ylabel="how often right")
    axes.set_title(
        f"{facet}: ECE {report.ece:.3f}, right {report.accuracy:.3f} of the answered\n"
        f"{report.unknown:.0%} unknown; {report.queries} products (grey: how many votes)"
    )


def _confusion(axes: Any, facet: str, report: FacetReport) -> None:
    truths = [name for name, _ in Counter({t: sum(row.values()) for t, row in report.confusion.items()}).most_common()]
    truths = truths[:MOST_VALUES]
    said = Counter[str]()
    for row in report.confusion.values():
        said.update(row)
    columns = [*truths, *(name for name, _ in said.most_common() if name not in {*truths, UNKNOWN}), UNKNOWN]
    table = np.array([[report.confusion[t].get(name, 0) for name in columns] for t in truths], np.int64)
    right = np.array([[name == t for name in columns] for t in truths], np.bool_)
    charts.matrix(axes, table, truths, columns, right=right)
    axes.set(xlabel="neighbours vote for", ylabel="the shop says")
    axes.set_title(f"{facet}")
