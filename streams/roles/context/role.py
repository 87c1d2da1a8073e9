"""`context`: an article that came, changed or went → the items of the products that it is about, once more. Read it from top to bottom:

read → ask (their items are sent again as they stand; the role `caption` makes their captions anew)

The items of a product that is not there yet need no asking: whoever captions it knows the article by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from infra.logs import logger
from processors.errors import Poison, Retryable
from processors.identity import key_of, split
from processors.values import Metadata
from streams.contract import codecs
from streams.contract.articles import article_key, decode_article, id_in
from streams.engine.message import Message
from streams.engine.stages import CpuStage, Done, IoStage, Stage
from streams.roles.context.articles import Target, places_of, targets_of
from streams.roles.context.header import header_of
from streams.roles.outcome import NoEffect

log = logger("weft.context")

LATER_S = 2.0
"""The catalogue is read so long after an article: an item that was captioned without it, as the view of that worker was behind, lies there by then."""
CONCURRENCY = 1024
"""Articles that are worked on together: they cost one reading of the topics."""

ReadAll = Callable[[], AsyncIterator[Message]]
"""Every record of a topic, to its present end."""
Again = Callable[[Mapping[bytes, tuple[int, int]], str], Awaitable[int]]
"""Send the items that lie there (key → partition, offset) once more, with this value in the header `CONTEXT`; how many."""


@dataclass(frozen=True, slots=True)
class Change:
    """An article that came or went. `targets`: what it applies to now; those of before are found by what captions cite."""

    article: str
    shop: str
    targets: tuple[Target, ...]
    partition: int
    offset: int
    pictures: tuple[str, ...] = ()
    """That may show products, where it names none."""


class _Said(msgspec.Struct, frozen=True):
    """Of an item, what an article may be told to apply to."""

    product_id: str
    metadata: Metadata
    shop: str = ""
    incomplete: Any = None


_SAID = msgspec.msgpack.Decoder(_Said)


def read(message: Message) -> Change:
    """Check an article. Raises `Poison`."""
    article, key = decode_article(message), article_key(message)
    if article is None:
        return Change(id_in(key), split(key)[0], (), message.partition, message.offset)
    pictures = () if article.applies_to.product is not None else tuple(article.images or ())
    return Change(article.id, article.shop or "", targets_of(article), message.partition, message.offset, pictures)


@dataclass(slots=True)
class Asking:
    """Finds the products that articles change, for all articles that wait at the same time.

    Args:
        items: the records of `catalog.items`.
        captions: the records of `catalog.captions`.
        again: see there.
        mark: a value that was not used before.
        asked: told how many items were sent again.
        later_s: see `LATER_S`.
        showing: the products of a shop whose photo is known to be a picture.
    """

    items: ReadAll
    captions: ReadAll
    again: Again
    mark: Callable[[], str]
    asked: Callable[[int], None] = lambda _: None
    later_s: float = LATER_S
    showing: Callable[[str, str], Sequence[str]] = lambda _shop, _picture: ()
    _waiting: list[tuple[Change, asyncio.Future[None]]] = field(default_factory=list)
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, change: Change) -> Done[NoEffect]:
        """Returns when all items that this change concerns are on the topic again. Raises `Retryable`."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, mine))
        async with self._one:
            if not mine.done():
                await asyncio.sleep(0)  # those that arrived with it are waiting then, too
                await self._all()
        await mine
        return Done(NoEffect())

    async def _all(self) -> None:
        batch, self._waiting = self._waiting, []
        failure: BaseException | None = None
        try:
            await asyncio.sleep(self.later_s)
            await self._run([change for change, _ in batch])
        except BaseException as error:
            # Whoever waits with this one gets its error; of a cancelled one the others try again.
            failure = error if isinstance(error, Exception) else Retryable("the reading of the catalogue was ended")
            raise
        finally:
            for _, future in batch:
                if future.done():
                    continue
                if failure is None:
                    future.set_result(None)
                else:
                    future.set_exception(failure)
                    future.exception()  # taken: one of them is raised above

    async def _run(self, changes: Sequence[Change]) -> None:
        cited = await self._cited({change.article for change in changes})
        cited |= {
            product.encode()
            for change in changes
            for picture in change.pictures
            for product in self.showing(change.shop, picture)
        }
        wanted = {target for change in changes for target in change.targets}
        found = await self._items(wanted, cited)
        if not found:
            return
        newest: dict[int, int] = {}
        for change in changes:
            newest[change.partition] = max(change.offset, newest.get(change.partition, 0))
        count = await self.again(found, header_of(newest, self.mark()))
        log.info("captions.again", articles=len(changes), products=count)
        self.asked(count)

    async def _cited(self, articles: set[str]) -> set[bytes]:
        """The products whose captions cite one of these."""
        found: set[bytes] = set()
        async for record in self.captions():
            if record.key is None:
                continue
            found.discard(record.key)
            if record.value is not None and b'"context":[{' in record.value and _cites(record.value, articles):
                found.add(record.key)
        return found

    async def _items(self, wanted: set[Target], cited: set[bytes]) -> dict[bytes, tuple[int, int]]:
        """Where the newest item of each product lies that is meant."""
        products = {key_of(shop, name).encode() for about, shop, name in wanted if about == "product"} | cited
        wide = {target for target in wanted if target[0] != "product"}
        found: dict[bytes, tuple[int, int]] = {}
        async for record in self.items():
            if record.key is None:
                continue
            found.pop(record.key, None)
            if record.value is not None and (record.key in products or (wide and _of(record.value, wide))):
                found[record.key] = (record.partition, record.offset)
        return found


def _cites(value: bytes, articles: set[str]) -> bool:
    try:
        caption = codecs.decode_caption(value)
    except Poison:
        return False
    return isinstance(caption.context, tuple) and any(use.article in articles for use in caption.context)


def _of(value: bytes, wanted: set[Target]) -> bool:
    try:
        item = _SAID.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return any(place in wanted for place in places_of(item.shop, item.product_id, item.metadata))


@dataclass(frozen=True, slots=True)
class Stories:
    """The stages of the role."""

    asking: Asking

    def stages(self) -> tuple[Stage, ...]:
        """The role's story."""
        return (CpuStage("read", read), IoStage("ask", self.asking.ask, concurrency=CONCURRENCY))


async def nothing(_message: Message, _outcome: NoEffect) -> Sequence[Awaitable[object]]:
    """`publish` of the pipeline: the items are on their topic already."""
    return []
