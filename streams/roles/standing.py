"""What stands on a topic under each product, so that it need not be published again when the product comes again unchanged.

Kept in the object store, a few bytes a product, written once the broker has the record: a process that dies between the two
publishes again. A record that is still on its way counts as standing, as nothing of its product is acknowledged before it.
Beside the hash of a record its cause is kept, where there is one: what comes of the same cause again need not be made again.
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
_DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(slots=True)
class _Flying:
    """Records of one product that are on their way. `last`: number, and digest and cause of the newest; `kept`: the newest that is
    kept.
    """

    last: tuple[int, bytes] = (0, b"")
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
        self._remembered: OrderedDict[str, bytes] = OrderedDict()
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
        return {product for product, value in values.items() if known[product][:_DIGEST_BYTES] == _digest(value)}

    async def causes(self, products: Iterable[str]) -> Mapping[str, bytes]:
        """Of what the record was made that stands under each product; b"" where nobody knows. Raises `Retryable`."""
        return {product: known[_DIGEST_BYTES:] for product, known in (await self._known(products)).items()}

    async def knows(self, product_id: str) -> bool:
        """Whether any value stands under the product. Raises `Retryable`."""
        return bool(await (await self._kept()).get(_key(product_id)))

    def stands(
        self, product_id: str, value: bytes | None, delivery: Awaitable[object] | None, cause: bytes = b""
    ) -> Awaitable[object]:
        """The delivery of a record (None: of a deletion), done once it is known to stand. Call it in the order of the records.

        Args:
            product_id: whose.
            value: of the record.
            delivery: to the broker; None: it stands already, and its cause is news.
            cause: of what it was made; b"": what comes of the same has to be made again.
        """
        assert not cause or (value is not None and len(cause) == CAUSE_BYTES)
        self._number += 1
        flying = self._flying.setdefault(product_id, _Flying())
        flying.last = (self._number, _digest(value) + cause)
        flying.count += 1
        return self._delivered(product_id, flying, *flying.last, delivery)

    async def _delivered(
        self, product_id: str, flying: _Flying, number: int, known: bytes, delivery: Awaitable[object] | None
    ) -> None:
        try:
            if delivery is not None:
                await delivery
            async with flying.order:
                if flying.kept < number:  # else a newer one has been delivered, and kept, meanwhile
                    deal = self._deal
                    await (await self._kept()).overwrite(_key(product_id), known)
                    flying.kept = number
                    if deal == self._deal:
                        self._remember(product_id, known)
        finally:
            flying.count -= 1
            if not flying.count:
                self._flying.pop(product_id, None)

    async def _known(self, products: Iterable[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
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
                found[product] = read.get(_key(product), b"")
                # What was written meanwhile is in memory already, and newer.
                if deal == self._deal and product not in self._flying and product not in self._remembered:
                    self._remember(product, found[product])
        return found

    def _remember(self, product_id: str, known: bytes) -> None:
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
