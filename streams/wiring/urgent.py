"""The two pipelines of a role whose topic holds urgent records: one in the order of the partitions, and one beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from processors.errors import Poison
from processors.identity import checked_shop, shop_of
from streams.contract.urgency import said_of, says_more, says_shop
from streams.engine.ahead import Ahead
from streams.engine.credits import Credits
from streams.engine.lanes import MOST_TOGETHER, DeadLetter, Publish, PublishAll
from streams.engine.message import Message, message_bytes
from streams.engine.pipeline import Pipeline
from streams.engine.stages import DeviceStage, Done, IoStage, RunAll, Stage
from streams.kafka.consumer import open_consumer
from streams.kafka.look_ahead import LANES, LookAhead, Rules
from streams.roles.outcome import NoEffect
from streams.wiring.parts import Parts

R = TypeVar("R")

URGENT_SHARE = 4
"""What is urgent may hold so many times less than the rest."""


@dataclass(frozen=True, slots=True)
class Pipelines:
    """`pipeline`: for the consumer group. `look`: runs the other one; it is told which partitions the group holds."""

    pipeline: Pipeline[Any]
    look: LookAhead


def pipelines(
    parts: Parts,
    role: str,
    topic: str,
    stages: Callable[[], Sequence[Stage]],
    *,
    publish: Publish[R],
    dead_letter: DeadLetter,
    charge: Callable[[Message], int] = message_bytes,
    publish_all: PublishAll[R] | None = None,
) -> Pipelines:
    """Build both.

    Args:
        parts: of the process.
        role: its name.
        topic: what it reads.
        stages: makes its stages.
        publish: see `Pipeline`.
        dead_letter: likewise.
        charge: see `Pipeline`.
        publish_all: likewise; of what is done in its turn.
    """
    ahead = Ahead(product_of)

    common: dict[str, Any] = {"engine": parts.engine_of(role), "charge": charge, "shop_of": shop_of_message}
    in_turn: Pipeline[R] = Pipeline(
        role,
        in_their_turn(ahead, stages()),
        publish=ahead.in_turn(publish),
        dead_letter=ahead.letters_in_turn(dead_letter),
        admission=parts.credits(2 * MOST_TOGETHER),  # one run is read while the one before is published
        publish_all=None if publish_all is None else ahead.all_in_turn(publish_all),
        **common,
    )
    before_turn: Pipeline[R] = Pipeline(
        role,
        stages(),
        publish=ahead.before_turn(publish),
        dead_letter=dead_letter,
        admission=Credits(max(1, parts.settings.credit_bytes // URGENT_SHARE)),
        priority="urgent",
        lane=lambda message: hash(product_of(message)) % LANES,
        beside=True,
        **common,
    )
    rules = Rules(said_of, shop_named)
    look = LookAhead(
        lambda pace_s: open_consumer(parts.settings, client=role, pace_s=pace_s), topic, ahead, before_turn, rules
    )
    return Pipelines(in_turn, look)


def in_their_turn(ahead: Ahead, stages: Sequence[Stage]) -> Sequence[Stage]:
    """The stages of the first pipeline: what was done before its turn leaves at once."""

    async def turn(message: Message) -> Any:
        return Done(NoEffect()) if await ahead.is_done(message) else message

    first, *rest = stages
    run_all = None if isinstance(first, DeviceStage) or first.run_all is None else _untouched(ahead, first.run_all)
    if not isinstance(first, IoStage):
        of = 2 if isinstance(first, DeviceStage) else first.run_all_of
        return (IoStage("turn", turn, concurrency=1024, run_all=run_all, run_all_of=of), first, *rest)
    run = first.run

    async def begin(message: Message) -> Any:
        # As part of the first stage: one more costs a tenth of an upload that changes nothing.
        return Done(NoEffect()) if await ahead.is_done(message) else await run(message)

    return (replace(first, run=begin, run_all=run_all), *rest)


def _untouched(ahead: Ahead, run_all: RunAll[Message]) -> RunAll[Message]:
    """The same for those of which nothing was done before its turn; the others are asked for one by one."""

    async def run(messages: Sequence[Message]) -> Sequence[Done[Any] | None]:
        free = ahead.untouched(messages)
        if len(free) == len(messages):
            return await run_all(messages)
        found = {message.offset: done for message, done in zip(free, await run_all(free), strict=True)}
        return [found.get(message.offset) for message in messages]

    return run


def product_of(message: Message) -> bytes:
    """The product that a record is of; empty where it does not say."""
    return said_of(message).product


def shop_of_message(message: Message) -> str:
    """Whose product it is; "" for one of no shop."""
    return shop_named(product_of(message)) if says_shop(message) else ""


def shop_named(product: bytes) -> str:
    """The shop in a product's key; "" for none, and where the name is none."""
    try:
        return checked_shop(shop_of(product.decode("utf-8", "replace")) or None)
    except Poison:
        return ""


def is_urgent(message: Message) -> bool:
    """Whether it is to be done before its turn."""
    return says_more(message) and said_of(message).urgent
