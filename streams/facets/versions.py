"""Versions of facet heads in the object store, and the one that is live.

`facets/versions/<hash>.safetensors` never changes; `facets/live.json` names the live one and those that were live before it,
and is only ever replaced by whoever read it last (conditional writes).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from infra.store import NotFound, ObjectStore
from models.facets import facet_heads
from processors.errors import Code, Poison, Retryable

LIVE = "facets/live.json"
PREFIX = "facets/versions/"
SUFFIX = ".safetensors"
MOST_KEPT = 50
"""Versions that `live.json` remembers to roll back to."""
_TRIES = 8
_SHORTEST = 6


Change: TypeAlias = "Callable[[Live], Live]"


class Live(msgspec.Struct, frozen=True):
    """`live.json`: the version that enrich applies ("": none), and the ones of before, the last first."""

    version: str = ""
    before: tuple[str, ...] = ()


def key_of(version: str) -> str:
    """Where a version ("sha256:…") lies."""
    return f"{PREFIX}{version.removeprefix('sha256:')}{SUFFIX}"


def read_live(store: ObjectStore, key: str = LIVE) -> Live:
    """Which version is live, by the file `key`. Blocking. Raises `Retryable` when the store is away, `Poison` when the file is damaged."""
    try:
        return _decoded(store.get(key), key)
    except NotFound:
        return Live()


def read(store: ObjectStore, version: str) -> facet_heads.Version:
    """One version. Blocking.

    Raises:
        Poison: there is none, or its bytes are not those that its name says.
        Retryable: the store is away.
    """
    try:
        data = store.get(key_of(version), limit=facet_heads.MAX_BYTES)
    except NotFound:
        raise Poison(f"there is no version {version} of facet heads", field="version", code=Code.NOT_FOUND) from None
    if facet_heads.version_of(data) != version:
        raise Poison(f"the facet heads {version} are damaged: their bytes are others", field="version")
    return facet_heads.decode(data, name=version)


def listed(store: ObjectStore) -> list[str]:
    """Every version in the store. Blocking."""
    return [
        f"sha256:{key.removeprefix(PREFIX).removesuffix(SUFFIX)}" for key in store.list(PREFIX) if key.endswith(SUFFIX)
    ]


def find(store: ObjectStore, name: str) -> str:
    """The version that somebody names by its hash or the beginning of it. Raises `Poison` where it is none, or several."""
    wanted = name.strip().lower().removeprefix("sha256:")
    found = [version for version in listed(store) if version.removeprefix("sha256:").startswith(wanted)]
    if len(wanted) < _SHORTEST:
        raise Poison(f"{name!r}: give at least {_SHORTEST} digits of the version", field="version")
    if len(found) != 1:
        how = "no version" if not found else f"{len(found)} versions"
        raise Poison(f"{how} of facet heads begin with {name!r}", field="version", code=Code.NOT_FOUND)
    return found[0]


def put(store: ObjectStore, data: bytes) -> str:
    """Store a version, without making it live; twice the same bytes is one version. Blocking."""
    version = facet_heads.version_of(data)
    facet_heads.decode(data, name=version)  # what enrich would refuse must not lie there
    store.create(key_of(version), data, content_type="application/octet-stream")
    return version


def use(store: ObjectStore, version: str) -> Live:
    """Make a version live. Blocking. Raises `Poison` where it cannot be read, `Retryable` when others write all the time."""
    read(store, version)
    return change(store, lambda now: now if now.version == version else Live(version, pushed(now.version, now.before)))


def roll_back(store: ObjectStore) -> Live:
    """Make the version live that was so before; "" is none. Blocking. Raises `Poison` where there was never another one."""

    def back(now: Live) -> Live:
        if not now.version:
            raise Poison("no version of facet heads is live: there is nothing to roll back", field="version")
        return Live(now.before[0], now.before[1:]) if now.before else Live()

    return change(store, back)


def pushed(version: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """Those of before, with one that was live until now; "" was none."""
    return (version, *before)[:MOST_KEPT] if version else before


def change(store: ObjectStore, how: Change, key: str = LIVE) -> Live:
    """Replace the file `key` by what follows from it, whoever else does so. Blocking. Raises `Retryable` when others write all the time."""
    for _ in range(_TRIES):
        try:
            data, tag = store.get_versioned(key)
        except NotFound:
            wanted = how(Live())
            if store.create(key, _encoded(wanted), content_type="application/json"):
                return wanted
            continue
        now = _decoded(data, key)
        wanted = how(now)
        if wanted == now or store.swap(key, _encoded(wanted), tag) is not None:
            return wanted
    raise Retryable(f"{key} changed {_TRIES} times while we changed it")


def _encoded(live: Live) -> bytes:
    return msgspec.json.encode(live) + b"\n"


def _decoded(data: bytes, key: str) -> Live:
    try:
        return msgspec.json.decode(data, type=Live)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Poison(f"{key} cannot be read ({error}): use a version again", field="version") from None
