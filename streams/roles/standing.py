"""What stands on a topic under each product, so that it need not be published again when the product comes again unchanged.

Kept in the object store, a few bytes a product, written once the broker has the record: a process that dies between the two
publishes again. A record that is still on its way counts as standing, as nothing of its product is acknowledged before it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from infra.store import ObjectStore
from infra.threads import InThread
from streams.roles.memo import Memo


@dataclass(slots=True)
class _Flying:
    """Records of one product that are on their way. `last`: number and digest of the newest; `kept`: the newest that is kept."""

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
    """

    def __init__(
        self, store: ObjectStore, stage: str, generation: Callable[[], Awaitable[str]], in_thread: InThread
    ) -> None:
        self._store, self._stage, self._generation, self._in_thread = store, stage, generation, in_thread
        self._memo: Memo | None = None
        self._flying: dict[str, _Flying] = {}
        self._number = 0

    async def holds(self, product_id: str, value: bytes) -> bool:
        """Whether this very value is what stands under the product. Raises `Retryable`: the store is away."""
        flying = self._flying.get(product_id)
        known = await (await self._kept()).get(_key(product_id)) if flying is None else flying.last[1]
        return known == _digest(value)

    async def hold(self, values: Mapping[str, bytes]) -> set[str]:
        """Those of many products under which this very value stands. Raises `Retryable`."""
        resting = [product_id for product_id in values if product_id not in self._flying]
        known = await (await self._kept()).get_all([_key(product_id) for product_id in resting])
        found = {product_id: known.get(_key(product_id)) for product_id in resting}
        for product_id in values:
            if (flying := self._flying.get(product_id)) is not None:
                found[product_id] = flying.last[1]
        return {product_id for product_id, value in values.items() if found[product_id] == _digest(value)}

    async def knows(self, product_id: str) -> bool:
        """Whether any value stands under the product. Raises `Retryable`."""
        return bool(await (await self._kept()).get(_key(product_id)))

    def stands(self, product_id: str, value: bytes | None, delivery: Awaitable[object]) -> Awaitable[object]:
        """The delivery of a record (None: of a deletion), done once it is known to stand. Call it in the order of the records."""
        self._number += 1
        flying = self._flying.setdefault(product_id, _Flying())
        flying.last = (self._number, _digest(value))
        flying.count += 1
        return self._delivered(product_id, flying, *flying.last, delivery)

    async def _delivered(
        self, product_id: str, flying: _Flying, number: int, digest: bytes, delivery: Awaitable[object]
    ) -> None:
        try:
            await delivery
            async with flying.order:
                if flying.kept < number:  # else a newer one has been delivered, and kept, meanwhile
                    await (await self._kept()).overwrite(_key(product_id), digest)
                    flying.kept = number
        finally:
            flying.count -= 1
            if not flying.count:
                self._flying.pop(product_id, None)

    async def _kept(self) -> Memo:
        if self._memo is None:
            fingerprint = f"{self._stage} {await self._generation()}"
            self._memo = Memo(self._store, f"standing-{self._stage}", fingerprint, in_thread=self._in_thread)
        return self._memo


def _key(product_id: str) -> str:
    return hashlib.sha256(product_id.encode()).hexdigest()


def _digest(value: bytes | None) -> bytes:
    return b"" if value is None else hashlib.sha256(value).digest()
