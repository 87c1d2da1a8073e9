"""The contact sheet shows what the records say, where they say it, in readable type."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageColor, ImageDraw

from processors.values import Attribute, Colour, Evidence, Garment, Span
from streams.contract.edits import EditError, EditResult
from streams.contract.records import Caption, Hit, Lineage, QueryError, Result, Shards, Source
from streams.ops.sheet import tile
from streams.ops.sheet.contact_sheet import MAX_TILES, Asked, QueryRow, TileData, render, write_sheet
from streams.ops.sheet.edit import EditRow
from streams.ops.sheet.query import ROW_HEIGHT
from streams.ops.sheet.type import Mark, Style, shorten, width_of, wrap, write, write_lines

LINEAGE = Lineage(Source("catalog.uploads", 0, 1), "", "", "", "", "0")
TEXT = "A navy linen dress for women. Quiet and bright."


def photo(width: int = 324, height: int = 480, colour: tuple[int, int, int] = (200, 200, 200)) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def captioned(product_id: str = "sku-1", text: str = TEXT, garments: int = 1) -> Caption:
    dress = Garment(
        "g0",
        "dress",
        (80.0, 120.0, 200.0, 400.0),
        0.91,
        (Colour("navy", "#123457", 0.82), Colour("coral", "#f0806e", 0.18)),
        {"fabric": Attribute("linen", 0.74, ("sku-7",))},
    )
    evidence = Evidence(tuple([dress] * garments))
    spans = (Span(2, 6, "g0", "colour"), Span(13, 18, "g0", "category"))
    return Caption(product_id, text, ("#linendress", "#navydress"), evidence, spans, 1.0, "llm", LINEAGE)


def answer(*hits: str, error: QueryError | None = None, partial: bool = False) -> Result:
    found = tuple(Hit(hit, 0.9 - 0.1 * n, "", "dress") for n, hit in enumerate(hits))
    return Result("q", found, partial, "g-1", {}, Shards(11 if partial else 12, 12), 41, error)


def count(image: Image.Image, colour: str) -> int:
    """Pixels of exactly this colour."""
    return int((np.asarray(image) == ImageColor.getrgb(colour)).all(axis=2).sum())


def test_boxes_swatches_and_claims_are_drawn() -> None:
    """The swatches carry the evidence's colours, and the class's colour boxes the photo and underlines the claims."""
    sheet = render([TileData("sku-1", photo(), 1.0, captioned())])
    assert count(sheet, "#123457") > 400
    assert count(sheet, "#f0806e") > 400
    left = 40 + 80 + 6  # margin of the sheet, the box's left edge, past the label's round corner
    column = np.asarray(sheet)[:, left]
    top = int(np.argmax((column == ImageColor.getrgb(tile.class_colour("dress"))).all(axis=1)))
    first_row = 40 + 84 + 60
    assert top == first_row + 120 - 20  # the label stands on the box
    plain = render([TileData("sku-1", photo(), 1.0, captioned(text="x" * 3))])
    assert count(sheet, tile.class_colour("dress")) > count(plain, tile.class_colour("dress")) + 60


@pytest.mark.parametrize("scale", [0.25, 0.5])
def test_boxes_follow_the_scale_of_the_pixels(scale: float) -> None:
    """A photo decoded smaller than its original has its boxes in the same place."""
    full = render([TileData("a", photo(), 1.0, captioned())])
    half = render([TileData("a", photo(int(324 * scale), int(480 * scale)), scale, captioned())])
    assert ImageChops.difference(full, half).getbbox() is None


@pytest.mark.parametrize(("products", "columns"), [(1, 2), (4, 2), (12, 4), (30, 4)])
def test_grid_is_aligned_and_bounded(products: int, columns: int) -> None:
    """At most four columns, under 4,000 pixels wide, every product on it."""
    sheet = render([TileData(f"sku-{n}", photo(32, 48), 0.1, captioned(f"sku-{n}")) for n in range(products)])
    assert sheet.width == columns * tile.TILE_WIDTH + (columns - 1) * 20 + 80
    assert sheet.width <= 4000
    rows = -(-products // columns)
    assert sheet.height == 40 + 84 + 60 + rows * 500 + 40
    assert count(sheet, "#123457") > 400 * products


def test_endless_catalogues_are_cut() -> None:
    """More products than a viewer can open are left out, and the headline says so."""
    many = [TileData(str(n), None, 1.0, None, "x") for n in range(MAX_TILES + 50)]
    assert render(many).height == 40 + 84 + 60 + MAX_TILES // 4 * 500 + 40


def test_long_captions_make_their_row_taller() -> None:
    """Nothing is written over: a row is as tall as its longest tile."""
    short = [TileData(str(n), photo(), 1.0, captioned()) for n in range(4)]
    long = TileData("long", photo(), 1.0, captioned(text="An unusually long caption. " * 30, garments=6))
    assert render([*short[:3], long]).height > render(short).height + 200
    assert tile.lay(long).height > tile.PHOTO_HEIGHT


def test_refused_products_say_why() -> None:
    """No photo and no caption: the tile is there, in the colour of alarm."""
    sheet = render([TileData("broken", None, 1.0, None, "image: the JPEG cannot be decoded")])
    assert count(sheet, "#b3261e") > 100


def test_query_rows() -> None:
    """Hits are shown in order with their pictures; errors, emptiness and partial answers differ from them."""
    red, green = photo(colour=(250, 10, 10)), photo(colour=(10, 250, 10))
    asked = QueryRow("in red", answer("r", "g", "unseen"), ("ref", photo(colour=(10, 10, 250))), {"r": red, "g": green})
    sheet = np.asarray(render([], [asked]))
    middle = sheet[40 + 84 + 60 + 150]
    firsts = [int(np.argmax((middle == c).all(axis=1))) for c in ((10, 10, 250), (250, 10, 10), (10, 250, 10))]
    assert 0 < firsts[0] < firsts[1] < firsts[2]
    alarm = [
        count(render([], [QueryRow("x", result)]), "#b3261e")
        for result in (answer("r"), answer(), answer("r", partial=True), answer(error=QueryError("code", "words")))
    ]
    assert alarm[:2] == [0, 0]
    assert min(alarm[2:]) > 50


def test_more_hits_than_fit_are_left_out() -> None:
    """A row never runs out of its card."""
    few = render([], [QueryRow("x", answer(*map(str, range(5))))])
    many = render([], [QueryRow("x", answer(*map(str, range(50))))])
    assert few.size == many.size
    edge = np.asarray(many)[:, -40:]
    assert (edge == ImageColor.getrgb("#f4f2ee")).all()


def test_write_sheet_reads_turned_photos(tmp_path: Path) -> None:
    """Files on disk, one of them rotated by EXIF and one broken, become one PNG, written whole or not at all."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = io.BytesIO()
    Image.fromarray(photo(480, 324, (10, 200, 10))).save(turned, "JPEG", exif=exif.tobytes())
    (tmp_path / "a.jpg").write_bytes(turned.getvalue())
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    photos = {"a": tmp_path / "a.jpg", "b": tmp_path / "b.jpg"}
    out = tmp_path / "deep" / "contact-sheet.png"
    write_sheet(out, photos, [captioned("a")], {"b": "not a JPEG"}, [Asked("a", "in red", answer("a", "gone"))])
    assert [file.name for file in out.parent.iterdir()] == ["contact-sheet.png"]
    with Image.open(out) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    green = (np.abs(pixels - (10, 200, 10)).max(axis=2) < 12).sum()
    assert green > 100_000  # tile, reference and hit, upright: each fills its place


