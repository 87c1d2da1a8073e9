"""The catalogue: every category, plausible gaps, true words."""

from __future__ import annotations

from functools import cache

import numpy as np

from processors.drawn import Product, catalogue, draw_product
from processors.values import CATEGORIES


@cache
def _all() -> tuple[Product, ...]:
    return tuple(catalogue(1, 200, size=64))


def _some(n: int = 100) -> tuple[Product, ...]:
    """The first of them: a catalogue does not depend on how many are asked for."""
    return _all()[:n]


def test_the_garment_that_is_sold_comes_first():
    """The metadata speak of scene.garments[0], which is in the picture."""
    for product in _some():
        main = product.scene.garments[0].spec
        assert product.metadata["category"] == main.category
        assert product.metadata.get("fabric", main.fabric) == main.fabric
        assert product.metadata.get("gender", main.gender) == main.gender
        assert main.colour in str(product.metadata["title"]).lower()


def test_every_category_occurs_and_ids_are_unique():
    """Ten products in a row show all ten categories."""
    products = _some(10)
    assert {p.metadata["category"] for p in products} == set(CATEGORIES)
    assert len({p.product_id for p in products}) == 10


def test_a_quarter_has_gaps():
    """About 25 % lack fabric, gender or description; sunglasses never have a fabric."""
    products = [p for p in _some(200) if p.metadata["category"] != "sunglass"]
    gaps = np.mean([not {"fabric", "gender", "description"} <= set(p.metadata) for p in products])
    assert 0.15 < gaps < 0.35


def test_a_third_shows_company():
    """Some 30 % of the scenes hold more than the garment that is sold."""
    share = np.mean([len(p.scene.garments) > 1 for p in _some(200)])
    assert 0.18 < share < 0.4


def test_copy_is_two_to_four_sentences_and_prices_are_prices():
    """Shop copy has two to four sentences; a price is a positive number of euros."""
    for seed in range(40):
        said = draw_product(seed, size=64).metadata
        assert 2 <= str(said["description"]).count(".") <= 5
        price = said["price"]
        assert isinstance(price, float)
        assert 5 < price < 400


def test_the_catalogue_repeats_itself():
    """The same seed gives the same products; another seed other ones."""
    first, again, other = (next(iter(catalogue(s, 1, size=64))) for s in (4, 4, 5))
    assert first.metadata == again.metadata
    assert np.array_equal(first.pixels, again.pixels)
    assert first.product_id != other.product_id
