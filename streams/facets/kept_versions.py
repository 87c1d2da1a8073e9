"""Versions of something that is learned or built for a shop, in the object store, and the one that is live.

`FOLDER/versions/<hash>.SUFFIX` never changes; `FOLDER/live.json` names the live one and those that were live before it, and is only
ever replaced by whoever read it last (conditional writes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from infra.store import NotFound, ObjectStore
from processors.errors import Code, Poison, Retryable

MOST_KEPT = 50
"""Versions that `live.json` remembers to roll back to."""
_TRIES = 8
_SHORTEST = 6


class Live(msgspec.Struct, frozen=True):
    """`live.json`: the version that the roles apply ("": none), and the ones of before, the last first."""

    version: str = ""
    before: tuple[str, ...] = ()


Change: TypeAlias = Callable[[Live], Live]


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of one kind of thing. All methods block.

    Args:
        what: its name in sentences.
        folder: where they lie.
        suffix: of their files.
        most_bytes: of a file that is read.
        version_of: the name ("sha256:…") of these bytes.
        check: raises `Poison` for bytes that a role would refuse; called with the name.
    """

    what: str
    folder: str
    suffix: str
    most_bytes: int
    version_of: Callable[[bytes], str]
    check: Callable[[bytes, str], object]

    @property
    def live_key(self) -> str:
        """The file that names the live one."""
        return f"{self.folder}/live.json"

    @property
    def prefix(self) -> str:
        """Of the files of all versions."""
        return f"{self.folder}/versions/"

    def key_of(self, version: str) -> str:
        """Where a version ("sha256:…") lies."""
        return f"{self.prefix}{version.removeprefix('sha256:')}{self.suffix}"

    def read_live(self, store: ObjectStore) -> Live:
        """Which version is live. Raises `Retryable` when the store is away, `Poison` when the file is damaged."""
        try:
            return _decoded(store.get(self.live_key), self.live_key)
        except NotFound:
            return Live()

    def read(self, store: ObjectStore, version: str) -> bytes:
        """The bytes of one version.

        Raises:
            Poison: there is none, or its bytes are not those that its name says.
            Retryable: the store is away.
        """
        try:
            data = store.get(self.key_of(version), limit=self.most_bytes)
        except NotFound:
            raise Poison(
                f"there is no version {version} of {self.what}", field="version", code=Code.NOT_FOUND
            ) from None
        if self.version_of(data) != version:
            raise Poison(f"the version {version} of {self.what} is damaged: its bytes are others", field="version")
        return data

    def listed(self, store: ObjectStore) -> list[str]:
        """Every version in the store."""
        keys = [key for key in store.list(self.prefix) if key.endswith(self.suffix)]
        return [f"sha256:{key.removeprefix(self.prefix).removesuffix(self.suffix)}" for key in keys]

    def find(self, store: ObjectStore, name: str) -> str:
        """The version that somebody names by its hash or the beginning of it. Raises `Poison` where it is none, or several."""
        wanted = name.strip().lower().removeprefix("sha256:")
        if len(wanted) < _SHORTEST:
            raise Poison(f"{name!r}: give at least {_SHORTEST} digits of the version", field="version")
        found = [version for version in self.listed(store) if version.removeprefix("sha256:").startswith(wanted)]
        if len(found) != 1:
            how = "no version" if not found else f"{len(found)} versions"
            raise Poison(f"{how} of {self.what} begin with {name!r}", field="version", code=Code.NOT_FOUND)
        return found[0]

    def put(self, store: ObjectStore, data: bytes) -> str:
        """Store a version, without making it live; twice the same bytes is one version."""
        version = self.version_of(data)
        self.check(data, version)  # what a role would refuse must not lie there
        store.create(self.key_of(version), data, content_type="application/octet-stream")
        return version

    def use(self, store: ObjectStore, version: str) -> Live:
        """Make a version live. Raises `Poison` where it cannot be read, `Retryable` when others write all the time."""
        self.check(self.read(store, version), version)

        def to(now: Live) -> Live:
            return now if now.version == version else Live(version, _pushed(now.version, now.before))

        return _change(store, to, self.live_key)

    def roll_back(self, store: ObjectStore) -> Live:
        """Make the version live that was so before; "" is none. Raises `Poison` where none is live."""

        def back(now: Live) -> Live:
            if not now.version:
                raise Poison(f"no version of {self.what} is live: there is nothing to roll back", field="version")
            return Live(now.before[0], now.before[1:]) if now.before else Live()

        return _change(store, back, self.live_key)


def _pushed(version: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """Those of before, with one that was live until now; "" was none."""
    return (version, *before)[:MOST_KEPT] if version else before


def _change(store: ObjectStore, how: Change, key: str) -> Live:
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
