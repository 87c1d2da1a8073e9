"""CloudEvents headers, dead letters, memo and the producer's errors."""

import threading
import uuid
from dataclasses import replace

import pytest
from aiokafka import errors

from infra.memory_store import MemoryStore
from processors.errors import Code, Fatal, Poison, Retryable
from streams.contract.cloudevents import ce_headers, event_context, output_headers, rfc3339
from streams.contract.topics import DEAD_LETTERS, ITEMS
from streams.engine.failures import Failure
from streams.engine.message import ORIGIN, Message, derived_id
from streams.kafka.dead_letters import dead_letters, failure_headers, redacted
from streams.kafka.producer import MemorySender, classify_kafka
from streams.roles.memo import Memo, content_hash


def test_event_ids_are_the_same_on_every_delivery_and_differ_otherwise():
    """The id depends on address, timestamp, key and stage, and on nothing else."""
    one = Message("t", 1, 2, value=b"a", timestamp_ms=5)
    assert one.event_id("enrich") == Message("t", 1, 2, value=b"b", timestamp_ms=5).event_id("enrich")
    places = {Message("u", 1, 2), Message("t", 2, 2), Message("t", 1, 3), Message("t", 12, 0)}
    # A topic that was created again has other records at the same addresses.
    others = {replace(place, timestamp_ms=5) for place in places} | {
        replace(one, timestamp_ms=6),
        replace(one, key=b"k"),
    }
    assert one.event_id("enrich") not in {other.event_id("enrich") for other in others} | {one.event_id("caption")}
    # Fixed for ever: another value would make every past event look new.
    assert one.event_id("enrich") == "b0f91cdc-6de8-5225-a3f5-0ba91e14e6a9"


@pytest.mark.parametrize("origin", ["", "t/1/2@5/ab", "größe/0/0@0/…", "x" * 300])
def test_event_ids_are_uuids_of_version_five(origin):
    """As the library makes them."""
    space = uuid.UUID("6f3c0a51-6d1e-5b0e-9a53-0d1f3c8a7e42")
    for stage in ("enrich/catalog.items", "caption/catalog.captions/1", "é"):
        assert derived_id(origin, stage) == str(uuid.uuid5(space, f"{origin}/{stage}"))


def test_a_record_that_was_passed_on_is_the_same_event():
    """It has another address and lies there under its key; a header that is no identity is none."""
    first = Message("t", 1, 2, value=b"a", timestamp_ms=5)
    again = Message("t", 7, 99, b"k", b"a", ((ORIGIN, first.identity.encode()),), 5)
    assert again.event_id("enrich") == first.event_id("enrich")
    for forged in (b"", b"x", b"t/1/2@5/zz", b"\xff" * 40, b"t/1/2@5/" + b"0" * 17):
        message = replace(again, headers=((ORIGIN, forged),))
        assert message.event_id("enrich") == replace(again, headers=()).event_id("enrich")


def test_headers_are_optional_and_the_last_one_counts():
    """A record from kcat gets an id of its own; what it does send is used."""
    bare = Message("t", 1, 2)
    assert event_context(bare).id == bare.event_id("")
    sent = Message("t", 1, 2, headers=(("ce_id", b"old"), ("ce_id", b"new"), ("traceparent", b"00-ab-cd-01")))
    assert event_context(sent).id == "new"
    assert event_context(sent).traceparent == "00-ab-cd-01"
    assert event_context(Message("t", 0, 0, headers=(("ce_id", b"\xff\xfe"),))).id


def test_output_headers_are_repeatable():
    """Id and time come from the input, the trace goes on, several outputs of one input differ."""
    message = Message("t", 1, 2, headers=(("traceparent", b"00-ab"),), timestamp_ms=1_700_000_000_123)
    headers = dict(output_headers(message, stage="enrich", topic=ITEMS))
    assert headers == dict(output_headers(message, stage="enrich", topic=ITEMS))
    assert headers["ce_time"] == b"2023-11-14T22:13:20.123Z"
    assert headers["traceparent"] == b"00-ab"
    assert headers["ce_type"] == b"weft.item.v1"
    assert headers["ce_id"] != dict(output_headers(message, stage="enrich", topic=ITEMS, number=1))["ce_id"]


@pytest.mark.parametrize("timestamp", [-1, 0, 2**62])
def test_no_timestamp_makes_a_record_fail(timestamp):
    """Clients send what they like."""
    assert rfc3339(timestamp).endswith("Z")


def test_empty_headers_are_left_out():
    """An absent trace is absent, not empty."""
    assert "traceparent" not in dict(ce_headers(id="1", type="t", source="s", time="now"))


def failed(error, **fields):
    return Failure(Message("catalog.uploads", 3, 81, key=b"k", value=b"\x00raw", **fields), "decode", error, 2)


