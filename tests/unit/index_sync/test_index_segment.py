"""Columns and segments."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from index_sync import scan
from index_sync.columns import Columns, encode_payload
from index_sync.compaction import compact
from index_sync.entry import Payload, ViewInfo, fold_wanted, product_mark, to_half, to_halves
from index_sync.growing import GrowingInts
from index_sync.lexical import WordColumns
from index_sync.pieces import PIECE, in_pieces
from index_sync.segment import GrowingSegment, Window, sealed
from processors.errors import Poison
from processors.product_words import Words
from tests.fakes.index_items import entry, unit


def _payload(*views: tuple[dict[str, tuple[str, ...]], ...]) -> Payload:
    return Payload("i", "", {}, (), tuple(ViewInfo(f"v{i}", "c", facets) for i, facets in enumerate(views)))


def test_growing_ints_keep_a_view_valid_while_they_grow() -> None:
    """A reader's view keeps its values when the writer outgrows the buffer."""
    ints = GrowingInts()
    for value in range(8):
        ints.append(value)
    view = ints.view()
    for value in range(8, 100):
        ints.append(value)
    assert view.tolist() == list(range(8))
    assert ints.view().tolist() == list(range(100))


def test_a_filter_on_two_facets_needs_one_garment_with_both() -> None:
    """A navy dress with a red bag is no red dress, though the whole view shows red and a dress."""
    columns = Columns(4)
    dress = {"category": ("dress",), "colour": ("Navy",)}
    bag = {"category": ("bag",), "colour": ("red",)}
    columns.append("p", 0, _payload((dress, bag), (dress,), (bag,)))
    red_dress = fold_wanted({"category": ("dress",), "colour": ("red",)})
    navy_dress = fold_wanted({"Category": (" DRESS",), "colour": ("navy", "teal")})
    assert columns.matching(3, red_dress).tolist() == [False, False, False]
    assert columns.matching(3, navy_dress).tolist() == [True, True, False]
    assert columns.showing(3, fold_wanted({"colour": ("red",)})).tolist() == [True, False, True]


def test_masks_ignore_rows_that_are_not_published_yet() -> None:
    """A reader that was given one row gets a mask of one row, though the writer has gone on."""
    columns = Columns(4)
    for ordinal in range(3):
        columns.append(f"p{ordinal}", ordinal, _payload(({"colour": ("red",)},)))
    assert columns.matching(1, {"colour": ("red",)}).tolist() == [True]


def _postings(words: WordColumns) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for block in words.settle():
        for term, start, stop in zip(block.terms, block.bounds[:-1], block.bounds[1:], strict=True):
            places = zip(block.found[start:stop] + block.start, block.values[start:stop], strict=True)
            found.setdefault(int(term), []).extend((int(place), int(value)) for place, value in places)
    return found


def test_products_that_are_taken_in_pieces_are_found_by_the_same_words() -> None:
    """And no piece is left for the end: what waits is put together on the way."""
    count = 20 * PIECE
    ids = [f"p{number}" for number in range(count)]
    payloads = [
        Payload(
            "i", "c", {}, (), (ViewInfo("whole", "c", ()),), words=Words(f"dress w{number % 7}", "tag", "", "Brand")
        )
        for number in range(count)
    ]
    blobs = [encode_payload(payload) for payload in payloads]
    at_once, by_piece = Columns(count), Columns(count)
    at_once.extend_encoded(ids, range(count), blobs)
    waiting: list[int] = []
    by_piece.extend_encoded(ids, range(count), blobs, lambda: waiting.append(len(by_piece.words._pending)))
    assert (by_piece.ids, by_piece.payloads) == (at_once.ids, at_once.payloads)
    assert _postings(by_piece.words) == _postings(at_once.words)
    assert len(waiting) == count // PIECE
    assert max(waiting) < count / 2


def test_others_have_their_turn_before_each_piece() -> None:
    order: list[int | str] = []
    order.extend(in_pieces(range(5), lambda: order.append("others"), 2))
    assert order == ["others", 0, 1, "others", 2, 3, "others", 4]
    assert list(in_pieces(range(3), None)) == [0, 1, 2]