@given(st.text(max_size=200), st.sampled_from([14, 19, 26]), st.integers(60, 400))
def test_wrapping_loses_nothing_and_fits(text: str, size: int, width: int) -> None:
    """Every word is on a line, at its place in the text, and no line is wider than asked."""
    style = Style(size)
    lines = wrap(text, style, width)
    assert "".join(w.text for line in lines for w in line) == "".join(text.split())
    for line in lines:
        for word in line:
            assert text[word.start : word.start + len(word.text)] == word.text
            assert word.x + width_of(word.text, style) <= width + 0.5 or len(word.text) == 1


def test_marks_are_under_their_words() -> None:
    """A mark over two words is one unbroken line under both, and under nothing else."""
    style = Style(19)
    image = Image.new("RGB", (400, 40), "white")
    write_lines(ImageDraw.Draw(image), (0, 0), wrap("a navy blue coat", style, 400), style, [Mark(2, 11, "#ff0000")])
    columns = np.flatnonzero((np.asarray(image) == (255, 0, 0)).all(axis=2).any(axis=0))
    assert columns[0] == pytest.approx(width_of("a ", style), abs=2)
    assert columns[-1] == pytest.approx(width_of("a navy blue", style), abs=3)
    assert len(columns) == columns[-1] - columns[0] + 1


def test_shorten_keeps_what_fits() -> None:
    """Long names end in "…" and fit; short ones stay."""
    style = Style(14)
    assert shorten("sku-1", style, 200) == "sku-1"
    cut = shorten("a-very-long-product-identifier-indeed", style, 120)
    assert cut.endswith("…")
    assert width_of(cut, style) <= 120


def test_accents_are_not_boxes() -> None:
    """Letters that the bundled font lacks are drawn differently from each other, by another font or without accent."""
    drawn = []
    for text in ("é", "ü", "ß"):
        image = Image.new("L", (30, 30))
        write(ImageDraw.Draw(image), (4, 24), text, Style(20, "#ffffff"))
        drawn.append(image.tobytes())
    assert len(set(drawn)) == 3


def test_edits_stand_above_the_catalogue() -> None:
    """Photo, edited image and look in one row; and where there is no image, why."""
    before, after, look = (
        np.full((60, 40, 3), tone, np.uint8) for tone in ((40, 70, 190), (200, 30, 40), (190, 20, 30))
    )
    done = EditRow(
        "this dress, but in red", EditResult("e1", image="edits/x.png"), ("sku-1", before), after, ("sku-2", look)
    )
    refused = EditRow("red", EditResult("e2", error=EditError("no_garment", "nothing")), ("sku-1", before), None, None)
    tiles = [TileData("sku-1", photo(), 1.0, captioned())]
    plain, sheet = render(tiles), render(tiles, edits=[done, refused])
    assert sheet.height == plain.height + 60 + 2 * (ROW_HEIGHT + 20)
    shown = {colour for _, colour in sheet.getcolors(sheet.width * sheet.height) or ()}
    assert {(40, 70, 190), (200, 30, 40), (190, 20, 30)} <= shown
