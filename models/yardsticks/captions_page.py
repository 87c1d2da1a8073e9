"""The page of `weft eval captions --html`: each photo with its boxes, its caption with right and wrong phrases, worst first."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from models.yardsticks.captions import Captioned, CaptionScores, CaptionsReport, Judged, Verdict
from models.yardsticks.photos import Photos
from models.yardsticks.shop_words import FACETS
from processors.errors import Poison

SIDE = 320
"""Longest side, in pixels, of a photo on the page: some hundred of them make a page of some megabytes."""
_QUALITY = 80

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:24px;color:#222;background:#fff;max-width:1180px}
h1{font-size:22px}table{border-collapse:collapse;margin:12px 0}td,th{padding:3px 12px 3px 0;text-align:right}
td:first-child,th:first-child{text-align:left}th{border-bottom:1px solid #999}
article{display:flex;gap:20px;border-top:1px solid #ddd;padding:16px 0}
.photo{position:relative;flex:none;align-self:flex-start}.photo img{display:block}
.box{position:absolute;border:2px solid #1d6fd1;box-sizing:border-box}
.box span{position:absolute;left:0;top:0;background:#1d6fd1;color:#fff;font-size:11px;line-height:1.3;padding:0 4px;white-space:nowrap}
.caption{font-size:17px;margin:4px 0 8px}.meta,.tags{color:#666;font-size:13px;margin:4px 0}
mark{padding:0 2px;border-radius:3px}.right{background:#bfe8c4}.wrong{background:#f6b3ad}.open{background:#e8e8e8}
.facet{display:inline-block;margin:0 14px 4px 0;font-size:13px}.facet b{font-weight:600}
.missing{color:#a04400}
"""


def write(
    file: Path,
    report: CaptionsReport,
    alone: Sequence[Judged],
    with_metadata: Sequence[Judged],
    photos: Photos,
) -> None:
    """Write the page; it needs no other file. Raises `Poison` when it cannot be written."""
    beside = {one.captioned.product.product_id: one for one in with_metadata}
    try:
        with file.open("w", encoding="utf-8") as page:
            page.write(
                f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Captions</title><style>{_STYLE}</style>'
            )
            page.write(f"<h1>{report.captions} captions against the shop's own words</h1>")
            page.writelines(_figures(report))
            page.write(
                '<p>Coloured are <mark class="right">what the shop says too</mark>, <mark class="wrong">what contradicts it'
                '</mark> and <mark class="open">what it says nothing of</mark>. The worst come first.</p>'
            )
            for one in sorted(alone, key=_worst_first):
                page.writelines(_article(one, beside.get(one.captioned.product.product_id), photos))
            page.write("</html>\n")
    except OSError as error:
        raise Poison(f"{file} cannot be written: {error.strerror}") from error


def _worst_first(one: Judged) -> tuple[int, float, str]:
    return (-len(one.wrong), one.coverage, one.captioned.product.product_id)


def _figures(report: CaptionsReport) -> Iterator[str]:
    columns: list[tuple[str, CaptionScores | CaptionsReport]] = [("photo alone", report)]
    if report.with_metadata is not None:
        columns.append(("with metadata", report.with_metadata))
    for name, scores in columns:
        yield (
            f"<h2>{name}</h2><p>coverage {scores.coverage:.3f}, wrong claims a caption {scores.wrong_per_caption:.3f}, "
            f"category found {scores.category_found:.3f}, nothing found {scores.nothing_found:.3f}, "
            f"{scores.words:.1f} words, distinct-2 {scores.distinct2:.3f}</p>"
            "<table><tr><th>facet</th><th>right</th><th>stated</th><th>of</th><th>wrong claims</th></tr>"
        )
        for facet, found in scores.facets.items():
            yield f"<tr><td>{facet}</td><td>{found.right}</td><td>{found.stated}</td><td>{found.of}</td><td>{found.wrong}</td></tr>"
        yield "</table>"


def _article(one: Judged, beside: Judged | None, photos: Photos) -> Iterator[str]:
    captioned = one.captioned
    product = captioned.product
    yield f'<article id="p{html.escape(product.product_id)}">{_photo(captioned, photos)}<div>'
    yield f'<p class="caption">{_marked(one)}</p><p class="tags">{html.escape(" ".join(captioned.hashtags))}</p>'
    if beside is not None and beside.captioned.caption != captioned.caption:
        yield f'<p class="meta">with metadata:</p><p class="caption">{_marked(beside)}</p>'
    yield "<p>"
    for facet in FACETS:
        if facet in product.truth:
            state = "right" if facet in one.right else "missing"
            yield f'<span class="facet {state}"><b>{facet}</b> {html.escape(_listed(product.truth[facet]))}</span>'
    title = str(product.fields.get("title", ""))
    yield (
        f'</p><p class="meta">{html.escape(title)} · {html.escape(product.brand)} · {html.escape(product.product_id)} · '
        f"{len(one.wrong)} wrong, coverage {one.coverage:.2f}, written by {captioned.writer}</p></div></article>"
    )


def _listed(values: frozenset[str]) -> str:
    """Some of the values that the shop's word allows; "Printed" allows a dozen."""
    shown = sorted(values)
    return " / ".join(shown[:4]) + (" …" if len(shown) > 4 else "")


def _marked(one: Judged) -> str:
    """The caption with each statement in its colour; of overlapping ones the first, and what is wrong before all."""
    text = one.captioned.caption
    chosen: list[Verdict] = []
    for verdict in sorted(one.verdicts, key=lambda v: (v.right is not False, v.right is None, v.statement.start)):
        said = verdict.statement
        if all(said.end <= other.statement.start or said.start >= other.statement.end for other in chosen):
            chosen.append(verdict)
    parts, at = [], 0
    for verdict in sorted(chosen, key=lambda v: v.statement.start):
        said = verdict.statement
        state = {True: "right", False: "wrong", None: "open"}[verdict.right]
        parts.append(html.escape(text[at : said.start]))
        parts.append(
            f'<mark class="{state}" title="{said.facet}: {html.escape(said.values[0])}">{html.escape(text[said.start : said.end])}</mark>'
        )
        at = said.end
    return "".join([*parts, html.escape(text[at:])])


def _photo(captioned: Captioned, photos: Photos) -> str:
    pixels = photos.load(captioned.product.path).decoded.pixels
    factor = SIDE / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    data = base64.b64encode(np.asarray(encoded).tobytes()).decode()
    boxes = []
    for garment in captioned.garments:
        x0, y0, x1, y1 = garment.box
        place = (100 * x0 / captioned.width, 100 * y0 / captioned.height)
        extent = (100 * (x1 - x0) / captioned.width, 100 * (y1 - y0) / captioned.height)
        colours = " + ".join(colour.name for colour in garment.colours)
        boxes.append(
            f'<div class="box" style="left:{place[0]:.1f}%;top:{place[1]:.1f}%;width:{extent[0]:.1f}%;height:{extent[1]:.1f}%">'
            f"<span>{html.escape(garment.category)} {garment.confidence:.2f} {html.escape(colours)}</span></div>"
        )
    image = f'<img src="data:image/jpeg;base64,{data}" width="{size[0]}" height="{size[1]}" alt="">'
    return f'<div class="photo">{image}{"".join(boxes)}</div>'
