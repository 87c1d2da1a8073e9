"""The product that a query starts from, looked up in the shards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from processors.chances import Packed
from processors.errors import Code, Poison
from processors.identity import key_of
from streams.contract.probes import Answer, Found, LookupProbe
from streams.roles.compose.asked import MARGIN_S, Asked, Reference
from streams.search.pending import PendingQueries, all_answered


async def anywhere(_product_id: str) -> int | None:
    """Nobody can say where a product lies."""
    return None


@dataclass(frozen=True, slots=True)
class References:
    """Looks products up. `place`: the partition that a product's key names; None where nobody can say."""

    pending: PendingQueries
    partitions: int
    place: Callable[[str], Awaitable[int | None]] = anywhere

    async def look_up(
        self, asked: Asked, product_id: str, name: str = "lookup", field: str = "image.product_id"
    ) -> Reference:
        """Ask the shard that the product's key names, and only where that has none of the kind, all of them.

        Args:
            asked: the query.
            product_id: of its shop.
            name: of the question, within the query.
            field: the query's, that names the product.

        Raises:
            Poison: no shard that answered in time has it.
        """
        key = key_of(asked.query.shop or "", product_id)
        probe = LookupProbe(
            query_id=asked.message.event_id(name),
            product_id=key,
            deadline=asked.deadline - MARGIN_S,
            min_offsets=asked.query.min_offsets,
            joined=True,
            generation=asked.space.generation,
            partition=await self.place(key),
        )
        answers = await self.pending.ask(
            probe, lambda got: probe.partition in got or all_answered(got) or _found(got) is not None
        )
        if _found(answers) is None and probe.partition is not None:
            # Keys of before partitions were added may lie elsewhere.
            probe = msgspec.structs.replace(probe, query_id=asked.message.event_id(f"{name}/all"), partition=None)
            answers = await self.pending.ask(probe, lambda got: all_answered(got) or _found(got) is not None)
        found = _found(answers)
        if found is None or found.vector is None:
            missing = f"the catalogue has no product {product_id!r}"
            if not all_answered(answers):
                missing = (
                    f"{len(answers)} of {self.partitions} shards answered in time; none of them has {product_id!r}"
                )
            raise Poison(missing, field=field, code=Code.UNKNOWN_PRODUCT)
        vector = np.frombuffer(found.vector, dtype="<f4")
        facets = tuple(sorted(found.facets.items()))
        return Reference(
            probe.product_id,
            vector,
            facets,
            group=found.group_id,
            chances=found.chances,
            heads=found.heads,
            pays=found.pays,
            currency=found.currency,
        )

    async def lent(self, asked: Asked) -> Packed:
        """What the products that lend a facet probably are, facet by facet.

        Raises:
            Poison: there is no such product, or nothing is known of that facet of it.
        """
        lent: Packed = {}
        for one in asked.query.images:
            role, product_id = one.role or "", one.product_id or ""
            name = f"images[{role}].product_id"
            reference = await self.look_up(asked, product_id, f"lookup/{role}", name)
            if not reference.chances.get(role):
                raise Poison(f"nothing is known of the {role} of {product_id!r}", field=name, code=Code.INVALID)
            lent[role] = reference.chances[role]
        return lent


def _found(answers: dict[int, Answer]) -> Found | None:
    return next((a for a in answers.values() if isinstance(a, Found) and a.vector is not None), None)
