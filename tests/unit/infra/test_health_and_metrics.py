"""Health by progress, the metrics, and the web server that tells both."""

from __future__ import annotations

import json
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

import infra
from infra.health import Health, ProcessHealth
from infra.http import serve
from infra.metrics import MOST_SHOPS, OTHER_SHOPS, Metrics, RoleMetrics, merged
from infra.metrics_table import PAGE, PROCESS_METRICS, ROLE_METRICS, STACK_METRICS, page
from processors.errors import Fatal
from tests.fakes.clock import FakeClock


def test_waiting_without_progress_is_unhealthy() -> None:
    """Only work that waits while nothing gets done is held against a process."""
    clock = FakeClock()
    health = Health(stall_seconds=60, clock=clock)
    clock.advance(10_000)
    assert health.report().healthy, "idle is healthy, however long"
    health.waiting(True)
    clock.advance(60)
    assert health.report().healthy
    clock.advance(1)
    assert not health.report().healthy
    assert health.report().stalled_seconds == 61
    health.progress()
    assert health.report().healthy


def test_progress_and_emptiness_keep_it_healthy() -> None:
    """Slow progress is progress; telling `waiting` again does not restart the clock; an empty pipeline stops it."""
    clock = FakeClock()
    health = Health(stall_seconds=60, clock=clock)
    health.waiting(True)
    for _ in range(10):
        clock.advance(50)
        health.progress()
        assert health.report().healthy
    clock.advance(40)
    health.waiting(True)
    clock.advance(40)
    assert not health.report().healthy
    health.waiting(False)
    assert health.report().healthy


def test_a_busy_role_does_not_speak_for_one_that_hangs() -> None:
    """Several roles in one process: each has its own health, and the process is as well as its worst role."""
    clock = FakeClock()
    process = ProcessHealth(["enrich", "caption"], stall_seconds=60, clock=clock)
    metrics = Metrics("enrich+caption", roles=process)
    enrich, caption = metrics.of("enrich"), metrics.of("caption")
    caption.credits_held(100, 1)
    for _ in range(7):
        clock.advance(10)
        enrich.credits_held(100, 1)
        enrich.acked("catalog.uploads", 0, 1, 0.1)
        enrich.credits_held(0, 0)
    assert {role: report.healthy for role, report in process.reports().items()} == {"enrich": True, "caption": False}
    assert not process.report().healthy
    caption.acked("catalog.items", 0, 1, 0.1)
    assert process.report().healthy


def test_counters_stand_at_zero_before_anything_happens() -> None:
    """Of a counter that appears at 1 `increase()` is 0: the alert on the first lost record would never come."""
    metrics = Metrics("enrich")
    metrics.of("enrich").begin([("weft_lost_records", "catalog.uploads"), ("weft_unchanged",)])
    text = metrics.exposition().decode()
    assert 'weft_lost_records_total{role="enrich",topic="catalog.uploads"} 0.0' in text
    assert 'weft_unchanged_total{role="enrich"} 0.0' in text


def test_records_that_nobody_reads_are_work_that_waits() -> None:
    """A reader that hangs leaves the pipeline empty; only what lies in the topic tells of it."""
    clock = FakeClock()
    health = Health(stall_seconds=60, clock=clock)
    metrics = Metrics("enrich", health=health)
    metrics.credits_held(0, 0)
    metrics.unread("catalog.uploads", {0: 0, 1: 5})
    clock.advance(61)
    assert not health.report().healthy
    metrics.unread("catalog.uploads", {0: 0})
    assert health.report().healthy, "the partition went to another worker"


def test_two_kinds_of_work_are_watched_apart() -> None:
    """The index answers probes while applying hangs: searching is no progress of indexing."""
    clock = FakeClock()
    health = Health(stall_seconds=60, clock=clock)
    metrics = Metrics("index", health=health)
    metrics.working("items", waiting=True)
    for _ in range(7):
        clock.advance(10)
        metrics.working("probes", waiting=True)
        metrics.stage_done("search", 0.001)
        metrics.worked("probes")
        metrics.working("probes", waiting=False)
        metrics.working("items", waiting=True)
    assert not health.report().healthy
    assert health.report().stalled_seconds == 70
    metrics.worked("items")
    assert health.report().healthy


