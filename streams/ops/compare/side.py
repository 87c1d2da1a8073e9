"""The process of one profile: `python -m streams.ops.compare.side IMAGES SCENES`, with the profile in `WEFT_PROFILE`; see `wire` for what it is told.

A process of its own, so that the memory is that of one profile, and a profile that dies takes nobody along.
"""

from __future__ import annotations

import asyncio
import os
import queue
import resource
import signal
import sys
import threading
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

from infra.fetch import Fetcher
from infra.logs import configure
from infra.memory_store import MemoryStore
from infra.settings import Settings
from models.yardsticks import detection
from models.yardsticks.captions import Product
from models.yardsticks.photos import Photos, UnreadableInput
from processors.errors import Poison
from streams.contract.codecs import decode_item, encode
from streams.contract.records import ImageRef, Item, Query
from streams.ops.caption_trial import Trial
from streams.ops.compare import wire
from streams.ops.search_trial import SearchTrial

if TYPE_CHECKING:
    from models.guard import Guarded
    from processors.values import Detection, Pixels
    from streams.ops.composed.local import LocalSearch

TOP_K = 50
WORN_TOP = 10
DEADLINE_MS = 60_000


class Side:
    """One profile at work.

    Args:
        settings: with the profile.
        photos: of the products.
        scenes: photos of which boxes are given.
        closing: closes what is opened.
    """

    def __init__(self, settings: Settings, photos: Photos, scenes: Photos, closing: AsyncExitStack) -> None:
        from streams.wiring.yardsticks import models_of

        self._settings, self._photos, self._scenes, self._closing = settings, photos, scenes, closing
        self._models = models_of(settings)
        self._trial: Trial | None = None
        self._worn: SearchTrial | None = None
        self._local: LocalSearch | None = None
        self._unsure: Guarded[Pixels, tuple[Detection, ...]] | None = None
        self._items: dict[str, Item] = {}

    async def answer(self, asked: wire.Request) -> wire.Reply:
        """Do what is asked. Whatever goes wrong is told."""
        started = time.perf_counter()
        answer: wire.Answer
        try:
            answer = await self._answer(asked)
        except Exception as error:  # noqa: BLE001 - a model may raise anything, and whoever asked has to be told
            answer = wire.Failed(type(error).__name__, str(error))
        return wire.Reply(answer, time.perf_counter() - started, peak_bytes())

    async def _answer(self, asked: wire.Request) -> wire.Answer:
        answer: wire.Answer = wire.Done()
        match asked:
            case wire.Load():
                answer = await self._load()
            case wire.Enrich():
                answer = await self._enrich(asked)
            case wire.Take():
                found = [decode_item(item) for item in asked.items]
                self._items |= {item.product_id: item for item in found}
            case wire.Know():
                self._open().know(list(self._items.values()))
            case wire.Write():
                answer = await self._write(asked)
            case wire.Ask():
                answer = await self._ask(asked)
            case wire.Detect():
                answer = self._detect(asked)
            case wire.Stock():
                await (await self._search()).stock(asked.garments, _quietly)
            case wire.Show():
                answer = await self._show(asked)
        return answer

    async def _load(self) -> wire.Loaded:
        from streams.wiring.models import calibrations, shipped_heads
        from streams.wiring.yardsticks import caption_trial

        models = self._models
        self._trial = await self._closing.enter_async_context(caption_trial(self._settings, models=models))
        heads, writer = shipped_heads(self._settings), models.writer
        votes = calibrations(self._settings)
        return wire.Loaded(
            {
                "detector": models.detector.fingerprint,
                "encoder": f"{models.image_encoder.fingerprint} {models.text_encoder.fingerprint}",
                "facets": f"{heads.version if heads is not None else 'none'} {votes}",
                "writer": f"{writer.fingerprint} {writer.prompt_fingerprint}",
            }
        )

    def _open(self) -> Trial:
        assert self._trial is not None  # `Load` comes first
        return self._trial

    async def _enrich(self, asked: wire.Enrich) -> wire.Enriched:
        products = [Product(name, path, "", {}, frozenset(), {}) for name, path in asked.photos]
        refused: list[UnreadableInput] = []
        found = await self._open().enriched(products, self._photos, refused, _quietly, first=asked.first)
        self._open().forget()
        self._items |= {item.product_id: item for _, item in found}
        return wire.Enriched(tuple(encode(item) for _, item in found), tuple((one.name, one.cause) for one in refused))

    async def _write(self, asked: wire.Write) -> wire.Written:
        items = [(Product(name, "", "", {}, frozenset(), {}), self._items[name]) for name in asked.products]
        written = await self._open().written(items, _quietly)
        self._open().forget()
        return wire.Written(
            tuple(
                wire.Text(
                    one.product.product_id, one.garments, one.width, one.height, one.caption, one.hashtags, one.writer
                )
                for one in written
            )
        )

    async def _ask(self, asked: wire.Ask) -> wire.Hits:
        from streams.ops.composed.local import LocalSearch
        from streams.wiring.composers import reranker_of

        if self._local is None:
            fetcher = await self._closing.enter_async_context(Fetcher(self._settings, MemoryStore("compare")))
            images, texts = self._models.image_encoder, self._models.text_encoder
            self._local = LocalSearch(self._items.values(), images, texts, fetcher, reranker_of(self._settings))
        queries = [{"image": {"product_id": name}, "text": text, "top_k": TOP_K} for name, text in asked.queries]
        results = await self._local.ask(queries)
        return wire.Hits(tuple(tuple(hit.product_id for hit in result.hits) for result in results))

    def _detect(self, asked: wire.Detect) -> wire.Found:
        from streams.wiring.yardsticks import unsure_detector

        if self._unsure is None:
            self._unsure = unsure_detector(self._settings)
        scenes = [detection.bare(path) for path in asked.paths]
        try:
            judged = detection.detect(self._unsure, scenes, self._scenes, batch=self._settings.batch_items)
        except Poison:  # none of them can be read
            return wire.Found((None,) * len(scenes))
        known = dict(zip((scene.path for scene in judged.scenes), judged.found, strict=True))
        return wire.Found(tuple(known.get(path) for path in asked.paths))

    async def _search(self) -> SearchTrial:
        from streams.wiring.yardsticks import search_trial

        if self._worn is None:
            self._worn = await self._closing.enter_async_context(search_trial(self._settings, self._models))
        return self._worn

    async def _show(self, asked: wire.Show) -> wire.Answered:
        queries = [
            Query(f"q-{number}", ImageRef(bytes=data), top_k=WORN_TOP, deadline_ms=DEADLINE_MS)
            for number, data in asked.photos
        ]
        results = await (await self._search()).ask(queries, _quietly)
        return wire.Answered(
            tuple(
                wire.Shown(
                    number,
                    tuple(hit.product_id for hit in result.hits),
                    tuple(wire.Place(one.box, tuple(hit.product_id for hit in one.hits)) for one in result.garments),
                )
                for (number, _), result in zip(asked.photos, results, strict=True)
            )
        )


def _quietly(_done: int) -> None:
    """Whoever asks counts."""


def peak_bytes() -> int:
    """The most memory that this process has held. Not `ru_maxrss` where Linux tells better: that begins with the parent's."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _listen(pipe: IO[bytes], requests: queue.Queue[wire.Request]) -> None:
    """Pass requests on; when there will be no other, nobody waits for an answer, and the process ends in the middle of it."""
    while (asked := wire.read_request(pipe)) is not None:
        requests.put(asked)
    os._exit(0)


async def _serve(settings: Settings, images: Path, scenes: Path, answers: IO[bytes]) -> None:
    requests: queue.Queue[wire.Request] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True, name="requests").start()
    async with AsyncExitStack() as closing:
        photos = Photos.open(images)
        side = Side(settings, photos, photos if scenes == images else Photos.open(scenes), closing)
        while True:
            asked = await asyncio.to_thread(requests.get)
            wire.send(answers, await side.answer(asked))


def main() -> None:
    """Answer on what was standard output; whatever libraries print goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for whoever asks, who ends this process
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    configure("ERROR")
    asyncio.run(_serve(Settings(), Path(sys.argv[1]), Path(sys.argv[2]), answers))


if __name__ == "__main__":
    main()
