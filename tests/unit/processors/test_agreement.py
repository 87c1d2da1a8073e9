"""Several photos, one pack: who is sold, what counts where photos differ, and what is no garment."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from processors import evidence
from processors.agreement import Shot, agree, main_photo
from processors.values import Attribute, Box, Colour, Garment

FULL: Box = (10.0, 10.0, 90.0, 190.0)
HALF: Box = (20.0, 10.0, 80.0, 90.0)
SMALL: Box = (40.0, 170.0, 60.0, 190.0)


def garment(
    category: str, box: Box = FULL, confidence: float = 0.9, colour: str = "navy", **attributes: str
) -> Garment:
    found = {facet: Attribute(value, confidence, source="pixels") for facet, value in attributes.items()}
    colours = (Colour(colour, "#000000", 0.8),) if colour else ()
    return Garment("", category, box, confidence, colours, found)


def shot(role: str, *garments: Garment, name: str = "") -> Shot:
    named = evidence.build(garments).garments
    return Shot(f"images/{name or role}.jpg", role, 100, 200, named)


def sold(*shots: Shot, stated: str = "") -> str:
    agreed = agree(shots, stated)
    return next((g.category for g in agreed.garments if g.id == agreed.sold), "")


def test_what_all_photos_show_is_sold() -> None:
    """The trousers are the largest on the model, the shirt is in every photo."""
    model = shot("model", garment("pants"), garment("shirt", HALF))
    assert sold(model) == "pants"
    assert sold(model, shot("front", garment("shirt", HALF))) == "shirt"


def test_a_packshot_shows_what_is_sold() -> None:
    """One against two photos of a person whose shoes are small."""
    worn = [shot("model", garment("dress"), garment("shoe", SMALL), name=f"m{n}") for n in range(2)]
    assert sold(*worn) == "dress"
    assert sold(*worn, shot("packshot", garment("shoe"))) == "shoe"


def test_the_shops_category_counts_where_a_photo_shows_it() -> None:
    """A category that no photo shows, or that names no class, decides nothing."""
    worn = [shot("model", garment("dress"), garment("shoe", SMALL), name=f"m{n}") for n in range(3)]
    assert sold(*worn, stated="Shoes") == "shoe"
    assert sold(*worn, stated="Hats") == "dress"
    assert sold(*worn, stated="Apparel") == "dress"


@pytest.mark.parametrize("role", ["detail", "swatch"])
def test_details_and_swatches_are_no_garments(role: str) -> None:
    """A sleeve that was taken for trousers has no vote and no place in the pack."""
    other = shot(role, garment("pants", confidence=0.99))
    agreed = agree([other, shot("front", garment("shirt", HALF)), other])
    assert [g.category for g in agreed.garments] == ["shirt"]
    assert (agreed.main, agreed.disputes) == (1, ())
    assert agree([other]).garments == ()


def test_votes_settle_what_photos_show_differently_and_are_kept() -> None:
    """Two of three say navy; the facet of one each goes to the surer. All ballots are told."""
    shots = [
        shot("front", garment("dress", colour="black", confidence=0.95, pattern="solid")),
        shot("back", garment("dress", colour="navy", confidence=0.7)),
        shot("model", garment("dress", colour="navy", confidence=0.6, pattern="striped")),
    ]
    agreed = agree(shots)
    [dress] = agreed.garments
    assert dress.colours[0].name == "navy"
    assert dress.attributes["pattern"].value == "solid"
    told = {d.facet: (d.garment, d.value, [(b.photo, b.value) for b in d.ballots]) for d in agreed.disputes}
    assert told == {
        "colour": ("g0", "navy", [(0, "black"), (1, "navy"), (2, "navy")]),
        "pattern": ("g0", "solid", [(0, "solid"), (2, "striped")]),
    }


def test_a_photo_that_takes_the_garment_for_another_is_told() -> None:
    """Two see a dress, one a skirt."""
    shots = [shot("front", garment("dress")), shot("back", garment("dress")), shot("model", garment("skirt"))]
    [dispute] = agree(shots).disputes
    assert (dispute.facet, dispute.value, [b.value for b in dispute.ballots]) == (
        "category",
        "dress",
        ["dress", "dress", "skirt"],
    )


def test_what_it_is_worn_with_must_be_in_half_of_the_photos() -> None:
    """A hat in one of three is the photographer's; packshots do not count among them."""
    with_hat = shot("model", garment("dress"), garment("hat", SMALL), name="m0")
    plain = [shot("model", garment("dress"), name=f"m{n}") for n in (1, 2)]
    assert [g.category for g in agree([with_hat, plain[0]]).garments] == ["dress", "hat"]
    assert [g.category for g in agree([with_hat, *plain]).garments] == ["dress"]
    packshots = [shot("packshot", garment("dress"), name=f"p{n}") for n in range(3)]
    assert [g.category for g in agree([with_hat, *packshots]).garments] == ["dress", "hat"]


def test_boxes_name_the_photo_that_they_lie_in() -> None:
    """Those of the main photo do not."""
    shots = [shot("main", garment("hat", SMALL)), shot("model", garment("dress"), garment("hat", SMALL, 0.8))]
    agreed = agree(shots, "dress")
    assert {g.category: g.photo for g in agreed.garments} == {"dress": "images/model.jpg", "hat": msgspec.UNSET}


def test_names_are_those_that_evidence_would_give() -> None:
    """The caption role builds its pack anew: ids must stay."""
    shots = [
        shot("model", garment("dress", confidence=0.7), garment("bag", SMALL, 0.9), garment("shoe", HALF, 0.8)),
        shot("front", garment("dress", confidence=0.95), garment("bag", HALF, 0.6)),
    ]
    agreed = agree(shots)
    assert evidence.build(agreed.garments).garments == agreed.garments


def test_the_order_of_photos_changes_no_verdict() -> None:
    """Only which photo stands for the product."""
    shots = [
        shot("model", garment("pants"), garment("shirt", HALF, colour="white")),
        shot("front", garment("shirt", HALF, 0.7)),
        shot("packshot", garment("shirt", HALF, 0.8)),
        shot("detail", garment("hat")),
    ]
    verdicts = set()
    for order in itertools.permutations(shots):
        agreed = agree(order)
        [main] = [g for g in agreed.garments if g.id == agreed.sold]
        verdicts.add((main.category, main.colours[0].name, main.confidence))
    assert verdicts == {("shirt", "navy", 0.9)}


@pytest.mark.parametrize(
    ("roles", "main"), [(["", ""], 0), (["detail", "back"], 1), (["back", "main"], 1), (["swatch", "detail"], 0)]
)
def test_the_photo_that_stands_for_the_product(roles: list[str], main: int) -> None:
    """The one called main, else the first that shows a garment."""
    assert main_photo(roles) == main
