"""Bytes to records and back, for every topic; and the checks of EVENTS.md that types cannot express.

Whatever is wrong with an input raises `Poison` naming the field ("image.uri"); a bad query raises `BadQuery`, which
also knows the query and the error code, because a query is never left without an answer.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from processors.errors import Code, Poison
from processors.identity import checked_shop, key_of, shop_of, split
from streams.contract import plain
from streams.contract.checks import BadQuery, check_id, check_photos, check_query
from streams.contract.cloudevents import unwrapped
from streams.contract.lenders import with_start
from streams.contract.limits import MAX_DEPTH, MAX_DIMENSION, MAX_ID_BYTES
from streams.contract.probes import Answer, Found, Hits, LookupProbe, Probe, SearchProbe
from streams.contract.records import (
    Caption,
    Duplicates,
    Feedback,
    Generation,
    ImageRef,
    Item,
    Match,
    Neighbours,
    Pictured,
    Query,
    QueryImage,
    Record,
    Result,
    Triplet,
    Upload,
    UploadPhoto,
)
from streams.contract.versions import version_of
from streams.engine.message import SHOP, Message

T = TypeVar("T")

ACTIONS = ("click", "basket", "buy", "return")
"""What a shopper may have done with a hit."""

# Dict keys are sorted: a re-delivered message must give the same bytes again.
_JSON = msgspec.json.Encoder(order="deterministic")
_MSGPACK = msgspec.msgpack.Encoder(order="deterministic")
_MACHINE_RECORDS = (Item, LookupProbe, SearchProbe, Hits, Found)

_UPLOAD = msgspec.json.Decoder(Upload)
_CAPTION = msgspec.json.Decoder(Caption)
_TRIPLET = msgspec.json.Decoder(Triplet)
_QUERY = msgspec.json.Decoder(Query)
_RESULT = msgspec.json.Decoder(Result)
_GENERATION = msgspec.json.Decoder(Generation)
_MATCH = msgspec.json.Decoder(Match)
_NEIGHBOURS = msgspec.json.Decoder(Neighbours)
_DUPLICATES = msgspec.json.Decoder(Duplicates)
_PICTURED = msgspec.json.Decoder(Pictured)
_FEEDBACK = msgspec.json.Decoder(Feedback)
_ITEM = msgspec.msgpack.Decoder(Item)
_PROBE: msgspec.msgpack.Decoder[Probe] = msgspec.msgpack.Decoder(Probe)
_ANSWER: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)

# What msgspec raises for bytes that are no record: also for nesting without end, and for text that is not UTF-8.
_UNDECODABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_PATH = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")
_NO_NAME = re.compile(r"Invalid enum value (?P<name>'.*')", re.DOTALL)
_NAMES = {"priority": ("normal", "high")}
"""Fields that take certain names only."""


def encode(record: Record) -> bytes:
    """The value of a record on its topic: MessagePack where machines read, JSON where people do."""
    return _MSGPACK.encode(record) if isinstance(record, _MACHINE_RECORDS) else _JSON.encode(record)


def decode_upload(message: Message) -> Upload | None:
    """A checked upload; None is the deletion of the product in the key (`deleted_product`). Raises `Poison`."""
    message = unwrapped(message)
    key = _key_text(message)
    if not message.value:  # an empty value too: some clients cannot write a null
        shop, product_id = deleted_product(message)
        checked_shop(shop or None)
        check_id(product_id, "key")
        return None
    upload = _with_data(decode_given(_UPLOAD, message.value, Upload))
    check_id(upload.product_id, "product_id")
    product = key_of(checked_shop(upload.shop), upload.product_id)
    # An empty key is none, as some clients cannot write a null.
    if message.key and key not in {upload.product_id, product}:
        # Partition and compaction go by the key: under another key an update would not replace its predecessor.
        raise Poison("differs from the record's key", field="product_id", code=Code.WRONG_KEY)
    check_photos(upload)
    version_of(upload.version)
    return upload


def deleted_product(message: Message) -> tuple[str, str]:
    """Shop and id of the product that a null value deletes: its key says both, or the key the id, and a header the shop.

    Raises:
        Poison: the key is not UTF-8.
    """
    key, shop = _key_text(message), (message.header(SHOP) or b"")[:1024].decode(errors="replace")
    return (shop, key) if shop and not shop_of(key) else split(key)


def images_of(item: Item) -> tuple[str, ...]:
    """The addresses of all photos of an item, its image first."""
    further = [photo.image for photo in item.photos] if isinstance(item.photos, tuple) else []
    return tuple(dict.fromkeys(address for address in (item.image, *further) if address))


def decode_query(message: Message) -> Query:
    """A checked query. Raises `BadQuery`."""
    fallback = (message.key or b"")[:MAX_ID_BYTES].decode(errors="replace")
    if message.value is None:
        raise BadQuery("has no value", code=Code.MALFORMED, query_id=fallback)
    try:
        query = decode_given(_QUERY, unwrapped(message).value or b"", Query)
    except Poison as error:
        known = fallback or _query_id_in(message.value)
        raise BadQuery(error.message, code=error.code, query_id=known, field=error.field) from error
    return _checked_query(query, fallback)


def decode_standing(message: Message) -> Query:
    """A checked standing query: its key is its id, which the value may leave out. Filters alone are a query here.

    Raises:
        BadQuery: it is none, or goes by another id than its key.
    """
    if message.value is None:
        raise BadQuery("has no value", code=Code.MALFORMED, query_id="")
    try:
        key = _key_text(message)
        check_id(key, "key")
        value = plain.json_of(unwrapped(message).value or b"")
        query = decode_given(_QUERY, _with_id(value, key), Query)
    except Poison as error:
        known = (message.key or b"")[:MAX_ID_BYTES].decode(errors="replace")
        code = Code.INVALID if error.code is Code.WRONG_KEY else error.code
        raise BadQuery(error.message, code=code, query_id=known, field=error.field) from error
    if query.query_id != key:
        raise BadQuery("differs from the record's key", code=Code.INVALID, query_id=key, field="query_id")
    if query.previous is not None:
        raise BadQuery("a standing query stands by itself", code=Code.INVALID, query_id=key, field="previous")
    return _checked_query(query, key, filters_alone=True)


def _with_id(value: bytes, key: str) -> bytes:
    try:
        document = msgspec.json.decode(value)
    except _UNDECODABLE:
        return value
    if not isinstance(document, dict) or document.get("query_id") is not None:
        return value
    return msgspec.json.encode({**document, "query_id": key})


def _checked_query(query: Query, fallback: str, *, filters_alone: bool = False) -> Query:
    try:
        query = with_start(_with_data(query))
        for one in query.images:
            check_id(one.product_id or "", f"images[{one.role}].product_id")
    except Poison as error:
        known = (query.query_id or fallback)[:MAX_ID_BYTES]
        raise BadQuery(error.message, code=error.code, query_id=known, field=error.field) from error
    check_query(query, query.query_id or fallback, filters_alone=filters_alone)
    given = {name: value for name, value in query.filters.items() if value is not None}
    plain = {
        name: tuple(one for one in value if one is not None) if isinstance(value, list) else value
        for name, value in given.items()
    }
    return query if plain == query.filters else msgspec.structs.replace(query, filters=plain)


def decode_item(value: bytes) -> Item:
    """A checked record of `catalog.items`: every vector has `dimension` float32 values. Raises `Poison`.

    Several roles make arrays of them: a length that does not fit would end each of them, again after each restart.
    """
    item = _decode(_ITEM, value)
    if not 1 <= item.dimension <= MAX_DIMENSION:
        raise Poison(f"is not within 1..{MAX_DIMENSION}", field="dimension", code=Code.OUT_OF_RANGE)
    if any(len(view.vector) != 4 * item.dimension for view in item.views):
        raise Poison(f"is not {item.dimension} float32 values", field="views.vector", code=Code.OUT_OF_RANGE)
    return item


def decode_caption(value: bytes) -> Caption:
    """A record of `catalog.captions`. Raises `Poison`."""
    return _decode(_CAPTION, value)


def decode_triplet(value: bytes) -> Triplet:
    """A record of `catalog.triplets`. Raises `Poison`."""
    return _decode(_TRIPLET, value)


def decode_result(value: bytes) -> Result:
    """A record of `search.results`. Raises `Poison`."""
    return _decode(_RESULT, value)


def decode_probe(value: bytes) -> Probe:
    """A record of `search.probes`. Raises `Poison`."""
    return _decode(_PROBE, value)


def decode_answer(value: bytes) -> Answer:
    """A record of `search.hits`. Raises `Poison`."""
    return _decode(_ANSWER, value)


def decode_generation(value: bytes) -> Generation:
    """A record of `index.control`. Raises `Poison`."""
    return _decode(_GENERATION, value)


def decode_match(value: bytes) -> Match:
    """A record of `search.matches`. Raises `Poison`."""
    return _decode(_MATCH, value)


def decode_neighbours(value: bytes) -> Neighbours:
    """A record of `catalog.similar`. Raises `Poison`."""
    return _decode(_NEIGHBOURS, value)


def decode_duplicates(value: bytes) -> Duplicates:
    """A record of `catalog.duplicates`. Raises `Poison`."""
    return _decode(_DUPLICATES, value)


def decode_pictured(value: bytes) -> Pictured:
    """A record of `catalog.pictured`. Raises `Poison`."""
    return _decode(_PICTURED, value)


def decode_feedback(message: Message) -> Feedback:
    """A checked record of `search.feedback`. Raises `Poison`."""
    feedback = decode_given(_FEEDBACK, unwrapped(message).value or b"", Feedback)
    check_id(feedback.query_id, "query_id")
    check_id(feedback.product_id, "product_id")
    if feedback.action not in ACTIONS:
        named = f"{feedback.action[:50]!r} is none of {', '.join(ACTIONS)}"
        raise Poison(named, field="action", code=Code.UNKNOWN_NAME)
    if feedback.rank is not None and not 1 <= feedback.rank <= MAX_DEPTH:
        raise Poison(f"is not within 1..{MAX_DEPTH}", field="rank", code=Code.OUT_OF_RANGE)
    checked_shop(feedback.shop)
    return feedback


# ---------------------------------------------------------------- inside


def _decode(decoder: msgspec.json.Decoder[T] | msgspec.msgpack.Decoder[T], value: bytes) -> T:
    try:
        return decoder.decode(value)
    except _UNDECODABLE as error:
        half = None if isinstance(error, msgspec.ValidationError) else plain.half_character(value)
        if half is None:
            raise _poison_of(error) from error
        raise Poison(
            f"holds half a character ({half[1]}: a text that was cut in the middle of one)",
            field=half[0],
            code=Code.MALFORMED,
        ) from error


def decode_given(decoder: msgspec.json.Decoder[T], value: bytes, record: type[T]) -> T:
    """What people and other programs write: see `streams.contract.plain` for what is accepted around it.

    A null means that the field is not set, whatever its type.
    """
    value = plain.json_of(value)
    try:
        return _decode(decoder, value)
    except Poison as error:
        if error.code is Code.MALFORMED:
            raise
        try:
            document = msgspec.json.decode(plain.with_plain_base64(value) or value)
        except _UNDECODABLE:  # in a place to which the first reader did not come
            raise error from None
        try:
            return msgspec.convert(_without_nulls(document, record), record)
        except msgspec.ValidationError as second:
            raise _poison_of(second) from error


def _without_nulls(value: object, record: type[Any] | None = None) -> object:
    """The same document without the members, and the elements of lists, that are null.

    Within the metadata of an upload a null removes a field.
    """
    if isinstance(value, dict):
        as_it_is = "metadata" if record is Upload else None
        return {
            name: inner if name == as_it_is else _without_nulls(inner)
            for name, inner in value.items()
            if inner is not None
        }
    return [_without_nulls(inner) for inner in value if inner is not None] if isinstance(value, list) else value


_WithPhotos = TypeVar("_WithPhotos", Upload, Query)
_Photo = TypeVar("_Photo", ImageRef, UploadPhoto, QueryImage)


def _with_data(record: _WithPhotos) -> _WithPhotos:
    """The record with the photos whose address holds them ("data:…") as their bytes. Raises `Poison`."""
    image = None if record.image is None else inlined(record.image, "image")
    further = record.images and tuple(inlined(one, f"images[{n}]") for n, one in enumerate(record.images))
    if image is record.image and further == record.images:
        return record
    return msgspec.structs.replace(record, image=image, images=further)


def inlined(photo: _Photo, field: str) -> _Photo:
    """The photo with the bytes that its address ("data:…") holds. Raises `Poison`."""
    try:
        data = plain.data_in(photo.uri)
    except Poison as error:
        raise Poison(error.message, field=f"{field}.uri", code=error.code) from None
    if data is None:
        return photo
    if photo.bytes is not None:
        raise Poison("needs exactly one source", field=field, code=Code.INVALID)
    return msgspec.structs.replace(photo, uri=None, bytes=data)


def _poison_of(error: Exception) -> Poison:
    return Poison(_message_of(error), field=_field_of(error), code=_code_of(error))


def _code_of(error: Exception) -> Code:
    if not isinstance(error, msgspec.ValidationError):
        return Code.MALFORMED
    if _NO_NAME.match(str(error)):
        return Code.UNKNOWN_NAME
    return Code.MISSING_FIELD if _MISSING.search(str(error)) else Code.WRONG_TYPE


def _field_of(error: Exception) -> str:
    """`$.image` and a missing `uri` → "image.uri"; "value" where the record as a whole is at fault."""
    text = str(error)
    path = match["path"] if (match := _PATH.search(text)) else ""
    missing = f".{match['name']}" if (match := _MISSING.search(text)) else ""
    return f"{path}{missing}".lstrip(".") or "value"


def _message_of(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8: {error.reason}"
    text = _PATH.sub("", str(error))
    named, known = _NO_NAME.match(text), _NAMES.get(_field_of(error))
    return f"{named['name']} is none of {', '.join(known)}" if named and known else text


def _query_id_in(value: bytes) -> str:
    """The id of a query that does not decode as one, if anything in it looks like an id."""
    try:
        found = msgspec.json.decode(value)
    except _UNDECODABLE:
        return ""
    query_id = found.get("query_id") if isinstance(found, dict) else None
    return query_id[:MAX_ID_BYTES] if isinstance(query_id, str) else ""


def _key_text(message: Message) -> str:
    try:
        return (message.key or b"").decode()
    except UnicodeDecodeError as error:
        raise Poison("is not UTF-8", field="key", code=Code.WRONG_KEY) from error