async def test_a_dead_letter_is_the_original_and_its_cause():
    """Original key, bytes and headers; Kafka Connect's headers say where, why and how often."""
    sender = MemorySender()
    error = Poison("truncated", field="image", code=Code.BAD_IMAGE)
    error.__cause__ = ValueError("truncated")
    (delivery,) = await dead_letters(sender)(failed(error, headers=(("ce_id", b"1"),), timestamp_ms=1_700_000_000_123))
    await delivery
    (letter,) = sender.sent
    assert (letter.topic, letter.key, letter.value) == (DEAD_LETTERS, b"k", b"\x00raw")
    assert dict(letter.headers) == {
        "ce_id": b"1",
        "__connect.errors.topic": b"catalog.uploads",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"81",
        "__connect.errors.stage": b"decode",
        "__connect.errors.exception.class.name": b"ValueError",
        "__connect.errors.exception.message": b"image: truncated",
        "__connect.errors.attempts": b"2",
        "__connect.errors.timestamp": b"1700000000123",
        "weft_code": b"bad_image",
    }


def test_a_cause_holds_no_addresses_of_memory():
    """An error that quotes an object of the program is the same on every delivery, and readable."""
    causes = {
        dict(
            failure_headers(Failure(Message("u", 0, 0), "decode", Poison(f"cannot read {thing!r}", field="image"), 1))
        )["__connect.errors.exception.message"]
        for thing in (object(), object())
    }
    assert causes == {b"image: cannot read <object object>"}


async def test_a_letter_that_comes_back_carries_only_the_new_cause():
    """Put back and failed again: the old error headers would hide the new ones."""
    sender = MemorySender()
    await dead_letters(sender)(
        failed(Poison("new"), headers=(("__connect.errors.exception.message", b"old"), ("weft_code", b"old")))
    )
    codes = [value for name, value in sender.sent[0].headers if name == "weft_code"]
    assert codes == [b"invalid"]
    values = [value for name, value in sender.sent[0].headers if name == "__connect.errors.exception.message"]
    assert values == [b"new"]


async def test_a_nameless_delete_can_be_written():
    """aiokafka refuses a record with neither key nor value."""
    sender = MemorySender()
    await dead_letters(sender)(Failure(Message("u", 0, 0), "decode", Poison("needs a key", field="key"), 1))
    assert sender.sent[0].value == b""


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET https://user:hunter2@shop.example/a.jpg failed", "hunter2"),
        ("s3 said no: https://s3.example/b/k?X-Amz-Signature=abc123&X-Amz-Expires=60 (403)", "abc123"),
        ("password=hunter2", "hunter2"),
        ('{"secret_key": "hunter2"}', "hunter2"),
        ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("aws_secret_access_key = hunter2", "hunter2"),
        ("token: 'hunter2'", "hunter2"),
    ],
)
def test_dead_letters_hold_no_secrets(text, secret):
    """Credentials, tokens and signed addresses are hidden; the rest of the sentence stays."""
    assert secret not in redacted(text)
    assert "[hidden]" in redacted(text)


def test_plain_messages_stay_readable():
    """Nothing is hidden that is no secret."""
    text = "image.uri: https://shop.example/a.jpg answered 404 after 3 attempts"
    assert redacted(text) == text


async def test_the_first_writer_of_a_memo_wins():
    """Two workers that thought about the same thing publish the same bytes."""
    memo = Memo(MemoryStore(), "caption", "sha256:abc")
    key = content_hash(b"image", b"prompt")
    assert await memo.get(key) is None
    assert await memo.put(key, b"first") == b"first"
    assert await memo.put(key, b"second") == b"first"
    assert await memo.get(key) == b"first"


async def test_memos_of_different_models_never_meet():
    """The fingerprint and the stage are part of the key."""
    store = MemoryStore()
    key = content_hash(b"image")
    await Memo(store, "caption", "sha256:abc").put(key, b"old")
    assert await Memo(store, "caption", "sha256:abd").get(key) is None
    assert await Memo(store, "enrich", "sha256:abc").get(key) is None


def test_content_hash_tells_parts_apart():
    """("ab", "c") is not ("a", "bc")."""
    assert content_hash(b"ab", b"c") != content_hash(b"a", b"bc")


async def test_memo_does_not_block_the_loop():
    """The store's blocking calls run in another thread."""
    threads = []

    class Spy(MemoryStore):
        def get(self, key, *, limit=None):
            threads.append(threading.get_ident())
            return super().get(key, limit=limit)

    await Memo(Spy(), "caption", "x").get("0" * 64)
    assert threads
    assert threads[0] != threading.get_ident()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.MessageSizeTooLargeError(), Poison),
        (errors.RecordTooLargeError(), Poison),
        (errors.KafkaTimeoutError(), Retryable),
        (errors.KafkaConnectionError(), Retryable),
        (errors.NotLeaderForPartitionError(), Retryable),
        (errors.UnknownTopicOrPartitionError(), Retryable),
        (errors.ProducerFenced(), Fatal),
        (errors.TopicAuthorizationFailedError(), Fatal),
        (errors.ProducerClosed(), Fatal),
        (ConnectionError(), Retryable),
        (TimeoutError(), Retryable),
        (ValueError("x"), Poison),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_kafka_errors_are_judged(error, kind):
    """Too large is the record's fault, away is waited for, fenced or forbidden ends the process."""
    verdict = classify_kafka(error, "io")
    assert isinstance(verdict, kind)
    assert verdict.__cause__ is error
