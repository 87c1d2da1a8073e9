"""The models on a GPU: the same answers as on the processor, and how fast they come.

    python -m benchmarks.gpu FOLDER [--photos 128] [--device cuda] [--parts detector,encoder,...] [--json FILE]

FOLDER holds photos. Each part loads its models twice, on the processor and on the device, through the composition root, as the roles do;
compares what they answer; and times the device at several batches, after a warm-up, the median of the rounds. "Bare" is the same
network of torch over a batch that lies on the device already: what is beside it is ours (copies, boxes, the end of the tower).
No Kafka takes part. A part that fails says so, and the others are measured.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.enrich import chosen

BATCHES = (1, 8, 32, 64)
ROUNDS = 7
PACKS = 64


def timed(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median seconds; what the device was given is waited for."""
    import torch

    run()
    seconds = []
    for _ in range(rounds):
        _wait(torch)
        started = time.perf_counter()
        run()
        _wait(torch)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _wait(torch: Any) -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@cache
def settings_of(device: str, writer: str = "free") -> Any:
    """The usual settings, on this device."""
    from infra.settings import Settings

    return Settings(device=device, data_dir=Path(tempfile.mkdtemp(prefix="weft-gpu-")), writer=writer)


def models_of(device: str, writer: str = "free", observe: Callable[[str, int, float], None] | None = None) -> Any:
    """What the roles of a worker on this device would load."""
    from models.guard import ignore
    from streams.wiring.models import Models

    return Models(settings_of(device, writer), lambda _: observe or ignore)


def by_batch(
    forward: Callable[[Sequence[Any]], object], items: Sequence[Any], unit: str = "a second"
) -> dict[str, float]:
    """Items a second at each batch."""
    found = {}
    for size in BATCHES:
        batch = [items[n % len(items)] for n in range(size)]
        found[f"batch {size}, {unit}"] = round(size / timed(lambda batch=batch: forward(batch)), 1)
    return found


def pixels_of(paths: Sequence[Path]) -> list[Any]:
    from processors import decode
    from streams.roles.enrich import SERVING_SIDE

    return [decode.decode(path.read_bytes(), max_side=SERVING_SIDE).pixels for path in paths]


def detector(paths: Sequence[Path], device: str) -> dict[str, Any]:
    """Boxes of both, and the network alone."""
    import torch

    here, there = (models_of(one).detector for one in ("cpu", device))
    photos = pixels_of(paths)
    readies = [there.prepare(photo) for photo in photos]
    one, other = (
        [model.finish(photo, raw) for photo, raw in zip(photos, model.forward(readies), strict=True)]
        for model in (here, there)
    )
    same = sum([d.category for d in a] == [d.category for d in b] for a, b in zip(one, other, strict=True))
    pairs = [(a, b) for x, y in zip(one, other, strict=True) if len(x) == len(y) for a, b in zip(x, y, strict=True)]
    moved = [max(abs(p - q) for p, q in zip(a.box, b.box, strict=True)) for a, b in pairs if a.category == b.category]
    worst = sorted(moved)[-3:]
    few = [raw for n in range(0, len(readies), 3) for raw in there.forward(readies[n : n + 3])]
    together = there.forward(readies)
    shape = Counter(tuple(ready.image.shape) for ready in readies).most_common(1)[0][0]
    alike = [ready for ready in readies if tuple(ready.image.shape) == shape]
    inner = there._model  # noqa: SLF001
    bare = {}
    for size in BATCHES:
        images = torch.rand(size, *shape, device=device)
        with torch.inference_mode():
            bare[f"bare, batch {size}, a second"] = round(size / timed(lambda images=images: inner._network(images)), 1)  # noqa: SLF001
    return {
        "photos with the same garments in the same order": f"{same} of {len(photos)}",
        "boxes moved by at most, pixels": [round(one, 3) for one in worst],
        "confidences differ by at most": max((abs(a.confidence - b.confidence) for a, b in pairs), default=0.0),
        "same bytes in threes and together": f"{sum(np.array_equal(a, b) for a, b in zip(few, together, strict=True))} of {len(photos)}",
        **by_batch(there.forward, alike),
        **bare,
        "the processor, batch 16, a second": round(16 / timed(lambda: here.forward(alike[:16]), 3), 1),
    }


