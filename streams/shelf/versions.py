"""Versions of the shelf (`streams.facets.kept_versions`): `shelf/versions/<hash>.msgpack`, `shelf/live.json`."""

from __future__ import annotations

from streams.facets.kept_versions import Versions
from streams.shelf import shelf

SHELF = Versions("the shelf", "shelf", ".msgpack", shelf.MAX_BYTES, shelf.version_of, shelf.decode)
LIVE, PREFIX = SHELF.live_key, SHELF.prefix
key_of, listed, find, put, use, roll_back = (
    SHELF.key_of,
    SHELF.listed,
    SHELF.find,
    SHELF.put,
    SHELF.use,
    SHELF.roll_back,
)
read, read_live = SHELF.read, SHELF.read_live
