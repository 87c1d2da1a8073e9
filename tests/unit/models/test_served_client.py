"""A server that answers, hangs, lies and dies: every request ends in time, with an answer or with why there is none."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from models.served.client import Server
from models.served.failures import Unanswered
from models.served.options import options_of
from tests.fakes import llm_server as llm
from tests.fakes.llm_server import LlmServer, Reply, completion

BODY = json.dumps({"model": llm.MODEL, "messages": []}).encode()
QUICK = {"answer_seconds": 20.0, "deadline_seconds": 40.0, "retries": 0, "connect_seconds": 10.0}
"""Time enough on a busy machine: only a server that hangs uses it up."""
IMPATIENT = {"answer_seconds": 0.5}


class Counts:
    """What a `Watch` was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def answered(self, seconds: float, prompt_tokens: int, completion_tokens: int, cost: float) -> None:
        self.told.append(("answered", prompt_tokens, completion_tokens, cost))

    def unanswered(self, cause: str) -> None:
        self.told.append(("unanswered", cause))

    def again(self, cause: str) -> None:
        self.told.append(("again", cause))

    def open(self, is_open: bool) -> None:
        self.told.append(("open", is_open))


@contextmanager
def client(base_url: str, **options: Any) -> Iterator[Server]:
    """Draws no waiting times: further attempts come at once."""
    made = Server(
        options_of({"base_url": base_url, "model": llm.MODEL, **QUICK, **options}),
        options.pop("trial", None),
        draw=lambda: 0.0,
    )
    try:
        yield made
    finally:
        made.close()


def cause_of(server: Server) -> Unanswered:
    """Why a request has no answer."""
    with pytest.raises(Unanswered) as raised:
        server.ask(BODY).result(30)
    return raised.value


def test_an_answer_with_its_tokens_and_its_cost() -> None:
    """Prices are of a million tokens."""
    counts = Counts()
    options = options_of({"base_url": "http://x/v1", "model": llm.MODEL, "input_price": 2.0, "output_price": 10.0})
    with LlmServer(lambda _: completion("A dress.")) as fake:
        server = Server(options_of({**_as_dict(options), "base_url": fake.base_url}), watch=counts)
        answer = server.ask(BODY).result(30)
        server.close()
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("A dress.", 100, 50)
    assert counts.told == [("answered", 100, 50, pytest.approx(0.0007))]


def _as_dict(options: Any) -> dict[str, Any]:
    import msgspec

    return msgspec.structs.asdict(options)


def played(play: Callable[[LlmServer, Any], None]) -> Callable[[Any], Reply]:
    return lambda _: Reply(play=play)


