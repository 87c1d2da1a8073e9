"""A small server that speaks chat completions as OpenAI's API has them, and can play every fault that one may have."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from models.ports import WriterRequest
from processors import captions
from processors.values import Evidence

MODEL = "shop-writer"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back. `play` is called with the connection instead, where it is given."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    play: Callable[[LlmServer, Any], None] | None = None


Answering = Callable[[Asked], Reply]


def completion(text: str | None, *, finish: str = "stop", usage: Any = None) -> Reply:
    """A completion with one choice."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    counts = {"prompt_tokens": 100, "completion_tokens": 50} if usage is None else usage
    return Reply(body=json.dumps({"object": "chat.completion", "choices": [choice], "usage": counts}).encode())


def good_caption(evidence: Evidence, tone: str = "plain", seed: int = 1) -> str:
    """What a model writes that keeps to the facts."""
    written = captions.template_caption(evidence, tone, seed)
    return f"{written.caption}\n{' '.join(written.hashtags)}"


def keeps_to(*requests: WriterRequest, otherwise: str = "No caption.") -> Answering:
    """A model that writes what holds of these requests, told by the facts in the prompt."""
    from processors.evidence import render

    def answer(asked: Asked) -> Reply:
        facts = asked.body["messages"][-1]["content"]
        for one in requests:
            if render(one.evidence) == facts:
                return completion(good_caption(one.evidence, one.tone, one.seed))
        return completion(otherwise)

    return answer


def hangs(server: LlmServer, _: Any) -> None:
    """Take the request, and say nothing until the end."""
    server.ended.wait()


def dies(server: LlmServer, wfile: Any) -> None:
    """End in the middle of an answer."""
    del server
    wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"choices": [')


def drips(server: LlmServer, wfile: Any) -> None:
    """A byte now and then, for ever."""
    wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not server.ended.wait(0.02):
        wfile.write(b" ")
        wfile.flush()


def endless_headers(server: LlmServer, wfile: Any) -> None:
    """Headers, for ever."""
    wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not server.ended.is_set():
        wfile.write(b"X-More: " + b"a" * 1000 + b"\r\n")


def endless_line(server: LlmServer, wfile: Any) -> None:
    """One header, for ever."""
    wfile.write(b"HTTP/1.1 200 OK\r\nX-More: ")
    while not server.ended.is_set():
        wfile.write(b"a" * 4096)


def floods(size: int, *, declared: bool) -> Callable[[LlmServer, Any], None]:
    """An answer of so many bytes, with or without its length before it."""

    def play(server: LlmServer, wfile: Any) -> None:
        length = b"Content-Length: %d\r\n" % size if declared else b"Connection: close\r\n"
        wfile.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        sent = 0
        while sent < size and not server.ended.is_set():
            wfile.write(b" " * 65536)
            sent += 65536
            server.sent = sent

    return play


class LlmServer:
    """Serves on a free port of loopback while the context is open. `stop` and `start` it, and the port stays the same.

    Args:
        answer: what comes of a request for a completion; may be exchanged at any time.
        models: names that it lists.
        key: wanted of everybody; "": nobody needs one.
    """

    def __init__(self, answer: Answering, *, models: tuple[str, ...] = (MODEL,), key: str = "") -> None:
        self.answer = answer
        self.models = models
        self.key = key
        self.listing: Reply | None = None
        self.asked: list[Asked] = []
        self.ended = threading.Event()
        self.sent = 0
        self.port = 0
        self.at_once = 0
        self.most_at_once = 0
        self._counting = threading.Lock()
        self._tcp: socketserver.ThreadingTCPServer | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def completions(self) -> list[Asked]:
        """Requests for completions."""
        return [one for one in self.asked if one.path == "/v1/chat/completions"]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    while outer._serve(self.rfile, self.wfile):
                        pass
                except (ConnectionError, ValueError):
                    pass

        class Tcp(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that went away is no news."""

        self.ended = threading.Event()
        self._tcp = Tcp(("127.0.0.1", self.port), Handler)
        self.port = self._tcp.server_address[1]
        threading.Thread(target=self._tcp.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self.ended.set()
        if self._tcp is not None:
            self._tcp.shutdown()
            self._tcp.server_close()
            self._tcp = None

    def _serve(self, rfile: Any, wfile: Any) -> bool:
        line = rfile.readline(65536).decode("latin-1")
        if not line.strip() or self.ended.is_set():
            return False
        method, path, _ = line.split(" ", 2)
        headers: dict[str, str] = {}
        while (line := rfile.readline(65536).decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        data = rfile.read(int(headers.get("content-length", 0)))
        asked = Asked(method, path, headers, json.loads(data) if data else None)
        with self._counting:
            self.asked.append(asked)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            reply = self._reply(asked)
            if reply.play is not None:
                reply.play(self, wfile)
                return False
        finally:
            with self._counting:
                self.at_once -= 1
        told = {"Content-Type": "application/json", "Content-Length": str(len(reply.body)), **reply.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        wfile.write(f"HTTP/1.1 {reply.status} Status\r\n{lines}\r\n".encode("latin-1") + reply.body)
        wfile.flush()
        return True

    def _reply(self, asked: Asked) -> Reply:
        if self.key and asked.headers.get("authorization") != f"Bearer {self.key}":
            sent = asked.headers.get("authorization", "")
            return Reply(401, json.dumps({"error": {"message": f"wrong key {sent}"}}).encode())
        if asked.path == "/v1/models":
            listed = json.dumps({"object": "list", "data": [{"id": name} for name in self.models]}).encode()
            return self.listing or Reply(body=listed)
        if asked.path != "/v1/chat/completions":
            return Reply(404, b'{"error": {"message": "no such path"}}')
        if asked.body["model"] not in self.models:
            return Reply(404, b'{"error": {"message": "model not found"}}')
        return self.answer(asked)
