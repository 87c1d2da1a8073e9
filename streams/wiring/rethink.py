"""How items are thought again: by `weft replay`, and beside `enrich` for what comes after it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.errors import KafkaError

from infra.logs import logger
from models.guard import ignore
from processors.errors import Retryable
from streams.contract import topics
from streams.contract.records import Generation
from streams.engine.pipeline import Pipeline
from streams.engine.stages import Stage
from streams.kafka.faust.app import consume
from streams.roles import reserve
from streams.roles.rethink import Counts, ItemsSender, Rethink
from streams.roles.seeing import SERVING_SIDE
from streams.search.generations import Generations, follow, group_of
from streams.wiring.enriching import Enricher, enricher
from streams.wiring.models import Models
from streams.wiring.parts import Parts, beside, loaded
from streams.wiring.weights import require_weights

log = logger("weft.rethink")

PAUSE_S = 1.0


async def thinker(parts: Parts, profile: str) -> Enricher:
    """Load the models of a profile; "" and the process's own are those that the process has anyway.

    Raises:
        Missing, BadSetting: there are no such weights, or no such profile.
    """
    settings, models = parts.settings, parts.models
    if profile not in {"", settings.profile}:
        settings = settings.model_copy(update={"profile": profile})
        await asyncio.to_thread(require_weights, settings)
        models = Models(settings, lambda _: ignore)
    detector = await loaded(lambda: models.detector)
    encoder = await loaded(lambda: models.image_encoder)
    return await enricher(parts, settings, detector, encoder)


def items_pipeline(parts: Parts, name: str, stages: Sequence[Stage], out: ItemsSender) -> Pipeline[object]:
    """From records of `catalog.items` (or uploads) to a generation's own topic."""
    return Pipeline(
        name,
        stages,
        publish=out.publish,
        dead_letter=out.lost,
        admission=parts.credits(),
        engine=parts.engine_of("enrich"),
        charge=reserve.charge(parts.settings.max_image_bytes, SERVING_SIDE),
    )


async def keep_items_current(parts: Parts) -> None:
    """Think every item again for each generation that has items of its own, until it is dropped; for ever."""
    running: dict[str, asyncio.Event] = {}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_stop_all(parts.stop, running))
        while True:
            try:
                async for now in follow(parts.settings, "enrich"):
                    wanted = _own(now)
                    for name in [name for name in running if name not in wanted]:
                        running.pop(name).set()
                    for name in [name for name in wanted if name not in running]:
                        running[name] = asyncio.Event()
                        tasks.create_task(_keep(parts, wanted[name], running[name]), name=f"items:{name}")
            except (KafkaError, Retryable, OSError) as error:
                log.warning("generations.unknown", cause=str(error))
            await asyncio.sleep(PAUSE_S)


def _own(now: Generations) -> dict[str, Generation]:
    return {name: made for name, made in now.served().items() if made.items == topics.items_of(name)}


async def _stop_all(stop: asyncio.Event, running: dict[str, asyncio.Event]) -> None:
    await stop.wait()
    for one in running.values():
        one.set()


async def _keep(parts: Parts, made: Generation, stop: asyncio.Event) -> None:
    name = made.generation
    try:
        found = await thinker(parts, made.profile)
    except Exception:
        # Whatever its models raise: what is live must not end for a candidate; `weft index swap` sees that it lags.
        log.exception("generation.not_kept", generation=name, profile=made.profile)
        return
    log.info("generation.kept", generation=name, profile=made.profile)
    counts = Counts()
    out = ItemsSender(parts.sender, made.items, counts=counts)
    pipeline = items_pipeline(parts, f"items-{name}", Rethink(found.enrich, counts).stages(), out)
    consuming = consume(
        [topics.ITEMS],
        group_of(name),
        pipeline,
        settings=parts.settings,
        stop=stop,
        observer=parts.engine_of("enrich").observer,
        drain_s=parts.settings.drain_seconds,
    )
    await beside(found.heads.follow(parts.settings.facet_seconds), consuming)
