"""Photos that shoppers asked with: under a prefix of their own, for hours, and then gone.

The hour stands in the key, so that any store can tell what has run out, whatever it knows of times. On S3 a lifecycle rule
on `queries/` does the same where `compose` does not run (docs/operations.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from infra.logs import logger
from infra.store import ObjectStore
from infra.threads import InThread
from processors.errors import WeftError

log = logger("weft.compose")

PREFIX = "queries/"
SWEEP_S = 600.0
_HOUR = "%Y-%m-%d/%H"


def key_for(data: bytes, suffix: str, now: float, prefix: str = PREFIX) -> str:
    """`queries/2026-11-25/20-<64 hex digits>.jpg`: day and hour in UTC, and the hash of the bytes.

    Args:
        data: the photo.
        suffix: of its format, as ".jpg".
        now: seconds since the epoch.
        prefix: other things are kept so, too (edited images).
    """
    return f"{prefix}{datetime.fromtimestamp(now, UTC).strftime(_HOUR)}-{hashlib.sha256(data).hexdigest()}{suffix}"


def has_run_out(key: str, now: float, hours: float, prefix: str = PREFIX) -> bool:
    """Whether a photo was asked with more than `hours` ago, from the end of its hour on. What is not named so stays."""
    day, slash, name = key.removeprefix(prefix).partition("/")
    try:
        asked = datetime.strptime(f"{day}{slash}{name[:2]}", _HOUR).replace(tzinfo=UTC)
    except ValueError:
        return False
    return now > asked.timestamp() + 3600 * (1 + hours)


def sweep(store: ObjectStore, now: float, hours: float, prefix: str = PREFIX) -> int:
    """Remove what has run out; how many. Blocking; several processes may do it at once. Raises as the store does."""
    gone = [key for key in store.list(prefix) if has_run_out(key, now, hours, prefix)]
    for key in gone:
        store.delete(key)
    return len(gone)


async def keep_house(
    store: ObjectStore,
    *,
    hours: float,
    now: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    in_thread: InThread,
    prefix: str = PREFIX,
) -> None:
    """Sweep every ten minutes, for ever. A store that is away is swept the next time."""
    while True:
        try:
            removed = await in_thread(sweep, store, now(), hours, prefix)
        except WeftError as error:
            log.warning("query_photos.kept", cause=str(error))
        else:
            if removed:
                log.info("query_photos.removed", photos=removed)
        await sleep(SWEEP_S)
