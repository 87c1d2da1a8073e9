"""Asks one server, from a thread of its own: nobody's event loop and no device waits while the server thinks."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import aiohttp

from models.served.answers import MOST_BYTES, Answer, answer_in, models_in, refusal
from models.served.breaker import Breaker
from models.served.failures import Unanswered
from models.served.options import KeyFile, ServerOptions, tls_of
from models.served.watch import NullWatch, Watch
from processors.errors import BadSetting

T = TypeVar("T")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
"""Before a further attempt: drawn from nothing to twice as long with each, so that many do not come at once."""
LONGEST_ASKED_FOR_S = 3600.0
LIST_SECONDS = 10.0
"""Longest until a list of models is there."""
MOST_HEADERS, LONGEST_HEADER = 64, 8190
CLOSE_SECONDS = 5.0


class Server:
    """One server. `start` it before it is asked.

    Everything of a request is bounded: time to connect, time of an attempt, time in all, bytes and headers of an answer. A redirect is not
    followed, no proxy of the environment is used, and no cookie kept.

    Args:
        options: how it is asked.
        trial: a request (body) that shows whether it works; sent when it begins, and while the breaker is open.
        watch: told of each request.
        changed: called when the breaker opens (with why) and closes (None).
        draw: a number from 0 to 1, for waiting times.
    """

    def __init__(
        self,
        options: ServerOptions,
        trial: Callable[[], bytes] | None = None,
        *,
        watch: Watch | None = None,
        changed: Callable[[Unanswered | None], None] = lambda _: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.options = options
        self._trial = trial
        self._watch: Watch = watch or NullWatch()
        self._changed = changed
        self._draw = draw
        self._key = KeyFile(options.key_file)
        self._tls = tls_of(options)
        self.breaker = Breaker(changed=self._told)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._up = threading.Event()
        self._stop: asyncio.Event | None = None
        self._opened: asyncio.Event | None = None
        self._session: aiohttp.ClientSession | None = None
        self._slots: asyncio.Semaphore | None = None
        self._not_before = 0.0

    def __repr__(self) -> str:
        return f"Server({self.options.base_url!r}, {self.options.model!r})"

    @property
    def trouble(self) -> str:
        """Why it is not asked now, in words; "" while it is."""
        why = self.breaker.why
        return "" if why is None else f"{self.options.base_url}, model {self.options.model!r}: {why.cause}, {why.said}"

    # ------------------------------------------------------------------ from any thread

    def start(self) -> None:
        """Begin, unless that was done. Nothing is waited for."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="server", daemon=True)
                self._thread.start()
        self._up.wait()

    def close(self) -> None:
        """End; who waits for an answer gets a cancellation."""
        if self._thread is None or self._loop is None or self._stop is None:
            return
        with suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CLOSE_SECONDS)

    def ask(self, body: bytes) -> Future[Answer]:
        """Ask for a completion. The future raises `Unanswered`; cancel it, and the request ends."""
        return self._submit(self._answered(body))

    def models(self) -> Future[tuple[str, ...]]:
        """The models that it has, by name. The future raises `Unanswered`."""
        return self._submit(self._listed())

    def try_out(self) -> Future[None]:
        """One trial, whatever the breaker says. The future raises `Unanswered`."""
        return self._submit(self._try_out())

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        self.start()
        try:
            if self._loop is None:
                raise RuntimeError("the thread of the client did not begin")
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:  # its loop has ended: whoever asks is answered all the same
            work.close()
            never: Future[T] = Future()
            never.set_exception(Unanswered("broken", f"the client was closed: {error}"))
            return never

    # ------------------------------------------------------------------ in its thread

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._up.set()  # who starts it must not wait for ever

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop, self._opened = asyncio.Event(), asyncio.Event()
        self._slots = asyncio.Semaphore(self.options.concurrency)
        connector = aiohttp.TCPConnector(limit=self.options.concurrency + 2, ssl=self._tls)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
            max_headers=MOST_HEADERS,
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "weft"},
        ) as self._session:
            trying = asyncio.create_task(self._trials())
            self._up.set()
            await self._stop.wait()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(trying, *others, return_exceptions=True)

    def _told(self, why: Unanswered | None) -> None:
        self._watch.open(why is not None)
        if why is not None and self._opened is not None:
            self._opened.set()
        self._changed(why)

    async def _trials(self) -> None:
        """Try at the beginning, and again and again while the breaker is open, for ever."""
        if self._trial is None:
            return
        assert self._opened is not None
        await self._try(self._trial())
        while True:
            await self._opened.wait()
            while self.breaker.why is not None:
                asked_for = self._not_before - time.monotonic()
                await asyncio.sleep(max(self.breaker.pause_s * (0.5 + self._draw()), asked_for))
                await self._try(self._trial())
            self._opened.clear()

    async def _try_out(self) -> None:
        assert self._trial is not None
        await self._attempt(self._trial())

    async def _try(self, body: bytes) -> None:
        try:
            await self._attempt(body)
        except Unanswered as why:
            self._heed(why)
            self.breaker.failed(why, trial=True)
        else:
            self.breaker.answered(trial=True)

    async def _answered(self, body: bytes) -> Answer:
        assert self._slots is not None
        try:
            self._check()  # who comes while it is left alone does not wait for a slot
            async with self._slots:
                return await self._attempts(body)
        except Unanswered as why:
            self._watch.unanswered(why.cause)
            raise

    def _check(self) -> None:
        why = self.breaker.why
        if why is not None:
            raise Unanswered("open", f"not asked since {why.cause}: {why.said}")

    async def _attempts(self, body: bytes) -> Answer:
        started = time.monotonic()
        end = started + self.options.deadline_seconds
        for attempt in range(self.options.retries + 1):
            self._check()
            await self._wait_until(self._not_before, end)
            try:
                answer = await self._attempt(body, end - time.monotonic())
            except Unanswered as why:
                self.breaker.failed(why)
                wait = self._pause(attempt, why)
                if not why.again or attempt == self.options.retries or time.monotonic() + wait >= end:
                    raise
                self._watch.again(why.cause)
                await asyncio.sleep(wait)
            else:
                self.breaker.answered()
                options, tokens = self.options, (answer.prompt_tokens, answer.completion_tokens)
                cost = (tokens[0] * options.input_price + tokens[1] * options.output_price) / 1e6
                self._watch.answered(time.monotonic() - started, *tokens, cost)
                return answer
        raise AssertionError("the last attempt raises or returns")

    async def _wait_until(self, when: float, end: float) -> None:
        """Leave a server alone that has asked for it; where that lasts beyond `end`, give up at once."""
        wait = when - time.monotonic()
        if wait <= 0:
            return
        if when >= end:
            raise Unanswered("busy", f"the server asks to be left alone for {wait:.0f} s")
        await asyncio.sleep(wait + self._draw() * FIRST_WAIT_S)

    def _pause(self, attempt: int, why: Unanswered) -> float:
        self._heed(why)
        drawn = float(min(FIRST_WAIT_S * 2 ** (attempt + 1), LONGEST_WAIT_S)) * self._draw()
        return drawn if why.after_s is None else why.after_s

    def _heed(self, why: Unanswered) -> None:
        """Nobody asks before the time that the server named; no name lasts longer than an hour."""
        if why.after_s is not None:
            self._not_before = max(self._not_before, time.monotonic() + min(why.after_s, LONGEST_ASKED_FOR_S))

    async def _attempt(self, body: bytes, left: float = float("inf")) -> Answer:
        data = await self._exchange(
            "POST", "/chat/completions", body, min(self.options.answer_seconds, max(left, 0.01))
        )
        return answer_in(data)

    async def _listed(self) -> tuple[str, ...]:
        return models_in(await self._exchange("GET", "/models", None, LIST_SECONDS))

    async def _exchange(self, method: str, path: str, body: bytes | None, seconds: float) -> bytes:
        """One request and its whole answer of status 200. Raises `Unanswered`."""
        try:
            async with asyncio.timeout(seconds), self._opened_to(method, path, body, seconds) as response:
                declared = response.content_length
                data = await _read(response.content, MOST_BYTES, declared)
                if response.status != 200:
                    raise refusal(response.status, data[:4000], response.headers.get("Retry-After"), time.time())
                if len(data) > MOST_BYTES or (declared or 0) > MOST_BYTES:
                    raise Unanswered("too_large", f"an answer of more than {MOST_BYTES} bytes")
                return data
        except Unanswered as why:
            raise Unanswered(why.cause, self._key.hidden(why.said), why.after_s) from None
        except BadSetting as error:
            raise Unanswered("key", str(error)) from None
        except TimeoutError:
            raise Unanswered("timeout", f"no whole answer within {seconds:.0f} s") from None
        except aiohttp.ClientConnectorError as error:
            raise Unanswered(
                "connect", f"{self.options.base_url} cannot be reached: {error.os_error or error}"
            ) from None
        except aiohttp.ClientResponseError as error:
            raise Unanswered("rubbish", self._key.hidden(f"no HTTP: {error.message}"[:300])) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unanswered("broken", f"the connection ended: {type(error).__name__}") from None

    @asynccontextmanager
    async def _opened_to(
        self, method: str, path: str, body: bytes | None, seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None
        headers = self._key.header()
        if body is not None:
            headers["Content-Type"] = "application/json"
        connect = min(self.options.connect_seconds, seconds)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=connect)
        address = f"{self.options.base_url}{path}"
        response = await self._session.request(
            method, address, data=body, headers=headers, allow_redirects=False, timeout=limits
        )
        try:
            yield response
        finally:
            # One that was not read to its end is never used again.
            response.release() if response.content.is_eof() else response.close()


async def _read(content: aiohttp.StreamReader, most: int, declared: int | None) -> bytes:
    """All that comes, but little more than `most` bytes of it; nothing where more than that is announced."""
    found = bytearray()
    if (declared or 0) > most:
        return b""
    async for chunk in content.iter_any():
        found += chunk
        if len(found) > most:
            break
    return bytes(found)


async def awaited(future: Future[T]) -> T:
    """Wait on an event loop for what another thread does; a cancellation reaches it. Raises `Unanswered` where the client was closed."""
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unanswered("broken", "the client was closed") from None
