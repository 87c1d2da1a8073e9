"""The role `sink`: captions in, rows out, one transaction for all that waits of a partition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from infra.postgres import CaptionRow
from processors.errors import Poison
from processors.identity import key_of
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Caption, Provenance
from streams.engine.message import Message
from streams.roles.sink import role
from tests.unit.streams.roles.test_role_caption import GOOD, Scripted, captioner, item, message, through


class Table:
    """Rows by product, and the batches that they came in."""

    def __init__(self) -> None:
        self.batches: list[list[CaptionRow]] = []

    async def write(self, rows: Sequence[CaptionRow]) -> None:
        self.batches.append(list(rows))


async def caption(product_id: str) -> Caption:
    made = await through(captioner(Scripted(GOOD)), message(item(product_id)))
    assert isinstance(made, Caption)
    return made


def record(made: Caption | None, *, key: str = "p1", offset: int = 7) -> Message:
    value = None if made is None else encode(made)
    return Message(topics.CAPTIONS, 2, offset, key.encode(), value, timestamp_ms=1_700_000_000_000)


async def test_a_caption_is_a_row() -> None:
    """Every text, who made it, and which record said so."""
    made = msgspec.structs.replace(await caption("p1"), shop="north", hashtags=("#a", "#b"), kit="loud", locale="de")
    row = await role.read(record(made, key=key_of("north", "p1")))
    assert (row.shop, row.product_id, row.partition, row.offset) == ("north", "p1", 2, 7)
    assert row.texts is not None
    assert row.texts["caption"] == made.caption
    assert row.texts["hashtags"] == "#a #b"
    assert (row.kit, row.locale, row.status, row.reasons) == ("loud", "de", made.status, made.reasons)
    assert made.provenance is not None
    assert msgspec.json.decode(row.provenance, type=Provenance) == made.provenance


async def test_a_deletion_is_a_row_without_texts() -> None:
    """The shop is in the key."""
    row = await role.read(record(None, key=key_of("north", "p1")))
    assert (row.shop, row.product_id, row.texts) == ("north", "p1", None)


async def test_what_is_no_caption_goes_to_the_dead_letters() -> None:
    """Anybody may write to the topic."""
    with pytest.raises(Poison):
        await role.read(Message(topics.CAPTIONS, 0, 0, b"p1", b"{}"))


async def test_rows_are_written_before_the_offset_is_committed() -> None:
    """Nothing is left to be waited for when `publish` returns; what waits together is written together."""
    table = Table()
    made = await caption("p1")
    rows = [await role.read(record(made, offset=offset)) for offset in range(3)]
    assert await role.publisher(table)(record(None), rows[0]) == ()
    assert await role.publisher_of_all(table)([(record(None), row) for row in rows]) == [(), (), ()]
    assert table.batches == [rows[:1], rows]


async def test_a_fill_passes_over_what_is_no_caption() -> None:
    """In batches of a bounded size."""
    made = await caption("p1")

    async def records() -> AsyncIterator[Message]:
        for offset in range(role.FILLED + 1):
            yield record(made, offset=offset)
        yield Message(topics.CAPTIONS, 0, 0, b"p1", b"{}")

    assert [len(batch) async for batch in role.batches(records())] == [role.FILLED, 1]
