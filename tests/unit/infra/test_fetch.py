"""Fetching images: from the store, from files, and from hosts that may be hostile."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from infra.addresses import is_public_address, url_as_written
from infra.fetch import Fetcher
from infra.host_answers import NO_VALIDATORS, Fetched, HostBusy, Unchanged
from infra.local_store import LocalStore
from infra.memory_store import MemoryStore
from infra.settings import Settings
from processors.errors import Poison, Retryable

LIMIT = 1000
PHOTO = b"photo" * 10


@dataclass
class FakeDns(AbstractResolver):
    """Answers from a table and counts the questions."""

    table: dict[str, list[str]]
    asked: list[str] = field(default_factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.table:
            raise OSError("no such host")
        return [
            ResolveResult(hostname=host, host=a, port=port, family=socket.AF_INET, proto=0, flags=0)
            for a in self.table[host]
        ]

    async def close(self) -> None:
        pass


@dataclass
class Remote:
    """A web server on the loopback interface; `hosts` are names that lead to it."""

    port: int
    seen: list[web.BaseRequest]
    routes: dict[str, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]]

    def url(self, path: str, host: str = "shop.test") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    """The server; unknown paths are 404."""
    seen: list[web.BaseRequest] = []
    routes: dict[str, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]] = {}

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request)
        if request.path not in routes:
            return web.Response(status=404)
        return await routes[request.path](request)

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield Remote(runner.addresses[0][1], seen, routes)
    await runner.cleanup()


@pytest.fixture
async def fetcher(remote: Remote) -> AsyncIterator[Fetcher]:
    """A fetcher that may connect to the loopback interface, and to two names only."""
    settings = Settings(
        allowed_hosts=(f"shop.test:{remote.port}", f"*.cdn.test:{remote.port}", f"gone.test:{remote.port}"),
        max_image_bytes=LIMIT,
        fetch_seconds=5,
    )
    dns = FakeDns({"shop.test": ["127.0.0.1"], "a.cdn.test": ["127.0.0.1"], "evil.test": ["127.0.0.1"]})
    async with Fetcher(
        settings, MemoryStore(), is_allowed_address=lambda a: a == "127.0.0.1", schemes=("http",), resolver=dns
    ) as fetcher:
        yield fetcher


def _answers(**arguments: object) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(**arguments)  # type: ignore[arg-type]

    return handle


async def test_an_allowed_host_is_read(remote: Remote, fetcher: Fetcher) -> None:
    """The bytes arrive; no cookie, no referrer, no compression is offered."""
    remote.routes["/p.jpg"] = _answers(body=PHOTO, headers={"Set-Cookie": "a=b"})
    assert await fetcher.fetch(remote.url("/p.jpg?sig=x")) == PHOTO
    assert await fetcher.fetch(remote.url("/p.jpg", "a.cdn.test")) == PHOTO
    assert await fetcher.fetch(remote.url("/p.jpg", "SHOP.test")) == PHOTO
    assert all("Cookie" not in request.headers for request in remote.seen)
    assert remote.seen[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "host",
    ["evil.test", "shop.test.evil.test", "xshop.test", "cdn.test", "evilcdn.test", "127.0.0.1", "[::1]", "2130706433"],
)
async def test_other_hosts_are_refused_unasked(remote: Remote, fetcher: Fetcher, host: str) -> None:
    """A host that is not on the list is never connected to."""
    with pytest.raises(Poison, match="not on the list of allowed hosts") as caught:
        await fetcher.fetch(remote.url("/p.jpg", host))
    assert caught.value.field == "image.uri"
    assert remote.seen == []


async def test_other_ports_are_refused(remote: Remote, fetcher: Fetcher) -> None:
    """An allowed host does not open its other ports."""
    with pytest.raises(Poison, match="not on the list"):
        await fetcher.fetch("http://shop.test:22/")
    with pytest.raises(Poison, match="not on the list"):
        await fetcher.fetch("http://shop.test/")


@pytest.mark.parametrize(
    ("addresses", "host"),
    [
        (["127.0.0.1"], "shop.test"),
        (["93.184.216.34", "10.0.0.7"], "shop.test"),
        (["::ffff:127.0.0.1"], "shop.test"),
        ([], "127.0.0.1"),
        ([], "[::1]"),
        ([], "2130706433"),
        ([], "0x7f.1"),
        ([], "[::ffff:7f00:1]"),
    ],
)
async def test_names_and_numbers_that_lead_inside_are_refused(remote: Remote, addresses: list[str], host: str) -> None:
    """An allowed host with a private address (one of several is enough) is not connected to, however it is written."""
    settings = Settings(allowed_hosts=(f"{host.lower()}:{remote.port}",))
    async with Fetcher(
        settings,
        MemoryStore(),
        is_allowed_address=is_public_address,
        schemes=("http",),
        resolver=FakeDns({"shop.test": addresses}),
    ) as fetcher:
        with pytest.raises(Poison, match="not public"):
            await fetcher.fetch(remote.url("/p.jpg", host))
    assert remote.seen == []


async def test_redirects_are_followed_and_checked(remote: Remote, fetcher: Fetcher) -> None:
    """A redirect within the list is followed; one out of it, to another kind of address, or without end is refused."""
    remote.routes["/p.jpg"] = _answers(body=PHOTO)
    targets = {
        "/relative": "/p.jpg",
        "/absolute": remote.url("/p.jpg", "a.cdn.test"),
        "/evil": remote.url("/p.jpg", "evil.test"),
        "/file": "file:///etc/passwd",
        "/loop": "/loop",
        "/user": remote.url("/p.jpg").replace("http://", "http://me:secret@"),
        "/nowhere": "",
    }
    for path, target in targets.items():
        remote.routes[path] = _answers(status=302, headers={"Location": target})
    assert await fetcher.fetch(remote.url("/relative")) == PHOTO
    assert await fetcher.fetch(remote.url("/absolute")) == PHOTO
    for path, reason in {
        "/evil": "list of allowed hosts",
        "/file": "leads to file://",
        "/loop": "more than 3 redirects",
        "/user": "must not hold a user name",
        "/nowhere": "nowhere",
    }.items():
        with pytest.raises(Poison, match=reason) as caught:
            await fetcher.fetch(remote.url(path))
        assert "secret" not in str(caught.value)


async def test_size_is_limited_with_and_without_a_length(remote: Remote, fetcher: Fetcher) -> None:
    """The limit holds for a stated length, and for a stream that never ends."""

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 600)
        except ConnectionError:
            return response

    remote.routes["/stated"] = _answers(body=b"x" * (LIMIT + 1))
    remote.routes["/endless"] = endless
    remote.routes["/just"] = _answers(body=b"x" * LIMIT)
    for path in ("/stated", "/endless"):
        with pytest.raises(Poison, match="larger than 1000 bytes"):
            await fetcher.fetch(remote.url(path))
    assert len(await fetcher.fetch(remote.url("/just"))) == LIMIT


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204])
async def test_the_items_fault(remote: Remote, fetcher: Fetcher, status: int) -> None:
    """Answers that will not change are poison."""
    remote.routes["/p.jpg"] = _answers(status=status)
    with pytest.raises(Poison, match=f"HTTP {status}"):
        await fetcher.fetch(remote.url("/p.jpg"))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_not_the_items_fault(remote: Remote, fetcher: Fetcher, status: int) -> None:
    """Answers that may change are worth a retry; the query (a token) is not shown."""
    remote.routes["/p.jpg"] = _answers(status=status)
    with pytest.raises(Retryable, match=f"HTTP {status}") as caught:
        await fetcher.fetch(remote.url("/p.jpg?token=secret"))
    assert "secret" not in str(caught.value)


async def test_a_compressed_body_is_refused(remote: Remote, fetcher: Fetcher) -> None:
    """A body that would unfold into something larger is not unfolded."""
    remote.routes["/bomb"] = _answers(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    with pytest.raises(Poison, match="compressed"):
        await fetcher.fetch(remote.url("/bomb"))


async def test_a_host_that_is_away_or_unknown_is_retryable(remote: Remote, fetcher: Fetcher) -> None:
    """Refused connections, names without answer, and answers cut short."""

    async def cut(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"x")
        assert request.transport is not None
        request.transport.abort()
        return response

    remote.routes["/cut"] = cut
    for url in (remote.url("/cut?token=secret"), remote.url("/p.jpg?token=secret", "gone.test")):
        with pytest.raises(Retryable, match="cannot be read") as caught:
            await fetcher.fetch(url)
        assert "secret" not in str(caught.value)


async def test_a_slow_host_is_given_up(remote: Remote) -> None:
    """The time limit is on the whole, so that a host which drips a byte now and then cannot hold a worker."""
    release = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    remote.routes["/slow"] = slow
    settings = Settings(allowed_hosts=(f"shop.test:{remote.port}",), fetch_seconds=0.05)
    dns = FakeDns({"shop.test": ["127.0.0.1"]})
    async with Fetcher(
        settings, MemoryStore(), is_allowed_address=lambda _: True, schemes=("http",), resolver=dns
    ) as fetcher:
        with pytest.raises(Retryable, match=r"within 0\.05 s"):
            await fetcher.fetch(remote.url("/slow"))
    release.set()


WRITTEN = [
    "/b/a%2Fb.jpg?X-Amz-Credential=AKIA%2F2024%2Fs3&X-Amz-Signature=ab%2Bc%3D",
    "/a%20b+c.jpg?x=a+b",
    "/a//b/./c.jpg?",
    "/%7Euser/%E4.jpg?sig=%252F&empty=&flag",
    "/p(1)'s,[2].jpg?w={w}|x^y&z=~*",
    "/a.jpg;v=1?u=https://other.test/x?y#none",
]


@pytest.mark.parametrize("path", WRITTEN)
@pytest.mark.parametrize("way", ["asked", "redirected", "redirected within the host"])
async def test_an_address_is_asked_as_it_is_written(fetcher: Fetcher, remote: Remote, path: str, way: str) -> None:
    """A signature covers every character; to write `%2F` otherwise makes it another address."""
    asked, _, _ = path.partition("#")
    remote.routes[URL(asked, encoded=True).path] = _answers(body=PHOTO)
    start = path
    if way != "asked":
        start = "/start"
        target = remote.url(path) if way == "redirected" else path
        remote.routes[start] = _answers(status=302, headers={"Location": target})
    assert await fetcher.fetch(remote.url(start)) == PHOTO
    assert remote.seen[-1].raw_path == asked.removesuffix("?")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/a b.jpg", "/a%20b.jpg"),
        ("/mäntel.jpg?q=grün", "/m%C3%A4ntel.jpg?q=gr%C3%BCn"),
        ('/"<x>\\`', "/%22%3Cx%3E%5C%60"),
    ],
)
async def test_only_what_may_not_be_sent_is_escaped(fetcher: Fetcher, remote: Remote, written: str, sent: str) -> None:
    """Blanks and other scripts have one spelling in a request; blanks around the address are no part of it."""
    remote.routes[URL(sent, encoded=True).path] = _answers(body=PHOTO)
    assert await fetcher.fetch(remote.url(written) + " ") == PHOTO
    assert remote.seen[-1].raw_path == sent


@pytest.mark.parametrize("text", ["/a\r\nHost: evil.test\r\n\r\n", "/a\nb", "/a\x00", "/\ud800"])
async def test_no_second_request_hides_in_an_address(fetcher: Fetcher, remote: Remote, text: str) -> None:
    """Line breaks would end the request's first line; nothing is asked at all."""
    with pytest.raises(Poison, match="is not a valid address"):
        await fetcher.fetch(remote.url(text))
    assert remote.seen == []


