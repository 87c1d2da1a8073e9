"""What a version of heads is worth, drawn: each value at its threshold, and whether a probability means what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.facets.facet_heads import Card, FacetWorth
from models.yardsticks import charts

MOST_VALUES = 24


def draw(card: Card, out: Path) -> list[Path]:
    """Write `facets-values.png` and `facets-reliability.png` into a folder."""
    shown = {facet.facet: _shown(facet) for facet in card.facets}
    heights = [max(2, len(values)) for values in shown.values()]

    def values(figure: Any) -> None:
        rows = figure.subplots(len(card.facets), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, facet in zip(rows, card.facets, strict=True):
            _values(axes, facet)

    def reliability(figure: Any) -> None:
        for axes, facet in zip(figure.subplots(1, len(card.facets), squeeze=False)[0], card.facets, strict=True):
            _reliability(axes, facet)

    return [
        charts.picture(out / "facets-values.png", (9.0, 1.2 * len(heights) + 0.42 * sum(heights)), values),
        charts.picture(out / "facets-reliability.png", (4.2 * len(card.facets), 4.4), reliability),
    ]


def _shown(facet: FacetWorth) -> list[Any]:
    return sorted(facet.values, key=lambda value: -value.labelled)[:MOST_VALUES]


def _values(axes: Any, facet: FacetWorth) -> None:
    found = _shown(facet)
    right = [value.right / value.stated if value.stated else float("nan") for value in found]
    answered = [value.stated / value.labelled if value.labelled else 0.0 for value in found]
    names = [f"{value.value} ({value.labelled})" for value in found]
    series = [("right of what is stated", right, charts.RIGHT), ("stated for each labelled", answered, charts.PALE)]
    charts.bars(axes, names, series)
    axes.axvline(0.9, color=charts.WRONG, linewidth=1)
    share = facet.right / facet.stated if facet.stated else 0.0
    axes.set_title(
        f"{facet.facet}: {share:.3f} right of {facet.stated} stated; {facet.accuracy:.3f} of all {facet.labelled}"
    )


def _reliability(axes: Any, facet: FacetWorth) -> None:
    axes.plot([0, 1], [0, 1], color=charts.PALE, linewidth=1, linestyle="--")
    most = max((one.count for one in facet.bins), default=1)
    for one in facet.bins:
        axes.bar(one.confidence, 0.22 * one.count / most, 0.06, color="#dfe5ec")
        axes.annotate(
            str(one.count), (one.confidence, one.accuracy), textcoords="offset points", xytext=(0, 7), fontsize=7
        )
    axes.plot([b.confidence for b in facet.bins], [b.accuracy for b in facet.bins], "o-", color=charts.LINES[0])
    axes.set(xlim=(0, 1.02), ylim=(0, 1.08), xlabel="probability", ylabel="how often right", title=facet.facet)
