"""The articles of a cluster as they stand, for tools."""

from __future__ import annotations

from infra.settings import Settings
from processors.errors import Retryable
from streams.contract import topics
from streams.kafka.client import Reader
from streams.roles.context.articles import Articles


async def articles_of(settings: Settings) -> Articles:
    """All of them; none where the cluster has no such topic. Raises `Retryable`: no broker answers."""
    known = Articles()
    try:
        async with Reader(settings, topics.ARTICLES) as reader:
            async for record in reader.to_end():
                known.apply(record)
    except Retryable as error:
        if "there is no topic" not in str(error):
            raise
    return known