def test_hosts_of_other_scripts_and_users_are_still_seen() -> None:
    """The check of the host sees what is connected to, however the address is written."""
    assert url_as_written("https://MÜNCHEN.test/a%2Fb").raw_host == "xn--mnchen-3ya.test"
    twice = url_as_written("https://good.test//a//b.jpg?x=//c#d")
    assert (twice.raw_host, twice.raw_path_qs) == ("good.test", "//a//b.jpg?x=//c")
    assert url_as_written("https://good.test@evil.test/a").raw_user == "good.test"
    with pytest.raises(ValueError, match="backslash"):
        url_as_written("https://good.test\\@evil.test/a")
    assert url_as_written("https://[::1]:99/a").raw_host == "::1"


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><html>log in", b"\n<html lang=de>", b"<!-- x --><head>"])
async def test_a_web_page_under_status_200_is_named(fetcher: Fetcher, remote: Remote, body: bytes) -> None:
    """A log-in page or a page "not found" is no photo, whatever its type says; the photo's own type does not matter."""
    for kind in ("text/html", "image/jpeg"):
        remote.routes["/p.jpg"] = _answers(body=body, headers={"Content-Type": kind})
        with pytest.raises(Poison, match="the address answered with a web page instead of an image") as refused:
            await fetcher.fetch(remote.url("/p.jpg?token=secret"))
        assert refused.value.field == "image.uri"
        assert "secret" not in str(refused.value)
    remote.routes["/p.jpg"] = _answers(body=PHOTO, headers={"Content-Type": "text/html"})
    assert await fetcher.fetch(remote.url("/p.jpg")) == PHOTO


