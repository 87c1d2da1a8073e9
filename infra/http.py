"""The small web server of every role: `/metrics`, `/healthz`, `/readyz`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict

from aiohttp import web

from infra.health import Health, ProcessHealth
from infra.metrics import CONTENT_TYPE, Metrics
from processors.errors import BadSetting


@asynccontextmanager
async def serve(
    metrics: Metrics, health: Health | ProcessHealth, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve while the context is open; yields the base URL, e.g. `http://127.0.0.1:40123`.

    `/metrics` is Prometheus' text; `/healthz` and `/readyz` answer 200 or 503 with a `HealthReport` as JSON: of the whole
    process, with those of its roles below "roles"; `/healthz/ROLE` and `/readyz/ROLE` of one of them.

    Args:
        metrics: what `/metrics` tells.
        health: what the other two tell.
        host: address to listen on.
        port: 0 for any free one.

    Raises:
        BadSetting: the port is taken.
    """

    async def tell_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    def telling(one: Health | ProcessHealth, *, ready: bool) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def tell(_: web.Request) -> web.Response:
            report = one.report()
            said = asdict(report)
            if isinstance(one, ProcessHealth):
                said["roles"] = {role: asdict(each) for role, each in one.reports().items()}
            well = report.healthy and (report.ready or not ready)
            return web.json_response(said, status=200 if well else 503)

        return tell

    routes = {
        "/metrics": tell_metrics,
        "/healthz": telling(health, ready=False),
        "/readyz": telling(health, ready=True),
    }
    if isinstance(health, ProcessHealth):
        for role in health.reports():
            routes[f"/healthz/{role}"] = telling(health.of(role), ready=False)
            routes[f"/readyz/{role}"] = telling(health.of(role), ready=True)
    async with listen(routes, host=host, port=port) as url:
        yield url


@asynccontextmanager
async def listen(
    routes: Mapping[str, Callable[[web.Request], Awaitable[web.Response]]], *, host: str, port: int
) -> AsyncIterator[str]:
    """Answer GET requests of these paths while the context is open; yields the base URL.

    Raises:
        BadSetting: the port is taken.
    """
    app = web.Application()
    app.add_routes([web.get(path, handler) for path, handler in routes.items()])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise BadSetting(
                f"WEFT_METRICS_HOST, WEFT_METRICS_PORT: cannot listen on {host}:{port} for metrics: {error.strerror}"
            ) from error
        bound_host, bound_port = runner.addresses[0][:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        yield f"http://{shown}:{bound_port}"
    finally:
        await runner.cleanup()
