"""Who is told what a server does: metrics."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Told of requests, from the thread of the client."""

    def answered(self, seconds: float, prompt_tokens: int, completion_tokens: int, cost: float) -> None:
        """An answer came. Tokens are 0 where the server does not count them."""
        ...

    def unanswered(self, cause: str) -> None:
        """A request was given up (`models.served.failures.Cause`)."""
        ...

    def again(self, cause: str) -> None:
        """An attempt failed, and is repeated."""
        ...

    def open(self, is_open: bool) -> None:
        """Whether the server is left alone."""
        ...


class NullWatch:
    """Tells nobody."""

    def answered(self, seconds: float, prompt_tokens: int, completion_tokens: int, cost: float) -> None: ...

    def unanswered(self, cause: str) -> None: ...

    def again(self, cause: str) -> None: ...

    def open(self, is_open: bool) -> None: ...
