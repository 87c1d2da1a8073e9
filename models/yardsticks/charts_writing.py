"""Pictures of `weft eval writer`: figures side by side, and a page of captions to read, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.yardsticks import charts
from models.yardsticks.writing import FACETS, TextScores, WriterReport, Written, as_text, coverage, held_by, ungrounded
from processors import captions
from processors.evidence import render

SHOWN = 50


def draw(written: Sequence[Written], found: WriterReport, out: Path) -> list[Path]:
    """Write one PNG, and the captions as Markdown: drafts that were refused, then those that cover least."""
    page = out / "writer-captions.md"
    page.write_text(_page(written), encoding="utf-8")
    return [charts.picture(out / "writer.png", (11.0, 8.0), lambda figure: _figures(figure, written, found)), page]


def _figures(figure: Any, written: Sequence[Written], found: WriterReport) -> None:
    columns: list[tuple[str, TextScores, str]] = [
        ("published", found.published, charts.LINES[0]),
        ("first drafts", found.drafts, charts.LINES[1]),
    ]
    if found.base is not None:
        columns.append(("base, first drafts", found.base.drafts, charts.PALE))
    (shares, wrong), (sizes, reasons) = figure.subplots(2, 2)
    names = ("coverage", "coverage_of_pack", "accepted", "readable", "distinct2", "self_bleu")
    charts.bars(shares, names, [(label, [getattr(s, n) for n in names], colour) for label, s, colour in columns])
    shares.set_title(f"{found.captions} packs; {found.template_share:.0%} needed the rule-based writer")
    charts.bars(wrong, FACETS, [(label, [s.ungrounded[f] for f in FACETS], colour) for label, s, colour in columns])
    wrong.set_title("Ungrounded claims a caption")
    bins = range(0, 75, 5)
    for label, texts, colour in (
        ("published", [one.settled.caption.caption for one in written], charts.LINES[0]),
        ("first drafts", [as_text(one.draft).sentences for one in written], charts.LINES[1]),
    ):
        lengths = [min(74, len(text.split())) for text in texts]
        sizes.hist(lengths, bins=list(bins), histtype="step", linewidth=1.8, color=colour, label=label)
    sizes.set_title("Words in the sentences")
    sizes.legend(fontsize=8)
    counted = list(found.reasons.items())[:8]
    if counted:
        series = [("refused", [n for _, n in counted], charts.WRONG)]
        charts.bars(reasons, [name[:44] for name, _ in counted], series)
    reasons.set_title("Why drafts were refused")


def _page(written: Sequence[Written]) -> str:
    """The refused drafts first, then the published captions by coverage."""
    refused = [one for one in written if one.settled.rejections]
    kept = sorted((one for one in written if not one.settled.rejections), key=_covered)
    lines = [f"# {len(written)} captions: {len(refused)} first drafts refused\n"]
    lines += ["## Refused first drafts\n", *(_entry(one) for one in refused[:SHOWN])]
    lines += ["## Published first drafts, least coverage first\n", *(_entry(one) for one in kept[:SHOWN])]
    return "\n".join(lines)


def _covered(one: Written) -> float:
    return coverage(as_text(one.draft), one.case)


def _entry(one: Written) -> str:
    text = as_text(one.draft)
    loose = ungrounded(text, one.case.evidence, held_by(one.case.evidence))
    verdict = captions.judge(one.draft, one.case.evidence, one.case.tone if one.held else "")
    refusal = f"refused: {'; '.join(verdict.reasons)}" if isinstance(verdict, captions.Rejected) else "accepted"
    said = f"coverage {_covered(one):.2f}, ungrounded {loose.total()}, {refusal}"
    published = one.settled.caption
    instead = f"\n\npublished ({published.writer}): {published.caption}" if one.settled.rejections else ""
    pack = render(one.case.evidence).replace("\n", "\n    ")
    return f"*{one.case.tone}*\n\n    {pack}\n\n{one.draft}\n\n{said}{instead}\n\n---\n"
