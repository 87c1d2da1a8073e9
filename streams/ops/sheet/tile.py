"""One product of the contact sheet: its photo with boxes beside its colours, caption and hashtags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from processors.values import CATEGORIES, Garment, Pixels
from streams.contract.records import Caption
from streams.ops.sheet.type import (
    ALARM,
    CARD,
    FAINT,
    INK,
    LINE,
    LINK,
    SOFT,
    Mark,
    Style,
    Word,
    rounded,
    shorten,
    width_of,
    wrap,
    write,
    write_lines,
)

TILE_WIDTH = 800
PHOTO_WIDTH, PHOTO_HEIGHT = 324, 480
PAD = 22
TEXT_WIDTH = TILE_WIDTH - PHOTO_WIDTH - 2 * PAD
RADIUS = 14
GARMENTS_SHOWN = 6
CROP = 0.1
"""A picture whose shape differs by less from its place is cropped to fill it: slivers of ground look like mistakes."""

NAME = Style(15, SOFT)
CAPTION = Style(19, INK)
TAGS = Style(15, LINK)
LABEL = Style(14, "#ffffff", bold=True)
CATEGORY = Style(16, INK, bold=True)
COLOUR = Style(15, INK)
DETAIL = Style(14, SOFT)

# One colour a class, apart from each other on cloth and on street.
_CLASS_COLOURS = (
    "#8e44ad", "#0e8a7b", "#d35400", "#2466c9", "#3a7d22", "#a8740a", "#c2185b", "#d32f2f", "#00809d", "#5d4fc4",
)  # fmt: skip


Rectangle: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class TileData:
    """A product to show.

    Args:
        product_id: shown as its name.
        pixels: its photo, RGB, EXIF rotation applied; any size.
        scale: pixels of `pixels` per pixel of the original (the boxes are in original pixels).
        caption: what Weft wrote, or None.
        problem: why there is no caption.
    """

    product_id: str
    pixels: Pixels | None
    scale: float = 1.0
    caption: Caption | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LaidOutTile:
    """A tile whose text is wrapped: its height is known before anything is drawn."""

    data: TileData
    caption: list[list[Word]]
    tags: list[list[Word]]
    height: int


def class_colour(category: str) -> str:
    """The colour in which a class is boxed, listed and underlined."""
    index = CATEGORIES.index(category) if category in CATEGORIES else len(category)
    return _CLASS_COLOURS[index % len(_CLASS_COLOURS)]


def lay(data: TileData) -> LaidOutTile:
    """Wrap the text of a tile and measure it."""
    if data.caption is None:
        lines = wrap(data.problem or "no caption", CAPTION, TEXT_WIDTH)
        return LaidOutTile(data, lines, [], max(PHOTO_HEIGHT, 2 * PAD + 40 + len(lines) * CAPTION.line))
    caption = wrap(data.caption.caption, CAPTION, TEXT_WIDTH)
    tags = wrap(" ".join(data.caption.hashtags), TAGS, TEXT_WIDTH)
    rows = min(len(data.caption.evidence.garments), GARMENTS_SHOWN)
    text = len(caption) * CAPTION.line + len(tags) * TAGS.line + sum(_row_height(g) for g in _shown(data.caption))
    return LaidOutTile(data, caption, tags, max(PHOTO_HEIGHT, 2 * PAD + 30 + text + (34 if rows else 20)))


def paint(sheet: Image.Image, at: tuple[int, int], laid: LaidOutTile, height: int) -> None:
    """Draw a tile with its top left corner `at`, stretched to the `height` of its row."""
    card = Image.new("RGB", (TILE_WIDTH, height), CARD)
    draw = ImageDraw.Draw(card)
    card.paste(_photo(laid.data, height), (0, 0))
    x, y = PHOTO_WIDTH + PAD, float(PAD)
    caption = laid.data.caption
    draw_name(draw, (x, y), laid.data)
    y += 30
    if caption is None:
        write_lines(draw, (x, y), laid.caption, Style(CAPTION.size, ALARM))
    else:
        y = write_lines(draw, (x, y), laid.caption, CAPTION, _marks(caption))
        shown = _shown(caption)
        if shown:
            y += 10
            draw.line((x, y, x + TEXT_WIDTH, y), fill=LINE)
            y += 10
        for garment in shown:
            _garment_row(draw, (x, y), garment)
            y += _row_height(garment)
        write_lines(draw, (x, y + 8), laid.tags, TAGS)
    sheet.paste(card, at, rounded(card.size, RADIUS))


def draw_name(draw: ImageDraw.ImageDraw, at: tuple[float, float], data: TileData) -> None:
    """The product id on the left, who wrote the caption on the right."""
    writer = "" if data.caption is None else {"llm": "language model", "template": "template"}[data.caption.writer]
    taken = width_of(writer, NAME)
    write(draw, (at[0], at[1] + 14), shorten(data.product_id, NAME, TEXT_WIDTH - taken - 16), NAME)
    write(draw, (at[0] + TEXT_WIDTH, at[1] + 14), writer, Style(NAME.size, FAINT), anchor="rs")


def fit(pixels: Pixels, size: tuple[int, int]) -> tuple[Image.Image, tuple[int, int], float]:
    """The picture in `size`, whole on a ground of its own edge colour, or filling it where that crops little.

    Returns:
        The image, where the picture's corner lies in it (negative when cropped), and the factor it was scaled by.
    """
    picture = Image.fromarray(pixels)
    across, down = size[0] / picture.width, size[1] / picture.height
    factor = max(across, down) if max(across, down) <= (1 + CROP) * min(across, down) else min(across, down)
    small = picture.resize(
        (max(1, round(picture.width * factor)), max(1, round(picture.height * factor))), Image.Resampling.LANCZOS
    )
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in np.median(edge, axis=0))
    ground = Image.new("RGB", size, (red, green, blue))
    start = ((size[0] - small.width) // 2, (size[1] - small.height) // 2)
    ground.paste(small, start)
    return ground, start, factor


def _shown(caption: Caption) -> Sequence[Garment]:
    return caption.evidence.garments[:GARMENTS_SHOWN]


def _marks(caption: Caption) -> list[Mark]:
    """Each claim is underlined in the colour of the box that proves it."""
    classes = {garment.id: garment.category for garment in caption.evidence.garments}
    return [Mark(s.start, s.end, class_colour(classes.get(s.garment, ""))) for s in caption.spans]


def _photo(data: TileData, height: int) -> Image.Image:
    if data.pixels is None:
        empty = Image.new("RGB", (PHOTO_WIDTH, height), "#eceae5")
        write(ImageDraw.Draw(empty), (PHOTO_WIDTH / 2, height / 2), "no picture", DETAIL, anchor="mm")
        return empty
    image, start, factor = fit(data.pixels, (PHOTO_WIDTH, height))
    if data.caption is not None:
        draw, taken = ImageDraw.Draw(image), list[Rectangle]()
        placed = [(garment, _placed(garment, data.scale * factor, start)) for garment in _shown(data.caption)]
        for garment, place in reversed(placed):  # the surest on top
            _outline(draw, place, class_colour(garment.category))
        for garment, place in placed:
            _label(draw, place, garment, taken, image.size)
    return image


def _placed(garment: Garment, factor: float, start: tuple[int, int]) -> Rectangle:
    x0, y0, x1, y1 = garment.box
    return x0 * factor + start[0], y0 * factor + start[1], x1 * factor + start[0], y1 * factor + start[1]


def _outline(draw: ImageDraw.ImageDraw, box: Rectangle, colour: str) -> None:
    x0, y0, x1, y1 = (round(value) for value in box)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline="#ffffff", width=1)
    draw.rectangle((x0, y0, x1, y1), outline=colour, width=2)


def _label(
    draw: ImageDraw.ImageDraw, box: Rectangle, garment: Garment, taken: list[Rectangle], size: tuple[int, int]
) -> None:
    """Class and confidence at a corner of the box, or else the nearest place below that no other label has."""
    text = f"{garment.category} {garment.confidence:.2f}"
    width, height = width_of(text, LABEL) + 12, 20.0
    lefts = [min(max(x, 0), size[0] - width) for x in (box[0], box[2] - width)]
    tops = [min(max(y, 0), size[1] - height) for y in (box[1] - height, box[1], box[3] - height, box[3])]
    corners = [(x, y) for y in tops for x in lefts]
    below = [(lefts[0], y) for y in np.arange(tops[0], size[1] - height, 4.0)]
    x, y = next((at for at in (*corners, *below) if _free(at, (width, height), taken)), corners[0])
    taken.append((x, y, x + width, y + height))
    draw.rounded_rectangle(taken[-1], 4, fill=class_colour(garment.category))
    write(draw, (x + 6, y + 15), text, LABEL)


def _free(at: tuple[float, float], size: tuple[float, float], taken: Sequence[Rectangle]) -> bool:
    x, y = at
    return not any(x < t[2] + 2 and t[0] < x + size[0] + 2 and y < t[3] + 1 and t[1] < y + size[1] + 1 for t in taken)


def _details(garment: Garment) -> str:
    return " · ".join(f"{a.value} {a.confidence:.0%}" for _, a in sorted(garment.attributes.items()))


def _row_height(garment: Garment) -> int:
    return 30 + (20 if garment.attributes else 0)


def _garment_row(draw: ImageDraw.ImageDraw, at: tuple[float, float], garment: Garment) -> None:
    """A bar in the box's colour, the class, the swatches with names, and below them the attributes."""
    x, y = at
    draw.rounded_rectangle((x, y + 5, x + 4, y + 21), 2, fill=class_colour(garment.category))
    write(draw, (x + 14, y + 19), garment.category, CATEGORY)
    x += 14 + 84
    for colour in garment.colours[:2]:
        draw.rounded_rectangle((x, y + 3, x + 30, y + 23), 5, fill=colour.hex, outline="#c9c6bf")
        name = f"{colour.name} {colour.share:.0%}"
        write(draw, (x + 38, y + 19), name, COLOUR)
        x += 38 + width_of(name, COLOUR) + 18
    if garment.attributes:
        text = shorten(_details(garment), DETAIL, TEXT_WIDTH - 98)
        write(draw, (at[0] + 98, y + 40), text, DETAIL)