def test_what_takes_long_is_told() -> None:
    """A batch that runs, trouble that is waited for, shards that are recovered; nothing when it hangs."""
    clock = FakeClock()
    health = Health(stall_seconds=60, clock=clock)
    metrics = Metrics("caption", health=health)
    metrics.batch_started("write")
    assert health.report().doing == "", "nothing waits"
    metrics.credits_held(1, 1)
    assert health.report().doing == "a batch of write"
    metrics.batch_ended("write")
    metrics.retried("publish", "KafkaTimeoutError")
    assert health.report().doing == "tries publish (KafkaTimeoutError) again"
    metrics.working("items", waiting=True, doing="recovers 3 shards")
    clock.advance(61)
    assert health.report().doing == "recovers 3 shards"
    metrics.working("items", waiting=False)
    clock.advance(61)
    assert (health.report().healthy, health.report().doing) == (False, "")


def test_a_pipeline_that_only_retries_becomes_unhealthy() -> None:
    """The engine's own events drive the health: retries are no progress, acknowledgements are."""
    clock = FakeClock()
    health = Health(stall_seconds=60, clock=clock)
    metrics = Metrics("enrich", health=health)
    metrics.credits_held(1000, 3)
    clock.advance(61)
    metrics.retried("publish", "Retryable")
    assert not health.report().healthy
    metrics.acked("catalog.uploads", 0, 7, 1.0)
    assert health.report().healthy
    clock.advance(61)
    metrics.credits_held(0, 0)
    assert health.report().healthy


