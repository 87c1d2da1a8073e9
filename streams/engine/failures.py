"""Item failures as values, and the one place that decides what an exception means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from processors.errors import Code, Fatal, Poison, Retryable, WeftError
from streams.engine.message import Message

StageKind: TypeAlias = Literal["io", "cpu", "device"]
Classify: TypeAlias = Callable[[Exception, StageKind], WeftError]
"""Turns any exception of a stage (or of a delivery: "io") into one of the three kinds."""


class PipelineClosed(Exception):
    """The pipeline takes no more messages: it drains, was aborted, or died. The message was not taken."""


class Revoked(Exception):
    """The message's partition was revoked before it was admitted. It was not taken: its next owner gets it."""


class WorkAnew(Exception):
    """What a result rested on is not so any more, now that its turn has come: its message goes through the stages once more."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that can never succeed: where, why, and after how many attempts. It goes to the dead letters."""

    message: Message
    stage: str
    error: Poison
    attempts: int

    @property
    def cause(self) -> BaseException:
        """The exception that the stage raised."""
        return self.error.__cause__ or self.error


def classify(error: Exception, place: StageKind) -> WeftError:
    """The default `Classify`. An unknown exception is the item's own fault, except where a machine is to blame.

    A store, a broker or a file system in trouble raises `ConnectionError`, `TimeoutError`, or an `OSError` with an
    errno. An `OSError` without one, raised by pure computing, is a codec that complains about the item ("image file
    is truncated"): retrying it for ever would block its partition.
    """
    if isinstance(error, WeftError):
        return error
    if isinstance(error, MemoryError):
        # A batch of one that does not fit the device alone will not fit later either.
        return _poison(error) if place == "device" else _retryable(error)
    if isinstance(error, ConnectionError | TimeoutError):
        return _retryable(error)
    if isinstance(error, OSError) and (place == "io" or error.errno is not None):
        return _retryable(error)
    return _poison(error)


def _describe(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _poison(error: Exception) -> Poison:
    poison = Poison(_describe(error), code=Code.INTERNAL)
    poison.__cause__ = error
    return poison


def _retryable(error: Exception) -> Retryable:
    retryable = Retryable(_describe(error))
    retryable.__cause__ = error
    return retryable


__all__ = ["Classify", "Failure", "Fatal", "PipelineClosed", "Revoked", "StageKind", "WorkAnew", "classify"]
