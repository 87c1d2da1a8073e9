"""Retrieval, colour, attributes: what counts as right, and what a photo may not do for itself."""

from __future__ import annotations

import numpy as np
import pytest

from models.yardsticks import attributes, colour, retrieval
from models.yardsticks.colour_names import RIGHT, right_names
from models.yardsticks.intervals import of_mean, resampled
from models.yardsticks.photos import UnreadableInput
from models.yardsticks.tables import Labelled
from processors.attributes import Calibration
from processors.errors import Poison
from processors.palette import PALETTE
from processors.values import Colour


def embedded(*items: tuple[str, str, tuple[float, float]]) -> retrieval.Embedded:
    """(digest, label, vector) → unit vectors."""
    vectors = np.array([vector for _, _, vector in items], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = tuple(Labelled(f"{digest}.jpg", label) for digest, label, _ in items)
    return retrieval.Embedded(vectors, labels, tuple(digest for digest, _, _ in items))


def test_a_query_of_the_gallery_does_not_find_itself() -> None:
    """The same bytes under another name are the same photo; all of its copies are left out."""
    gallery = embedded(("q", "dress", (1, 0)), ("q", "dress", (1, 0)), ("s", "shirt", (1, 0.1)), ("d", "dress", (0, 1)))
    answers = retrieval.answer(embedded(("q", "dress", (1, 0))), gallery)
    assert gallery.items[answers.nearest[0]].label == "shirt"
    with pytest.raises(Poison, match=r"q\.jpg is the only photo"):
        retrieval.answer(embedded(("q", "dress", (1, 0))), embedded(("q", "dress", (1, 0))))


def test_first_and_ten_nearest_are_counted_apart() -> None:
    """One shirt is nearest, nine dresses follow: R@1 says shirt, the vote says dress."""
    gallery = embedded(("s", "shirt", (1, 0.01)), *((f"d{n}", "dress", (1, 0.02 + n / 1000)) for n in range(9)))
    queries = embedded(("q", "dress", (1, 0)), ("p", "hat", (1, 0)))
    found = retrieval.report(queries, gallery, retrieval.answer(queries, gallery), (), ())
    assert (found.r1, found.knn10, found.queries, found.unanswerable) == (0.0, 0.5, 2, 1)
    assert found.per_class == {"dress": 1.0, "hat": 0.0}


def named(shops: str, *ours: str, category: str = "shirt", is_: str = "shirt") -> colour.Named:
    colours = tuple(Colour(name, dict(PALETTE)[name], 0.5) for name in ours)
    return colour.Named(colour.Asked("1", "1.jpg", shops, category), (0, 0, 1, 1) if ours else None, is_, colours)


def test_colours_are_right_by_the_written_table() -> None:
    """A coarse word is true of its shades; a finer one is not true of the coarse colour."""
    found = colour.report(
        [named("Blue", "navy"), named("Navy Blue", "blue", "navy"), named("White", "light grey"), named("Red")],
        without_photo=2,
        refused=(),
        not_comparable=1,
    )
    assert (found.top1, found.top2, found.items) == (pytest.approx(1 / 3), pytest.approx(2 / 3), 3)
    assert (found.nothing_found, found.top1_of_all) == (1, 0.25)
    assert found.right_garment == 1.0


def test_the_table_of_colours_knows_only_our_names() -> None:
    ours = {name for name, _ in PALETTE}
    assert all(set(names) <= ours for names in RIGHT.values())
    assert right_names("Multi") == right_names("NA") == right_names("") == ()
    assert right_names("TURQUOISE") == ("turquoise",)


def test_a_product_of_an_unknown_colour_is_not_asked_for(tmp_path: object) -> None:
    with pytest.raises(Poison, match="baseColour"):
        colour.ask([{"id": 1, "baseColour": "Multi"}], _Shelf())  # type: ignore[arg-type]
    asked, missing, beyond = colour.ask(
        [{"id": 1, "baseColour": "Red", "articleType": "Tshirts"}, {"id": 2, "baseColour": "Red"}, {"id": 3}],
        _Shelf(),  # type: ignore[arg-type]
    )
    assert ([one.category for one in asked], missing, beyond) == (["shirt"], ["2"], 1)


class _Shelf:
    root = "shelf"

    def find(self, name: str) -> str | None:
        return "1.jpg" if name == "1" else None


def brands() -> tuple[str, str]:
    """One brand that asks and one that answers."""
    names = [f"brand {n}" for n in range(40)]
    return next(n for n in names if attributes.held_out(n)), next(n for n in names if not attributes.held_out(n))


def shop(confident: int, wrong: int) -> attributes.Embedded:
    """Queries at the same spot as six linen products; `wrong` of the queries are cotton in truth."""
    asks, answers = brands()
    made = [attributes.Product(f"g{n}", "", answers, "", {"fabric": "linen"}) for n in range(6)]
    made += [attributes.Product(f"q{n}", "", asks, "", {"fabric": "linen"}) for n in range(confident)]
    made += [attributes.Product(f"w{n}", "", asks, "", {"fabric": "cotton"}) for n in range(wrong)]
    return attributes.Embedded(tuple(made), np.tile(np.array([[1, 0]], np.float32), (len(made), 1)), 0)


def test_confidence_that_is_not_borne_out_costs_ece() -> None:
    """Every vote is sure of linen; a fifth of the truth is cotton: right .8, confidence 1, so ECE .2."""
    found = attributes.report(shop(8, 2), Calibration(), 0, (UnreadableInput("a", "b"),))
    assert found.fabric is not None
    assert (found.fabric.accuracy, found.fabric.unknown) == (pytest.approx(0.8), 0.0)
    assert found.fabric.ece == pytest.approx(0.2)
    assert found.fabric.confusion == {"linen": {"linen": 8}, "cotton": {"linen": 2}}
    assert found.gender is None


def test_where_too_few_neighbours_know_the_answer_is_unknown() -> None:
    found = attributes.report(shop(4, 0), Calibration(min_votes=7), 0, ())
    assert found.fabric is not None
    assert found.fabric.unknown == 1.0
    assert np.isnan(found.fabric.accuracy)


def test_brands_do_not_vote_on_themselves() -> None:
    """Without another brand there is nothing to vote with."""
    asks, _ = brands()
    rows = [{"id": 1, "brandName": asks, "gender": "Women"}]
    with pytest.raises(Poison, match="brandName"):
        attributes.products_of(rows, _Shelf())  # type: ignore[arg-type]


def test_intervals() -> None:
    """Certain when nothing varies, wide when much does, empty of nothing, the same each time."""
    assert of_mean([1.0] * 50) == (1.0, 1.0)
    low, high = of_mean([0.0, 1.0] * 50)
    assert 0.38 < low < 0.45 < 0.55 < high < 0.62
    assert of_mean([0.0, 1.0] * 50) == (low, high)
    assert all(np.isnan(of_mean([])))
    assert all(np.isnan(resampled(3, lambda _counts: float("nan"))))
