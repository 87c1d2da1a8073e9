"""Triplets of `catalog.triplets` with the vectors of their items: what a composer is trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from infra.settings import Settings
from infra.whole_file import whole_file
from models.recipes.composer_stream import ExportedSide, ExportedTriplet
from processors.errors import Poison
from processors.identity import key_of
from processors.modifications import is_consistent
from streams.contract import codecs, topics
from streams.contract.records import Triplet, TripletSide
from streams.kafka.client import Reader
from streams.roles.triplets.known import Shown, shown_in

GONE, CHANGED, SPACES = "a product is gone", "a product is another now", "the vectors are of two encoders"


class Exported(msgspec.Struct, frozen=True):
    """`weft triplets export --json`: how many lines were written, and how many triplets were left out, by cause."""

    out: str
    triplets: int
    left_out: dict[str, int]
    by_facet: dict[str, int]


@dataclass(slots=True)
class Joined:
    """Triplets and garments as their topics stand."""

    triplets: dict[str, Triplet] = field(default_factory=dict)
    garments: dict[str, Shown] = field(default_factory=dict)

    def lines(self, left_out: Counter[str], by_facet: Counter[str]) -> Iterator[bytes]:
        """One JSON line a triplet that still holds, by id. What does not is counted: its words would teach what is not so."""
        for name in sorted(self.triplets):
            triplet = self.triplets[name]
            reference = self.garments.get(_key(triplet.reference))
            target = self.garments.get(_key(triplet.target))
            if reference is None or target is None:
                left_out[GONE] += 1
                continue
            cause = _trouble(triplet, reference, target)
            if cause:
                left_out[cause] += 1
                continue
            by_facet.update(change.facet for change in triplet.changes)
            line = ExportedTriplet(
                triplet.id,
                _side(triplet.reference, reference),
                _side(triplet.target, target),
                triplet.modification,
            )
            yield msgspec.json.encode(line) + b"\n"


async def export(settings: Settings, out: Path) -> Exported:
    """Read both topics to their ends and write the triplets that hold now; the file appears whole or not at all.

    Raises:
        Retryable: no broker answers.
        BadSetting: `out` cannot be written.
    """
    joined = await _read(settings)
    left_out: Counter[str] = Counter()
    by_facet: Counter[str] = Counter()
    count = 0
    with whole_file(out, parents=True) as file:
        for line in joined.lines(left_out, by_facet):
            file.write(line)
            count += 1
    return Exported(str(out), count, dict(sorted(left_out.items())), dict(sorted(by_facet.items())))


async def _read(settings: Settings) -> Joined:
    joined = Joined()
    async with Reader(settings, topics.TRIPLETS, client="export") as triplets:
        async for raw in triplets.to_end():
            name = (raw.key or b"").decode("utf-8", "replace")
            joined.triplets.pop(name, None)
            if raw.value is not None and (found := triplet_in(raw.value)) is not None:
                joined.triplets[name] = found
    named = {_key(side) for one in joined.triplets.values() for side in (one.reference, one.target)}
    async with Reader(settings, topics.ITEMS, client="export") as items:
        async for raw in items.to_end():
            key = (raw.key or b"").decode("utf-8", "replace")
            if key not in named:
                continue
            joined.garments.pop(key, None)
            try:
                shown = None if raw.value is None else shown_in(codecs.decode_item(raw.value))
            except Poison:
                continue
            if shown is not None:
                joined.garments[key] = shown
    return joined


def triplet_in(value: bytes) -> Triplet | None:
    """A record of `catalog.triplets`; None for what is none."""
    try:
        return codecs.decode_triplet(value)
    except Poison:
        return None


def _trouble(triplet: Triplet, reference: Shown, target: Shown) -> str:
    if reference.encoder != target.encoder:
        return SPACES
    facets: list[Mapping[str, str]] = [reference.garment.facets, target.garment.facets]
    told = [triplet.reference.facets, triplet.target.facets]
    same = all(dict(now) == before for now, before in zip(facets, told, strict=True))
    return "" if same and is_consistent(told[0], triplet.modification, told[1]) else CHANGED


def _key(side: TripletSide) -> str:
    return key_of(side.shop, side.product_id)


def _side(side: TripletSide, shown: Shown) -> ExportedSide:
    return ExportedSide(side.product_id, dict(side.facets), shown.vector.tobytes(), shown.encoder, side.shop)
