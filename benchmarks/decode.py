"""R8: decode and resize of a 12-megapixel JPEG, against Pillow doing the same in full.

    python benchmarks/decode.py [PHOTO] [--side 640] [--rounds 7]

Without PHOTO a noisy picture is made. Prints milliseconds of CPU (best of the rounds), their ratio, and the mean difference
of the two results in levels of 255.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from processors.decode import decode, encode_jpeg
from processors.values import Pixels


def made() -> bytes:
    """4,000 × 3,000 pixels: smooth shapes with the grain of a small sensor, as a phone would save them."""
    rng = np.random.default_rng(8)
    small = rng.integers(0, 255, (60, 80, 3)).astype(np.uint8)
    large = np.asarray(Image.fromarray(small).resize((4000, 3000), Image.Resampling.BICUBIC)).astype(np.float32)
    return encode_jpeg((large + rng.normal(0, 4, large.shape)).clip(0, 255).astype(np.uint8))


def pillow(data: bytes, side: int, resampling: Image.Resampling) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        factor = side / max(image.size)
        size = (round(image.width * factor), round(image.height * factor))
        return np.asarray(image.convert("RGB").resize(size, resampling))


def best_ms(run: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return 1000 * min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path, nargs="?")
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    data = made() if asked.photo is None else asked.photo.read_bytes()
    ours = best_ms(lambda: decode(data, max_side=asked.side), asked.rounds)
    # BOX is the like of what we do and Pillow's cheapest; BICUBIC is its default.
    for resampling in (Image.Resampling.BOX, Image.Resampling.BICUBIC):
        theirs = best_ms(lambda kind=resampling: pillow(data, asked.side, kind), asked.rounds)  # type: ignore[misc]
        print(f"{resampling.name}: Pillow {theirs:.1f} ms, ours {ours:.1f} ms, {theirs / ours:.1f} times")
    first, second = pillow(data, asked.side, Image.Resampling.BOX), decode(data, max_side=asked.side).pixels
    difference = float(np.abs(first.astype(int) - second).mean()) if first.shape == second.shape else float("nan")
    print(f"{len(data):,} bytes to {asked.side} px, mean difference {difference:.2f} of 255")


if __name__ == "__main__":
    main()
