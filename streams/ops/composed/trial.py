"""What composed search is worth on pairs of a catalogue: by facet, beside what is simpler, in six wordings, and for refusals."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import TypeVar

import msgspec
import numpy as np

from models.ports import TextEncoder
from models.yardsticks.seen import TYPES
from processors import fusion
from processors.garments import kind_of
from processors.values import Vector
from processors.vocabulary import clean
from streams.facets.labelled import Labelled
from streams.ops.composed.local import LocalSearch
from streams.ops.composed.pairs import EDITED, PHRASINGS, Pair, refusal_of, texts_of
from streams.ops.composed.trained import Trained
from streams.roles.compose.asked import Embedded

One = TypeVar("One")
DEPTH = 50
TEN = 10
BATCH = 32
TRAINED, WITH_FACETS = "trained composer", "trained composer with facets"
IMAGE, TEXT, SUM, DIRECTION, SERVED, SHUFFLED = (
    "image only",
    "text only",
    "sum",
    "direction",
    "served",
    "shuffled texts",
)
"""Methods. `SERVED`: as the role answers, all in all."""


class Recall(msgspec.Struct, frozen=True):
    """Share of queries with a right answer first, in ten and in fifty."""

    queries: int
    r1: float
    r10: float
    r50: float


class Refused(msgspec.Struct, frozen=True):
    """Share of the first ten answers that show what was refused, by what the shop says of them."""

    queries: int
    share: float
    by_facet: dict[str, float]


class ComposedReport(msgspec.Struct, frozen=True):
    """What `weft eval composed --json` prints."""

    products: int
    heads: str
    seed: int
    methods: dict[str, dict[str, Recall]]
    paraphrases: tuple[float, ...]  # R@10 of each of the six wordings
    spread: float  # the largest of them less the smallest
    refused: Refused
    first_category: float  # of the first hits whose type names a category, those of the reference's
    understood: float  # of all wordings, those whose facet was read with some value
    refused_photos: tuple[str, ...] = ()
    left_out: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Product ids found for each pair, best first."""

    pairs: Sequence[Pair]
    found: list[list[str]]

    def by_facet(self) -> dict[str, Recall]:
        ranks: dict[str, list[int]] = defaultdict(list)
        for pair, ids in zip(self.pairs, self.found, strict=True):
            rank = next((n for n, name in enumerate(ids) if name in pair.right), DEPTH)
            ranks[pair.facet].append(rank)
            ranks["all"].append(rank)
        return {facet: _recall(ranks[facet]) for facet in (*EDITED, "all") if ranks[facet]}


def _batches(many: Iterable[One]) -> Iterator[list[One]]:
    rest = iter(many)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _recall(ranks: Sequence[int]) -> Recall:
    shares = (round(fmean(rank < k for rank in ranks), 4) for k in (1, TEN, DEPTH))
    return Recall(len(ranks), *shares)


def refusals_of(pairs: Sequence[Pair]) -> list[tuple[str, str, str]]:
    """(reference, facet, value) that are refused: each that a pair's reference has."""
    return list(dict.fromkeys((pair.reference, pair.facet, pair.before) for pair in pairs))


def queries_of(pairs: Sequence[Pair]) -> int:
    """How many queries `measure` asks the role: in all wordings, with shuffled texts, and the refusals."""
    return (PHRASINGS + 1) * len(pairs) + len(refusals_of(pairs))


async def measure(
    search: LocalSearch,
    texts: TextEncoder,
    products: Mapping[str, Labelled],
    pairs: Sequence[Pair],
    *,
    seed: int = 3,
    tick: Callable[[int], None] = lambda _n: None,
    trained: Trained | None = None,
) -> ComposedReport:
    """All figures.

    Args:
        search: over the catalogue.
        texts: the encoder of the words, for the methods beside the served one.
        products: the shop's words, by id; they are the truth, and no query sees them.
        pairs: at least one.
        seed: shuffles the texts.
        tick: told how many queries were answered.
        trained: a composer that is measured beside the rest, by its vector alone and with the facets.
    """
    wordings = [[texts_of(pair.facet, pair.value)[n] for pair in pairs] for n in range(PHRASINGS)]
    served, understood, heads = [], [], ""
    for wording in wordings:
        found, read, heads = await _served(search, pairs, wording, tick)
        served.append(_Asked(pairs, found))
        understood += read
    methods = {SERVED: served[0].by_facet()}
    methods |= {name: asked.by_facet() for name, asked in _beside(search, texts, pairs, wordings[0])}
    if trained is not None:
        methods[TRAINED] = _Asked(pairs, _by_vector(search, trained, pairs, wordings[0])).by_facet()
        found, _, _ = await _served(search, pairs, wordings[0], lambda _n: None, trained.lead)
        methods[WITH_FACETS] = _Asked(pairs, found).by_facet()
    shuffled = list(wordings[0])
    random.Random(seed).shuffle(shuffled)
    found, _, _ = await _served(search, pairs, shuffled, tick)
    methods[SHUFFLED] = _Asked(pairs, found).by_facet()
    tens = tuple(asked.by_facet()["all"].r10 for asked in served)
    return ComposedReport(
        products=search.shard.state.live,
        heads=heads,
        seed=seed,
        methods=methods,
        paraphrases=tens,
        spread=round(max(tens) - min(tens), 4),
        refused=await _refused(search, products, pairs, tick),
        first_category=_first_category(served[0], products),
        understood=round(fmean(understood), 4),
    )


