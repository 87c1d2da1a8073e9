"""Kinds of garments, as shops call them and as sentences name them."""

from __future__ import annotations

import pytest

from processors.kinds import KINDS, claims_of, kind_label, noun_of, one_of
from processors.vocabulary import base_forms, clean


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Tshirts", "t-shirt"),
        ("T-Shirt", "t-shirt"),
        ("Shirts", "shirt"),
        ("Handbags", "bag"),
        ("Casual Shoes", "casual shoes"),
        ("Kurtas", "kurtas"),
        ("", ""),
    ],
)
def test_a_shops_label_is_mapped_or_stays_its_own(said: str, kind: str) -> None:
    """Only what means the same is mapped: "Casual Shoes" are no sneakers."""
    assert kind_label(said) == kind


def test_a_noun_claims_something() -> None:
    """Where a kind has a noun, the verifier knows what it claims; a kind without one is called by its category."""
    for kind in (*KINDS, "kurtas", "watches"):
        if noun := noun_of(kind):
            assert any(facet == "category" for facet, _ in base_forms()[clean(noun)])
    assert noun_of("kurtas") == "kurta"
    assert noun_of("jeans") == "jeans"
    assert noun_of("casual shoes") == ""


def test_jeans_are_denim_pants() -> None:
    """What a kind implies, a caption may say."""
    assert dict(claims_of("jeans")) == {"category": ("pants",), "fabric": ("denim",)}
    assert claims_of("lounge thing") == ()


def test_many_of_an_unlisted_kind_are_named_as_one() -> None:
    """Kinds that Weft knows keep their name ("jeans"), and so does what is no plural."""
    named = {
        "kurtas": "kurta",
        "flip flops": "flip flop",
        "kimono dresses": "kimono dress",
        "bodies": "body",
        "boxes": "box",
    }
    assert {kind: one_of(kind) for kind in named} == named
    for kind in (*KINDS, "kurta", "sundress", "ao dai s", "gis", ""):
        assert one_of(kind) == kind
