"""TLS and SASL settings reach every client: admin, producer, plain consumer, Faust."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from pathlib import Path

import pytest

from infra.settings import Settings
from streams.contract.topics import DEAD_LETTERS, TopicSpec
from streams.kafka.consumer import open_consumer
from streams.kafka.producer import open_producer
from streams.ops.admin import create_topics, list_topics
from tests.fixtures.engine_worker import work
from tests.fixtures.secure_kafka import SecureKafka

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WAYS = [
    ("SASL_PLAINTEXT", "PLAIN"),
    ("SASL_PLAINTEXT", "SCRAM-SHA-512"),
    ("SASL_SSL", "PLAIN"),
    ("SASL_SSL", "SCRAM-SHA-512"),
]


def _settings(kafka: SecureKafka, protocol: str, mechanism: str, *, password: str | None = None) -> Settings:
    return Settings(
        bootstrap_servers=kafka.tls if protocol == "SASL_SSL" else kafka.clear,
        kafka_security_protocol=protocol,
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_username=kafka.user,
        kafka_sasl_password=password or kafka.password,  # type: ignore[arg-type]
        kafka_ssl_cafile=kafka.ca if protocol == "SASL_SSL" else None,
        partitions=1,
    )


@pytest.mark.parametrize(("protocol", "mechanism"), WAYS)
async def test_admin_producer_and_consumer_get_in(secure_kafka: SecureKafka, protocol: str, mechanism: str) -> None:
    """A topic is created, written and read with each protocol and mechanism."""
    settings = _settings(secure_kafka, protocol, mechanism)
    topic = f"secure-{uuid.uuid4().hex[:8]}"
    await create_topics(settings, [TopicSpec(topic, "raw", "delete")])
    async with open_producer(settings) as sender:
        await (await sender.send(topic, key=b"k", value=b"v"))
    async with open_consumer(settings) as consumer:
        await consumer.assign({(topic, 0): 0})
        messages = await consumer.poll(10.0)
    assert [message.value for message in messages] == [b"v"]


@pytest.mark.parametrize("trusted", [False, True], ids=["unknown CA", "wrong password"])
async def test_those_who_should_not_are_kept_out(secure_kafka: SecureKafka, tmp_path: Path, trusted: bool) -> None:
    """A broker with a certificate we do not trust is not talked to; a wrong password does not get in."""
    settings = _settings(secure_kafka, "SASL_SSL", "PLAIN", password="wrong" if trusted else None)
    if not trusted:
        settings = settings.model_copy(update={"kafka_ssl_cafile": Path(ssl.get_default_verify_paths().cafile or "")})
        if not settings.kafka_ssl_cafile or not settings.kafka_ssl_cafile.is_file():
            pytest.skip("this machine has no file of trusted CAs")
    with pytest.raises(Exception, match=r"(?i)authenticat|connect|bootstrap") as caught:
        await list_topics(settings)
    assert secure_kafka.password not in str(caught.value)


@pytest.mark.parametrize(("protocol", "mechanism"), [WAYS[0], WAYS[3]])
async def test_a_role_on_faust_gets_in(secure_kafka: SecureKafka, protocol: str, mechanism: str) -> None:
    """Faust has credentials of its own kind: a whole role consumes, publishes and commits through them."""
    settings = _settings(secure_kafka, protocol, mechanism)
    name = uuid.uuid4().hex[:8]
    source, output = f"in-{name}", f"out-{name}"
    await create_topics(settings, [TopicSpec(topic, "raw", "delete") for topic in (source, output, DEAD_LETTERS)])
    stop = asyncio.Event()
    role = asyncio.create_task(work(settings, source, output, f"group-{name}", stop))
    async with open_producer(settings) as sender:
        await (await sender.send(source, key=b"k", value=b"navy"))
    async with open_consumer(settings) as consumer:
        await consumer.assign({(output, 0): 0})
        messages = []
        async with asyncio.timeout(60):
            while not messages and not role.done():
                messages = await consumer.poll(1.0)
    stop.set()
    await role
    assert [message.value for message in messages] == [b"NAVY"]
