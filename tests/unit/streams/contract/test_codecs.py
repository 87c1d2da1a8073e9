"""Bytes to records: what is refused, and that the refusal names its field."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import Code, Poison
from processors.values import Evidence
from streams.contract import codecs
from streams.contract.checks import BadQuery
from streams.contract.codecs import decode_query, decode_upload, encode
from streams.contract.limits import MAX_INLINE_IMAGE_BYTES
from streams.contract.metadata import check_metadata, metadata_of
from streams.contract.probes import Answer, Found, Hits, LookupProbe, SearchProbe
from streams.contract.records import Caption, Hit, ImageRef, Lineage, Query, Result, Shards, Source, Upload
from streams.engine.message import Message


def upload(key=b"sku-1", **fields):
    value = {"product_id": "sku-1", "image": {"uri": "s3://b/k"}, **fields}
    return Message("catalog.uploads", 0, 0, key=key, value=json.dumps(value).encode())


def query(**fields):
    return Message(
        "search.queries", 0, 0, key=b"q-1", value=json.dumps({"query_id": "q-1", "text": "red", **fields}).encode()
    )


def test_an_upload_as_in_the_docs():
    """The example of EVENTS.md, sent without a key by hand."""
    message = upload(key=None, metadata={"title": "Linen wrap dress", "price": 79.0, "season": "summer", "brand": None})
    record = decode_upload(message)
    assert record == Upload("sku-1", ImageRef(uri="s3://b/k"), dict(record.metadata))
    metadata = metadata_of(record)
    assert (metadata.title, metadata.price, metadata.facets) == ("Linen wrap dress", 79.0, {"season": "summer"})


def test_a_null_value_deletes_the_product_of_the_key():
    """It needs a key."""
    assert decode_upload(Message("u", 0, 0, key=b"sku-1")) is None
    with pytest.raises(Poison) as refused:
        decode_upload(Message("u", 0, 0))
    assert refused.value.field == "key"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"product_id": ""}, "product_id"),
        ({"product_id": "x" * 513}, "product_id"),
        ({"product_id": "sku-2"}, "product_id"),
        ({"product_id": 7}, "product_id"),
        ({"image": {}}, "image"),
        ({"image": None}, "image"),
        ({"image": {"uri": "s3://a", "bytes": "aGk="}}, "image"),
        ({"image": {"uri": 1}}, "image.uri"),
        ({"image": {"uri": ""}}, "image.uri"),
        ({"image": {"bytes": ""}}, "image.bytes"),
        ({"image": {"bytes": "not base64!"}}, "image.bytes"),
        ({"image": {"product_id": "sku-9"}}, "image.product_id"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_a_bad_upload_names_its_field(fields, field):
    """Every refusal is Poison with the path of what is wrong."""
    message = upload(**fields)
    if fields.get("product_id") == "x" * 513:
        message = upload(key=b"x" * 513, **fields)
    with pytest.raises(Poison) as refused:
        decode_upload(message)
    assert refused.value.field == field


def test_a_missing_field_is_named():
    """`$.image` is missing altogether."""
    with pytest.raises(Poison) as refused:
        decode_upload(Message("u", 0, 0, key=b"a", value=b'{"product_id": "a"}'))
    assert refused.value.field == "image"


def test_a_priority_that_is_none_is_told_the_names():
    """Not only that it is wrong."""
    with pytest.raises(Poison, match="'urgent' is none of normal, high") as refused:
        decode_upload(upload(priority="urgent"))
    assert (refused.value.field, refused.value.code) == ("priority", Code.UNKNOWN_NAME)


def test_inline_images_have_a_limit():
    """1 MiB of decoded bytes is taken, one byte more is not."""
    most = MAX_INLINE_IMAGE_BYTES
    for size, fine in ((most, True), (most + 1, False)):
        value = msgspec.json.encode({"product_id": "a", "image": {"bytes": bytes(size)}})
        message = Message("u", 0, 0, key=b"a", value=value)
        if fine:
            assert len(decode_upload(message).image.bytes) == size
        else:
            with pytest.raises(Poison, match="use a uri"):
                decode_upload(message)


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"title": 3}, "metadata.title"),
        ({"price": "cheap"}, "metadata.price"),
        ({"price": "-79"}, "metadata.price"),
        ({"price": "1e400"}, "metadata.price"),
        ({"price": "nan"}, "metadata.price"),
        ({"price": "79,00"}, "metadata.price"),
        ({"price": ""}, "metadata.price"),
        ({"price": True}, "metadata.price"),
        ({"price": 10**400}, "metadata.price"),
        ({"price": -0.01}, "metadata.price"),
        ({"sizes": {"S": 1}}, "metadata.sizes"),
        ({"title": "x" * 20_001}, "metadata.title"),
        ({"x" * 129: "y"}, "metadata"),
        ({f"f{n}": "y" for n in range(101)}, "metadata"),
    ],
)
def test_bad_metadata_names_its_field(metadata, field):
    """Wrong types and immoderate lengths are refused before a model sees them."""
    with pytest.raises(Poison) as refused:
        metadata_of(Upload("a", ImageRef(uri="s3://x"), metadata))
    assert refused.value.field == field


@pytest.mark.parametrize(("text", "price"), [("79.00", 79.0), (" 79 ", 79.0), ("0", 0.0)])
def test_a_price_that_is_text_is_read_as_a_sale_price_is(text, price):
    """Tables of a shop's exporter have text in every cell; `sale_price` took it, and `price` cost the product."""
    metadata = metadata_of(Upload("a", ImageRef(uri="s3://x"), {"price": text, "sale_price": text}))
    assert (metadata.price, metadata.sale_price, metadata.facets) == (price, price, {})
    check_metadata(Upload("a", None, {"price": text}))


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"text": None}, "empty_query", ""),
        ({"text": "  "}, "empty_query", ""),
        ({"text": 5}, "wrong_type", "text"),
        ({"top_k": 0}, "out_of_range", "top_k"),
        ({"top_k": 1001}, "out_of_range", "top_k"),
        ({"top_k": 2.5}, "wrong_type", "top_k"),
        ({"deadline_ms": 0}, "out_of_range", "deadline_ms"),
        ({"text": "x" * 2001}, "out_of_range", "text"),
        ({"previous": ""}, "out_of_range", "previous"),
        ({"previous": 7}, "wrong_type", "previous"),
        ({"image": {}}, "bad_image", "image"),
        ({"image": {"product_id": ""}}, "bad_image", "image.product_id"),
        ({"filters": {"category": "dress"}}, "wrong_type", "filters.category"),
        ({"min_offsets": {"catalog.items-0": -1}}, "out_of_range", "min_offsets"),
    ],
)
def test_a_bad_query_can_be_answered(fields, code, field):
    """Each refusal knows the query, a code and the field."""
    with pytest.raises(BadQuery) as refused:
        decode_query(query(**fields))
    assert (refused.value.query_id, refused.value.code, refused.value.field) == ("q-1", code, field)


