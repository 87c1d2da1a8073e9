"""The small form of `make chaos`: five kills. And the harness's own tools: a fault that harms nothing proves nothing."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.local_store import LocalStore
from infra.s3_store import S3Address, S3Store
from processors.errors import Retryable
from tests.chaos.proxy import S3Proxy
from tests.chaos.stores import folder_place
from tests.fixtures.s3_servers import S3Server

pytestmark = pytest.mark.integration


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_kills_and_nobody_can_tell(tmp_path: Path) -> None:
    """Every role and the broker killed, the store in trouble: nothing lost, doubled or swapped; exit status 0."""
    seed = 1
    command = [sys.executable, "-m", "tests.chaos", "--seed", str(seed), "--out", str(tmp_path / "out")]
    size = ["--kills", "5", "--uploads", "40", "--partitions", "4"]
    done = subprocess.run([*command, *size], check=False, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, f"SEED={seed}\n{done.stdout}\n{done.stderr[-4000:]}"
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["clean"]
    assert sum(count for name, count in report["blows"].items() if name.startswith("kill")) == 5
    assert {name for name in report["blows"] if name.startswith("kill")} == {
        f"kill {target}" for target in ("enrich", "caption", "index", "compose", "broker")
    }
    counts = report["counts"]
    assert (counts["uploads"], counts["poison"], counts["lost"], counts["doubled"]) == (40, 2, 0, 0)


@pytest.fixture
async def proxied(s3: S3Server) -> AsyncIterator[tuple[S3Store, S3Store, S3Proxy]]:
    """The store through the proxy, the same one past it, and the proxy."""
    proxy = S3Proxy(s3.endpoint)
    endpoint = await proxy.start()
    through, past = (
        S3Store(S3Address(at, "proxied", secure=False), access_key=s3.access_key, secret_key=s3.secret_key)
        for at in (endpoint, s3.endpoint)
    )
    yield through, past, proxy
    await proxy.stop()


async def test_the_proxy_harms_as_it_says(proxied: tuple[S3Store, S3Store, S3Proxy]) -> None:
    """Without a mode it is not there; each mode harms in its own way, and leaves nothing behind."""
    through, past, proxy = proxied
    assert await asyncio.to_thread(through.create, "a", b"1" * 100_000)
    assert await asyncio.to_thread(through.get, "a") == b"1" * 100_000
    assert proxy.harmed == 0

    proxy.set("refuse")
    with pytest.raises(Retryable):
        await asyncio.to_thread(through.get, "a")

    proxy.set("full")
    with pytest.raises(Retryable, match=r"XMinioStorageFull|507"):
        await asyncio.to_thread(through.put, "b", b"2")
    with pytest.raises(Retryable, match=r"XMinioStorageFull|507"):
        await asyncio.to_thread(through.create, "b", b"2")
    assert await asyncio.to_thread(through.get, "a") == b"1" * 100_000

    proxy.set("cut")
    with pytest.raises(Retryable):
        await asyncio.to_thread(through.create, "c", b"3")
    assert await asyncio.to_thread(past.get, "c") == b"3"
    with pytest.raises(Retryable):
        await asyncio.to_thread(through.get, "a")

    harmed = proxy.harmed
    proxy.set("")
    assert not await asyncio.to_thread(past.exists, "b")
    assert not await asyncio.to_thread(through.create, "c", b"4")
    assert harmed >= 5
    assert proxy.harmed == harmed


def test_a_full_volume_and_a_folder_that_is_away_are_retryable(tmp_path: Path) -> None:
    """What was there is there again afterwards."""
    with folder_place(tmp_path / "volume") as place:
        store = LocalStore(tmp_path / "volume" / "store")
        store.put("a", b"1")
        for mode in place.trouble.modes:
            place.trouble.begin(mode)
            with pytest.raises(Retryable) as caught:
                store.put("b", b"2" * 10_000)
            assert (mode == "full") == (getattr(caught.value.__cause__, "errno", None) == errno.ENOSPC)
            place.trouble.end()
            assert store.get("a") == b"1"
            assert not store.exists("b")
