"""What a role asks of Faust, and how it ends."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError

from infra.settings import Settings
from processors.errors import Fatal, Retryable
from streams.kafka.consumer import PlainConsumer
from streams.kafka.faust.app import _build_app, _drained, _stay, group_lost
from streams.kafka.faust.reports import TopicsRead
from streams.kafka.notices import NullNotices, end_where_hidden, tell_missing
from tests.fixtures.virtual_time import run_virtual

DAY = 24 * 3600


def test_a_role_that_reads_nothing_stays_in_its_group_as_long_as_it_moves():
    """Out of credits behind a slow device it reads nothing, on purpose; one that hangs is left to Kafka's own limit."""
    settings = Settings(poll_seconds=100, device_seconds=600)
    assert _build_app("group", "enrich", settings, 30.0).conf.broker_max_poll_interval == 100

    async def main():
        subscription = SimpleNamespace(_last_fetch_ended=None)
        consumer = SimpleNamespace(_thread=SimpleNamespace(_consumer=SimpleNamespace(_subscription=subscription)))
        app, pipeline = SimpleNamespace(started=True, consumer=consumer), SimpleNamespace(still_for=599.0)
        staying = asyncio.create_task(_stay(app, pipeline, settings))
        for still_for, told in ((599.0, True), (601.0, False), (0.0, True)):
            pipeline.still_for, subscription._last_fetch_ended = still_for, None
            await asyncio.sleep(50)
            assert (subscription._last_fetch_ended is not None) == told
        staying.cancel()

    run_virtual(main())


def test_a_group_that_nobody_asks_any_more_ends_the_role():
    """Kafka's client ends its coordination by an assertion when a returning broker knows no broker: nothing else tells."""

    async def main():
        asking = asyncio.get_running_loop().create_future()
        coordinator = SimpleNamespace(_pending_exception=None, _coordination_task=asking)
        consumer = SimpleNamespace(_thread=SimpleNamespace(_consumer=SimpleNamespace(_coordinator=coordinator)))
        watching = asyncio.create_task(group_lost(SimpleNamespace(started=True, consumer=consumer)))
        await asyncio.sleep(600)
        assert not watching.done()
        asking.set_exception(AssertionError("Did we not perform bootstrap?"))
        with pytest.raises(Retryable, match="not asked any more: Did we not"):
            await asyncio.wait_for(watching, 10)

    run_virtual(main())


async def test_a_poll_of_a_group_that_nobody_asks_any_more_is_fatal():
    """Every later poll would raise the same: waiting for it to pass would be waiting for ever."""
    asking = asyncio.get_running_loop().create_future()
    asking.set_exception(AssertionError("Did we not perform bootstrap?"))
    consumer = SimpleNamespace(_coordinator=SimpleNamespace(_coordination_task=asking))
    with pytest.raises(Fatal, match="not asked any more"):
        await PlainConsumer(consumer).poll(0.1)


class Pipeline:
    """Drains in so many seconds."""

    in_flight = 3

    def __init__(self, seconds, error=None):
        self.seconds, self.error = seconds, error

    async def drain(self):
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error


class App:
    """Crashes after so many seconds."""

    crash_reason = OSError("the consumer thread died")

    def __init__(self, seconds=DAY):
        self.seconds = seconds

    async def wait_for_stopped(self):
        await asyncio.sleep(self.seconds)


def test_a_drain_ends_in_time_one_way_or_the_other():
    """Done; given up; or what ended the pipeline or the consumer meanwhile, a timeout of its own included."""

    async def main():
        loop = asyncio.get_running_loop()
        assert await _drained(Pipeline(19), App(), 20)
        assert loop.time() == 19
        assert not await _drained(Pipeline(DAY), App(), 20)
        assert loop.time() == 39
        for error in (Fatal("the weights are broken"), TimeoutError()):
            with pytest.raises(type(error)):
                await _drained(Pipeline(1, error), App(), 20)
        with pytest.raises(Retryable, match="thread died"):
            await _drained(Pipeline(DAY), App(2), 20)

    run_virtual(main())


