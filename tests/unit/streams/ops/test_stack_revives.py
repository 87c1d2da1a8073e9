"""A broker that does not come back at the first attempt does not take the whole stack with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import Settings
from processors.errors import Fatal
from streams.ops.stack import BROKER_ATTEMPTS, Stack


class SlowBroker:
    """Comes back at the attempt that it is told."""

    def __init__(self, comes_at: int) -> None:
        self.attempts = 0
        self._comes_at = comes_at

    def start(self) -> str:
        self.attempts += 1
        if self.attempts < self._comes_at:
            raise Fatal("the embedded Kafka did not answer in time")
        return "127.0.0.1:1"


async def _no_wait(_: float) -> None:
    return


@pytest.mark.parametrize("comes_at", [1, 2, BROKER_ATTEMPTS])
async def test_a_slow_broker_is_tried_again(tmp_path: Path, comes_at: int) -> None:
    """Found by the chaos harness on a busy machine: one start took longer than 90 s, and `weft up` ended."""
    said: list[str] = []
    stack, broker = Stack(Settings(data_dir=tmp_path), progress=said.append, sleep=_no_wait), SlowBroker(comes_at)
    await stack._revive(broker)  # type: ignore[arg-type]
    assert broker.attempts == comes_at
    assert said[0].startswith("Kafka died")
    assert said[-1] == "Kafka is back"


async def test_a_broker_that_never_comes_back_ends_the_stack_with_its_reason(tmp_path: Path) -> None:
    """Its data may be damaged: somebody has to look."""
    stack, broker = Stack(Settings(data_dir=tmp_path), sleep=_no_wait), SlowBroker(99)
    with pytest.raises(Fatal, match="did not answer"):
        await stack._revive(broker)  # type: ignore[arg-type]
    assert broker.attempts == BROKER_ATTEMPTS
