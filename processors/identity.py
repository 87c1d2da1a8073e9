"""What a product is called inside: its shop and its id as one key, which is the record's key on Kafka, too.

A product of no shop has its id as its key, as always. One of a shop has `//SHOP/ID`, in which `%` and `/` of the shop are
written `%25` and `%2F`. An id that begins with `//` itself gets the empty shop in front (`///` and the id), so that no id of
anybody can spell another's key.
"""

from __future__ import annotations

from processors.errors import Code, Poison

MAX_SHOP_BYTES = 128
_MARK = "//"


def key_of(shop: str, product_id: str) -> str:
    """The key of a product; `shop`: "" where it has none."""
    if not shop and not product_id.startswith(_MARK):
        return product_id
    return f"{_MARK}{shop.replace('%', '%25').replace('/', '%2F')}/{product_id}"


def split(key: str) -> tuple[str, str]:
    """Shop ("" for none) and id. What is no key that `key_of` gives is the id of a product of no shop."""
    if not key.startswith(_MARK):
        return "", key
    shop, _, product_id = key[len(_MARK) :].partition("/")
    if not product_id or not (shop or product_id.startswith(_MARK)):
        return "", key
    return shop.replace("%2F", "/").replace("%25", "%"), product_id


def shop_of(key: str) -> str:
    """The shop of a product; "" for none."""
    return split(key)[0] if key.startswith(_MARK) else ""


def checked_shop(shop: str | None, field: str = "shop") -> str:
    """The shop as it was given; "" where it is not set.

    Raises:
        Poison: it is empty, too long, or holds what cannot be printed.
    """
    if shop is None:
        return ""
    if not 0 < len(shop.encode(errors="replace")) <= MAX_SHOP_BYTES:
        raise Poison(f"is empty or longer than {MAX_SHOP_BYTES} bytes", field=field, code=Code.OUT_OF_RANGE)
    if not shop.isprintable() or shop != shop.strip():
        raise Poison(
            "holds what cannot be printed, or begins or ends with a blank", field=field, code=Code.OUT_OF_RANGE
        )
    return shop