@pytest.mark.parametrize(
    ("key", "value", "query_id", "code"),
    [
        (b"q-7", b"{not json", "q-7", "malformed"),
        (None, b"{not json", "", "malformed"),
        (None, b'{"query_id": "q-8", "text": 1}', "q-8", "wrong_type"),
        (b"q-9", b'{"text": "red"}', "q-9", "missing_field"),
        (b"q-9", None, "q-9", "malformed"),
        (None, b'{"query_id": "", "text": "red"}', "", "out_of_range"),
    ],
)
def test_a_broken_query_is_named_by_what_is_left_of_it(key, value, query_id, code):
    """The record's key, or an id in the wreck, says whom to answer."""
    with pytest.raises(BadQuery) as refused:
        decode_query(Message("q", 0, 0, key=key, value=value))
    assert (refused.value.query_id, refused.value.code) == (query_id, code)


@pytest.mark.parametrize("name", ["image", "text", "filters", "top_k", "deadline_ms", "min_offsets"])
def test_a_null_in_a_query_is_not_set(name):
    """Clients in typed languages write every field that they have: null means the default."""
    given = {"query_id": "q-1", "text": "red", "image": {"uri": "s3://x", "bytes": None, "product_id": None}}
    left = {key: value for key, value in given.items() if key != name}
    asked, expected = (msgspec.json.encode(fields) for fields in ({**given, name: None}, left))
    assert decode_query(Message("q", 0, 0, value=asked)) == decode_query(Message("q", 0, 0, value=expected))


