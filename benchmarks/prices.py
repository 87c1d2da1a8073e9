"""`python -m benchmarks.prices [--products N] [--batch N] [--rounds N] [--against CHECKOUT] [--profile]`: what a price costs `enrich`.

The role's own code without Kafka: records that were fetched together are read, joined with what is known of their products,
published to a client that delivers at once, kept in a local store, and acknowledged. Each product has one drawn photo, seen by
fake models; each load sends so many other prices. With `--against` the code in another checkout runs the same in processes that
take turns, so that a machine that slows down slows both; printed is the least of the rounds, in processor time. `--profile` prints
where one round spends it instead.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[1]
UPDATES = 10_000
HOT = 100


@dataclass
class Broker:
    """A client whose records are delivered at once."""

    count: int = 0

    async def send(
        self,
        topic: str,  # noqa: ARG002
        *,
        key: bytes | None,  # noqa: ARG002
        value: bytes | None,  # noqa: ARG002
        headers: Sequence[tuple[str, bytes]] = (),  # noqa: ARG002
        partition: int | None = None,  # noqa: ARG002
        timestamp_ms: int | None = None,  # noqa: ARG002
    ) -> Awaitable[object]:
        self.count += 1
        delivered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        delivered.set_result(None)
        return delivered


class Role:
    """`enrich` as its wiring builds it, but for Kafka."""

    def __init__(self, folder: Path, threads: ThreadPoolExecutor, device: Any) -> None:
        from infra.local_store import LocalStore
        from infra.metrics import Metrics
        from models.fakes import FakeDetector, FakeImageEncoder
        from processors.decode import DecodeLimits
        from streams.contract.urgency import said_of
        from streams.engine.ahead import Ahead
        from streams.engine.attempts import Engine
        from streams.engine.credits import Credits
        from streams.engine.pipeline import Pipeline
        from streams.kafka.key_order import KeyOrder
        from streams.roles.enrich import Enrich, memo_fingerprint
        from streams.roles.memo import Memo
        from streams.roles.products import Products
        from streams.roles.remote import RemotePhotos
        from streams.roles.taking_in import TakeIn
        from streams.wiring.urgent import in_their_turn, shop_of_message

        store = LocalStore(folder)
        detector, encoder = FakeDetector(), FakeImageEncoder()
        self.broker, self.acked = Broker(), 0
        fetcher: Any = None  # no photo is fetched
        log: Any = OnePartition()

        async def topic() -> str:
            return "topic"

        async def run_in_thread(call: Any, *arguments: Any, **named: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(threads, partial(call, *arguments, **named))

        in_thread: Any = run_in_thread

        async def no_letter(failure: Any) -> Any:
            raise failure.error

        products = Products(store, topic, topic, in_thread)
        role = Enrich(
            store=store,
            fetcher=fetcher,
            remote=RemotePhotos(fetcher, store),
            detector=detector,
            encoder=encoder,
            memo=Memo(store, "enrich", memo_fingerprint(detector, encoder)),
            limits=DecodeLimits(),
            batch_items=16,
            batch_wait_s=0.0,
            in_thread=in_thread,
            order=KeyOrder(log, now=time.monotonic).place,
            kept=products.peek,
            kept_all=products.peek_all,
            earlier=products.earlier,
        )
        taking_in = TakeIn(self.broker, products, role.items, role.live)
        ahead = Ahead(lambda message: said_of(message).product)
        ahead.begin(("catalog.uploads", 0))
        self.observer = Metrics("enrich").of("enrich")
        engine = Engine(device, threads, observer=self.observer)
        self.pipeline: Pipeline[Any] = Pipeline(
            "enrich",
            in_their_turn(ahead, role.stages()),
            publish=ahead.in_turn(taking_in.publish),
            publish_all=ahead.all_in_turn(taking_in.publish_all),
            dead_letter=no_letter,
            admission=Credits(10**9),
            engine=engine,
            shop_of=shop_of_message,
        )

    async def take(self, records: Sequence[Any], batch: int) -> None:
        """Records of one partition; returns when all are acknowledged."""
        from streams.contract.cloudevents import origin_ms
        from streams.engine.lanes import Run
        from streams.kafka.consumer import message_of

        end, done = self.acked + len(records), asyncio.Event()

        def ack(messages: Sequence[Any]) -> None:
            now = time.time()
            ages = [now - origin_ms(message) / 1000 for message in messages]
            if hasattr(self.observer, "aged_all"):
                self.observer.aged_all(messages[0].topic, ages)
            else:  # an older checkout
                for age in ages:
                    self.observer.aged(messages[0].topic, age)
            self.acked += len(messages)
            if self.acked == end:
                done.set()

        for at in range(0, len(records), batch):
            messages = [message_of(one) for one in records[at : at + batch]]
            known = await self.pipeline.look(messages)
            if all(one is not None for one in known):
                results = [one.result for one in known if one is not None]
                run: Any = Run(messages, results, lambda _: None, partial(ack, messages))
                await self.pipeline.submit_run(run)
            else:
                for message, one in zip(messages, known, strict=True):
                    await self.pipeline.submit(message, partial(ack, [message]), one)
            await asyncio.sleep(0)
        await done.wait()


class OnePartition:
    """A topic of one partition."""

    async def partitions(self) -> int:
        return 1


@dataclass
class Records:
    """Makes the records of a partition, in their order."""

    offset: int = 0

    def of(self, product: str, **said: Any) -> Any:
        from aiokafka.structs import ConsumerRecord

        value = msgspec.json.encode({"product_id": product, **said})
        record: Any = ConsumerRecord(
            "catalog.uploads",
            0,
            self.offset,
            1_767_225_600_000 + self.offset,
            0,
            product.encode(),
            value,
            None,
            0,
            0,
            (),
        )
        self.offset += 1
        return record


async def measure(products: int, batch: int, profile: cProfile.Profile | None = None) -> dict[str, float]:
    """Processor microseconds a price, by load."""
    import base64

    from benchmarks.images import drawn_photos
    from streams.contract.urgency import said_of
    from streams.engine.device import Device
    from streams.kafka.consumer import message_of

    with tempfile.TemporaryDirectory(prefix="weft-prices-") as name, ThreadPoolExecutor(4) as threads:
        photo = drawn_photos(Path(name) / "photos", 1, 7, metadata=True)[0]
        data = base64.b64encode((photo.path or Path()).read_bytes()).decode()
        async with Device() as device:
            role, records = Role(Path(name) / "store", threads, device), Records()
            running = asyncio.create_task(role.pipeline.run())
            facts = {"title": "A dress", "brand": "Halm", "category": "dress", "fabric": "linen", "price": 10.0}
            await role.take(
                [records.of(f"sku-{n}", image={"bytes": data}, metadata=facts) for n in range(products)], batch
            )
            found = {}
            gc.freeze()  # as a worker whose roles are ready
            for load, of in (("a price each", products), (f"prices of {HOT}", min(HOT, products))):
                price = [records.of(f"sku-{n % of}", metadata={"price": 11.0 + n // of}) for n in range(UPDATES)]
                started = time.process_time()
                if profile is not None:
                    profile.enable()
                await role.take(price, batch)
                if profile is not None:
                    profile.disable()
                found[load] = 1e6 * (time.process_time() - started) / UPDATES
            started = time.process_time()
            for one in price:
                said_of(message_of(one))
            found["looking ahead"] = 1e6 * (time.process_time() - started) / UPDATES
            role.pipeline.abort()
            await asyncio.gather(running, return_exceptions=True)
    return found


def round_of(checkout: Path, products: int, batch: int) -> dict[str, float]:
    """Measured by this script with the code of `checkout`, in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--products", str(products), "--batch", str(batch)]
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--once"], env=environment, cwd=checkout, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=512, help="records that are fetched together")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="another checkout of Weft")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.profile:
        profile = cProfile.Profile()
        asyncio.run(measure(asked.products, asked.batch, profile))
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        return
    if asked.once:
        sys.stdout.write(json.dumps(asyncio.run(measure(asked.products, asked.batch))))
        return
    sides = [side for side in (asked.against, ROOT) if side is not None]
    rounds = [[round_of(side, asked.products, asked.batch) for side in sides] for _ in range(asked.rounds)]
    sys.stdout.write(
        "| processor µs a record | " + " | ".join(["before", "now"][-len(sides) :]) + " |\n|---|" + "---|" * len(sides)
    )
    for load in rounds[0][0]:
        least = [min(one[side][load] for one in rounds) for side in range(len(sides))]
        sys.stdout.write(f"\n| {load} | " + " | ".join(f"{value:.0f}" for value in least) + " |")
    sys.stdout.write(f"\nload {os.getloadavg()[0]:.1f} at the end\n")


if __name__ == "__main__":
    main()
