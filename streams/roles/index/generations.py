"""The generations that a worker serves beside the first one, and which of all is live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from aiokafka.errors import KafkaError

from infra.logs import logger
from infra.settings import Settings
from processors.errors import Retryable
from streams.contract.records import Generation
from streams.roles.index.following import Following
from streams.roles.index.probes import ProbeAnswerer
from streams.roles.index.shards import IndexConfig, OwnedShard, ShardOwner
from streams.roles.index.standbys import Standbys
from streams.roles.index.trouble import Patience
from streams.search.generations import FIRST, Generations, follow

log = logger("weft.index")


class Served:
    """Every generation that is built and not dropped has its shards here, of the partitions that this worker has.

    Args:
        config: of the worker.
        settings: where Kafka is.
        patience: between attempts at what is away.
        make_keeper: of the shards of a generation.
        assigned: partition → token of its assignment, as the group deals it.
        worked: told that something was done.

    Attributes:
        keepers: of the shards of all but the first.
        others: what follows them.
        standbys: keeps copies of other workers' shards; None: nobody does.
    """

    def __init__(
        self,
        config: IndexConfig,
        settings: Settings,
        patience: Patience,
        make_keeper: Callable[[IndexConfig], ShardOwner],
        assigned: Callable[[], Mapping[int, object]],
        worked: Callable[[], None],
    ) -> None:
        self._config, self._settings, self._patience = config, settings, patience
        self._make_keeper, self._assigned, self._worked = make_keeper, assigned, worked
        self._now: Generations | None = None
        self.keepers: dict[str, ShardOwner] = {}
        self.others: dict[str, Following] = {}
        self.standbys: Standbys | None = None

    @property
    def known(self) -> bool:
        """Whether the topic of generations has been read."""
        return self._now is not None

    @property
    def live(self) -> str:
        """The generation that answers where a probe names none."""
        return FIRST if self._now is None else self._now.live

    @property
    def first_is_dropped(self) -> bool:
        """Whether nobody needs the shards of the first one any more."""
        return self._now is not None and self._now.of(FIRST) is None

    @property
    def recovering(self) -> int:
        """How many shards of the live one are assigned, and not held yet, where that is not the first."""
        live = self.others.get(self.live)
        return 0 if live is None else live.recovering

    def held(self) -> list[OwnedShard]:
        """The shards that are held here."""
        return [held for one in self.others.values() for held in one.held.values()]

    async def release_all(self) -> None:
        """The group deals anew: finish, save and let go of every shard."""
        await asyncio.gather(*(one.release_all() for one in self.others.values()))

    def config_of(self, made: Generation) -> IndexConfig:
        """The worker's, for one generation."""
        if made.generation == FIRST:
            return self._config
        return replace(self._config, generation=made.generation, items=made.items, encoder=made.encoder, dimension=0)

    async def follow(
        self,
        answerer: ProbeAnswerer,
        tasks: asyncio.TaskGroup,
        stop: asyncio.Event,
        first: Callable[[bool], None],
    ) -> None:
        """Hold the shards of every generation that is built, until it is dropped. Returns after `stop` is set.

        Args:
            answerer: told of shards that have come; searches have precedence before a backfill.
            tasks: owns those that follow.
            stop: the end.
            first: called when the first generation was dropped (True), or is there again (False).
        """
        attempt = 0
        while not stop.is_set():
            try:
                async for now in follow(self._settings, "index"):
                    attempt = 0
                    before, self._now = self.first_is_dropped, now
                    await self._serve(now, answerer, tasks, stop)
                    if before != self.first_is_dropped:
                        first(self.first_is_dropped)
            except (KafkaError, Retryable, OSError) as error:
                attempt += 1
                await self._patience.wait_or_raise("generations", error, attempt)

    async def _serve(
        self, now: Generations, answerer: ProbeAnswerer, tasks: asyncio.TaskGroup, stop: asyncio.Event
    ) -> None:
        served = now.served()
        if self.standbys is not None:
            self.standbys.serve(served, tasks, stop)
        for name in [name for name in self.others if name not in served]:
            log.info("generation dropped", generation=name)
            await self.others.pop(name).end()
            del self.keepers[name]
        for name, made in served.items():
            if name != FIRST and name not in self.others:
                log.info("generation served", generation=name, items=made.items)
                following = self.others[name] = self._following(made, answerer)
                tasks.create_task(following.run(stop), name=f"index:{name}")

    def _following(self, made: Generation, answerer: ProbeAnswerer) -> Following:
        keeper = self.keepers[made.generation] = self._make_keeper(self.config_of(made))

        async def give_way(worked_s: float) -> None:
            if made.generation != self.live:
                await answerer.precedence.give_way(worked_s)

        def give_way_in_thread() -> None:
            if made.generation != self.live:
                answerer.precedence.give_way_in_thread()

        return Following(
            made,
            keeper,
            self._settings,
            self._patience,
            answerer.catch_up,
            self._assigned,
            self._worked,
            give_way,
            give_way_in_thread,
        )