class TopicOfBroker:
    """One topic as a broker tells of it: its id, None for no such topic, or an error of a broker that is away."""

    def __init__(self, topic_id, *, assigned=""):
        self.id = topic_id
        self.topic_ids = {"uploads": assigned} if assigned else {}

    async def ids_now(self, topics):
        if isinstance(self.id, Exception):
            raise self.id
        if self.id is None:
            raise UnknownTopicOrPartitionError(topics[0])
        return dict.fromkeys(topics, self.id)

    def watched(self):
        app = SimpleNamespace(started=True, consumer=SimpleNamespace(_thread=self))
        return asyncio.create_task(TopicsRead(["uploads"]).watch(app))


@pytest.mark.parametrize(("seen", "why"), [("another", "created again"), (None, "uploads was deleted")])
def test_a_role_whose_topic_was_deleted_starts_over(seen, why):
    """Its commits and its questions for offsets wait for the topic that is gone, and it would be healthy for ever."""

    async def main():
        topic = TopicOfBroker("one", assigned="one")
        watching = topic.watched()
        for well in ("one", KafkaConnectionError(), "one"):
            topic.id = well
            await asyncio.sleep(600)
            assert not watching.done()
        topic.id = seen
        with pytest.raises(Retryable, match=why):
            await asyncio.wait_for(watching, 20)

    run_virtual(main())


def test_a_role_waits_for_a_topic_that_was_never_there():
    """It does not end over and over; who makes the topic need not know of it."""

    async def main():
        topic = TopicOfBroker(None)
        watching = topic.watched()
        await asyncio.sleep(600)
        topic.id, topic.topic_ids = "one", {"uploads": "one"}
        await asyncio.sleep(600)
        assert not watching.done()
        watching.cancel()

    run_virtual(main())


def test_roles_tell_of_topics_that_there_are_not():
    """`/healthz` shows it until the topic is there: whoever waits for one is busy with nothing, and looks well."""

    class Told(NullNotices):
        def __init__(self):
            self.troubles = []

        def trouble(self, text):
            self.troubles.append(text)

        def settled(self, text):
            self.troubles.remove(text)

    async def main():
        gone = set()

        async def missing(topics):
            assert set(topics) == {"uploads", "items", "hits"}
            if "broker" in gone:
                raise Retryable("away")
            return set(gone)

        enrich, index = Told(), Told()
        used = {"enrich": (enrich, {"uploads", "items"}), "index": (index, {"items", "hits"})}
        telling = asyncio.create_task(tell_missing(missing, used))
        for now, of_enrich, of_index in (
            ({"items"}, ["items"], ["items"]),
            ({"broker"}, ["items"], ["items"]),
            ({"items", "hits"}, ["items"], ["items", "hits"]),
            ({"hits"}, [], ["hits"]),
            (set(), [], []),
        ):
            gone.clear()
            gone |= now
            await asyncio.sleep(60)
            for told, wanted in ((enrich, of_enrich), (index, of_index)):
                assert [text.split(":")[0] for text in told.troubles] == [f"there is no topic {t}" for t in wanted]
        gone.add("hits")
        await asyncio.sleep(4)
        assert index.troubles == [], "a broker that has just come back knows no topic for a moment"
        telling.cancel()

    run_virtual(main())


def test_a_process_ends_where_a_right_to_see_is_taken_away():
    """Not while the broker is away; once it says that it shows a topic no more."""
    answers = iter((None, Retryable("away"), None, Fatal("TopicAuthorizationFailed: catalog.uploads")))
    asked = []

    async def check(topics):
        asked.append(list(topics))
        if (answer := next(answers)) is not None:
            raise answer

    with pytest.raises(Fatal, match=r"catalog\.uploads"):
        run_virtual(end_where_hidden(check, ["catalog.uploads"]))
    assert asked == [["catalog.uploads"]] * 4