async def test_a_host_that_trickles_is_cut_off(remote: Remote) -> None:
    """A byte now and then keeps each read alive; the time is for the whole."""
    stop = asyncio.Event()

    async def trickle(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not stop.is_set():
            await response.write(b"x")
            await asyncio.sleep(0.01)
        return response

    remote.routes["/slow"] = trickle
    settings = Settings(allowed_hosts=(f"shop.test:{remote.port}",), fetch_seconds=0.3)
    dns = FakeDns({"shop.test": ["127.0.0.1"]})
    async with Fetcher(
        settings, MemoryStore(), is_allowed_address=lambda _: True, schemes=("http",), resolver=dns
    ) as fetcher:
        with pytest.raises(Retryable, match=r"did not answer in full within 0\.3 s"):
            await fetcher.fetch(remote.url("/slow"))
    stop.set()


async def test_only_https_by_default() -> None:
    """Plain http, ftp, data and no scheme at all are refused, even for an allowed host."""
    async with Fetcher(Settings(allowed_hosts=("shop.test",)), MemoryStore()) as fetcher:
        for uri in (
            "http://shop.test/p.jpg",
            "ftp://shop.test/p",
            "data:image/png;base64,AA",
            "p.jpg",
            "",
            "http://[",
            "s3://x/y",
        ):
            with pytest.raises(Poison):
                await fetcher.fetch(uri)


async def test_the_store_is_read_directly(tmp_path: Path) -> None:
    """Addresses that the store gave are read from it, whatever the allowed folders are; the size limit holds."""
    store = LocalStore(tmp_path / "store")
    key = store.put_content(PHOTO, ".jpg")
    store.put("big.jpg", b"x" * (LIMIT + 1))
    async with Fetcher(Settings(max_image_bytes=LIMIT), store) as fetcher:
        assert await fetcher.fetch(store.uri(key)) == PHOTO
        with pytest.raises(Poison, match="larger than"):
            await fetcher.fetch(store.uri("big.jpg"))
        with pytest.raises(Poison, match="no object"):
            await fetcher.fetch(store.uri("absent.jpg"))
        with pytest.raises(Poison, match="none of the allowed folders"):
            await fetcher.fetch(f"file://{store.root}/../store/{key}")


async def test_files_only_under_allowed_folders(tmp_path: Path) -> None:
    """A file under a root is read; a path or a link that leads out, a folder, a pipe and a large file are not."""
    root, outside = tmp_path / "photos", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "ä b.jpg").write_bytes(PHOTO)
    (root / "big.jpg").write_bytes(b"x" * (LIMIT + 1))
    (outside / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(outside / "secret")
    (root / "within").symlink_to(root / "ä b.jpg")
    os.mkfifo(root / "pipe")
    settings = Settings(file_roots=(root,), max_image_bytes=LIMIT)
    async with Fetcher(settings, MemoryStore()) as fetcher:
        assert await fetcher.fetch((root / "ä b.jpg").as_uri()) == PHOTO
        assert await fetcher.fetch((root / "within").as_uri()) == PHOTO
        refused = {
            (outside / "secret").as_uri(): "none of the allowed folders",
            (root / "link").as_uri(): "none of the allowed folders",
            f"file://{root}/../outside/secret": "none of the allowed folders",
            f"file://{root}/%2e%2e/outside/secret": "none of the allowed folders",
            root.as_uri(): "cannot be read|not a regular file",
            (root / "pipe").as_uri(): "not a regular file",
            (root / "absent").as_uri(): "No such file",
            (root / "big.jpg").as_uri(): "larger than",
            "file://elsewhere/etc/passwd": "not a file of this machine",
            "file:///a%00b": "not a file of this machine",
        }
        for uri, reason in refused.items():
            with pytest.raises(Poison, match=reason):
                await fetcher.fetch(uri)


async def test_without_allowed_folders_no_file_is_read() -> None:
    """The default allows nothing."""
    async with Fetcher(Settings(), MemoryStore()) as fetcher:
        with pytest.raises(Poison, match="none of the allowed folders"):
            await fetcher.fetch(Path("/etc/hostname").as_uri())


# ---------------------------------------------------------------- asked again


def _versioned(remote: Remote, path: str, body: list[bytes]) -> None:
    """A photo with validators, as a content network serves it: 304 to whoever has it."""

    async def answer(request: web.BaseRequest) -> web.Response:
        etag = f'"{hash(body[0])}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        return web.Response(body=body[0], headers={"ETag": etag, "Last-Modified": "Wed, 25 Nov 2026 12:00:30 GMT"})

    remote.routes[path] = answer


async def test_what_has_not_changed_is_not_sent_again(remote: Remote, fetcher: Fetcher) -> None:
    """Both validators go back as they came; a changed body comes whole, with new ones."""
    body = [PHOTO]
    _versioned(remote, "/a.jpg", body)
    first = await fetcher.ask(remote.url("/a.jpg"), NO_VALIDATORS)
    assert isinstance(first, Fetched)
    assert first.data == PHOTO
    assert await fetcher.ask(remote.url("/a.jpg"), first.validators) == Unchanged()
    assert remote.seen[-1].headers["If-Modified-Since"] == "Wed, 25 Nov 2026 12:00:30 GMT"
    body[0] = PHOTO * 2
    again = await fetcher.ask(remote.url("/a.jpg"), first.validators)
    assert isinstance(again, Fetched)
    assert again.data == PHOTO * 2
    assert again.validators != first.validators


async def test_unchanged_without_having_been_asked_is_no_answer(remote: Remote, fetcher: Fetcher) -> None:
    """A host that always says 304 has no photo for somebody who has none."""

    remote.routes["/a.jpg"] = _answers(status=304)
    with pytest.raises(Poison, match="HTTP 304"):
        await fetcher.fetch(remote.url("/a.jpg"))


@pytest.mark.parametrize("status", [429, 503])
async def test_a_host_that_asks_for_a_pause_is_not_asked_in_it(remote: Remote, fetcher: Fetcher, status: int) -> None:
    """Neither for this photo nor for another of it; an answer without `Retry-After` is trouble as before."""

    remote.routes["/a.jpg"] = _answers(status=status, headers={"Retry-After": "20"})
    with pytest.raises(HostBusy, match="20 s"):
        await fetcher.fetch(remote.url("/a.jpg"))
    with pytest.raises(HostBusy, match="left alone"):
        await fetcher.fetch(remote.url("/b.jpg"))
    assert len(remote.seen) == 1
