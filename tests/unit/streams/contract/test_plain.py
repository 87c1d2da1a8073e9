"""What producers put around a record: accepted where its meaning is plain, else named."""

import base64
import json

import pytest

from processors.errors import Poison
from streams.contract import topics
from streams.contract.checks import BadQuery
from streams.contract.codecs import decode_query, decode_upload
from streams.contract.metadata import metadata_of
from streams.contract.plain import data_in
from streams.engine.message import Message
from streams.roles import reserve

PHOTO = bytes(range(256)) + b"\xfb\xff\xfe"  # holds both characters that the URL-safe alphabet writes otherwise
PLAIN = json.dumps({"product_id": "sku-1", "image": {"uri": "https://shop.test/ä.jpg"}}, ensure_ascii=False)
FRAME = b"\0\0\0\x01\x07"


def message(value: bytes, topic: str = topics.UPLOADS) -> Message:
    return Message(topic, 0, 0, b"sku-1", value)


def inline(text: str) -> bytes:
    return json.dumps({"product_id": "sku-1", "image": {"bytes": text}}).encode()


@pytest.mark.parametrize(
    "value",
    [
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        FRAME + PLAIN.encode(),
        FRAME + b"\xef\xbb\xbf" + PLAIN.encode(),
        FRAME + b"\n " + PLAIN.encode(),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-16-be"),
        json.dumps(PLAIN).encode(),
        b"\x03\0" + bytes(range(16)) + PLAIN.encode(),  # Amazon's Glue registry
        # Kafka Connect's JsonConverter, with a schema, without one, and around a text.
        b'{"schema":{"type":"struct","fields":[],"optional":false},"payload":' + PLAIN.encode() + b"}",
        b' { "schema" : null, "payload": ' + PLAIN.encode() + b"}",
        b'{"schema":{"type":"string"},"payload":' + json.dumps(PLAIN).encode() + b"}",
    ],
)
def test_what_stands_around_a_record_is_taken_off(value: bytes) -> None:
    """Byte-order marks, UTF-16, and the frame of a schema registry before JSON; its photo is reckoned with, too."""
    upload = decode_upload(message(value))
    assert upload is not None
    assert (upload.product_id, upload.image.uri) == ("sku-1", "https://shop.test/ä.jpg")
    assert reserve.charge(10**6, 10)(message(value)) > 10**6


def test_a_record_with_a_field_called_schema_is_itself() -> None:
    """Only an envelope that holds nothing else is taken off."""
    upload = decode_upload(message(b'{"schema": "v1", ' + PLAIN.encode()[1:]))
    assert upload is not None
    assert upload.product_id == "sku-1"
    with pytest.raises(Poison):
        decode_upload(message(b'{"schema": null, "payload": '))


@pytest.mark.parametrize("value", [FRAME + b"\x0asku-1\x02", b"\0\0\0\0\x01\x02\x08abc"])
def test_a_frame_around_avro_or_protobuf_is_named(value: bytes) -> None:
    """The letter tells what came, and the query's answer too."""
    with pytest.raises(Poison, match=r"frame of a schema registry \(id \d+\), and what follows is no JSON") as caught:
        decode_upload(message(value))
    assert caught.value.field == "value"
    with pytest.raises(BadQuery, match=r"^value: has the frame of a schema registry"):
        decode_query(message(value, topics.QUERIES))
    assert reserve.charge(10**6, 10)(message(value)) < 10**6


def test_an_address_that_holds_its_photo_is_its_bytes() -> None:
    """What a browser's form sends ("data:image/jpeg;base64,…"), in uploads and queries; one without base64 is named."""
    uri = "data:image/jpeg;base64," + base64.b64encode(PHOTO).decode()
    upload = decode_upload(message(json.dumps({"product_id": "sku-1", "images": [{"uri": uri}]}).encode()))
    assert upload is not None
    assert [(photo.uri, photo.bytes) for photo in upload.images or ()] == [(None, PHOTO)]
    query = decode_query(message(json.dumps({"query_id": "q", "image": {"uri": uri}}).encode(), topics.QUERIES))
    assert query.image is not None
    assert query.image.bytes == PHOTO
    with pytest.raises(Poison, match="without base64") as caught:
        decode_upload(message(b'{"product_id": "sku-1", "image": {"uri": "data:image/svg+xml,%3Csvg"}}'))
    assert caught.value.field == "image.uri"


def test_a_null_in_a_list_is_not_set() -> None:
    """Of photos, turns, filters, sizes and tags the others count."""
    said = {"sizes": [None, "S"], "tags": ["new", None], "category_path": [None, "Dresses"]}
    record = {"product_id": "sku-1", "images": [{"uri": "images/a.jpg"}, None], "metadata": said}
    upload = decode_upload(message(json.dumps(record).encode()))
    assert upload is not None
    assert len(upload.images or ()) == 1
    typed = metadata_of(upload)
    assert (typed.sizes, typed.tags, typed.category_path) == (("S",), ("new",), ("Dresses",))
    asked = {"query_id": "q", "text": "red", "edits": [None, "blue"], "filters": {"gender": ["men", None]}}
    query = decode_query(message(json.dumps(asked).encode(), topics.QUERIES))
    assert (query.edits, query.filters) == (("blue",), {"gender": ("men",)})


