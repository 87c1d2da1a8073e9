"""What photos may hold of a role's memory: in bytes and in pixels, however small the messages are that name them."""

import asyncio
import io
from concurrent.futures import Executor, Future

import msgspec
import numpy as np
from PIL import Image

from infra.memory_store import MemoryStore
from models.fakes import FakeDetector, FakeImageEncoder
from processors.decode import DecodeLimits
from processors.errors import Poison
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import ImageRef, Query, Upload
from streams.engine.message import Message, message_bytes
from streams.engine.stages import CpuStage, Done, IoStage
from streams.roles import reserve
from streams.roles.enrich import Enrich, memo_fingerprint
from streams.roles.memo import Memo
from streams.roles.remote import RemotePhotos
from streams.roles.seeing import SERVING_SIDE
from tests.fixtures.engines import World, message, running
from tests.fixtures.virtual_time import InlineExecutor, run_virtual

MB = 2**20
LIMITS = DecodeLimits(max_bytes=MB)


class Slow(InlineExecutor):
    """Every piece of work takes some seconds; `most` is how much of `weigh` was under way at once."""

    def __init__(self, seconds=1.0, weigh=lambda item: 1):
        self.seconds, self.weigh, self.now, self.most = seconds, weigh, 0, 0

    def submit(self, fn, /, *args, **kwargs):
        weight = sum(self.weigh(arg) for arg in args)
        self.now += weight
        self.most = max(self.most, self.now)
        later: Future = Future()
        later.set_running_or_notify_cancel()

        def finish():
            self.now -= weight
            try:
                later.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001
                later.set_exception(error)

        asyncio.get_running_loop().call_later(self.seconds, finish)
        return later


class Photos:
    """A `Fetcher` that gives each product a photo of its own, at once."""

    def __init__(self):
        pixels = np.random.default_rng(1).integers(0, 255, (500, 700, 3)).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
        self.data = buffer.getvalue()

    async def fetch(self, uri: str) -> bytes:
        return self.data + uri.encode()  # what follows the end of a JPEG is ignored


def enrich() -> Enrich:
    store = MemoryStore("test")
    detector, encoder = FakeDetector(), FakeImageEncoder()
    return Enrich(
        store=store,
        fetcher=Photos(),  # type: ignore[arg-type]
        remote=RemotePhotos(Photos(), store),  # type: ignore[arg-type]
        detector=detector,
        encoder=encoder,
        memo=Memo(store, "enrich", memo_fingerprint(detector, encoder)),
        limits=LIMITS,
        batch_items=4,
        batch_wait_s=0.0,
    )


def upload(number: int) -> Message:
    value = encode(Upload(f"p{number}", ImageRef(uri=MemoryStore("test").uri(f"images/{number}.jpg"))))
    return Message(topics.UPLOADS, number % 3, number // 3, key=f"p{number}".encode(), value=value)


def most_held(executor: Executor, count: int, budget: int) -> tuple[int, int]:
    """The most credits held while `count` uploads pass a role, and how many were published."""
    most = 0

    async def main() -> int:
        nonlocal most
        world, role = World(), enrich()
        charge = reserve.charge(LIMITS.max_bytes, SERVING_SIDE)
        async with running(role.stages(), world, budget=budget, charge=charge, executor=executor) as pipeline:

            async def submit_all() -> None:
                for number in range(count):
                    await pipeline.submit(upload(number), world.ack(upload(number)))

            submitting = asyncio.create_task(submit_all())
            while not submitting.done() or pipeline.in_flight:
                await asyncio.sleep(0.001)
                most = max(most, pipeline.admission.held)
        return len(world.published)

    return asyncio.run(main()), most  # real time: the memo answers from threads


def test_photos_behind_a_slow_device_stay_within_the_credits():
    """Forty uploads of a hundred bytes, each of which names a photo: the budget holds, and all come through."""
    published, most = most_held(Slow(0.002), 40, 24 * MB)
    assert published == 40
    assert 12 * MB < most <= 24 * MB


def test_a_message_is_charged_for_the_photo_it_names():
    """By address: as much as may be fetched. Bytes are in the message; deletes, text queries and rubbish name nothing."""
    charge = reserve.charge(MB, 100)
    named = Message("t", 0, 0, value=encode(Upload("a", ImageRef(uri="s3://b/x.jpg"))))
    assert charge(named) == message_bytes(named) + MB + 30_000 + reserve.SHOWN_BYTES
    plain = [
        None,
        b"rubbish \xff",
        b"[1]",
        b'{"image": {"uri": 7}}',
        b'{"image": {"uri": "\xff"}}',
        encode(Upload("a", ImageRef(bytes=b"x" * 500))),
        encode(Query("q", text="red")),
        encode(Query("q", image=ImageRef(product_id="sku-1"))),
        msgspec.json.encode({"image": None}),
    ]
    for value in plain:
        other = Message("t", 0, 0, value=value)
        assert charge(other) == message_bytes(other)


def test_a_memoised_answer_gives_back_what_was_reserved():
    """A replay needs no photo's memory, and must not wait for it; nor must a failure that waits for its turn."""

    def poison(_message):
        raise Poison("no")

    async def main():
        for step in (lambda _message: Done("memo"), poison):
            world = World()
            world.deliver = lambda source: asyncio.get_running_loop().create_future()
            stages = [CpuStage("recall", step)]
            async with running(stages, world, budget=100 * MB, charge=lambda _message: 60 * MB) as pipeline:
                for offset in range(10):  # would wait for ever if each kept its 60 MB
                    await pipeline.submit(message(offset), world.ack(message(offset)))
                await asyncio.sleep(1)
                assert pipeline.admission.held < MB

    run_virtual(main())


def test_pixels_are_bounded_while_they_are_decoded():
    """Two small ones at once, as there are two threads; of the large ones only one."""

    async def main(pixels):
        world, slow = World(), Slow(weigh=lambda item: item if isinstance(item, int) else 0)

        async def read(_message):
            return pixels

        stages = [IoStage("read", read), CpuStage("decode", lambda item: item, cost=lambda item: item, max_cost=64)]
        async with running(stages, world, executor=slow) as pipeline:
            for offset in range(6):
                await pipeline.submit(message(offset), world.ack(message(offset)))
            await pipeline.drain()
        assert len(world.acked) == 6
        return slow.most

    assert run_virtual(main(20)) == 40
    assert run_virtual(main(60)) == 60
    assert run_virtual(main(600)) == 600, "larger than the limit: alone"


def test_a_photo_lets_go_of_its_bytes_when_it_is_decoded():
    """A phone's photo is larger than the pixels that are kept of it: both together would double the memory."""
    role = enrich()

    async def main():
        photo = await role.read(upload(0))
        return photo, role.decode(photo)

    read, decoded = asyncio.run(main())
    [photo] = read.photos
    assert len(photo.data) > 100_000
    assert not any(isinstance(getattr(decoded.about, name), bytes) for name in decoded.about.__dataclass_fields__)
