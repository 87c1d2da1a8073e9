"""Clients that start: before their broker does, and cancelled in the middle."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import pytest

from infra.settings import Settings
from processors.errors import Retryable
from streams.contract import topics
from streams.kafka import producer
from streams.kafka.client import Client
from streams.kafka.consumer import open_consumer
from streams.kafka.producer import open_producer
from streams.ops.admin import create_topics

pytestmark = pytest.mark.integration


class LateBroker:
    """Hangs up on the first connections, as a broker that is not there yet; then leads to the real one."""

    def __init__(self, kafka: str, *, absent: int) -> None:
        host, _, port = kafka.rpartition(":")
        self._real = (host, int(port))
        self._absent = absent
        self.connections = 0

    async def start(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.connections <= self._absent:
            writer.transport.abort()
            return
        from_real, to_real = await asyncio.open_connection(*self._real)
        await asyncio.gather(_pump(reader, to_real), _pump(from_real, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def test_a_role_waits_for_a_broker_that_is_just_coming_back(kafka: str) -> None:
    """Roles that started while the broker was being restarted died with a traceback, and had to load again."""
    late = LateBroker(kafka, absent=3)
    server = await late.start()
    await create_topics(Settings(bootstrap_servers=kafka, partitions=1))
    host, port = server.sockets[0].getsockname()[:2]
    async with open_producer(Settings(bootstrap_servers=f"{host}:{port}"), patience_s=60) as sender:
        await (await sender.send(topics.CONTROL, key=b"late", value=b"{}"))
    assert late.connections > 3
    server.close()
    await server.wait_closed()


def nowhere() -> Settings:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return Settings(bootstrap_servers=f"127.0.0.1:{free.getsockname()[1]}")


async def test_without_patience_an_absent_broker_is_told_at_once_by_address() -> None:
    """For commands that a person waits for."""
    settings = nowhere()
    with pytest.raises(Retryable, match=settings.bootstrap_servers.partition(":")[2]):
        async with open_producer(settings):
            pytest.fail("there is no broker")


async def test_a_stop_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM of a role that waits for its broker ends it, long before its patience does."""
    stop, told = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(producer.log, "warning", lambda *_, **__: told.set())
    async with asyncio.timeout(60):
        opening = asyncio.create_task(open_producer(nowhere(), patience_s=3600, stop=stop).__aenter__())
        await told.wait()
        stop.set()
        with pytest.raises(Retryable):
            await opening


@pytest.mark.parametrize("open_one", [open_consumer, open_producer, Client])
async def test_who_is_cancelled_while_it_starts_leaves_no_connection(
    kafka: str, monkeypatch: pytest.MonkeyPatch, open_one: Callable[[Settings], AbstractAsyncContextManager[object]]
) -> None:
    """At each step of its start. A role that is done at once ends while its look-ahead still opens a consumer."""
    settings = Settings(bootstrap_servers=kafka)
    left: list[str] = []

    def complains(unraisable: Any) -> None:
        left.append(repr(unraisable.exc_value))

    monkeypatch.setattr(sys, "unraisablehook", complains)

    async def stay(started: asyncio.Event) -> None:
        async with open_one(settings):
            started.set()
            await asyncio.Event().wait()

    steps = 0
    started = asyncio.Event()
    while not started.is_set():
        staying = asyncio.create_task(stay(started))
        for _ in range(steps := steps + 1):
            await asyncio.sleep(0)
        staying.cancel()
        with suppress(asyncio.CancelledError):
            await staying
        gc.collect()
    assert left == []
    assert steps > 3
