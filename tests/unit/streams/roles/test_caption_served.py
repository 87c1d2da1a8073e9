"""Captions by a language model behind a server: they come whatever it does, and it holds nobody up."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from models.served.options import options_of
from models.served.writer import ServedWriter
from streams.contract.records import Caption
from streams.engine.inline import run_inline
from streams.roles.caption.mending import has_fallen
from streams.roles.caption.role import Captioner
from streams.roles.outcome import Makeshift
from tests.fakes import llm_server
from tests.fakes.llm_server import MODEL, LlmServer, Reply, completion
from tests.fixtures.engines import World, running
from tests.unit.streams.roles.test_role_caption import GOOD, LIE, captioner, item, message


def served(server: LlmServer, **options: Any) -> ServedWriter:
    given = {
        "base_url": server.base_url,
        "model": MODEL,
        "retries": 0,
        "answer_seconds": 30.0,
        "deadline_seconds": 30.0,
    }
    return ServedWriter(options_of({**given, **options}))


async def all_through(role: Captioner, count: int, world: World) -> list[Any]:
    """Products through the pipeline of the role; what was published, in order."""
    with ThreadPoolExecutor(4) as threads, ThreadPoolExecutor(1) as device:
        async with running(role.stages(), world, executor=device, cpu=threads) as pipeline:
            for number in range(count):
                of = message(item(f"sku-{number}"), number)
                await pipeline.submit(of, world.ack(of))
            await pipeline.drain()
    return [result for _, result in world.published]


FAULTS = {
    "hangs": lambda _: Reply(play=llm_server.hangs),
    "rubbish": lambda _: Reply(body=b"<html>"),
    "busy": lambda _: Reply(429, headers={"Retry-After": "60"}),
    "broken": lambda _: Reply(500),
    "dies": lambda _: Reply(play=llm_server.dies),
    "no key": lambda _: Reply(401),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_captions_come_whatever_a_server_does(name: str) -> None:
    """By rule, each marked as what a later delivery may better, and none lost; once it answers, the same facts get its words."""
    with LlmServer(FAULTS[name]) as server:
        writer = served(server, answer_seconds=0.3 if name == "hangs" else 30.0)
        role = captioner(writer)
        world = World()
        found = await all_through(role, 8, world)
        assert [type(one) for one in found] == [Makeshift] * 8
        assert {one.writer for one in found} == {"template"}
        assert all(has_fallen(one) for one in found)
        assert len(world.acked) == 8
        assert world.dead == []
        writer.close()
        server.answer = lambda _: completion(GOOD)
        writer = served(server)
        again = await all_through(replace(role, writer=writer), 8, World())
        assert {one.writer for one in again} == {"llm"}
        assert not any(has_fallen(one) for one in again)
        writer.close()


async def test_a_server_holds_no_device_and_no_loop() -> None:
    """While it thinks about all it may be asked at once, the device runs others' batches and the loop goes on."""
    thinking, go_on = threading.Event(), threading.Event()

    def answer(_: Any) -> Reply:
        thinking.set()
        go_on.wait(10)
        return completion(GOOD)

    with LlmServer(answer) as server, ThreadPoolExecutor(1) as device, ThreadPoolExecutor(4) as threads:
        writer, world = served(server, concurrency=2), World()
        async with running(captioner(writer).stages(), world, executor=device, cpu=threads) as pipeline:
            for number in range(6):
                of = message(item(f"sku-{number}"), number)
                await pipeline.submit(of, world.ack(of))
            await asyncio.to_thread(thinking.wait, 10)
            assert await asyncio.get_running_loop().run_in_executor(device, lambda: "free") == "free"
            assert world.published == []
            go_on.set()
            await pipeline.drain()
        writer.close()
        assert len(world.published) == 6
        assert server.most_at_once <= 3  # its trial beside them


async def test_a_draft_of_a_server_is_believed_no_more_than_any() -> None:
    """Two lies in a row, and the rules write; that is the model's last word."""
    with LlmServer(lambda _: completion(LIE)) as server:
        writer = served(server)
        [caption] = await all_through(captioner(writer), 1, World())
        assert (caption.writer, type(caption), has_fallen(caption)) == ("template", Caption, False)
        assert len([one for one in server.completions if one.body["max_tokens"] > 16]) == 2
        writer.close()


async def test_tools_that_run_the_stages_by_themselves_ask_a_server_too() -> None:
    """`weft eval captions`, `weft models compare` and previews have no pipeline; a kit's captions are no question there either."""
    with LlmServer(lambda _: completion(GOOD)) as server:
        writer = served(server)
        role = captioner(writer)
        found = await run_inline(role.stages(), [message(item(f"sku-{n}"), n) for n in range(5)], lambda _: None)
        assert [one.writer for one in found] == ["llm"] * 5
        by_rule = await run_inline(replace(role, by_rule=True).stages(), [message(item("other"))], lambda _: None)
        assert [one.writer for one in by_rule] == ["template"]
        writer.close()
