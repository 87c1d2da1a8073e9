"""What the pages of yardsticks share: the style, a photo with its boxes, a caption with what is right and wrong in it. No other file is needed."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import cv2
import numpy as np

from models.yardsticks.captions import Judged, Verdict
from processors.values import Garment, Pixels

SIDE = 320
"""Longest side, in pixels, of a photo on the page: some hundred of them make a page of some megabytes."""
_QUALITY = 80

STYLE = """
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


def head(title: str, more: str = "") -> str:
    """How a page begins. `more`: style of this page alone."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{STYLE}{more}</style>"
    )


def small(pixels: Pixels, side: int) -> tuple[str, int, int]:
    """A JPEG of this longest side as a `data:` URI, its width and its height."""
    factor = side / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(resized, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(np.asarray(encoded).tobytes()).decode(), *size


def photo(pixels: Pixels, garments: Sequence[Garment], width: int, height: int, side: int = SIDE) -> str:
    """A photo with the boxes of what was found. `width`, `height`: of the image that the boxes are given in."""
    data, wide, high = small(pixels, side)
    boxes = []
    for garment in garments:
        x0, y0, x1, y1 = garment.box
        place = (100 * x0 / width, 100 * y0 / height)
        extent = (100 * (x1 - x0) / width, 100 * (y1 - y0) / height)
        colours = " + ".join(colour.name for colour in garment.colours)
        boxes.append(
            f'<div class="box" style="left:{place[0]:.1f}%;top:{place[1]:.1f}%;width:{extent[0]:.1f}%;height:{extent[1]:.1f}%">'
            f"<span>{html.escape(garment.category)} {garment.confidence:.2f} {html.escape(colours)}</span></div>"
        )
    return f'<div class="photo"><img src="{data}" width="{wide}" height="{high}" alt="">{"".join(boxes)}</div>'


def marked(one: Judged) -> str:
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


def listed(values: frozenset[str]) -> str:
    """Some of the values that the shop's word allows; "Printed" allows a dozen."""
    shown = sorted(values)
    return " / ".join(shown[:4]) + (" …" if len(shown) > 4 else "")


LEGEND = (
    '<mark class="right">what the shop says too</mark>, <mark class="wrong">what contradicts it</mark> and '
    '<mark class="open">what it says nothing of</mark>'
)
