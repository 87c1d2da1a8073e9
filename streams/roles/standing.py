"""What stands on a topic under each product, so that it need not be published again when the product comes again unchanged.

Kept in the object store, a few bytes a product, written once the broker has the record: a process that dies between the two
publishes again. A record that is still on its way counts as standing, as nothing of its product is acknowledged before it.
Beside the hash of a record its cause is kept, where there is one: what comes of the same cause again need not be made again. And its
place: a record that was delivered before, and then passed over, is told from a newer one by it when it is delivered again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from infra.store import ObjectStore
from infra.threads import InThread
from streams.roles.memo import Memo

CAUSE_BYTES = 16
PLACE_BYTES = 28
_DIGEST_BYTES = hashlib.sha256().digest_size
_NO_DIGEST, _NO_CAUSE = bytes(_DIGEST_BYTES), bytes(CAUSE_BYTES)
_NUMBER_BYTES = 8


def place_of(topic_id: str, partition: int, offset: int, timestamp_ms: int) -> bytes:
    """Where the record lies that something was made of, comparable within its partition; b"" where the topic has no id.

    With its time: a topic that was created again under a running role begins at offset 0, and keeps its old id here until the role
    has noticed; its records are later all the same.
    """
    if not topic_id:
        return b""
    topic = hashlib.sha256(topic_id.encode()).digest()[: PLACE_BYTES - 2 * _NUMBER_BYTES - 4]
    numbers = (offset, max(0, timestamp_ms))
    return topic + partition.to_bytes(4, "big") + b"".join(n.to_bytes(_NUMBER_BYTES, "big") for n in numbers)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of a product: hash of the record (b"": deleted, or nothing), its cause, and the place of what it was made of."""

    digest: bytes = b""
    cause: bytes = b""
    place: bytes = b""

    @classmethod
    def read(cls, data: bytes) -> _Kept:
        """Of what `data` gave; records of before there were places have none."""
        digest, cause, place = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:], b""
        if len(cause) == CAUSE_BYTES + PLACE_BYTES:
            cause, place = cause[:CAUSE_BYTES], cause[CAUSE_BYTES:]
            digest, cause = (
                b"" if one == nothing else one for one, nothing in ((digest, _NO_DIGEST), (cause, _NO_CAUSE))
            )
        return cls(digest, cause, place)

    def data(self) -> bytes:
        """As it is kept."""
        if not self.place:
            return self.digest + self.cause
        return (self.digest or _NO_DIGEST) + (self.cause or _NO_CAUSE) + self.place

    def is_newer(self, place: bytes) -> bool:
        """Whether it was made of a record that lies behind this one in the same partition, and is no older."""
        mine, other = _parts(self.place), _parts(place)
        return bool(place) and mine[0] == other[0] and mine[1] > other[1] and mine[2] >= other[2]


def _parts(place: bytes) -> tuple[bytes, bytes, bytes]:
    """Topic with partition, offset, time."""
    return place[: -2 * _NUMBER_BYTES], place[-2 * _NUMBER_BYTES : -_NUMBER_BYTES], place[-_NUMBER_BYTES:]


@dataclass(slots=True)
class _Flying:
    """Records of one product that are on their way. `last`: number, and digest and cause of the newest; `kept`: the newest that is
    kept.
    """

    last: tuple[int, _Kept] = (0, _Kept())
    kept: int = 0
    count: int = 0
    order: asyncio.Lock = field(default_factory=asyncio.Lock)


