"""What a host says of a body beside the body: by what to ask for it again (RFC 9110, 13.1), and when (10.2.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from yarl import URL

from processors.errors import Retryable

LONGEST_PAUSE_S = 3600.0
"""Seconds that a host's `Retry-After` is heeded at most: it may ask for a year."""
MAX_PAUSED_HOSTS = 10_000
MAX_VALIDATOR = 1000
"""Characters of an `ETag` that are kept; a longer one counts as none."""


@dataclass(frozen=True, slots=True)
class Validators:
    """By what a host can be asked whether a body is still the one that it gave; "" for none."""

    etag: str = ""
    last_modified: str = ""

    def __bool__(self) -> bool:
        return bool(self.etag or self.last_modified)

    def headers(self) -> dict[str, str]:
        """Of a request that wants the body only if it is another one."""
        asking = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in asking.items() if value}


NO_VALIDATORS = Validators()


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body, and what to ask its host with the next time."""

    data: bytes
    validators: Validators = NO_VALIDATORS


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The host says that its body is the one it was asked about."""


class HostBusy(Retryable):
    """A host asked not to be asked before `seconds` have passed."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


def validators_of(headers: Mapping[str, str]) -> Validators:
    """What came with a body. What cannot be sent back as it came (too long, control characters) counts as none."""
    found = [headers.get(name, "") for name in ("ETag", "Last-Modified")]
    return Validators(*(value if len(value) <= MAX_VALIDATOR and value.isprintable() else "" for value in found))


def retry_after(said: str, now: datetime) -> float:
    """Seconds of a `Retry-After`, a number or a date; 0 when it says nothing that can be meant."""
    said = said.strip()
    if said.isascii() and said.isdigit():
        return min(float(said[:10]), LONGEST_PAUSE_S)
    try:
        then = parsedate_to_datetime(said)
    except (ValueError, TypeError):
        return 0.0
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return min(max((then - now).total_seconds(), 0.0), LONGEST_PAUSE_S)


class HostPauses:
    """Which hosts asked to be left alone, and until when: for everybody who would ask them.

    Args:
        now: seconds, monotonic.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._until: dict[str, float] = {}

    def check(self, url: URL) -> None:
        """Raise `HostBusy` when the host asked to be left alone, and the time is not over."""
        left = self._until.get(url.authority, 0.0) - self._now()
        if left > 0:
            raise HostBusy(f"{url.host} asked to be left alone for {left:.1f} s more (Retry-After)", left)

    def heed(self, url: URL, said: str) -> None:
        """Remember what a host said of when to ask again, and raise `HostBusy`; nothing when it did not say."""
        seconds = retry_after(said, datetime.now(UTC))
        if seconds <= 0:
            return
        now = self._now()
        if len(self._until) >= MAX_PAUSED_HOSTS:
            self._until = {host: until for host, until in self._until.items() if until > now}
        if len(self._until) < MAX_PAUSED_HOSTS:
            self._until[url.authority] = now + seconds
        raise HostBusy(f"{url.host} asks to come back in {seconds:.0f} s (Retry-After)", seconds)