async def _served(
    search: LocalSearch,
    pairs: Sequence[Pair],
    wording: Sequence[str],
    tick: Callable[[int], None],
    lead: Callable[[Embedded], Embedded] = lambda one: one,
) -> tuple[list[list[str]], list[bool], str]:
    """Ids found, whether the pair's facet was read, and the version of the heads."""
    found: list[list[str]] = []
    read: list[bool] = []
    heads = ""
    for batch in _batches(zip(pairs, wording, strict=True)):
        asked = [{"image": {"product_id": pair.reference}, "text": text, "top_k": DEPTH} for pair, text in batch]
        for (pair, _), result in zip(batch, await search.ask(asked, lead), strict=True):
            found.append([hit.product_id for hit in result.hits])
            told = result.understood
            read.append(told is not None and isinstance(told.set, dict) and pair.facet in told.set)
            if told is not None and isinstance(told.heads, str):
                heads = told.heads
        tick(len(batch))
    return found, read, heads


def _beside(
    search: LocalSearch, encoder: TextEncoder, pairs: Sequence[Pair], wording: Sequence[str]
) -> list[tuple[str, _Asked]]:
    """What is simpler: the photo, the words, their sum, and the direction between two captions."""
    state = search.shard.state
    known: dict[str, Vector] = {}

    def embedded(text: str) -> Vector:
        if text not in known:
            known[text] = encoder.finish(text, encoder.forward([encoder.prepare(text)])[0])
        return known[text]

    found: dict[str, list[list[str]]] = {IMAGE: [], TEXT: [], SUM: [], DIRECTION: []}
    for pair, text in zip(pairs, wording, strict=True):
        product = state.lookup(pair.reference)
        assert product is not None  # the pairs are of the catalogue
        image, edit = product.vector, fusion.parse_edit(text)
        words = embedded(edit.text or text)
        captions = fusion.captions_for(product.payload.facets, edit)
        direction = image if captions is None else fusion.fuse_direction(image, *map(embedded, reversed(captions)))
        for name, vector in (
            (IMAGE, image),
            (TEXT, words),
            (SUM, fusion.norm(image + words)),
            (DIRECTION, direction),
        ):
            hits = state.search(np.asarray(vector, np.float32), DEPTH, exclude_products=(pair.reference,))
            found[name].append([hit.product_id for hit in hits])
    return [(name, _Asked(pairs, ids)) for name, ids in found.items()]


def _by_vector(search: LocalSearch, trained: Trained, pairs: Sequence[Pair], wording: Sequence[str]) -> list[list[str]]:
    """Ids found by the composer's vector alone."""
    state, found = search.shard.state, []
    for pair, text in zip(pairs, wording, strict=True):
        product = state.lookup(pair.reference)
        assert product is not None  # the pairs are of the catalogue
        vector = trained.vector(product.vector, text, product.payload.facets)
        hits = state.search(np.asarray(vector, np.float32), DEPTH, exclude_products=(pair.reference,))
        found.append([hit.product_id for hit in hits])
    return found


async def _refused(
    search: LocalSearch, products: Mapping[str, Labelled], pairs: Sequence[Pair], tick: Callable[[int], None]
) -> Refused:
    """Each reference without what it has: "like this but not in blue"."""
    asked = refusals_of(pairs)
    shares: dict[str, list[float]] = defaultdict(list)
    for batch in _batches(asked):
        queries = [
            {"image": {"product_id": reference}, "text": refusal_of(facet, value), "top_k": TEN}
            for reference, facet, value in batch
        ]
        for (_, facet, value), result in zip(batch, await search.ask(queries), strict=True):
            shown = [products[hit.product_id].labels.get(facet) == value for hit in result.hits]
            if shown:
                shares[facet].append(fmean(shown))
        tick(len(batch))
    every = [share for facet in shares.values() for share in facet]
    return Refused(
        len(every),
        round(fmean(every), 4) if every else 0.0,
        {facet: round(fmean(shares[facet]), 4) for facet in EDITED if shares[facet]},
    )


def _first_category(asked: _Asked, products: Mapping[str, Labelled]) -> float:
    """Only edits that leave the category as it is are asked here."""
    right = []
    for pair, ids in zip(asked.pairs, asked.found, strict=True):
        wanted = _category(products[pair.reference])
        if wanted:
            right.append(bool(ids) and _category(products[ids[0]]) == wanted)
    return round(fmean(right), 4) if right else 0.0


def _category(product: Labelled) -> str:
    """The detector's category of a shop's type, or ""."""
    return TYPES.get(clean(product.category)) or kind_of(product.category)
