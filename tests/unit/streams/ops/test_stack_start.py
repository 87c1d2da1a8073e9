"""`weft up` starts its roles beside its broker: they load, and ask nothing before the broker is announced."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from infra.broker import EmbeddedBroker
from infra.process import ChildState
from infra.settings import Settings
from models.guard import ignore
from processors.errors import BadSetting, Fatal
from streams.ops.announcement import STARTING, Announcement, BrokerAt, broker_announced, write
from streams.ops.stack import Stack
from streams.wiring.models import FakeLoader, Models

ROOT = Path(__file__).parents[4]


async def test_a_worker_waits_until_the_broker_is_announced(tmp_path: Path) -> None:
    """The file may be half written, or not there yet; its address is what counts, not the environment's."""
    file, stop = tmp_path / "broker.json", asyncio.Event()
    waiting = asyncio.create_task(broker_announced(file, stop))
    await asyncio.sleep(0)
    file.write_bytes(b'{"boot')
    await asyncio.sleep(0)
    assert not waiting.done()
    write(file, BrokerAt("127.0.0.1:4242"))
    assert await waiting == "127.0.0.1:4242"


@pytest.mark.parametrize(("status", "restarts", "kind"), [(2, 0, BadSetting), (1, 9, Fatal), (-9, 9, Fatal)])
def test_a_setting_that_a_role_refuses_ends_the_stack_as_a_wrong_setting(
    tmp_path: Path, status: int, restarts: int, kind: type[Exception]
) -> None:
    """At its first death, with the role's own words (`WEFT_DEVICE=cuda` without one); other deaths are tried again."""
    stack = Stack(Settings(data_dir=tmp_path, profile="fake"))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "enrich.log").write_text("weft: WEFT_DEVICE is 'cuda'\n")
    stack._give_up_on({"enrich": ChildState("enrich", 7, 0, 1)})
    with pytest.raises(Fatal, match="WEFT_DEVICE is 'cuda'") as ended:
        stack._give_up_on({"enrich": ChildState("enrich", None, restarts, status)})
    assert type(ended.value) is kind


async def test_a_stop_ends_that_wait(tmp_path: Path) -> None:
    """A stack whose broker does not start ends its roles."""
    stop = asyncio.Event()
    waiting = asyncio.create_task(broker_announced(tmp_path / "broker.json", stop))
    await asyncio.sleep(0)
    stop.set()
    assert await waiting is None


def test_a_worker_that_waits_ends_at_sigterm_and_has_asked_nobody(tmp_path: Path) -> None:
    """It can be watched meanwhile, as any process that is not ready; it leaves with 0, as one that was drained."""
    announce = tmp_path / "index.json"
    argv = [sys.executable, "-P", "-m", "streams.cli", "worker", "index", "--announce", str(announce)]
    environment = os.environ | {"WEFT_BOOTSTRAP_SERVERS": "127.0.0.1:9", "WEFT_DATA_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [*argv, "--broker", str(tmp_path / "broker.json")],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not announce.with_suffix(STARTING).exists():
            assert process.poll() is None, process.stderr
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, told
    assert "before a broker was announced" in told
    assert "no broker answers" not in told
    assert not announce.exists()


async def test_a_second_stack_in_the_same_folder_touches_nothing_of_the_first(tmp_path: Path) -> None:
    """Its roles find their broker by a file there, also when they are started again days later."""
    jars = tmp_path / "jars"
    jars.mkdir()
    for name in ("kafka_2.13-4", "kafka-clients-4", "kafka-server-4", "scala-library-2"):
        (jars / f"{name}.jar").touch()
    data = tmp_path / "data"
    (data / "run").mkdir(parents=True)
    write(data / "run" / "broker.json", BrokerAt("127.0.0.1:1"))
    (data / "stack.json").write_text("{}")
    first = EmbeddedBroker(data, jars=jars)
    first.prepare()
    settings = Settings(data_dir=data, kafka_jars=jars, profile="fake")
    try:
        with pytest.raises(Fatal, match="is in use by process"):
            async with Stack(settings):
                pytest.fail("it started")
    finally:
        first.stop()
    assert (data / "run" / "broker.json").exists()


async def test_models_that_are_begun_are_loaded_once_and_a_failure_is_told_to_who_asks() -> None:
    """They are loaded in a thread beside the start; a role asks as if nobody had."""
    loads: list[str] = []
    begun = threading.Event()

    class Loader(FakeLoader):
        def detector(self):
            loads.append("detector")
            begun.set()
            return super().detector()

        def writer(self):
            loads.append("writer")
            raise Fatal("the weights are broken")

    models = Models(Settings(profile="fake"), lambda _: ignore, loader=Loader)
    models.begin(["writer", "detector"])
    assert await asyncio.to_thread(begun.wait, 60)
    assert await asyncio.to_thread(lambda: models.detector) is models.detector
    assert loads == ["writer", "detector"]
    with pytest.raises(Fatal, match="weights are broken"):
        _ = models.writer


def test_an_announcement_is_replaced_in_one_step(tmp_path: Path) -> None:
    """A reader sees the old one or the new one."""
    file = tmp_path / "enrich.json"
    for pid in (1, 2):
        write(file, Announcement(pid, ("enrich",), "http://127.0.0.1:1"))
        assert msgspec.json.decode(file.read_bytes(), type=Announcement).pid == pid
    assert [path.name for path in tmp_path.iterdir()] == ["enrich.json"]


def test_what_only_tries_something_has_a_process_of_its_own(tmp_path: Path) -> None:
    """Also with --single-process: it gives way to all others, which the live roles may not."""
    settings = Settings(data_dir=tmp_path, shadow_profile="fake")
    one = Stack(settings, single_process=True, also=("duplicates", "shadow"))._groups
    assert one["shadow"] == ("shadow",)
    assert "shadow" not in one["all"]
    assert "duplicates" in one["all"]
    assert Stack(settings, also=("shadow",))._groups["shadow"] == ("shadow",)
