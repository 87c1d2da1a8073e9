"""How a generation differs from the one that is live: products, digests, and the neighbours that queries find."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from index_sync.census import id_mark
from infra.settings import Settings
from streams.contract.probes import CensusAsk
from streams.ops.generations.asking import MOST_LISTED, Asking, open_asking, total_live, whole_digest
from streams.ops.generations.swap import compared_ids
from streams.ops.generations.verify import chosen
from streams.search.generations import read

TOP = 10
QUERIES = 100
_SHOWN = 100


class Asked(msgspec.Struct, frozen=True):
    """One sampled query: a product, and what each generation finds near it. Pairs of product and address of its image."""

    product_id: str
    overlap: float
    rank_correlation: float | None
    before: tuple[tuple[str, str], ...]
    after: tuple[tuple[str, str], ...]


class Side(msgspec.Struct, frozen=True):
    """One of the two generations."""

    generation: str
    items: str
    encoder: str
    live: int
    digest: str


class Diff(msgspec.Struct, frozen=True):
    """What `weft index diff --json` prints.

    `only_in_live`, `only_in_other`: products, up to a hundred of each; the counts are of all. `overlap_at_10`: mean share
    of neighbours that both find; `rank_correlation`: mean of Spearman's over the neighbours that both find, where there
    are two or more. Both None without products that both hold.
    """

    live: Side
    other: Side
    same_digest: bool
    only_in_live_count: int
    only_in_other_count: int
    only_in_live: tuple[str, ...]
    only_in_other: tuple[str, ...]
    queries: int
    overlap_at_10: float | None
    rank_correlation: float | None


async def diff(settings: Settings, name: str, *, queries: int = QUERIES) -> tuple[Diff, list[Asked]]:
    """Compare a generation with the live one.

    Raises:
        BadSetting: there is no such generation.
        Retryable: broker or index workers are away, or it is still being built.
    """
    generations = await read(settings)
    other, live = chosen(generations, name), chosen(generations, generations.live)
    async with open_asking(settings) as asking:
        before, after = await asyncio.gather(asking.census(live.generation), asking.census(other.generation))
        encoders = [
            next((c.census.encoder for c in found.values() if c.census.encoder), "") for found in (before, after)
        ]
        missing, extra, _ = await compared_ids(asking, live.generation, other.generation)
        sampled = await _sample(asking, live.generation, missing, len(before), queries)
        asked = [
            one
            for product_id in sampled
            if (one := await _ask(asking, product_id, (live.generation, other.generation), encoders)) is not None
        ]
    correlations = [one.rank_correlation for one in asked if one.rank_correlation is not None]
    found = Diff(
        live=Side(live.generation, live.items, encoders[0], total_live(before), whole_digest(before)),
        other=Side(other.generation, other.items, encoders[1], total_live(after), whole_digest(after)),
        same_digest=whole_digest(before) == whole_digest(after),
        only_in_live_count=len(missing),
        only_in_other_count=len(extra),
        only_in_live=tuple(sorted(missing)[:_SHOWN]),
        only_in_other=tuple(sorted(extra)[:_SHOWN]),
        queries=len(asked),
        overlap_at_10=_mean([one.overlap for one in asked]),
        rank_correlation=_mean(correlations),
    )
    return found, asked


async def _sample(asking: Asking, generation: str, missing: set[str], shards: int, most: int) -> list[str]:
    """Products that both hold, some of every shard: the same ones as long as they are there."""
    each = -(-most // max(1, shards)) + 1
    found = await asking.census(generation, CensusAsk(sample=min(each, MOST_LISTED)))
    ids = {one.product_id for counted in found.values() for one in counted.census.members}
    return sorted(ids - missing, key=id_mark)[:most]


async def _ask(asking: Asking, product_id: str, names: tuple[str, str], encoders: Sequence[str]) -> Asked | None:
    sides = []
    for name, encoder in zip(names, encoders, strict=True):
        vectors = await asking.vectors(name, [product_id])
        if product_id not in vectors:
            return None
        sides.append(await asking.nearest(name, encoder, vectors[product_id], TOP, product_id))
    before, after = sides
    ids = [[key for key, _ in side] for side in sides]
    return Asked(product_id, overlap(*ids), rank_correlation(*ids), tuple(before), tuple(after))


def overlap(before: Sequence[str], after: Sequence[str]) -> float:
    """Share of the neighbours of the one that the other finds too; 1.0 where neither finds any."""
    most = max(len(before), len(after))
    return len(set(before) & set(after)) / most if most else 1.0


def rank_correlation(before: Sequence[str], after: Sequence[str]) -> float | None:
    """Spearman's, over the products that both lists hold; None of fewer than two."""
    there = set(after)
    common = [key for key in before if key in there]
    if len(common) < 2:
        return None
    places = {key: place for place, key in enumerate([key for key in after if key in set(common)])}
    squares = sum((place - places[key]) ** 2 for place, key in enumerate(common))
    count = len(common)
    return 1 - 6 * squares / (count * (count**2 - 1))


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
