"""The contact sheet: all that Weft saw and said of a catalogue, and what it found, in one picture for a person."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from infra.whole_file import whole_file
from processors.decode import decode
from processors.errors import Poison
from processors.values import Pixels
from streams.contract.edits import EditResult
from streams.contract.records import Caption, Result
from streams.ops.sheet import edit, query, tile
from streams.ops.sheet.edit import EditRow
from streams.ops.sheet.query import QueryRow
from streams.ops.sheet.tile import TileData
from streams.ops.sheet.type import INK, PAPER, SOFT, Style, write

__all__ = ["Asked", "Changed", "EditRow", "QueryRow", "TileData", "pictures_of", "render", "write_sheet"]

MARGIN = 40
GAP = 20
MAX_COLUMNS = 4
MAX_TILES = 120
"""Products shown; a taller picture opens in few viewers."""
PICTURE_SIDE = 640
TITLE = Style(40, INK, bold=True)
HEADING = Style(26, INK, bold=True)
FACTS = Style(18, SOFT)


@dataclass(frozen=True, slots=True)
class Asked:
    """A query and its answer; `product_id` "" when it started from words alone."""

    product_id: str
    text: str
    result: Result


@dataclass(frozen=True, slots=True)
class Changed:
    """An edit of a product's photo, and the image as it is stored; b"" where there is none."""

    product_id: str
    text: str
    result: EditResult
    image: bytes


def write_sheet(
    file: Path,
    photos: Mapping[str, Path],
    captions: Sequence[Caption],
    refused: Mapping[str, str],
    asked: Sequence[Asked],
    title: str = "Weft",
    edits: Sequence[Changed] = (),
) -> None:
    """Read the photos and write the sheet as a PNG; a photo that cannot be read is shown as missing.

    Args:
        file: where to; written aside and renamed.
        photos: the photo of each product.
        captions: what was written, in the order to be shown.
        refused: product → why it has no caption; shown after the others.
        asked: composed queries.
        title: the headline.
        edits: photos that were edited.
    """
    named = _products(asked) | {name for one in edits for name in (one.product_id, *_looks(one.result))}
    pictures = pictures_of({c.product_id for c in captions} | set(refused) | named, photos)
    tiles = [_tile(c.product_id, pictures, c, "") for c in captions]
    tiles += [_tile(product_id, pictures, None, cause) for product_id, cause in sorted(refused.items())]
    plain = {product_id: pixels for product_id, (pixels, _) in pictures.items()}
    rows = [
        QueryRow(a.text, a.result, (a.product_id, plain[a.product_id]) if a.product_id in plain else None, plain)
        for a in asked
    ]
    drawn = render(tiles, rows, title, [_edit_row(one, plain) for one in edits])
    with whole_file(file, parents=True) as opened:
        # Level 2: photographs 7 % larger than at the default, in less than half the time.
        drawn.save(opened, "PNG", compress_level=2)


def pictures_of(products: set[str], photos: Mapping[str, Path]) -> dict[str, tuple[Pixels, float]]:
    """(pixels at `PICTURE_SIDE`, scale) of the products whose photo can be read."""
    pictures = {}
    for product_id in sorted(products & photos.keys()):
        try:
            decoded = decode(photos[product_id].read_bytes(), max_side=PICTURE_SIDE)
        except (OSError, Poison):
            continue  # the tile says "no picture", and why its product was refused
        pictures[product_id] = (decoded.pixels, decoded.scale)
    return pictures


def render(
    tiles: Sequence[TileData],
    queries: Sequence[QueryRow] = (),
    title: str = "Weft",
    edits: Sequence[EditRow] = (),
) -> Image.Image:
    """Lay out and draw the sheet: a headline, the queries, the edits, and the products in an aligned grid.

    At most four columns of 800 pixels, so type stays readable at 100 %; rows are as tall as their tallest tile.
    """
    laid = [tile.lay(data) for data in tiles[:MAX_TILES]]
    columns = _columns(len(laid))
    width = columns * tile.TILE_WIDTH + (columns - 1) * GAP + 2 * MARGIN
    rows = [laid[i : i + columns] for i in range(0, len(laid), columns)]
    heights = [max(one.height for one in row) for row in rows]
    head = MARGIN + 84
    search = len(queries) * (query.ROW_HEIGHT + GAP) + 60 if queries else 0
    edited = len(edits) * (query.ROW_HEIGHT + GAP) + 60 if edits else 0
    catalogue = sum(heights) + GAP * len(heights) + 60 if rows else 0
    sheet = Image.new("RGB", (width, head + search + edited + catalogue + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, MARGIN + 36), title, TITLE)
    write(draw, (MARGIN, MARGIN + 68), _facts(tiles, queries), FACTS)
    y = head
    if queries:
        write(draw, (MARGIN, y + 36), "Composed search", HEADING)
        y += 60
    for row in queries:
        query.paint(sheet, (MARGIN, y), row, width - 2 * MARGIN)
        y += query.ROW_HEIGHT + GAP
    if edits:
        write(draw, (MARGIN, y + 36), "Edited garments", HEADING)
        y += 60
    for change in edits:
        edit.paint(sheet, (MARGIN, y), change, width - 2 * MARGIN)
        y += query.ROW_HEIGHT + GAP
    if rows:
        write(draw, (MARGIN, y + 36), "Catalogue", HEADING)
        y += 60
    for line, height in zip(rows, heights, strict=True):
        for column, one in enumerate(line):
            tile.paint(sheet, (MARGIN + column * (tile.TILE_WIDTH + GAP), y), one, height)
        y += height + GAP
    return sheet


def _columns(count: int) -> int:
    """Two at least, so that a query's row has room; about as many rows as the picture is wide."""
    return max(2, min(MAX_COLUMNS, math.ceil(math.sqrt(count * 0.8))))


def _facts(tiles: Sequence[TileData], queries: Sequence[QueryRow]) -> str:
    captions = [data.caption for data in tiles if data.caption is not None]
    templates = sum(caption.writer == "template" for caption in captions)
    facts = [f"{len(tiles)} products", f"{len(captions)} captions"]
    if templates:
        facts.append(f"{templates} by template")
    if queries:
        facts.append(f"{len(queries)} composed queries")
    if len(tiles) > MAX_TILES:
        facts.append(f"the first {MAX_TILES} are shown")
    return " · ".join(facts)


def _tile(
    product_id: str, pictures: Mapping[str, tuple[Pixels, float]], caption: Caption | None, problem: str
) -> TileData:
    pixels, scale = pictures.get(product_id, (None, 1.0))
    return TileData(product_id, pixels, scale, caption, problem)


def _products(asked: Sequence[Asked]) -> set[str]:
    return {a.product_id for a in asked} | {hit.product_id for a in asked for hit in a.result.hits}


def _looks(result: EditResult) -> tuple[str, ...]:
    return tuple(one.product_id for one in result.retrieved if one.used)


def _edit_row(one: Changed, pictures: Mapping[str, Pixels]) -> EditRow:
    edited = decode(one.image, max_side=PICTURE_SIDE).pixels if one.image else None
    look = next((name for name in _looks(one.result) if name in pictures), None)
    return EditRow(
        one.text,
        one.result,
        (one.product_id, pictures[one.product_id]) if one.product_id in pictures else None,
        edited,
        None if look is None else (look, pictures[look]),
    )
