"""Tables and photos that yardsticks read: every form, and a sentence that names file and field for every mistake."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.yardsticks import tables
from models.yardsticks.photos import Photos
from processors.errors import Poison


def photo(path: Path, colour: tuple[int, int, int] = (40, 40, 200)) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((48, 32, 3), 255, np.uint8)
    pixels[8:40, 8:24] = colour
    cv2.imwrite(str(path), pixels)
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photo(tmp_path / "photos" / "a.png")
    photo(tmp_path / "photos" / "b.1.png", (200, 40, 40))
    (tmp_path / "labels.csv").write_text("image,label\na,dress\nb.1,shirt\n")
    return tmp_path


def test_labels_csv(folder: Path) -> None:
    """`image` is the stem of a file in `photos/` beside the table; stems may hold dots."""
    photos, items, missing = tables.read_labelled(folder / "labels.csv", None, "")
    assert [(item.path, item.label) for item in items] == [("a.png", "dress"), ("b.1.png", "shirt")]
    assert missing == []
    assert photos.load("a.png").decoded.pixels.shape == (48, 32, 3)


def test_a_folder_of_classes(tmp_path: Path) -> None:
    photo(tmp_path / "dress" / "1.png")
    photo(tmp_path / "shirt" / "1.png")
    _, items, _ = tables.read_labelled(tmp_path, None, "")
    assert [(item.path, item.label) for item in items] == [("dress/1.png", "dress"), ("shirt/1.png", "shirt")]


def test_products_with_photos_in_a_zip(tmp_path: Path) -> None:
    data = photo(tmp_path / "7.png")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("inner/7.png", data)
    rows = [{"id": 7, "articleType": "Tops"}, {"id": 8, "articleType": "Tops"}, {"id": 9}]
    (tmp_path / "products.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    _, items, missing = tables.read_labelled(tmp_path / "products.jsonl.gz", tmp_path / "photos.zip", "articleType")
    assert [(item.path, item.label) for item in items] == [("inner/7.png", "Tops")]
    assert missing == ["8"]


def test_boxes_of_a_coco_file_are_labelled_photos(folder: Path) -> None:
    """Ignored regions are no garments."""
    boxes = [{"image_id": 1, "category_id": 3, "bbox": [8, 8, 16, 32], "iscrowd": crowd} for crowd in (0, 1)]
    listed = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": boxes,
        "categories": [{"id": 3, "name": "bag"}],
    }
    (folder / "boxes.json").write_text(json.dumps(listed))
    _, items, _ = tables.read_labelled(folder / "boxes.json", folder / "photos", "")
    assert [tuple(item) for item in items] == [("a.png", "bag", (8, 8, 24, 40))]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.csv", "image,klass\na,dress\n", ("labels.csv", "'label'", "klass")),
        ("labels.csv", "image,label\na,\n", ("labels.csv", "line 2", "label")),
        ("labels.csv", "image,label\n", ("labels.csv", "no rows")),
        ("labels.csv", "", ("labels.csv", "'image'", "none")),
        ("labels.csv", "image,label\nnix,dress\n", ("photos", "'nix'")),
        ("boxes.json", "{", ("boxes.json", "COCO")),
        ("boxes.json", '{"images": [], "annotations": [], "categories": []}', ("boxes.json", "images")),
        (
            "boxes.json",
            '{"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "bag"}], "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3]}]}',
            ("boxes.json", "bbox"),
        ),
        (
            "boxes.json",
            '{"images": [{"id": 1, "file_name": "a.png"}], "categories": [], "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]}',
            ("boxes.json", "annotations[0].category_id", "1"),
        ),
        ("products.jsonl", '{"id": 1}\nnix\n', ("products.jsonl", "line 2")),
        ("products.jsonl", '{"ident": 1}\n', ("products.jsonl", "'id'")),
        ("products.jsonl", '{"id": 1}\n', ("products.jsonl", "'articleType'")),
        ("notes.txt", "x", ("notes.txt", "labels.csv")),
    ],
)
def test_a_mistake_is_named(folder: Path, name: str, content: str, words: tuple[str, ...]) -> None:
    (folder / name).write_text(content)
    with pytest.raises(Poison) as caught:
        tables.read_labelled(folder / name, folder / "photos", "articleType")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Poison, match=r"nix\.csv does not exist"):
        tables.read_labelled(tmp_path / "nix.csv", None, "")
    with pytest.raises(Poison, match="holds no JPEG, PNG or WebP"):
        Photos.open(tmp_path)
    (tmp_path / "half.jsonl.gz").write_bytes(gzip.compress(b'{"id": 1}\n' * 100)[:20])
    with pytest.raises(Poison, match=r"half\.jsonl\.gz cannot be read"):
        tables.read_products(tmp_path / "half.jsonl.gz")


def test_two_photos_of_one_name_are_no_guess(tmp_path: Path) -> None:
    photo(tmp_path / "x" / "1.png")
    photo(tmp_path / "y" / "1.png")
    photos = Photos.open(tmp_path)
    assert photos.find("x/1.png") == "x/1.png"
    with pytest.raises(Poison, match="name of 2 photos"):
        photos.find("1")
