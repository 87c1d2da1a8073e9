"""R12: replaying uploads from the memos, against thinking again.

    python -m benchmarks.replay PHOTOS [--count 40] [--roles enrich caption]

PHOTOS is a folder of photos. Each role runs twice over the same records, its group's offsets set back in between: first
with nothing remembered, then with everything. Seconds count from a role's first admission to its last acknowledgement;
neither models' loading nor the joining of the group is in them. The bytes of both runs are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import Row, table
from infra.broker import EmbeddedBroker
from infra.settings import Settings
from infra.stores import open_store
from models.guard import Observe
from streams.contract import topics
from streams.engine.observer import NullObserver
from streams.kafka.client import Client, Reader
from streams.ops import admin
from streams.ops.generations.think import set_offsets
from streams.ops.ingest import Photo, announce
from streams.wiring.models import Models
from streams.wiring.parts import open_parts
from streams.wiring.roles import role_named

OUTPUT = {"enrich": topics.ITEMS, "caption": topics.CAPTIONS}
INPUT = {"enrich": topics.UPLOADS, "caption": topics.ITEMS}


@dataclass
class Watch(NullObserver):
    """Notes when a role began and ended, and which models were called for how many items."""

    expected: int
    stop: asyncio.Event
    first: float = 0.0
    last: float = 0.0
    cpu: float = 0.0
    done: int = 0
    model_items: dict[str, int] = field(default_factory=dict)

    def credits_held(self, held: int, items: int) -> None:  # noqa: ARG002
        if not self.first:
            self.first, self.cpu = time.perf_counter(), -time.process_time()

    def acked(self, topic: str, partition: int, offset: int, seconds: float) -> None:  # noqa: ARG002
        self.done += 1
        if self.done == self.expected:
            self.last = time.perf_counter()
            self.cpu += time.process_time()
            self.stop.set()

    def model(self, name: str) -> Observe:
        def observe(part: str, items: int, _seconds: float) -> None:
            if part == "forward" and self.first:  # not the warm-up
                self.model_items[name] = self.model_items.get(name, 0) + items

        return observe


async def run_role(role: str, settings: Settings) -> Watch:
    """One role over all that waits on its input, then stopped."""
    [state] = await admin.list_topics(settings, [INPUT[role]])
    stop = asyncio.Event()
    watch = Watch(state.messages, stop)
    async with open_parts(settings, watch, Models(settings, watch.model), stop) as parts:
        await role_named(role).run(parts, lambda _: None)
    return watch


async def set_back(role: str, settings: Settings) -> None:
    """The next run of the role begins at the beginning of its input."""
    [state] = await admin.list_topics(settings, [INPUT[role]])
    await set_offsets(settings, f"weft-{role}", {(INPUT[role], p.partition): p.low for p in state.partitions})


async def published(topic: str, settings: Settings) -> dict[bytes, list[bytes]]:
    """The distinct values of each event id on a topic."""
    found: dict[bytes, list[bytes]] = {}
    async with Reader(settings, topic) as reader:
        async for message in reader.to_end():
            values = found.setdefault(message.header("ce_id") or b"", [])
            if message.value is not None and message.value not in values:
                values.append(message.value)
    return found


async def measure(settings: Settings, photos: Sequence[Path], roles: Sequence[str]) -> list[Row]:
    """Ratios of each role, and of all together."""
    await admin.create_topics(settings)
    store = open_store(settings)
    uploads = [announce(Photo(path.stem, path, {}), store, settings.max_image_bytes) for path in photos]
    async with Client(settings) as client:
        await client.upload(uploads)
    thought: dict[str, Watch] = {}
    replayed: dict[str, Watch] = {}
    for role in roles:
        thought[role] = await run_role(role, settings)
    for role in roles:
        await set_back(role, settings)
        replayed[role] = await run_role(role, settings)
        assert not replayed[role].model_items, f"a model ran: {replayed[role].model_items}"
        events = await published(OUTPUT[role], settings)
        assert len(events) == len(photos), f"{len(events)} events of {len(photos)} uploads"
        assert all(len(values) == 1 for values in events.values()), "a replay published other bytes"

    def row(name: str, chosen: Sequence[str], kind: str, seconds: Callable[[Watch], float]) -> Row:
        then, now = (sum(seconds(watches[r]) / watches[r].done for r in chosen) for watches in (thought, replayed))
        how = f"{len(photos)} photos, profile {settings.profile}; no model ran, and the bytes were the same"
        value = f"{then / now:.0f}× ({then * 1000:.0f} ÷ {now * 1000:.1f} ms an event)"
        return Row(f"R12 {name}, {kind} time", value, "≥ 20×", how)

    chosen = {**{role: [role] for role in roles}, **({" + ".join(roles): list(roles)} if len(roles) > 1 else {})}
    return [
        row(name, some, kind, seconds)
        for name, some in chosen.items()
        for kind, seconds in (("wall", lambda w: w.last - w.first), ("processor", lambda w: w.cpu))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--roles", nargs="+", choices=sorted(OUTPUT), default=["enrich", "caption"])
    asked = parser.parse_args()
    photos = sorted(asked.photos.glob("*.jpg"))[: asked.count]
    with tempfile.TemporaryDirectory(prefix="weft-replay-") as folder:
        broker = EmbeddedBroker(Path(folder) / "kafka")
        try:
            settings = Settings(data_dir=Path(folder), bootstrap_servers=broker.start(), **_profile())
            print(table(asyncio.run(measure(settings, photos, asked.roles))))
        finally:
            broker.stop()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


def _profile() -> dict[str, str]:
    return {"profile": os.environ["WEFT_PROFILE"]} if "WEFT_PROFILE" in os.environ else {}


if __name__ == "__main__":
    main()
