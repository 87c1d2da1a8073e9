"""Exactly the same again, on the real Kafka: a replay publishes the same bytes and asks no model; a new model thinks again."""

import asyncio
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infra.settings import Settings
from infra.stores import open_store
from models.fakes import FakeDetector, FakeImageEncoder, FakeWriter
from models.guard import ignore
from streams.contract import topics
from streams.contract.codecs import decode_item
from streams.contract.records import ImageRef, Upload, UploadPhoto
from streams.engine.message import Message
from streams.engine.observer import NullObserver
from streams.kafka.client import Client, Reader
from streams.ops import admin
from streams.ops.generations.think import set_offsets
from streams.wiring.models import Models
from streams.wiring.parts import open_parts
from streams.wiring.roles import role_named

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PRODUCTS = 12
INPUT = {"enrich": topics.UPLOADS, "caption": topics.ITEMS}
OUTPUT = {"enrich": topics.ITEMS, "caption": topics.CAPTIONS}


class Counted:
    """A model that counts what it is given."""

    def __init__(self, name: str, model: Any, calls: Counter[str], **changed: Any) -> None:
        self._name, self._model, self._calls, self._changed = name, model, calls, changed

    def forward(self, batch: Sequence[Any], /) -> list[Any]:
        self._calls[self._name] += len(batch)
        found: list[Any] = self._model.forward(batch)
        return found

    def __getattr__(self, name: str) -> Any:
        return self._changed[name] if name in self._changed else getattr(self._model, name)


@dataclass
class CountedModels:
    """In the place of `wiring.models.Models`."""

    calls: Counter[str] = field(default_factory=Counter)
    detector_fingerprint: str = FakeDetector.fingerprint

    def __post_init__(self) -> None:
        self.detector = Counted("detector", FakeDetector(), self.calls, fingerprint=self.detector_fingerprint)
        self.image_encoder = Counted("encoder", FakeImageEncoder(), self.calls)
        self.writer = Counted("writer", FakeWriter(), self.calls)


class Ends(NullObserver):
    """Stops a role when it has acknowledged all that waits for it."""

    def __init__(self, expected: int, stop: asyncio.Event) -> None:
        self.left, self.stop = expected, stop

    def acked(self, topic: str, partition: int, offset: int, seconds: float) -> None:
        self.left -= 1
        if not self.left:
            self.stop.set()


@dataclass
class Catalogue:
    """A broker and a store of their own."""

    settings: Settings

    async def upload(self, *, only: int = PRODUCTS, answer: bool = False, **metadata: Any) -> None:
        store = open_store(self.settings)
        uris = [store.uri(store.put_content(picture(n), ".png")) for n in range(only)]
        async with Client(self.settings) as client:
            uploads = [Upload(f"p{n}", ImageRef(uri=uri), metadata) for n, uri in enumerate(uris)]
            await client.upload(uploads, answer=answer)

    async def photos(self, count: int) -> list[str]:
        """Addresses of photos that were uploaded."""
        store = open_store(self.settings)
        return [store.uri(store.put_content(picture(n), ".png")) for n in range(count)]

    async def send(self, *uploads: Upload) -> None:
        async with Client(self.settings) as client:
            await client.upload(uploads)

    async def run(self, role: str, models: CountedModels) -> Counter[str]:
        """The role as `weft worker` runs it, from where its group is to the end; what the models were asked."""
        [state] = await admin.list_topics(self.settings, [INPUT[role]])
        committed = await self.offsets(role)
        stop = asyncio.Event()
        ends = Ends(state.messages - sum(committed.values()), stop)
        async with (
            open_parts(self.settings, ends, Models(self.settings, lambda _: ignore), stop) as parts,
            asyncio.timeout(200),
        ):
            substituted: Any = models
            await role_named(role).run(replace(parts, models=substituted), lambda _: None)
        return models.calls

    async def offsets(self, role: str, *, to_beginning: bool = False) -> dict[int, int]:
        """Where the role's group is; after it was set back, if so wanted."""
        group = f"weft-{role}"
        if to_beginning:
            await set_offsets(self.settings, group, {(INPUT[role], n): 0 for n in range(self.settings.partitions)})
        found = await admin.group_offsets(self.settings, group)
        return {n: found.get((INPUT[role], n), (0, ""))[0] for n in range(self.settings.partitions)}

    async def published(self, role: str) -> list[Message]:
        async with Reader(self.settings, OUTPUT[role]) as reader:
            return [message async for message in reader.to_end()]

    async def newest(self, role: str) -> dict[bytes | None, bytes | None]:
        return {message.key: message.value for message in await self.published(role)}


def picture(number: int) -> bytes:
    pixels = np.full((96, 96, 3), 255, dtype=np.uint8)
    pixels[20:76, 30:66] = (20 * number, 20, 30)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def by_event(messages: Sequence[Message]) -> dict[bytes, tuple[bytes | None, bytes | None, Any]]:
    return {m.header("ce_id") or b"": (m.key, m.value, m.headers) for m in messages}


