"""Price, stock, sizes and launch day: what a shop may send, what a filter may ask, and what words mean."""

from __future__ import annotations

import pytest

from processors.conditions import Condition, meets, parted, told, within
from processors.errors import Code, Poison
from processors.offers import Offer, offer_of, size_key, take_offer
from processors.query_words import compared, read
from processors.values import Metadata


@pytest.mark.parametrize(
    ("given", "offer"),
    [
        ({"sale_price": 39, "currency": "eur", "in_stock": True}, Offer(None, 39.0, "EUR", True)),
        ({"sizes": ["S", "M", "S"], "launched": "2026-03-01"}, Offer(sizes=("S", "M"), launched="2026-03-01")),
        ({"size": "S, M;L", "stock": 3}, Offer(sizes=("S", "M", "L"), in_stock=True)),
        ({"stock": "-2"}, Offer(in_stock=False)),
        ({"stock": "4.0"}, Offer(in_stock=True)),
        ({"sizes": [38, 38.5], "availability": "out of stock"}, Offer(sizes=("38", "38.5"), in_stock=False)),
        ({"launched": "2026-03-01T23:30:00-05:00", "stock": 0}, Offer(launched="2026-03-02", in_stock=False)),
        ({"sale_price": "19.90", "in_stock": "yes", "currency": "€"}, Offer(None, 19.9, "EUR", True)),
    ],
)
def test_a_column_is_read_in_the_forms_that_shops_send(given, offer):
    """Types as they are, and the plain texts of tables; what was read is no facet any more."""
    left = dict(given)
    assert take_offer(left) == offer
    assert left == {}


@pytest.mark.parametrize("name", ["sale_price", "currency", "in_stock", "sizes", "launched"])
def test_text_that_says_nothing_of_a_column_stays_a_facet(name):
    """Shops sent any text under these names before there were columns; it is a filter as it was."""
    given = {name: "is told elsewhere " * 20}
    assert take_offer(given) == Offer()
    assert name in given


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"sale_price": True}, "metadata.sale_price"),
        ({"sale_price": -1}, "metadata.sale_price"),
        ({"sale_price": 10**400}, "metadata.sale_price"),
        ({"currency": 978}, "metadata.currency"),
        ({"in_stock": []}, "metadata.in_stock"),
        ({"sizes": {"S": 1}}, "metadata.sizes"),
        ({"sizes": [True]}, "metadata.sizes"),
        ({"size": ["x" * 65]}, "metadata.size"),
        ({"sizes": [str(n) for n in range(201)]}, "metadata.sizes"),
        ({"launched": 20260301}, "metadata.launched"),
    ],
)
def test_a_wrong_column_is_refused_by_its_name(given, field):
    """Never guessed: a price of true is no price."""
    with pytest.raises(Poison) as refused:
        take_offer(given)
    assert refused.value.field == field


def test_items_of_before_the_columns_have_those_that_their_facets_tell():
    """A size that lay among the facets is a size; what the metadata's own columns say wins."""
    old = Metadata(price=10.0, facets={"size": "M", "in_stock": "no", "colour": "red"})
    assert offer_of(old) == Offer(10.0, in_stock=False, sizes=("M",))
    assert offer_of(Metadata(sizes=("S",), facets={"size": "M"})).sizes == ("S",)


def test_the_sale_price_is_what_a_filter_on_the_price_sees():
    """49 was 80: it is under 50; its own column knows only what is on sale."""
    _, (under,) = parted({"price": {"lt": 50}})
    assert meets(Offer(price=80.0, sale_price=49.0), under)
    assert not meets(Offer(price=80.0), under)
    _, (on_sale,) = parted({"sale_price": {"gte": 0}})
    assert not meets(Offer(price=80.0), on_sale)


@pytest.mark.parametrize(
    ("filters", "offer", "found"),
    [
        ({"size": ["medium"]}, Offer(sizes=("M",)), True),
        ({"Sizes": ["2XL"]}, Offer(sizes=("XXL",)), True),
        ({"size": [38]}, Offer(sizes=("38",)), True),
        ({"in_stock": [True]}, Offer(), False),
        ({"in_stock": ["in stock"]}, Offer(in_stock=True), True),
        ({"stock": False}, Offer(in_stock=False), True),
        ({"launched": {"gte": "2026-03-01"}}, Offer(launched="2026-03-01"), True),
        ({"launched": {"lt": "2026-03-01T10:00:00Z"}}, Offer(launched="2026-03-01"), False),
        ({"currency": ["€"]}, Offer(currency="EUR"), True),
        ({"price": ["19.90", 20]}, Offer(price=19.9), True),
        ({"price": {"gte": 10, "lte": 20}}, Offer(price=20.0), True),
        ({"price": {}}, Offer(), True),
        ({"price": None, "size": []}, Offer(), True),
    ],
)
def test_filters_of_columns(filters, offer, found):
    """Spellings, sets and bounds; a product that does not know the column is not found, null and {} restrict nothing."""
    _, conditions = parted(filters)
    assert all(meets(offer, one) for one in conditions) == found


