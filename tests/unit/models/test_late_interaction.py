"""The contract of a head of the second stage, and what late interaction makes of views and facets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.composers.late_interaction import LateInteraction, Weights, garment_of
from models.ports import Reranker, SecondLook, Several
from processors.composing import UNKNOWN

NAVY = {"colour": {"navy": 1.0, "blue": 0.5, UNKNOWN: 0.4}}


def towards(*numbers: float) -> NDArray[np.float32]:
    vector = np.array(numbers, np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


X, Y, Z = towards(1, 0, 0), towards(0, 1, 0), towards(0, 0, 1)


def product(
    whole: NDArray[np.float32], *garments: tuple[str, NDArray[np.float32]], **chances: dict[str, float]
) -> Several:
    views = ("whole", *(f"g{n}" for n in range(len(garments))))
    return Several(views, ("", *(name for name, _ in garments)), np.stack([whole, *(v for _, v in garments)]), chances)


def asked(reference: Several | None, first: int = 2, blocks: dict[str, dict[str, float]] | None = None) -> SecondLook:
    return SecondLook(np.arange(first, 0, -1, dtype=np.float32), X, 1.0, (), blocks or {}, reference)


def make() -> Reranker:
    return LateInteraction()


def test_without_the_reference_the_first_order_stays() -> None:
    """A photo from outside has no views in the index."""
    query = asked(None)
    assert make().scores(query, [product(Y), product(X)]).tolist() == query.first.tolist()


def test_the_garment_is_compared_with_the_garment() -> None:
    """Of two whole photos that are alike the one whose garment is the reference's comes first, wherever it lies among the views."""
    dress = {"category": {"dress": 0.9, "bag": 0.1}}
    reference = product(X, ("bag", Y), ("dress", Z), **dress)
    same, other = product(X, ("dress", Z), ("bag", X), **dress), product(X, ("dress", Y), ("bag", Z), **dress)
    found = make().scores(asked(reference), [other, same])
    assert found[1] > found[0]
    assert found[1] - found[0] == pytest.approx(Weights().garment)


def test_the_garment_is_of_the_category_that_it_probably_is() -> None:
    """Else the first; a product of which no garment was found is its photo."""
    assert garment_of(product(X, ("bag", Y), ("dress", Z), category={"dress": 0.6, "bag": 0.4})) is not None
    assert garment_of(product(X, ("bag", Y), ("dress", Z), category={"dress": 0.6, "bag": 0.4})).tolist() == Z.tolist()
    assert garment_of(product(X, ("bag", Y), ("shoe", Z), category={"dress": 1.0})).tolist() == Y.tolist()
    assert garment_of(product(X)).tolist() == X.tolist()


def test_a_wish_that_is_missed_is_not_made_up_for() -> None:
    """By the sum both are alike: one has half of both facets, the other all of one and nothing of the other."""
    blocks = {"colour": {"navy": 1.0}, "sleeve": {"long": 1.0}}
    half = product(X, colour={"navy": 0.25}, sleeve={"long": 0.25})
    one = product(X, colour={"navy": 1.0}, sleeve={"short": 1.0})
    found = make().scores(asked(product(X), blocks=blocks), [one, half])
    assert found[1] > found[0]


def test_what_is_refused_stays_behind() -> None:
    """However alike it is: a refusal counts as it did in the first stage."""
    blocks = {"colour": {"red": -40.0, UNKNOWN: -8.0}}
    reference = product(X, ("dress", X))
    red, blue = product(X, ("dress", X), colour={"red": 1.0}), product(Y, ("dress", Y), colour={"blue": 1.0})
    unknown = product(Y, ("dress", Y))
    found = make().scores(asked(reference, 3, blocks), [red, blue, unknown])
    assert found[1] > found[2] > found[0]
    # "navy, not red": both of one facet.
    both = {"colour": {"navy": 1.0, "red": -40.0, UNKNOWN: 0.4}}
    found = make().scores(asked(reference, 2, both), [red, blue])
    assert found[1] > found[0]


def test_a_facet_that_is_met_in_full_costs_nothing() -> None:
    """An unknown one costs less than one that is surely otherwise, as the query's weights say."""
    full, unknown, none = (
        float(make().scores(asked(product(X), 1, NAVY), [one])[0])
        for one in (product(X, colour={"navy": 1.0}), product(X), product(X, colour={"red": 1.0}))
    )
    base = float(make().scores(asked(product(X), 1), [product(X)])[0])
    assert full == pytest.approx(base, abs=1e-5)
    assert full > unknown > none


@given(
    st.lists(
        st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 0.01), min_size=3, max_size=3), min_size=1, max_size=8
    ),
    st.dictionaries(st.sampled_from(["navy", "red", "blue"]), st.floats(0, 1), max_size=3),
    st.randoms(),
)
def test_scores_are_of_each_product_alone(
    vectors: list[list[float]], chances: dict[str, float], random: object
) -> None:
    """Finite, one a product, and the same whoever stands beside it and in whatever order."""
    products = [product(towards(*one), colour=chances) for one in vectors]
    query = asked(product(X, colour={"navy": 1.0}), len(products), NAVY)
    found = make().scores(query, products)
    assert found.shape == (len(products),)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    for number, one in enumerate(products):
        alone = make().scores(replace(query, first=query.first[:1]), [one])
        assert alone[0] == pytest.approx(found[number], abs=1e-6)


def test_other_weights_are_another_head() -> None:
    """Orders of two heads are never taken for one another's."""
    assert LateInteraction().fingerprint == LateInteraction(Weights()).fingerprint
    assert LateInteraction(Weights(garment=0.0)).fingerprint != LateInteraction().fingerprint
