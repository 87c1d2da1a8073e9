"""How the role `enrich` is built."""

from __future__ import annotations

import asyncio
import time

from streams.contract import topics
from streams.facets.live import LiveHeads
from streams.kafka.dead_letters import dead_letters
from streams.kafka.key_order import KafkaLog, KeyOrder
from streams.kafka.positions import Positions
from streams.ops.dlq_watch import watch_letters
from streams.roles import reserve
from streams.roles.enrich import SERVING_SIDE, Enrich, memo_fingerprint
from streams.roles.memo import Memo
from streams.roles.outcome import Outcome, Unchanged, publisher
from streams.roles.remote import RemotePhotos
from streams.wiring.models import judge_of, shipped_heads
from streams.wiring.parts import Parts, Ready, Role, beside, consume_group, loaded, standing_of
from streams.wiring.rethink import keep_items_current
from streams.wiring.urgent import is_urgent, pipelines


async def run_enrich(parts: Parts, ready: Ready) -> None:
    """`catalog.uploads` → `catalog.items`."""
    detector = await loaded(lambda: parts.models.detector)
    encoder = await loaded(lambda: parts.models.image_encoder)
    order = KeyOrder(KafkaLog(parts.looking, topics.UPLOADS), parts.notices_of("enrich"), now=time.monotonic)
    observer = parts.engine_of("enrich").observer
    shipped = await asyncio.to_thread(shipped_heads, parts.settings)
    judge = judge_of(shipped, encoder.features_maker)
    heads = LiveHeads(parts.store, encoder.features_maker, shipped=shipped, in_thread=parts.in_thread)
    await heads.look()
    role = Enrich(
        store=parts.store,
        fetcher=parts.fetcher,
        remote=RemotePhotos(
            parts.fetcher,
            parts.store,
            rules="as it is" if parts.settings.keep_photo_metadata else "",
            seconds=2 * parts.settings.fetch_seconds,
            busy_seconds=parts.settings.busy_host_seconds,
            in_thread=parts.in_thread,
        ),
        detector=detector,
        encoder=encoder,
        memo=Memo(
            parts.store,
            "enrich",
            memo_fingerprint(detector, encoder, shipped.version if judge is not None and shipped is not None else ""),
            in_thread=parts.in_thread,
        ),
        limits=parts.limits,
        batch_items=parts.settings.batch_items,
        batch_wait_s=parts.settings.batch_wait_ms / 1000,
        keep_metadata=parts.settings.keep_photo_metadata,
        check_place=Positions(parts.settings).check,
        order=order.place,
        in_thread=parts.in_thread,
        heads=heads.now,
        judge=judge,
        conflicted=observer.conflicted,
    )

    def published(outcome: Outcome) -> None:
        if isinstance(outcome, Unchanged):
            observer.unchanged()

    both = pipelines(
        parts,
        "enrich",
        topics.UPLOADS,
        role.stages,
        publish=publisher(
            parts.sender,
            stage="enrich",
            topic=topics.ITEMS,
            published=published,
            standing=standing_of(parts, "enrich", topics.ITEMS),
            urgent=is_urgent,
        ),
        dead_letter=dead_letters(parts.sender),
        whole=False,
        charge=reserve.charge(parts.settings.max_image_bytes, SERVING_SIDE),
    )
    letters = watch_letters(parts.settings, observer.open_letters)
    consuming = consume_group(parts, "enrich", topics.UPLOADS, both.pipeline, ready, both.look)
    beginning = beside(heads.follow(parts.settings.facet_seconds), beside(both.look.run(), consuming))
    await beside(letters, beside(keep_items_current(parts), beginning))


ROLE = Role("enrich", run_enrich, ("detector", "image_encoder"))
