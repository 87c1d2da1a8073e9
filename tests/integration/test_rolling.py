"""Rolling life on the real Kafka: a stop drains, a second one aborts, workers come and go under load."""

import time
from pathlib import Path

import pytest

from tests.integration.test_engine_kafka import Role, settled, until_stopped

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
async def role(kafka: str) -> Role:
    role = Role(kafka)
    await role.create()
    return role


async def test_a_stop_gives_up_what_does_not_end_and_keeps_what_is_done(role: Role, tmp_path: Path):
    """One message waits for a store that is away: the process ends with 0 all the same, soon, and commits the rest."""
    away = tmp_path / "away"
    away.touch()
    await role.produce(300)
    await role.send(b"k7", f"stuck {away}".encode())
    with role.worker() as process:
        await role.outputs(300)
        started = time.monotonic()
        await until_stopped(process)
        assert time.monotonic() - started < 20
    inputs = await role.read(role.input)
    stuck = next(m for m in inputs if (m.value or b"").startswith(b"stuck"))
    committed = await role.committed()
    ends = {m.partition: m.offset + 1 for m in inputs}
    assert committed.pop(stuck.partition) == ends.pop(stuck.partition) - 1 == stuck.offset
    assert committed == ends
    away.unlink()
    with role.worker() as process:
        await settled(role)
        await until_stopped(process)
    assert await role.check() == 0, "nothing was published twice"
