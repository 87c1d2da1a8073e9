"""Tokens for SASL OAUTHBEARER: by client credentials from an identity provider, or signed for Amazon MSK by its library."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import certifi
import msgspec
import urllib3
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from pydantic import SecretStr

from infra.logs import logger
from infra.settings import Settings
from processors.errors import BadSetting, Fatal, Missing, Retryable, WeftError

log = logger(__name__)

SPARE_SECONDS = 60.0
"""A token is asked for anew this long before its end, or in the last fifth of its life, whichever is later."""
LIFE_SECONDS = 300.0
"""Life of a token that says nothing of its end."""
_PATIENCE = urllib3.Timeout(connect=5.0, read=10.0)


@dataclass(frozen=True, slots=True)
class Token:
    """What the broker is shown. `expires`: seconds since the epoch."""

    text: str
    expires: float


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Hands out one token until shortly before its end. From any thread and any loop: Faust reads in a thread of its own.

    Args:
        fetch: gets a new token; blocking. Raises `Fatal` when it is refused, `Retryable` when nobody answers.
        extensions: key-value pairs that are sent beside the token (KIP-342).
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        fetch: Callable[[], Token],
        *,
        extensions: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fetch = fetch
        self._extensions = dict(extensions or {})
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._renew_at = 0.0

    async def token(self) -> str:
        """As aiokafka asks for it, whenever it connects."""
        try:
            return await asyncio.to_thread(self.get)
        except WeftError as error:
            # aiokafka survives errors of Kafka only: any other one would end its tasks for good.
            raise KafkaConnectionError(str(error)) from error

    def extensions(self) -> dict[str, str]:
        """What goes beside the token."""
        return dict(self._extensions)

    def get(self) -> str:
        """The token; blocking.

        Raises:
            Fatal: it is refused.
            Retryable: nobody answers, and the last one has ended.
        """
        with self._lock:
            now = self._clock()
            if self._token is None or now >= self._renew_at:
                try:
                    self._token = self._fetch()
                except Retryable as error:
                    if self._token is None or now >= self._token.expires:
                        raise
                    log.warning("token.not_renewed", cause=str(error))
                else:
                    life = self._token.expires - now
                    self._renew_at = self._token.expires - min(SPARE_SECONDS, life / 5)
            return self._token.text


def tokens_of(settings: Settings) -> Tokens:
    """The process's provider of tokens for these settings: one, so that all its connections share a token.

    Raises:
        BadSetting: a setting is missing.
        Missing: the signer's library is.
    """
    if settings.kafka_sasl_mechanism == "AWS_MSK_IAM":
        return _msk(settings.kafka_msk_region)
    if not settings.kafka_oauth_token_url:
        raise BadSetting("WEFT_KAFKA_OAUTH_TOKEN_URL is empty: OAUTHBEARER gets its tokens there")
    return _oauth(
        settings.kafka_oauth_token_url,
        settings.kafka_oauth_client_id,
        settings.kafka_oauth_client_secret,
        settings.kafka_oauth_scope,
        str(settings.kafka_oauth_cafile or ""),
        tuple(sorted(settings.kafka_oauth_extensions.items())),
    )


async def first_token(settings: Settings) -> None:
    """Get a token before connecting, where one is needed: the client library says only that it cannot connect.

    Raises:
        Fatal: it is refused; the text says by whom, and why.
        Retryable: nobody answers.
    """
    await asyncio.to_thread(tokens_of(settings).get)


# ---------------------------------------------------------------- an identity provider


@lru_cache(maxsize=8)
def _oauth(
    url: str, client_id: str, secret: SecretStr, scope: str, cafile: str, extensions: tuple[tuple[str, str], ...]
) -> Tokens:
    pool = urllib3.PoolManager(
        cert_reqs="CERT_REQUIRED", ca_certs=cafile or certifi.where(), timeout=_PATIENCE, retries=False
    )
    fields = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})

    def fetch() -> Token:
        headers = urllib3.make_headers(basic_auth=f"{client_id}:{secret.get_secret_value()}")
        headers["accept"] = "application/json"
        try:
            response = pool.request("POST", url, fields=fields, encode_multipart=False, headers=headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Retryable(f"the token endpoint {url} does not answer ({type(error).__name__})") from None
        return _token_in(url, response.status, response.data)

    return Tokens(fetch, extensions=dict(extensions))


class _Answer(msgspec.Struct):
    access_token: str = ""
    expires_in: float | None = None
    error: str = ""


def _token_in(url: str, status: int, body: bytes) -> Token:
    try:
        answer = msgspec.json.decode(body, type=_Answer, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        answer = _Answer()
    if status >= 500 or status in {408, 429}:
        raise Retryable(f"the token endpoint {url} answers HTTP {status}")
    if status != 200 or not answer.access_token:
        said = f"HTTP {status} {answer.error[:100]}".strip()
        raise Fatal(f"the token endpoint {url} gives no token: {said}; check WEFT_KAFKA_OAUTH_*")
    now = time.time()
    life = answer.expires_in
    return Token(answer.access_token, now + life if life else _end_of(answer.access_token) or now + LIFE_SECONDS)


class _Claims(msgspec.Struct):
    exp: float | None = None


def _end_of(token: str) -> float | None:
    """When a token says that it ends, if it is a JWT; it is for the broker to check it, not for us."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=="), type=_Claims).exp
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError, ValueError):
        return None


# ---------------------------------------------------------------- Amazon MSK


@lru_cache(maxsize=2)
def _msk(region: str) -> Tokens:
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    except ImportError:
        raise Missing("AWS_MSK_IAM needs Amazon's signer: install Weft with the extra `msk`") from None
    where = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not where:
        raise BadSetting(
            "WEFT_KAFKA_MSK_REGION is empty, and so is AWS_REGION: the signature names the cluster's region"
        )

    def fetch() -> Token:
        try:
            text, expires_ms = MSKAuthTokenProvider.generate_auth_token(where)
        except Exception as error:
            # Its credentials come from botocore, whose errors have no root in common with anything else.
            raise Fatal(f"no AWS credentials to sign for MSK with: {error}") from error
        return Token(text, expires_ms / 1000)

    return Tokens(fetch)
