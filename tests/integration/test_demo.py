"""`make demo` itself, on eight images, with the real models: what a visitor does first."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from processors.drawn import catalogue
from streams.contract.records import Caption, Result

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
COUNT = 8


def test_make_demo_on_eight_images(tmp_path: Path) -> None:
    """Files, shapes and counts are an interface; the captions are about the pictures."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    folder, out = tmp_path / "images", tmp_path / "out"
    truth = {}
    for number, product in enumerate(catalogue(5, COUNT)):
        place = folder / ("deep" if number % 2 else ".")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(product.pixels).save(place / f"{product.product_id}.jpg", quality=90)
        truth[product.product_id] = {garment.spec.category for garment in product.scene.garments}
    ran = subprocess.run(
        ["make", "--no-print-directory", "demo", f"IMAGES={folder}", f"OUT={out}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    report = json.loads((out / "report.json").read_text())
    assert report["images"] == report["captioned"] == COUNT
    assert report["dead_lettered"] == 0
    assert report["queries"] == report["answered"] == 3
    assert report["writer"]["llm"] + report["writer"]["template"] == COUNT
    captions = [msgspec.json.decode(line, type=Caption) for line in (out / "captions.jsonl").read_bytes().splitlines()]
    assert len(captions) == COUNT
    results = [msgspec.json.decode(line, type=Result) for line in (out / "results.jsonl").read_bytes().splitlines()]
    assert all(result.hits and not result.partial for result in results)
    with Image.open(out / "contact-sheet.png") as sheet:
        assert min(sheet.size) > 500
    assert str(out / "contact-sheet.png") in ran.stderr
    # The detector is not perfect; but captions about something else than the pictures would be noise.
    right = sum(bool({g.category for g in c.evidence.garments} & set(_truth(truth, c.product_id))) for c in captions)
    assert right >= COUNT // 2
    assert sum(bool(c.evidence.garments) for c in captions) >= COUNT // 2


def _truth(truth: dict[str, set[str]], product_id: str) -> set[str]:
    """The id of a photo without metadata is its path; the drawn id is a part of it."""
    return next(categories for drawn_id, categories in truth.items() if drawn_id in product_id)
