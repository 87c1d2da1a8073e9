"""Where enrich's time goes: processor milliseconds a photo, stage by stage, on one thread.

    python -m benchmarks.enrich FOLDER [--photos 32] [--rounds 3] [--batch 16] [--against CHECKOUT]

FOLDER holds photos (as many as asked for are taken, evenly spread). The stages are the role's own code, called one after
the other: no Kafka, a store in a temporary folder. With `--against` the same is measured with the code of another
checkout, in processes of their own that take turns, so that a machine that slows down slows both. The least of the
rounds is printed, for each stage.
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
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.report import Row, table

T = TypeVar("T")
STAGES = ("decode", "letterbox (detector)", "detect", "colours", "crops and letterbox", "embed", "keep", "memo")


def chosen(folder: Path, count: int) -> list[Path]:
    """`count` photos of the folder, evenly spread."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    if not paths:
        raise SystemExit(f"{folder} holds no photos")
    return paths[:: max(1, len(paths) // count)][:count]


def measure(paths: list[Path], rounds: int, batch: int) -> dict[str, Any]:
    """Least processor milliseconds a photo of each stage, views a photo, and the peak of memory in MiB."""
    from infra.fetch import Fetcher
    from infra.settings import Settings
    from infra.stores import open_store
    from models.guard import ignore
    from processors import crops, decode, evidence
    from streams.contract.records import Source
    from streams.roles import enrich as role
    from streams.roles.memo import Memo
    from streams.wiring.models import Models

    best: dict[str, float] = defaultdict(lambda: float("inf"))
    views = 0
    with tempfile.TemporaryDirectory(prefix="weft-enrich-") as name:
        settings = Settings(data_dir=Path(name), threads=1)
        store = open_store(settings)
        models = Models(settings, lambda _: ignore)
        detector, encoder = models.detector, models.image_encoder
        for number in range(rounds):
            spent: dict[str, float] = defaultdict(float)
            memo = Memo(store, "enrich", f"{role.memo_fingerprint(detector, encoder)} {number}")

            def timed(stage: str, call: Callable[[], T], spent: dict[str, float] = spent) -> T:
                started = time.process_time()
                result = call()
                spent[stage] += time.process_time() - started
                return result

            views = 0
            for start in range(0, len(paths), batch):
                some = [path.read_bytes() for path in paths[start : start + batch]]
                decoded = timed("decode", lambda s=some: [decode.decode(d, max_side=role.SERVING_SIDE) for d in s])  # type: ignore[misc]
                ready = timed("letterbox (detector)", lambda d=decoded: [detector.prepare(one.pixels) for one in d])  # type: ignore[misc]
                raws = timed("detect", lambda r=ready: detector.forward(r))  # type: ignore[misc]
                found = [
                    timed("detect", lambda o=one, r=raw: crops.worth_keeping(detector.finish(o.pixels, r), o.pixels.shape))  # type: ignore[misc]
                    for one, raw in zip(decoded, raws, strict=True)
                ]
                garments = [
                    timed(
                        "colours",
                        lambda o=one, f=some_found: evidence.build(
                            role._garment(g, f, o.pixels, o.scale) for g in f  # noqa: SLF001
                        ).garments,  # type: ignore[misc]
                    )
                    for one, some_found in zip(decoded, found, strict=True)
                ]

                def prepared(one: Any, of: Any) -> list[Any]:
                    shown = [encoder.prepare(one.pixels)]
                    for garment in of:
                        x0, y0, x1, y1 = (edge * one.scale for edge in garment.box)
                        shown.append(encoder.prepare(crops.cut(one.pixels, (x0, y0, x1, y1))))
                    return shown

                shown = [
                    timed("crops and letterbox", lambda o=one, g=of: prepared(o, g))  # type: ignore[misc]
                    for one, of in zip(decoded, garments, strict=True)
                ]
                flat = [view for one in shown for view in one]
                views += len(flat)
                # As the role: at most four views a photo of the batch go to the encoder at once.
                for first in range(0, len(flat), batch * 4):
                    timed("embed", lambda f=first, v=flat: encoder.forward(v[f : f + batch * 4]))  # type: ignore[misc]
                for data, of, one, several in zip(some, garments, decoded, shown, strict=True):
                    timed("keep", lambda d=data: store.put_content(d, suffix=".jpg", prefix=f"images-{number}"))  # type: ignore[misc]
                    content = role.PhotoContent(
                        one.width, one.height, of, tuple(role.View("v", "", bytes(1024)) for _ in several)
                    )
                    digest = store.put_content.__name__ + str(hash(data))
                    timed("memo", lambda c=content, d=digest: asyncio.run(memo.keep(d, c, role.PhotoContent)))  # type: ignore[misc]
            for stage in STAGES:
                best[stage] = min(best[stage], 1000 * spent[stage] / len(paths))
    del Fetcher, Source
    return {"ms": dict(best), "views": views / len(paths), "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    print(json.dumps(measure(chosen(Path(sys.argv[1]), int(sys.argv[2])), int(sys.argv[3]), 16)))
