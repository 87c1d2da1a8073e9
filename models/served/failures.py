"""Why a server gave no answer."""

from __future__ import annotations

from typing import Literal, TypeAlias

Cause: TypeAlias = Literal[
    "connect",
    "timeout",
    "busy",
    "server_error",
    "broken",
    "rubbish",
    "too_large",
    "refused",
    "key",
    "model",
    "redirect",
    "open",
]
"""connect: nobody listens. timeout: no whole answer in time. busy: 429. server_error: 5xx. broken: it ended in the middle. rubbish: no JSON,
or none of a completion. too_large: more than is read. refused: another 4xx. key: 401, 403, or no key to send. model: 404. redirect: it
names another address, which is not asked. open: not asked, because of what happened before."""

_AGAIN = frozenset({"connect", "timeout", "busy", "server_error", "broken", "rubbish"})
_LASTING = frozenset({"key", "model", "redirect"})


class Unanswered(Exception):
    """A server gave no answer, or none that is one.

    Args:
        cause: see `Cause`.
        said: in words, without the key.
        after_s: how long the server asks to be left alone.
    """

    def __init__(self, cause: Cause, said: str, after_s: float | None = None) -> None:
        super().__init__(f"{cause}: {said}")
        self.cause: Cause = cause
        self.said = said
        self.after_s = after_s

    @property
    def again(self) -> bool:
        """Whether another attempt may succeed."""
        return self.cause in _AGAIN

    @property
    def lasting(self) -> bool:
        """Whether only a person can mend it."""
        return self.cause in _LASTING
