"""Whatever the bytes, a decoder gives a value or raises `Poison`: nothing else escapes to end the process.

A small number of cases in `make test`; ten thousand of each kind with `make fuzz` (`WEFT_FUZZ_PROFILE=weft-fuzz-nightly`).
"""

from __future__ import annotations

import base64
import json
import os
import struct

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from infra import secrets
from processors.decode import Decoded, DecodeLimits, check_header, decode, kept_bytes, unfolded_pixels
from processors.errors import Poison
from processors.image_header import read_header, sniff
from streams.contract import codecs, topics
from streams.contract.checks import BadQuery
from streams.contract.limits import MAX_DEADLINE_MS, MAX_ID_BYTES, MAX_TOP_K
from streams.contract.metadata import metadata_of
from streams.contract.records import Query
from streams.engine.failures import Failure
from streams.engine.message import Message
from streams.kafka.dead_letters import letter_of
from streams.kafka.positions import position_of
from streams.ops.dlq_letters import read_letter, whole
from tests.fixtures import hostile

_ANYWHERE = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("weft-fuzz", max_examples=60, **_ANYWHERE)
settings.register_profile("weft-fuzz-nightly", max_examples=10_000, database=None, **_ANYWHERE)
FUZZ = settings(settings.get_profile(os.environ.get("WEFT_FUZZ_PROFILE", "weft-fuzz")))

LIMITS = DecodeLimits(max_pixels=200_000, max_bytes=2**20)
# Bombs are left out: their damage is refused by the same check of the header, more slowly.
SEEDS = [case.data for case in hostile.image_cases() if 0 < len(case.data) < 20_000]
MAGIC = (
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"RIFF\x00\x01\x00\x00WEBPVP8X",
    b"RIFF\x00\x01\x00\x00WEBPVP8L",
)
RECORDS = [case.value for case in hostile.record_cases() if case.value is not None and len(case.value) < 20_000]
QUERIES = [case.value for case in hostile.query_cases() if case.value is not None and len(case.value) < 20_000]


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A real one with flipped bytes, a piece doubled or moved, and a lost tail."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for at, value in draw(st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), max_size=12)):
        data[at % len(data)] = value
    if draw(st.booleans()):
        start, length, to = (draw(st.integers(0, len(data))) for _ in range(3))
        data[to:to] = data[start : start + length]
    keep = draw(st.floats(0.1, 1.0)) if draw(st.booleans()) else 1.0
    return bytes(data[: max(1, int(len(data) * keep))])


@st.composite
def claimed(draw: st.DrawFn) -> bytes:
    """A file whose header claims some size, of any format."""
    width, height = draw(st.integers(0, 2**16 - 1)), draw(st.integers(0, 2**16 - 1))
    rest = draw(st.binary(max_size=60))
    kind = draw(st.sampled_from(["png", "gif", "jpeg", "webp"]))
    if kind == "png":
        return hostile.png(width, height, rest, depth=draw(st.sampled_from([1, 8, 16])), colour=draw(st.integers(0, 6)))
    if kind == "gif":
        return b"GIF89a" + struct.pack("<HH", width, height) + rest
    if kind == "jpeg":
        return hostile.jpeg_claiming(width, height) + rest
    size = (width - 1 & 0xFFFFFF).to_bytes(3, "little") + (height - 1 & 0xFFFFFF).to_bytes(3, "little")
    return b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + size + rest


IMAGES = st.one_of(st.tuples(st.sampled_from(MAGIC), st.binary(max_size=400)).map(b"".join), damaged(SEEDS), claimed())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
IMAGE = st.fixed_dictionaries(
    {}, optional={"uri": JSON | st.text(), "bytes": JSON | st.binary().map(lambda b: base64.b64encode(b).decode())}
)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()  # NaN, infinities and lone surrogates included


@pytest.mark.filterwarnings("ignore")  # Pillow warns about what it repairs; here only the outcome counts
@FUZZ
@given(IMAGES)
def test_images(data: bytes) -> None:
    """Pixels within the limits, or Poison."""
    try:
        decoded = decode(data, LIMITS, max_side=64)
    except Poison as error:
        refused = error
    else:
        check_pixels(decoded)
        return
    assert refused.field == "image"


def check_pixels(decoded: Decoded) -> None:
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.ndim == 3
    assert decoded.pixels.shape[2] == 3
    assert max(decoded.pixels.shape[:2]) <= 64
    assert decoded.width * decoded.height <= LIMITS.max_pixels


@FUZZ
@given(IMAGES)
@example(b"\xff\xd8\xff" + b"\xff" * 300)
def test_headers(data: bytes) -> None:
    """A size, or Poison; what admission reckons from it never fails."""
    assert kept_bytes(data, 1024) >= 0
    assert unfolded_pixels(data, 1024) >= 0
    try:
        header = read_header(data)
    except Poison:
        with pytest.raises(Poison):
            check_header(data, LIMITS)
        return
    assert header.format == sniff(data)
    assert header.width >= 1
    assert header.height >= 1


