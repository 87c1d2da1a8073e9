"""Before another items topic is swapped in: the role `caption` will read it from its beginning, whatever it read of it before.

Unchanged facts cost it no model (its memo), and a caption that stands already is not published again.
"""

from __future__ import annotations

import asyncio
import time

from infra.settings import Settings
from processors.errors import Retryable
from streams.kafka.consumer import open_consumer
from streams.ops import admin
from streams.search.generations import captions_group

LEFT_S = 30.0


async def begin_anew(settings: Settings, items: str) -> None:
    """Have the captions of a topic's items made again from the first one on, once it is read.

    Raises:
        Retryable: workers still read it: an earlier swap has not come to all of them.
    """
    group = captions_group(items)
    until = time.monotonic() + LEFT_S
    # Offsets of a group that has members are theirs to write.
    while await admin.group_members(settings, group):
        if time.monotonic() > until:
            raise Retryable(
                f"{group} still has members after {LEFT_S:.0f} s: the workers of `caption` follow an earlier swap; say it again"
            )
        await asyncio.sleep(0.2)
    if not await admin.group_offsets(settings, group):
        return
    async with open_consumer(settings, group=group) as consumer:
        first = {(items, partition): low for partition, (low, _) in (await consumer.watermarks(items)).items()}
        await consumer.assign(first)
        await consumer.commit(first)
