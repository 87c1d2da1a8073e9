"""The exit codes of `weft`, the same for every command (docs/cli.md)."""

from __future__ import annotations

from enum import IntEnum

from processors.errors import BadSetting, Missing, Poison, Retryable, WeftError


class Exit(IntEnum):
    """Scripts may rely on these numbers."""

    OK = 0
    FAILED = 1  # something unforeseen: a bug, weights that are broken, a right on the cluster that is missing
    USAGE = 2  # the command line or a setting is wrong
    REJECTED = 3  # the command ran, and some input was refused (dead letter, error result, unreadable file)
    UNAVAILABLE = 4  # broker, store or models cannot be reached
    TIMEOUT = 5  # no answer in time
    INTERRUPTED = 130  # Ctrl-C


_CODES: tuple[tuple[type[Exception], Exit], ...] = (
    (TimeoutError, Exit.TIMEOUT),
    (Retryable, Exit.UNAVAILABLE),
    (Missing, Exit.UNAVAILABLE),
    (BadSetting, Exit.USAGE),
    (Poison, Exit.REJECTED),
    (WeftError, Exit.FAILED),
)


def told(error: Exception) -> tuple[Exit, str] | None:
    """The exit code of an error and a sentence for people; None for a bug, which shows where it is."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code, str(error) or "no answer in time"
    if type(error).__module__.startswith("aiokafka."):
        text = f"{type(error).__name__}: {error}"
        if "AuthorizationFailed" in text:
            from streams.kafka.producer import ASK_THE_DOCTOR

            return Exit.FAILED, f"{text}; {ASK_THE_DOCTOR}"
        return Exit.UNAVAILABLE, text  # a broker that goes away in the middle of a command
    if isinstance(error, ModuleNotFoundError) and error.name == "faiss":
        advice = "install `weft[cpu]`, or `weft[gpu]` on a machine with CUDA (one of the two)"
        return Exit.FAILED, f"FAISS is not installed: {advice}"
    return None
