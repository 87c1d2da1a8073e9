"""`catalog.articles`: what is an article, and what is refused by the name of its field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from processors.errors import Code, Poison
from streams.contract import topics
from streams.contract.articles import MAX_TEXT, decode_article
from streams.contract.records import AppliesTo, Article
from streams.engine.message import Message

GOOD = {"id": "a1", "text": "Cut in Porto.", "applies_to": {"product": "p1"}}


def message(value: Any, key: bytes | None = b"a1") -> Message:
    raw = value if isinstance(value, bytes) or value is None else msgspec.json.encode(value)
    return Message(topics.ARTICLES, 0, 0, key, raw)


def test_the_least_that_an_article_has() -> None:
    """Id, text and what it is about; a null is no value, and unknown fields are ignored."""
    assert decode_article(message(GOOD)) == Article("a1", "Cut in Porto.", AppliesTo(product="p1"))
    wide = {**GOOD, "applies_to": {"brand": "Acme", "product": None}, "kind": "press", "version": 3, "author": "x"}
    found = decode_article(message(wide))
    assert found is not None
    assert (found.applies_to, found.kind, found.version) == (AppliesTo(brand="Acme"), "press", 3)
    assert decode_article(message({**GOOD, "shop": "s"}, b"//s/a1")) is not None


@pytest.mark.parametrize("value", [None, b""])
def test_a_null_takes_the_article_of_its_key_back(value: bytes | None) -> None:
    """So does an empty value, where a client cannot write a null; without a key it says nothing."""
    assert decode_article(message(value)) is None
    with pytest.raises(Poison) as told:
        decode_article(message(value, None))
    assert (told.value.field, told.value.code) == ("key", Code.WRONG_KEY)


@pytest.mark.parametrize(
    ("changed", "field", "code"),
    [
        ({"text": None}, "text", Code.MISSING_FIELD),
        ({"text": " \n"}, "text", Code.OUT_OF_RANGE),
        ({"text": "x" * (MAX_TEXT + 1)}, "text", Code.OUT_OF_RANGE),
        ({"text": 7}, "text", Code.WRONG_TYPE),
        ({"id": ""}, "id", Code.OUT_OF_RANGE),
        ({"id": "a2"}, "id", Code.WRONG_KEY),
        ({"applies_to": {}}, "applies_to", Code.MISSING_FIELD),
        ({"applies_to": "p1"}, "applies_to", Code.WRONG_TYPE),
        ({"applies_to": {"product": "x" * 600}}, "applies_to.product", Code.OUT_OF_RANGE),
        ({"applies_to": {"brand": " "}}, "applies_to.brand", Code.OUT_OF_RANGE),
        ({"applies_to": {"collection": "x" * 200}}, "applies_to.collection", Code.OUT_OF_RANGE),
        ({"kind": "novel"}, "kind", Code.UNKNOWN_NAME),
        ({"images": [""]}, "images[0]", Code.OUT_OF_RANGE),
        ({"images": ["x"] * 65}, "images", Code.OUT_OF_RANGE),
        ({"title": "x" * 501}, "title", Code.OUT_OF_RANGE),
        ({"locale": "x" * 36}, "locale", Code.OUT_OF_RANGE),
        ({"shop": ""}, "shop", Code.OUT_OF_RANGE),
    ],
)
def test_what_is_wrong_is_told_by_its_field(changed: dict[str, Any], field: str, code: Code) -> None:
    """With a code for programs."""
    with pytest.raises(Poison) as told:
        decode_article(message({**GOOD, **changed}))
    assert (told.value.field, told.value.code) == (field, code)


@pytest.mark.parametrize("value", [b"{", b"\xff\xfe\x00", b"[" * 100_000, b'"text"'])
def test_what_is_no_record_is_poison(value: bytes) -> None:
    """Whatever the bytes are."""
    with pytest.raises(Poison):
        decode_article(message(value))
