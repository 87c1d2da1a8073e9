"""How the role `context` is built."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping

from streams.contract import topics
from streams.engine.message import CONTEXT, Message
from streams.engine.pipeline import Pipeline
from streams.kafka.client import Reader
from streams.kafka.dead_letters import dead_letters
from streams.ops.rewrite import ItemLog, Rewrite
from streams.roles.context.role import Asking, Stories, nothing
from streams.roles.outcome import NoEffect
from streams.wiring.depicting import Depicted
from streams.wiring.parts import Parts, Ready, Role, beside, consume_group


async def run_context(parts: Parts, ready: Ready) -> None:
    """`catalog.articles` → the items of the products that they are about, once more; and what their pictures show."""
    settings = parts.settings
    depicted = Depicted(parts)

    async def captions() -> AsyncIterator[Message]:
        async with Reader(settings, topics.CAPTIONS, client="context") as reader:
            async for record in reader.to_end():
                yield record

    async def again(found: Mapping[bytes, tuple[int, int]], mark: str) -> int:
        return await Rewrite(ItemLog(settings), parts.sender, mark, header=CONTEXT).ask(found)

    asking = Asking(
        ItemLog(settings).to_end, captions, again, lambda: uuid.uuid4().hex, showing=depicted.pictured.showing
    )
    pipeline: Pipeline[NoEffect] = Pipeline(
        "context",
        Stories(asking).stages(),
        publish=nothing,
        dead_letter=dead_letters(parts.sender),
        admission=parts.credits(),
        engine=parts.engine_of("context"),
    )
    consuming = consume_group(parts, "context", topics.ARTICLES, pipeline, ready, depicted.holding)
    await beside(depicted.run(), consuming)


ROLE = Role("context", run_context)
