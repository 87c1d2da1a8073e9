"""Prometheus metrics of one process, in a registry of their own. Implements the engine's `Observer`."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest

from infra.health import Health

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What the roles of this process count. Each instance has its own registry: nothing is registered at import.

    Args:
        role: the label `role` of every metric, e.g. "enrich", or "enrich+caption" where one process runs both.
        health: told of progress and waiting as the engine reports them.
    """

    def __init__(self, role: str, *, health: Health | None = None) -> None:
        self.registry = CollectorRegistry()
        self._role = role
        self._health = health or Health()
        ProcessCollector(registry=self.registry)
        self._make_stage_metrics()
        self._make_flow_metrics()

    def _make_stage_metrics(self) -> None:
        registry, stage = self.registry, ("role", "stage")
        self._items = Counter("weft_stage_items", "Items that left a stage.", stage, registry=registry)
        self._seconds = Histogram(
            "weft_stage_seconds",
            "Seconds of an item in a stage, queueing included.",
            stage,
            registry=registry,
            buckets=_SECONDS,
        )
        self._batch_items = Histogram(
            "weft_batch_items", "Items of a batch of the device.", stage, registry=registry, buckets=_ITEMS
        )
        self._batch_cost = Counter(
            "weft_batch_cost", "Cost (pixels, tokens) of the batches of the device.", stage, registry=registry
        )
        self._batch_seconds = Histogram(
            "weft_batch_seconds", "Seconds of a batch on the device.", stage, registry=registry, buckets=_SECONDS
        )
        self._queue = Gauge("weft_queue_items", "Items that wait for the device.", stage, registry=registry)
        self._failures = Counter(
            "weft_failures", "Messages that failed for good, by cause.", (*stage, "cause"), registry=registry
        )
        self._retries = Counter(
            "weft_retries", "Attempts that failed and were repeated, by cause.", (*stage, "cause"), registry=registry
        )
        self._model_seconds = Histogram(
            "weft_model_seconds",
            "Seconds of a model's calls, by part (pre, forward, post …).",
            ("role", "model", "part"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._model_items = Counter(
            "weft_model_items", "Items that a model worked on.", ("role", "model", "part"), registry=registry
        )

    def _make_flow_metrics(self) -> None:
        registry, role = self.registry, ("role",)
        self._credits = Gauge("weft_credits_held_bytes", "Bytes in the pipeline.", role, registry=registry)
        self._in_flight = Gauge("weft_in_flight_items", "Messages in the pipeline.", role, registry=registry)
        self._message_seconds = Histogram(
            "weft_message_seconds",
            "Seconds from a message's admission to its acknowledgement.",
            (*role, "topic"),
            registry=registry,
            buckets=_SECONDS,
        )
        place = (*role, "topic", "partition")
        self._acked = Gauge("weft_acked_offset", "Last offset whose effects are all durable.", place, registry=registry)
        self._lag = Gauge("weft_lag_messages", "Messages after the last finished one.", place, registry=registry)
        self._applied = Gauge("weft_applied_offset", "Next offset that the index applies.", place, registry=registry)

    # ------------------------------------------------------------------ the engine's Observer

    def stage_done(self, stage: str, seconds: float) -> None:
        """One item left `stage`, `seconds` after it entered."""
        self._items.labels(self._role, stage).inc()
        self._seconds.labels(self._role, stage).observe(seconds)
        self._health.progress()

    def batch_done(self, stage: str, items: int, cost: int, seconds: float) -> None:
        """The device ran a batch."""
        self._batch_items.labels(self._role, stage).observe(items)
        self._batch_cost.labels(self._role, stage).inc(cost)
        self._batch_seconds.labels(self._role, stage).observe(seconds)
        self._health.progress()

    def queue_depth(self, stage: str, items: int) -> None:
        """`items` wait for the device."""
        self._queue.labels(self._role, stage).set(items)

    def credits_held(self, held: int, items: int) -> None:
        """`held` bytes of `items` messages are in the pipeline."""
        self._credits.labels(self._role).set(held)
        self._in_flight.labels(self._role).set(items)
        self._health.waiting(items > 0)

    def failed(self, stage: str, cause: str) -> None:
        """A message failed for good."""
        self._failures.labels(self._role, stage, cause).inc()

    def retried(self, stage: str, cause: str) -> None:
        """An attempt failed and is going to be repeated. That is no progress."""
        self._retries.labels(self._role, stage, cause).inc()

    def acked(self, topic: str, partition: int, offset: int, seconds: float) -> None:
        """A message is done."""
        self._acked.labels(self._role, topic, str(partition)).set(offset)
        self._message_seconds.labels(self._role, topic).observe(seconds)
        self._health.progress()

    # ------------------------------------------------------------------ what the roles add

    def lag(self, topic: str, partition: int, messages: int) -> None:
        """`messages` are in the partition after the last finished one."""
        self._lag.labels(self._role, topic, str(partition)).set(messages)

    def applied(self, topic: str, partition: int, offset: int) -> None:
        """The index has applied everything below `offset`."""
        self._applied.labels(self._role, topic, str(partition)).set(offset)
        self._health.progress()

    def model(self, name: str) -> Callable[[str, int, float], None]:
        """An observer for the guard of the model `name`: called with part, items and seconds."""

        def observe(part: str, items: int, seconds: float) -> None:
            self._model_items.labels(self._role, name, part).inc(items)
            self._model_seconds.labels(self._role, name, part).observe(seconds)

        return observe

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