class Standing:
    """The records of one topic.

    Args:
        store: keeps them.
        stage: who publishes.
        generation: the id of the topic: one that is made anew is empty. Raises `Retryable` while nobody can say it.
        in_thread: runs what waits for the store.
        remembered: products that are kept in memory as well. Only for who is told of each deal of the group (`begin`): another
            worker may have written meanwhile.
    """

    def __init__(
        self,
        store: ObjectStore,
        stage: str,
        generation: Callable[[], Awaitable[str]],
        in_thread: InThread,
        *,
        remembered: int = 0,
    ) -> None:
        self._store, self._stage, self._generation, self._in_thread = store, stage, generation, in_thread
        self._most, self._deal = remembered, 0
        self._remembered: OrderedDict[str, _Kept] = OrderedDict()
        self._memo: Memo | None = None
        self._flying: dict[str, _Flying] = {}
        self._number = 0

    def begin(self) -> None:
        """The partitions are dealt anew: what is in memory may be of before what another worker wrote."""
        self._deal += 1
        self._remembered.clear()

    async def holds(self, product_id: str, value: bytes) -> bool:
        """Whether this very value is what stands under the product. Raises `Retryable`: the store is away."""
        return bool(await self.hold({product_id: value}))

    async def hold(self, values: Mapping[str, bytes]) -> set[str]:
        """Those of many products under which this very value stands. Raises `Retryable`."""
        known = await self._known(values)
        return {product for product, value in values.items() if known[product].digest == _digest(value)}

    async def causes(self, products: Iterable[str]) -> Mapping[str, bytes]:
        """Of what the record was made that stands under each product; b"" where nobody knows. Raises `Retryable`."""
        return {product: known.cause for product, known in (await self._known(products)).items()}

    async def is_ahead(self, product_id: str, place: bytes) -> bool:
        """Whether what stands was made of a record that lies behind this one in its partition (`place_of`). Raises `Retryable`."""
        return bool(place) and (await self._known([product_id]))[product_id].is_newer(place)

    def stands(
        self,
        product_id: str,
        value: bytes | None,
        delivery: Awaitable[object] | None,
        cause: bytes = b"",
        place: bytes = b"",
    ) -> Awaitable[object]:
        """The delivery of a record (None: of a deletion), done once it is known to stand. Call it in the order of the records.

        Args:
            product_id: whose.
            value: of the record.
            delivery: to the broker; None: it stands already, and its cause is news.
            cause: of what it was made; b"": what comes of the same has to be made again.
            place: of the record that it was made of (`place_of`); b"": not known.
        """
        assert not cause or (value is not None and len(cause) == CAUSE_BYTES)
        self._number += 1
        flying = self._flying.setdefault(product_id, _Flying())
        flying.last = (self._number, _Kept(_digest(value), cause, place))
        flying.count += 1
        return self._delivered(product_id, flying, *flying.last, delivery)

    async def _delivered(
        self, product_id: str, flying: _Flying, number: int, known: _Kept, delivery: Awaitable[object] | None
    ) -> None:
        try:
            if delivery is not None:
                await delivery
            async with flying.order:
                if flying.kept < number:  # else a newer one has been delivered, and kept, meanwhile
                    deal = self._deal
                    await (await self._kept()).overwrite(_key(product_id), known.data())
                    flying.kept = number
                    if deal == self._deal:
                        self._remember(product_id, known)
        finally:
            flying.count -= 1
            if not flying.count:
                self._flying.pop(product_id, None)

    async def _known(self, products: Iterable[str]) -> dict[str, _Kept]:
        found: dict[str, _Kept] = {}
        asked = []
        for product in products:
            if (flying := self._flying.get(product)) is not None:
                found[product] = flying.last[1]
            elif (remembered := self._remembered.get(product)) is not None:
                found[product] = remembered
            else:
                asked.append(product)
        if asked:
            deal = self._deal
            read = await (await self._kept()).get_all([_key(product) for product in asked])
            for product in asked:
                found[product] = _Kept.read(read.get(_key(product), b""))
                # What was written meanwhile is in memory already, and newer.
                if deal == self._deal and product not in self._flying and product not in self._remembered:
                    self._remember(product, found[product])
        return found

    def _remember(self, product_id: str, known: _Kept) -> None:
        if not self._most:
            return
        self._remembered[product_id] = known
        self._remembered.move_to_end(product_id)
        while len(self._remembered) > self._most:
            self._remembered.popitem(last=False)

    async def _kept(self) -> Memo:
        if self._memo is None:
            fingerprint = f"{self._stage} {await self._generation()}"
            self._memo = Memo(self._store, f"standing-{self._stage}", fingerprint, in_thread=self._in_thread)
        return self._memo


def _key(product_id: str) -> str:
    return hashlib.sha256(product_id.encode()).hexdigest()


def _digest(value: bytes | None) -> bytes:
    return b"" if value is None else hashlib.sha256(value).digest()