@pytest.fixture
async def catalogue(kafka_factory, tmp_path: Path) -> Catalogue:
    broker = await asyncio.to_thread(kafka_factory)
    settings = Settings(bootstrap_servers=broker.bootstrap, data_dir=tmp_path / "data", profile="fake", partitions=2)
    await admin.create_topics(settings)
    found = Catalogue(settings)
    await found.upload()
    return found


async def test_a_replay_publishes_the_same_bytes_and_asks_no_model(catalogue: Catalogue):
    """Both roles from the beginning again: keys, values, ids and headers are those of the first time; or nothing, where it stands."""
    again = replace(catalogue, settings=catalogue.settings.model_copy(update={"unchanged": "publish"}))
    first = await catalogue.run("enrich", CountedModels())
    assert first["detector"] == PRODUCTS
    assert (await catalogue.run("caption", CountedModels()))["writer"] >= PRODUCTS
    for role in ("enrich", "caption"):
        before = await catalogue.published(role)
        assert len(before) == PRODUCTS
        await catalogue.offsets(role, to_beginning=True)
        assert await again.run(role, CountedModels()) == Counter(), "a model was asked"
        after = await catalogue.published(role)
        assert len(after) >= len(before) + PRODUCTS
        assert by_event(after) == by_event(before)
        await catalogue.offsets(role, to_beginning=True)
        assert await catalogue.run(role, CountedModels()) == Counter(), "a model was asked"
        assert by_event(await catalogue.published(role)) == by_event(before)

    # The same photos once more, at new offsets: no model is asked, and what stands is not published again.
    standing = {role: len(await catalogue.published(role)) for role in ("enrich", "caption")}
    for _ in range(2):
        await catalogue.upload()
        assert await catalogue.run("enrich", CountedModels()) == Counter()
    assert len(await catalogue.published("enrich")) == standing["enrich"]

    # At another price: other items, the same captions.
    before = await catalogue.newest("caption")
    await catalogue.upload(price=49.5)
    assert await catalogue.run("enrich", CountedModels()) == Counter()
    assert len(await catalogue.published("enrich")) == standing["enrich"] + PRODUCTS
    assert await catalogue.run("caption", CountedModels()) == Counter()
    assert len(await catalogue.published("caption")) == standing["caption"]

    # For whoever waits, the same bytes again; a fact that was changed writes that product's caption anew.
    await catalogue.upload(answer=True, price=49.5)
    await catalogue.upload(only=1, pattern="striped", price=49.5)
    await catalogue.run("enrich", CountedModels())
    assert (await catalogue.run("caption", CountedModels()))["writer"] == 1
    after = await catalogue.newest("caption")
    assert [key for key in after if after[key] != before[key]] == [b"p0"]
    assert len(await catalogue.published("caption")) == standing["caption"] + PRODUCTS + 1

    # Parts, versions out of order, further photos, and a product that has none yet; then all of it once more.
    further = [UploadPhoto(uri=uri) for uri in await catalogue.photos(2)]
    await catalogue.send(
        Upload("p0", metadata={"season": "summer", "price": None}),
        Upload("p1", images=tuple(further), metadata={"title": "two photos"}),
        Upload("p2", metadata={"title": "newer"}, version=9),
        Upload("p2", metadata={"title": "older", "season": "winter"}, version=8),
        Upload("bare", metadata={"title": "no photo yet"}),
    )
    assert await catalogue.run("enrich", CountedModels()) == Counter(), "all photos were seen before"
    items = await catalogue.newest("enrich")
    found = {key: decode_item(value or b"") for key, value in items.items()}
    assert (found[b"p0"].metadata.facets, found[b"p0"].metadata.price) == (
        {"pattern": "striped", "season": "summer"},
        None,
    )
    assert isinstance(found[b"p1"].photos, tuple)
    assert len(found[b"p1"].photos) == 2
    assert (found[b"p2"].metadata.title, found[b"p2"].metadata.facets) == ("newer", {"season": "winter"})
    assert found[b"bare"].incomplete is True
    await catalogue.offsets("enrich", to_beginning=True)
    assert await catalogue.run("enrich", CountedModels()) == Counter()
    assert await catalogue.newest("enrich") == items
    await catalogue.run("caption", CountedModels())
    assert b"bare" not in await catalogue.newest("caption")

    # Another detector: everything is thought about anew, and says so.
    await catalogue.offsets("enrich", to_beginning=True)
    changed = CountedModels(detector_fingerprint="sha256:" + "0" * 64)
    # Again for each of its uploads that are under way at once.
    assert PRODUCTS <= (await catalogue.run("enrich", changed))["detector"] <= 6 * PRODUCTS
    newest = {m.key: decode_item(m.value or b"") for m in await catalogue.published("enrich")}
    assert newest[b"p2"].metadata == found[b"p2"].metadata
    assert {item.detector for item in newest.values()} == {"sha256:" + "0" * 64}