@pytest.mark.parametrize(
    ("filters", "field", "code", "words"),
    [
        ({"price": {"le": 50}}, "filters.price", Code.UNKNOWN_NAME, "no 'le'"),
        ({"price": {"lte": "cheap"}}, "filters.price", Code.WRONG_TYPE, "expected a number"),
        ({"price": {"lte": True}}, "filters.price", Code.WRONG_TYPE, "expected a number"),
        ({"price": {"gte": 60, "lte": 50}}, "filters.price", Code.OUT_OF_RANGE, "above its upper one"),
        ({"price": [{"lte": 3}]}, "filters.price", Code.WRONG_TYPE, "expected a number"),
        ({"price": {"lte": 1e400}}, "filters.price", Code.OUT_OF_RANGE, "not finite"),
        ({"size": {"gte": "M"}}, "filters.size", Code.WRONG_TYPE, "no range"),
        ({"colour": {"lte": 3}}, "filters.colour", Code.WRONG_TYPE, "list of words"),
        ({"in_stock": ["perhaps"]}, "filters.in_stock", Code.WRONG_TYPE, "true or false"),
        ({"launched": {"gte": "last week"}}, "filters.launched", Code.WRONG_TYPE, "YYYY-MM-DD"),
        ({"currency": ["money"]}, "filters.currency", Code.WRONG_TYPE, "a currency"),
        ({"colour": "red"}, "filters.colour", Code.WRONG_TYPE, "list of words"),
    ],
)
def test_a_wrong_filter_is_refused_by_its_name(filters, field, code, words):
    """The field, a code, and what it takes instead."""
    with pytest.raises(Poison) as refused:
        parted(filters)
    assert (refused.value.field, refused.value.code) == (field, code)
    assert words in refused.value.message


def test_free_attributes_that_are_numbers_are_asked_for_as_words():
    """{"heel": [7.5], "vegan": [true]} on facets of the shop's own."""
    assert parted({"heel": [7.5, 8], "vegan": [True]})[0] == {"heel": ("7.5", "8"), "vegan": ("true",)}


@pytest.mark.parametrize(
    ("text", "left", "filters"),
    [
        ("a linen dress under 50", "a linen dress", {"price": {"lt": 50}}),
        ("red dress below €49.90", "red dress", {"price": {"lt": 49.9}, "currency": ["EUR"]}),
        ("dress up to 1,200 pounds in stock", "dress", {"price": {"lte": 1200}, "currency": ["GBP"], "in_stock": [True]}),
        ("boots between 50 and 80", "boots", {"price": {"gte": 50, "lte": 80}}),
        ("boots $20-$40", "boots", {"price": {"gte": 20, "lte": 40}}),
        ("bags over 100", "bags", {"price": {"gt": 100}}),
        ("at least 30 euros, in wool", ", in wool", {"price": {"gte": 30}, "currency": ["EUR"]}),
        ("shirt in M", "shirt", {"size": ["M"]}),
        ("shirt in size m or L", "shirt", {"size": ["M", "L"]}),
        ("shoes in 38", "shoes", {"size": ["38"]}),
        ("shirt, size XL, under 30", "shirt, ,", {"price": {"lt": 30}, "size": ["XL"]}),
        ("jeans in xxl", "jeans", {"size": ["XXL"]}),
        ("a dress in navy", "a dress in navy", {}),
        ("trousers under 50 cm", "trousers under 50 cm", {}),
        ("less than 50% cotton", "less than 50% cotton", {}),
        ("a 50s dress", "a 50s dress", {}),
        ("from red to blue", "from red to blue", {}),
        ("M in s", "M in s", {}),
        ("dress not under 50", "dress", {"price": {"gte": 50}}),
        ("no less than 50 €", "", {"price": {"gte": 50}, "currency": ["EUR"]}),
        ("nothing over 80", "", {"price": {"lte": 80}}),
        ("not in stock", "not in stock", {}),
        ("dresses that are not in stock", "dresses that are not in stock", {}),
        ("shirt, not in M", "shirt, not in M", {}),
        ("shirt not in size M", "shirt not in size M", {}),
        ("dress < 50", "dress", {"price": {"lt": 50}}),
        ("dress >= 20 €", "dress", {"price": {"gte": 20}, "currency": ["EUR"]}),
        ("coats below 1.299,50 €", "coats", {"price": {"lt": 1299.5}, "currency": ["EUR"]}),
        ("coats under 1.299", "coats", {"price": {"lt": 1299}}),
    ],
)  # fmt: skip
def test_words_that_ask_for_a_price_or_a_size(text, left, filters):
    """Taken out of the text, told as filters; lengths, shares and decades are none."""
    words = read(text)
    assert words.text == left
    assert {one.column: told(one) for one in words.conditions} == filters
    assert all(one.lenient for one in words.conditions)


def test_what_words_ask_for_spares_products_that_do_not_know_the_column():
    """ "Under 50" leaves out what costs more, and not what has no price."""
    (under,) = read("dress under 50").conditions
    assert [meets(Offer(price=price), under) for price in (49.0, 50.0, None)] == [True, False, True]


def test_sizes_have_one_spelling():
    """As they are compared, on both sides."""
    assert [size_key(size) for size in ("Medium", "m", "X-Large", "3xl", " One  Size ")] == [
        "m", "m", "xl", "xxxl", "one size",
    ]  # fmt: skip
    assert Condition("size", words=("m",)) == parted({"size": ["M"]})[1][0]


@pytest.mark.parametrize(
    ("text", "rest", "bounds"),
    [
        ("the same but cheaper", "the same but", {"lt": 50.0}),
        ("something less expensive than this, in red", "something , in red", {"lt": 50.0}),
        ("not that expensive", "", {"lt": 50.0}),
        ("more expensive please", "please", {"gt": 50.0}),
        ("not cheaper", "not cheaper", None),
        ("nothing more expensive", "nothing more expensive", None),
        ("cheaper than 40", "cheaper than 40", None),
        ("in red", "in red", None),
    ],
)
def test_cheaper_is_read_beside_a_price(text: str, rest: str, bounds: dict[str, float] | None) -> None:
    """What denies it, or names a price itself, is another matter."""
    found = compared(text, 50.0)
    assert found.text == rest
    assert found.conditions == (() if bounds is None else (within("price", bounds),))
    if bounds is not None:
        assert compared(text, 50.0, "EUR").conditions[1].words == ("EUR",)
