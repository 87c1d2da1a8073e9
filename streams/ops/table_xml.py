"""Product feeds in XML (Google Merchant's RSS 2.0 and Atom forms, and whatever repeats one element a product) → cells by column."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from processors.errors import Code, Poison

_PRODUCTS = frozenset({"item", "entry", "product"})
_DECLARES = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_CHUNK = 2**16


def read_items(data: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """(number from 1, cells by column) of every product; an element that is there again is numbered ("image 2").

    Elements within elements (shipping, tax) belong to no column: their prices are not the product's.

    Raises:
        Poison: no XML, none of a product feed, or one with declarations of its own (they may unfold without end).
    """
    if _DECLARES.search(data):
        raise Poison("is XML with a DOCTYPE of its own, which is not read", code=Code.MALFORMED)
    parser: Any = XMLPullParser(["end"])
    number = 0
    try:
        for start in range(0, len(data), _CHUNK):
            parser.feed(data[start : start + _CHUNK])
            for _, element in parser.read_events():
                if _name(element) in _PRODUCTS:
                    number += 1
                    yield number, _cells(element)
                    element.clear()  # a feed of gigabytes is held one product at a time
        parser.close()
    except (ParseError, LookupError, ValueError) as error:  # an encoding that nobody knows is a LookupError
        raise Poison(f"is no XML: {error}", code=Code.MALFORMED) from None
    if number == 0:
        raise Poison("holds no product: no element is called item, entry or product", code=Code.MISSING_FIELD)


def _cells(product: Element) -> dict[str, str]:
    cells: dict[str, str] = {}
    for element in product:
        if len(element):
            continue
        name = _name(element)
        # Atom's own links are addresses in an attribute: <link href="…">.
        text = (element.text or element.get("href") or "").strip()
        column = next(c for n in range(1, len(product) + 2) if (c := name if n == 1 else f"{name} {n}") not in cells)
        cells[column] = text
    return cells


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()
