"""How the role `duplicates` is built."""

from __future__ import annotations

from collections.abc import Callable

from processors import decode
from processors.geometry import SIDE, Features, features
from streams.contract import topics
from streams.engine.message import Message
from streams.engine.pipeline import Pipeline
from streams.kafka.client import Reader
from streams.kafka.dead_letters import dead_letters
from streams.roles.duplicates.role import DuplicatesRole, Known, Outcome, Photos, publisher
from streams.wiring.parts import Parts, Ready, Role, beside, consume_group
from streams.wiring.urgent import shop_of_message


async def run_duplicates(parts: Parts, ready: Ready) -> None:
    """`catalog.similar` → `catalog.duplicates`."""
    photos, known = Photos(), Known()

    def read(address: str) -> Features:
        data = parts.store.get(parts.store.key_of(address) or address)
        return features(decode.decode(data, parts.limits, max_side=2 * SIDE).pixels)

    async def look(address: str) -> Features:
        return await parts.in_thread(read, address)

    pipeline: Pipeline[Outcome] = Pipeline(
        "duplicates",
        DuplicatesRole(photos, look).stages(),
        publish=publisher(parts.sender, known),
        dead_letter=dead_letters(parts.sender),
        admission=parts.credits(),
        engine=parts.engine_of("duplicates"),
        shop_of=shop_of_message,
    )
    async with (
        Reader(parts.settings, topics.ITEMS, client="duplicates") as items,
        Reader(parts.settings, topics.DUPLICATES, client="duplicates") as stand,
    ):
        await _all(items, photos.apply)
        await _all(stand, known.apply)
        consuming = consume_group(parts, "duplicates", topics.SIMILAR, pipeline, ready)
        await beside(_on(items, photos.apply), consuming)


async def _all(reader: Reader, apply: Callable[[Message], None]) -> None:
    async for record in reader.to_end():
        apply(record)


async def _on(reader: Reader, apply: Callable[[Message], None]) -> None:
    async for record in reader.follow():
        apply(record)


ROLE = Role("duplicates", run_duplicates)
