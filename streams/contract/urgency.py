"""What a record says of its own urgency, and of which product it is: looked at in records whose turn has not come."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from processors.errors import Poison
from processors.identity import key_of
from streams.contract import plain
from streams.contract.cloudevents import unwrapped
from streams.contract.codecs import deleted_product
from streams.contract.topics import UPLOADS
from streams.engine.message import PRIORITY, URGENT, Message


@dataclass(frozen=True, slots=True)
class Said:
    """`product`: its key (`processors.identity`), of which the record's key may be the id alone; empty where nothing says it."""

    product: bytes
    urgent: bool


class _Upload(msgspec.Struct):
    """All that is looked at here; whatever else is wrong is said by whoever decodes it in full."""

    product_id: str | None = None
    shop: str | None = None
    priority: str | None = None


_DECODER = msgspec.json.Decoder(_Upload)
_NOTHING = _Upload()
_SAYS = re.compile(rb"shop|priority|//|\\|data_base64")


def said_of(message: Message) -> Said:
    """Of a record of `catalog.uploads` or `catalog.items`. Never raises."""
    urgent = message.header(PRIORITY) == URGENT
    if message.topic != UPLOADS:
        return Said(message.key or b"", urgent)
    if message.key and _is_silent(message):
        return Said(message.key, urgent)  # whatever its value calls itself: see below
    if not message.value:
        return Said(_deleted(message), urgent)
    upload = _read(message)
    said = key_of(upload.shop or "", upload.product_id or "").encode(errors="replace")
    # Under another key than its own it is refused, and counts for the product of that key.
    own = not message.key or message.key in {said, (upload.product_id or "").encode(errors="replace")}
    return Said(said if own and upload.product_id else message.key or b"", urgent or upload.priority == URGENT.decode())


def says_more(message: Message) -> bool:
    """Whether `said_of` has to be asked whether a record is urgent. Most records do not mention it, which is seen without decoding."""
    if message.topic != UPLOADS or message.header(PRIORITY) is not None:
        return True
    value = message.value or b""
    return not (_is_silent(message) or not value or (_is_plain(value) and b"priority" not in value))


def says_shop(message: Message) -> bool:
    """The same of whether its product is of a shop: not where neither key nor value can name one."""
    if message.topic == UPLOADS and _is_silent(message):
        return False
    value = message.value or b""
    if message.topic != UPLOADS or not value or not _is_plain(value):
        return True
    # A key that begins as those of shops do, or an id that does.
    return b"shop" in value or b"//" in value or (message.key or b"").startswith(b"//")


def _is_silent(message: Message) -> bool:
    """Whether nothing in it can name a shop, ask for haste or hide that it does: asked four times of each of thousands a second."""
    value = message.value or b""
    return value[:2] == b'{"' and _SAYS.search(value) is None and (message.key or b"")[:2] != b"//"


def _is_plain(value: bytes) -> bool:
    """Not in another encoding, with an escaped name, or an event around base64: then only who decodes it can tell."""
    utf_16 = value[1:2] == b"\0"
    return value[:1] == b"{" and not utf_16 and b"\\" not in value and b"data_base64" not in value


def _deleted(message: Message) -> bytes:
    try:
        return key_of(*deleted_product(message)).encode(errors="replace")
    except Poison:
        return message.key or b""


def _read(message: Message) -> _Upload:
    try:
        return _DECODER.decode(plain.json_of(unwrapped(message).value or b""))
    except (msgspec.DecodeError, UnicodeError, RecursionError, Poison):
        return _NOTHING
