"""Two products never have one key, whoever chose their ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import Code, Poison
from processors.identity import MAX_SHOP_BYTES, checked_shop, key_of, shop_of, split

IDS = st.text(alphabet="/%2F5a \x1f", min_size=1, max_size=12)
SHOPS = st.text(alphabet="/%2F5a", max_size=6)


@given(SHOPS, IDS)
def test_a_key_says_shop_and_id(shop: str, product_id: str) -> None:
    """There and back, for any characters."""
    assert split(key_of(shop, product_id)) == (shop, product_id)
    assert shop_of(key_of(shop, product_id)) == shop


@given(SHOPS, IDS, SHOPS, IDS)
def test_no_id_spells_another_products_key(shop: str, product_id: str, other: str, other_id: str) -> None:
    """Equal keys are the same product."""
    assert (key_of(shop, product_id) == key_of(other, other_id)) == ((shop, product_id) == (other, other_id))


def test_without_a_shop_everything_is_as_it_was() -> None:
    """The id is the key; also of ids that look like paths, and of what no key of ours looks like."""
    for product_id in ("sku-1", "a/b.jpg", "/a", "ärmel"):
        assert key_of("", product_id) == product_id
        assert split(product_id) == ("", product_id)
    assert split("//nothing-behind") == ("", "//nothing-behind")
    assert split("///x") == ("", "///x")
    assert key_of("acme", "sku-1") == "//acme/sku-1"
    assert key_of("a/b%", "x/y") == "//a%2Fb%25/x/y"


@pytest.mark.parametrize("shop", ["", "x" * (MAX_SHOP_BYTES + 1), "a\nb", " a", "a ", "\x1f"])
def test_a_shop_that_nobody_can_read_is_refused(shop: str) -> None:
    """The error names the field."""
    with pytest.raises(Poison) as refused:
        checked_shop(shop)
    assert (refused.value.field, refused.value.code) == ("shop", Code.OUT_OF_RANGE)
    assert checked_shop(None) == ""
    assert checked_shop("Läden & Söhne / 2") == "Läden & Söhne / 2"
