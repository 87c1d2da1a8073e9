"""What a cluster says to the clean-up of its store, without a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field

from infra.memory_store import MemoryStore
from streams.engine.message import Message
from streams.ops.store_names import Named
from streams.search.generations import Generations


@dataclass
class FakeWorld:
    """Records in a list. `meanwhile`: those that the roles publish while they are waited for."""

    store: MemoryStore
    records: list[Message] = field(default_factory=list)
    meanwhile: list[Message] = field(default_factory=list)
    control: Generations = field(default_factory=Generations)
    caught_up: bool = True

    async def read_on(self) -> Named:
        named = Named()
        for message in self.records:
            named.take(self.store, message)
        return named

    async def generations(self) -> Generations:
        return self.control

    async def roles_caught_up(self, patience_s: float) -> bool:
        if self.caught_up:
            self.records += self.meanwhile
            self.meanwhile = []
        return self.caught_up
