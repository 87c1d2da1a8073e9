"""Prometheus metrics of one process, in a registry of their own. Implements the engine's `Observer`, once for each role."""

from __future__ import annotations

import platform
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric

from infra.health import Health, ProcessHealth
from infra.metrics_table import ROLE_METRICS

_CREATED = re.compile(r"(?:# (?:HELP|TYPE) )?\w+_created[ {]")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def observe_all(histogram: Any, values: Sequence[float], times: int = 1) -> None:
    """`histogram.observe` of each value, so many times: the library takes three locks for each, and of thousands of records a second
    that is a tenth of what they cost.
    """
    bounds, buckets = histogram._upper_bounds, histogram._buckets  # noqa: SLF001 - it has no call for many
    for bucket, count in Counter(bisect_left(bounds, value) for value in values).items():
        buckets[bucket].inc(count * times)
    histogram._sum.inc(sum(values) * times)  # noqa: SLF001


MOST_SHOPS = 100
"""Shops that have a label of their own in the metrics of a role."""
OTHER_SHOPS = "(others)"


class RoleMetrics:
    """What one role counts.

    Args:
        families: the metrics of the process, by name.
        role: the label `role`.
        health: told of progress and waiting as the engine reports them.
    """

    def __init__(self, families: Mapping[str, Any], role: str, health: Health) -> None:
        self._families = families
        self._role = role
        self._health = health
        self._lagging: dict[str, set[str]] = {}
        self._shops: set[str] = set()
        self._known: dict[tuple[str, ...], Any] = {}

    def _of(self, name: str, *labels: str) -> Any:
        # Asked a dozen times for each record: the family looks a child up by a lock and texts made anew.
        known = self._known.get((name, *labels))
        if known is None:
            known = self._known[name, *labels] = self._families[name].labels(self._role, *labels)
        return known

    def begin(self, counters: Iterable[tuple[str, ...]]) -> None:
        """Let counters stand at 0 from the start: of one that first appears at 1, an alert on its increase never fires.

        Args:
            counters: the name of each without its suffix, and its labels beside the role.
        """
        for name, *labels in counters:
            self._of(name, *labels).inc(0)

    # ------------------------------------------------------------------ the engine's Observer

    def stage_done(self, stage: str, seconds: float) -> None:
        """One item left `stage`, `seconds` after it entered."""
        self._of("weft_stage_items", stage).inc()
        self._of("weft_stage_seconds", stage).observe(seconds)
        self._health.progress()

    def stage_done_by(self, stage: str, items: int, seconds: float) -> None:
        """The same of items that took `seconds` each."""
        if items:
            self._of("weft_stage_items", stage).inc(items)
            observe_all(self._of("weft_stage_seconds", stage), [seconds], items)
            self._health.progress()

    def batch_started(self, stage: str) -> None:
        """The device begins to run a batch."""
        self._health.doing("batch", f"a batch of {stage}")

    def batch_ended(self, stage: str) -> None:  # noqa: ARG002 - the device runs one at a time
        """The batch has ended, well or not."""
        self._health.doing("batch")

    def batch_done(self, stage: str, items: int, cost: int, seconds: float) -> None:
        """The device ran a batch."""
        self._of("weft_batch_items", stage).observe(items)
        self._of("weft_batch_cost", stage).inc(cost)
        self._of("weft_batch_seconds", stage).observe(seconds)
        self._health.progress()

    def queue_depth(self, stage: str, items: int) -> None:
        """`items` wait for the device."""
        self._of("weft_queue_items", stage).set(items)

    def credits_held(self, held: int, items: int) -> None:
        """`held` bytes of `items` messages are in the pipeline."""
        self._of("weft_credits_held_bytes").set(held)
        self._of("weft_in_flight_items").set(items)
        self._health.waiting(items > 0)

    def failed(self, stage: str, cause: str) -> None:
        """A message failed for good."""
        self._of("weft_failures", stage, cause).inc()

    def retried(self, stage: str, cause: str) -> None:
        """An attempt failed and is going to be repeated. That is no progress."""
        self._of("weft_retries", stage, cause).inc()
        self._health.retrying(f"{stage} ({cause})")

    def acked(self, topic: str, partition: int, offset: int, seconds: float) -> None:
        """A message is done."""
        self._of("weft_acked_offset", topic, str(partition)).set(offset)
        self._of("weft_message_seconds", topic).observe(seconds)
        self._health.progress()

    def acked_all(self, topic: str, partition: int, offsets: Sequence[int], seconds: float) -> None:
        """The same of messages that went as one."""
        self._of("weft_acked_offset", topic, str(partition)).set(offsets[-1])
        observe_all(self._of("weft_message_seconds", topic), [seconds], len(offsets))
        self._health.progress()

    def aged(self, topic: str, seconds: float) -> None:
        """A message of `topic` is done, `seconds` after the event at the beginning of it all."""
        self._of("weft_event_age_seconds", topic).observe(max(0.0, seconds))

    def aged_all(self, topic: str, seconds: Sequence[float]) -> None:
        """The same of messages that are done at once."""
        observe_all(self._of("weft_event_age_seconds", topic), [max(0.0, one) for one in seconds])

    def lag(self, topic: str, messages: Mapping[int, int]) -> None:
        """How many messages are behind the last finished one, of each partition held; those not held any more go."""
        held = {str(partition) for partition in messages}
        for gone in self._lagging.get(topic, set()) - held:
            # A partition that another worker has taken would show its last value for ever, and be counted twice.
            self._families["weft_lag_messages"].remove(self._role, topic, gone)
        self._lagging[topic] = held
        for partition, count in messages.items():
            self._families["weft_lag_messages"].labels(self._role, topic, str(partition)).set(count)

    def unread(self, topic: str, messages: Mapping[int, int]) -> None:
        """How many messages of each partition held have not even been read."""
        self._health.unread(topic, any(messages.values()))

    def working(self, work: str, *, waiting: bool, doing: str = "") -> None:
        """Whether something waits for this kind of work, and what is known to take long about it."""
        self._health.working(work, waiting)
        self._health.doing(work, doing)

    def worked(self, work: str = "") -> None:
        """Some of this kind of work was done."""
        self._health.progress(work)

    # ------------------------------------------------------------------ what single roles add

    def captioned(self, writer: str) -> None:
        """A caption was published."""
        self._of("weft_captions", writer).inc()

    def refused(self, rule: str) -> None:
        """See `Observer`."""
        self._of("weft_captions_refused", rule).inc()

    def fallen(self, captions: int) -> None:
        """So many captions stand in for a language model that was away."""
        self._of("weft_captions_to_rewrite").set(captions)

    def paired(self, made: int, gone: int) -> None:
        """See `Observer`."""
        self._of("weft_triplets", "made").inc(made)
        self._of("weft_triplets", "deleted").inc(gone)

    def unchanged(self) -> None:
        """A product came again as it was."""
        self._of("weft_unchanged").inc()

    def conflicted(self, facet: str) -> None:
        """A photo shows another value of a facet than the shop says."""
        self._of("weft_facet_conflicts", facet).inc()

    def answered(self, error: str, *, partial: bool) -> None:
        """A query was answered; `error` is the code of its error, or empty."""
        if error:
            self._of("weft_query_errors", error).inc()
        self._of("weft_partial_answers").inc(int(partial))

    def lost(self, topic: str, records: int) -> None:
        """So many records were deleted before they were read."""
        self._of("weft_lost_records", topic).inc(records)

    def misplaced(self, topic: str, why: str) -> None:
        """A record lay on another partition than its key names."""
        self._of("weft_misplaced_records", topic, why).inc()

    def trouble(self, text: str) -> None:
        """A person must know of this; `/healthz` shows it."""
        self._health.trouble(text)

    def settled(self, text: str) -> None:
        """That trouble is over; `/healthz` shows it no more."""
        self._health.settled(text)

    def composed(self, arm: str, seconds: float) -> None:
        """A query of image and words was answered by this composer."""
        self._of("weft_composed_seconds", arm).observe(seconds)

    def reranked(self, outcome: str) -> None:
        """See `Observer`."""
        self._of("weft_reranked", outcome).inc()

    def shadowed(
        self,
        outcome: str,
        agreed: Mapping[str, tuple[float, float]],
        *,
        facts: tuple[int, int],
        refused: tuple[int, int],
    ) -> None:
        """See `Observer`."""
        self._of("weft_shadow_products", outcome).inc()
        for what, (same, of) in agreed.items():
            self._of("weft_shadow_agreed", what).inc(same)
            self._of("weft_shadow_compared", what).inc(of)
        for side, stated, dropped in zip(("live", "shadow"), facts, refused, strict=True):
            self._of("weft_shadow_facts", side).inc(stated)
            self._of("weft_shadow_refused", side).inc(dropped)

    def matched(self, states: Iterable[str]) -> None:
        """Events about standing queries were published."""
        for state in states:
            self._of("weft_matches", state).inc()

    def standing(self, queries: int, pairs: int) -> None:
        """So many standing queries are watched for, and so many products meet one of them."""
        self._of("weft_standing_queries").set(queries)
        self._of("weft_standing_pairs").set(pairs)

    def similar(self, products: int) -> None:
        """So many products have their neighbours kept true."""
        self._of("weft_similar_products").set(products)

    def open_letters(self, count: int) -> None:
        """So many dead letters are open."""
        self._of("weft_open_dead_letters").set(count)

    # ------------------------------------------------------------------ by shop

    def _shop(self, shop: str) -> str:
        """The label of a shop. Whoever sends uploads chooses the names: their number is bounded."""
        if shop not in self._shops:
            if len(self._shops) >= MOST_SHOPS:
                return OTHER_SHOPS
            self._shops.add(shop)
        return shop

    def shop_done(self, shop: str) -> None:
        """A message of this shop is done."""
        self._of("weft_shop_messages", self._shop(shop)).inc()

    def shop_done_by(self, shop: str, messages: int) -> None:
        """So many messages of this shop are done."""
        self._of("weft_shop_messages", self._shop(shop)).inc(messages)

    def shop_charged(self, shop: str, stage: str, seconds: float) -> None:
        """The device has worked for this shop."""
        self._of("weft_shop_device_seconds", self._shop(shop), stage).inc(seconds)

    def shop_credits(self, shop: str, held: int) -> None:
        """`held` bytes of this shop's messages are in the pipeline. Of the others together nothing is told."""
        if (label := self._shop(shop)) != OTHER_SHOPS:
            self._of("weft_shop_credits_held_bytes", label).set(held)


