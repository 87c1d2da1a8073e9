"""The page of `weft eval captions --html`: each photo with its boxes, its caption with right and wrong phrases, worst first."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path

from models.yardsticks import page_parts
from models.yardsticks.captions import Captioned, CaptionScores, CaptionsReport, Judged
from models.yardsticks.photos import Photos
from models.yardsticks.shop_words import FACETS
from processors.errors import Poison


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
            page.write(page_parts.head("Captions"))
            page.write(f"<h1>{report.captions} captions against the shop's own words</h1>")
            page.writelines(_figures(report))
            page.write(f"<p>Coloured are {page_parts.LEGEND}. The worst come first.</p>")
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
    yield f'<p class="caption">{page_parts.marked(one)}</p><p class="tags">{html.escape(" ".join(captioned.hashtags))}</p>'
    if beside is not None and beside.captioned.caption != captioned.caption:
        yield f'<p class="meta">with metadata:</p><p class="caption">{page_parts.marked(beside)}</p>'
    yield "<p>"
    for facet in FACETS:
        if facet in product.truth:
            state = "right" if facet in one.right else "missing"
            yield f'<span class="facet {state}"><b>{facet}</b> {html.escape(page_parts.listed(product.truth[facet]))}</span>'
    title = str(product.fields.get("title", ""))
    yield (
        f'</p><p class="meta">{html.escape(title)} · {html.escape(product.brand)} · {html.escape(product.product_id)} · '
        f"{len(one.wrong)} wrong, coverage {one.coverage:.2f}, written by {captioned.writer}</p></div></article>"
    )


def _photo(captioned: Captioned, photos: Photos) -> str:
    pixels = photos.load(captioned.product.path).decoded.pixels
    return page_parts.photo(pixels, captioned.garments, captioned.width, captioned.height)
