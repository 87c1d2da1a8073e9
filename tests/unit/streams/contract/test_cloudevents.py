"""CloudEvents 1.0 on Kafka: what goes out, and both modes in (Kafka Protocol Binding 1.0.2, JSON Event Format 1.0.2)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from processors.errors import Code, Poison
from streams.contract.checks import BadQuery
from streams.contract.cloudevents import STRUCTURED, ce_headers, event_context, output_headers, unwrapped
from streams.contract.codecs import decode_query, decode_upload, encode
from streams.contract.records import Query
from streams.contract.topics import CAPTIONS, HITS, ITEMS, QUERIES, RESULTS, TOPICS, UPLOADS
from streams.engine.message import Message
from streams.kafka.dead_letters import letter_of
from tests.unit.streams.kafka.test_event_headers_and_letters import failed

UPLOAD = {"product_id": "sku-1", "image": {"uri": "s3://x/y.jpg"}}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def structured(topic: str = UPLOADS, kind: str = STRUCTURED, **fields: Any) -> Message:
    """A record as the SDKs of CloudEvents write it in structured mode."""
    event = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "shop.upload", **fields}
    headers = (("content-type", kind.encode()),)
    return Message(topic, 3, 81, key=b"sku-1", value=json.dumps(event).encode(), headers=headers, timestamp_ms=5)


@pytest.mark.parametrize("topic", [ITEMS, CAPTIONS, RESULTS, HITS])
def test_every_output_is_an_event_in_binary_mode(topic: str) -> None:
    """The required attributes as `ce_` headers, and the media type of the value as `content-type`."""
    message = Message(UPLOADS, 3, 81, key=b"sku-1", value=b"{}")
    headers = output_headers(message, stage="enrich", topic=topic)
    named = dict(headers)
    assert len(named) == len(headers), "no header twice"
    assert named["ce_specversion"] == b"1.0"
    for attribute in ("ce_id", "ce_source", "ce_type"):
        assert named[attribute]
    spec = next(spec for spec in TOPICS if spec.name == topic)
    assert named["content-type"].decode() == spec.content_type
    assert named["content-type"] in {b"application/json", b"application/msgpack"}
    assert not named["content-type"].startswith(b"application/cloudevents"), "that would say structured mode"


def test_the_trace_goes_on_whole() -> None:
    """`tracestate` beside its `traceparent`, and never alone (W3C Trace Context, 3.3)."""
    both = Message(UPLOADS, 0, 0, headers=(("traceparent", TRACE.encode()), ("tracestate", b"congo=t61rcWkgMzE")))
    headers = dict(output_headers(both, stage="enrich", topic=ITEMS))
    assert (headers["traceparent"], headers["tracestate"]) == (TRACE.encode(), b"congo=t61rcWkgMzE")
    alone = Message(UPLOADS, 0, 0, headers=(("tracestate", b"congo=t61rcWkgMzE"),))
    assert "tracestate" not in dict(output_headers(alone, stage="enrich", topic=ITEMS))
    assert "content-type" not in dict(ce_headers(id="1", type="t", source="s", time="now"))


@pytest.mark.parametrize(
    "data",
    [
        {"data": UPLOAD},
        {"data": UPLOAD, "datacontenttype": "application/json"},
        {"data": json.dumps(UPLOAD)},
        {"data_base64": base64.b64encode(json.dumps(UPLOAD).encode()).decode()},
        {"data_base64": base64.encodebytes(json.dumps(UPLOAD).encode()).decode()},
        {"data": UPLOAD, "data_base64": None, "time": None, "subject": "x", "extension": 1},
    ],
    ids=["data", "with its type", "text", "base64", "base64 in lines", "nulls and extensions"],
)
def test_an_upload_in_structured_mode_is_read(data: dict[str, Any]) -> None:
    """As the same event in binary mode."""
    message = structured(**data)
    upload = decode_upload(message)
    assert upload is not None
    assert (upload.product_id, upload.image.uri) == ("sku-1", "s3://x/y.jpg")
    assert event_context(message).id == "e-1"


@pytest.mark.parametrize("kind", [STRUCTURED, "application/CloudEvents+JSON; charset=UTF-8"])
def test_what_the_envelope_says_counts(kind: str) -> None:
    """Its attributes are the event's, the trace included; other headers stay."""
    message = structured(kind=kind, data=UPLOAD, time="2026-01-31T12:00:00Z", traceparent=TRACE, tracestate="a=b")
    given = event_context(message)
    assert (given.id, given.source, given.type, given.time) == ("e-1", "/shop", "shop.upload", "2026-01-31T12:00:00Z")
    assert (given.traceparent, given.tracestate) == (TRACE, "a=b")
    headers = dict(output_headers(message, stage="enrich", topic=ITEMS))
    assert headers["traceparent"].decode() == TRACE
    marked = Message(UPLOADS, 3, 81, message.key, message.value, (*message.headers, ("weft_redrives", b"1")))
    assert unwrapped(marked).header("weft_redrives") == b"1"
    assert unwrapped(marked).header("content-type") == b"application/json"


