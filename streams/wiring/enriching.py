"""The role `enrich` with the models of a profile: for what comes, and for what is thought again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from infra.settings import Settings
from models.ports import Detector, ImageEncoder
from streams.contract import topics
from streams.facets.live import LiveHeads
from streams.roles.enrich import Enrich, memo_fingerprint
from streams.roles.memo import Memo
from streams.roles.products import Products
from streams.roles.remote import RemotePhotos
from streams.roles.standing import Standing
from streams.wiring.models import judge_of, shipped_heads
from streams.wiring.parts import Parts


@dataclass(frozen=True, slots=True)
class Enricher:
    """The role, and the facet heads that it follows."""

    enrich: Enrich
    heads: LiveHeads


async def enricher(parts: Parts, settings: Settings, detector: Detector, encoder: ImageEncoder) -> Enricher:
    """Build both; the heads that are live now are taken up.

    Args:
        parts: of the process.
        settings: whose profile the models are of.
        detector: of that profile.
        encoder: likewise.
    """
    shipped = await asyncio.to_thread(shipped_heads, settings)
    judge = judge_of(shipped, encoder.features_maker)
    heads = LiveHeads(parts.store, encoder.features_maker, shipped=shipped, in_thread=parts.in_thread)
    await heads.look()
    enrich = Enrich(
        store=parts.store,
        fetcher=parts.fetcher,
        remote=RemotePhotos(
            parts.fetcher,
            parts.store,
            rules="as it is" if settings.keep_photo_metadata else "",
            seconds=2 * settings.fetch_seconds,
            busy_seconds=settings.busy_host_seconds,
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
        batch_items=settings.batch_items,
        batch_wait_s=settings.batch_wait_ms / 1000,
        keep_metadata=settings.keep_photo_metadata,
        in_thread=parts.in_thread,
        heads=heads.now,
        judge=judge,
    )
    return Enricher(enrich, heads)


def products_of(parts: Parts) -> Products:
    """What is known of the products of this cluster."""

    async def uploads() -> str:
        return await parts.looking.topic_id(topics.UPLOADS)

    async def items() -> str:
        return await parts.looking.topic_id(topics.ITEMS)

    before = Standing(parts.store, "enrich", items, parts.in_thread)
    return Products(parts.store, uploads, items, parts.in_thread, before)
