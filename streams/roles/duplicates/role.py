"""`duplicates`: the neighbours of a product → those that show the very same photo. Read it from top to bottom:

read (a record of `catalog.similar`) → look (both photos, as local features) → compare → publish; what holds no more is deleted

Candidates are the index's: a crop, a mirrored or a marked copy lies near its photo. What is one is proved by geometry and pixels.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from infra.logs import logger
from infra.store import NotFound
from processors.errors import Poison
from processors.geometry import Features, compare, mirrored
from processors.identity import key_of, split
from streams.contract import codecs, topics
from streams.contract.cloudevents import output_headers
from streams.contract.records import Duplicate, Duplicates
from streams.engine.message import Message
from streams.engine.stages import CpuStage, Done, IoStage, Stage
from streams.kafka.producer import Sender
from streams.roles.outcome import deleted

log = logger("weft.duplicates")

ALIKE = 0.75
"""Inner product from which on a neighbour is looked at."""
KEPT = 64
"""Photos whose features are kept, with those of their mirror image: 2.5 MB each."""
WAIT_S = 10.0
LOOKS = 4
COMPARES = 2
"""Products that are compared at once: each pair takes 0.2 s of a core."""

Both = tuple[Features, Features]
Look = Callable[[str], Awaitable[Features]]
"""The features of a photo of the store, by its address. Raises `NotFound`, `Poison`, `Retryable`."""


class _Shown(msgspec.Struct, frozen=True):
    """Of an item, its main photo."""

    image: str


_SHOWN = msgspec.msgpack.Decoder(_Shown)


class Photos:
    """The main photo of every product: a view of `catalog.items`. About 200 bytes each."""

    def __init__(self) -> None:
        self._image: dict[str, str] = {}
        self._moved = asyncio.Event()

    def apply(self, message: Message) -> None:
        """Take in one record; what is no item has no photo."""
        key = (message.key or b"").decode("utf-8", "replace")
        try:
            image = "" if message.value is None else _SHOWN.decode(message.value).image
        except (msgspec.DecodeError, UnicodeDecodeError):
            image = ""
        self._image[key] = image
        self._moved.set()
        self._moved = asyncio.Event()

    async def know(self, products: Iterable[str], limit_s: float) -> None:
        """Wait until these are known, with a photo or as gone; no longer than `limit_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while any(product not in self._image for product in products):
                    await self._moved.wait()

    def of(self, product: str) -> str:
        """The address; "" where the product has none."""
        return self._image.get(product, "")


class Known:
    """Products of which something stands on `catalog.duplicates`."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def apply(self, message: Message) -> None:
        """Take in one record of the topic."""
        self.put((message.key or b"").decode("utf-8", "replace"), message.value)

    def put(self, product: str, value: bytes | None) -> None:
        """What stands under a product from now on."""
        if value:
            self._values[product] = value
        else:
            self._values.pop(product, None)

    def stands(self, product: str, value: bytes | None) -> bool:
        """Whether this is what stands."""
        return self._values.get(product) == value


@dataclass(frozen=True, slots=True)
class Asked:
    """A product and its candidates: (key, address) each."""

    product: str
    image: str
    others: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """The same with features. `others`: key, address, features and those of the mirror image."""

    asked: Asked
    features: Features
    others: tuple[tuple[str, str, Both], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stands under a product from now on; None: nothing."""

    product: str
    found: Duplicates | None


@dataclass(frozen=True, slots=True)
class DuplicatesRole:
    """The stages of the role.

    Args:
        photos: of the catalogue.
        look: reads a photo.
        wait_s: longest wait for the items of a record's products.
    """

    photos: Photos
    look: Look
    wait_s: float = WAIT_S
    _kept: OrderedDict[str, Both] = field(default_factory=OrderedDict)

    def stages(self) -> tuple[Stage, ...]:
        """The role's story."""
        return (
            IoStage("read", self.read, concurrency=256),
            IoStage("look", self.looked, concurrency=LOOKS),
            CpuStage("compare", self.compared, cost=lambda _: 1, max_cost=COMPARES),
        )

    async def read(self, message: Message) -> Asked | Done[Outcome]:
        """The neighbours that are near enough, and whose photos are known: their items are read apart, and may come a moment later."""
        if message.value is None:
            gone = deleted(message)
            return Done(Outcome(key_of(gone.shop, gone.product_id), None))
        near = codecs.decode_neighbours(message.value)
        product = key_of(near.shop, near.product_id)
        keys = [key_of(near.shop, one.product_id) for one in near.neighbours if one.score >= ALIKE]
        await self.photos.know((product, *keys), self.wait_s)
        image = self.photos.of(product)
        others = tuple((key, address) for key in keys if (address := self.photos.of(key)))
        return Asked(product, image, others) if image and others else Done(Outcome(product, None))

    async def looked(self, asked: Asked) -> Looked | Done[Outcome]:
        """Read the photos. One that is gone, or cannot be read any more, is nobody's duplicate."""
        own = await self._features(asked.image)
        if own is None:
            return Done(Outcome(asked.product, None))
        others = [(key, address, await self._features(address)) for key, address in asked.others]
        return Looked(asked, own[0], tuple((key, address, both) for key, address, both in others if both is not None))

    async def _features(self, address: str) -> Both | None:
        kept = self._kept.get(address)
        if kept is None:
            try:
                found = await self.look(address)
            except (NotFound, Poison) as error:
                log.info("no photo", image=address, cause=str(error))
                return None
            kept = self._kept[address] = (found, mirrored(found))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(address)
        return kept

    def compared(self, looked: Looked) -> Outcome:
        """Those that are proved to be one photo."""
        found: list[Duplicate] = []
        for key, address, (there, turned) in looked.others:
            match = compare(looked.features, there, turned)
            if match.kind is not None:
                overlap = (round(match.overlap[0], 3), round(match.overlap[1], 3))
                found.append(Duplicate(split(key)[1], match.kind, match.inliers, match.confidence, overlap, address))
        if not found:
            return Outcome(looked.asked.product, None)
        found.sort(key=lambda one: (-one.confidence, -one.inliers, one.product_id))
        shop, product_id = split(looked.asked.product)
        return Outcome(looked.asked.product, Duplicates(product_id, looked.asked.image, tuple(found), shop))


def publisher(sender: Sender, known: Known) -> Callable[[Message, Outcome], Awaitable[Sequence[Awaitable[object]]]]:
    """The `publish` of the pipeline: what changed, and a null value where nothing is left."""

    async def publish(message: Message, outcome: Outcome) -> Sequence[Awaitable[object]]:
        value = None if outcome.found is None else codecs.encode(outcome.found)
        if known.stands(outcome.product, value):
            return []
        headers = output_headers(message, stage="duplicates", topic=topics.DUPLICATES)
        delivery = await sender.send(topics.DUPLICATES, key=outcome.product.encode(), value=value, headers=headers)

        async def stood() -> None:
            await delivery
            known.put(outcome.product, value)

        return [stood()]

    return publish
