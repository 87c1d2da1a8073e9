"""S3 credentials: the two keys of the settings, or the usual chain of AWS, by minio's providers.

In order: the environment (AWS_ACCESS_KEY_ID …), a web identity (AWS_WEB_IDENTITY_TOKEN_FILE, as EKS sets it), the shared
credentials file (AWS_PROFILE), and what a container (AWS_CONTAINER_CREDENTIALS_*) or the machine's role gives.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence

import certifi
import urllib3
from minio.credentials import (
    AWSConfigProvider,
    Credentials,
    EnvAWSProvider,
    IamAwsProvider,
    Provider,
    StaticProvider,
)
from minio.error import MinioException
from urllib3.exceptions import HTTPError

from infra import secrets
from infra.logs import logger
from processors.errors import BadSetting, Fatal, Retryable

log = logger(__name__)

_TIMEOUT = urllib3.Timeout(connect=2.0, read=5.0)
"""A machine without a role has nobody at the address of its metadata: without a limit the first request hangs there."""

Step = tuple[str, Callable[[], Provider]]


class Chain(Provider):  # type: ignore[misc]
    """The first of several sources that has credentials; asked again when they end. From any thread.

    Args:
        steps: name of the source for people, and how it is opened; in order.
        expected: names of the sources that were configured on purpose: trouble with one of these passes.
    """

    def __init__(self, steps: Sequence[Step], *, expected: frozenset[str] = frozenset()) -> None:
        self._steps = steps
        self._expected = expected
        self._lock = threading.Lock()
        self._used = ""
        self._provider: Provider | None = None

    def retrieve(self) -> Credentials:
        """Credentials that hold now.

        Raises:
            BadSetting: no source has any.
            Fatal: a source that was configured refuses us.
            Retryable: the source that had some, or one that was configured, does not answer.
        """
        with self._lock:
            if self._provider is not None:
                try:
                    return self._provider.retrieve()
                except (ValueError, KeyError, OSError, HTTPError, MinioException) as error:
                    raise Retryable(f"the S3 credentials of {self._used} are not renewed: {_cause(error)}") from None
            return self._first()

    def _first(self) -> Credentials:
        said: list[str] = []
        for name, opened in self._steps:
            provider = opened()
            try:
                found = provider.retrieve()
            except (HTTPError, OSError) as error:
                if name in self._expected:
                    raise Retryable(f"{name} gives no S3 credentials: {_cause(error)}") from None
                said.append(f"{name} ({_cause(error)})")
            except (ValueError, KeyError, MinioException) as error:
                if name in self._expected:
                    raise Fatal(f"{name} gives no S3 credentials: {_cause(error)}") from None
                said.append(f"{name} ({_cause(error)})")
            else:
                log.info("s3.credentials", source=name)
                self._used, self._provider = name, provider
                return found
        raise BadSetting(
            "WEFT_S3_ACCESS_KEY and WEFT_S3_SECRET_KEY are empty, and there are no S3 credentials where AWS's tools look:"
            f" asked {'; '.join(said)}"
        )


def credentials(access_key: str, secret_key: str) -> Provider:
    """The two keys, or where both are empty the usual chain."""
    if access_key or secret_key:
        if not (access_key and secret_key):
            raise BadSetting("WEFT_S3_ACCESS_KEY and WEFT_S3_SECRET_KEY: only one of the two is set")
        return StaticProvider(access_key, secret_key)
    return chain(os.environ)


def chain(environment: Mapping[str, str]) -> Chain:
    """The usual chain; `environment` says which sources were configured on purpose."""
    identity, container, machine = "the web identity", "the container", "the machine's role"
    profile = f"the profile {environment.get('AWS_PROFILE') or 'default'}"
    steps: list[Step] = [("the environment", EnvAWSProvider)]
    expected: set[str] = set()
    if environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        steps.append((identity, lambda: _role(environment.get("AWS_ENDPOINT_URL_STS"))))
        expected.add(identity)
    steps.append((profile, AWSConfigProvider))
    if identity in expected:
        pass  # minio's provider asks one of the three, and a web identity comes first
    elif any(environment.get(f"AWS_CONTAINER_CREDENTIALS_{kind}_URI") for kind in ("RELATIVE", "FULL")):
        steps.append((container, lambda: _role(None)))
        expected.add(container)
    elif environment.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
        steps.append((machine, lambda: _role(environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"))))
    return Chain(steps, expected=frozenset(expected))


def _role(endpoint: str | None) -> Provider:
    pool = urllib3.PoolManager(
        timeout=_TIMEOUT,
        retries=urllib3.Retry(total=1, backoff_factor=0.2),
        cert_reqs="CERT_REQUIRED",
        ca_certs=certifi.where(),
    )
    return IamAwsProvider(custom_endpoint=endpoint.rstrip("/") if endpoint else None, http_client=pool)


def _cause(error: Exception) -> str:
    """For people: addresses of these services hold tokens, so of a failed request only the kind is told."""
    if isinstance(error, HTTPError):
        reason = getattr(error, "reason", None)
        return type(reason or error).__name__
    return secrets.redacted(str(error))[:300] or type(error).__name__
