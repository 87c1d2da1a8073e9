"""How the part of the role `context` is built that finds products in the pictures of articles."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from infra.logs import logger
from infra.store import NotFound
from models.ports import ImageEncoder
from processors import decode
from processors.errors import Code, Poison, Retryable
from processors.geometry import SIDE, Features, Match, compare, features, mirrored
from processors.values import Pixels, Vector
from streams.contract import codecs, topics
from streams.contract.cloudevents import Headers, ce_headers, rfc3339
from streams.contract.records import Pictured
from streams.engine.device import Batcher
from streams.engine.message import CONTEXT
from streams.engine.stages import DeviceStage
from streams.kafka.client import Reader
from streams.ops.rewrite import ItemLog, Rewrite
from streams.roles.context.articles import Articles
from streams.roles.context.depicting import KEPT, Depicting
from streams.roles.context.header import header_of
from streams.roles.context.pictured import TOLD, PicturedView
from streams.wiring.parts import Parts, beside, loaded

log = logger("weft.context")

T = TypeVar("T")
PAUSE_S = 5.0

FIRST = (topics.ARTICLES, 0)
"""Who holds this partition does it."""
LOOK_SIDE = 1024
"""Longest side at which a photo is decoded, as where products are seen."""


class Holding:
    """A `Watcher` of the articles' group: whether this worker holds the first partition."""

    def __init__(self) -> None:
        self.ours = asyncio.Event()
        self.lost = asyncio.Event()

    def begin(self, starts: Mapping[tuple[str, int], int]) -> None:
        """See `Watcher`."""
        if any(partition == FIRST[1] for _, partition in starts):
            self.lost.clear()
            self.ours.set()

    def revoked(self, places: Iterable[tuple[str, int]]) -> None:
        """See `Watcher`."""
        if any(partition == FIRST[1] for _, partition in places):
            self.ours.clear()
            self.lost.set()


class PhotoEyes:
    """`Eyes` by the store, both encoders and the process's threads. Make one with `open`."""

    def __init__(self, parts: Parts, ours: ImageEncoder, second: ImageEncoder) -> None:
        self._parts, self._encoders = parts, (ours, second)
        self._batchers: list[Batcher[Any, Any]] = [
            parts.engine.device.attach(DeviceStage(f"picture-{n}", one.forward, max_items=8), "backfill")
            for n, one in enumerate(self._encoders)
        ]
        self._features: OrderedDict[str, Features] = OrderedDict()
        self._comparing = asyncio.Semaphore(1)  # a pair takes 0.3 s of a core, and nobody waits for it

    @classmethod
    async def open(cls, parts: Parts) -> PhotoEyes:
        """Load both encoders."""
        ours = await loaded(lambda: parts.models.image_encoder)
        second = await loaded(lambda: parts.models.second_encoder)
        return cls(parts, ours, second)

    def close(self) -> None:
        """Leave the device."""
        for batcher in self._batchers:
            self._parts.engine.device.detach(batcher)

    @property
    def makers(self) -> tuple[str, str]:
        return self._encoders[0].fingerprint, self._encoders[1].fingerprint

    async def vectors(self, address: str) -> tuple[Vector, Vector]:
        pixels = await self._pixels(address)
        found = []
        for encoder, batcher in zip(self._encoders, self._batchers, strict=True):
            ready = await self._in_cpu(encoder.prepare, pixels)
            found.append(encoder.finish(pixels, await batcher.submit(ready)))
        return found[0], found[1]

    async def match(self, photo: str, picture: str) -> Match:
        async with self._comparing:
            one, other = await self._of(photo), await self._of(picture)
            return await self._in_cpu(_matched, one, other)

    async def _of(self, address: str) -> Features:
        kept = self._features.get(address)
        if kept is None:
            pixels = await self._pixels(address, 2 * SIDE)
            kept = self._features[address] = await self._in_cpu(features, pixels)
            while len(self._features) > KEPT:
                self._features.popitem(last=False)
        else:
            self._features.move_to_end(address)
        return kept

    async def _pixels(self, address: str, side: int = LOOK_SIDE) -> Pixels:
        try:
            data = await self._parts.fetcher.fetch(address)
        except NotFound as error:
            raise Poison("there is nothing", field="images", code=Code.NOT_FOUND) from error
        decoded = await self._in_cpu(_decoded, data, self._parts.limits, side)
        return decoded.pixels

    async def _in_cpu(self, run: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.engine.cpu, run, *given)


