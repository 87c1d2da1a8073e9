"""What is known of a product after all that was said of it: full uploads, partial ones (RFC 7386), deletions, in any order.

Each field remembers when it was said. A change that comes again, or late, is applied where it belongs: what was said after
it stays. So the state is a function of what was said, and neither a second delivery nor a retry nor another partition shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

MAX_REMOVED = 1000
"""Removed fields that are remembered of a product, for versions that come late; the oldest are forgotten."""


class Stamp(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """When something was said: in which version, and where its record first lay.

    Of one version, the offsets of a partition decide, and between partitions the records' times (ms since the epoch).
    """

    version: int | float | None
    ms: int
    partition: int
    offset: int

    def before(self, other: Stamp) -> bool:
        """Whether `other` was said later."""
        if self.version != other.version:
            return self.version is None or (other.version is not None and self.version < other.version)
        if self.partition == other.partition:
            return self.offset < other.offset
        return (self.ms, self.partition) < (other.ms, other.partition)


class Said(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The value of a field, and when it was said; None: it was removed."""

    value: Any
    at: Stamp


class PhotoPlace(msgspec.Struct, frozen=True, gc=False):
    """One photo of a product: its address in the store, the SHA-256 of its bytes there, what it shows ("": nobody said)."""

    address: str
    digest: str
    role: str = ""


class Change(msgspec.Struct, frozen=True, gc=False):
    """What one upload says. None: nothing of it. With photos and metadata together it replaces the metadata, unless it is `partial`."""

    metadata: dict[str, Any] | None = None
    photos: tuple[PhotoPlace, ...] | None = None
    version: int | float | None = None
    partial: bool = False

    @property
    def replaces(self) -> bool:
        """Whether it says all that there is to say of the product."""
        return self.metadata is not None and self.photos is not None and not self.partial


class Product(msgspec.Struct, frozen=True, gc=False):
    """What is known of a product.

    `replaced`, `pictured`, `deleted`: when all of its metadata, its photos, and its end were said last; `touched`: when
    anything but its end was. `latest`: the newest version of all. `seen`: partition → offset of the last record that is in it.
    """

    said: dict[str, Said] = {}
    photos: tuple[PhotoPlace, ...] = ()
    replaced: Stamp | None = None
    pictured: Stamp | None = None
    deleted: Stamp | None = None
    touched: Stamp | None = None
    latest: int | float | None = None
    seen: dict[int, int] = {}

    @property
    def metadata(self) -> dict[str, Any]:
        """The fields as they stand."""
        return {name: said.value for name, said in self.said.items() if said.value is not None}

    @property
    def alive(self) -> bool:
        """Whether it was uploaded, and not deleted since."""
        return self.touched is not None and not _older(self.touched, self.deleted)

    def has_seen(self, partition: int, offset: int) -> bool:
        """Whether the record that lies there has been taken in: then this state, or a later one, is what became of it."""
        return offset <= self.seen.get(partition, -1)

    def stamp(self, version: float | None, ms: int, partition: int, offset: int) -> Stamp:
        """When a record counts that first lay there: one without a version comes after every version seen so far."""
        return Stamp(self.latest if version is None else version, ms, partition, offset)

    def says_the_same(self, other: Product) -> bool:
        """Whether both differ at most in when things were said, where no version asks for that."""
        return ((self.latest is None and other.latest is None) or self == other) and self.is_as(other)

    def is_as(self, other: Product) -> bool:
        """Whether both are the same to everybody else, whenever it was said."""
        if (self.photos, self.alive) != (other.photos, other.alive):
            return False
        # Of one whose value changed no two dictionaries are made: it is asked three times for each upload.
        ours, theirs = self.said, other.said
        for name, said in ours.items():
            there = theirs.get(name)
            if (None if there is None else there.value) != said.value:
                return False
        return all(said.value is None or name in ours for name, said in theirs.items())

    def having_seen(self, partition: int, offset: int) -> Product:
        """With one more record taken in."""
        return msgspec.structs.replace(self, seen={**self.seen, partition: max(offset, self.seen.get(partition, -1))})

    def after(self, change: Change, at: Stamp) -> Product:
        """With what an upload says that counts at that moment."""
        said, replaced = dict(self.said), self.replaced
        whole = change.replaces and not _older(at, replaced) and not _older(at, self.deleted)
        if whole:
            replaced = at
            said = {name: one for name, one in said.items() if at.before(one.at)}
        if change.metadata and not _older(at, self.replaced) and not _older(at, self.deleted):
            for name, value in change.metadata.items():
                _say(said, name, value, at, merge=not change.replaces)
        photos, pictured = self.photos, self.pictured
        if change.photos is not None and not _older(at, pictured) and not _older(at, self.deleted):
            photos, pictured = change.photos, at
        return msgspec.structs.replace(
            self,
            said=_without_old_removals(said),
            photos=photos,
            replaced=replaced,
            pictured=pictured,
            touched=self.touched if _older(at, self.touched) else at,
            latest=_newest(self.latest, at.version),
        )

    def without(self, at: Stamp) -> Product:
        """As its deletion at that moment leaves it: what was said later stays."""
        if _older(at, self.deleted):
            return self
        said = {name: one for name, one in self.said.items() if at.before(one.at)}
        photos = self.photos if self.pictured is not None and at.before(self.pictured) else ()
        latest = _newest(self.latest, at.version)
        return msgspec.structs.replace(self, said=said, photos=photos, deleted=at, latest=latest)


def says_otherwise(product: Product, metadata: Mapping[str, Any]) -> bool:
    """Whether plain values that a part says are others than those that stand: as cheap as can be told, and no proof of the contrary."""
    said = product.said
    return any(
        not isinstance(value, Mapping) and (said[name].value if name in said else None) != value
        for name, value in metadata.items()
    )


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386: an object's members one by one, null removes; anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    found = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def _say(said: dict[str, Said], name: str, value: Any, at: Stamp, *, merge: bool) -> None:
    known = said.get(name)
    if known is not None and at.before(known.at):
        return
    if value is None and at.version is None:
        said.pop(name, None)  # nothing of an older version can come any more
        return
    said[name] = Said(merged(known.value if known is not None and merge else None, value), at)


def _without_old_removals(said: dict[str, Said]) -> dict[str, Said]:
    if len(said) <= MAX_REMOVED:
        return said
    removed = [name for name, one in said.items() if one.value is None]
    if len(removed) <= MAX_REMOVED:
        return said
    oldest = sorted(removed, key=lambda name: (said[name].at.version or 0, said[name].at.offset))
    dropped = set(oldest[: len(removed) - MAX_REMOVED])
    return {name: one for name, one in said.items() if name not in dropped}


def _older(at: Stamp, other: Stamp | None) -> bool:
    """Whether it was said before `other`."""
    return other is not None and at.before(other)


def _newest(one: float | None, other: float | None) -> int | float | None:
    return other if one is None or (other is not None and other > one) else one
