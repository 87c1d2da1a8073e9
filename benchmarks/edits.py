"""`python -m benchmarks.edits [--images FOLDER] [--photos 24] [--looks 24] [--profile starter]`: what an edit of a garment costs, from outside.

A stack of its own (a process for each role; captions by rule, which no edit needs) takes drawn products in as looks. Then the role `edit` is sent
photos of the folder, or drawn ones, with words: one at a time, and all at once, in turn, twice. Milliseconds by stage are those that results tell
(`stages_ms`), seconds are from sending to the last result, processor seconds are the kernel's of the role's process, which also holds `compose`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec
import psutil
from aiokafka import AIOKafkaProducer

from benchmarks.feed import conditions
from benchmarks.images import drawn_photos
from benchmarks.report import Row, percentile, table
from benchmarks.sides import peak_memory
from infra.settings import Settings
from infra.stores import open_store
from streams.contract import topics
from streams.contract.edit_codecs import decode_edit_result
from streams.contract.edits import EditRequest, EditResult
from streams.contract.records import ImageRef, Upload
from streams.kafka.client import Client, Reader
from streams.ops import stack_file
from streams.ops.stack import Stack

WORDS = ("a red shirt", "a navy dress", "a striped top", "green trousers", "a white jacket", "a black skirt")
LIMIT_S, DEADLINE_MS = 300.0, 240_000
STAGES = ("read", "see", "embed", "retrieve", "paint", "store")


@dataclass(frozen=True, slots=True)
class Turn:
    """Some requests: their results, seconds from the first sent to the last result, processor seconds of the role's process."""

    results: tuple[EditResult, ...]
    clock: float
    processor: float


class Asking:
    """Sends requests, and waits for their results."""

    def __init__(self, producer: AIOKafkaProducer, results: Reader, pid: int) -> None:
        self._producer, self._results, self._process = producer, results, psutil.Process(pid)

    async def turn(self, requests: Sequence[EditRequest]) -> Turn:
        """All of them at once."""
        before, began = self._spent(), time.perf_counter()
        for one in requests:
            value = msgspec.json.encode(one)
            await self._producer.send(topics.EDIT_REQUESTS, value, key=one.request_id.encode())
        waiting, found = {one.request_id for one in requests}, list[EditResult]()
        async with asyncio.timeout(LIMIT_S):
            async for message in self._results.follow():
                result = decode_edit_result(message.value or b"{}")
                if result.request_id in waiting:
                    waiting.remove(result.request_id)
                    found.append(result)
                if not waiting:
                    break
        return Turn(tuple(found), time.perf_counter() - began, self._spent() - before)

    def _spent(self) -> float:
        used = self._process.cpu_times()
        return float(used.user + used.system)


def asked(photos: Sequence[bytes], name: str) -> list[EditRequest]:
    """A request a photo, each with other words."""
    return [
        EditRequest(
            f"{name}-{n}",
            WORDS[n % len(WORDS)],
            ImageRef(bytes=data),
            seed=n,
            consent=True,
            deadline_ms=DEADLINE_MS,
        )
        for n, data in enumerate(photos)
    ]


async def measure(settings: Settings, photos: Sequence[bytes], looks: int) -> list[Row]:
    """The rows."""
    given = drawn_photos(settings.data_dir / "drawn", looks, 5, metadata=True)
    async with Stack(settings.model_copy(update={"data_dir": settings.data_dir / "stack"})) as stack:
        store = open_store(stack.settings)
        uploads = [
            Upload(one.product_id, ImageRef(uri=store.address(store.put_content(one.path.read_bytes(), ".jpg"))))
            for one in given
            if one.path is not None
        ]
        async with Client(stack.settings) as client, Reader(stack.settings, topics.CAPTIONS, from_end=True) as captions:
            await client.upload(uploads)
            left = {one.product_id.encode() for one in uploads}
            async with asyncio.timeout(LIMIT_S):
                async for message in captions.follow():
                    left.discard(message.key or b"")
                    if not left:
                        break
        known = msgspec.json.decode(stack_file.path_of(stack.settings.data_dir).read_bytes(), type=stack_file.StackFile)
        producer = AIOKafkaProducer(bootstrap_servers=known.bootstrap, max_request_size=2**24)
        await producer.start()
        try:
            async with Reader(stack.settings, topics.EDIT_RESULTS, from_end=True) as results:
                asking = Asking(producer, results, known.pids["edit"])
                await asking.turn(asked(photos[:2], "warm"))
                apart, together = list[Turn](), list[Turn]()
                for again in range(2):
                    apart += [await asking.turn([one]) for one in asked(photos, f"apart-{again}")]
                    together.append(await asking.turn(asked(photos, f"together-{again}")))
        finally:
            await producer.stop()
        peak = peak_memory(known.pids["edit"])
    return _rows(apart, together, peak)


def _rows(apart: Sequence[Turn], together: Sequence[Turn], peak: float) -> list[Row]:
    done = [result for turn in apart for result in turn.results if result.error is None]
    refused = sum(result.error is not None for turn in apart for result in turn.results)
    stages = {
        stage: median(values)
        for stage in STAGES
        if (values := [result.stages_ms[stage] for result in done if stage in result.stages_ms])
    }
    seconds = [turn.clock for turn in apart]
    count = sum(len(turn.results) for turn in together)
    return [
        Row(
            "an edit, one at a time",
            f"{median(seconds):.2f} s (p95 {percentile(seconds, 0.95):.2f}), {median(t.processor for t in apart):.2f} s of processor",
            "",
            f"{len(done)} edits, {refused} photos without such a garment",
        ),
        Row("milliseconds by stage", ", ".join(f"{name} {value:.0f}" for name, value in stages.items()), "", "medians"),
        Row(
            "all at once",
            f"{count / sum(turn.clock for turn in together):.2f} images/s, {sum(turn.processor for turn in together) / count:.2f} s of processor an image",
            "",
            f"{len(together)} batches of {count // len(together)}",
        ),
        Row("memory of the process, edit and compose", f"{peak:.2f} GiB at the peak"),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edits", description=__doc__)
    parser.add_argument("--images", type=Path, default=None, help="folder of photos; drawn ones without it")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--looks", type=int, default=24)
    parser.add_argument("--profile", default="starter")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
        if given.images is None:
            found = [one.path for one in drawn_photos(Path(folder) / "worn", given.photos, 91) if one.path is not None]
        else:
            found = sorted(given.images.glob("*.jpg"))[: given.photos]
        settings = Settings(data_dir=Path(folder), profile=given.profile, writer="template")
        rows = asyncio.run(measure(settings, [path.read_bytes() for path in found], given.looks))
    sys.stdout.write(table(rows) + f"\n{conditions()}")


if __name__ == "__main__":
    main()
