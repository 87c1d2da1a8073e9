"""`python -m benchmarks.own_sizes [--families yolov8 yolo11] [--sizes n s m l x] [--no-seg]`: checkpoints of every size, converted and held against `predict`.

Each network is drawn by chance, saved as ultralytics' trainer saves one, taken in by the process apart that `weft models add` uses, and asked the
same pictures as `predict` of the installed ultralytics: as many boxes, in the same places, as sure. Prints a row a size as it is done.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.report import Row, table
from models.detector import own_yolo
from models.detector.conversion import convert
from models.detector.own_detector import Options
from processors.drawn import draw_scene
from tests.fixtures.own_yolo import network, saved

FAMILIES = ("yolov8", "yolo11", "yolo12", "yolo26")
SIZES = ("n", "s", "m", "l", "x")
SIDE = 160
SURE = 0.3
CLOSE = 0.03
"""Of a box in pixels, and of a hundred times its confidence: rounding."""


def held(architecture: str, folder: Path) -> Row:
    """Convert one network, and count the boxes that are where `predict` has them."""
    from ultralytics import YOLO

    path = saved(network(architecture), folder / "best.pt", size=SIDE)
    began = time.perf_counter()
    convert(path, folder / "converted", None)
    seconds = time.perf_counter() - began
    ours = own_yolo.load(folder / "converted", options=Options(confidence=SURE))
    theirs = YOLO(str(path))
    seen = alike = other = 0
    for seed in (2, 11):
        pixels = draw_scene(seed, size=192, style="figure").pixels
        shown = pixels[..., ::-1].copy()
        boxes = theirs.predict(shown, conf=SURE, imgsz=SIDE, verbose=False, device="cpu")[0].boxes
        real = (boxes.xyxy[:, 2:] > boxes.xyxy[:, :2]).all(1).numpy()
        places, sure = boxes.xyxy.numpy()[real], boxes.conf.numpy()[real]
        found = ours.finish(pixels, ours.forward([ours.prepare(pixels)])[0])
        seen += len(found)
        other += abs(len(found) - len(places))
        for one in found if len(places) else ():
            far = np.abs(places - np.array(one.box)).max(1) + 100 * np.abs(sure - one.confidence)
            alike += bool(far.min() < CLOSE)
    megabytes = path.stat().st_size / 1e6
    value = f"{alike} of {seen} boxes alike, {other} more or fewer"
    return Row(architecture, value, "all", f"{megabytes:.0f} MB of best.pt, converted in {seconds:.1f} s")


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m benchmarks.own_sizes", description=__doc__)
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--sizes", nargs="*", default=list(SIZES))
    parser.add_argument("--no-seg", action="store_true", help="Without segmentation heads.")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = []
    for family in asked.families:
        for size in asked.sizes:
            for head in ("",) if asked.no_seg else ("", "-seg"):
                with tempfile.TemporaryDirectory(prefix="weft-sizes-") as folder:
                    try:
                        rows.append(held(f"{family}{size}{head}.yaml", Path(folder)))
                    except FileNotFoundError:
                        rows.append(Row(f"{family}{size}{head}.yaml", "not carried by this ultralytics"))
                print(table(rows[-1:]).splitlines()[-1], flush=True)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
