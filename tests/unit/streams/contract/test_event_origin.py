"""Event ids: a record that Weft wrote twice is one event; a record from outside is known by its offset only."""

from __future__ import annotations

from streams.contract import topics
from streams.contract.cloudevents import ce_headers, origin_ms, output_headers
from streams.engine.message import Message


def item(offset: int, *, ce_id: str, source: str) -> Message:
    headers = ce_headers(id=ce_id, type="weft.item.v1", source=source, time="2026-01-31T12:00:00.000Z")
    return Message(topics.ITEMS, 0, offset, b"sku-1", b"x", headers, timestamp_ms=offset)


def test_an_item_published_twice_gives_one_caption_event() -> None:
    """enrich died between publishing and committing: the second copy has another offset and another timestamp."""
    first = item(3, ce_id="e-1", source="weft/enrich")
    again = item(9, ce_id="e-1", source="weft/enrich")
    assert output_headers(first, stage="caption", topic=topics.CAPTIONS) == output_headers(
        again, stage="caption", topic=topics.CAPTIONS
    )


def test_ids_from_outside_are_not_trusted_to_be_unique() -> None:
    """A client that sends the same `ce_id` with every upload still gets an event for each."""
    first, second = (item(offset, ce_id="1", source="shop") for offset in (3, 9))
    ids = {dict(output_headers(m, stage="enrich", topic=topics.ITEMS))["ce_id"] for m in (first, second)}
    assert len(ids) == 2


def test_when_it_all_began() -> None:
    """Of our own events their time, which is that of the first record; of any other the broker's, whatever it claims."""
    ours = (("ce_source", b"weft/enrich"), ("ce_time", b"2026-01-31T12:00:00.250Z"))
    foreign = (("ce_source", b"shop"), ("ce_time", b"1999-01-01T00:00:00Z"))
    broken = (("ce_source", b"weft/enrich"), ("ce_time", b"yesterday"))
    assert origin_ms(Message("t", 0, 0, headers=ours, timestamp_ms=7)) == 1_769_860_800_250
    assert origin_ms(Message("t", 0, 0, headers=foreign, timestamp_ms=7)) == 7
    assert origin_ms(Message("t", 0, 0, headers=broken, timestamp_ms=7)) == 7
