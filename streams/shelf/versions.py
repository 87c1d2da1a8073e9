"""Versions of the shelf in the object store, and the one that is live: as those of facet heads.

`shelf/versions/<hash>.msgpack` never changes; `shelf/live.json` names the live one and those that were live before it.
"""

from __future__ import annotations

from infra.store import NotFound, ObjectStore
from processors.errors import Code, Poison
from streams.facets.versions import Live, change, pushed
from streams.facets.versions import read_live as _read_live
from streams.shelf import shelf

LIVE = "shelf/live.json"
PREFIX = "shelf/versions/"
SUFFIX = ".msgpack"
_SHORTEST = 6


def key_of(version: str) -> str:
    """Where a version ("sha256:…") lies."""
    return f"{PREFIX}{version.removeprefix('sha256:')}{SUFFIX}"


def read_live(store: ObjectStore) -> Live:
    """Which version is live. Blocking. Raises `Retryable` when the store is away, `Poison` when the file is damaged."""
    return _read_live(store, LIVE)


def read(store: ObjectStore, version: str) -> bytes:
    """The bytes of one version. Blocking.

    Raises:
        Poison: there is none, or its bytes are not those that its name says.
        Retryable: the store is away.
    """
    try:
        data = store.get(key_of(version), limit=shelf.MAX_BYTES)
    except NotFound:
        raise Poison(f"there is no version {version} of the shelf", field="version", code=Code.NOT_FOUND) from None
    if shelf.version_of(data) != version:
        raise Poison(f"the shelf {version} is damaged: its bytes are others", field="version")
    return data


def listed(store: ObjectStore) -> list[str]:
    """Every version in the store. Blocking."""
    keys = [key for key in store.list(PREFIX) if key.endswith(SUFFIX)]
    return [f"sha256:{key.removeprefix(PREFIX).removesuffix(SUFFIX)}" for key in keys]


def find(store: ObjectStore, name: str) -> str:
    """The version that somebody names by its hash or the beginning of it. Raises `Poison` where it is none, or several."""
    wanted = name.strip().lower().removeprefix("sha256:")
    if len(wanted) < _SHORTEST:
        raise Poison(f"{name!r}: give at least {_SHORTEST} digits of the version", field="version")
    found = [version for version in listed(store) if version.removeprefix("sha256:").startswith(wanted)]
    if len(found) != 1:
        how = "no version" if not found else f"{len(found)} versions"
        raise Poison(f"{how} of the shelf begin with {name!r}", field="version", code=Code.NOT_FOUND)
    return found[0]


def put(store: ObjectStore, data: bytes) -> str:
    """Store a version, without making it live; twice the same bytes is one version. Blocking."""
    version = shelf.version_of(data)
    shelf.decode(data, version)  # what the role would refuse must not lie there
    store.create(key_of(version), data, content_type="application/octet-stream")
    return version


def use(store: ObjectStore, version: str) -> Live:
    """Make a version live. Blocking. Raises `Poison` where it cannot be read, `Retryable` when others write all the time."""
    read(store, version)
    return change(
        store, lambda now: now if now.version == version else Live(version, pushed(now.version, now.before)), LIVE
    )


def roll_back(store: ObjectStore) -> Live:
    """Make the version live that was so before; "" is none. Blocking. Raises `Poison` where none is live."""

    def back(now: Live) -> Live:
        if not now.version:
            raise Poison("no version of the shelf is live: there is nothing to roll back", field="version")
        return Live(now.before[0], now.before[1:]) if now.before else Live()

    return change(store, back, LIVE)
