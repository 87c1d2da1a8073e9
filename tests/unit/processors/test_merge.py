"""Top-k merge."""

from __future__ import annotations

from index_sync.entry import ShardHit
from processors.merge import merge


def _hit(product_id: str, score: float, view: str = "whole") -> ShardHit:
    return ShardHit(product_id, score, 0, view, "dress", "i")


def test_hits_of_all_shards_by_score_then_id() -> None:
    """Equal scores are ordered by product id; a product found twice is kept once, at its best."""
    shards = [[_hit("c", 0.5), _hit("a", 0.4)], [_hit("b", 0.5), _hit("a", 0.9, "g0")], []]
    merged = merge(shards, 2)
    assert [(hit.product_id, hit.view) for hit in merged] == [("a", "g0"), ("b", "whole")]
    assert merge(shards, 0) == []
