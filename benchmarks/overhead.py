"""R3: what our engine costs an event, against a bare Faust agent on the same topic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor

from aiokafka import AIOKafkaProducer

from benchmarks.bare import bare_faust
from benchmarks.report import Row
from infra.settings import Settings
from streams.contract import topics
from streams.engine.attempts import Engine
from streams.engine.credits import Credits
from streams.engine.device import Device
from streams.engine.failures import Failure
from streams.engine.message import Message
from streams.engine.pipeline import Pipeline
from streams.kafka.faust.app import consume
from streams.ops import admin

EVENTS = 10_000
ROUNDS = 2


async def run(settings: Settings) -> list[Row]:
    await admin.create_topics(settings)
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, linger_ms=20) as producer:
        for number in range(EVENTS):
            await producer.send(topics.UPLOADS, value=b"x" * 100, key=str(number).encode())
        await producer.flush()
    ours, bare = [], []
    for number in range(ROUNDS):  # in turn, so that a machine that slows down slows both
        a_second, _ = await bare_faust(settings, f"bare-{number}", EVENTS)
        bare.append(1 / a_second)
        ours.append(await _ours(settings, f"ours-{number}"))
    ratio = min(ours) / min(bare)
    return [
        Row(
            "R3 per-event overhead ÷ bare Faust agent",
            f"{ratio:.2f} ({min(ours) * 1e6:.0f} µs ÷ {min(bare) * 1e6:.0f} µs)",
            "≤ 1.5",
            f"{EVENTS:,} events of 100 bytes, best of {ROUNDS} rounds in turn; ours: admission, ordered acks, commits",
        )
    ]


async def _ours(settings: Settings, group: str) -> float:
    done, stop = asyncio.Event(), asyncio.Event()
    first = last = 0.0
    count = 0

    async def publish(_message: Message, _result: object) -> Sequence[Awaitable[object]]:
        nonlocal first, last, count
        first = first or time.perf_counter()
        count += 1
        if count == EVENTS:
            last = time.perf_counter()
            done.set()
        return ()

    async def dead_letter(failure: Failure) -> Sequence[Awaitable[object]]:
        raise failure.error

    with ThreadPoolExecutor(1) as cpu:
        async with Device() as device:
            pipeline = Pipeline(
                "overhead",
                (),
                publish=publish,
                dead_letter=dead_letter,
                admission=Credits(256 * 2**20),
                engine=Engine(device, cpu),
            )
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(consume([topics.UPLOADS], group, pipeline, settings=settings, stop=stop))
                await done.wait()
                stop.set()
    return (last - first) / EVENTS