def test_an_empty_key_is_none() -> None:
    """Some clients cannot write a null; a deletion needs the key all the same."""
    assert decode_upload(Message(topics.UPLOADS, 0, 0, b"", PLAIN.encode())) is not None
    with pytest.raises(Poison, match="is empty"):
        decode_upload(Message(topics.UPLOADS, 0, 0, b"", None))


def test_utf_16_that_is_none_is_named() -> None:
    """A mark alone makes no text."""
    with pytest.raises(Poison, match="begins like UTF-16"):
        decode_upload(message(b"\xff\xfe\x00"))


STRICT = base64.b64encode(PHOTO).decode()


@pytest.mark.parametrize(
    "text",
    [
        STRICT,
        f"data:image/jpeg;base64,{STRICT}",
        f"data:image/svg+xml;charset=utf-8;base64,{STRICT}",
        f"DATA:image/png;BASE64,{STRICT}",
        base64.encodebytes(PHOTO).decode(),
        base64.encodebytes(PHOTO).decode().replace("\n", "\r\n"),
        base64.urlsafe_b64encode(PHOTO).decode(),
        STRICT.rstrip("="),
        f"data:image/jpeg;base64,\n{base64.urlsafe_b64encode(PHOTO).decode().rstrip('=')}",
    ],
)
def test_base64_as_programs_write_it(text: str) -> None:
    """Prefixes, line breaks, the URL-safe alphabet and missing padding: the same bytes, of an upload and of a query."""
    upload = decode_upload(message(inline(text)))
    assert upload is not None
    assert upload.image.bytes == PHOTO
    query = decode_query(message(json.dumps({"query_id": "q", "image": {"bytes": text}}).encode(), topics.QUERIES))
    assert query.image is not None
    assert query.image.bytes == PHOTO


@pytest.mark.parametrize("text", ["%%%", "data:image/jpeg,raw", "data:,", "abcde", "ab c!"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    """Lenience ends where bytes would be made up; the field is named."""
    with pytest.raises(Poison) as caught:
        decode_upload(message(inline(text)))
    assert caught.value.field == "image.bytes"


@pytest.mark.parametrize("value", [None, b""])
def test_an_empty_value_deletes_as_a_null_does(value: bytes | None) -> None:
    """Clients that cannot write a null write nothing."""
    assert decode_upload(Message(topics.UPLOADS, 0, 0, b"sku-1", value)) is None
    with pytest.raises(Poison):
        decode_upload(Message(topics.UPLOADS, 0, 0, None, value))


@pytest.mark.parametrize(
    ("value", "field", "half"),
    [
        (r'{"product_id": "a", "metadata": {"title": "Kleid \ud83d"}}', "metadata.title", r"\ud83d"),
        (r'{"product_id": "a", "metadata": {"title": "Kleid \ud83d und mehr"}}', "metadata.title", r"\ud83d"),
        (r'{"product_id": "a", "metadata": {"tags": ["x", "\udc57 y"]}}', "metadata.tags[1]", r"\udc57"),
        (r'{"product_id": "a", "images": [{"uri": "x"}, {"uri": "\ud83d\ud83d\udc57"}]}', "images[1].uri", r"\ud83d"),
        (r'{"product_id": "\uDC57\ud83d"}', "product_id", r"\uDC57"),
        (r'"\ud83d"', "value", r"\ud83d"),
    ],
)
def test_half_a_character_is_named_with_its_field(value: str, field: str, half: str) -> None:
    """A title cut in the middle of an emoji is no truncated record: whoever sent it would look for the fault in the transport."""
    for decode, topic in ((decode_upload, topics.UPLOADS), (decode_query, topics.QUERIES)):
        with pytest.raises(Poison) as caught:
            decode(message(value.encode(), topic))
        assert (caught.value.code, caught.value.field) == ("malformed", field)
        assert f"half a character ({half}:" in caught.value.message


@pytest.mark.parametrize(
    "value", [r'{"product_id": "\ud83d", "x": "\ud8', '{"product_id": "a', r'{"product_id": "\\ud83d']
)
def test_what_is_truncated_is_called_so(value: str) -> None:
    """Half a character beside the cut, or what only looks like one behind an escaped backslash, hides nothing."""
    with pytest.raises(Poison, match=r"truncated|malformed") as caught:
        decode_upload(message(value.encode()))
    assert caught.value.field == "value"


def test_pairs_and_escaped_backslashes_are_text() -> None:
    """Emoji as pairs of escapes, and a backslash before "ud83d", are what the shop wrote."""
    upload = decode_upload(message(rb'{"product_id": "sku-1", "metadata": {"title": "\ud83d\udc57 \\ud83d"}}'))
    assert upload is not None
    assert metadata_of(upload).title == "\U0001f457 \\ud83d"


@pytest.mark.parametrize(
    "uri",
    [
        "data:;base64,{}",  # RFC 2397: the type may be left out
        "data:;charset=utf-8;base64,{}",
        "DATA:IMAGE/JPEG;BASE64,{}",
        "data:image/jpeg;base64,{escaped}",
    ],
)
def test_an_address_that_holds_its_bytes(uri: str) -> None:
    """Without a type, and escaped as addresses are."""
    text = base64.b64encode(PHOTO).decode()
    escaped = text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    assert data_in(uri.format(text, escaped=escaped)) == PHOTO