UPLOADS = st.one_of(
    st.binary(max_size=200),
    damaged(RECORDS),
    JSON.map(as_json),
    st.fixed_dictionaries(
        {"product_id": st.text() | JSON, "image": IMAGE | JSON},
        optional={"metadata": st.dictionaries(st.sampled_from(["title", "price", "fabric", "x"]), JSON) | JSON},
    ).map(as_json),
)


@FUZZ
@given(st.none() | st.binary(max_size=20), UPLOADS)
@example(b"k", b"[" * 100_000)
@example(b"k", b'{"a":"\xed\xa0\x80"}')
def test_uploads(key: bytes | None, value: bytes) -> None:
    """A checked upload, or Poison; and its letter can always be written, read and shown."""
    message = Message(topics.UPLOADS, 0, 7, key, value)
    try:
        upload = codecs.decode_upload(message)
        if upload is None:  # an empty value deletes
            assert (value, bool(key)) == (b"", True)
            return
        metadata = metadata_of(upload)
    except Poison as error:
        letter = letter_of(Failure(message, "read", error, 1))
        assert position_of(letter) == letter.offset
        lying = Message(topics.DEAD_LETTERS, 0, 0, letter.key, letter.value, letter.headers)
        read = read_letter(lying)
        assert read.stage == "read"
        assert msgspec.json.encode(whole(read, lying))
        return
    assert 1 <= len(upload.product_id.encode()) <= MAX_ID_BYTES
    assert all(isinstance(text, str) for text in (metadata.title, metadata.fabric, *metadata.facets.values()))
    assert metadata.price is None or abs(metadata.price) < float("inf")
    assert codecs.encode(upload)


QUERY_VALUES = st.one_of(
    st.binary(max_size=200),
    damaged(QUERIES),
    JSON.map(as_json),
    st.fixed_dictionaries(
        {"query_id": st.text() | JSON},
        optional={
            "text": st.text() | JSON,
            "image": IMAGE | JSON,
            "top_k": st.integers() | JSON,
            "deadline_ms": st.integers() | JSON,
            "filters": st.dictionaries(st.text(), st.lists(st.text())) | JSON,
            "min_offsets": st.dictionaries(st.text(), st.integers()) | JSON,
        },
    ).map(as_json),
)


@FUZZ
@given(st.none() | st.binary(max_size=20), QUERY_VALUES)
@example(b"k", b"[" * 100_000)
@example(None, b'{"query_id":"\xed\xa0\x80"}')
def test_queries(key: bytes | None, value: bytes) -> None:
    """A checked query, or a refusal that can be sent to its asker."""
    try:
        query = codecs.decode_query(Message(topics.QUERIES, 0, 7, key, value))
    except BadQuery as error:
        refused = error
    else:
        check_query(query)
        return
    assert refused.code
    assert len(refused.query_id) <= MAX_ID_BYTES


def check_query(query: Query) -> None:
    assert 1 <= query.top_k <= MAX_TOP_K
    assert 1 <= query.deadline_ms <= MAX_DEADLINE_MS
    assert query.image is not None or (query.text or "").strip()


@FUZZ
@given(st.binary(max_size=200) | JSON.map(lambda value: msgspec.msgpack.encode(repr(value))))
@example(b"\x81\xa1z" + b"\x91" * 100_000)
def test_machine_records(value: bytes) -> None:
    """Items, probes and answers of strangers are Poison: an index worker must not die of them."""
    for decode_one in (codecs.decode_item, codecs.decode_probe, codecs.decode_answer, codecs.decode_generation):
        try:
            decode_one(value)
        except Poison:
            continue


PLAIN = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=60)
SECRET = st.text("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=24, max_size=60)
PLACES = (
    "https://s3.test/a.jpg?X-Amz-Signature={}",
    "https://cdn.test/a.jpg?size=20&st={}&x=1",
    "https://me:{}@cdn.test/a.jpg",
    'password="{}"',
    '{{"secret_key": "{}"}}',
    "Authorization: Bearer {}",
)


@FUZZ
@given(PLAIN, PLAIN, SECRET, st.sampled_from(PLACES))
def test_secrets(before: str, after: str, secret: str, place: str) -> None:
    """Whatever stands around it, a planted secret is found; bytes keep their length, and twice is once."""
    assume(secret not in before + after)
    text = f"{before} {place.format(secret)} {after}"
    assert secret not in secrets.redacted(text)
    blanked = secrets.blanked(text.encode())
    assert secret.encode() not in blanked
    assert len(blanked) == len(text.encode())
    assert secrets.blanked(blanked) == blanked
