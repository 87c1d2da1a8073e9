"""A proxy in front of a real S3 server that can refuse, dawdle, cut answers off, or say that the disk is full."""

from __future__ import annotations

import asyncio
from contextlib import suppress

MODES = ("refuse", "slow", "full", "cut")
SLOW_S = 2.0
_FULL = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>XMinioStorageFull</Code>'
    b"<Message>Storage backend has reached its minimum free drive threshold.</Message></Error>"
)
_HEAD_END = b"\r\n\r\n"
_WRITES = (b"PUT", b"POST", b"DELETE")


class S3Proxy:
    """HTTP/1.1, one request after the other on each connection, bodies with a Content-Length, as S3 clients send them.

    Signatures hold, because the client signs the address of the proxy and the server reads it from the Host header.

    `mode`: "" passes everything; "refuse" resets every connection; "slow" waits `SLOW_S` before each request; "full"
    answers 507 to writes, as MinIO does, and passes reads; "cut" passes the request on and then cuts the connection in
    the middle of the answer: a write took place, and its writer does not learn of it.
    """

    def __init__(self, backend: str) -> None:
        host, _, port = backend.rpartition(":")
        self._backend = (host, int(port))
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.mode = ""
        self.harmed = 0
        """Requests and connections that did not get what they asked for."""

    async def start(self) -> str:
        """Listen on a free loopback port; returns host:port."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def set(self, mode: str) -> None:
        """Change the mode; connections that idle now are reset when the server refuses."""
        assert mode in {"", *MODES}
        self.mode = mode
        if mode == "refuse":
            for writer in list(self._open):
                writer.transport.abort()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, ValueError):
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False when the connection is over."""
        if self.mode == "refuse":
            self.harmed += 1
            writer.transport.abort()
            return False
        head = await reader.readuntil(_HEAD_END)
        body = await reader.readexactly(_length(head))
        mode = self.mode
        if mode:
            self.harmed += mode != "full" or head.startswith(_WRITES)
        if mode == "slow":
            await asyncio.sleep(SLOW_S)
        if mode == "full" and head.startswith(_WRITES):
            writer.write(_answer(_FULL))
            await writer.drain()
            return True
        return await self._pass_on(head, body, writer, cut=mode == "cut")

    async def _pass_on(self, head: bytes, body: bytes, writer: asyncio.StreamWriter, *, cut: bool) -> bool:
        """A connection to the server for each request. False when the client's connection is over."""
        from_server, to_server = await asyncio.open_connection(*self._backend)
        try:
            # The server is not asked to close: it would reset a connection whose request it refuses unread.
            to_server.write(head + body)
            await to_server.drain()
            answer = await from_server.readuntil(_HEAD_END)
            has_body = not head.startswith(b"HEAD") and answer.split(b" ", 2)[1] not in {b"204", b"304"}
            whole = answer + (await _body_of(from_server, answer) if has_body else b"")
        finally:
            to_server.close()
            with suppress(OSError):
                await to_server.wait_closed()
        # An answer without a body breaks off in its first line: with its status and ETag it would be an answer, and rightly taken.
        end = len(whole) // 2 if len(whole) > len(answer) else answer.index(b"\r\n") // 2
        writer.write(whole[:end] if cut else whole)
        await writer.drain()
        if cut:
            writer.transport.abort()
        return not cut


async def _body_of(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """As the server frames it: a length, or chunks."""
    if b"transfer-encoding: chunked" not in head.lower():
        return await reader.readexactly(_length(head))
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        body += line + await reader.readexactly(size + 2)
        if size == 0:
            return body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _answer(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/xml\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )
