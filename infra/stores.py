"""From the settings to an object store."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.local_store import LocalStore
from infra.settings import Settings
from infra.store import ObjectStore
from processors.errors import Fatal


def open_store(settings: Settings) -> ObjectStore:
    """The store that `store_url` names: `file:///folder`, or `s3://bucket/prefix`. Nothing is sent to S3 yet.

    Raises:
        Fatal: the address is neither.
        Retryable: the folder cannot be made.
    """
    url = settings.resolved_store_url
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        from infra.s3_store import S3Address, S3Store

        address = S3Address(
            endpoint=settings.s3_endpoint or "s3.amazonaws.com",
            bucket=parts.netloc,
            prefix=parts.path,
            region=settings.s3_region or os.environ.get("AWS_REGION") or "us-east-1",
            secure=settings.s3_secure,
            cafile=settings.s3_cafile,
        )
        return S3Store(
            address,
            access_key=settings.s3_access_key.get_secret_value(),
            secret_key=settings.s3_secret_key.get_secret_value(),
        )
    raise Fatal(f"WEFT_STORE_URL is {url!r}; it must be file:///folder or s3://bucket/prefix")
