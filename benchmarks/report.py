"""A measured figure, and how figures are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`target` is that of the design (a ratio), or empty where there is none."""

    name: str
    value: str
    target: str = ""
    how: str = ""


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| what | measured | target | how |", "|---|---|---|---|"]
    lines += [f"| {row.name} | {row.value} | {row.target} | {row.how} |" for row in rows]
    return "\n".join(lines) + "\n"


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; `share` in 0..1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]