class Metrics(RoleMetrics):
    """The metrics of one process. Each instance has its own registry: nothing is registered at import.

    Args:
        role: the label `role` of what the process does as a whole, e.g. "enrich", or "enrich+caption" where one process
            runs both; see `of`.
        health: told of progress and waiting as the engine reports them.
        roles: the same for each single role, see `of`.
        commit: of the sources, where the image was built from a commit; else empty.
    """

    def __init__(
        self, role: str, *, health: Health | None = None, roles: ProcessHealth | None = None, commit: str = ""
    ) -> None:
        self.registry = CollectorRegistry()
        families = {family.name: family.register(self.registry) for family in ROLE_METRICS}
        super().__init__(families, role, health or Health())
        self._roles = roles
        self.registry.register(_ProcessMetrics(role))
        self._of("weft_build_info", _version(), commit, platform.python_version()).set(1)

    def of(self, role: str) -> RoleMetrics:
        """The metrics of one of the roles of this process."""
        return RoleMetrics(self._families, role, self._health if self._roles is None else self._roles.of(role))

    def model(self, name: str) -> Callable[[str, int, float], None]:
        """An observer for the guard of the model `name`: called with part, items and seconds."""

        def observe(part: str, items: int, seconds: float) -> None:
            self._of("weft_model_items", name, part).inc(items)
            self._of("weft_model_seconds", name, part).observe(seconds)

        return observe

    def server(self, name: str) -> ServerMetrics:
        """The counts of the server behind the model `name` (`models.served.watch.Watch`)."""
        return ServerMetrics(self._of, name)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return text_of(self.registry)


