"""Tokens for OAUTHBEARER: when they are asked for, and what is said when there is none."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable

import pytest
from aiokafka.errors import KafkaConnectionError

from infra.settings import Settings
from processors.errors import BadSetting, Fatal, Missing, Retryable
from streams.kafka.credentials import Token, Tokens, _token_in, tokens_of
from streams.kafka.options import client_options
from tests.fakes.clock import FakeClock


class Endpoint:
    """Gives a new token each time; an exception put into `trouble` is raised instead."""

    def __init__(self, clock: Callable[[], float], life: float = 1000) -> None:
        self.clock, self.life, self.given = clock, life, 0
        self.trouble: list[Exception] = []

    def __call__(self) -> Token:
        if self.trouble:
            raise self.trouble.pop(0)
        self.given += 1
        return Token(f"t{self.given}", self.clock() + self.life)


def test_a_token_is_shared_and_renewed_before_its_end() -> None:
    """One for all connections; a new one a minute before it ends, or in the last fifth of a short life."""
    clock = FakeClock()
    endpoint = Endpoint(clock)
    tokens = Tokens(endpoint, clock=clock)
    threads = [threading.Thread(target=tokens.get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert endpoint.given == 1
    clock.advance(939)
    assert tokens.get() == "t1"
    clock.advance(1)
    assert tokens.get() == "t2"
    short = Tokens(Endpoint(clock, life=10), clock=clock)
    assert short.get() == "t1"
    clock.advance(7.9)
    assert short.get() == "t1"
    clock.advance(0.2)
    assert short.get() == "t2"


def test_an_endpoint_that_is_away_costs_nothing_while_the_token_holds() -> None:
    """It is asked again at the next connection; after the end there is no token to show."""
    clock = FakeClock()
    endpoint = Endpoint(clock)
    tokens = Tokens(endpoint, clock=clock)
    tokens.get()
    clock.advance(970)
    endpoint.trouble.append(Retryable("away"))
    assert tokens.get() == "t1"
    assert tokens.get() == "t2"
    clock.advance(2000)
    endpoint.trouble.append(Retryable("away"))
    with pytest.raises(Retryable, match="away"):
        tokens.get()


async def test_trouble_reaches_aiokafka_as_its_own_error() -> None:
    """Any other exception would end its background tasks, and with them the role, for good."""
    endpoint = Endpoint(lambda: 0.0)
    endpoint.trouble.append(Fatal("no"))
    with pytest.raises(KafkaConnectionError, match="no"):
        await Tokens(endpoint, clock=lambda: 0.0).token()


def test_from_another_loop() -> None:
    """Faust reads in a thread with a loop of its own."""
    endpoint = Endpoint(lambda: 0.0)
    tokens = Tokens(endpoint, clock=lambda: 0.0, extensions={"logicalCluster": "lkc-1"})
    assert [asyncio.run(tokens.token()) for _ in range(2)] == ["t1", "t1"]
    assert tokens.extensions() == {"logicalCluster": "lkc-1"}


def test_what_the_endpoint_says() -> None:
    """A refusal names address and reason; trouble passes; the end comes from the answer, else from the token."""
    url = "https://sso.example/token"
    with pytest.raises(Fatal, match=r"https://sso\.example/token gives no token: HTTP 400 invalid_scope"):
        _token_in(url, 400, b'{"error": "invalid_scope", "error_description": "x"}')
    with pytest.raises(Fatal, match="gives no token: HTTP 200"):
        _token_in(url, 200, b"<html>log in</html>")
    for status in (429, 502):
        with pytest.raises(Retryable, match=f"HTTP {status}"):
            _token_in(url, status, b"busy")
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 4_000_000_000}).encode()).decode().rstrip("=")
    assert _token_in(url, 200, json.dumps({"access_token": f"h.{claims}.s"}).encode()).expires == 4_000_000_000
    assert _token_in(url, 200, b'{"access_token": "opaque", "expires_in": "60"}').text == "opaque"


def test_what_is_missing_is_told_by_its_setting() -> None:
    """Before anything is connected."""
    with pytest.raises(BadSetting, match="WEFT_KAFKA_OAUTH_TOKEN_URL"):
        tokens_of(Settings(kafka_sasl_mechanism="OAUTHBEARER"))


def test_the_same_settings_share_a_provider() -> None:
    """Producer, consumers and Faust of a process ask once, and show the wire's name of the mechanism."""
    settings = Settings(
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="OAUTHBEARER",
        kafka_oauth_token_url="https://sso.example/token",
    )
    one, two = client_options(settings), client_options(settings, "enrich")
    assert one["sasl_oauth_token_provider"] is two["sasl_oauth_token_provider"]
    assert one["sasl_mechanism"] == "OAUTHBEARER"


def test_msk_is_signed_by_amazons_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed on this machine with the credentials of the environment: nothing is asked of Amazon."""
    pytest.importorskip("aws_msk_iam_sasl_signer", reason="the extra `msk` is not installed")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    settings = Settings(kafka_sasl_mechanism="AWS_MSK_IAM", kafka_msk_region="eu-west-1")
    token = tokens_of(settings).get()
    url = base64.urlsafe_b64decode(token + "==").decode()
    assert url.startswith("https://kafka.eu-west-1.amazonaws.com/")
    assert "Action=kafka-cluster%3AConnect" in url
    assert "AKIDEXAMPLE" in url


def test_msk_without_its_library_says_what_to_install() -> None:
    """The extra is none of the default installation."""
    try:
        import aws_msk_iam_sasl_signer  # noqa: F401
    except ImportError:
        with pytest.raises(Missing, match="extra `msk`"):
            tokens_of(Settings(kafka_sasl_mechanism="AWS_MSK_IAM", kafka_msk_region="eu-west-1"))
    else:
        pytest.skip("the extra `msk` is installed")
