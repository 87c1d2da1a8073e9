"""One composed query of the contact sheet: reference and text on the left, what was found on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from processors.values import Pixels
from streams.contract.records import Hit, Result
from streams.ops.sheet.tile import PAD, RADIUS, fit
from streams.ops.sheet.type import (
    ALARM,
    CARD,
    FAINT,
    INK,
    LINE,
    SOFT,
    Style,
    rounded,
    shorten,
    wrap,
    write,
    write_lines,
)

PICTURE = (206, 300)
GAP = 16
ASK_WIDTH = 330
FOOT = 54
ROW_HEIGHT = PICTURE[1] + FOOT + 2 * PAD

ASK = Style(26, INK)
SMALL = Style(14, SOFT)
SCORE = Style(17, INK, bold=True)


@dataclass(frozen=True, slots=True)
class QueryRow:
    """A query to show.

    Args:
        text: what was asked; "" for a search by picture alone.
        result: the answer.
        reference: (name, photo) that the query starts from, or None for words alone.
        pictures: photos of the products found, by id; a missing one is shown as its id.
    """

    text: str
    result: Result
    reference: tuple[str, Pixels] | None = None
    pictures: Mapping[str, Pixels] = field(default_factory=dict)


def paint(sheet: Image.Image, at: tuple[int, int], row: QueryRow, width: int) -> None:
    """Draw a row with its top left corner `at`; as many hits as fit into `width`."""
    card = Image.new("RGB", (width, ROW_HEIGHT), CARD)
    draw = ImageDraw.Draw(card)
    indent = PICTURE[0] + GAP + 8
    if row.reference is None:
        _ask(draw, PAD, row, indent + ASK_WIDTH)
    else:
        _picture(card, (PAD, PAD), row.reference[1])
        write(draw, (PAD, PAD + PICTURE[1] + 24), "reference", SCORE)
        write(draw, (PAD, PAD + PICTURE[1] + 44), shorten(row.reference[0], SMALL, PICTURE[0]), SMALL)
        _ask(draw, PAD + indent, row, ASK_WIDTH)
    x = PAD + indent + ASK_WIDTH
    draw.line((x, PAD, x, ROW_HEIGHT - PAD), fill=LINE, width=2)
    _arrow(draw, x)
    x += 2 * GAP + 8
    if row.result.error is not None:
        lines = wrap(f"{row.result.error.code}: {row.result.error.message}", ASK, width - x - PAD)
        write_lines(draw, (x, PAD + 10), lines, Style(ASK.size, ALARM))
    elif not row.result.hits:
        write(draw, (x, PAD + 40), "nothing found", Style(ASK.size, FAINT))
    else:
        _hits(card, x, row.result.hits, row.pictures)
    sheet.paste(card, at, rounded(card.size, RADIUS))


def _ask(draw: ImageDraw.ImageDraw, x: float, row: QueryRow, width: float) -> None:
    lines = wrap(f"“{row.text}”" if row.text else "looks like this", ASK, width - GAP)[:6]
    height = len(lines) * ASK.line
    y = PAD + (PICTURE[1] - height) / 2 - 14
    y = write_lines(draw, (x, y), lines, ASK)
    found = row.result
    facts = f"{found.took_ms} ms · {found.shards.answered} of {found.shards.of} shards"
    write(draw, (x, y + 26), facts, Style(SMALL.size, ALARM if found.partial else SOFT))
    if found.partial:
        write(draw, (x, y + 46), "partial answer", Style(SMALL.size, ALARM))


def _arrow(draw: ImageDraw.ImageDraw, x: int) -> None:
    y = PAD + PICTURE[1] // 2
    draw.polygon(((x - 1, y - 14), (x + 14, y), (x - 1, y + 14)), fill=CARD)
    draw.line(((x, y - 14), (x + 13, y), (x, y + 14)), fill=LINE, width=2, joint="curve")


def _hits(card: Image.Image, x: int, hits: Sequence[Hit], pictures: Mapping[str, Pixels]) -> None:
    draw = ImageDraw.Draw(card)
    for rank, hit in enumerate(hits, start=1):
        if x + PICTURE[0] + PAD > card.width:
            break
        picture = pictures.get(hit.product_id)
        if picture is None:
            card.paste(Image.new("RGB", PICTURE, "#eceae5"), (x, PAD), rounded(PICTURE, 8))
        else:
            _picture(card, (x, PAD), picture)
        y = PAD + PICTURE[1]
        write(draw, (x, y + 24), f"{rank}", Style(SCORE.size, FAINT, bold=True))
        write(draw, (x + 20, y + 24), f"{hit.score:.3f}", SCORE)
        write(draw, (x + PICTURE[0], y + 24), hit.category, SMALL, anchor="rs")
        write(draw, (x, y + 44), shorten(hit.product_id, SMALL, PICTURE[0]), SMALL)
        x += PICTURE[0] + GAP


def _picture(card: Image.Image, at: tuple[int, int], pixels: Pixels) -> None:
    image, _, _ = fit(pixels, PICTURE)
    card.paste(image, at, rounded(PICTURE, 8))