FAULTS: dict[str, tuple[Callable[[Any], Reply], str]] = {
    "hangs": (played(llm.hangs), "timeout"),
    "drips": (played(llm.drips), "timeout"),
    "dies in the middle": (played(llm.dies), "broken"),
    "headers without end": (played(llm.endless_headers), "rubbish"),
    "a header without end": (played(llm.endless_line), "rubbish"),
    "100 MB": (played(llm.floods(100 * 2**20, declared=False)), "too_large"),
    "100 MB, announced": (played(llm.floods(100 * 2**20, declared=True)), "too_large"),
    "no HTTP": (lambda _: Reply(play=lambda _s, wfile: wfile.write(b"hello\r\n\r\n")), "rubbish"),
    "HTML": (lambda _: Reply(body=b"<html>Welcome</html>"), "rubbish"),
    "nothing": (lambda _: Reply(), "rubbish"),
    "no choices": (lambda _: Reply(body=b'{"choices": []}'), "rubbish"),
    "wrong fields": (lambda _: Reply(body=b'{"choices": [{"text": "old"}]}'), "rubbish"),
    "wrong types": (lambda _: Reply(body=b'{"choices": {"message": 3}}'), "rubbish"),
    "no text": (lambda _: completion(None), "rubbish"),
    "nested without end": (lambda _: Reply(body=b'{"choices":' + b"[" * 200_000), "rubbish"),
    "only thoughts": (lambda _: completion("<think>what to write"), "rubbish"),
    "429": (lambda _: Reply(429, b'{"error": {"message": "slow down"}}'), "busy"),
    "500": (lambda _: Reply(500, b"oops"), "server_error"),
    "204": (lambda _: Reply(204), "server_error"),
    "400": (lambda _: Reply(400, b'{"error": {"message": "unknown field"}}'), "refused"),
    "401": (lambda _: Reply(401, b"{}"), "key"),
    "403": (lambda _: Reply(403, b"{}"), "key"),
    "404": (lambda _: Reply(404, b'{"error": {"message": "model not found"}}'), "model"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_cause_in_time(name: str) -> None:
    """Whatever a server does, the request ends within its deadline."""
    answer, cause = FAULTS[name]
    limits = IMPATIENT if cause == "timeout" else {}
    with LlmServer(answer) as fake, client(fake.base_url, **limits) as server:
        started = time.monotonic()
        assert cause_of(server).cause == cause
        assert time.monotonic() - started < 20
        if name == "100 MB":
            assert fake.sent < 50 * 2**20


def test_nobody_listens() -> None:
    """A server that is not there."""
    with LlmServer(lambda _: completion("x")) as fake:
        pass
    with client(fake.base_url) as server:
        assert cause_of(server).cause == "connect"


def test_a_redirect_is_not_followed() -> None:
    """Only the origin that was named is ever asked, and no key goes elsewhere."""
    with LlmServer(lambda _: completion("stolen")) as other:
        to = {"Location": f"{other.base_url}/chat/completions"}
        with LlmServer(lambda _: Reply(307, headers=to)) as fake, client(fake.base_url) as server:
            assert cause_of(server).cause == "redirect"
        assert other.asked == []


def test_further_attempts_and_their_end() -> None:
    """What passes is tried again, so often and no more."""
    replies = iter([Reply(500), Reply(play=llm.dies), completion("A dress.")])
    with LlmServer(lambda _: next(replies)) as fake, client(fake.base_url, retries=2) as server:
        assert server.ask(BODY).result(30).text == "A dress."
    with LlmServer(lambda _: Reply(500)) as fake, client(fake.base_url, retries=2) as server:
        assert cause_of(server).cause == "server_error"
        assert len(fake.completions) == 3


def test_what_does_not_pass_is_asked_once() -> None:
    """A key that is wrong is not tried again for each caption: the breaker opens at once, and says why."""
    with (
        LlmServer(lambda _: Reply(401, b'{"error": {"message": "no"}}')) as fake,
        client(fake.base_url, retries=2) as s,
    ):
        assert cause_of(s).cause == "key"
        assert [cause_of(s).cause for _ in range(3)] == ["open"] * 3
        assert len(fake.completions) == 1
        assert s.breaker.why is not None
        assert s.breaker.why.cause == "key"


def test_retry_after_is_heeded_by_all() -> None:
    """Nobody asks before the time that the server named."""
    times: list[float] = []

    def answer(_: Any) -> Reply:
        times.append(time.monotonic())
        return Reply(429, headers={"Retry-After": "1"}) if len(times) == 1 else completion("A dress.")

    with LlmServer(answer) as fake, client(fake.base_url, retries=2) as server:
        first = server.ask(BODY)
        deadline = time.monotonic() + 5
        while not times and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        second = server.ask(BODY)
        assert (first.result(30).text, second.result(30).text) == ("A dress.", "A dress.")
    assert min(times[1:]) - times[0] >= 0.99


def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    """An hour of it costs no caption an hour."""
    with (
        LlmServer(lambda _: Reply(429, headers={"Retry-After": "3600"})) as fake,
        client(fake.base_url, retries=2) as server,
    ):
        started = time.monotonic()
        assert [cause_of(server).cause for _ in range(3)] == ["busy"] * 3
        assert time.monotonic() - started < 30
        assert len(fake.completions) == 1


def test_the_breaker_opens_and_closes() -> None:
    """After five failures nothing is asked but trials; the first that succeeds closes it."""
    well = threading.Event()
    changes: list[Unanswered | None] = []
    closed = threading.Event()

    def changed(why: Unanswered | None) -> None:
        changes.append(why)
        if why is None:
            closed.set()

    def trial() -> bytes:
        return json.dumps({"model": llm.MODEL, "messages": [{"role": "user", "content": "trial"}]}).encode()

    def answer(asked: Any) -> Reply:
        return completion("A dress.") if well.is_set() else Reply(500)

    with LlmServer(answer) as fake:
        options = options_of({"base_url": fake.base_url, "model": llm.MODEL, **QUICK})
        counts = Counts()
        server = Server(options, trial, watch=counts, changed=changed, draw=lambda: 0.0)
        causes = [cause_of(server).cause for _ in range(8)]
        assert causes[0] == "server_error"
        assert causes[-1] == "open"
        well.set()
        assert closed.wait(20)
        assert server.ask(BODY).result(30).text == "A dress."
        server.close()
    assert [change.cause if change else None for change in changes] == ["server_error", None]
    assert ("open", True) in counts.told
    assert ("open", False) in counts.told


def test_a_cancelled_request_ends() -> None:
    """Whoever gives up gives its connection and its slot back."""
    hung = threading.Event()

    def answer(asked: Any) -> Reply:
        if not hung.is_set():
            hung.set()
            return Reply(play=llm.hangs)
        return completion("A dress.")

    with (
        LlmServer(answer) as fake,
        client(fake.base_url, concurrency=1, answer_seconds=60.0, deadline_seconds=60.0) as server,
    ):
        first = server.ask(BODY)
        assert hung.wait(10)
        second = server.ask(BODY)
        first.cancel()
        assert second.result(30).text == "A dress."


def test_no_more_at_once_than_allowed() -> None:
    """A server is not flooded, however many captions wait."""
    gate = threading.Semaphore(0)

    def answer(_: Any) -> Reply:
        gate.acquire(timeout=10)
        return completion("A dress.")

    with LlmServer(answer) as fake, client(fake.base_url, concurrency=3) as server:
        asked = [server.ask(BODY) for _ in range(12)]
        for _ in asked:
            gate.release()
        assert {one.result(30).text for one in asked} == {"A dress."}
        assert fake.most_at_once <= 3


def test_the_key_goes_to_the_server_and_nowhere_else(tmp_path: Path) -> None:
    """Not into what is said of a refusal, though the server repeats it; a new key in the file is taken at once."""
    path = tmp_path / "key"
    path.write_text("sk-very-secret")
    with (
        LlmServer(lambda _: completion("A dress."), key="sk-right") as fake,
        client(fake.base_url, key_file=str(path)) as server,
    ):
        why = cause_of(server)
        assert why.cause == "key"
        assert "sk-" not in f"{why} {server!r} {server.options}"
        path.write_text("sk-right-at-last"[:8])
        server.breaker.answered(trial=True)
        assert server.ask(BODY).result(30).text == "A dress."


def test_the_list_of_models() -> None:
    """What `weft doctor` asks for."""
    with LlmServer(lambda _: completion("x"), models=("a", "b")) as fake, client(fake.base_url) as server:
        assert server.models().result(30) == ("a", "b")
        fake.listing = Reply(404)
        with pytest.raises(Unanswered):
            server.models().result(30)


def test_whoever_asks_a_client_that_was_closed_is_answered() -> None:
    """And so is whoever was waiting when it closed."""
    with (
        LlmServer(lambda _: Reply(play=llm.hangs)) as fake,
        client(fake.base_url, answer_seconds=60, deadline_seconds=60) as server,
    ):
        waiting = server.ask(BODY)
        server.close()
        with pytest.raises((Unanswered, CancelledError)):
            waiting.result(30)
        assert cause_of(server).cause == "broken"
