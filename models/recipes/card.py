"""The card of a run: what it was trained on, with which settings, and what it is worth on what was held out. Markdown, `RUN/card.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

CARD = "card.md"


class Figure(NamedTuple):
    """A row of a card: of which part of the held-out data, how much of it, and (name → value) before and after training."""

    what: str
    items: int
    before: Mapping[str, float]
    after: Mapping[str, float]


def write(
    run: Path,
    title: str,
    *,
    data: Mapping[str, object],
    settings: Mapping[str, Any],
    figures: Sequence[Figure],
    held_out: str,
    weights: Path,
) -> Path:
    """Write the card.

    Args:
        run: its folder.
        title: what was trained.
        data: counts, by what they are of.
        settings: of the recipe.
        figures: on held-out data; the first is of all of them.
        held_out: how these were chosen.
        weights: what came of it.
    """
    names = list(dict.fromkeys(name for figure in figures for name in (*figure.before, *figure.after)))
    lines = [f"# {title}", "", f"Weights: `{weights.name}`, {weights.stat().st_size:,} bytes.", "", "## Data", ""]
    lines += [
        "| what | how many |",
        "|---|---|",
        *(f"| {_cell(name)} | {_cell(count)} |" for name, count in data.items()),
    ]
    lines += ["", "## Held out", "", held_out, ""]
    if figures:
        columns = [f"{name}, {when}" for name in names for when in ("before", "after")]
        lines += [f"| | items | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
        for one in figures:
            values = [_number(side.get(name)) for name in names for side in (one.before, one.after)]
            lines.append(f"| {_cell(one.what)} | {one.items} | {' | '.join(values)} |")
    else:
        lines.append("Nothing was held out: there are no figures.")
    lines += ["", "## Settings", "", "| setting | value |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in settings.items()]
    path = run / CARD
    aside = path.with_suffix(".partial")
    aside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    aside.replace(path)
    return path


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cell(value: object) -> str:
    """A shop chooses the names of its brands: none may end a cell."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")