def test_every_metric_tells_what_happened() -> None:
    """The numbers in the exposition are those that were reported, under their stage, cause and partition."""
    metrics = Metrics("enrich")
    metrics.stage_done("decode", 0.02)
    metrics.stage_done("decode", 0.2)
    metrics.batch_done("embed", 8, 1_000_000, 0.4)
    metrics.queue_depth("embed", 3)
    metrics.credits_held(2048, 5)
    metrics.failed("decode", "Poison")
    metrics.retried("publish", "Retryable")
    metrics.acked("catalog.uploads", 3, 81, 0.5)
    metrics.lag("catalog.uploads", {3: 12, 4: 0})
    metrics.aged("catalog.uploads", 240.0)
    metrics.captioned("template")
    metrics.unchanged()
    metrics.paired(1, 1)
    metrics.conflicted("pattern")
    metrics.answered("unknown_product", partial=False)
    metrics.answered("", partial=True)
    metrics.open_letters(7)
    metrics.composed("facets", 0.02)
    metrics.reranked("late")
    metrics.refused("ungrounded")
    metrics.paired(3, 1)
    metrics.matched(["met", "left", "met"])
    metrics.shadowed("compared", {"boxes": (2.0, 3.0)}, facts=(4, 5), refused=(1, 0))
    metrics.standing(3, 40)
    metrics.similar(500)
    metrics.lost("catalog.uploads", 5)
    metrics.misplaced("catalog.uploads", "partitioner")
    metrics.shop_done("acme")
    metrics.shop_charged("acme", "embed", 1.5)
    metrics.shop_credits("acme", 4096)
    metrics.model("detector")("forward", 8, 0.3)
    metrics.fallen(9)
    server = metrics.server("writer")
    server.answered(1.5, 300, 90, 0.002)
    server.unanswered("timeout")
    server.again("busy")
    server.open(True)
    value = metrics.registry.get_sample_value
    role = {"role": "enrich"}
    decode, embed = {**role, "stage": "decode"}, {**role, "stage": "embed"}
    place = {**role, "topic": "catalog.uploads", "partition": "3"}
    assert value("weft_stage_items_total", decode) == 2
    assert value("weft_stage_seconds_bucket", {**decode, "le": "0.025"}) == 1
    assert value("weft_batch_items_sum", embed) == 8
    assert value("weft_batch_cost_total", embed) == 1_000_000
    assert value("weft_queue_items", embed) == 3
    assert value("weft_credits_held_bytes", role) == 2048
    assert value("weft_in_flight_items", role) == 5
    assert value("weft_failures_total", {**decode, "cause": "Poison"}) == 1
    assert value("weft_retries_total", {**role, "stage": "publish", "cause": "Retryable"}) == 1
    assert value("weft_acked_offset", place) == 81
    assert value("weft_lag_messages", place) == 12
    uploads = {**role, "topic": "catalog.uploads"}
    assert value("weft_event_age_seconds_bucket", {**uploads, "le": "120.0"}) == 0
    assert value("weft_event_age_seconds_bucket", {**uploads, "le": "300.0"}) == 1
    assert value("weft_captions_total", {**role, "writer": "template"}) == 1
    assert value("weft_captions_refused_total", {**role, "rule": "ungrounded"}) == 1
    assert value("weft_query_errors_total", {**role, "code": "unknown_product"}) == 1
    assert value("weft_partial_answers_total", role) == 1
    assert value("weft_open_dead_letters", role) == 7
    assert value("weft_lost_records_total", uploads) == 5
    assert value("weft_misplaced_records_total", {**uploads, "cause": "partitioner"}) == 1
    shop = {**role, "shop": "acme"}
    assert value("weft_shop_messages_total", shop) == 1
    assert value("weft_shop_device_seconds_total", {**shop, "stage": "embed"}) == 1.5
    assert value("weft_shop_credits_held_bytes", shop) == 4096
    build = {"version": version("weft"), "commit": "", "python": platform.python_version()}
    assert value("weft_build_info", {**role, **build}) == 1
    assert value("weft_model_items_total", {**role, "model": "detector", "part": "forward"}) == 8

    assert value("weft_composed_seconds_count", {**role, "arm": "facets"}) == 1
    assert value("weft_reranked_total", {**role, "outcome": "late"}) == 1
    assert value("weft_matches_total", {**role, "state": "met"}) == 2
    assert (value("weft_standing_queries", role), value("weft_standing_pairs", role)) == (3, 40)
    assert value("weft_similar_products", role) == 500
    assert value("weft_captions_to_rewrite", role) == 9
    writer = {**role, "model": "writer"}
    assert value("weft_server_requests_total", {**writer, "outcome": "answered"}) == 1
    assert value("weft_server_requests_total", {**writer, "outcome": "timeout"}) == 1
    assert value("weft_server_retries_total", {**writer, "cause": "busy"}) == 1
    assert value("weft_server_tokens_total", {**writer, "kind": "prompt"}) == 300
    assert value("weft_server_tokens_total", {**writer, "kind": "completion"}) == 90
    assert value("weft_server_cost_total", writer) == 0.002
    assert value("weft_server_seconds_sum", writer) == 1.5
    assert value("weft_server_breaker_open", writer) == 1
    assert value("weft_shadow_products_total", {**role, "outcome": "compared"}) == 1
    boxes = {**role, "what": "boxes"}
    assert (value("weft_shadow_agreed_total", boxes), value("weft_shadow_compared_total", boxes)) == (2, 3)
    assert value("weft_shadow_facts_total", {**role, "side": "shadow"}) == 5
    assert value("weft_shadow_refused_total", {**role, "side": "live"}) == 1

    silent = [family for family in metrics.registry.collect() if not family.samples]
    assert not silent, "a metric that nothing sets has no place in the table"


def test_many_at_once_are_told_as_each_by_itself() -> None:
    """Sums, counts and buckets, and the last offset: an observation at a bound, below 0 and above all of them among them."""

    def told(*, together: bool) -> list[str]:
        metrics = Metrics("enrich")
        ages = [-1.0, 0.0, 0.5, 0.5, 1.0, 3.7, 1e6]
        if together:
            metrics.acked_all("catalog.uploads", 3, [7, 9, 12], 0.5)
            metrics.aged_all("catalog.uploads", ages)
            metrics.stage_done_by("read", 3, 0.25)
            metrics.stage_done_by("read", 0, 0.25)
            metrics.shop_done_by("acme", 3)
        else:
            for offset in (7, 9, 12):
                metrics.acked("catalog.uploads", 3, offset, 0.5)
                metrics.stage_done("read", 0.25)
                metrics.shop_done("acme")
            for age in ages:
                metrics.aged("catalog.uploads", age)
        lines = metrics.exposition().decode().splitlines()
        return [
            one
            for one in lines
            if one.startswith(("weft_stage", "weft_message", "weft_event", "weft_acked", "weft_shop"))
        ]

    found = told(together=True)
    assert found == told(together=False)
    assert any(line.endswith(" 7.0") for line in found)


