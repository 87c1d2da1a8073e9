"""How the role `shadow` is built: with the models of another profile, in a process of its own that gives way to every other.

Nothing of it may harm what is live: it writes to no topic of the catalogue and to no memo, its failures are counted and no letters, and where
its models cannot be loaded it says so and does nothing.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

from infra.logs import logger
from infra.lowest import give_way
from infra.memory_store import EmptyStore
from infra.settings import Settings
from models.guard import ignore
from models.ports import view_of
from processors.policies import policies_of
from streams.contract import topics
from streams.engine.credits import Credits
from streams.engine.message import Message
from streams.engine.patience import Patience
from streams.engine.pipeline import Pipeline
from streams.facets.live import LiveHeads
from streams.kafka.client import Reader
from streams.roles import reserve
from streams.roles.caption.kits import load as kits_of
from streams.roles.caption.looking import looking, of_store
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.caption.rules import load as hold_rules
from streams.roles.memo import Memo
from streams.roles.rethink import Rethink
from streams.roles.seeing import SERVING_SIDE
from streams.roles.shadow.judging import Neighbours
from streams.roles.shadow.role import Items, Outcome, Shadow, Share, failing, telling
from streams.wiring.caption import CAPTION_WAIT_S
from streams.wiring.enriching import enricher
from streams.wiring.models import Models, calibrations
from streams.wiring.parts import Parts, Ready, Role, beside, consume_group, loaded
from streams.wiring.weights import require_weights, writes_by_rule

log = logger("weft.shadow")

CREDIT_BYTES = 64 * 2**20
"""Encoded and decoded bytes that it holds at once, at most: some ten photos."""


@dataclass(frozen=True, slots=True)
class _Built:
    """The role, and what it follows."""

    role: Shadow
    items: Items
    heads: LiveHeads


async def run_shadow(parts: Parts, ready: Ready) -> None:
    """`catalog.captions` of a share of the products → metrics, by what the machine has to spare."""
    give_way()
    await compare_on(parts, ready)


async def compare_on(parts: Parts, ready: Ready, joined: Ready = lambda _: None) -> None:
    """The same in competition with others. `joined`: called with the role's name once it reads captions; `ready` before its models are loaded."""
    ready("shadow")  # nobody waits for its models
    settings = parts.settings.model_copy(update={"profile": parts.settings.shadow_profile})
    try:
        built = await _build(replace(parts, settings=settings), settings)
    except Exception as error:
        # Whatever the models of a profile raise that is only tried: to start again would not help, and the stack is well without it.
        log.exception("shadow.off", profile=settings.profile)
        parts.notices_of("shadow").trouble(
            f"the profile {settings.profile!r} cannot be loaded, nothing is compared: {error}"
        )
        await parts.stop.wait()
        return
    async with Reader(parts.settings, topics.ITEMS, from_end=True, client="shadow") as items:
        # What was published before cannot be compared: its items were not seen.
        pipeline = _pipeline(parts, replace(built.role, since=time.time()))
        consuming = consume_group(parts, "shadow", topics.CAPTIONS, pipeline, joined, letters=False)
        await beside(_follow(items, built.items), beside(built.heads.follow(settings.facet_seconds), consuming))


def _pipeline(parts: Parts, role: Shadow) -> Pipeline[Outcome | None]:
    observer, settings = parts.engine_of("shadow").observer, parts.settings
    return Pipeline(
        "shadow",
        role.stages(),
        publish=telling(observer),
        dead_letter=failing(observer),
        admission=Credits(min(CREDIT_BYTES, settings.credit_bytes)),
        engine=parts.engine_of("shadow"),
        charge=reserve.charge(settings.max_image_bytes, SERVING_SIDE),
    )


async def _build(parts: Parts, settings: Settings) -> _Built:
    await asyncio.to_thread(require_weights, settings)
    models = Models(settings, lambda _: ignore)
    detector = await loaded(lambda: models.detector)
    encoder = await loaded(lambda: models.image_encoder)
    writer = await loaded(lambda: models.writer)
    found = await enricher(parts, settings, detector, encoder)
    policies = policies_of(settings.facet_policy)
    nothing = EmptyStore()  # every product is thought, and what was thought of it is nobody's answer
    share, neighbours = Share(settings.shadow_share), Neighbours()
    items = Items(share, neighbours.forget)
    neighbourhood = Neighbourhood(policies.voted())
    role = Shadow(
        share=share,
        items=items,
        rethink=Rethink(replace(found.enrich, memo=Memo(nothing, "shadow", "items"))),
        captioner=Captioner(
            writer=writer,
            neighbourhood=neighbourhood,
            memo=Memo(nothing, "shadow", "captions"),
            calibration=await asyncio.to_thread(calibrations, settings),
            batch_items=settings.batch_items,
            batch_wait_s=CAPTION_WAIT_S,
            policies=policies,
            rules=await asyncio.to_thread(hold_rules, settings.hold_rules),
            kits=await asyncio.to_thread(kits_of, settings.kits),
            publish_neighbours=settings.publish_neighbours,
            tone=settings.caption_tone,
            by_rule=writes_by_rule(settings),
            patience=Patience(settings.writer_seconds, "writer"),
            look=looking(of_store(parts.store, parts.in_thread), view_of(writer), parts.limits),
        ),
        neighbourhood=neighbourhood,
        neighbours=neighbours,
        now=time.time,
    )
    return _Built(role, items, found.heads)


async def _follow(reader: Reader, items: Items) -> None:
    record: Message
    async for record in reader.follow():
        items.apply(record)


ROLE = Role("shadow", run_shadow)
