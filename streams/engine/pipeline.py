"""The pipeline of a role: admit, stages, publish in order, ack in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from processors.errors import Fatal, Poison
from streams.engine.attempts import Abandoned, Engine, Failed, StageRunner
from streams.engine.credits import Credits, Held
from streams.engine.failures import Failure, PipelineClosed, Revoked
from streams.engine.lanes import Ack, DeadLetter, Entry, Exit, Lane, Publish, PublishAll, Run
from streams.engine.message import Message, message_bytes
from streams.engine.stages import DeviceStage, Done, Priority, Stage

R = TypeVar("R")


def _one_lane(_message: Message) -> int:
    return 0


def _shares(messages: Sequence[Message], shop_of: Callable[[Message], str]) -> dict[str, tuple[int, int]]:
    """Shop → how many of the messages are of it, and their bytes."""
    found: dict[str, tuple[int, int]] = {}
    for message in messages:
        shop = shop_of(message)
        count, amount = found.get(shop, (0, 0))
        found[shop] = (count + 1, amount + message_bytes(message))
    return found


class Pipeline(Generic[R]):
    """Runs messages through `stages`; every submitted message ends in an ack, or the pipeline ends.

    `publish(message, result)` and `dead_letter(failure)` are awaited in offset order per partition; the deliveries
    they return are awaited before `ack()`, which is called in offset order per partition. `run()` must be running
    while messages are submitted: it owns every task, and raises what ends the pipeline. Submit the messages of one
    partition from one task, in offset order.

    Args:
        name: the role, in task names.
        stages: applied in order; the first takes the `Message`. What the last returns (or a `Done`) is published.
        publish: see `lanes.Publish`.
        dead_letter: see `lanes.DeadLetter`.
        admission: the credits of this role.
        engine: what is shared with other pipelines.
        priority: "query" overtakes "backfill" at the device.
        charge: credits of a message at admission: the most that its first stage may fetch. Many small messages that
            name large photos would otherwise all be let in, and overdraw by their photos.
        lane: messages of one partition with different numbers do not wait for each other on their way out. For a pipeline
            that commits no offsets: acknowledgements keep the order of each lane only.
        beside: it works for another pipeline of the same role, which tells the observer of credits and waiting.
        shop_of: whose a message is; None: nothing is told by shop.
        publish_all: see `lanes.PublishAll`; None: each result is published by itself.
    """

    def __init__(
        self,
        name: str,
        stages: Sequence[Stage],
        *,
        publish: Publish[R],
        dead_letter: DeadLetter,
        admission: Credits,
        engine: Engine,
        priority: Priority = "backfill",
        charge: Callable[[Message], int] = message_bytes,
        lane: Callable[[Message], int] = _one_lane,
        beside: bool = False,
        shop_of: Callable[[Message], str] | None = None,
        publish_all: PublishAll[R] | None = None,
    ) -> None:
        self.name = name
        self._shop_of = shop_of
        self._held_by: Counter[str] = Counter()
        self._lane_of = lane
        self._beside = beside
        self._engine = engine
        self._credits = admission
        self._charge = charge
        self._places = [StageRunner(stage, engine, priority, self._resize, self._went_on) for stage in stages]
        self._exit: Exit[R] = Exit(
            publish,
            dead_letter,
            engine.classify,
            engine.backoff,
            engine.clock,
            engine.observer,
            self._finished,
            self._anew,
            self._split,
            publish_all,
        )
        self._lanes: dict[tuple[str, int], dict[int, Lane[R]]] = {}
        self._entries: set[Entry[R]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._admissions: dict[asyncio.Future[Held], tuple[str, int]] = {}
        self._revocations: Counter[tuple[str, int]] = Counter()
        self._closing = False
        self._ended = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._cause: BaseException | None = None
        self._moved: float | None = None

    @property
    def still_for(self) -> float:
        """Seconds since anything went on: a stage was done, tried again, or a message acknowledged. 0 when empty."""
        return 0.0 if not self._entries or self._moved is None else self._engine.clock.now() - self._moved

    @property
    def in_flight(self) -> int:
        """Messages submitted and not yet acknowledged."""
        return sum(entry.count for entry in self._entries)

    async def look(self, messages: Sequence[Message]) -> Sequence[Done[Any] | None]:
        """What becomes of messages of one partition that arrived together, where that can be told of all at once: hand it to `submit`."""
        first = self._places[0].stage if self._places else None
        if first is None or isinstance(first, DeviceStage) or first.run_all is None or len(messages) < first.run_all_of:
            return [None] * len(messages)
        started = self._engine.clock.now()
        try:
            found = await first.run_all(messages)
        except Exception as error:  # noqa: BLE001 - each of them meets it again, and is retried, or not, by itself
            self._engine.observer.retried(first.name, type(error).__name__)
            return [None] * len(messages)
        count = sum(one is not None for one in found)
        each = (self._engine.clock.now() - started) / max(count, 1)
        self._engine.observer.stage_done_by(first.name, count, each)
        return found

    async def submit(self, message: Message, ack: Ack, done: Done[Any] | None = None) -> None:
        """Take a message; returns when it is admitted, so that a reader out of credits stops reading.

        Args:
            message: of the topic.
            ack: called when it is done.
            done: what becomes of it (`look`), where that is known: no stage is asked.

        Raises:
            PipelineClosed: draining, aborted, or died (with the cause attached). The message was not taken.
            Revoked: its partition was, while it waited. The message was not taken.
        """
        self._check_open()
        partition = (message.topic, message.partition)
        before = self._revocations[partition]
        held = await self._admit(self._charge(message) if done is None else message_bytes(message), partition)
        try:
            self._check_open()
            if self._revocations[partition] != before:
                # A lane opened now would publish what belongs to the partition's next owner.
                raise Revoked(f"{message.topic}-{message.partition}")
        except (PipelineClosed, Revoked):
            self._credits.release(held)
            raise
        outcome: asyncio.Future[R | Failure] = asyncio.get_running_loop().create_future()
        self._moved = self._engine.clock.now()
        entry = Entry(
            message, ack, held, self._moved, outcome, None if self._shop_of is None else self._shop_of(message)
        )
        self._entries.add(entry)
        self._idle.clear()
        if done is not None:
            outcome.set_result(done.result)
        self._lane(message).append(entry)
        if done is None:
            self._spawn(self._process(entry), f"{self.name}:{message.partition}:{message.offset}")
        self._holds(entry, held.amount)
        self._tell_credits()

    async def submit_run(self, run: Run[R]) -> None:
        """Take messages that follow each other and of all of which `look` has told what becomes of them, as one: a future and a
        place in the queues for all of them, instead of for each.

        Raises:
            PipelineClosed, Revoked: as of `submit`; none of them was taken.
        """
        self._check_open()
        last = run.messages[-1]
        partition = (last.topic, last.partition)
        before = self._revocations[partition]
        amounts = [message_bytes(message) for message in run.messages]
        held = await self._admit(sum(amounts), partition, len(amounts))
        try:
            self._check_open()
            if self._revocations[partition] != before:
                raise Revoked(f"{last.topic}-{last.partition}")
        except (PipelineClosed, Revoked):
            self._credits.release(held)
            raise
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        outcome.set_result(run)
        self._moved = self._engine.clock.now()
        entry: Entry[R] = Entry(last, run.ack_all, held, self._moved, outcome, run=run)
        self._entries.add(entry)
        self._idle.clear()
        self._lane(last).append(entry)
        self._holds_of(run, 1)
        self._tell_credits()

    async def run(self) -> None:
        """Own every task until `drain` or `abort`, or until something fatal happens, which is raised."""
        try:
            await self._ended.wait()
        finally:
            self._closing = True
            self._ended.set()
            await self._clean_up()
        if self._cause is not None:
            raise self._cause

    async def drain(self) -> None:
        """Take no more, finish everything that was taken, then end. Raises what ended the pipeline instead, if so."""
        self._closing = True
        self._refuse_admissions()
        if not self._ended.is_set():
            await self._idle.wait()
        self._ended.set()
        if self._cause is not None:
            raise self._cause

    def abort(self) -> None:
        """End now. What was not acknowledged will be delivered again."""
        self._die(None)

    def forget(self, partitions: Iterable[tuple[str, int]]) -> None:
        """These partitions were revoked: their entries finish, but are neither published nor acknowledged.

        Messages of theirs that wait for credits are refused.
        """
        for partition in partitions:
            self._revocations[partition] += 1
            for lane in self._lanes.pop(partition, {}).values():
                lane.revoke()
            for request, wanted in list(self._admissions.items()):
                if wanted == partition and not request.done():
                    request.set_exception(Revoked(f"{partition[0]}-{partition[1]}"))

    # ------------------------------------------------------------------ inside

    def _check_open(self) -> None:
        if self._closing or self._ended.is_set():
            raise PipelineClosed(f"{self.name} takes no more messages") from self._cause

    async def _admit(self, amount: int, partition: tuple[str, int], items: int = 1) -> Held:
        request = self._credits.request(amount, items)
        if request.done():
            return request.result()
        self._admissions[request] = partition
        try:
            return await request
        except asyncio.CancelledError:
            # Granted, and cancelled before this task woke up: without this the credits would be lost for ever.
            if request.done() and not request.cancelled() and request.exception() is None:
                self._credits.release(request.result())
            raise
        finally:
            self._admissions.pop(request, None)

    def _lane(self, message: Message) -> Lane[R]:
        number = self._lane_of(message)
        lanes = self._lanes.setdefault((message.topic, message.partition), {})
        lane = lanes.get(number)
        if lane is None:
            lane = lanes[number] = Lane(self._exit, self._credits.max_items)
            label = f"{self.name}:{message.topic}-{message.partition}"
            self._spawn(lane.publish_all(), f"{label}:publish")
            self._spawn(lane.ack_all(), f"{label}:ack")
        return lane

    async def _process(self, entry: Entry[R]) -> None:
        expected = [place.batcher for place in self._places if place.batcher is not None]
        for batcher in expected:
            batcher.expect()
        try:
            value: Any = entry.message
            for place in self._places:
                if place.batcher is not None:
                    expected.remove(place.batcher)
                value = await place.attempts(value, entry)
                if isinstance(value, Done):
                    value = value.result
                    break
            entry.outcome.set_result(value)
        except Abandoned as abandoned:
            # An outcome all the same: its lane waits for one, and being revoked sends nothing.
            failure = Failure(entry.message, "revoked", Poison(f"not tried again: {abandoned.__cause__}"), 1)
            entry.outcome.set_result(failure)
        except Failed as failed:
            self._engine.observer.failed(failed.failure.stage, type(failed.failure.cause).__name__)
            self._resize(entry, message_bytes(entry.message))
            entry.outcome.set_result(failed.failure)
        finally:
            for batcher in expected:
                batcher.arrived()

    async def _anew(self, entry: Entry[R]) -> None:
        """Work on a message once more, from the first stage on; nothing of what was told of it before counts."""
        entry.outcome = asyncio.get_running_loop().create_future()
        await self._process(entry)

    def _went_on(self) -> None:
        self._moved = self._engine.clock.now()

    def _finished(self, entry: Entry[R]) -> None:
        self._entries.discard(entry)
        self._went_on()
        if not entry.held.released:
            if entry.run is not None:
                self._holds_of(entry.run, -1)
            else:
                self._holds(entry, -entry.held.amount)
                if entry.shop is not None:
                    self._engine.observer.shop_done(entry.shop)
        self._credits.release(entry.held)
        self._tell_credits()
        if not self._entries:
            self._idle.set()

    def _resize(self, entry: Entry[R], amount: int) -> None:
        if not entry.held.released:
            self._holds(entry, amount - entry.held.amount)
        self._credits.resize(entry.held, amount)

    def _split(self, entry: Entry[R]) -> list[Entry[R]]:
        """The messages of a run, each by itself."""
        run, shop_of = entry.run, self._shop_of
        assert run is not None
        helds = self._credits.split(entry.held, [message_bytes(message) for message in run.messages])
        parts: list[Entry[R]] = []
        for number, (message, result) in enumerate(zip(run.messages, run.results, strict=True)):
            outcome: asyncio.Future[R | Failure] = asyncio.get_running_loop().create_future()
            outcome.set_result(result)
            shop = None if shop_of is None else shop_of(message)
            part = Entry(message, partial(run.ack, number), helds[number], entry.admitted, outcome, shop)
            part.lane = entry.lane
            parts.append(part)
        self._entries.discard(entry)
        self._entries.update(parts)
        return parts

    def _holds(self, entry: Entry[R], more: int) -> None:
        if entry.shop is not None:
            self._holds_more(entry.shop, more)

    def _holds_of(self, run: Run[R], sign: int) -> None:
        """The messages of a run are taken (1), or done (-1)."""
        if self._shop_of is None:
            return
        if run.shares is None:  # else as they were when it was taken
            run.shares = _shares(run.messages, self._shop_of)
        for shop, (count, amount) in run.shares.items():
            if sign < 0:
                self._engine.observer.shop_done_by(shop, count)
            self._holds_more(shop, sign * amount)

    def _holds_more(self, shop: str, more: int) -> None:
        self._held_by[shop] += more
        held = self._held_by[shop]
        if not held:
            del self._held_by[shop]
        if not self._beside:
            self._engine.observer.shop_credits(shop, held)

    def _tell_credits(self) -> None:
        if not self._beside:
            self._engine.observer.credits_held(self._credits.held, self._credits.items)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            # A stage that lets a cancellation of its own escape would leave a message without an outcome for ever.
            self._die(Fatal(f"{task.get_name()} was cancelled from outside"))
        elif (error := task.exception()) is not None:
            self._die(error)

    def _die(self, cause: BaseException | None) -> None:
        if self._ended.is_set():
            return
        self._cause = cause
        self._closing = True
        self._ended.set()
        self._idle.set()  # wakes `drain`
        self._refuse_admissions()

    def _refuse_admissions(self) -> None:
        for request in list(self._admissions):
            if not request.done():
                refused = PipelineClosed(f"{self.name} takes no more messages")
                refused.__cause__ = self._cause
                request.set_exception(refused)

    async def _clean_up(self) -> None:
        self._refuse_admissions()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for place in self._places:
            if place.batcher is not None:
                self._engine.device.detach(place.batcher)
        for entry in list(self._entries):
            self._finished(entry)
