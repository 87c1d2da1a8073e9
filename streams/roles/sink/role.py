"""`sink`: `catalog.captions` → one row a product in a table of the shop's own. Read it from top to bottom:

read (a caption, or a deletion) → write all that waits of a partition, in one transaction; the offset is committed after it

A text that somebody has edited in the table stays as it is (`infra.postgres`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from infra.logs import logger
from infra.postgres import CaptionRow
from processors.errors import Poison
from streams.contract import codecs
from streams.contract.records import Caption
from streams.engine.lanes import Deliveries
from streams.engine.message import Message
from streams.engine.stages import IoStage, Stage
from streams.roles.outcome import deleted

log = logger("weft.sink")

FILLED = 500
"""Rows that are written at once while a table is filled."""


class CaptionTable(Protocol):
    """Where rows go."""

    async def write(self, rows: Sequence[CaptionRow], /) -> None:
        """All of them or none, in this order. Raises `Poison`, `Retryable`, `Fatal`."""
        ...


def stages() -> tuple[Stage, ...]:
    """The role's story."""
    return (IoStage("read", read, concurrency=256),)


async def read(message: Message) -> CaptionRow:
    """The row of a record. Raises `Poison` where it is no caption."""
    if message.value is None:
        gone = deleted(message)
        return CaptionRow(gone.shop, gone.product_id, message.partition, message.offset, message.timestamp_ms)
    caption = codecs.decode_caption(message.value)
    return CaptionRow(
        caption.shop,
        caption.product_id,
        message.partition,
        message.offset,
        message.timestamp_ms,
        _texts(caption),
        locale=caption.locale,
        kit=caption.kit,
        status=caption.status,
        reasons=caption.reasons,
        writer=caption.writer,
        provenance="{}" if caption.provenance is None else msgspec.json.encode(caption.provenance).decode(),
    )


def _texts(caption: Caption) -> dict[str, str]:
    return {
        "title": caption.title,
        "caption": caption.caption,
        "description": caption.description,
        "alt": caption.alt,
        "meta": caption.meta,
        "hashtags": " ".join(caption.hashtags),
    }


def publisher(table: CaptionTable) -> Callable[[Message, CaptionRow], Awaitable[Deliveries]]:
    """The `publish` of the pipeline: the row is written when it returns."""

    async def publish(_message: Message, row: CaptionRow) -> Deliveries:
        await table.write([row])
        return ()

    return publish


def publisher_of_all(
    table: CaptionTable,
) -> Callable[[Sequence[tuple[Message, CaptionRow]]], Awaitable[Sequence[Deliveries]]]:
    """The same for all that waits of a partition, in one transaction."""

    async def publish_all(results: Sequence[tuple[Message, CaptionRow]]) -> Sequence[Deliveries]:
        await table.write([row for _, row in results])
        return [()] * len(results)

    return publish_all


async def batches(messages: AsyncIterator[Message]) -> AsyncIterator[list[CaptionRow]]:
    """The rows of these records, `FILLED` at once; what is no caption is left to the group, which writes its dead letter."""
    waiting: list[CaptionRow] = []
    async for message in messages:
        try:
            waiting.append(await read(message))
        except Poison as error:
            log.warning("skipped: not a caption", partition=message.partition, offset=message.offset, cause=str(error))
        if len(waiting) >= FILLED:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
