"""One address for all roles of `weft up`: their metrics in one answer, and how each of them is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry

from infra.http import listen
from infra.metrics import CONTENT_TYPE, merged, text_of
from infra.metrics_table import STACK_METRICS
from streams.contract.topics import APART

PATIENCE_S = 4.0
"""For one role's answer: below the ten seconds that Prometheus waits for ours."""


@dataclass(frozen=True, slots=True)
class RoleState:
    """One role. `url`: of its process's metrics, None while it takes no work.

    `alone`: another process of the same role is among them. Its metrics are at its own address only: put together, two
    series would have the same labels.
    """

    url: str | None
    restarts: int = 0
    alone: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int = 0
    body: bytes = b""
    cause: str = field(default="does not run")


@asynccontextmanager
async def serve(
    roles: Callable[[], Mapping[str, RoleState]], *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve while the context is open; yields the base URL.

    `/metrics`: the metrics of all roles, and `STACK_METRICS`. `/healthz`, `/readyz`: 200 where every role says so (but those that
    only try something, `topics.APART`), else 503; as JSON, what each role says.

    Args:
        roles: the state of every role, now.
        host: address to listen on.
        port: 0 for any free one.

    Raises:
        Fatal: the port is taken.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:

        async def tell_metrics(_: web.Request) -> web.Response:
            states = roles()
            answers = await _ask_all(session, states, "/metrics")
            told = {role: state for role, state in states.items() if answers[role].status == 200 and not state.alone}
            by_url = {state.url: answers[role].body for role, state in told.items()}
            body = merged([*by_url.values(), _own(states, answers)])
            return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

        def telling(path: str, word: str) -> Callable[[web.Request], Any]:
            async def tell(_: web.Request) -> web.Response:
                answers = await _ask_all(session, roles(), path)
                well = all(answer.status == 200 for role, answer in answers.items() if role not in APART)
                said = {role: _said(role, answer, word) for role, answer in answers.items()}
                return web.json_response({word: well, "roles": said}, status=200 if well else 503)

            return tell

        routes = {
            "/metrics": tell_metrics,
            "/healthz": telling("/healthz", "healthy"),
            "/readyz": telling("/readyz", "ready"),
        }
        async with listen(routes, host=host, port=port) as url:
            yield url


async def _ask_all(session: aiohttp.ClientSession, states: Mapping[str, RoleState], path: str) -> dict[str, _Answer]:
    """The answer of every role; roles of one process share theirs."""
    urls = sorted({state.url for state in states.values() if state.url is not None})
    answers = dict(zip(urls, await asyncio.gather(*(_ask(session, url + path) for url in urls)), strict=True))
    return {role: _Answer() if state.url is None else answers[state.url] for role, state in states.items()}


async def _ask(session: aiohttp.ClientSession, url: str) -> _Answer:
    try:
        async with session.get(url) as response:
            return _Answer(response.status, await response.read(), "")
    except (aiohttp.ClientError, TimeoutError) as error:
        return _Answer(cause=f"does not answer ({type(error).__name__})")


def _said(role: str, answer: _Answer, word: str) -> Any:
    """What the role's process says of it: the process may run others, too."""
    try:
        said = msgspec.json.decode(answer.body)
        return said.get("roles", {}).get(role, said)
    except (msgspec.DecodeError, AttributeError):
        return {word: False, "cause": answer.cause or f"answers HTTP {answer.status}"}


def _own(states: Mapping[str, RoleState], answers: Mapping[str, _Answer]) -> bytes:
    registry = CollectorRegistry()
    up, restarts = (family.register(registry) for family in STACK_METRICS)
    for role, state in states.items():
        up.labels(role).set(int(answers[role].status == 200))
        restarts.labels(role).inc(state.restarts)
    return text_of(registry)