def test_the_number_of_shops_in_the_metrics_is_bounded() -> None:
    """Whoever sends uploads chooses their names: past a hundred they are counted together."""
    metrics = Metrics("enrich")
    for number in range(MOST_SHOPS + 50):
        metrics.shop_done(f"shop-{number}")
        metrics.shop_credits(f"shop-{number}", number)
    value = metrics.registry.get_sample_value
    assert value("weft_shop_messages_total", {"role": "enrich", "shop": "shop-0"}) == 1
    assert value("weft_shop_messages_total", {"role": "enrich", "shop": OTHER_SHOPS}) == 50
    assert value("weft_shop_messages_total", {"role": "enrich", "shop": f"shop-{MOST_SHOPS}"}) is None
    assert value("weft_shop_credits_held_bytes", {"role": "enrich", "shop": OTHER_SHOPS}) is None


def test_a_partition_that_went_elsewhere_shows_no_lag() -> None:
    """Its last value would stand for ever, and be counted once more by its new owner."""
    metrics = Metrics("enrich")
    metrics.lag("catalog.uploads", {3: 12, 4: 5})
    metrics.lag("catalog.items", {3: 1})
    metrics.lag("catalog.uploads", {4: 6})
    value = metrics.registry.get_sample_value
    place = {"role": "enrich", "topic": "catalog.uploads"}
    assert value("weft_lag_messages", {**place, "partition": "3"}) is None
    assert value("weft_lag_messages", {**place, "partition": "4"}) == 6
    assert value("weft_lag_messages", {"role": "enrich", "topic": "catalog.items", "partition": "3"}) == 1


def test_two_roles_of_one_process_are_told_apart() -> None:
    """caption and index read the same topic: without a label of their own one would overwrite the other."""
    metrics = Metrics("caption+index")
    metrics.of("caption").lag("catalog.items", {0: 9})
    metrics.of("index").lag("catalog.items", {0: 1})
    value = metrics.registry.get_sample_value
    lags = [
        value("weft_lag_messages", {"role": role, "topic": "catalog.items", "partition": "0"})
        for role in ("caption", "index")
    ]
    assert lags == [9, 1]


def test_buckets_reach_ten_minutes() -> None:
    """A language model on a small machine takes minutes: all of that in +Inf would say nothing."""
    for family in ROLE_METRICS:
        if family.kind == "histogram" and family.name.endswith("_seconds"):
            assert max(family.buckets) >= 600, family.name


def test_every_metric_is_documented_and_told_by_somebody() -> None:
    """docs/metrics.md is what the table says, and each way to tell something is used outside of the tests."""
    assert PAGE.read_text("utf-8") == page()
    for family in (*ROLE_METRICS, *STACK_METRICS):
        assert f"| `{family.scraped}` |" in page()
    folder = Path(infra.__file__).parent.parent / "streams"
    sources = "".join(path.read_text("utf-8") for path in folder.rglob("*.py") if path.name != "observer.py")
    tells = [name for name in vars(RoleMetrics) if not name.startswith("_")]
    assert tells
    assert [name for name in tells if not re.search(rf"\.{name}\b", sources)] == []


def test_what_is_scraped_is_documented() -> None:
    """No series comes that docs/metrics.md does not have: none of the library's own either."""
    metrics = Metrics("enrich")
    metrics.stage_done("decode", 0.1)
    metrics.failed("decode", "Poison")
    told = set(re.findall(r"^# TYPE (\S+)", metrics.exposition().decode(), re.MULTILINE))
    documented = set(re.findall(r"^\| `(\w+)` \|", page(), re.MULTILINE))
    assert {"weft_failures_total", "weft_stage_seconds"} <= told
    assert told <= documented


