"""Where enrich's time goes: processor milliseconds a photo, stage by stage, on one thread.

    python -m benchmarks.enrich FOLDER [--photos 48] [--rounds 3] [--against CHECKOUT]

The stages are the role's own code, called one after the other over batches of 16: no Kafka, a store in a temporary folder.
With `--against` the code in another checkout is measured as well, in processes that take turns, so that a machine that slows
down slows both; printed is the least of the rounds, for each stage.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
STAGES = ("decode", "letterbox of the detector", "detect", "colours", "crops and letterbox", "embed", "keep", "memo")
BATCH = 16
ROOT = Path(__file__).parents[1]


class Stopwatch:
    """Processor seconds of this process by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def __call__(self, stage: str, call: Callable[..., T], *arguments: Any) -> T:
        started = time.process_time()
        try:
            return call(*arguments)
        finally:
            self.seconds[stage] += time.process_time() - started


def chosen(folder: Path, count: int) -> list[Path]:
    """`count` photos of the folder, evenly spread."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    if not paths:
        raise SystemExit(f"{folder} holds no photos")
    return paths[:: max(1, len(paths) // count)][:count]


def measure(paths: Sequence[Path]) -> dict[str, float]:
    """Milliseconds a photo of each stage, views a photo, and the peak of memory in MiB; one round, after a warm-up."""
    import infra
    from infra.settings import Settings
    from infra.stores import open_store
    from models.guard import ignore
    from streams.roles.memo import Memo
    from streams.wiring.models import Models

    views = 0
    if (
        Path(infra.__file__ or "").with_name("allocator.py").exists()
    ):  # not in a checkout from before, though ours could be imported
        from infra.allocator import keep_freed_memory

        keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="weft-enrich-") as name:
        settings = Settings(data_dir=Path(name), threads=1)
        store, models = open_store(settings), Models(settings, lambda _: ignore)
        memo = Memo(store, "enrich", "benchmark")
        batches = [[path.read_bytes() for path in paths[at : at + BATCH]] for at in range(0, len(paths), BATCH)]
        for watch in (Stopwatch(), Stopwatch()):
            views = sum(_batch(watch, batch, models, store, memo) for batch in batches)
    found = {stage: 1000 * seconds / len(paths) for stage, seconds in watch.seconds.items()}
    return found | {"views": views / len(paths), "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _batch(watch: Stopwatch, photos: Sequence[bytes], models: Any, store: Any, memo: Any) -> int:
    """One batch through all stages; how many views it had."""
    from processors import crops, evidence
    from streams.contract.records import View
    from streams.roles import seeing
    from streams.roles.items import PhotoContent

    detector, encoder = models.detector, models.image_encoder
    opened = [watch("decode", _decoded, data) for data in photos]
    readies = [watch("letterbox of the detector", detector.prepare, one.pixels) for one in opened]
    raws = watch("detect", detector.forward, readies)
    described = []
    for one, raw in zip(opened, raws, strict=True):
        pixels, scale = one.pixels, one.scale
        found = crops.worth_keeping(watch("detect", detector.finish, pixels, raw), pixels.shape)

        def named(found: Any = found, pixels: Any = pixels, scale: float = scale) -> Any:
            return evidence.build(seeing.garment_seen(garment, found, pixels, scale) for garment in found).garments

        def cut(found: Any = found, pixels: Any = pixels) -> list[Any]:
            return [encoder.prepare(pixels), *(encoder.prepare(crops.cut(pixels, garment.box)) for garment in found)]

        described.append((one, watch("colours", named), watch("crops and letterbox", cut)))
    views = [view for _, _, several in described for view in several]
    for at in range(0, len(views), 4 * BATCH):  # at most as many at once as the role lets through
        watch("embed", encoder.forward, views[at : at + 4 * BATCH])
    for data, (one, garments, several) in zip(photos, described, strict=True):
        key = watch("keep", lambda data=data: store.put_content(data, suffix=".jpg", prefix="images"))
        shown = tuple(View(f"v{number}", "", bytes(1024)) for number in range(len(several)))
        content = PhotoContent(one.width, one.height, garments, shown)
        kept = f"{key.rpartition('/')[2]}-{time.monotonic_ns()}"
        watch("memo", _remember, memo, kept, content, PhotoContent)
    return len(views)


def _decoded(data: bytes) -> Any:
    from processors import decode
    from streams.roles.seeing import SERVING_SIDE

    return decode.decode(data, max_side=SERVING_SIDE)


def _remember(memo: Any, key: str, content: Any, kind: Any) -> None:
    asyncio.run(memo.keep(key, content, kind))


def rounds_of(folder: Path, count: int, checkout: Path) -> Iterator[dict[str, float]]:
    """Measured by this script, with the code of `checkout`, each time in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), str(folder.resolve()), "--photos", str(count), "--once"]
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    while True:
        done = subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        yield json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="another checkout of Weft, of which the models are fetched")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        print(json.dumps(measure(chosen(asked.folder, asked.photos))))
        return
    sides = [side for side in (asked.against, ROOT) if side is not None]
    turns = [rounds_of(asked.folder, asked.photos, side) for side in sides]
    rounds = [[next(turn) for turn in turns] for _ in range(asked.rounds)]
    least = [{key: min(both[i][key] for both in rounds) for key in rounds[0][i]} for i in range(len(sides))]
    print(
        "| processor ms a photo | " + " | ".join(["before", "now"][-len(sides) :]) + " |\n|---|" + "---|" * len(sides)
    )
    for key in (*STAGES, "all stages", "views", "MiB"):
        values = [sum(one[stage] for stage in STAGES) if key == "all stages" else one[key] for one in least]
        print(f"| {key} | " + " | ".join(f"{value:.1f}" for value in values) + " |")


if __name__ == "__main__":
    main()
