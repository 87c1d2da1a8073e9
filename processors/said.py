"""The shop's own words beside the facets that Weft knows: group, category path, tags, and whatever else it sends.

What is no string stays with the product as it came, within limits, and comes out again on its item and its hits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from processors.errors import Code, Poison
from processors.garments import kind_of
from processors.values import Metadata
from processors.vocabulary import clean

MAX_GROUP_BYTES = 512
MAX_LISTED = 100
MAX_WORD = 128
MAX_MORE_BYTES = 16_384
"""Of all that is no string, together, in MessagePack."""
MAX_DEPTH = 8
SHOWN_TEXT = 1_000
"""Characters of a text up to which a hit shows it: the index keeps no descriptions."""

_GROUP_NAMES = ("group_id", "item_group_id")
_PATH_NAMES = ("category_path",)
_TAG_NAMES = ("tags",)
_LIST = (list, tuple)


def take_group(given: dict[str, Any], stated: str | None = None) -> str:
    """The style of a product: what its upload states, else its metadata. Raises `Poison`."""
    found = [(f"metadata.{name}", given.pop(name)) for name in _GROUP_NAMES if name in given]
    if stated is not None:
        found.insert(0, ("group_id", stated))
    for field, value in found:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # noqa: PLW2901 - shops number their styles
        if not isinstance(value, str):
            raise Poison(f"expected a string, got {type(value).__name__}", field=field, code=Code.WRONG_TYPE)
        if len(value.encode()) > MAX_GROUP_BYTES:
            raise Poison(f"is longer than {MAX_GROUP_BYTES} bytes", field=field, code=Code.OUT_OF_RANGE)
        if value.strip():
            return value.strip()
    return ""


def take_path(given: dict[str, Any], category: str = "") -> tuple[str, ...]:
    """The categories of a product from the widest to the narrowest: a list, or "Women > Dresses". Raises `Poison`."""
    path = _taken(given, _PATH_NAMES, ">")
    return path or (_words(category.split(">")) if ">" in category else ())


def category_in(path: tuple[str, ...]) -> str:
    """The category of a path, where nothing else states one: the narrowest that names a garment, else the last."""
    return next((node for node in reversed(path) if kind_of(node)), path[-1] if path else "")


def take_tags(given: dict[str, Any]) -> tuple[str, ...]:
    """The tags of a product: a list, or words between commas. Raises `Poison`."""
    return _taken(given, _TAG_NAMES, ",")


def check_more(more: Mapping[str, Any]) -> None:
    """Refuse what cannot stay with a product.

    Raises:
        Poison: too deep, too large together, or a number that no record holds; names the field.
    """
    for name, value in more.items():
        if _too_deep(value, MAX_DEPTH):
            raise Poison(f"is nested deeper than {MAX_DEPTH}", field=f"metadata.{name}", code=Code.OUT_OF_RANGE)
        try:
            msgspec.msgpack.encode(value)
        except (OverflowError, TypeError, ValueError):
            raise Poison("holds a number that is too large", field=f"metadata.{name}", code=Code.OUT_OF_RANGE) from None
    if more and len(msgspec.msgpack.encode(more)) > MAX_MORE_BYTES:
        raise Poison(
            f"what is no string has more than {MAX_MORE_BYTES} bytes together", field="metadata", code=Code.OUT_OF_RANGE
        )


def words_of(value: object) -> tuple[str, ...]:
    """What a filter may ask of a value that is no string: the words of a list, a number, true and false; () of the rest."""
    if isinstance(value, _LIST):
        return tuple(word for one in value[:MAX_LISTED] for word in words_of(one) if not isinstance(one, _LIST))
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, int | float):
        return (f"{value:g}",)
    return (value[:MAX_WORD],) if isinstance(value, str) and value.strip() else ()


def evidence_of(metadata: Metadata) -> dict[str, tuple[str, ...]]:
    """The shop's own words of a product that its caption's evidence shows: brand, collection, category path, tags."""
    collection = next((value for name, value in metadata.facets.items() if clean(name) == "collection"), "")
    found = {
        "brand": (metadata.brand,) if metadata.brand else (),
        "collection": (collection,) if collection else (),
        "category_path": metadata.category_path,
        "tags": metadata.tags,
    }
    return {name: words for name, words in found.items() if words}


def paths_in(path: Iterable[str]) -> tuple[str, ...]:
    """What a filter on the category path finds a product by: each category, and each way to it ("women > dresses")."""
    found: dict[str, None] = {}
    way: list[str] = []
    for node in path:
        way.append(node)
        found[node] = found[" > ".join(way)] = None
    return tuple(found)


def shown(metadata: Metadata) -> dict[str, Any]:
    """What a hit may show of a product beside its columns, by the names under which the shop sent it; no long texts."""
    texts = {
        "title": metadata.title,
        "brand": metadata.brand,
        "gender": metadata.gender,
        "fabric": metadata.fabric,
        "category": metadata.category,
        **metadata.facets,
    }
    found: dict[str, Any] = {name: text for name, text in texts.items() if 0 < len(text) <= SHOWN_TEXT}
    if metadata.more:
        found |= {name: value for name, value in metadata.more.items() if value is not None}
    if metadata.category_path:
        found["category_path"] = metadata.category_path
    if metadata.tags:
        found["tags"] = metadata.tags
    return found


def _taken(given: dict[str, Any], names: Iterable[str], mark: str) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    for name in names:
        if name not in given:
            continue
        value = given.pop(name)
        listed = value.split(mark) if isinstance(value, str) else value
        if isinstance(listed, _LIST):
            listed = [one for one in listed if one is not None]
        if not isinstance(listed, _LIST) or not all(isinstance(one, str) for one in listed):
            raise Poison("expected a list of strings", field=f"metadata.{name}", code=Code.WRONG_TYPE)
        words = _words(listed)
        if len(words) > MAX_LISTED or any(len(word) > MAX_WORD for word in words):
            raise Poison(
                f"has more than {MAX_LISTED} words, or one of more than {MAX_WORD} characters",
                field=f"metadata.{name}",
                code=Code.OUT_OF_RANGE,
            )
        found = found or words
    return found


def _words(listed: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for one in listed if (word := " ".join(one.split()))))


def _too_deep(value: object, left: int) -> bool:
    if isinstance(value, dict):
        return left == 0 or any(_too_deep(inner, left - 1) for inner in value.values())
    if isinstance(value, _LIST):
        return left == 0 or any(_too_deep(inner, left - 1) for inner in value)
    return False
