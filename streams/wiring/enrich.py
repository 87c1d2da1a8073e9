"""How the role `enrich` is built."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from streams.contract import topics
from streams.engine.message import ANSWER, Message
from streams.kafka.dead_letters import dead_letters
from streams.kafka.key_order import KafkaLog, KeyOrder
from streams.kafka.look_ahead import LookAhead
from streams.kafka.pace import STREAM_S
from streams.kafka.positions import Positions
from streams.ops.dlq_watch import watch_letters
from streams.roles import reserve
from streams.roles.outcome import Outcome, Stands, Unchanged
from streams.roles.products import Products
from streams.roles.seeing import SERVING_SIDE
from streams.roles.taking_in import TakeIn
from streams.wiring.enriching import enricher, products_of
from streams.wiring.held_space import check_space, held_space
from streams.wiring.parts import Parts, Ready, Role, beside, consume_group, loaded
from streams.wiring.rethink import keep_items_current
from streams.wiring.urgent import is_urgent, pipelines


async def run_enrich(parts: Parts, ready: Ready) -> None:
    """`catalog.uploads` → `catalog.items`."""
    async with AsyncExitStack() as closing:
        await _run(parts, ready, products_of(parts, closing))


async def _run(parts: Parts, ready: Ready, products: Products) -> None:
    async with asyncio.TaskGroup() as tasks:  # looked up while the models are loaded
        held = tasks.create_task(held_space(parts), name="enrich:space")
        detector = await loaded(lambda: parts.models.detector)
        encoder = await loaded(lambda: parts.models.image_encoder)
    check_space(parts.settings, held.result(), encoder.fingerprint)
    order = KeyOrder(KafkaLog(parts.looking, topics.UPLOADS), parts.notices_of("enrich"), now=time.monotonic)
    observer = parts.engine_of("enrich").observer
    found = await enricher(parts, parts.settings, detector, encoder)
    heads = found.heads

    always = parts.settings.unchanged == "publish"

    def wanted(message: Message) -> bool:
        return always or message.header(ANSWER) is not None or is_urgent(message)

    role = replace(
        found.enrich,
        check_place=Positions(parts.settings).check,
        order=order.place,
        conflicted=observer.conflicted,
        kept=products.peek,
        wanted=wanted,
        earlier=products.earlier,
        kept_all=products.peek_all,
    )

    def published(outcome: Outcome) -> None:
        if isinstance(outcome, Unchanged | Stands):
            observer.unchanged()

    taking_in = TakeIn(parts.sender, products, role.items, role.live, published, always=always, urgent=is_urgent)
    both = pipelines(
        parts,
        "enrich",
        topics.UPLOADS,
        role.stages,
        publish=taking_in.publish,
        publish_all=taking_in.publish_all,
        dead_letter=dead_letters(parts.sender),
        charge=reserve.charge(parts.settings.max_image_bytes, SERVING_SIDE),
    )
    letters = watch_letters(parts.settings, observer.open_letters)
    watcher = _Told(both.look, products)
    consuming = consume_group(parts, "enrich", topics.UPLOADS, both.pipeline, ready, watcher, pace_s=STREAM_S)
    beginning = beside(heads.follow(parts.settings.facet_seconds), beside(both.look.run(), consuming))
    await beside(letters, beside(keep_items_current(parts), beginning))


@dataclass(frozen=True, slots=True)
class _Told:
    """Who has to know which partitions of the uploads are ours."""

    look: LookAhead
    products: Products

    def begin(self, starts: Mapping[tuple[str, int], int]) -> None:
        self.products.begin()
        self.look.begin(starts)

    def revoked(self, places: Iterable[tuple[str, int]]) -> None:
        gone = list(places)
        self.products.revoked({partition for _, partition in gone})
        self.look.revoked(gone)


ROLE = Role("enrich", run_enrich, ("detector", "image_encoder"))