def encoder(paths: Sequence[Path], device: str) -> dict[str, Any]:
    """Vectors and the numbers that facets are read from."""
    import torch

    here, there = (models_of(one).image_encoder for one in ("cpu", device))
    readies = [there.prepare(photo) for photo in pixels_of(paths)]
    wanted, got = here.forward(readies), there.forward(readies)
    few = [raw for n in range(0, len(readies), 3) for raw in there.forward(readies[n : n + 3])]
    same = sum(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in zip(few, got, strict=True))
    tower = there._model._tower  # noqa: SLF001
    bare = {}
    for size in BATCHES:
        images = torch.rand(size, 3, 224, 224, device=device)
        with torch.inference_mode():
            bare[f"bare, batch {size}, a second"] = round(size / timed(lambda images=images: tower._maps(images)), 1)  # noqa: SLF001
    pairs = list(zip(wanted, got, strict=True))
    return {
        "least cosine of vectors": float(min(a[0] @ b[0] for a, b in pairs)),
        "numbers differ by at most": float(max(np.abs(a[0] - b[0]).max() for a, b in pairs)),
        "features differ by, relative": float(
            max(np.linalg.norm(a[1] - b[1]) / np.linalg.norm(a[1]) for a, b in pairs)
        ),
        "same bytes in threes and together": f"{same} of {len(readies)}",
        **by_batch(there.forward, readies),
        **bare,
        "the processor, batch 16, a second": round(16 / timed(lambda: here.forward(readies[:16]), 3), 1),
    }


def facets(paths: Sequence[Path], device: str) -> dict[str, Any]:
    """What the heads say of what either saw."""
    from streams.wiring.models import shipped_heads

    heads = shipped_heads(settings_of(device))
    if heads is None:
        return {"heads": "none"}
    here, there = (models_of(one).image_encoder for one in ("cpu", device))
    readies = [there.prepare(photo) for photo in pixels_of(paths)]
    seen, same = 0, 0
    worst = 0.0
    for a, b in zip(here.forward(readies), there.forward(readies), strict=True):
        for head in heads.heads.values():
            p, q = head.probabilities(here.features(a)), head.probabilities(there.features(b))
            p, q = (
                np.asarray(list(p.values()) if isinstance(p, dict) else p),
                np.asarray(list(q.values()) if isinstance(q, dict) else q),
            )
            seen, same = seen + 1, same + int(p.argmax() == q.argmax())
            worst = max(worst, float(np.abs(p - q).max()))
    return {"same likeliest value": f"{same} of {seen}", "probabilities differ by at most": worst}


def words(_paths: Sequence[Path], device: str) -> dict[str, Any]:
    """The text tower."""
    here, there = (models_of(one).text_encoder for one in ("cpu", device))
    texts = [
        f"a {colour} {noun}"
        for colour in ("red", "navy", "green")
        for noun in ("dress with long sleeves", "bag", "shirt")
    ]
    readies = [there.prepare(text) for text in texts]
    pairs = zip(here.forward(readies), there.forward(readies), strict=True)
    return {"least cosine": float(min(a @ b for a, b in pairs)), **by_batch(there.forward, readies)}


def memory(paths: Sequence[Path], device: str) -> dict[str, Any]:
    """A device that has room for a few photos at once: the batch is halved until it fits, and the answers are the same."""
    import torch

    halved: list[int] = []

    def observe(stage: str, items: int, _seconds: float) -> None:
        if stage == "out_of_memory":
            halved.append(items)

    model = models_of(device, observe=observe).detector
    readies = [model.prepare(photo) for photo in pixels_of(paths)]
    wanted = model.forward(readies)
    _free(torch)
    held = torch.cuda.memory_allocated()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((held + 2**28) / total)
    try:
        got = model.forward(readies)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    close = sum(a.shape == b.shape and np.allclose(a, b, atol=1e-2) for a, b in zip(wanted, got, strict=True))
    return {"batches that did not fit": halved, "answers that are the same": f"{close} of {len(readies)}"}


def _free(torch: Any) -> None:
    gc.collect()
    torch.cuda.empty_cache()


