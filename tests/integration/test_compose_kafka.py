"""The broker of docker-compose.yml, without Docker: its settings on the real Kafka, with its ports exchanged for free ones."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infra import spawn
from infra.broker_jars import Classpath
from infra.settings import Settings
from streams.kafka.consumer import open_consumer
from streams.ops import admin
from tests.fixtures.secure_kafka import _free_ports, _java, _wait

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]


def properties(folder: Path, ports: dict[str, int]) -> str:
    """`KAFKA_NODE_ID: "1"` → `node.id=1`, as the image does it; `ports`: those of the file → free ones."""
    environment = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["kafka"]["environment"]
    lines = []
    for name, value in environment.items():
        said = (
            value.replace("://kafka:", "://127.0.0.1:")
            .replace("@kafka:", "@127.0.0.1:")
            .replace("://:", "://127.0.0.1:")
        )
        for old, new in ports.items():
            said = said.replace(f":{old}", f":{new}")
        lines.append(f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={said}")
    return "\n".join(lines).replace("/var/lib/kafka/data", f"{folder}/data") + "\n"


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory, kafka_classpath: Classpath) -> Iterator[dict[str, str]]:
    """Such a broker: the addresses of its listeners INTERNAL and HOST."""
    folder = tmp_path_factory.mktemp("compose-kafka")
    internal, controller, host = _free_ports(3)
    written = properties(folder, {"9092": internal, "9093": controller, "9094": host})
    (folder / "server.properties").write_text(written)
    (folder / "log4j2.properties").write_text("rootLogger.level = warn\n")
    arguments = ("format", "-t", "WeftComposeTestCluster", "-c", str(folder / "server.properties"))
    assert spawn.spawn(_java(kafka_classpath, folder, "kafka.tools.StorageTool", *arguments)).wait(120) == 0
    process = spawn.spawn(_java(kafka_classpath, folder, "kafka.Kafka", str(folder / "server.properties")))
    _wait(process, f"127.0.0.1:{internal}", folder)
    yield {"INTERNAL": f"127.0.0.1:{internal}", "HOST": f"127.0.0.1:{host}"}
    spawn.stop(process, grace_seconds=20)


@pytest.mark.parametrize("listener", ["INTERNAL", "HOST"])
async def test_topics_transactions_and_groups_work_on_one_node(listeners: dict[str, str], listener: str) -> None:
    """From both sides: with Kafka's own defaults a transaction, and a group's first commit, wait for three replicas for ever."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    settings = Settings(bootstrap_servers=listeners[listener], partitions=2)
    await admin.create_topics(settings)
    producer = AIOKafkaProducer(bootstrap_servers=listeners[listener], transactional_id=f"shop-{uuid.uuid4().hex}")
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send("catalog.uploads", key=b"sku-1", value=None)
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(
        "catalog.uploads",
        bootstrap_servers=listeners[listener],
        group_id=f"group-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        assert (await consumer.getone()).key == b"sku-1"
        await consumer.commit()
    finally:
        await consumer.stop()
    async with open_consumer(settings) as plain:
        assert sum(high - low for low, high in (await plain.watermarks("catalog.uploads")).values()) >= 1
