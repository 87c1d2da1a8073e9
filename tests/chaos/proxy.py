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
_CHUNK = 64 * 1024
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
        head = await reader.readuntil(b"\r\n\r\n")
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
        """One connection to the server for each request: its end is the end of the answer."""
        from_server, to_server = await asyncio.open_connection(*self._backend)
        try:
            to_server.write(_closing(head) + body)
            await to_server.drain()
            answer = await from_server.readuntil(b"\r\n\r\n")
            rest = b"" if head.startswith(b"HEAD") else await from_server.read()
        finally:
            to_server.close()
            with suppress(OSError):
                await to_server.wait_closed()
        whole = answer + rest
        if cut:
            writer.write(whole[: len(whole) // 2])
            await writer.drain()
            writer.transport.abort()
            return False
        writer.write(whole)
        await writer.drain()
        return False


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _closing(head: bytes) -> bytes:
    """The head, asking the server to close afterwards."""
    first, *lines = head[:-4].split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([first, *kept, b"Connection: close", b"", b""])


def _answer(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/xml\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )
