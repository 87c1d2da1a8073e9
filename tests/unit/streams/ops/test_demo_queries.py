"""The demo's queries: about what is there, and always three where there is a catalogue."""

from __future__ import annotations

from processors.values import Colour, Evidence, Garment
from streams.contract.records import Caption, Lineage, Source
from streams.ops.demo_queries import choose


def caption(product_id: str, category: str = "", colour: str = "") -> Caption:
    colours = (Colour(colour, "#000000", 1.0),) if colour else ()
    garments = (Garment("g0", category, (0, 0, 10, 10), 0.9, colours),) if category else ()
    lineage = Lineage(Source("catalog.uploads", 0, 0), "", "", "", "", "")
    return Caption(product_id, "", (), Evidence(garments), (), 1.0, "llm", lineage)


def test_a_query_asks_for_a_colour_that_another_product_has() -> None:
    """Otherwise nobody could tell a good answer from a bad one."""
    captions = [caption("a", "dress", "red"), caption("b", "dress", "navy"), caption("c", "dress", "navy")]
    assert choose(captions)[0].text == "this dress, but in navy"
    assert choose(captions)[0].product_id == "a"


def test_different_categories_come_first() -> None:
    """Three queries about three kinds of garment show more than three about one."""
    captions = [
        caption(f"{kind}{n}", kind, colour)
        for kind in ("bag", "dress", "shoe")
        for n, colour in ((1, "red"), (2, "blue"))
    ]
    asked = {ask.text.split(",")[0] for ask in choose(captions)}
    assert asked == {"this bag", "this dress", "these shoes"}


def test_a_catalogue_in_which_nothing_was_found_gets_its_queries() -> None:
    """Photos without a garment are still searchable as a whole."""
    assert [ask.product_id for ask in choose([caption("a"), caption("b"), caption("c"), caption("d")])] == [
        "a",
        "b",
        "c",
    ]


def test_a_single_product_and_none() -> None:
    """Small catalogues give few queries, an empty one none."""
    assert len(choose([caption("a", "dress", "red")])) == 1
    assert choose([]) == []
