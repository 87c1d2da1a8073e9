"""What a record says of itself before its turn: never an error, whatever it is."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contract import topics
from streams.contract.cloudevents import CONTENT_TYPE
from streams.contract.urgency import Said, said_of, says_more, says_shop
from streams.engine.message import PRIORITY, SHOP, URGENT, Message
from streams.wiring.urgent import is_urgent, product_of, shop_named, shop_of_message


def upload(key: bytes | None, **fields: object) -> Message:
    return Message(topics.UPLOADS, 0, 0, key, msgspec.json.encode({"product_id": "sku-1", "image": {}, **fields}))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (upload(b"sku-1"), Said(b"sku-1", urgent=False)),
        (upload(None, priority="high"), Said(b"sku-1", urgent=True)),
        (upload(b"sku-1", priority="normal"), Said(b"sku-1", urgent=False)),
        (upload(b"sku-1", priority=7), Said(b"sku-1", urgent=False)),
        (upload(b"sku-1", shop="one"), Said(b"//one/sku-1", urgent=False)),
        (upload(b"//one/sku-1", shop="one", priority="high"), Said(b"//one/sku-1", urgent=True)),
        (upload(b"other", shop="one"), Said(b"other", urgent=False)),
        (Message(topics.UPLOADS, 0, 0, b"sku-1", None), Said(b"sku-1", urgent=False)),
        (Message(topics.UPLOADS, 0, 0, b"sku-1", None, ((SHOP, b"one"),)), Said(b"//one/sku-1", urgent=False)),
        (Message(topics.UPLOADS, 0, 0, b"//one/sku-1", b"", ((PRIORITY, URGENT),)), Said(b"//one/sku-1", urgent=True)),
        (Message(topics.UPLOADS, 0, 0, b"sku-1", b"{"), Said(b"sku-1", urgent=False)),
        (Message(topics.UPLOADS, 0, 0, None, b"{"), Said(b"", urgent=False)),
        (Message(topics.ITEMS, 0, 0, b"//one/sku-1", b"x", ((PRIORITY, URGENT),)), Said(b"//one/sku-1", urgent=True)),
    ],
)
def test_product_and_haste(message: Message, said: Said) -> None:
    """The key may be the id alone; one that is neither counts as it is, as such a record is refused."""
    assert said_of(message) == said


@given(st.binary(max_size=60), st.binary(max_size=20) | st.none(), st.binary(max_size=20))
def test_nothing_raises(value: bytes, key: bytes | None, header: bytes) -> None:
    """Anybody may write to the topic."""
    headers = ((SHOP, header), ("content-type", b"application/cloudevents+json"))
    assert isinstance(said_of(Message(topics.UPLOADS, 0, 0, key, value, headers)), Said)


DOCUMENTS = [
    {"product_id": "sku-1"},
    {"product_id": "sku-1", "metadata": {"price": 9.5}},
    {"product_id": "sku-1", "shop": "one", "priority": "high"},
    {"product_id": "//one/sku-1", "priority": "high"},
    {"product_id": "////sku-1"},
    {"metadata": {"price": 9.5}},
]
FORMS = {
    "plain": msgspec.json.encode,
    "escaped": lambda found: (
        msgspec.json.encode(found).replace(b"shop", b"\\u0073hop").replace(b"priority", b"\\u0070riority")
    ),
    "escaped id": lambda found: msgspec.json.encode(found).replace(b"//", b"\\/\\/"),
    "UTF-16": lambda found: msgspec.json.encode(found).decode().encode("utf-16-le"),
    "UTF-16 with its mark": lambda found: msgspec.json.encode(found).decode().encode("utf-16"),
    "in a string": lambda found: msgspec.json.encode(msgspec.json.encode(found).decode()),
    "of Connect": lambda found: msgspec.json.encode({"schema": None, "payload": found}),
    "with a byte-order mark": lambda found: b"\xef\xbb\xbf" + msgspec.json.encode(found),
    "with blanks": lambda found: b"  " + msgspec.json.format(msgspec.json.encode(found)),
    "an event": lambda found: msgspec.json.encode({"specversion": "1.0", "data": found}),
    "an event in base64": lambda found: msgspec.json.encode(
        {"specversion": "1.0", "data_base64": base64.b64encode(msgspec.json.encode(found)).decode()}
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", [None, b"", b"sku-1", b"//one/sku-1", b"other"])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_short_look_at_a_record_never_says_something_else_than_the_long_one(
    document: dict[str, object], key: bytes | None, form: str
) -> None:
    """Most records name neither shop nor haste, and are not decoded to see it; whatever may name one, in any form, is."""
    headers = ((CONTENT_TYPE, b"application/cloudevents+json"),) if form.startswith("an event") else ()
    message = Message(topics.UPLOADS, 0, 0, key, FORMS[form](document), headers)
    assert shop_of_message(message) == shop_named(product_of(message))
    assert is_urgent(message) == said_of(message).urgent


def test_most_records_are_not_decoded() -> None:
    """Else the short look would be no gain."""
    assert not says_shop(upload(b"sku-1", metadata={"price": 9.5}))
    assert not says_more(upload(b"sku-1", metadata={"price": 9.5}))
