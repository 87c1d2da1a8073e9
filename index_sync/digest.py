"""The digest of a shard: the sum of the marks of its live products, so that neither order nor history matters."""

from __future__ import annotations

from hashlib import blake2b

from index_sync.entry import Half, Payload

DIGEST_BITS = 128
"""Marks are added modulo 2 ** DIGEST_BITS."""


def product_mark(product_id: str, version: int, payload: Payload, vectors: Half) -> int:
    """What one live product adds to the digest: BLAKE2b-128 over id, version, and each view's id and vector."""
    state = blake2b(digest_size=DIGEST_BITS // 8)
    name = product_id.encode()
    state.update(len(name).to_bytes(4, "little") + name + version.to_bytes(8, "little"))
    for view, vector in zip(payload.views, vectors, strict=True):
        label = view.id.encode()
        state.update(len(label).to_bytes(4, "little") + label + vector.astype("<f2").tobytes())
    return int.from_bytes(state.digest(), "little")
