"""What producers put around a JSON record whose meaning is plain all the same: it is taken off before the record is read.

A frame of a schema registry (a zero byte, four bytes of schema id; Amazon's: 3, 0, sixteen bytes), a byte-order mark, UTF-16, a JSON string that holds the JSON
(encoded twice), Kafka Connect's `{"schema": …, "payload": …}`; in the `bytes` of photos a `data:` prefix, line breaks, escapes (`%2B`), the URL-safe alphabet, missing padding.
"""

from __future__ import annotations

import base64
import re
from itertools import pairwise
from urllib.parse import unquote

import msgspec

from processors.errors import Code, Poison

_FRAME_BYTES = 5
_CONNECT = re.compile(rb'\s*\{\s*"schema"\s*:')
"""So begins what Connect's JsonConverter writes where its schemas are on, as they are unless somebody turned them off."""
_PLAIN_START, _SCHEMA_START = b'{"', b'{"schema"'
"""With its first member right behind the brace, and that not Connect's, a value has nothing around it."""
_GLUE_START, _GLUE_BYTES = b"\x03\0", 18
"""Amazon's Glue registry: its version, 0 for what is not packed, and the id of the schema's version."""
_BLANK = b" \t\r\n"
_JSON_STARTS = (b"{", b"[", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_UTF16_STARTS = {b"{\0": "utf-16-le", b"\0{\0": "utf-16-be"}
"""Of UTF-16 without its mark; the frame of a schema registry has no zero byte after a brace."""
_DATA_SCHEME = "data:"
_DATA_PREFIX = re.compile(r"\s*data:(?:[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*;base64,", re.ASCII | re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\n]+")
_URL_SAFE = str.maketrans("-_", "+/")
_UNDECODABLE = (msgspec.DecodeError, RecursionError, UnicodeError)
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_NO_CHARACTER = "\uffff"


def json_of(value: bytes) -> bytes:
    """The JSON in the value of a record, in UTF-8; a value without anything around it is returned as it is.

    Raises:
        Poison: the frame of a schema registry around something that is no JSON, or UTF-16 that is none.
    """
    if value.startswith(_PLAIN_START) and not value.startswith(_SCHEMA_START):
        return value  # as nearly all: it is asked several times for a record
    return _taken_off(value)


def _taken_off(value: bytes) -> bytes:
    """As `json_of`, whatever is around it."""
    for start, encoding in _UTF16_STARTS.items():
        if value.startswith(start) and len(value) % 2 == 0:
            value = b"\xef\xbb\xbf" + value.decode(encoding, "replace").encode()
    if value[:1] == b"\0" and len(value) > _FRAME_BYTES:
        inner = value[_FRAME_BYTES:]
        if not inner.lstrip(_BLANK).startswith(_JSON_STARTS):
            raise Poison(
                f"has the frame of a schema registry (id {int.from_bytes(value[1:5])}), and what follows is no JSON",
                field="value",
                code=Code.MALFORMED,
            )
        value = inner
    elif value.startswith(_GLUE_START) and value[_GLUE_BYTES:].lstrip(_BLANK).startswith(_JSON_STARTS):
        value = value[_GLUE_BYTES:]
    if value.startswith(_UTF8_BOM):
        return value[len(_UTF8_BOM) :]
    if value.startswith(_UTF16_BOMS):
        try:
            return value.decode("utf-16").encode()
        except UnicodeError as error:
            raise Poison("begins like UTF-16 and is none", field="value", code=Code.MALFORMED) from error
    if _CONNECT.match(value):
        value = _payload(value)
    return _decoded_again(value) if value.startswith(b'"') else value


def _payload(value: bytes) -> bytes:
    """What an envelope of Kafka Connect holds; any other record as it is."""
    try:
        found = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except _UNDECODABLE:
        return value
    return bytes(found["payload"]) if found.keys() == {"schema", "payload"} else value


def _decoded_again(value: bytes) -> bytes:
    """What a JSON string holds, where that looks like a JSON object; else the string."""
    try:
        inner = msgspec.json.decode(value, type=str)
    except _UNDECODABLE:
        return value
    return inner.encode() if inner.lstrip().startswith("{") else value


def half_character(value: bytes) -> tuple[str, str] | None:
    """Of JSON that does not decode only because of half a character: the field that holds it ("metadata.title"), and the half.

    Programs that cut a text in the middle of an emoji write the half that is left as an escape. The decoder says of it that
    the input was truncated, or names a byte, and whoever sent it looks for the fault in the transport.
    """
    marked, first = _without_halves(value)
    if first is None or _NO_CHARACTER.encode() in value:
        return None
    try:
        return _path_to(msgspec.json.decode(marked), _NO_CHARACTER) or "value", first
    except _UNDECODABLE:  # something else is wrong with it
        return None


def _without_halves(value: bytes) -> tuple[bytes, str | None]:
    """The JSON with `_NO_CHARACTER` in the place of each surrogate that is no half of a pair, and the first of these."""
    escapes = list(_ESCAPE.finditer(value))
    codes = [int(escape[1], 16) if escape[1] else 0 for escape in escapes]
    paired: set[int] = set()
    for number, (one, two) in enumerate(pairwise(codes)):
        if 0xD800 <= one < 0xDC00 <= two < 0xE000 and escapes[number].end() == escapes[number + 1].start():
            paired |= {number, number + 1}
    lone = [one for n, one in enumerate(escapes) if 0xD800 <= codes[n] < 0xE000 and n not in paired]
    if not lone:
        return value, None
    parts, end = [], 0
    for escape in lone:
        parts += [value[end : escape.start()], _NO_CHARACTER.encode()]
        end = escape.end()
    return b"".join([*parts, value[end:]]), lone[0][0].decode()


def _path_to(value: object, text: str) -> str | None:
    """Where in a document a string (or the name of a member) holds `text`: "images[0].uri"; None if nowhere."""
    if isinstance(value, str):
        return "" if text in value else None
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in named:
        if isinstance(name, str) and text in name:
            return name.replace(text, "?")
        if (found := _path_to(inner, text)) is not None:
            step = f"[{name}]" if isinstance(name, int) else name
            return f"{step}{'' if not found or found.startswith('[') else '.'}{found}"
    return None


def base64_of(text: str) -> str:
    """Base64 in its strict form."""
    plain = _DATA_PREFIX.sub("", text, count=1)
    plain = unquote(plain) if "%" in plain else plain  # base64 has no such sign, and addresses are escaped
    plain = _BLANKS.sub("", plain).translate(_URL_SAFE).rstrip("=")
    return plain + "=" * (-len(plain) % 4)


def data_in(uri: str | None) -> bytes | None:
    """The bytes that an address holds itself ("data:image/jpeg;base64,…"); None for one that leads elsewhere.

    Raises:
        Poison: it holds no base64.
    """
    if uri is None or not uri[:64].lstrip().casefold().startswith(_DATA_SCHEME):
        return None
    try:
        if _DATA_PREFIX.match(uri) is None:
            raise ValueError("no `;base64,`")
        return base64.b64decode(base64_of(uri), validate=True)
    except ValueError as error:
        raise Poison(f"is a data: address without base64 ({error})", field="uri", code=Code.MALFORMED) from None


def with_plain_base64(value: bytes) -> bytes | None:
    """The JSON record with the base64 of the photos' `bytes` in its strict form; None where that changes nothing.

    Called for what does not decode only: a strict record never pays for it.
    """
    try:
        record = msgspec.json.decode(value)
    except _UNDECODABLE:
        return None
    if not isinstance(record, dict):
        return None
    further = record.get("images")
    photos = [record.get("image"), *(further if isinstance(further, list) else [])]
    changed = sum(map(_made_plain, photos))
    return msgspec.json.encode(record) if changed else None


def _made_plain(image: object) -> bool:
    """Write the base64 of one photo in its strict form; whether that changed it."""
    if not isinstance(image, dict) or not isinstance(text := image.get("bytes"), str):
        return False
    plain = base64_of(text)
    image["bytes"] = plain
    return plain != text
