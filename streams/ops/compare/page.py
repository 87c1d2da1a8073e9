"""The page of `weft models compare --html`: the figures, and the products on which two profiles differ most, as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from models.yardsticks import page_parts
from models.yardsticks.captions import Judged
from models.yardsticks.paired import Compared
from models.yardsticks.photos import Photos
from models.yardsticks.shop_words import FACETS
from processors.errors import Poison
from processors.evidence import iou
from processors.values import Garment
from streams.ops.compare.report import Near, Report, Seen, Side, overlaps
from streams.ops.compare.run import Found

SHOWN = 40
NEIGHBOURS = 6
SAME_BOX = 0.5
LEAST = 0.25
"""Of `_apart`: a product of which less differs (a neighbour or two) is not worth a look."""
_SIDE = 300
_SMALL = 88

_STYLE = """
body{max-width:1240px;margin:24px auto;padding:0 20px}
article{display:block}article h2{font-size:16px;margin:0 0 8px}
.both{display:grid;grid-template-columns:1fr 1fr;gap:28px}.both>section{min-width:0}
.both h3{font-size:13px;margin:0 0 8px;color:#555;text-transform:none}
.shown{display:flex;gap:14px;align-items:flex-start}.shown>div:last-child{min-width:0}
.near{display:flex;gap:6px;margin:10px 0 0}.near figure{margin:0;width:72px;flex:none}
.near img{width:72px;height:88px;object-fit:contain;background:#eee;display:block;border:3px solid transparent;box-sizing:border-box}
.near .alone img{border-color:#d35400}.near figcaption{font-size:10px;color:#666;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
td.better{color:#17752c;font-weight:600}td.worse{color:#a3200f;font-weight:600}td.level{color:#777}
.ci{color:#888;font-size:12px;white-space:nowrap}table{width:auto}td{vertical-align:top}.once{color:#777;font-size:12px}
code{font-size:12px}@media(max-width:900px){.both{grid-template-columns:1fr}}
"""


def write(file: Path, found: Found, photos: Photos) -> None:
    """Write the page; it needs no other file. Raises `Poison` when it cannot be written."""
    try:
        with file.open("w", encoding="utf-8") as page:
            page.writelines(_lines(found, photos))
    except OSError as error:
        raise Poison(f"{file} cannot be written: {error.strerror}") from error


def _lines(found: Found, photos: Photos) -> Iterator[str]:
    report = found.report
    title = f"{report.profile} beside {report.other}"
    yield page_parts.head(title, _STYLE)
    yield f"<h1>{escape(title)}</h1><p>{report.products} products of {report.brands} brands, by the photos alone.</p>"
    yield from _parts(report)
    yield from _table("Yardsticks", report, report.yardsticks, _share)
    yield from _table("Speed", report, report.speed, lambda value: f"{value:.2f}")
    peaks = (report.peak_bytes.profile, report.peak_bytes.other)
    yield (
        f"<p>Peak memory with all models loaded: {escape(report.profile)} {_mib(peaks[0])}, {escape(report.other)} {_mib(peaks[1])}. "
        f"Of a product's ten nearest, {report.neighbours_overlap:.2f} are found by both.</p>"
    )
    for name, why in report.left_out.items():
        yield f"<p class=meta>{escape(name)} was not measured: {escape(why)}.</p>"
    worst = ranked(found)[:SHOWN]
    if not worst:
        yield "<p>Both say the same of every product, but for a neighbour or two.</p></html>\n"
        return
    yield (
        f"<h1>The {len(worst)} products on which they differ most</h1><p>In the captions are {page_parts.LEGEND}. Framed neighbours are "
        "found by that profile alone.</p>"
    )
    pictures: dict[str, str] = {}
    for name in worst:
        yield from _article(name, found, photos, pictures)
    yield "</html>\n"


def _parts(report: Report) -> Iterator[str]:
    same = [name for name, part in report.parts.items() if part.same]
    other = [name for name, part in report.parts.items() if not part.same]
    yield f"<p>Different: <b>{', '.join(other) or 'nothing'}</b>; the same in both: {', '.join(same) or 'nothing'}."
    yield " What rests on parts that are the same was measured once.</p>" if same else "</p>"


def _table(title: str, report: Report, rows: Sequence[Compared], shown: object) -> Iterator[str]:
    if not rows or not callable(shown):
        return
    yield (
        f"<h2>{title}</h2><table><tr><th></th><th>{escape(report.profile)}</th><th>{escape(report.other)}</th><th>difference</th>"
        "<th></th><th>of</th></tr>"
    )
    for row in rows:
        arrow = "" if row.better == "more" else " (less is better)"
        verdict = "measured once" if row.once else row.verdict if row.beyond_noise else "within noise"
        cells = "".join(
            f"<td>{shown(figure.value)} <span class=ci>{shown(figure.ci[0])} to {shown(figure.ci[1])}</span></td>"
            for figure in (row.profile, row.other)
        )
        low, high = row.difference.ci
        sign = f"{'+' if row.difference.value > 0 else ''}{shown(row.difference.value)}"
        apart = "" if row.once else f"{sign} <span class=ci>{shown(low)} to {shown(high)}</span>"
        yield (
            f"<tr><td>{escape(row.name)}{arrow}</td>{cells}<td>{apart}</td>"
            f'<td class="{"level" if row.once else row.verdict}">{verdict}</td><td class=ci>{row.items} {escape(row.of)}</td></tr>'
        )
    yield "</table>"


def _share(value: float) -> str:
    return f"{value:.3f}"


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def ranked(found: Found) -> list[str]:
    """The products of which something differs, those of which most does first."""
    assert found.mine.near is not None
    assert found.theirs.near is not None
    shares = dict(zip(found.ids, overlaps(found.mine.near, found.theirs.near), strict=True))
    apart = {name: _apart(name, found, float(shares[name])) for name in found.ids}
    return sorted((name for name in found.ids if apart[name] >= LEAST), key=lambda name: (-apart[name], name))


def _apart(name: str, found: Found, overlap: float) -> float:
    """Wrong claims and right facets more or less, boxes that only one found, neighbours that only one has."""
    one, two = found.mine.captions[name], found.theirs.captions[name]
    claims = abs(len(one.wrong) - len(two.wrong)) + len(one.right ^ two.right)
    texts = 0.25 * (one.captioned.caption != two.captioned.caption)
    return claims + texts + boxes_apart(found.mine.seen[name].garments, found.theirs.seen[name].garments) + 1 - overlap


def boxes_apart(mine: Sequence[Garment], theirs: Sequence[Garment]) -> float:
    """Share of the garments that only one found, by category and box, 0..1."""
    free, matched = list(theirs), 0
    for garment in mine:
        alike = [one for one in free if one.category == garment.category and iou(one.box, garment.box) >= SAME_BOX]
        if alike:
            free.remove(max(alike, key=lambda one: iou(one.box, garment.box)))
            matched += 1
    of = len(mine) + len(theirs) - matched
    return 1 - matched / of if of else 0.0


def _article(name: str, found: Found, photos: Photos, pictures: dict[str, str]) -> Iterator[str]:
    product = found.mine.captions[name].captioned.product
    title = str(product.fields.get("title", "") or product.fields.get("productDisplayName", ""))
    yield f'<article id="p{escape(name)}"><h2>{escape(title or name)}</h2><p class=meta>{escape(product.brand)} · {escape(name)} · '
    yield "; ".join(
        f"{facet} {escape(page_parts.listed(product.truth[facet]))}" for facet in FACETS if facet in product.truth
    )
    yield '</p><div class="both">'
    sides = ((found.report.profile, found.mine, found.theirs), (found.report.other, found.theirs, found.mine))
    for profile, side, other in sides:
        yield f"<section><h3>{escape(profile)}</h3>"
        yield from _said(side.captions[name], side.seen[name], photos)
        yield from _neighbours(name, side, other, found, photos, pictures)
        yield "</section>"
    yield "</div></article>"


def _said(one: Judged, seen: Seen, photos: Photos) -> Iterator[str]:
    pixels = photos.load(one.captioned.product.path).decoded.pixels
    yield f'<div class="shown">{page_parts.photo(pixels, seen.garments, seen.width, seen.height, _SIDE)}<div>'
    yield f'<p class="caption">{page_parts.marked(one)}</p><p class="tags">{escape(" ".join(one.captioned.hashtags))}</p>'
    yield (
        f'<p class="meta">{len(one.wrong)} wrong, coverage {one.coverage:.2f}, written by {one.captioned.writer}</p></div></div>'
    )


def _neighbours(
    name: str, side: Side, other: Side, found: Found, photos: Photos, pictures: dict[str, str]
) -> Iterator[str]:
    assert side.near is not None
    assert other.near is not None
    there = set(_nearest(name, other.near))
    yield '<div class="near">'
    for near in _nearest(name, side.near)[:NEIGHBOURS]:
        if near not in pictures:
            path = found.mine.captions[near].captioned.product.path
            pictures[near] = page_parts.small(photos.load(path).decoded.pixels, _SMALL)[0]
        alone = "" if near in there else ' class="alone"'
        yield f'<figure{alone}><img src="{pictures[near]}" alt=""><figcaption>{escape(near)}</figcaption></figure>'
    yield "</div>"


def _nearest(name: str, near: Near) -> list[str]:
    return [near.ids[at] for at in near.found[near.ids.index(name)] if at >= 0]
