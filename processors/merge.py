"""Top-k merge of the answers of many shards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Scored(Protocol):
    """Anything that was found: a product and its score, higher is nearer."""

    @property
    def product_id(self) -> str: ...

    @property
    def score(self) -> float: ...


H = TypeVar("H", bound=Scored)


def merge(answers: Iterable[Iterable[H]], k: int) -> list[H]:
    """The `k` best of all answers: by score descending, then product id; one hit (the best) a product.

    Pure and associative: merging merged answers gives the same list, as long as every step keeps at least `k`.

    Args:
        answers: the hits of each shard, in any order.
        k: how many to keep; 0 or less gives none.
    """
    best: dict[str, H] = {}
    for hits in answers:
        for hit in hits:
            seen = best.get(hit.product_id)
            if seen is None or hit.score > seen.score:
                best[hit.product_id] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.product_id))[: max(k, 0)]
