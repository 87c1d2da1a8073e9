"""The three kinds of trouble. The class says what to do; nothing else is ever caught by a stage."""

from __future__ import annotations


class WeftError(Exception):
    """Base of every error that Weft raises on purpose."""


class Retryable(WeftError):
    """Not the item's fault (store down, broker away, out of memory): retry with back-off, pause the partition."""


class Poison(WeftError):
    """The item itself can never succeed. It goes to the dead letters with `field` and the cause.

    Args:
        message: what is wrong, in words a person at night understands; never holds credentials or signed URLs.
        field: the field of the record that is at fault ("image.uri"), or "" when no single one is.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class Fatal(WeftError):
    """The process cannot go on (wrong settings, broken weights, fenced): exit, and let the supervisor start it again."""


class Missing(Fatal):
    """Weights that nobody has fetched yet: to start again does not help, the sentence says what does."""