def writer(_paths: Sequence[Path], device: str) -> dict[str, Any]:
    """R5, R6, and what the verifier says of the drafts."""
    import torch

    from models.ports import WriterRequest
    from models.recipes.writer_data import cases
    from processors.captions import Rejected, judge

    packs = cases(PACKS)
    requests = [WriterRequest(evidence=case.evidence, tone=case.tone, seed=n) for n, case in enumerate(packs)]
    found: dict[str, Any] = {}
    rates: dict[tuple[str, int], float] = {}

    def say(key: str, value: Any) -> None:
        found[key] = value
        print(f"  {key}: {value}", flush=True)

    for kind in ("free", "grounded"):
        model = models_of(device, kind).writer
        readies = [model.prepare(request) for request in requests]
        raws = model.forward(readies)
        say(f"{kind}: engine", type(model._model.engine).__name__)  # noqa: SLF001
        texts = [model.finish(request, raw) for request, raw in zip(requests, raws, strict=True)]
        say(f"{kind}: some", texts[:3])
        small = [raw for n in range(0, 12, 4) for raw in model.forward(readies[n : n + 4])]
        same = sum(a == b for a, b in zip(small, raws, strict=False))
        say(f"{kind}: same text in batches of 4 and {PACKS}", f"{same} of {len(small)}")
        for size in (1, 8, 32, 64):
            some = readies[: 3 if size == 1 else size]
            tokens, seconds = 0, 0.0
            for n in range(0, len(some), size):
                _wait(torch)
                began = time.perf_counter()
                raw = model.forward(some[n : n + size])
                seconds += time.perf_counter() - began
                tokens += sum(map(len, raw))
            rates[kind, size] = tokens / seconds
            say(f"{kind}: batch {size}, tokens a second", round(tokens / seconds, 1))
        say(f"{kind}: MiB on the device", round(torch.cuda.max_memory_allocated() / 2**20) if device != "cpu" else 0)
        verdicts = [judge(text, request.evidence) for text, request in zip(texts, requests, strict=True)]
        say(f"{kind}: first drafts accepted", round(sum(not isinstance(v, Rejected) for v in verdicts) / PACKS, 3))
        del model
        _free(torch)
    say("R5: batch 32 over one by one", round(rates["free", 32] / rates["free", 1], 2))
    for size in (1, 8, 32):
        say(f"R6: held to a grammar over free, batch {size}", round(rates["grounded", size] / rates["free", size], 3))
    return found


def photo(paths: Sequence[Path], device: str) -> dict[str, Any]:
    """Wall milliseconds a photo of enrich's own stages, one thread beside the device."""
    from benchmarks import enrich
    from infra.settings import Settings
    from infra.stores import open_store
    from models.guard import ignore
    from streams.roles.memo import Memo
    from streams.wiring.models import Models

    class Clock(enrich.Stopwatch):
        def __call__(self, stage: str, call: Callable[..., Any], *arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                self.seconds[stage] += time.perf_counter() - started

    with tempfile.TemporaryDirectory(prefix="weft-gpu-") as name:
        settings = Settings(device=device, data_dir=Path(name), threads=1)
        store, models = open_store(settings), Models(settings, lambda _: ignore)
        memo = Memo(store, "enrich", "benchmark")
        data = [path.read_bytes() for path in paths]
        batches = [data[at : at + enrich.BATCH] for at in range(0, len(data), enrich.BATCH)]
        for watch in (Clock(), Clock()):
            views = sum(enrich._batch(watch, batch, models, store, memo) for batch in batches)  # noqa: SLF001
    found = {f"{stage}, ms": round(1000 * seconds / len(paths), 3) for stage, seconds in watch.seconds.items()}
    return found | {"views a photo": round(views / len(paths), 2)}


PARTS: dict[str, Callable[[Sequence[Path], str], dict[str, Any]]] = {
    "detector": detector,
    "encoder": encoder,
    "facets": facets,
    "words": words,
    "memory": memory,
    "photo": photo,
    "writer": writer,
}


def about(device: str) -> dict[str, str]:
    import torch

    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() and device != "cpu" else platform.processor()
    return {
        "device": f"{name}, {os.cpu_count()} cores beside it",
        "torch": str(torch.__version__),
        "commit": told.stdout.strip() or "?",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    paths = chosen(asked.folder, asked.photos)
    report: dict[str, Any] = {"about": about(asked.device)}
    print(report["about"], flush=True)
    for name in asked.parts.split(","):
        began = time.perf_counter()
        try:
            report[name] = PARTS[name](paths, asked.device)
        except Exception:  # noqa: BLE001 - the other parts are measured all the same
            report[name] = {"failed": traceback.format_exc()}
        report[name]["took, s"] = round(time.perf_counter() - began, 1)
        print(f"\n{name}\n" + "\n".join(f"  {key}: {value}" for key, value in report[name].items()), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
