"""The object store behind the S3 API (AWS, MinIO and others), through the `minio` client."""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from minio.helpers import check_bucket_name
from urllib3.exceptions import HTTPError

from infra.s3_credentials import credentials
from infra.s3_errors import from_code, from_status
from infra.store import ETag, NotFound, ObjectStore, Versioned, check_key
from processors.errors import BadSetting, Code, Fatal, Poison, Retryable

T = TypeVar("T")

_ONE_PART = 512 * 2**20  # below this size an object is one request, hence atomic and one MD5 tag
_SIGNED_SECONDS = 300
_CUT = "the object store's answer was cut off"
_GONE = "the object store has no such bucket, though it was just made"


@dataclass(frozen=True, slots=True)
class S3Address:
    """Where the server is and how to talk to it. `endpoint` is host:port."""

    endpoint: str
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    secure: bool = True
    cafile: Path | None = None  # CA certificates (PEM) instead of the public ones
    connect_seconds: float = 5.0
    read_seconds: float = 30.0


class S3Store(ObjectStore):
    """Objects in a bucket, under a prefix. Nothing is sent before the first use; a missing bucket is made at a write.

    Conditional writes are signed URLs sent with `If-None-Match` or `If-Match`, since `minio` 7.2 cannot add headers to
    its own puts. A server that ignores these headers would overwrite: `weft doctor` tries both.

    Args:
        address: server, bucket and prefix.
        access_key, secret_key: both empty: from the environment, the AWS configuration or the machine's role.

    Raises:
        Fatal: no bucket or server has such a name.
    """

    def __init__(self, address: S3Address, *, access_key: str = "", secret_key: str = "") -> None:
        self._bucket = address.bucket
        self._prefix = f"{address.prefix.strip('/')}/" if address.prefix.strip("/") else ""
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=address.connect_seconds, read=address.read_seconds),
            maxsize=32,
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(address.cafile) if address.cafile else certifi.where(),
            # One more try for a connection that the server closed while it was idle; all other retries, and the wait
            # that a busy server asks for, are the caller's.
            retries=urllib3.Retry(total=1, connect=0, status=0, redirect=0, respect_retry_after_header=False),
        )
        try:
            check_bucket_name(address.bucket)
            self._client = Minio(
                address.endpoint,
                credentials=credentials(access_key, secret_key),
                secure=address.secure,
                region=address.region,
                http_client=self._pool,
            )
        except ValueError as error:
            raise BadSetting(f"WEFT_STORE_URL or WEFT_S3_ENDPOINT: {error}") from None

    @property
    def base(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def put(self, key: str, data: bytes, *, content_type: str = "") -> ETag:
        name = self._name(key)

        def send() -> ETag:
            result = self._client.put_object(
                self._bucket,
                name,
                io.BytesIO(data),
                len(data),
                content_type=content_type or "application/octet-stream",
                part_size=_ONE_PART,
            )
            return _etag(result.etag)

        try:
            return self._writing(key, send)
        except NotFound:
            raise Retryable(_GONE) from None

    def create(self, key: str, data: bytes, *, content_type: str = "") -> bool:
        return self._conditional(key, data, {"If-None-Match": "*"}, content_type) is not None

    def swap(self, key: str, data: bytes, expected: ETag) -> ETag | None:
        return self._conditional(key, data, {"If-Match": f'"{expected}"'}, "")

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        return self._read(key, limit).data

    def get_versioned(self, key: str) -> Versioned:
        return self._read(key, None)

    def exists(self, key: str) -> bool:
        name = self._name(key)

        def look() -> None:
            try:
                self._client.stat_object(self._bucket, name)
            except (S3Error, ServerError, ValueError) as error:
                if isinstance(error, S3Error) and error.code in {"NoSuchKey", "NoSuchBucket"}:
                    raise
                # An answer to HEAD has no body: whether a key is wrong or this object is at fault, only GET tells.
                # (ValueError: how the client library meets HTTP 409 here.)
                response = self._client.get_object(self._bucket, name, length=1)
                response.close()
                response.release_conn()

        try:
            self._called(key, look)
        except NotFound:
            return False
        return True

    def delete(self, key: str) -> None:
        name = self._name(key)
        try:
            self._called(key, lambda: self._client.remove_object(self._bucket, name))
        except NotFound:  # the bucket
            return

    def list(self, prefix: str = "") -> Iterator[str]:
        objects = iter(self._client.list_objects(self._bucket, prefix=self._prefix + prefix, recursive=True))
        while True:
            try:
                found = self._called(prefix, lambda: next(objects, None))
            except NotFound:  # the bucket
                return
            if found is None:
                return
            yield str(found.object_name).removeprefix(self._prefix)

    def uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._name(key)}"

    # ------------------------------------------------------------------ requests

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _read(self, key: str, limit: int | None) -> Versioned:
        name = self._name(key)

        def receive() -> Versioned:
            response = self._client.get_object(self._bucket, name)
            try:
                if limit is not None and int(response.headers.get("content-length") or 0) > limit:
                    response.close()  # the rest is not read, so this connection cannot be used again
                    raise Poison(f"the object {key!r} is larger than {limit} bytes", code=Code.OUT_OF_RANGE)
                if "content-length" not in response.headers:
                    # A head that breaks off is taken for a complete one, and the body for an empty one.
                    raise Retryable(_CUT)
                return Versioned(response.read(), _etag(response.headers.get("etag")))
            finally:
                response.release_conn()

        return self._called(key, receive)

    def _conditional(self, key: str, data: bytes, condition: dict[str, str], content_type: str) -> ETag | None:
        """PUT under a condition. None: the condition does not hold (412), or there is nothing to replace (404)."""
        name = self._name(key)

        def send() -> ETag | None:
            url = self._client.get_presigned_url("PUT", self._bucket, name, expires=timedelta(seconds=_SIGNED_SECONDS))
            headers = {**condition, "Content-Type": content_type or "application/octet-stream"}
            # No second try: after a lost answer it would meet our own object and report a false conflict.
            response = self._pool.request("PUT", url, body=data, headers=headers, retries=False)
            if response.status == 200:
                return _etag(response.headers.get("etag"))
            if response.status == 412:
                return None
            raise _error_of(response, key, self._bucket)

        try:
            return self._writing(key, send)
        except NotFound:
            if "If-Match" in condition:
                return None
            raise Retryable(_GONE) from None

    def _writing(self, key: str, send: Callable[[], T]) -> T:
        """Run a write; if the bucket is missing, make it and run the write once more."""

        def attempt() -> T:
            try:
                return send()
            except S3Error as error:
                if error.code != "NoSuchBucket":
                    raise
            try:
                self._client.make_bucket(self._bucket)
            except S3Error as error:
                if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:  # another role was faster
                    raise
            return send()

        return self._called(key, attempt)

    def _called(self, key: str, call: Callable[[], T]) -> T:
        """Run one call of the client and translate its errors. Chains are cut: they would carry signed URLs into logs."""
        try:
            return call()
        except S3Error as error:
            status = getattr(error.response, "status", 0) or 0
            raise from_code(str(error.code), status, key, self._bucket) from None
        except (ServerError, InvalidResponseError) as error:
            raise from_status(_status(error), key, self._bucket) from None
        except (ParseError, UnicodeDecodeError):
            # The client library reads the XML of an error as it comes, and trips over one that broke off.
            raise Retryable(_CUT) from None
        except HTTPError as error:
            if _is_untrusted(error):
                raise Fatal("the object store's certificate is not trusted; check WEFT_S3_CAFILE") from None
            raise Retryable(f"the object store does not answer ({_cause(error)})") from None
        except OSError as error:
            raise Retryable(f"the object store does not answer ({type(error).__name__})") from None
        except MinioException as error:
            raise Retryable(f"the object store is in trouble ({type(error).__name__})") from None


def _etag(header: str | None) -> ETag:
    """The tag of an answer. Raises `Retryable` when the answer broke off before its end."""
    if not header or header.startswith('"') != header.endswith('"') or header == '"':
        raise Retryable(_CUT)
    return ETag(header.strip('"'))


def _error_of(response: urllib3.BaseHTTPResponse, key: str, bucket: str) -> Exception:
    """The error in an answer to a signed URL."""
    if response.data and "xml" in response.headers.get("content-type", ""):
        return S3Error.fromxml(response)  # type: ignore[no-any-return]
    return from_status(response.status, key, bucket)


def _status(error: MinioException) -> int | None:
    status = getattr(error, "status_code", None) or getattr(error, "code", None) or getattr(error, "_code", None)
    return status if isinstance(status, int) else None


def _cause(error: HTTPError) -> str:
    """The innermost kind of error; its text would hold the URL."""
    reason = getattr(error, "reason", None)
    return type(reason).__name__ if isinstance(reason, BaseException) else type(error).__name__


def _is_untrusted(error: HTTPError) -> bool:
    """Whether the server's certificate was refused: that is a matter of settings. Other trouble of TLS may pass."""
    reason = getattr(error, "reason", None) or error
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in getattr(reason, "args", ()))
