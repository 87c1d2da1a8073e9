"""Captions in one table of a Postgres, through asyncpg (the extra `postgres`).

A shop edits the texts where they stand. `written` keeps what Weft wrote last, so that a text which differs from it is somebody's own, and
stays; `edited` says whether any is. A text that is set back to what was written follows again.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from infra.settings import Settings
from processors.errors import BadSetting, Fatal, Poison, Retryable

if TYPE_CHECKING:
    import asyncpg

TEXTS = ("title", "caption", "description", "alt", "meta", "hashtags")
"""Columns that a shop may edit."""
CONNECTIONS = 4
CONNECT_S = 10.0
STATEMENT_S = 60.0
_PARTITION, _OFFSET = '"partition"', '"offset"'
_TABLE = re.compile(r"[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?")


@dataclass(frozen=True, slots=True)
class CaptionRow:
    """What stands of a product by one record: its partition, its offset, and when it was written (milliseconds since the epoch).

    `texts`, by `TEXTS`, is None where the product was deleted.
    """

    shop: str
    product_id: str
    partition: int
    offset: int
    changed_ms: int
    texts: Mapping[str, str] | None = None
    locale: str = ""
    kit: str = ""
    status: str = ""
    reasons: tuple[str, ...] = ()
    writer: str = ""
    provenance: str = "{}"
    """JSON."""


def _columns() -> str:
    same = " OR ".join(f"{name} IS DISTINCT FROM (written->>'{name}')" for name in TEXTS)
    texts = "\n".join(f"  {name} text NOT NULL," for name in TEXTS)
    return f"""(
  shop text NOT NULL,
  product_id text NOT NULL,
{texts}
  written jsonb NOT NULL,
  edited boolean GENERATED ALWAYS AS ({same}) STORED,
  locale text NOT NULL,
  kit text NOT NULL,
  status text NOT NULL,
  reasons text[] NOT NULL,
  writer text NOT NULL,
  provenance jsonb NOT NULL,
  changed timestamptz NOT NULL,
  "partition" integer NOT NULL,
  "offset" bigint NOT NULL,
  PRIMARY KEY (shop, product_id)
)"""


class PostgresCaptions:
    """The table. Make one with `open_captions`.

    Args:
        pool: of connections.
        table: its name, with or without a schema.
    """

    def __init__(self, pool: asyncpg.Pool[Any], table: str) -> None:
        self._pool = pool
        self._table = table
        told = [
            f"{name} = CASE WHEN old.{name} IS DISTINCT FROM old.written->>'{name}' THEN old.{name} ELSE EXCLUDED.{name} END"
            for name in TEXTS
        ]
        others = (
            "written",
            "locale",
            "kit",
            "status",
            "reasons",
            "writer",
            "provenance",
            "changed",
            _PARTITION,
            _OFFSET,
        )
        names = ("shop", "product_id", *TEXTS, *others)
        told += [f"{name} = EXCLUDED.{name}" for name in others]
        values = ", ".join(f"${number}" for number in range(1, len(names) + 1))
        # A worker that was frozen, and holds its partition no more, must not put an older text after a newer one. Of a topic
        # that was made anew the offsets are lower, but the times are not.
        newer = f"old.{_PARTITION} <> {{0}} OR old.{_OFFSET} <= {{1}} OR old.changed <= {{2}}"
        after = newer.format(f"EXCLUDED.{_PARTITION}", f"EXCLUDED.{_OFFSET}", "EXCLUDED.changed")
        # Names of ours, and a table whose name was checked: nothing of a record is part of a statement.
        self._upsert = (
            f"INSERT INTO {table} AS old ({', '.join(names)}) VALUES ({values}) "  # noqa: S608
            f"ON CONFLICT (shop, product_id) DO UPDATE SET {', '.join(told)} WHERE {after}"
        )
        self._delete = (
            f"DELETE FROM {table} AS old WHERE shop = $1 AND product_id = $2 AND ({newer.format('$3', '$4', '$5')})"  # noqa: S608
        )

    async def prepare(self) -> None:
        """Make the table where it is missing.

        Raises:
            BadSetting: it cannot be made, or the one that is there has other columns.
            Retryable: the database is away.
        """
        with judged():
            async with self._pool.acquire() as connection:
                if not await self._fits(connection):
                    await connection.execute(f"CREATE TABLE IF NOT EXISTS {self._table} {_columns()}")
                    await self._fits(connection)

    async def there(self) -> bool:
        """Whether the table is there.

        Raises:
            BadSetting: it is, with other columns, or this account may not write it.
            Retryable: the database is away.
        """
        with judged():
            async with self._pool.acquire() as connection:
                return await self._fits(connection)

    async def _fits(self, connection: Any) -> bool:
        if await connection.fetchval("SELECT to_regclass($1)", self._table) is None:
            return False
        await connection.prepare(self._upsert)
        await connection.prepare(self._delete)
        rights = "SELECT bool_and(has_table_privilege($1, one)) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS one"
        if not await connection.fetchval(rights, self._table):
            raise BadSetting(f"WEFT_SINK_TABLE: the account may not read, write and delete rows of {self._table}")
        return True

    async def write(self, rows: Sequence[CaptionRow]) -> None:
        """All of them or none, in this order. Raises `Poison`, `Retryable`, `Fatal`."""
        with judged():
            async with self._pool.acquire() as connection, connection.transaction():
                await self._written(connection, rows)

    async def fill(self, batches: AsyncIterator[Sequence[CaptionRow]]) -> int:
        """Write all of these, in one transaction, where the table has no row; another worker that does so is waited for.

        Returns:
            How many there were; 0 where the table has rows.
        """
        count = 0
        with judged():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", self._table, timeout=None)
                if await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {self._table})"):  # noqa: S608
                    return 0
                async for batch in batches:
                    await self._written(connection, batch)
                    count += len(batch)
        return count

    async def _written(self, connection: Any, rows: Sequence[CaptionRow]) -> None:
        # Runs of one kind: a product that was deleted and came again must end as it came.
        start = 0
        while start < len(rows):
            stop, gone = start, rows[start].texts is None
            while stop < len(rows) and (rows[stop].texts is None) == gone:
                stop += 1
            statement, arguments = (self._delete, _key) if gone else (self._upsert, _values)
            await connection.executemany(statement, [arguments(row) for row in rows[start:stop]])
            start = stop


def _key(row: CaptionRow) -> tuple[Any, ...]:
    return (_clean(row.shop), _clean(row.product_id), row.partition, row.offset, _time(row.changed_ms))


def _values(row: CaptionRow) -> tuple[Any, ...]:
    texts = {name: _clean((row.texts or {}).get(name, "")) for name in TEXTS}
    return (
        _clean(row.shop),
        _clean(row.product_id),
        *texts.values(),
        json.dumps(texts),
        row.locale,
        row.kit,
        row.status,
        [_clean(reason) for reason in row.reasons],
        row.writer,
        row.provenance.replace("\\u0000", ""),
        _time(row.changed_ms),
        row.partition,
        row.offset,
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _clean(text: str) -> str:
    return text.replace("\0", "")  # the one character that Postgres' texts cannot hold


@asynccontextmanager
async def open_captions(settings: Settings) -> AsyncIterator[PostgresCaptions]:
    """The table of the settings; no connection is made before it is used.

    Raises:
        BadSetting: there is no address, it is none of a Postgres, or the table's name is none.
        Fatal: asyncpg is not installed.
    """
    address = settings.sink_url.get_secret_value()
    if not address:
        raise BadSetting("WEFT_SINK_URL is empty: give the address of a Postgres, postgresql://user@host/database")
    if not _TABLE.fullmatch(settings.sink_table):
        raise BadSetting(f"WEFT_SINK_TABLE is {settings.sink_table!r}: say a name, or schema.name, of a-z, 0-9 and _")
    try:
        import asyncpg
    except ImportError:
        raise Fatal("the role sink needs asyncpg: pip install 'weft[postgres]'") from None
    try:
        pool = asyncpg.create_pool(
            address,
            min_size=0,
            max_size=CONNECTIONS,
            timeout=CONNECT_S,
            command_timeout=STATEMENT_S,
            # What a frozen worker has begun must not hold rows that another one writes.
            server_settings={"idle_in_transaction_session_timeout": str(round(STATEMENT_S * 1000))},
        )
    except (ValueError, asyncpg.InterfaceError) as error:
        raise BadSetting(f"WEFT_SINK_URL is no address of a Postgres: {error}") from None
    with judged():
        opened = await pool
    try:
        yield PostgresCaptions(opened, settings.sink_table)
    finally:
        try:
            await asyncio.wait_for(opened.close(), CONNECT_S)
        except (TimeoutError, OSError):
            opened.terminate()


@contextmanager
def judged() -> Iterator[None]:
    """What asyncpg raises as one of the three kinds of error."""
    try:
        import asyncpg
        from asyncpg import exceptions as kinds
    except ImportError:  # pragma: no cover - `open_captions` has said so
        yield
        return
    wrong = (
        kinds.InvalidAuthorizationSpecificationError,
        kinds.InvalidCatalogNameError,
        kinds.InsufficientPrivilegeError,
        kinds.UndefinedTableError,
        kinds.UndefinedColumnError,
        kinds.DatatypeMismatchError,
        kinds.WrongObjectTypeError,
        kinds.InvalidSchemaNameError,
        kinds.ClientConfigurationError,
    )
    try:
        yield
    except wrong as error:
        raise BadSetting(f"WEFT_SINK_URL, WEFT_SINK_TABLE: the database refuses: {error}") from error
    except (kinds.DataError, kinds.IntegrityConstraintViolationError) as error:
        raise Poison(f"the database does not take it: {error}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise Retryable(f"the database is away: {type(error).__name__}: {error}") from error
