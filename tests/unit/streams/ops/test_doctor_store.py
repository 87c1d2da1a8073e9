"""`weft doctor` on a store: every promise is tried, so that a server which makes none is not passed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.local_store import LocalStore
from infra.memory_store import MemoryStore
from infra.s3_store import S3Address, S3Store
from processors.errors import Fatal
from streams.ops.doctor_store import Untrue, try_out


class Forgetful(BaseHTTPRequestHandler):
    """A small S3 server: GET, HEAD, PUT, DELETE of single objects. It honours the conditions of `server.honours` only."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes = b"", tag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")
        if tag:
            self.send_header("ETag", f'"{tag}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        data = self.server.objects.get(self.path.partition("?")[0])  # type: ignore[attr-defined]
        if data is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._answer(200, data, hashlib.md5(data).hexdigest())

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path, objects = self.path.partition("?")[0], self.server.objects  # type: ignore[attr-defined]
        there = objects.get(path)
        tag = None if there is None else f'"{hashlib.md5(there).hexdigest()}"'
        refused = {
            "If-None-Match": self.headers["If-None-Match"] == "*" and there is not None,
            "If-Match": self.headers["If-Match"] is not None and self.headers["If-Match"] != tag,
        }
        if any(refused[name] for name in self.server.honours):  # type: ignore[attr-defined]
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            return
        objects[path] = body
        self._answer(200, tag=hashlib.md5(body).hexdigest())

    def do_DELETE(self) -> None:
        self.server.objects.pop(self.path, None)  # type: ignore[attr-defined]
        self._answer(204)


@contextmanager
def s3_that_honours(*conditions: str) -> Iterator[tuple[S3Store, dict[str, bytes]]]:
    """A store on such a server, and what lies in it."""
    objects: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forgetful)
    server.objects, server.honours = objects, conditions  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = S3Address(f"127.0.0.1:{server.server_port}", "bucket", secure=False)
        yield S3Store(address, access_key="AKIATEST", secret_key="s3cr3t"), objects
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("honoured", ["If-None-Match", "If-Match"])
def test_a_server_that_ignores_one_condition_is_told(honoured: str) -> None:
    """One that ignored `If-Match` passed: two index workers would have overwritten each other's manifests."""
    ignored = {"If-None-Match": "If-Match", "If-Match": "If-None-Match"}[honoured]
    with s3_that_honours(honoured) as (store, objects):
        with pytest.raises(Untrue, match=rf"ignores conditional writes \({ignored}\)"):
            try_out(store)
        assert objects == {}


def test_a_server_that_honours_both_passes_and_nothing_is_left() -> None:
    """The same server, as it should be."""
    with s3_that_honours("If-None-Match", "If-Match") as (store, objects):
        try_out(store)
        assert objects == {}


def test_our_own_stores_pass(tmp_path: Path) -> None:
    """A folder, and the twin."""
    for store in (LocalStore(tmp_path), MemoryStore()):
        try_out(store)
        assert list(store.list()) == []


class Keeping(MemoryStore):
    """Removes nothing, and says so to nobody."""

    def delete(self, key: str) -> None:
        return


class Garbling(MemoryStore):
    """Gives other bytes than it was given."""

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        return super().get(key, limit=limit)[:-1]


@pytest.mark.parametrize(
    ("store", "told"), [(Keeping(), "keeps objects that were removed"), (Garbling(), "other bytes than were written")]
)
def test_a_store_that_loses_or_keeps_is_told(store: MemoryStore, told: str) -> None:
    """Rights that are missing, and disks that lie."""
    with pytest.raises(Untrue, match=told):
        try_out(store)


class Refusing(MemoryStore):
    """Does not let us do one thing, as S3 says it."""

    def __init__(self, verb: str) -> None:
        super().__init__()
        self._verb = verb

    def _may(self, verb: str) -> None:
        if verb == self._verb:
            raise Fatal("the object store refuses us: AccessDenied (bucket 'shop'); check WEFT_S3_*")

    def create(self, key: str, data: bytes, *, content_type: str = "") -> bool:
        self._may("write")
        return super().create(key, data, content_type=content_type)

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        self._may("read")
        return super().get(key, limit=limit)

    def delete(self, key: str) -> None:
        self._may("delete")
        super().delete(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        self._may("list")
        return super().list(prefix)

    def exists(self, key: str) -> bool:
        self._may("see")
        return super().exists(key)


@pytest.mark.parametrize(
    ("refused", "verb", "grant"),
    [
        ("write", "write", "s3:PutObject on arn:aws:s3:::shop/weft/*"),
        ("read", "read", "s3:GetObject on arn:aws:s3:::shop/weft/*"),
        ("delete", "delete", "s3:DeleteObject on arn:aws:s3:::shop/weft/*"),
        ("list", "list", "s3:ListBucket on arn:aws:s3:::shop"),
        ("see", "list", "s3:ListBucket on arn:aws:s3:::shop"),
    ],
)
def test_the_right_that_is_missing_is_named(refused: str, verb: str, grant: str) -> None:
    """By what cannot be done, and by the action and the resource that a policy has to allow."""
    with pytest.raises(Untrue, match=f"does not let this account {verb}: .*AccessDenied") as caught:
        try_out(Refusing(refused), bucket="arn:aws:s3:::shop", objects="arn:aws:s3:::shop/weft/*")
    assert caught.value.advice == f"grant {grant}"
