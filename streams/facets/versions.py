"""Versions of facet heads (`streams.facets.kept_versions`): `facets/versions/<hash>.safetensors`, `facets/live.json`."""

from __future__ import annotations

from infra.store import ObjectStore
from models.facets import facet_heads
from streams.facets.kept_versions import Versions

HEADS = Versions(
    "facet heads",
    "facets",
    ".safetensors",
    facet_heads.MAX_BYTES,
    facet_heads.version_of,
    lambda data, version: facet_heads.decode(data, name=version),
)
LIVE, PREFIX = HEADS.live_key, HEADS.prefix
key_of, listed, find, put, use, roll_back = (
    HEADS.key_of,
    HEADS.listed,
    HEADS.find,
    HEADS.put,
    HEADS.use,
    HEADS.roll_back,
)
read_live = HEADS.read_live


def read(store: ObjectStore, version: str) -> facet_heads.Version:
    """One version. Blocking.

    Raises:
        Poison: there is none, its bytes are not those that its name says, or it cannot be read.
        Retryable: the store is away.
    """
    return facet_heads.decode(HEADS.read(store, version), name=version)
