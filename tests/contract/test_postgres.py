"""Captions in a table of a real Postgres: upserts by product, edits that stay, and errors of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from infra.postgres import CaptionRow, PostgresCaptions, open_captions
from infra.settings import Settings
from processors.errors import BadSetting, Poison, Retryable
from streams.ops.doctor import sink_found

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ROW = CaptionRow(
    "",
    "p1",
    partition=3,
    offset=10,
    changed_ms=1_700_000_000_000,
    texts={"title": "Red shirt", "caption": "A red shirt.", "hashtags": "#red #shirt"},
    locale="en",
    status="hold",
    reasons=("rule-based",),
    writer="template",
    provenance='{"machine_made": true}',
)
GONE = replace(ROW, texts=None)


def told(row: CaptionRow, text: str, *, later: int = 1) -> CaptionRow:
    """The same product, by a record that came later."""
    texts = {**(row.texts or {}), "caption": text}
    return replace(row, offset=row.offset + later, changed_ms=row.changed_ms + 1000 * later, texts=texts)


@asynccontextmanager
async def opened(address: str, table: str) -> AsyncIterator[PostgresCaptions]:
    async with open_captions(Settings(sink_url=SecretStr(address), sink_table=table)) as captions:
        await captions.prepare()
        yield captions


async def rows(address: str, table: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(address)
    try:
        return [dict(row) for row in await connection.fetch(f"SELECT * FROM {table} ORDER BY shop, product_id")]
    finally:
        await connection.close()


async def run(address: str, statement: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_last_word_on_a_product_is_its_row(postgres: str) -> None:
    """By shop and id; what was deleted is gone, and may come again in the same transaction."""
    async with opened(postgres, "last_word") as table:
        await table.write([ROW, replace(ROW, shop="north"), told(ROW, "A crimson shirt.")])
        one, other = await rows(postgres, "last_word")
        assert (one["shop"], one["product_id"], one["caption"]) == ("", "p1", "A crimson shirt.")
        assert (one["title"], one["hashtags"], one["alt"]) == ("Red shirt", "#red #shirt", "")
        assert (one["reasons"], one["status"], one["writer"]) == (["rule-based"], "hold", "template")
        assert (other["shop"], other["caption"]) == ("north", "A red shirt.")
        await table.write([replace(GONE, offset=12), told(ROW, "Once more.", later=3)])
        await table.write([replace(GONE, shop="north", offset=12)])
        assert [row["caption"] for row in await rows(postgres, "last_word")] == ["Once more."]


async def test_a_text_that_somebody_edited_stays(postgres: str) -> None:
    """Each text by itself; set back to what Weft wrote last it follows again."""
    async with opened(postgres, "edits") as table:
        await table.write([ROW])
        await run(postgres, "UPDATE edits SET caption = 'Ours.' WHERE product_id = 'p1'")
        second = replace(told(ROW, "By Weft."), texts={"title": "Crimson shirt", "caption": "By Weft."})
        await table.write([second])
        [row] = await rows(postgres, "edits")
        assert (row["title"], row["caption"], row["edited"]) == ("Crimson shirt", "Ours.", True)
        await run(postgres, "UPDATE edits SET caption = written->>'caption'")
        [row] = await rows(postgres, "edits")
        assert (row["caption"], row["edited"]) == ("By Weft.", False)
        await table.write([told(second, "Later.")])
        assert [row["caption"] for row in await rows(postgres, "edits")] == ["Later."]


async def test_an_older_record_changes_nothing(postgres: str) -> None:
    """A worker that was frozen wakes up late; the record that stands may be delivered again, a topic made anew begins at 0."""
    async with opened(postgres, "older") as table:
        late = told(ROW, "New.", later=5)
        await table.write([late])
        await table.write([ROW, GONE])
        await table.write([late])
        assert [row["caption"] for row in await rows(postgres, "older")] == ["New."]
        await table.write([replace(told(late, "Made anew."), offset=0)])
        assert [row["caption"] for row in await rows(postgres, "older")] == ["Made anew."]
        await table.write([replace(told(ROW, "Moved."), partition=4)])
        assert [row["caption"] for row in await rows(postgres, "older")] == ["Moved."]


async def test_all_or_none_of_a_batch(postgres: str) -> None:
    """What the database refuses of one row is told, and the others are not half written."""
    async with opened(postgres, "whole") as table:
        await run(postgres, "ALTER TABLE whole ADD CHECK (length(title) < 20)")
        long = replace(ROW, product_id="p2", texts={"title": "x" * 30})
        with pytest.raises(Poison, match="check constraint"):
            await table.write([ROW, long])
        assert await rows(postgres, "whole") == []
        with pytest.raises(Poison, match="does not take"):
            await table.write([replace(ROW, provenance="{")])
        await table.write([replace(ROW, product_id="zero", texts={"title": "a\0b"})])
        assert [row["title"] for row in await rows(postgres, "whole")] == ["ab"]


async def test_an_empty_table_is_filled_once(postgres: str) -> None:
    """Two workers start at the same time; a fill that breaks off leaves nothing."""

    async def batches(name: str) -> AsyncIterator[Sequence[CaptionRow]]:
        for number in range(3):
            yield [replace(told(ROW, f"By {name}."), product_id=f"p{number}")]

    async def broken() -> AsyncIterator[Sequence[CaptionRow]]:
        yield [ROW]
        raise ConnectionError("the broker")

    async with opened(postgres, "filled") as table:
        with pytest.raises(Retryable):
            await table.fill(broken())
        assert await rows(postgres, "filled") == []
        counts = await asyncio.gather(table.fill(batches("one")), table.fill(batches("two")))
        assert sorted(counts) == [0, 3]
        found = {row["caption"] for row in await rows(postgres, "filled")}
        assert len(found) == 1
        assert len(await rows(postgres, "filled")) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sink_url": SecretStr("")}, "WEFT_SINK_URL is empty"),
        ({"sink_url": SecretStr("mysql://somewhere/x")}, "WEFT_SINK_URL"),
        ({"sink_table": 'x"; DROP TABLE y; --'}, "WEFT_SINK_TABLE"),
        ({"sink_table": "nowhere.captions"}, "WEFT_SINK_TABLE"),
        ({"sink_table": "others"}, "WEFT_SINK_TABLE"),
    ],
)
async def test_what_cannot_work_is_told(postgres: str, change: dict[str, Any], said: str) -> None:
    """By its setting, without the password: a table of other columns, a schema that is not there, a name that is none."""
    await run(postgres, "CREATE TABLE IF NOT EXISTS others (id integer)")
    settings = Settings(sink_url=SecretStr(postgres)).model_copy(update=change)
    with pytest.raises(BadSetting, match=said):
        async with open_captions(settings) as table:
            await table.prepare()


async def test_an_account_without_rights_is_told(postgres: str) -> None:
    """At the start, and by `weft doctor`, not with the first caption."""
    async with opened(postgres, "guarded") as table:
        assert await table.there()
    await run(postgres, "CREATE ROLE guest LOGIN; GRANT SELECT, INSERT ON guarded TO guest")
    settings = Settings(sink_url=SecretStr(postgres.replace("postgres:@", "guest:@")), sink_table="guarded")
    async with open_captions(settings) as table:
        with pytest.raises(BadSetting, match="WEFT_SINK_TABLE"):
            await table.there()
    found = await sink_found(settings)
    assert (found.part, found.ok) == ("sink", False)
    assert "guarded" in found.found


async def test_a_database_that_is_away_is_trouble_that_passes() -> None:
    """Nobody listens there."""
    async with open_captions(Settings(sink_url=SecretStr("postgresql://weft@127.0.0.1:9/x"))) as table:
        with pytest.raises(Retryable, match="away"):
            await table.prepare()
