"""A standing query as products are held against it: read and embedded once, and kept in the store with the photo that it started from."""

from __future__ import annotations

import hashlib

import msgspec

from infra.store import NotFound, ObjectStore
from processors.errors import Poison
from processors.relevance import Evidence, Judged, Kind, Relevance
from streams.contract.probes import SearchProbe
from streams.contract.records import Query

LEAST = 0.5
"""Relevance from which a product meets a query that sets no `min_relevance`: that from which a result is confident."""


class Compiled(msgspec.Struct, frozen=True):
    """What a product must be.

    Args:
        query_id: of the query.
        probes: what a shard would be asked; several where a photo shows several garments: one of them is enough. An empty vector:
            nothing but filters.
        kind: of query, as relevance is fitted.
        categories: that its words ask for.
        seen: see `Evidence`.
        least: relevance that a product needs, where one was fitted.
        encoder: fingerprint of whose vectors it has; "" where it has none.
        fields: of the product, to be in each hit.
        ignored: words and fields that are not followed.
    """

    query_id: str
    probes: tuple[SearchProbe, ...]
    kind: Kind
    categories: tuple[str, ...]
    seen: bool
    least: float
    encoder: str
    fields: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def shop(self) -> str:
        """Whose products count."""
        return self.probes[0].shop

    def judged(self, relevance: Relevance) -> Judged | None:
        """What judges products; None where nothing was fitted for its encoder and kind."""
        return relevance.of(self.encoder, Evidence(self.kind, self.categories, self.seen)) if self.encoder else None


class Kept(msgspec.Struct, frozen=True):
    """The object of a standing query. `photo`: the bytes that it started from, should they have to be read by another encoder."""

    compiled: Compiled
    photo: bytes = b""


_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Kept)
FOLDER = "standing/"


def key_of(query_id: str, record: bytes) -> str:
    """Where a standing query is kept: under its id, and what its record says."""
    name = hashlib.sha256(query_id.encode()).hexdigest()[:32]
    return f"{FOLDER}{name}/{hashlib.sha256(record).hexdigest()[:32]}"


def read(store: ObjectStore, query_id: str, record: bytes) -> Kept | None:
    """What is kept of it; None where nothing is that can be read. Blocking."""
    try:
        return _DECODER.decode(store.get(key_of(query_id, record)))
    except (NotFound, msgspec.DecodeError):
        return None


def write(store: ObjectStore, query_id: str, record: bytes, kept: Kept) -> None:
    """Keep it, and nothing else of this id. Blocking."""
    key = key_of(query_id, record)
    store.put(key, _ENCODER.encode(kept))
    forget(store, query_id, but=key)


def forget(store: ObjectStore, query_id: str, but: str = "") -> None:
    """Remove what is kept of a standing query. Blocking."""
    folder = key_of(query_id, b"").rpartition("/")[0] + "/"
    for key in list(store.list(folder)):
        if key != but:
            store.delete(key)


def check_judged(compiled: Compiled, relevance: Relevance) -> None:
    """Hold a query to this: that it can be told whether a product meets it.

    Raises:
        Poison: it is a photo or a product alone, and no relevance was fitted for the encoder: ten hits there always are, and which
            of them are like it nobody can say.
    """
    probe = compiled.probes[0]
    said = probe.filters or probe.conditions or probe.wishes or probe.words
    if not said and compiled.judged(relevance) is None:
        raise Poison("no relevance was fitted for this encoder: add words or filters", field="image")


NOT_FOLLOWED = ("sort", "offset", "limit", "facets", "min_offsets")
"""Fields of a query that mean nothing where products come one by one."""


def unfollowed(query: Query) -> tuple[str, ...]:
    """Which fields of a standing query say what is not followed."""
    return tuple(name for name in NOT_FOLLOWED if getattr(query, name))
