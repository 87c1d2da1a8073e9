"""What `infra.template` and `infra.forks` say to each other: one message of a socket each (`SOCK_SEQPACKET`), as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

LONGEST = 2**18
"""Bytes of a message: an environment and a command line."""


@dataclass(frozen=True, slots=True)
class Request:
    """Fork a process that runs a module. Comes with three descriptors: its go (a byte `1`, or the end), input, output.

    Args:
        module: to run as `python -m` does.
        arguments: of its command line.
        environment: all of it; None: the template's.
        folder: to work in; None: the template's.
        death_signal: number of the signal that the process gets when its parent dies.
        parent: process id of who asks.
    """

    module: str
    arguments: tuple[str, ...]
    environment: dict[str, str] | None
    folder: str | None
    death_signal: int
    parent: int

    def encoded(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        return cls(**json.loads(data))


@dataclass(frozen=True, slots=True)
class Answer:
    """The process id of the child, or why there is none; the first answer is of the template itself, once it has its modules."""

    pid: int = 0
    error: str = ""

    def encoded(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        return cls(**json.loads(data))