def test_the_case_of_the_headers_name_does_not_count() -> None:
    """Clients that write HTTP's headers write it in capitals; the event is not taken for the record."""
    [(_, kind)] = [pair for pair in structured(data=UPLOAD).headers if pair[0] == "content-type"]
    message = Message(UPLOADS, 0, 0, b"sku-1", structured(data=UPLOAD).value, (("Content-Type", kind),))
    assert decode_upload(message) is not None
    assert [value for name, value in unwrapped(message).headers if name.lower() == "content-type"] == [
        b"application/json"
    ]


def test_what_is_no_trace_is_not_passed_on() -> None:
    """Nor half of a long one: whoever reads it next would refuse the record."""
    headers = (("traceparent", b"\xff\xfe"), ("tracestate", b"x" * 5000))
    given = event_context(Message(UPLOADS, 0, 0, headers=headers))
    assert (given.traceparent, given.tracestate) == ("", "")


def test_a_query_in_structured_mode_is_answered() -> None:
    """And a broken one has its error, under the record's key."""
    value = json.loads(encode(Query("q-1", text="red")))
    assert decode_query(structured(QUERIES, data=value)) == Query("q-1", text="red")
    with pytest.raises(BadQuery) as refused:
        decode_query(structured(QUERIES, kind="application/cloudevents+avro", data=value))
    assert (refused.value.query_id, refused.value.code, refused.value.field) == (
        "sku-1",
        Code.MALFORMED,
        "content-type",
    )


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        (structured(), Code.MISSING_FIELD, "data"),
        (structured(data=None), Code.MISSING_FIELD, "data"),
        (structured(data=UPLOAD, data_base64="eHk="), Code.INVALID, "data"),
        (structured(data_base64="!"), Code.MALFORMED, "data_base64"),
        (structured(data=UPLOAD, specversion="0.3"), Code.INVALID, "specversion"),
        (structured(kind="application/cloudevents-batch+json", data=UPLOAD), Code.MALFORMED, "content-type"),
        (Message(UPLOADS, 0, 0, b"a", b"{", (("content-type", STRUCTURED.encode()),)), Code.MALFORMED, "value"),
        (Message(UPLOADS, 0, 0, b"a", b"[1]", (("content-type", STRUCTURED.encode()),)), Code.MALFORMED, "value"),
    ],
)
def test_an_envelope_that_is_none_is_named(message: Message, code: Code, field: str) -> None:
    """An event without data deletes nothing: only the null value of a whole record does."""
    with pytest.raises(Poison) as refused:
        decode_upload(message)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert event_context(message).id, "its dead letter can be written"


def test_a_null_value_is_a_deletion_in_either_mode() -> None:
    """A producer that always sets the header deletes as any other."""
    headers = (("content-type", STRUCTURED.encode()),)
    assert decode_upload(Message(UPLOADS, 0, 0, key=b"sku-1", headers=headers)) is None


def test_a_dead_letter_keeps_the_event_as_it_came() -> None:
    """Its own headers, and none of ours that would make it another event."""
    letter = letter_of(failed(Poison("x"), headers=(("ce_id", b"e-1"), ("content-type", b"application/json"))))
    named = dict(letter.headers)
    assert (named["ce_id"], named["content-type"]) == (b"e-1", b"application/json")
    assert {name for name in named if name.startswith("ce_")} == {"ce_id"}