def test_a_vacuum_drops_the_dead_and_keeps_the_scores() -> None:
    """The new segment holds the live products in order, with bit-equal vectors."""
    growing = GrowingSegment(0, 8, 10)
    for ordinal in range(4):
        item = entry(ordinal, 10 + ordinal)
        growing.append(f"p{ordinal}", ordinal, item.payload, to_half(item.vectors, 8))
    alive = np.ones(10, dtype=np.bool_)
    alive[2:4] = False
    made = compact(1, [Window(growing, 8, 4, alive)]).segment
    assert made.columns.ids == ["p0", "p2", "p3"]
    assert made.columns.first == [0, 2, 4, 6]
    kept = np.array([0, 1, 4, 5, 6, 7])
    assert np.array_equal(made.gather(np.arange(6)), growing.gather(kept))
    scores, parts, rows = scan.nearest([made.vectors(0, 6)], unit(2), 1)
    assert (parts.tolist(), rows.tolist()) == ([0], [2])
    assert scores[0] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("vectors", "field"),
    [
        (np.zeros((1, 8), np.float32), "views"),
        (np.full((1, 8), np.nan, np.float32), "views"),
        (np.ones((1, 8), np.float32), "views"),
        (np.zeros((0, 8), np.float32), "views"),
        (unit(1, 7)[None], "dimension"),
    ],
)
def test_vectors_that_are_no_unit_vectors_are_poison(vectors: np.ndarray, field: str) -> None:
    """Zero, NaN, too long, none at all, or of another dimension: refused, naming the field."""
    with pytest.raises(Poison) as caught:
        to_half(vectors, 8)
    assert caught.value.field == field


def test_many_items_at_once_become_what_each_becomes_by_itself() -> None:
    """Bit for bit; whatever is wrong with one is left to `to_half`, which says what, and harms no other."""
    wide = unit(3, 16)[None]
    batch = [unit(1)[None], np.ones((1, 8), np.float32), np.stack([unit(2), unit(4)]), wide, np.full((1, 8), 1e6, "f4")]
    batch += [np.full((1, 8), np.nan, np.float32), np.zeros((0, 8), np.float32), unit(5)]
    halves = to_halves(batch)
    assert [half is not None for half in halves] == [True, False, True, False, False, False, False, False]
    for half, vectors in zip(halves, batch, strict=True):
        if half is not None:
            assert np.array_equal(half, to_half(vectors, 8))
    assert to_halves([]) == []


def test_a_segment_is_sealed_as_it_stands() -> None:
    """No row is copied and no payload read again: in the middle of a write either would be felt."""
    growing = GrowingSegment(0, 8, 4)
    for ordinal in range(3):
        item = entry(ordinal)
        growing.append(f"p{ordinal}", ordinal, item.payload, to_half(item.vectors, 8))
    made = sealed(growing)
    assert made.columns is growing.columns
    assert np.shares_memory(made.vectors(0, 3), growing.vectors(0, 3))
    assert len(made.gather(np.arange(3))) == 3


def test_the_mark_of_a_product_is_what_it_always_was() -> None:
    """Digests stand in snapshots: another way to count them would rebuild every index."""
    item = entry(1, 2, 3, facets={"a": "b"})
    mark = product_mark("sku-é", 12345, item.payload, to_half(item.vectors, 8))
    assert f"{mark:032x}" == "88dded261da1ad8bdfbc0da2cbf6255e"
    with pytest.raises(ValueError, match="2 vectors for 3 views"):
        product_mark("sku", 1, item.payload, to_half(item.vectors, 8)[:2])


NFC, NFD = unicodedata.normalize("NFC", "Céline"), unicodedata.normalize("NFD", "Céline")


@pytest.mark.parametrize(
    ("facet", "has", "asks", "found"),
    [
        ("colour", "grey", ("color", "Gray"), True),
        ("Color", "Navy", ("colour", "navy"), True),
        ("category", "dress", ("category", "dresses"), True),
        ("category", "Summer Dresses", ("category", "summer dress"), True),
        ("category", "Boots", ("category", "shoe"), True),
        ("category", "Boots", ("category", "boot"), True),
        ("category", "shoe", ("category", "boots"), False),
        ("category", "pants", ("category", "jeans"), False),
        ("gender", "Ladies", ("gender", "women"), True),
        ("Material", "Linen", ("fabric", "linen"), True),
        ("brand", NFC, ("brand", NFD), True),
        ("brand", NFD, ("brand", NFC.upper()), True),
        ("brand", "Straße", ("brand", "STRASSE"), True),
        ("brand", "Levi\u2019s", ("brand", "Levi's"), True),
        ("brand", "Acme", ("brand", "Acmes"), False),
        ("Séason", "ss27", (unicodedata.normalize("NFD", "séason"), "SS27"), True),
        ("note", "x" * 500, ("note", "x" * 500), True),
    ],
)
def test_a_filter_is_met_however_it_is_spelt(facet: str, has: str, asks: tuple[str, str], found: bool) -> None:
    """Both ends are brought into one form: names of facets, plurals, synonyms, and Unicode's forms."""
    columns = Columns(1)
    columns.append("p", 0, _payload(({facet: (has,)},)))
    assert columns.matching(1, fold_wanted({asks[0]: (asks[1],)})).tolist() == [found]