def test_a_null_among_filters_and_offsets_is_not_set():
    """One level deeper too; an element of a list that is null is an error with its field."""
    asked = decode_query(query(text="red", filters={"category": ["dress"], "brand": None}, min_offsets={"a-0": None}))
    assert (asked.filters, asked.min_offsets) == ({"category": ("dress",)}, {})
    with pytest.raises(BadQuery) as refused:
        decode_query(query(text="red", filters={"category": [None]}))
    assert (refused.value.code, refused.value.field) == (Code.WRONG_TYPE, "filters.category")


@pytest.mark.parametrize("metadata", [None, {"title": None, "price": None, "season": None}])
def test_a_null_in_an_upload_is_not_set(metadata):
    """Metadata as a whole, each of its fields, and the other sources of the image."""
    image = {"uri": "s3://x", "bytes": None, "product_id": None}
    value = msgspec.json.encode({"product_id": "a", "image": image, "metadata": metadata})
    upload = decode_upload(Message("u", 0, 0, key=b"a", value=value))
    assert upload is not None
    assert metadata_of(upload) == metadata_of(Upload("a", ImageRef(uri="s3://x")))


def test_a_null_in_a_required_field_is_a_missing_field():
    """Null is not set, and so it is missing."""
    with pytest.raises(Poison) as refused:
        decode_upload(Message("u", 0, 0, key=b"a", value=b'{"product_id": "a", "image": null}'))
    assert (refused.value.code, refused.value.field) == (Code.MISSING_FIELD, "image")


SOURCE = Source("catalog.uploads", 3, 81)
RECORDS = [
    (Upload("a", ImageRef(bytes=b"\x00\xff")), lambda value: decode_upload(Message("u", 0, 0, value=value))),
    (Query("q", text="red"), lambda value: decode_query(Message("q", 0, 0, value=value))),
    (Hits("q", 0, 12, "g", 7, True, (Hit("a", 0.5, "s3://x", "dress"),)), codecs.decode_answer),
    (Found("q", 0, 12, "g", 7, True, vector=b"\x00" * 8), codecs.decode_answer),
    (LookupProbe("q", "a", 1.5), codecs.decode_probe),
    (SearchProbe("q", b"\x00" * 8, "sha256:x", 10, 1.5, {"category": ("dress",)}), codecs.decode_probe),
    (Result("q", (), False, "g-1", {"catalog.items-0": 3}, Shards(12, 12), 41), codecs.decode_result),
    (
        Caption("a", "A dress", ("#dress",), Evidence(()), (), 1.0, "llm", Lineage(SOURCE, "", "", "", "", "0")),
        codecs.decode_caption,
    ),
]


@pytest.mark.parametrize(("record", "decode"), RECORDS, ids=lambda value: type(value).__name__)
def test_records_survive_the_way(record, decode):
    """encode, then decode, is the same record."""
    assert decode(encode(record)) == record


def test_the_same_record_gives_the_same_bytes():
    """A replay publishes the same bytes, whatever order a dict was filled in."""
    one = Query("q", text="x", min_offsets={"a": 1, "b": 2})
    two = Query("q", text="x", min_offsets={"b": 2, "a": 1})
    assert encode(one) == encode(two)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_poison(value):
    """Random bytes on any topic are Poison, never another exception."""
    decoders = [
        codecs.decode_item,
        codecs.decode_caption,
        codecs.decode_result,
        codecs.decode_probe,
        codecs.decode_answer,
        codecs.decode_generation,
        lambda data: decode_upload(Message("u", 0, 0, key=data, value=data)),
        lambda data: decode_query(Message("q", 0, 0, key=data, value=data)),
    ]
    for decode in decoders:
        try:
            decode(value)
        except Poison:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["title", "price", "gender", "season", "x"]), JSON))
def test_any_metadata_is_typed_or_poison(metadata):
    """Whatever JSON a shop sends, metadata_of gives strings and a finite price, or Poison naming a metadata field."""
    try:
        typed = metadata_of(Upload("a", ImageRef(uri="s3://x"), metadata))
    except Poison as error:
        refused = error
    else:
        assert all(isinstance(value, str) for value in (typed.title, typed.gender, *typed.facets.values()))
        assert typed.price is None or abs(typed.price) < float("inf")
        return
    assert refused.field.startswith("metadata")


def test_answers_are_told_apart():
    """Hits and Found share a topic; the tag says which it is."""
    assert isinstance(codecs.decode_answer(encode(RECORDS[2][0])), Hits)
    assert isinstance(codecs.decode_answer(encode(RECORDS[3][0])), Found)
    assert Answer == Hits | Found
