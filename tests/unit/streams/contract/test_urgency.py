"""What a record says of itself before its turn: never an error, whatever it is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contract import topics
from streams.contract.urgency import Said, said_of
from streams.engine.message import PRIORITY, SHOP, URGENT, Message


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
