"""One address for all roles of `weft up`."""

from __future__ import annotations

from contextlib import AsyncExitStack

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from infra import http
from infra.health import Health
from infra.metrics import Metrics
from streams.ops.stack_metrics import RoleState, serve


async def test_one_scrape_answers_all_roles() -> None:
    """What two workers tell, who is up, who was started again; a role that is being restarted is missing, not the rest."""
    async with AsyncExitStack() as stack:
        states = {}
        healths = {}
        for role, lag in (("enrich", 4), ("caption", 9)):
            metrics, healths[role] = Metrics(role), Health()
            metrics.lag("catalog.x", {0: lag})
            healths[role].ready(True)
            states[role] = RoleState(await stack.enter_async_context(http.serve(metrics, healths[role])), restarts=2)
        url = await stack.enter_async_context(serve(lambda: states))
        client = await stack.enter_async_context(aiohttp.ClientSession())

        async def page(path: str) -> tuple[int, str]:
            async with client.get(url + path) as response:
                return response.status, await response.text()

        def sample(text: str, name: str) -> dict[str, float]:
            families = text_string_to_metric_families(text)
            return {s.labels["role"]: s.value for family in families for s in family.samples if s.name == name}

        _, text = await page("/metrics")
        assert sample(text, "weft_lag_messages") == {"enrich": 4, "caption": 9}
        assert sample(text, "weft_role_up") == {"enrich": 1, "caption": 1}
        assert sample(text, "weft_role_restarts_total") == {"enrich": 2, "caption": 2}
        assert (await page("/healthz"))[0] == 200
        assert (await page("/readyz"))[0] == 200

        states["caption"] = RoleState(None, restarts=3)
        _, text = await page("/metrics")
        assert sample(text, "weft_lag_messages") == {"enrich": 4}
        assert sample(text, "weft_role_up") == {"enrich": 1, "caption": 0}
        assert sample(text, "weft_role_restarts_total") == {"enrich": 2, "caption": 3}
        status, text = await page("/healthz")
        assert status == 503
        assert '"caption": {"healthy": false, "cause": "does not run"}' in text

        states["caption"] = RoleState("http://127.0.0.1:9")
        status, text = await page("/readyz")
        assert status == 503
        assert "does not answer" in text


async def test_roles_of_one_process_are_asked_once() -> None:
    """With --single-process all roles share an address: their metrics must not come four times."""
    metrics = Metrics("enrich+caption")
    metrics.failed("decode", "Poison")
    async with http.serve(metrics, Health()) as worker:
        states = {"enrich": RoleState(worker), "caption": RoleState(worker)}
        async with (
            serve(lambda: states) as url,
            aiohttp.ClientSession() as client,
            client.get(f"{url}/metrics") as response,
        ):
            text = await response.text()
    assert text.count("\nweft_failures_total{") == 1
    assert 'weft_role_up{role="caption"} 1.0' in text


async def test_a_stack_is_well_without_a_role_that_only_tries_something() -> None:
    """`shadow` may be down or ill: it is told of, and nobody is woken for it."""
    health = Health()
    health.ready(True)
    async with http.serve(Metrics("enrich"), health) as worker:
        states = {"enrich": RoleState(worker), "shadow": RoleState(None, restarts=4)}
        async with serve(lambda: states) as url, aiohttp.ClientSession() as client:
            for path in ("/healthz", "/readyz"):
                async with client.get(url + path) as response:
                    assert response.status == 200
                    assert '"shadow"' in await response.text()
