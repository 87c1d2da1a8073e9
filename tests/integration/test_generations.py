"""Generations on a running stack, by the commands of an operator: built, verified, swapped under load, rolled back, restarted."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from infra.store import NotFound, ObjectStore
from infra.stores import open_store
from processors.errors import Retryable
from processors.values import Colour
from streams.cli.exits import Exit
from streams.contract import codecs, topics
from streams.contract.records import Caption, ImageRef, Query, Result
from streams.kafka.client import Client, Reader, new_query_id
from streams.kafka.producer import open_producer
from streams.ops.generations import lease
from streams.search.generations import FIRST
from tests.fixtures import commands
from tests.fixtures.stack import Up, photo_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PRODUCTS = 30
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BLOCKS = re.findall(r"```sh run generations\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


def weft(up: Up, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In this process, where the command does not change its niceness: a start takes a second."""
    arguments = (*arguments, "--data-dir", str(up.data_dir))
    if arguments[0] != "replay" and "build" not in arguments:
        return commands.weft(*arguments)
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "WEFT_PROFILE": "fake"},
        timeout=300,
        check=False,
    )


def said(up: Up, *arguments: str, code: int = Exit.OK) -> Any:
    """What a command prints with --json."""
    done = weft(up, *arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


REPLAY_KILLS = int(os.environ.get("WEFT_TEST_REPLAY_KILLS", "3"))
"""How often a replay is killed; the long form is ten."""


@pytest.fixture(scope="module")
def shop(up: Up, tmp_path_factory: pytest.TempPathFactory) -> Up:
    """A stack with thirty products."""
    folder = tmp_path_factory.mktemp("shop")
    colours = np.random.default_rng(7).integers(0, 200, size=(PRODUCTS, 3))
    for number, (red, green, blue) in enumerate(colours.tolist()):
        photo_of(folder, f"sku-{number:02d}", (red, green, blue))
    done = weft(up, "ingest", str(folder), "--wait")
    assert done.returncode == Exit.OK, done.stderr
    return up


def test_the_first_generation_is_proved_counted_and_saved(shop: Up) -> None:
    """`verify` proves it; `status`, `snapshot` and `list` agree on products and digest."""
    verdict = said(shop, "index", "verify")
    assert (verdict["ok"], verdict["generation"], verdict["differences"]) == (True, FIRST, [])
    live, digest = verdict["live"], verdict["digest"]
    assert live == verdict["photos"] >= PRODUCTS
    status = said(shop, "index", "status")
    assert (status["live"], status["digest"], status["lag"], status["state"]) == (live, digest, 0, "live")
    assert {segment["recall"] for shard in status["shards"] for segment in shard["segments"]} == {1.0}
    said(shop, "index", "snapshot")
    [listed] = [one for one in said(shop, "index", "list") if one["generation"] == FIRST]
    assert (listed["live"], listed["digest"], listed["state"]) == (live, verdict["digest"], "live")


def test_a_generation_is_exported(shop: Up) -> None:
    """What lies in the file is what the index holds: products, and for each of its views a vector of norm 1."""
    path = shop.data_dir / "catalogue.npz"
    done = said(shop, "index", "export", str(path))
    with np.load(path, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    assert done["products"] == len(set(found["ids"].tolist())) == said(shop, "index", "verify")["live"]
    assert found["vectors"].shape == (done["rows"], done["dimension"])
    assert np.allclose(np.linalg.norm(found["vectors"].astype(np.float64), axis=1), 1.0, atol=2e-3)
    row = found["ids"].tolist().index("sku-03")
    assert sorted(found["views"][found["products"] == row].tolist()) == ["g0", "whole"]
    assert json.loads(found["facets"][row])["category"] == found["categories"][row]
    assert found["images"][row].startswith("images/")


def test_a_generation_is_exported_as_parquet(shop: Up) -> None:
    """The same products and vectors as in the other format; a format that there is not is refused."""
    import pyarrow.parquet as pq

    path = shop.data_dir / "catalogue.parquet"
    done = said(shop, "index", "export", str(path), "--format", "parquet")
    table = pq.read_table(path)
    assert (len(table), len(set(table["id"].to_pylist()))) == (done["rows"], done["products"])
    assert done["products"] == said(shop, "index", "verify")["live"]
    assert table.schema.field("vector").type.list_size == done["dimension"]
    assert table.schema.metadata[b"weft.encoder"].decode() == done["encoder"]
    assert weft(shop, "index", "export", str(path), "--format", "csv").returncode == Exit.USAGE


def test_a_photo_that_is_gone_is_named(shop: Up) -> None:
    """Exit code 1, the product and the kind; put back, all is well again."""
    store = open_store(shop.settings)
    [hit] = [h for h in asked(shop, "sku-01", top_k=100).hits if h.product_id == "sku-02"]
    key = store.key_of(hit.image)
    assert key is not None
    data = store.get(key)
    store.delete(key)
    verdict = said(shop, "index", "verify", code=Exit.FAILED)
    assert [(one["product_id"], one["kind"]) for one in verdict["differences"]] == [("sku-02", "photo")]
    store.put(key, data)
    assert said(shop, "index", "verify")["ok"]


def asked(up: Up, product: str, top_k: int = 10) -> Result:
    query = Query(new_query_id(), image=ImageRef(product_id=product), top_k=top_k, deadline_ms=60_000)
    return asyncio.run(answer(up, query))


def test_a_generation_is_built_swapped_in_under_load_and_rolled_back(shop: Up) -> None:
    """The issue's own steps. Queries run all the while: none fails, none is partial, none mixes two generations."""
    before = said(shop, "index", "verify")
    plan = said(
        shop, "replay", "--topic", "catalog.items", "--from", "0", "--to", "end", "--into", "g-bar", "--dry-run"
    )
    assert (plan["records"] >= PRODUCTS, plan["gone"]) == (True, 0)
    assert "g-bar" not in {one["generation"] for one in said(shop, "index", "list")}, "a dry run writes nothing"
    done = said(shop, "replay", "--topic", "catalog.items", "--from", "0", "--to", "end", "--into", "g-bar")
    assert (done["live"], done["digest"], done["ready"]) == (before["live"], before["digest"], True)
    again = weft(shop, "replay", "--topic", "catalog.items", "--into", "g-bar")
    assert again.returncode == Exit.USAGE
    assert "built already" in again.stderr

    page = shop.data_dir / "diff.html"
    differs = said(shop, "index", "diff", "g-bar", "--html", str(page))
    assert differs["same_digest"]
    assert (differs["overlap_at_10"], differs["rank_correlation"]) == (1.0, 1.0)
    assert (differs["only_in_live_count"], differs["only_in_other_count"]) == (0, 0)
    text = page.read_text()
    assert "data:image/jpeg;base64," in text
    assert "sku-02" in text

    async def load() -> tuple[list[Result], list[Any]]:
        results: list[Result] = []
        ended = asyncio.Event()

        async def ask(client: Client, number: int) -> None:
            while not ended.is_set():
                number = (number + 7) % PRODUCTS
                image = ImageRef(product_id=f"sku-{number:02d}")
                results.append(await client.query(Query(new_query_id(), image=image, deadline_ms=60_000)))

        async with Client(shop.settings) as client, asyncio.TaskGroup() as tasks:
            for number in range(3):
                tasks.create_task(ask(client, number))
            swaps = [
                await asyncio.to_thread(said, shop, "index", *words)
                for words in (("swap", "g-bar"), ("rollback",), ("rollback",))
            ]
            ended.set()
        return results, swaps

    results, swaps = asyncio.run(load())
    assert [one["generation"] for one in swaps] == ["g-bar", FIRST, "g-bar"]
    assert all(gate["ok"] for one in swaps for gate in one["gates"])
    assert {result.generation for result in results} == {FIRST, "g-bar"}
    assert [r for r in results if r.error is not None or r.partial or len(r.hits) != 10] == []

    shown = said(shop, "query", "--product", "sku-03")
    assert shown["generation"] == "g-bar"
    # What comes now is in both.
    folder = shop.data_dir / "more"
    folder.mkdir()
    photo_of(folder, "sku-new", (3, 200, 90))
    assert weft(shop, "ingest", str(folder), "--wait").returncode == Exit.OK
    both = [said(shop, "index", "verify", name) for name in (FIRST, "g-bar")]
    assert [one["ok"] for one in both] == [True, True]
    assert both[0]["live"] == both[1]["live"] > PRODUCTS - 1
    assert both[0]["digest"] == both[1]["digest"]
    said(shop, "index", "rollback")
    said(shop, "index", "drop", "g-bar")


def test_the_stack_comes_back_with_the_generation_that_answered(shop: Up) -> None:
    """Stopped and started: the same one answers, with the digest of before; and the way back is still open."""
    said(shop, "index", "build", "g-again")
    assert said(shop, "index", "swap", "g-again")["swapped"]
    before = said(shop, "index", "verify")
    assert shop.stop() == 0
    shop.start()
    after = said(shop, "index", "verify")
    assert (after["ok"], after["generation"], after["digest"]) == (True, "g-again", before["digest"])
    assert asked(shop, "sku-03").generation == "g-again"
    assert said(shop, "index", "rollback")["generation"] == FIRST
    assert said(shop, "index", "verify")["digest"] == before["digest"]
    said(shop, "index", "drop", "g-again")


def holder_of(store: ObjectStore, generation: str) -> int:
    """The process that replays into it now; 0: none."""
    try:
        return msgspec.json.decode(store.get(lease.key_of(generation)), type=lease.Holder).pid
    except NotFound:
        return 0


async def second(store: ObjectStore) -> None:
    """What another replay into the same generation does first."""
    async with lease.held(store, "g-killed"):
        pass


def test_a_replay_that_is_killed_ends_as_one_that_was_left_alone(shop: Up) -> None:
    """SIGKILL, again and again, at any moment; the next start goes on, and the digest is that of the live one."""
    wanted = said(shop, "index", "verify", FIRST)["digest"]
    command = ("replay", "--topic", "catalog.items", "--into", "g-killed", "--rate", "2")
    store = open_store(shop.settings)
    for kill in range(REPLAY_KILLS):
        pause = (0.0, 2.0, 4.0, 1.0)[kill % 4]
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", *command, "--data-dir", str(shop.data_dir)],
            env={**os.environ, "WEFT_PROFILE": "fake"},
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 60
        while holder_of(store, "g-killed") != process.pid and time.monotonic() < until:
            time.sleep(0.02)
        with pytest.raises(Retryable, match="is replaying into g-killed"):
            asyncio.run(second(store))
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
    refused = weft(shop, "index", "swap", "g-killed")
    assert refused.returncode == Exit.USAGE
    assert "still being built" in refused.stderr
    other = weft(shop, "replay", "--topic", "catalog.items", "--from", "5", "--into", "g-killed")
    assert other.returncode == Exit.USAGE
    assert "another range" in other.stderr
    assert said(shop, *command[:-2])["digest"] == wanted
    assert said(shop, "index", "verify", "g-killed")["ok"]
    said(shop, "index", "drop", "g-killed")


def test_a_part_of_the_topic_is_not_swapped_in_unless_somebody_says_so(shop: Up) -> None:
    """Its gates name what is missing; forced, the answer says what was gone over. The live one is not dropped."""
    said(shop, "replay", "--topic", "catalog.items", "--from", "1", "--to", "2", "--into", "g-part")
    refused = said(shop, "index", "swap", "g-part", code=Exit.REJECTED)
    assert not refused["swapped"]
    wrong = {gate["gate"] for gate in refused["gates"] if not gate["ok"]}
    assert wrong == {"caught up", "counts explained"}
    assert said(shop, "index", "verify", "g-part")["ok"], "it holds what its range says"
    forced = said(shop, "index", "swap", "g-part", "--force")
    assert set(forced["overridden"]) == wrong
    live = weft(shop, "index", "drop", "g-part")
    assert live.returncode == Exit.USAGE
    said(shop, "index", "rollback", "--force")
    assert said(shop, "index", "drop", "g-part")["objects"] > 0
    assert "g-part" not in {one["generation"] for one in said(shop, "index", "list")}
    assert list(open_store(shop.settings).list("index/catalog/g-part/")) == []
    store = open_store(shop.settings)
    store.put_content(b"of no product", ".png")
    unnamed = said(shop, "store", "gc", "--dry-run")
    assert [one["kind"] for one in unnamed["objects"] if one["kind"] != "snapshot"] == ["photo"]
    noted = said(shop, "store", "gc", "--older-than", "0s")
    assert (noted["counts"], noted["waiting"]) == ({}, sum(unnamed["counts"].values()))
    done = said(shop, "store", "gc", "--older-than", "0s")
    assert done["counts"]["photo"] == 1
    assert not any(store.exists(key) for key in done["removed"])
    assert (done["put_back"], done["aside"], list(store.list("gc/aside/"))) == (0, 0, [])
    assert said(shop, "store", "gc", "--dry-run")["counts"].get("photo", 0) == 0
    assert said(shop, "index", "verify")["ok"]
    assert said(shop, "index", "status")["items"] == topics.ITEMS


def test_the_page_about_changing_the_encoder(shop: Up) -> None:
    """Its commands from top to bottom, with items of the generation's own; what comes meanwhile is in both."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DATA": str(shop.data_dir), "PROFILE": "fake", "WEFT_PROFILE": "starter"}
    for number, block in enumerate(BLOCKS):
        done = subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{block}"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"block {number}:\n{block}\n{done.stderr}"
        if "swap" in block:
            assert said(shop, "query", "--product", "sku-03")["generation"] == "g-new"
            assert said(shop, "index", "status")["items"] == topics.items_of("g-new")
            folder = shop.data_dir / "meanwhile"
            folder.mkdir(exist_ok=True)
            photo_of(folder, "sku-meanwhile", (120, 10, 160))
            assert weft(shop, "ingest", str(folder), "--wait").returncode == Exit.OK
            live = said(shop, "index", "status", FIRST)["live"]
            until = time.monotonic() + 60
            while said(shop, "index", "status")["live"] < live and time.monotonic() < until:
                time.sleep(0.2)
            ends = asyncio.run(offsets(shop))
            query = Query(new_query_id(), text="red", deadline_ms=60_000, min_offsets=ends, top_k=50)
            found = asyncio.run(answer(shop, query))
            assert (found.generation, found.partial, found.applied_offsets) == ("g-new", False, ends)
            assert "sku-meanwhile" in {hit.product_id for hit in found.hits}
            assert said(shop, "index", "verify")["ok"]
    assert "g-new" not in {one["generation"] for one in said(shop, "index", "list")}


async def offsets(up: Up) -> dict[str, int]:
    async with Client(up.settings) as client:
        return await client.end_offsets(topics.ITEMS)


async def answer(up: Up, query: Query) -> Result:
    async with Client(up.settings) as client:
        return await client.query(query)


async def seen_green(up: Up, generation: str, product: str) -> None:
    """Have the items of a generation say that a product is green."""
    async with Reader(up.settings, topics.items_of(generation)) as items:
        [*_, record] = [message async for message in items.to_end() if message.key == product.encode()]
    item = codecs.decode_item(record.value or b"")
    garments = tuple(replace(one, colours=(Colour("green", "#00ff00", 1.0),)) for one in item.garments)
    assert garments
    async with open_producer(up.settings) as sender:
        value = codecs.encode(replace(item, garments=garments))
        await (await sender.send(record.topic, key=record.key, value=value, partition=record.partition))


async def captions_once(up: Up, wanted: Callable[[dict[str, Caption]], bool]) -> dict[str, Caption]:
    """The captions as they stand, once they are as wanted."""
    async with Client(up.settings) as client, asyncio.timeout(120):
        while not wanted(found := await client.captions()):  # noqa: ASYNC110 - the role is far away
            await asyncio.sleep(0.3)
    return found


def test_a_range_of_uploads_becomes_a_generation(shop: Up) -> None:
    """All of them: the products of the catalogue, by the models of the settings, on items of its own. Captions follow the one that
    answers, and come back as they were; of what is equal in both, none is published again.
    """
    live = said(shop, "index", "verify")
    done = said(shop, "replay", "--topic", "catalog.uploads", "--from", "earliest", "--into", "g-uploads")
    assert (done["live"], done["thought"], done["lost"]) == (live["live"], 0, 0)
    assert done["known"] >= live["live"], "nothing is thought twice"
    assert said(shop, "index", "verify", "g-uploads")["ok"]
    before = asyncio.run(captions_once(shop, lambda found: len(found) == live["live"]))
    asyncio.run(seen_green(shop, "g-uploads", "sku-03"))
    swapped = said(shop, "index", "swap", "g-uploads")
    assert swapped["swapped"], swapped
    assert asked(shop, "sku-03").generation == "g-uploads"
    after = asyncio.run(captions_once(shop, lambda found: found["sku-03"] != before["sku-03"]))
    assert "green" in after["sku-03"].caption
    assert {key: one for key, one in after.items() if key != "sku-03"} == {
        key: one for key, one in before.items() if key != "sku-03"
    }
    # What is uploaded now has its caption by the items that are live.
    folder = shop.data_dir / "late"
    folder.mkdir()
    photo_of(folder, "sku-late", (120, 10, 160))
    assert weft(shop, "ingest", str(folder), "--wait").returncode == Exit.OK
    said(shop, "index", "rollback")
    again = asyncio.run(captions_once(shop, lambda found: found["sku-03"] == before["sku-03"]))
    assert again.keys() == before.keys() | {"sku-late"}
    said(shop, "index", "drop", "g-uploads")
