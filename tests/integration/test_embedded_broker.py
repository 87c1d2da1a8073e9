"""The embedded Kafka: durable, loopback only, never orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.broker import EmbeddedBroker, learn_classes
from infra.broker_jars import Classpath
from processors.errors import Fatal

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data dir of `broker`."""
    return tmp_path_factory.mktemp("broker")


@pytest.fixture(scope="module")
def _broker(folder: Path, kafka_classpath: Classpath) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(folder, classpath=kafka_classpath) as broker:
        yield broker


@pytest.fixture
def broker(_broker: EmbeddedBroker) -> EmbeddedBroker:
    """A running broker, one for all tests that may share it: they may kill it, and use topics of their own."""
    _broker.start()  # whatever the test before has done to it
    return _broker


async def _write(bootstrap: str, topic: str, values: list[bytes]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def _read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value for _ in range(count)]


async def test_messages_and_address_survive_a_stop_and_a_kill(broker: EmbeddedBroker) -> None:
    """Acknowledged messages, cluster id and port are the same after a stop and after a SIGKILL."""
    before, address = broker.health(), broker.bootstrap
    await _write(address, "kept", [b"one", b"two"])
    broker.stop()
    assert broker.pid is None
    assert broker.start() == address
    broker.kill()
    assert broker.start() == address
    assert broker.health().cluster_id == before.cluster_id
    assert await _read(address, "kept", 2) == [b"one", b"two"]


def test_a_broker_that_was_killed_is_started_again_by_its_owner(broker: EmbeddedBroker) -> None:
    """The owner notices by `pid`, and `start` brings the same broker back."""
    address, pid = broker.bootstrap, broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=60)
    assert broker.pid is None
    with pytest.raises(OSError, match="refused"):
        broker.health()
    assert broker.start() == address
    assert broker.pid not in {None, pid}


async def test_it_listens_on_the_loopback_interface_only(broker: EmbeddedBroker) -> None:
    """No listening socket of the broker is reachable from another machine."""
    listening = [c.laddr.ip for c in psutil.Process(broker.pid).net_connections("inet") if c.status == "LISTEN"]
    assert listening
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


async def test_a_mistyped_topic_is_not_created(broker: EmbeddedBroker) -> None:
    """Asking for an undeclared topic does not create it."""
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
        await consumer._client.add_topic("nobody-declared-this")
        assert "nobody-declared-this" not in await consumer.topics()


def test_a_second_owner_of_the_folder_is_refused(folder: Path, broker: EmbeddedBroker) -> None:
    """Two brokers on one data dir would corrupt each other's log: the second owner gets a sentence with the pid."""
    with pytest.raises(Fatal, match=f"in use by process {os.getpid()}"):
        EmbeddedBroker(folder).start()
    assert broker.health().brokers


def test_any_name_of_a_folder_will_do(tmp_path: Path, kafka_classpath: Classpath) -> None:
    """Spaces and letters of any script in the data dir; a comma, which Kafka takes for a list, is told."""
    folder = tmp_path / "my dätá – 日本 👗"
    with EmbeddedBroker(folder, classpath=kafka_classpath) as broker:
        assert broker.health().brokers == (broker.bootstrap,)
        assert broker.log_file.exists()
    assert (folder / "kafka" / "data" / "meta.properties").exists()
    with pytest.raises(Fatal, match="comma"):
        EmbeddedBroker(tmp_path / "a,b")


def test_a_taken_port_is_named(tmp_path: Path, broker: EmbeddedBroker, kafka_classpath: Classpath) -> None:
    """A fixed port that another program holds is a clear error, not a timeout."""
    port = int(broker.bootstrap.rpartition(":")[2])
    with pytest.raises(Fatal, match=f"port {port} is taken"):
        EmbeddedBroker(tmp_path / "other", port=port, classpath=kafka_classpath).start()


_OWNER = """
import sys
from dataclasses import replace
from pathlib import Path
from infra.broker import EmbeddedBroker, learn_classes
broker = EmbeddedBroker(Path(sys.argv[1]))
broker.start()
print(broker.pid, flush=True)
sys.stdin.read()
"""


def test_a_killed_owner_leaves_no_orphan_and_its_folder_can_be_used(tmp_path: Path, kafka_classpath: Classpath) -> None:
    """`kill -9` of the owner ends Java too, and a new owner starts on the same folder at once."""
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        java = psutil.Process(int(owner.stdout.readline()))
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    with EmbeddedBroker(tmp_path, classpath=kafka_classpath) as broker:
        assert broker.health().brokers == (broker.bootstrap,)
        java.wait(60)  # raises if the old one still runs


def test_classes_are_prepared_once_and_used(tmp_path: Path, kafka_classpath: Classpath) -> None:
    """Half of a start is reading classes. The file is made by one start and stop; the next brokers map it."""
    classes, said = tmp_path / "kafka.aot", []
    classpath = replace(kafka_classpath, classes=classes)
    assert learn_classes(classpath, said.append)
    assert len(said) == 1
    made = classes.stat()
    assert made.st_size > 2**20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kafka.aot"]
    assert learn_classes(classpath, said.append)
    assert len(said) == 1
    assert classes.stat().st_mtime_ns == made.st_mtime_ns
    with EmbeddedBroker(tmp_path / "data", classpath=classpath) as broker:
        assert broker.pid is not None
        assert str(classes) in {mapped.path for mapped in psutil.Process(broker.pid).memory_maps()}
        assert broker.health().brokers


def test_classes_that_do_not_fit_are_not_used(tmp_path: Path, kafka_classpath: Classpath) -> None:
    """Half a file, or one of another Java: the broker starts as it did before there was any."""
    classes = tmp_path / "kafka.aot"
    classes.write_bytes(b"no classes" * 1000)
    with EmbeddedBroker(tmp_path / "data", classpath=replace(kafka_classpath, classes=classes)) as broker:
        assert broker.health().brokers


def test_an_install_goes_on_without_prepared_classes(tmp_path: Path, kafka_classpath: Classpath) -> None:
    """Where no broker starts, `make install` says so and is done."""
    said: list[str] = []
    broken = Classpath(kafka_classpath.jars[:1], kafka_classpath.java, tmp_path / "kafka.aot")
    assert not learn_classes(broken, said.append)
    assert "each start takes some seconds longer" in said[-1]
    assert not list(tmp_path.iterdir())
