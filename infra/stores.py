"""From the settings to an object store."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

from infra.local_store import LocalStore
from infra.settings import Settings
from infra.store import ObjectStore, is_relative
from processors.errors import BadSetting


def check_store_url(settings: Settings) -> SplitResult:
    """The parts of the address of the store.

    Raises:
        BadSetting: it is neither `file:///folder` nor `s3://bucket/prefix`.
    """
    url = settings.resolved_store_url
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = SplitResult("", "", url, "", "")
    local = parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/")
    if not local and not (parts.scheme == "s3" and parts.netloc):
        raise BadSetting(f"WEFT_STORE_URL is {url!r}; it must be file:///folder or s3://bucket/prefix")
    return parts


def absolute(settings: Settings, address: str) -> str:
    """An address of an event, for people and their tools: one relative to the store becomes `file:///…` or `s3://…`.

    Nothing is opened. Addresses from before a move stay as they are.
    """
    if not is_relative(address):
        return address
    base = settings.resolved_store_url.rstrip("/")
    return f"{base}/{quote(address) if base.startswith('file:') else address}"


def open_store(settings: Settings) -> ObjectStore:
    """The store that `store_url` names: `file:///folder`, or `s3://bucket/prefix`. Nothing is sent to S3 yet.

    Raises:
        BadSetting: the address is neither.
        Retryable: the folder cannot be made.
    """
    parts = check_store_url(settings)
    if parts.scheme == "file":
        return LocalStore(Path(unquote(parts.path)))
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
