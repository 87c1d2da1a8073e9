"""Credits for photos: reserved when a message is let in, given back as soon as the photo's real size is known.

A message of a hundred bytes may name a photo of 32 MiB. Let in for its own size, a thousand of them would be fetched
before the first was counted: a slow device would then have gigabytes waiting in front of it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from processors import decode
from processors.errors import Poison
from processors.photo_roles import MAX_PHOTOS
from streams.contract import plain
from streams.engine.message import Message, message_bytes

SHOWN_BYTES = 6 * 2**20
"""What the models are shown of one photo, at most: the detector's picture, or nine views of 224×224×3 float32."""


class _Image(msgspec.Struct):
    uri: str | None = None


class _Named(msgspec.Struct):
    """All that a message has to say here: whether it names photos that have to be fetched."""

    image: _Image | None = None
    images: list[_Image] | None = None


_DECODER = msgspec.json.Decoder(_Named)


def charge(max_image_bytes: int, max_side: int) -> Callable[[Message], int]:
    """The `charge` of a role whose messages (uploads, queries) name photos.

    Args:
        max_image_bytes: the most that is fetched for one photo.
        max_side: longest side, in pixels, that is kept of it.
    """
    reserve = max_image_bytes + max_side * max_side * 3 + SHOWN_BYTES

    def credits_of(message: Message) -> int:
        return message_bytes(message) + reserve * _photos_named(message)

    return credits_of


def held_by(data: bytes, max_side: int) -> int:
    """Credits of a photo that was read, until it is decoded: its bytes, and what it is going to become."""
    return len(data) + decode.kept_bytes(data, max_side) + SHOWN_BYTES


def nbytes(ready: object) -> int:
    """Bytes of what a model's `prepare` gave, where it says so (arrays and tensors); `SHOWN_BYTES` otherwise."""
    found = getattr(ready, "nbytes", None)
    return found if isinstance(found, int) else SHOWN_BYTES


def _photos_named(message: Message) -> int:
    if not message.value:
        return 0
    try:
        named = _DECODER.decode(plain.json_of(message.value))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Poison):
        return 0  # it will be refused, and nothing is fetched for it
    photos = (named.image, *(named.images or ())[:MAX_PHOTOS])
    return sum(photo is not None and photo.uri is not None for photo in photos)