class ServerMetrics:
    """What the server behind one model does.

    Args:
        of: a metric by its name and its labels beside the role.
        model: the label `model`.
    """

    def __init__(self, of: Callable[..., Any], model: str) -> None:
        self._of, self._model = of, model
        for kind in ("prompt", "completion"):
            of("weft_server_tokens", model, kind).inc(0)
        of("weft_server_cost", model).inc(0)
        of("weft_server_breaker_open", model).set(0)

    def answered(self, seconds: float, prompt_tokens: int, completion_tokens: int, cost: float) -> None:
        """An answer came."""
        self._of("weft_server_requests", self._model, "answered").inc()
        self._of("weft_server_seconds", self._model).observe(seconds)
        self._of("weft_server_tokens", self._model, "prompt").inc(prompt_tokens)
        self._of("weft_server_tokens", self._model, "completion").inc(completion_tokens)
        self._of("weft_server_cost", self._model).inc(cost)

    def unanswered(self, cause: str) -> None:
        """A request was given up."""
        self._of("weft_server_requests", self._model, cause).inc()

    def again(self, cause: str) -> None:
        """An attempt failed, and is repeated."""
        self._of("weft_server_retries", self._model, cause).inc()

    def open(self, is_open: bool) -> None:
        """Whether the server is left alone."""
        self._of("weft_server_breaker_open", self._model).set(int(is_open))


class _ProcessMetrics:
    """CPU, memory and files of the process, under its role: those of several processes can be told in one answer."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterable[Metric]:
        for family in self._process.collect():
            named = Metric(family.name, family.documentation, family.type)
            for sample in family.samples:
                named.add_sample(sample.name, {"role": self._role, **sample.labels}, sample.value)
            yield named


def text_of(registry: CollectorRegistry) -> bytes:
    """Prometheus' text format, without the library's `_created` series: three more for each one, which nobody reads."""
    lines = generate_latest(registry).decode().splitlines(keepends=True)
    return "".join(line for line in lines if not _CREATED.match(line)).encode()


def merged(expositions: Iterable[bytes]) -> bytes:
    """Several answers of `/metrics` as one: each family once, with the samples of all. Their labels tell them apart."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for text in expositions:
        family = ""
        fresh = False
        for line in text.decode().splitlines():
            if line.startswith("# HELP "):
                family = line.split(" ", 3)[2]
                fresh = family not in heads
                if fresh:
                    heads[family], samples[family] = [line], []
            elif line.startswith("#"):
                if fresh:
                    heads[family].append(line)
            elif line:
                samples[family].append(line)
    return "".join(f"{line}\n" for name in heads for line in (*heads[name], *samples[name])).encode()


def _version() -> str:
    try:
        return version("weft")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0+unknown"
