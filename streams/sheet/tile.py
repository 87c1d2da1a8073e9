"""One product of the contact sheet: its photo with boxes beside its colours, caption and hashtags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from processors.values import CATEGORIES, Garment, Pixels
from streams.records import Caption
from streams.sheet.type import (
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
PHOTO_WIDTH, PHOTO_HEIGHT = 336, 480
PAD = 22
TEXT_WIDTH = TILE_WIDTH - PHOTO_WIDTH - 2 * PAD
RADIUS = 14
GARMENTS_SHOWN = 6

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
class Laid:
    """A tile whose text is wrapped: its height is known before anything is drawn."""

    data: TileData
    caption: list[list[Word]]
    tags: list[list[Word]]
    height: int


def class_colour(category: str) -> str:
    """The colour in which a class is boxed, listed and underlined."""
    index = CATEGORIES.index(category) if category in CATEGORIES else len(category)
    return _CLASS_COLOURS[index % len(_CLASS_COLOURS)]


def lay(data: TileData) -> Laid:
    """Wrap the text of a tile and measure it."""
    if data.caption is None:
        lines = wrap(data.problem or "no caption", CAPTION, TEXT_WIDTH)
        return Laid(data, lines, [], max(PHOTO_HEIGHT, 2 * PAD + 40 + len(lines) * CAPTION.line))
    caption = wrap(data.caption.caption, CAPTION, TEXT_WIDTH)
    tags = wrap(" ".join(data.caption.hashtags), TAGS, TEXT_WIDTH)
    rows = min(len(data.caption.evidence.garments), GARMENTS_SHOWN)
    text = len(caption) * CAPTION.line + len(tags) * TAGS.line + sum(_row_height(g) for g in _shown(data.caption))
    return Laid(data, caption, tags, max(PHOTO_HEIGHT, 2 * PAD + 30 + text + (34 if rows else 20)))


def paint(sheet: Image.Image, at: tuple[int, int], laid: Laid, height: int) -> None:
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
    """The whole picture in `size` on a ground of its own edge colour: (image, where the picture starts, factor)."""
    picture = Image.fromarray(pixels)
    factor = min(size[0] / picture.width, size[1] / picture.height)
    small = picture.resize(
        (max(1, round(picture.width * factor)), max(1, round(picture.height * factor))), Image.Resampling.LANCZOS
    )
    ground = Image.new("RGB", size, "#eceae5")
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
        # The surest last, so that its box and label lie on top.
        draw, taken = ImageDraw.Draw(image), list[tuple[float, float, float, float]]()
        for garment in reversed(_shown(data.caption)):
            box = tuple(value * data.scale * factor for value in garment.box)
            placed = (box[0] + start[0], box[1] + start[1], box[2] + start[0], box[3] + start[1])
            _outline(draw, placed, class_colour(garment.category))
            _label(draw, placed, garment, taken, image.size)
    return image


def _outline(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colour: str) -> None:
    x0, y0, x1, y1 = (round(value) for value in box)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline="#ffffff", width=1)
    draw.rectangle((x0, y0, x1, y1), outline=colour, width=2)


def _label(
    draw: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    garment: Garment,
    taken: list[tuple[float, float, float, float]],
    size: tuple[int, int],
) -> None:
    """Class and confidence above the box, or at the nearest place below where no other label stands."""
    text = f"{garment.category} {garment.confidence:.2f}"
    width, height = width_of(text, LABEL) + 12, 20
    x = min(max(box[0], 0), size[0] - width)
    y = max(box[1] - height, 0)
    while any(x < t[2] and t[0] < x + width and y < t[3] and t[1] < y + height for t in taken) and y + height < size[1]:
        y += 4
    place = (x, y, x + width, y + height)
    taken.append(place)
    draw.rounded_rectangle(place, 4, fill=class_colour(garment.category))
    write(draw, (x + 6, y + 15), text, LABEL)


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
