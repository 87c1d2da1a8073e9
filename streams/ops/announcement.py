"""What a worker writes into a file (`weft worker --announce`), so that whoever started it finds it."""

from __future__ import annotations

import msgspec

STARTING = ".starting"
"""Suffix of the file that says where a process can be watched that does not take work yet."""


class Announcement(msgspec.Struct, frozen=True):
    """Written to a file once all roles take work: where this process can be watched."""

    pid: int
    roles: tuple[str, ...]
    metrics: str
