"""docs/models/own.md: its commands are run, in its order, on a detector, an encoder and a server of ours."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from models.checkpoints import yolo_reading
from models.detector import conversion
from models.profiles.reading import find
from processors.class_map import meanings
from processors.values import CATEGORIES
from streams.cli import main
from tests.fakes.llm_server import MODEL, LlmServer, completion
from tests.fixtures import own_encoders
from tests.fixtures.own_yolo import NAMES, network, saved

PAGE = (Path(__file__).parents[3] / "docs" / "models" / "own.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page says that you have."""
    saved(network("yolo11n.yaml"), tmp_path / "best.pt", size=160)
    (tmp_path / "map.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    (tmp_path / "our-encoder").mkdir()
    own_encoders.open_clip(tmp_path / "our-encoder")
    (tmp_path / "tiny.yaml").write_text("size: 64\nbatch: 2\nthreads: 1\n")  # a suite has no ten minutes
    (tmp_path / "photos").mkdir()
    document: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    document["categories"] = [{"id": number, "name": name} for number, name in enumerate(NAMES)]
    for number in range(12):
        picture = np.full((64, 64, 3), 200, np.uint8)
        picture[16:48, 8:40] = (30, 30, 200)
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), picture)
        document["images"].append({"id": number, "file_name": f"{number}.png"})
        document["annotations"].append({"image_id": number, "category_id": number % 4, "bbox": [8, 16, 32, 32]})
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    monkeypatch.setenv("WEFT_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a line of the page."""
    monkeypatch.setattr("sys.argv", shlex.split(command))
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_its_commands_make_a_profile(shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Each exits with 0 (but for a base that only `weft models pull` fetches); then the profile has all three parts."""
    with LlmServer(lambda _: completion("Yes, of course.")) as server:
        for command in COMMANDS:
            assert command.startswith("weft ")
            here = (
                command.replace("http://llm:8000/v1", server.base_url)
                .replace("our-llm", MODEL)
                .replace("--minutes 10", "--minutes 0.01 --recipe tiny.yaml")
            )
            code = run(here, monkeypatch)
            said = capsys.readouterr()
            # The suite has no starter bases in its own model cache: what needs them is told missing, and nothing else.
            problems = [line for line in said.err.splitlines() if ": missing" in line or "damaged" in line]
            assert code == 0 or (command.startswith("weft models verify") and problems), (command, said.err)
            assert not any("our-shop" in line for line in problems)
    profile = find("our-shop", shop / "cache")
    assert {name: profile.parts[name].kind for name in ("detector", "encoder", "writer")} == {
        "detector": "yolo",
        "encoder": "open_clip",
        "writer": "openai",
    }
    assert "runs/garments" not in (shop / "cache" / "profiles" / "our-shop" / "profile.yaml").read_text()
    assert "| kurta |" in (shop / "runs" / "garments" / "detector" / "card.md").read_text()


def test_what_it_says_of_classes_is_so() -> None:
    """The words of the right side, in their order; what becomes of names that the map lacks."""
    assert ", ".join(f"`{name}`" for name in CATEGORIES) in PAGE
    assert [(one.category, one.kind) for one in meanings(["T-shirts"])] == [("shirt", "t-shirt")]


def test_what_it_says_of_files_is_so() -> None:
    """Families, and the limits of the reading process."""
    assert conversion.FAMILIES == ("v8", "11", "12", "26")
    assert "YOLOv8, 11, 12 and 26" in PAGE
    assert set(yolo_reading.MODELS.values()) == {"detect", "segment"}
