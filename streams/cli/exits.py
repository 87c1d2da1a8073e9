"""The exit codes of `weft`, the same for every command (docs/cli.md)."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Scripts may rely on these numbers."""

    OK = 0
    FAILED = 1  # something unforeseen: a bug, or weights that are broken
    USAGE = 2  # the command line or a setting is wrong
    REJECTED = 3  # the command ran, and some input was refused (dead letter, error result, unreadable file)
    UNAVAILABLE = 4  # broker, store or models cannot be reached
    TIMEOUT = 5  # no answer in time
    INTERRUPTED = 130  # Ctrl-C