def _decoded(data: bytes, limits: decode.DecodeLimits, side: int) -> decode.Decoded:
    return decode.decode(data, limits, max_side=side)


def _matched(one: Features, other: Features) -> Match:
    return compare(one, other, mirrored(other))


class Depicted:
    """Follows the articles for this part of the role; the products only while an article has pictures that may show one."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.articles, self.pictured = Articles(), PicturedView()
        self.holding = Holding()
        self._depicting: Depicting | None = None
        self._illustrated = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled. A cluster of before has no such topic yet, and its articles are worth no less for that."""
        while True:
            try:
                await self._run()
            except* Retryable as error:
                log.warning("pictures.unknown", cause=first_of(error))
            await asyncio.sleep(PAUSE_S)

    async def _run(self) -> None:
        settings = self._parts.settings
        async with (
            Reader(settings, topics.ARTICLES, client="context") as articles,
            Reader(settings, topics.PICTURED, client="context") as pictured,
        ):
            async for record in articles.to_end():
                self.articles.apply(record)
            async for record in pictured.to_end():
                self.pictured.apply(record)
            self._look()
            await beside(self._follow(articles), beside(self._follow_pictured(pictured), self._work()))

    async def _follow(self, reader: Reader) -> None:
        async for record in reader.follow():
            self.articles.apply(record)
            self._look()

    async def _follow_pictured(self, reader: Reader) -> None:
        async for record in reader.follow():
            self.pictured.apply(record)

    def _look(self) -> None:
        if any(True for _ in self.articles.pictures()) or self.pictured.products():
            self._illustrated.set()
        if self._depicting is not None:
            self._depicting.articles_changed()

    async def _work(self) -> None:
        while True:
            await self._illustrated.wait()
            await self.holding.ours.wait()
            working = asyncio.ensure_future(self._depict())
            losing = asyncio.ensure_future(self.holding.lost.wait())
            try:
                await asyncio.wait([working, losing], return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
            except* Retryable as error:
                log.warning("pictures.unknown", cause=first_of(error))
                await asyncio.sleep(PAUSE_S)
            finally:
                self._depicting = None
                for task in (working, losing):
                    task.cancel()
                await asyncio.gather(working, losing, return_exceptions=True)

    async def _depict(self) -> None:
        eyes = await PhotoEyes.open(self._parts)
        try:
            depicting = Depicting(self.articles, self.pictured, eyes, self._publish, self._again)
            async with Reader(self._parts.settings, topics.ITEMS, client="context") as items:
                async for record in items.to_end():
                    depicting.apply(record, look=False)
                depicting.look_at_all()
                self._depicting = depicting
                await beside(_products(items, depicting), depicting.run())
        finally:
            eyes.close()

    async def _publish(self, product: str, found: Pictured | None, /, *, told: bool) -> int:
        spec = topics.BY_NAME[topics.PICTURED]
        value = None if found is None else codecs.encode(found)
        headers: Headers = ce_headers(
            id=uuid.uuid4().hex,
            type=spec.event_type,
            source="weft/context",
            time=rfc3339(round(time.time() * 1000)),
            content_type=spec.content_type,
        )
        headers = (*headers, (TOLD, b"1")) if told else headers
        delivery = await self._parts.sender.send(topics.PICTURED, key=product.encode(), value=value, headers=headers)
        return int(getattr(await delivery, "offset", 0) or 0)

    async def _again(
        self, found: Mapping[bytes, tuple[int, int]], articles: Mapping[int, int], pictured: Mapping[int, int]
    ) -> int:
        mark = header_of(articles, uuid.uuid4().hex, pictured)
        return await Rewrite(ItemLog(self._parts.settings), self._parts.sender, mark, header=CONTEXT).ask(found)


def first_of(group: BaseExceptionGroup[Exception]) -> str:
    """What the first of several errors says."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return str(found)


async def _products(reader: Reader, depicting: Depicting) -> None:
    async for record in reader.follow():
        depicting.apply(record)
