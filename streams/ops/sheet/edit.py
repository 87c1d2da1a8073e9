"""An edited photo of the contact sheet: the photo and the words on the left, what came of it, and whose look it has, on the right."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from processors.values import Pixels
from streams.contract.edits import EditResult
from streams.ops.sheet.query import GAP, PICTURE, ROW_HEIGHT
from streams.ops.sheet.tile import PAD, RADIUS, fit
from streams.ops.sheet.type import ALARM, CARD, INK, SOFT, Style, rounded, shorten, wrap, write, write_lines

WORDS = Style(26, INK)
SMALL = Style(14, SOFT)
LABEL = Style(17, INK, bold=True)
WORDS_WIDTH = 300


@dataclass(frozen=True, slots=True)
class EditRow:
    """An edit to show: (name, pixels) of the photo, of the edited image, and of the garment that lent its look; None: there is none."""

    text: str
    result: EditResult
    photo: tuple[str, Pixels] | None
    edited: Pixels | None
    look: tuple[str, Pixels] | None


def paint(sheet: Image.Image, at: tuple[int, int], row: EditRow, width: int) -> None:
    """Draw a row with its top left corner `at`."""
    card = Image.new("RGB", (width, ROW_HEIGHT), CARD)
    draw = ImageDraw.Draw(card)
    x = PAD
    if row.photo is not None:
        _picture(card, x, row.photo[1], "photo", row.photo[0])
    x += PICTURE[0] + GAP + 8
    lines = wrap(f"“{row.text}”", WORDS, WORDS_WIDTH - GAP)[:6]
    y = write_lines(draw, (x, PAD + (PICTURE[1] - len(lines) * WORDS.line) / 2), lines, WORDS)
    write(draw, (x, y + 26), f"{row.result.took_ms} ms · {row.result.method}", SMALL)
    x += WORDS_WIDTH
    if row.result.error is not None or row.edited is None:
        cause = (
            "the image is gone" if row.result.error is None else f"{row.result.error.code}: {row.result.error.message}"
        )
        write_lines(draw, (x, PAD + 10), wrap(cause, WORDS, width - x - PAD), Style(WORDS.size, ALARM))
    else:
        garment = row.result.garment
        _picture(card, x, row.edited, "edited", "" if garment is None else garment.category)
        x += PICTURE[0] + GAP
        if row.look is not None and x + PICTURE[0] + PAD <= width:
            _picture(card, x, row.look[1], "by the look of", row.look[0])
    sheet.paste(card, at, rounded(card.size, RADIUS))


def _picture(card: Image.Image, x: int, pixels: Pixels, label: str, name: str) -> None:
    image, _, _ = fit(pixels, PICTURE)
    card.paste(image, (x, PAD), rounded(PICTURE, 8))
    draw = ImageDraw.Draw(card)
    write(draw, (x, PAD + PICTURE[1] + 24), label, LABEL)
    write(draw, (x, PAD + PICTURE[1] + 44), shorten(name, SMALL, PICTURE[0]), SMALL)
