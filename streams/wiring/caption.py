"""How the role `caption` is built."""

from __future__ import annotations

import asyncio

from processors.captions import RULES
from processors.policies import policies_of
from streams.contract import topics
from streams.contract.records import Caption
from streams.engine.pipeline import Pipeline
from streams.kafka.client import Reader
from streams.kafka.dead_letters import dead_letters
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.caption.rules import load as hold_rules
from streams.roles.memo import Memo
from streams.roles.outcome import Outcome, Unchanged, publisher
from streams.wiring.models import calibrations
from streams.wiring.parts import Parts, Ready, Role, beside, consume_group, loaded, standing_of

CAPTION_WAIT_S = 0.25
"""A language model's batch takes seconds: a quarter of one more for a fuller batch is well spent."""


async def run_caption(parts: Parts, ready: Ready) -> None:
    """`catalog.items` → `catalog.captions`."""
    writer = await loaded(lambda: parts.models.writer)
    policies = policies_of(parts.settings.facet_policy)
    neighbourhood = Neighbourhood(policies.voted())
    votes = await asyncio.to_thread(calibrations, parts.settings)
    tone = parts.settings.caption_tone
    role = Captioner(
        writer=writer,
        neighbourhood=neighbourhood,
        # Other votes and policies make other evidence, and other captions; so do another tone and other rules.
        memo=Memo(
            parts.store, "caption", f"{writer.fingerprint} {votes} {policies} {tone} {RULES}", in_thread=parts.in_thread
        ),
        calibration=votes,
        batch_items=parts.settings.batch_items,
        batch_wait_s=CAPTION_WAIT_S,
        policies=policies,
        rules=await asyncio.to_thread(hold_rules, parts.settings.hold_rules),
        publish_neighbours=parts.settings.publish_neighbours,
        tone=tone,
    )
    observer = parts.engine_of("caption").observer

    def published(outcome: Outcome) -> None:
        if isinstance(outcome, Unchanged):
            observer.unchanged()
        elif isinstance(outcome, Caption):
            observer.captioned(outcome.writer)

    pipeline = Pipeline(
        "caption",
        role.stages(),
        publish=publisher(
            parts.sender,
            stage="caption",
            topic=topics.CAPTIONS,
            published=published,
            standing=standing_of(parts, "caption", topics.CAPTIONS),
        ),
        dead_letter=dead_letters(parts.sender),
        admission=parts.credits(),
        engine=parts.engine_of("caption"),
    )
    async with Reader(parts.settings, topics.ITEMS, client="caption") as items:
        # Without the neighbours that are there already, the first captions would know less than they could.
        async for raw in items.to_end():
            neighbourhood.apply(raw)

        async def feed() -> None:
            async for raw in items.follow():
                neighbourhood.apply(raw)

        await beside(feed(), consume_group(parts, "caption", topics.ITEMS, pipeline, ready))


ROLE = Role("caption", run_caption, ("writer",))