def test_the_answers_of_several_processes_become_one() -> None:
    """Each family once, the samples of all under it, and no sample twice: else Prometheus refuses the whole answer."""
    one, two = Metrics("enrich"), Metrics("caption")
    one.stage_done("decode", 0.1)
    two.stage_done("write", 0.2)
    text = merged([one.exposition(), two.exposition()]).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert text.count("# TYPE weft_stage_items_total ") == 1
    assert {sample.labels["role"] for sample in families["weft_stage_items"].samples} == {"enrich", "caption"}
    assert {sample.labels["role"] for sample in families["process_resident_memory_bytes"].samples} == {
        "enrich",
        "caption",
    }
    samples = [(s.name, tuple(sorted(s.labels.items()))) for family in families.values() for s in family.samples]
    assert len(samples) == len(set(samples))
    documented = {name for name, *_ in PROCESS_METRICS}
    assert {name for name, _ in samples if name.startswith("process_")} == documented


def test_two_metrics_do_not_meet() -> None:
    """Each has its own registry: a second one in the process neither fails nor shares counts."""
    one, two = Metrics("a"), Metrics("a")
    one.failed("decode", "Poison")
    labels = {"role": "a", "stage": "decode", "cause": "Poison"}
    assert one.registry.get_sample_value("weft_failures_total", labels) == 1
    assert two.registry.get_sample_value("weft_failures_total", labels) is None


async def test_the_server_tells_metrics_health_and_readiness() -> None:
    """The three pages, and their status codes as the state changes."""
    clock = FakeClock()
    health = Health(stall_seconds=60, clock=clock)
    metrics = Metrics("index", health=health)
    metrics.failed("apply", "Poison")
    async with serve(metrics, health) as url, aiohttp.ClientSession() as http:

        async def status(page: str) -> int:
            async with http.get(url + page) as response:
                return response.status

        async with http.get(f"{url}/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert 'weft_failures_total{cause="Poison",role="index",stage="apply"} 1.0' in await response.text()
        assert (await status("/healthz"), await status("/readyz")) == (200, 503)
        health.ready(True)
        assert await status("/readyz") == 200
        health.waiting(True)
        clock.advance(61)
        metrics.trouble("5 records were deleted unread")
        assert (await status("/healthz"), await status("/readyz")) == (503, 503)
        async with http.get(f"{url}/healthz") as response:
            assert json.loads(await response.text()) == {
                "healthy": False,
                "ready": True,
                "waiting": True,
                "stalled_seconds": 61.0,
                "doing": "",
                "troubles": ["5 records were deleted unread"],
            }


async def test_each_role_of_a_process_has_pages_of_its_own() -> None:
    """An orchestrator may ask for one; the page of the process shows all."""
    clock = FakeClock()
    health = ProcessHealth(["enrich", "index"], stall_seconds=60, clock=clock)
    async with serve(Metrics("enrich+index", roles=health), health) as url, aiohttp.ClientSession() as http:

        async def page(path: str) -> tuple[int, dict[str, Any]]:
            async with http.get(url + path) as response:
                return response.status, json.loads(await response.text())

        health.of("enrich").ready(True)
        assert [(await page(f"/readyz{role}"))[0] for role in ("", "/enrich", "/index")] == [503, 200, 503]
        health.of("index").working("items", True)
        clock.advance(61)
        assert [(await page(f"/healthz{role}"))[0] for role in ("", "/enrich", "/index")] == [503, 200, 503]
        _, said = await page("/healthz")
        assert {role: one["healthy"] for role, one in said["roles"].items()} == {"enrich": True, "index": False}


async def test_a_taken_port_is_fatal() -> None:
    """A metrics port that another process holds is told in one sentence."""
    metrics, health = Metrics("a"), Health()
    async with serve(metrics, health) as url:
        with pytest.raises(Fatal, match="cannot listen on"):
            async with serve(metrics, health, port=int(url.rpartition(":")[2])):
                pass


def test_nothing_is_registered_at_import() -> None:
    """The library's global registry stays without metrics of ours."""
    from prometheus_client import REGISTRY

    Metrics("a")
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("weft")]


def test_a_trouble_that_is_over_is_shown_no_more() -> None:
    """A topic that was missing and is there again; what else a person must know of stays, and what was never told is no error."""
    health = Health()
    for text in ("no topic", "lost"):
        health.trouble(text)
    health.settled("no topic")
    health.settled("never told")
    assert health.report().troubles == ("lost",)
