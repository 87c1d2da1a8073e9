"""The two files between `weft up` and its workers: where a worker can be watched, and where the broker is.

A worker imports its libraries and loads its models while the broker starts and the topics are made; nothing of it is asked
before the second file is there.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

STARTING = ".starting"
"""Suffix of the file that says where a process can be watched that does not take work yet."""


class Announcement(msgspec.Struct, frozen=True):
    """Written to a file once all roles take work: where this process can be watched."""

    pid: int
    roles: tuple[str, ...]
    metrics: str


class BrokerAt(msgspec.Struct, frozen=True):
    """Written by `weft up` once the broker answers and has its topics, and the store is the cluster's."""

    bootstrap: str


POLL_S = 0.05


def write(path: Path, note: Announcement | BrokerAt) -> None:
    """Replace the file in one step, so that no reader ever sees half of it."""
    aside = path.with_suffix(".new")
    aside.write_bytes(msgspec.json.encode(note))
    aside.replace(path)


async def broker_announced(path: Path, stop: asyncio.Event) -> str | None:
    """The broker's address, once the file is there; None when `stop` was set before."""
    while not stop.is_set():
        found = _read(path)
        if found is not None:
            return found.bootstrap
        await asyncio.sleep(POLL_S)
    return None


def _read(path: Path) -> BrokerAt | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=BrokerAt)
    except (OSError, msgspec.DecodeError):
        return None
