"""Whether a server is asked at all: after a few failures in a row it is not, until a trial has succeeded."""

from __future__ import annotations

import threading
from collections.abc import Callable

from models.served.failures import Unanswered

MOST_FAILURES = 5
"""Failed attempts in a row, of all requests."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
LASTING_PAUSE_S = 15.0
"""Before it is looked again whether a person has mended what a person has to."""


class Breaker:
    """Closed: requests go out. Open: none does, but trials. Told and asked from any thread.

    Args:
        most: failed attempts in a row that open it. What only a person can mend opens it at once.
        changed: called whenever it opens (with why) and closes (None).
    """

    def __init__(
        self, most: int = MOST_FAILURES, changed: Callable[[Unanswered | None], None] = lambda _: None
    ) -> None:
        self._most, self._changed = most, changed
        self._lock = threading.Lock()
        self._failed = 0
        self._trials = 0
        self._why: Unanswered | None = None

    @property
    def why(self) -> Unanswered | None:
        """What opened it; None while it is closed."""
        return self._why

    @property
    def pause_s(self) -> float:
        """How long to wait before the next trial."""
        if self._why is not None and self._why.lasting:
            return LASTING_PAUSE_S
        return float(min(FIRST_PAUSE_S * 2 ** min(self._trials, 10), LONGEST_PAUSE_S))

    def answered(self, *, trial: bool = False) -> None:
        """An attempt succeeded. Of one that was begun before it opened nothing follows, but of a trial."""
        with self._lock:
            if self._why is not None and not trial:
                return
            closes = self._why is not None
            self._failed, self._trials, self._why = 0, 0, None
        if closes:
            self._changed(None)

    def failed(self, why: Unanswered, *, trial: bool = False) -> None:
        """An attempt failed."""
        with self._lock:
            self._failed += 1
            self._trials += trial
            # A trial is made by us: what is refused of it, will be of every request.
            lasting = why.lasting or (trial and why.cause == "refused")
            if not (lasting or self._failed >= self._most or self._why is not None):
                return
            news = self._why is None or (self._why.cause, self._why.said) != (why.cause, why.said)
            # Attempts that end after it opened say less than trials do of what is wrong now.
            if self._why is not None and not trial:
                return
            self._why = why
        if news:
            self._changed(why)
