"""Every metric: its name, kind, labels and meaning. The registry is made from this, and so is docs/metrics.md."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Upper bounds in seconds: a language model on a small CPU takes minutes for a batch."""
AGES = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400)
ITEMS = (1, 2, 4, 8, 16, 32, 64, 128)

STAGE = ("role", "stage")
PLACE = ("role", "topic", "partition")


@dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Args:
        name: as scraped, without the suffixes `_total`, `_bucket`, `_sum` and `_count`.
        kind: what Prometheus calls its type.
        labels: their names, in order.
        meaning: one sentence with the unit.
        buckets: upper bounds of a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()

    @property
    def scraped(self) -> str:
        """The name that a query uses."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    def register(self, registry: CollectorRegistry) -> Any:
        """The metric itself, in a registry."""
        if self.kind == "histogram":
            return Histogram(self.name, self.meaning, self.labels, registry=registry, buckets=self.buckets)
        kind = Counter if self.kind == "counter" else Gauge
        return kind(self.name, self.meaning, self.labels, registry=registry)


ROLE_METRICS: tuple[Family, ...] = (
    Family("weft_build_info", "gauge", ("role", "version", "commit", "python"), "Always 1; the labels say what runs."),
    Family("weft_stage_items", "counter", STAGE, "Items that left a stage."),
    Family("weft_stage_seconds", "histogram", STAGE, "Seconds of an item in a stage, queueing included.", SECONDS),
    Family("weft_batch_items", "histogram", STAGE, "Items of a batch of the device.", ITEMS),
    Family("weft_batch_cost", "counter", STAGE, "Cost (pixels, tokens) of the batches of the device."),
    Family("weft_batch_seconds", "histogram", STAGE, "Seconds of a batch on the device.", SECONDS),
    Family("weft_queue_items", "gauge", STAGE, "Items that wait for the device."),
    Family("weft_failures", "counter", (*STAGE, "cause"), "Messages that failed for good, by class of the cause."),
    Family(
        "weft_retries", "counter", (*STAGE, "cause"), "Attempts that failed and were repeated, by class of the cause."
    ),
    Family(
        "weft_model_seconds",
        "histogram",
        ("role", "model", "part"),
        "Seconds of a model's calls, by part (pre, forward, post …).",
        SECONDS,
    ),
    Family("weft_model_items", "counter", ("role", "model", "part"), "Items that a model worked on."),
    Family("weft_credits_held_bytes", "gauge", ("role",), "Bytes in the pipeline."),
    Family("weft_in_flight_items", "gauge", ("role",), "Messages in the pipeline."),
    Family(
        "weft_message_seconds",
        "histogram",
        ("role", "topic"),
        "Seconds from a message's admission to its acknowledgement.",
        SECONDS,
    ),
    Family(
        "weft_event_age_seconds",
        "histogram",
        ("role", "topic"),
        "Seconds from the first event (the shop's upload, the shopper's query) until a role is done with what came of it.",
        AGES,
    ),
    Family("weft_acked_offset", "gauge", PLACE, "Last offset whose effects are all durable."),
    Family("weft_lag_messages", "gauge", PLACE, "Messages behind the last one of which all effects are durable."),
    Family(
        "weft_captions", "counter", ("role", "writer"), "Captions published, by writer: llm, or template (the rules)."
    ),
    Family(
        "weft_captions_refused",
        "counter",
        ("role", "rule"),
        "Drafts of the language model that were not used, by the rule that refused them (once for each rule); failed: it raised an error,"
        " hung: it gave no answer in time.",
    ),
    Family(
        "weft_captions_to_rewrite",
        "gauge",
        ("role",),
        "Captions by rule that stand in for a language model that was away, of all partitions; they are written again once it answers"
        " (take max over processes).",
    ),
    Family(
        "weft_server_requests",
        "counter",
        ("role", "model", "outcome"),
        "Requests to the server of a language model, by outcome: answered, or why not (connect, timeout, busy, server_error, broken, rubbish,"
        " too_large, refused, key, model, redirect; open: not sent while the server is left alone).",
    ),
    Family(
        "weft_server_retries",
        "counter",
        ("role", "model", "cause"),
        "Attempts at such a request that failed and were repeated.",
    ),
    Family(
        "weft_server_seconds",
        "histogram",
        ("role", "model"),
        "Seconds of an answered request, with its further attempts.",
        SECONDS,
    ),
    Family(
        "weft_server_tokens",
        "counter",
        ("role", "model", "kind"),
        "Tokens that the server counted: prompt, completion.",
    ),
    Family(
        "weft_server_cost",
        "counter",
        ("role", "model"),
        "What they cost, by the prices of the profile, in its currency.",
    ),
    Family(
        "weft_server_breaker_open",
        "gauge",
        ("role", "model"),
        "1 while the server is left alone, because it fails or refuses us; /healthz says why.",
    ),
    Family("weft_triplets", "counter", ("role", "state"), "Triplets that were published (made) and deleted."),
    Family("weft_unchanged", "counter", ("role",), "Products that came again as they were: no model was asked."),
    Family(
        "weft_facet_conflicts",
        "counter",
        ("role", "facet"),
        "Garments of which the photo shows another value than the shop says, by facet; the shop's word counts.",
    ),
    Family("weft_query_errors", "counter", ("role", "code"), "Queries answered with an error, by its code."),
    Family("weft_partial_answers", "counter", ("role",), "Queries answered without all shards."),
    Family(
        "weft_composed_seconds",
        "histogram",
        ("role", "arm"),
        "Seconds from reading a query of image and words to its result, by the composer that answered (its arm of a test).",
        SECONDS,
    ),
    Family(
        "weft_reranked",
        "counter",
        ("role", "outcome"),
        "Composed queries whose best hits were to be compared again (`WEFT_RERANK`), by outcome: done; some (shards that did not tell their"
        " vectors); late (no time was left); failed.",
    ),
    Family(
        "weft_shadow_products",
        "counter",
        ("role", "outcome"),
        "Captions of the share that `WEFT_SHADOW_PROFILE` looks at, by outcome: compared; late (dropped: published a minute ago, and not begun);"
        " unknown (its item was not seen); failed.",
    ),
    Family(
        "weft_shadow_compared",
        "counter",
        ("role", "what"),
        "What both profiles said something of: category (of the product), boxes (garments that either found), neighbours (ten of a"
        " product, among the latest 2,000 of the share), facts (facets that both captions state).",
    ),
    Family(
        "weft_shadow_agreed",
        "counter",
        ("role", "what"),
        "Of `weft_shadow_compared_total`, what both say alike (boxes: IoU .5). Agreement is the ratio of the two.",
    ),
    Family(
        "weft_shadow_facts",
        "counter",
        ("role", "side"),
        "Facets that the captions compared state: side live, and side shadow.",
    ),
    Family(
        "weft_shadow_refused",
        "counter",
        ("role", "side"),
        "Drafts of the captions compared that were refused: side live, and side shadow.",
    ),
    Family("weft_matches", "counter", ("role", "state"), "Events about standing queries, by state: met, left, there …"),
    Family("weft_standing_queries", "gauge", ("role",), "Standing queries that a worker watches for."),
    Family(
        "weft_standing_pairs",
        "gauge",
        ("role",),
        "Products of a worker's partitions that meet a standing query, over all.",
    ),
    Family("weft_similar_products", "gauge", ("role",), "Products whose neighbours are kept true (catalog.similar)."),
    Family("weft_lost_records", "counter", ("role", "topic"), "Records that were deleted before they were read."),
    Family(
        "weft_misplaced_records",
        "counter",
        ("role", "topic", "cause"),
        "Records on another partition than their key names, passed on to the right one; cause: partitioner, no key, or a "
        "key with its shop.",
    ),
    Family(
        "weft_shop_messages",
        "counter",
        ("role", "shop"),
        "Messages that are done, by shop: the first hundred that a process meets by name, all others as `(others)`.",
    ),
    Family(
        "weft_shop_device_seconds",
        "counter",
        ("role", "shop", "stage"),
        "Seconds that the device worked for a shop: of each batch, its share by cost. What a shop costs.",
    ),
    Family("weft_shop_credits_held_bytes", "gauge", ("role", "shop"), "Bytes of a shop's messages in the pipeline."),
    Family(
        "weft_open_dead_letters",
        "gauge",
        ("role",),
        "Dead letters that are neither put back nor dropped, of all roles; told by enrich (take max over processes).",
    ),
)
PROCESS_METRICS = (
    ("process_cpu_seconds_total", "counter", ("role",), "Seconds of CPU time of the process."),
    ("process_resident_memory_bytes", "gauge", ("role",), "Bytes of memory that the process holds."),
    ("process_virtual_memory_bytes", "gauge", ("role",), "Bytes of address space of the process."),
    ("process_start_time_seconds", "gauge", ("role",), "Start of the process, in seconds since 1970."),
    ("process_open_fds", "gauge", ("role",), "Open files and sockets of the process."),
    ("process_max_fds", "gauge", ("role",), "Files and sockets that the process may open."),
)
STACK_METRICS: tuple[Family, ...] = (
    Family("weft_role_up", "gauge", ("role",), "1 while the role's process runs, takes work and answers, else 0."),
    Family("weft_role_restarts", "counter", ("role",), "How often `weft up` has started the role's process again."),
)

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
_HEAD = """\
# Metrics

