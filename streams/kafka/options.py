"""How every Kafka client of a process connects: brokers, TLS and SASL from the settings."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from infra.bounds import is_host_and_port
from infra.settings import Settings
from processors.errors import BadSetting, Retryable
from streams.kafka.names import client_id

METADATA_MS = 5_000
"""Age of what a consumer knows of its topics, at most. A group that formed while the broker came back, and knew of no
partition yet, has none to read until it looks again; aiokafka's default is five minutes."""
ISOLATION = "read_committed"
"""What an aborted transaction wrote was never said: every reader skips it, and waits behind one that is still open."""
_METADATA_PAUSE = 0.25  # seconds
_FIRST_LOOK_S = 2.0
"""How long a first look at the cluster goes on that is cancelled: one round trip, unless no broker answers."""


def client_options(settings: Settings, client: str = "tool") -> dict[str, Any]:
    """Keyword arguments that `AIOKafkaProducer`, `AIOKafkaConsumer` and `AIOKafkaAdminClient` have in common.

    Args:
        settings: where Kafka is, and how it is entered.
        client: a role, or "tool": part of the client id.
    """
    options: dict[str, Any] = {
        "client_id": client_id(client, settings.instance_name),
        "bootstrap_servers": servers(settings),
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": ssl_context(settings),
    }
    if uses_tokens(settings):
        from streams.kafka.credentials import tokens_of

        options["sasl_mechanism"] = "OAUTHBEARER"
        options["sasl_oauth_token_provider"] = tokens_of(settings)
    elif settings.kafka_security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
    return options


def uses_tokens(settings: Settings) -> bool:
    """Whether the broker is shown a token, and no password."""
    tokens = settings.kafka_sasl_mechanism in {"OAUTHBEARER", "AWS_MSK_IAM"}
    return tokens and settings.kafka_security_protocol.startswith("SASL")


async def prepare(settings: Settings) -> None:
    """What must be there before the first connection: a token, where the broker wants one.

    Raises:
        Fatal: it is refused, or a setting is missing.
        Retryable: its endpoint does not answer.
    """
    if uses_tokens(settings):
        from streams.kafka.credentials import first_token

        await first_token(settings)


def patient(client: Any) -> None:
    """Make an aiokafka client wait between failed attempts to reach any broker, and end its first look at the cluster.

    Without the first, aiokafka 0.14 tries and logs about three thousand times a second while its only broker is away: its
    producer asks for new metadata again as soon as the last request has failed. Without the second, who is cancelled while
    it starts leaves a connection open: `bootstrap` closes the one that it opens, but not when it is cancelled.
    """
    update, bootstrap = client._metadata_update, client.bootstrap  # noqa: SLF001

    async def update_with_patience(cluster: Any, topics: Any) -> bool:
        updated: bool = await update(cluster, topics)
        if not updated:
            await asyncio.sleep(_METADATA_PAUSE)
        return updated

    async def bootstrap_to_its_end() -> None:
        look = asyncio.ensure_future(bootstrap())
        try:
            await asyncio.shield(look)
        finally:
            if not look.done():
                await asyncio.wait([look], timeout=_FIRST_LOOK_S)
                look.cancel()
                await asyncio.gather(look, return_exceptions=True)

    client._metadata_update = update_with_patience  # noqa: SLF001
    client.bootstrap = bootstrap_to_its_end


def servers(settings: Settings) -> list[str]:
    """host:port of each bootstrap broker. Raises `BadSetting`."""
    found = [server.strip() for server in settings.bootstrap_servers.split(",") if server.strip()]
    for server in found:
        if not is_host_and_port(server):  # without a port Kafka's own, 9092, is meant
            raise BadSetting(f"WEFT_BOOTSTRAP_SERVERS: {server!r} is not host:port")
    if not found:
        raise BadSetting("WEFT_BOOTSTRAP_SERVERS: names no broker")
    return found


def no_broker(settings: Settings, error: Exception) -> Retryable:
    """What a tool says when it reaches no broker."""
    return Retryable(f"no Kafka broker answers at {settings.bootstrap_servers}: {error}")


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS as the settings say, the host name checked; None without TLS. Raises `BadSetting` for a file that is no good."""
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    cafile, certfile, keyfile = settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile
    try:
        context = ssl.create_default_context(cafile=str(cafile) if cafile else None)
    except OSError as error:
        raise BadSetting(f"WEFT_KAFKA_SSL_CAFILE: {cafile} cannot be used: {error.strerror or error}") from error
    if certfile:
        try:
            context.load_cert_chain(str(certfile), str(keyfile) if keyfile else None)
        except OSError as error:
            raise BadSetting(
                f"WEFT_KAFKA_SSL_CERTFILE: {certfile} cannot be used"
                f"{f' with {keyfile} (WEFT_KAFKA_SSL_KEYFILE)' if keyfile else ''}: {error.strerror or error}"
            ) from error
    return context
