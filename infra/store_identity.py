"""Which store this is: an id in the store itself (`store.json`), so that a copy elsewhere is known for the same store.

Two hosts that mean different folders by the same settings each had part of the photos, and nobody could tell.
"""

from __future__ import annotations

import uuid

import msgspec

from infra.store import NotFound, ObjectStore
from processors.errors import Fatal, Retryable

KEY = "store.json"
_MOST_PLACES = 32
_TRIES = 8


class Identity(msgspec.Struct, frozen=True):
    """What `store.json` says: the id, and every root (`file:///folder/`, `s3://bucket/`) that the store had, oldest first."""

    id: str
    places: tuple[str, ...] = ()


def read(store: ObjectStore) -> Identity | None:
    """The identity of a store; None when nobody gave it one yet. Blocking.

    Raises:
        Fatal: there is something under the key that is none.
        Retryable: the store is away.
    """
    try:
        return _decoded(store, store.get(KEY))
    except NotFound:
        return None


def make(store: ObjectStore) -> Identity:
    """Give a store its id, or read the one that another was faster to give. Blocking. Raises as `read` does."""
    identity = Identity(uuid.uuid4().hex, (store.base,))
    if store.create(KEY, _encoded(identity)):
        return identity
    found = read(store)
    if found is None:
        raise Retryable(f"{KEY} has just been deleted")
    return found


def settle(store: ObjectStore, identity: Identity) -> Identity:
    """Note where the store lies now, and let it read addresses of where it lay before. Blocking.

    Raises:
        Fatal: `store.json` is gone, or says something else meanwhile.
        Retryable: the store is away, or too many change `store.json` at once.
    """
    for _ in range(_TRIES):
        data, tag = store.get_versioned(KEY)
        found = _decoded(store, data)
        if found.id != identity.id:
            raise Fatal(f"the store at {store.base} has become another one: {found.id} instead of {identity.id}")
        if store.base in found.places:
            store.former = tuple(place for place in found.places if place != store.base)
            return found
        moved = Identity(found.id, (*found.places, store.base)[-_MOST_PLACES:])
        store.swap(KEY, _encoded(moved), tag)
    raise Retryable(f"{KEY} changed {_TRIES} times while we noted where the store lies")


def _encoded(identity: Identity) -> bytes:
    return msgspec.json.encode(identity) + b"\n"


def _decoded(store: ObjectStore, data: bytes) -> Identity:
    try:
        return msgspec.json.decode(data, type=Identity)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Fatal(f"{store.base}{KEY} cannot be read ({error}): restore it from a backup of the store") from None
