"""What `weft standing matches` shows of a compacted topic."""

from __future__ import annotations

from collections.abc import AsyncIterator

from streams.cli.standing import last_of_each
from streams.engine.message import Message


async def test_what_was_taken_back_is_not_shown_as_met() -> None:
    """Only the last record of a key counts; records before it stay on the topic until it is compacted."""

    async def records() -> AsyncIterator[Message]:
        for offset, (key, value) in enumerate(
            [(b"q/1", b"there"), (b"q/2", b"there"), (b"q/1", None), (b"q/2", b"met")]
        ):
            yield Message("search.matches", 0, offset, key, value)

    assert [(raw.key, raw.value) for raw in await last_of_each(records())] == [(b"q/1", None), (b"q/2", b"met")]
