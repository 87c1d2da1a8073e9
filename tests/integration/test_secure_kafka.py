"""TLS and SASL settings reach every client: admin, producer, plain consumer, Faust. A right that is missing is named."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from infra.settings import Settings
from processors.errors import Fatal, Retryable
from streams.cli.exits import Exit
from streams.contract import topics
from streams.contract.topics import DEAD_LETTERS, TopicSpec
from streams.kafka.consumer import open_consumer
from streams.kafka.producer import KafkaSender, classify_kafka, open_producer
from streams.kafka.rights import Missing, Rights, refusal, rights_of
from streams.ops.admin import create_topics, list_topics
from streams.ops.doctor import examine
from tests.fixtures.engine_worker import work
from tests.fixtures.secure_kafka import SecureKafka, TokenEndpoint, allow

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WAYS = [
    ("SASL_PLAINTEXT", "PLAIN"),
    ("SASL_PLAINTEXT", "SCRAM-SHA-512"),
    ("SASL_SSL", "PLAIN"),
    ("SASL_SSL", "SCRAM-SHA-512"),
    ("SASL_PLAINTEXT", "OAUTHBEARER"),
    ("SASL_SSL", "OAUTHBEARER"),
]


def _settings(
    kafka: SecureKafka,
    protocol: str,
    mechanism: str,
    endpoint: TokenEndpoint | None = None,
    *,
    user: str = "weft",
    password: str | None = None,
    **more: Any,
) -> Settings:
    if endpoint is not None:
        more |= {
            "kafka_oauth_token_url": endpoint.url,
            "kafka_oauth_client_id": endpoint.client_id,
            "kafka_oauth_client_secret": endpoint.secret,
            "kafka_oauth_scope": "kafka",
        }
    return Settings(
        bootstrap_servers=kafka.tls if protocol == "SASL_SSL" else kafka.clear,
        kafka_security_protocol=protocol,
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_username=user,
        kafka_sasl_password=password or kafka.password,  # type: ignore[arg-type]
        kafka_ssl_cafile=kafka.ca if protocol == "SASL_SSL" else None,
        partitions=1,
        **more,
    )


@pytest.mark.parametrize(("protocol", "mechanism"), WAYS)
async def test_admin_producer_and_consumer_get_in(
    secure_kafka: SecureKafka, token_endpoint: TokenEndpoint, protocol: str, mechanism: str
) -> None:
    """A topic is created, written and read with each protocol and mechanism."""
    settings = _settings(secure_kafka, protocol, mechanism, token_endpoint)
    topic = f"secure-{uuid.uuid4().hex[:8]}"
    await create_topics(settings, [TopicSpec(topic, "raw", "delete")])
    async with open_producer(settings) as sender:
        await (await sender.send(topic, key=b"k", value=b"v"))
    async with open_consumer(settings) as consumer:
        await consumer.assign({(topic, 0): 0})
        messages = await consumer.poll(10.0)
    assert [message.value for message in messages] == [b"v"]
    # One token for the three of them, asked for with the scope of the settings.
    assert token_endpoint.given == (mechanism == "OAUTHBEARER")
    assert all(form["scope"] == ["kafka"] for form in token_endpoint.asked)


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


@pytest.mark.parametrize(("protocol", "mechanism"), [WAYS[0], WAYS[3], WAYS[5]])
async def test_a_role_on_faust_gets_in(
    secure_kafka: SecureKafka, token_endpoint: TokenEndpoint, protocol: str, mechanism: str
) -> None:
    """Faust has credentials of its own kind: a whole role consumes, publishes and commits through them."""
    settings = _settings(secure_kafka, protocol, mechanism, token_endpoint)
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


async def test_a_token_that_is_refused_is_told_as_such(
    secure_kafka: SecureKafka, token_endpoint: TokenEndpoint
) -> None:
    """A wrong secret: by whom it was refused, and why; an identity provider that is away is waited for."""
    settings = _settings(secure_kafka, "SASL_PLAINTEXT", "OAUTHBEARER", token_endpoint)
    wrong = settings.model_copy(update={"kafka_oauth_client_secret": SecretStr("wrong")})
    with pytest.raises(Fatal, match=f"{token_endpoint.url} gives no token: HTTP 401 invalid_client"):
        async with open_producer(wrong, patience_s=60):
            pass
    token_endpoint.down = True
    with pytest.raises(Retryable, match="answers HTTP 503"):
        await list_topics(settings)


async def test_a_password_that_is_refused_is_told_as_such(secure_kafka: SecureKafka) -> None:
    """Not as a broker that does not answer."""
    settings = _settings(secure_kafka, "SASL_SSL", "SCRAM-SHA-512", password="wrong")
    said = await refusal(settings)
    assert "Authentication failed" in said or "invalid credentials" in said, said
    findings = {finding.part: finding for finding in await examine(settings)}
    assert "SaslAuthenticationFailed" in findings["broker"].found
    assert "WEFT_KAFKA_SASL" in findings["broker"].advice


async def test_the_doctor_names_the_right_that_is_missing(secure_kafka: SecureKafka) -> None:
    """An account that may do almost everything under its prefix: what it may not is named, with the command to grant it."""
    prefix = f"acl-{uuid.uuid4().hex[:8]}."
    owner = _settings(secure_kafka, "SASL_PLAINTEXT", "PLAIN", topic_prefix=prefix)
    await create_topics(owner)
    assert await rights_of(owner) == Rights((), frozenset())
    limited = owner.model_copy(update={"kafka_sasl_username": "limited"})
    with pytest.raises(Fatal, match=r"does not create elsewhere.*grant Create"):
        await create_topics(limited.model_copy(update={"topic_prefix": f"elsewhere-{prefix}"}))
    # Nothing yet: every topic and every group of the roles is out of reach; the topics are hidden, not missing.
    none = await rights_of(limited)
    assert none is not None
    assert none.hidden == {prefix + spec.name for spec in topics.TOPICS}
    assert "topics create" not in " ".join(finding.advice for finding in await examine(limited))
    assert {right.name for right in none.missing if right.kind == "group"} == {
        f"{prefix}weft-{role}" for role in topics.ROLES
    }
    assert Missing("topic", f"{prefix}catalog.items", "Write") in none.missing
    for spec in topics.TOPICS:
        await allow(secure_kafka, "limited", "Read", "topic", prefix + spec.name)
        if spec.name != topics.ITEMS:
            await allow(secure_kafka, "limited", "Write", "topic", prefix + spec.name)
    for role in {*topics.ROLES} - {"caption"}:
        await allow(secure_kafka, "limited", "Read", "group", f"{prefix}weft-{role}")
    lacking = (
        Missing("topic", f"{prefix}catalog.items", "Write"),
        Missing("group", f"{prefix}weft-caption", "Read"),
    )
    async with asyncio.timeout(30):
        while await rights_of(limited) != Rights(lacking, frozenset()):  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.1)
    findings = [finding for finding in await examine(limited) if finding.part == "rights"]
    assert [finding.ok for finding in findings] == [False, False]
    assert findings[0].found == f"this account may not write the topic {prefix}catalog.items"
    assert findings[0].advice.endswith(
        f"--add --allow-principal User:limited --operation Write --topic {prefix}catalog.items"
    )
    assert findings[1].found == f"this account may not read as the group {prefix}weft-caption"
    # What a role meets is no other thing: its end names the topic, and what to ask.
    with pytest.raises(Fatal, match=rf"{prefix}catalog\.items.*weft doctor"):
        async with open_producer(limited) as sender:
            await _delivered(sender)


@pytest.mark.parametrize("lacking", ["group", "topic"])
async def test_a_role_that_may_not_read_says_so(secure_kafka: SecureKafka, lacking: str) -> None:
    """It ends, naming the error of the broker and where to look; it does not start over and over as after a crash."""
    name = uuid.uuid4().hex[:8]
    source, output, group = f"in-{name}", f"out-{name}", f"group-{name}"
    owner = _settings(secure_kafka, "SASL_PLAINTEXT", "PLAIN")
    await create_topics(owner, [TopicSpec(topic, "raw", "delete") for topic in (source, output, DEAD_LETTERS)])
    await allow(secure_kafka, "limited", "Describe", "topic", source)
    for topic in (output, DEAD_LETTERS):
        await allow(secure_kafka, "limited", "Write", "topic", topic)
    if lacking == "group":
        await allow(secure_kafka, "limited", "Read", "topic", source)
    else:
        await allow(secure_kafka, "limited", "Read", "group", group)
    limited = owner.model_copy(update={"kafka_sasl_username": "limited"})
    with pytest.raises(Fatal, match=rf"(?i){lacking}AuthorizationFailed.*weft doctor"):
        async with asyncio.timeout(60):
            await work(limited, source, output, group, asyncio.Event())


async def test_a_role_that_may_not_see_what_it_reads_ends(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    """A topic without any right is hidden: the group is dealt no partition of it, and would wait for ever, healthy and in silence."""
    prefix = f"hidden-{uuid.uuid4().hex[:8]}."
    owner = _settings(secure_kafka, "SASL_PLAINTEXT", "PLAIN", topic_prefix=prefix)
    await create_topics(owner)
    for name in {*topics.read_by("enrich"), *topics.written_by("enrich")} - {topics.UPLOADS}:
        for right in ("Read", "Write"):
            await allow(secure_kafka, "limited", right, "topic", prefix + name)
    await allow(secure_kafka, "limited", "Read", "group", f"{prefix}weft-enrich")
    said = {
        "BOOTSTRAP_SERVERS": secure_kafka.clear,
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": "limited",
        "KAFKA_SASL_PASSWORD": secure_kafka.password,
        "TOPIC_PREFIX": prefix,
        "PROFILE": "fake",
        "DATA_DIR": str(tmp_path / "data"),
    }
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "streams.cli", "worker", "enrich"],
        env=os.environ | {f"WEFT_{name}": value for name, value in said.items()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    named = [line for line in done.stderr.splitlines() if f"{prefix}catalog.uploads" in line and "weft doctor" in line]
    assert (done.returncode, bool(named)) == (Exit.FAILED, True), done.stderr[-3000:]


async def _delivered(sender: KafkaSender) -> None:
    """As the engine does it: what a delivery raises is judged by `classify_kafka`."""
    try:
        await (await sender.send(topics.ITEMS, key=b"k", value=b"v"))
    except KafkaError as error:
        raise classify_kafka(error, "io") from error
