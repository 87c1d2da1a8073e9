"""What hangs below `weft up`: processes that do not answer, and roles that do nothing although nothing explains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
import msgspec

PERIOD_S = 5.0
PATIENCE_S = 4.0
MOST_BETWEEN_S = 6 * PERIOD_S
"""Between two looks, as long as this process itself is not suspended."""
START_SILENT_S = 300.0
"""A process that loads its models may not answer for long: importing them holds up everything else in it."""
STALLED_S = 30.0
"""For how long a role must be said to hang before it is believed: what it waits for may just have come back."""


class RoleHealth(msgspec.Struct, frozen=True):
    """What a role says of itself at `/healthz` (see `infra.health.HealthReport`)."""

    healthy: bool
    stalled_seconds: float = 0.0
    doing: str = ""


class Said(msgspec.Struct, frozen=True):
    """What a process says."""

    roles: dict[str, RoleHealth] = {}


@dataclass(frozen=True, slots=True)
class Watched:
    """A process. `url`: where it can be asked, "" until it has said so. `ready`: it takes work."""

    pid: int
    url: str
    ready: bool


@dataclass(slots=True)
class _Seen:
    pid: int
    answered: float
    well: float


class Watchdog:
    """Decides which processes hang, from what they answer.

    Args:
        silent_s: how long a process that takes work may give no answer.
        clock: monotonic seconds.
    """

    def __init__(self, silent_s: float, clock: Callable[[], float]) -> None:
        self._silent_s = silent_s
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._looked = clock()

    def forget(self) -> None:
        """Begin anew: what was seen so far had another reason (no broker)."""
        self._seen = {}

    def look(self, watched: Mapping[str, Watched], said: Mapping[str, Said | None]) -> dict[str, str]:
        """The processes to kill, by name, each with the reason.

        Args:
            watched: every process that runs, by name.
            said: what each answered just now; None or absent: nothing.
        """
        now = self._clock()
        if now - self._looked > MOST_BETWEEN_S:
            self.forget()  # we did not run ourselves: nobody is silent for that
        self._looked = now
        self._seen = {name: self._seen[name] for name in watched if name in self._seen}
        found: dict[str, str] = {}
        for name, process in watched.items():
            seen = self._seen.get(name)
            if seen is None or seen.pid != process.pid:
                seen = self._seen[name] = _Seen(process.pid, now, now)
            answer = said.get(name)
            if answer is None:
                silent, limit = now - seen.answered, self._silent_s if process.ready else START_SILENT_S
                if silent >= limit:
                    found[name] = f"has not answered for {silent:.0f} s"
                continue
            seen.answered = now
            hung = [f"{role} ({one.stalled_seconds:.0f} s)" for role, one in answer.roles.items() if hangs(one)]
            if not hung:
                seen.well = now
            elif now - seen.well >= STALLED_S:
                found[name] = f"does nothing although work waits: {', '.join(hung)}"
        return found


def hangs(role: RoleHealth) -> bool:
    """Work waits, none is done, and the role knows no reason: neither a long batch nor trouble that it waits for."""
    return not role.healthy and not role.doing


async def ask(session: aiohttp.ClientSession, url: str) -> Said | None:
    """What the process says at `/healthz`; None when it gives no answer that can be read."""
    try:
        async with session.get(f"{url}/healthz", timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as response:
            return msgspec.json.decode(await response.read(), type=Said)
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError):
        return None