Every worker serves its metrics in Prometheus' text format under `/metrics` at `WEFT_METRICS_HOST` and
`WEFT_METRICS_PORT`. `weft up` serves those of all its roles at that one address, and says at `/healthz` and `/readyz` how
each role is; `stack.json` names the address. This page is written from `infra/metrics_table.py` by
`python -m infra.metrics_table`; do not edit it.

`role` is the role; where one process runs several and shares the device and the models, it is all of them, joined by `+`.
`topic` is the name in [events.md](events.md), whatever the topic is called on the cluster. A histogram has the suffixes
`_bucket`, `_sum` and `_count`.

| metric | type | labels | meaning |
|---|---|---|---|
"""
_STACK_HEAD = """
`weft up` adds:

| metric | type | labels | meaning |
|---|---|---|---|
"""
_TAIL = """
The seconds of a shadow's models stand beside those of the live ones: `weft_batch_seconds` and `weft_batch_items` of the stages `detect`,
`embed`, `write` and `rewrite`, with `role="shadow"` and `role="enrich"` or `"caption"`. The shadow gives way to all others, and looks slower for it on a busy machine.

What to watch: `sum by (role) (weft_lag_messages)` that grows, `weft_open_dead_letters` above 0, `weft_role_up == 0`, and
`histogram_quantile(0.95, sum by (le, role) (rate(weft_event_age_seconds_bucket[5m])))` for how old a photo is when its
caption is published. Of a writer behind a server: `weft_server_breaker_open == 1`; tokens and cost of a caption are
`sum(rate(weft_server_tokens_total{model="writer"}[1h])) / sum(rate(weft_captions_total{writer="llm"}[1h]))`, and the same with
`weft_server_cost_total`: drafts that were refused are paid, too. Outside monitors (Burrow, kafka-exporter, MSK) see the same lag: every group commits its offsets, the
index's for this purpose only.
"""


def page() -> str:
    """The whole page."""
    roles = [_row(f.scraped, f.kind, f.labels, f.meaning) for f in ROLE_METRICS]
    processes = [_row(*row) for row in PROCESS_METRICS]
    stack = [_row(f.scraped, f.kind, f.labels, f.meaning) for f in STACK_METRICS]
    return _HEAD + "\n".join(roles + processes) + "\n" + _STACK_HEAD + "\n".join(stack) + "\n" + _TAIL


def _row(name: str, kind: str, labels: tuple[str, ...], meaning: str) -> str:
    return f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` say whether it is current (exit status 1: it is not)."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m infra.metrics_table [--check]\n")
        return 2
    if not arguments:
        PAGE.write_text(page(), "utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text("utf-8") == page():
        return 0
    sys.stderr.write(f"docs/{PAGE.name} is not current: run `python -m infra.metrics_table`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
