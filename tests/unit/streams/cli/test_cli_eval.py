"""`weft eval` and `weft train` as scripts call them: one JSON document, pictures, sentences and exit codes."""

from __future__ import annotations

import gzip
import json
import logging
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import structlog

from models.recipes.writer import read_recipe
from streams.cli import main
from streams.cli.exits import Exit
from streams.cli.train import Part, _named
from tests.fixtures import tiny_llama


@pytest.fixture
def weft(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs one command in this process on the fake models; gives (exit code, stdout, stderr)."""
    monkeypatch.setenv("WEFT_PROFILE", "fake")
    handlers, level = logging.getLogger().handlers, logging.getLogger().level

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["weft", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    yield run
    # A command that sets logging up does it for its whole process, which here is the tests'.
    logging.getLogger().handlers, logging.getLogger().level = handlers, level
    structlog.reset_defaults()


COLOURS = {"red": (47, 32, 200), "blue": (176, 92, 42)}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Upright rectangles (which the fake detector calls dress or the like) in two colours, with all four tables."""
    (tmp_path / "photos").mkdir()
    rows, boxes = [], []
    for n in range(8):
        name = ("red", "blue")[n % 2]
        pixels = np.full((96, 64, 3), 240, np.uint8)
        pixels[16 : 70 + n, 16:48] = COLOURS[name]
        cv2.imwrite(str(tmp_path / "photos" / f"{n}.png"), pixels)
        gender = {"red": "Women", "blue": "Men"}[name]
        facts = {"baseColour": name.title(), "gender": gender, "brandName": f"b{8 + n // 2}", "articleType": "Dresses"}
        rows.append({"id": n, **facts, "articleAttributes": {"Fabric": "Cotton"}})
        boxes.append({"image_id": n, "category_id": 9, "bbox": [16, 16, 32, 54 + n]})
    (tmp_path / "labels.csv").write_text("image,label\n" + "".join(f"{n},{('red', 'blue')[n % 2]}\n" for n in range(8)))
    (tmp_path / "products.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    images = [{"id": n, "file_name": f"{n}.png"} for n in range(8)]
    categories = [{"id": 9, "name": "dress"}, {"id": 4, "name": "umbrella"}]
    (tmp_path / "boxes.json").write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return tmp_path


def test_eval_detector(weft: Any, shop: Path) -> None:
    """The promised keys, three pictures, and a picture that is gone is named, by exit code too."""
    ask = ("eval", "detector", "--images", shop / "photos", "--coco", shop / "boxes.json", "--json")
    code, out, err = weft(*ask, "--out", shop / "out")
    found = json.loads(out)
    assert code == Exit.OK, err
    assert {"map50", "map50_95", "per_class", "images"} <= set(found)
    assert (found["images"], set(found["per_class"])) == (8, {"dress"})
    assert "umbrella" in err
    assert (shop / "out" / "detector-curves.png").stat().st_size > 10_000
    (shop / "photos" / "3.png").unlink()
    code, out, err = weft(*ask)
    assert (code, json.loads(out)["missing"], json.loads(out)["images"]) == (Exit.REJECTED, ["3.png"], 7)
    assert "3.png" in err


def test_eval_encoder(weft: Any, shop: Path) -> None:
    """Gallery and queries are the same photos: each finds another of its colour."""
    labels = shop / "labels.csv"
    code, out, _ = weft("eval", "encoder", "--gallery", labels, "--queries", labels, "--json", "--out", shop / "out")
    found = json.loads(out)
    assert code == Exit.OK
    assert (found["r1"], found["queries"], found["gallery"]) == (1.0, 8, 8)
    assert "knn10" in found
    assert (shop / "out" / "encoder-confusion.png").is_file()
    (shop / "bad.csv").write_text("image,klass\n1,red\n")
    code, out, err = weft("eval", "encoder", "--gallery", shop / "bad.csv", "--queries", labels, "--json")
    assert (code, out) == (Exit.REJECTED, "")
    assert "bad.csv" in err
    assert "'label'" in err


def test_eval_colour_and_attributes(weft: Any, shop: Path) -> None:
    """Red is red and blue is blue; the neighbours of other brands know who wears which."""
    table = ("--products", shop / "products.jsonl", "--images", shop / "photos", "--json", "--out", shop / "out")
    code, out, _ = weft("eval", "colour", *table)
    assert code == Exit.OK
    found = json.loads(out)
    assert (found["top1"], found["top2"], found["items"]) == (1.0, 1.0, 8)
    code, out, err = weft("eval", "attributes", *table)
    assert code == Exit.OK, err
    found = json.loads(out)
    assert found["queries"] + found["gallery"] == 8
    assert {"accuracy", "unknown", "ece"} <= set(found["gender"])
    names = {path.name for path in (shop / "out").iterdir()}
    assert {"colour-confusion.png", "attributes-reliability.png", "attributes-confusion.png"} <= names


def test_eval_captions(weft: Any, shop: Path) -> None:
    """Through the stages of both roles: rows that weft would take in as they are, and the shop's words told beside."""
    ask = ("eval", "captions", "--products", shop / "products.jsonl", "--images", shop / "photos", "--json")
    code, out, err = weft(*ask, "--metadata", "--html", shop / "page.html")
    assert code == Exit.OK, err
    found = json.loads(out)
    keys = {
        "coverage",
        "wrong_per_caption",
        "nothing_found",
        "category_found",
        "words",
        "distinct2",
        "facets",
        "brands",
    }
    assert keys <= set(found)
    assert (found["captions"], found["nothing_found"], found["refused"]) == (8, 0.0, [])
    assert set(found["facets"]["colour"]) == {"right", "stated", "of", "wrong"}
    assert (found["facets"]["colour"]["right"], found["facets"]["colour"]["of"]) == (8, 8)
    assert (found["facets"]["audience"]["stated"], found["facets"]["audience"]["of"]) == (0, 8)
    assert found["with_metadata"]["facets"]["audience"]["right"] == 8
    page = (shop / "page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 8
    code, _, err = weft(*ask, "--facets", "--data-dir", shop / "data")
    assert (code, "no live facet heads" in err) == (Exit.REJECTED, True)
    code, out, err = weft(*ask, "--limit", 3)
    assert (code, json.loads(out)["captions"], "3 products of 3 brands" in err) == (Exit.OK, 3, True)
    code, out, err = weft(*ask, "--writers", "free, template")
    assert code == Exit.OK, err
    writers = json.loads(out)["writers"]
    assert list(writers) == ["template", "free"], "in their own order"
    assert (writers["template"]["by_rule"], writers["template"]["captions"]) == (1.0, 8)
    assert writers["free"]["by_rule"] < 1.0
    code, _, err = weft(*ask, "--writers", "shakespeare")
    assert (code, "'shakespeare'" in err) == (Exit.USAGE, True)
    code, _, err = weft(*ask, "--writers", "blip")
    assert (code, "the profile 'fake' has none" in err) == (Exit.UNAVAILABLE, True), "asked for by its name"
    code, out, err = weft(*ask, "--limit", 1, "--writers", "all")
    assert (code, list(json.loads(out)["writers"])) == (Exit.OK, ["template", "free", "grounded"])
    assert "without blip: " in err


def test_eval_captions_of_other_tables_and_broken_photos(weft: Any, shop: Path) -> None:
    """A feed as CSV with its own photo names, packed; a photo that cannot be read is named, by exit code too."""
    lines = ["id,image,title,color,product type", "sku-1,0.png,Red dress,Red,Dress", "sku-2,1.png,A dress,Blue,Dress"]
    (shop / "feed.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (shop / "photos" / "1.png").write_bytes(b"no picture")
    ask = ("eval", "captions", "--images", shop / "photos", "--json", "--products")
    code, out, err = weft(*ask, shop / "feed.csv.gz")
    found = json.loads(out)
    assert (code, found["captions"]) == (Exit.REJECTED, 1)
    assert [item["name"] for item in found["refused"]] == ["1.png"]
    assert "1.png" in err
    (shop / "broken.csv.gz").write_bytes(gzip.compress(b"id,image")[:-4])
    code, out, err = weft(*ask, shop / "broken.csv.gz")
    assert (code, out, "broken.csv.gz" in err, "gzip" in err) == (Exit.REJECTED, "", True, True)


def test_eval_composed(weft: Any, shop: Path) -> None:
    """The promised keys over the shop's own pairs; a broken photo is named, by exit code too; without a pair it says so."""
    table = shop / "products.jsonl"
    ask = ("eval", "composed", "--products", table, "--images", shop / "photos", "--pairs", 5)
    code, out, err = weft(*ask, "--json")
    assert (code, out) == (Exit.REJECTED, ""), "red ones are for women, blue ones for men: no pair"
    assert "differ in one facet only" in err
    table.write_text(table.read_text().replace('"Men"', '"Women"'))
    code, out, err = weft(*ask, "--json")
    found = json.loads(out)
    assert code == Exit.OK, err
    assert (found["products"], found["seed"], len(found["paraphrases"])) == (8, 3, 6)
    methods = found["methods"]
    assert set(methods) == {"served", "image only", "text only", "sum", "direction", "shuffled texts"}
    assert methods["served"]["colour"]["queries"] == methods["served"]["all"]["queries"] == 5
    assert methods["served"]["all"]["r50"] == 1.0
    assert set(found["refused"]) == {"queries", "share", "by_facet"}
    (shop / "photos" / "3.png").write_bytes(b"no photo")
    code, out, err = weft(*ask)
    assert code == Exit.REJECTED
    assert "3.png" in err
    assert "R@1 / R@10 / R@50" in out
    code, out, _ = weft(*ask, "--limit", 1, "--json")
    assert (code, out) == (Exit.REJECTED, "")


def test_eval_writer(weft: Any, tmp_path: Path) -> None:
    """The fake writer is the grammar: it covers what the pack holds and needs no rule-based writer."""
    code, out, err = weft("eval", "writer", "--packs", 12, "--json", "--out", tmp_path)
    assert code == Exit.OK, err
    found = json.loads(out)
    assert {"coverage", "ungrounded_per_caption", "distinct2", "template_share", "captions"} <= set(found)
    assert (found["captions"], found["template_share"]) == (12, 0.0)
    assert (tmp_path / "writer-captions.md").read_text().count("---") == 12
    code, _, err = weft("eval", "writer", "--packs", 2)
    assert code == Exit.OK
    code, _, err = weft("eval", "writer", "--packs", 2, "--profile", "nix")
    assert (code, "nix" in err) == (Exit.USAGE, True)


def test_eval_context(weft: Any) -> None:
    """Planted facts are stated and cited, orders and offers beside them are not, and all is gone with the articles."""
    code, out, err = weft("eval", "context", "--products", 12, "--json")
    assert code == Exit.OK, err
    found = json.loads(out)
    assert (found["products"], found["cited"], found["ungrounded"], found["quoted_orders"]) == (12, 1.0, 0, 0)
    assert found["gone"] == 1.0
    assert found["used"] >= 0.9
    assert found["variants"]["as served"]["used"] >= found["variants"]["by likeness alone"]["used"]
    code, out, _ = weft("eval", "context", "--products", 2, "--by-rule")
    assert (code, "in the order of the text" in out) == (Exit.OK, True)
    assert set(found["clip_score"]) == {"without", "with"}
    assert found["cider"]["with"] > found["cider"]["without"]


def test_eval_context_of_pictures(weft: Any, tmp_path: Path) -> None:
    """Drawn photos find their changed selves, none of another is proved, plain garments abstain; the figures go between their marks."""
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- weft eval context: drawn pictures -->\nold\n<!-- end -->\nbehind\n")
    code, out, err = weft("eval", "context", "--products", 0, "--pictures", 2, "--write", page, "--json")
    assert code == Exit.OK, err
    found = json.loads(out)
    assert set(found["changes"]) == {"60 % of its area", "quality 40", "text over it", "mirrored"}
    assert found["changes"]["quality 40"]["geometry"] == 1.0
    assert (found["false_pairs"], found["plain_proved"], found["abstains"]) == (0.0, 0.0, 1.0)
    text = page.read_text()
    assert "old" not in text
    assert "| quality 40 |" in text
    assert text.endswith("<!-- end -->\nbehind\n")
    page.write_text("no marks")
    code, _, err = weft("eval", "context", "--products", 0, "--pictures", 2, "--write", page)
    assert code == Exit.REJECTED
    assert "has no marks" in err


RECIPE = """
{seed: 5, steps: 4, batch: 2, bucket: 2, rank: 4, alpha: 8, modules: [q_proj, v_proj], rate: 0.01, save_every: 2,
device: cpu, licence: Apache-2.0, provenance: a test}
"""


def test_train_writer_goes_on_where_it_stopped(weft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of a tiny model, then two more: counted on, none done twice; the same seed begins with the same loss."""
    monkeypatch.setenv("WEFT_MODEL_CACHE", str(tmp_path / "cache"))
    base = tmp_path / "cache" / "smollm2-135m-instruct"
    base.mkdir(parents=True)
    tiny_llama.build(base)
    whole, half = tmp_path / "whole.yaml", tmp_path / "half.yaml"
    whole.write_text(RECIPE)
    half.write_text(RECIPE.replace("steps: 4", "steps: 2"))
    train = ("train", "writer", "--json", "--data", tmp_path)
    code, out, err = weft(*train, "--recipe", whole, "--run", tmp_path / "a")
    assert code == Exit.OK, err
    done = json.loads(out)
    assert (done["steps"], done["images"], done["resumed_at"]) == (4, 8, 0)
    assert (tmp_path / "a" / "loss.png").stat().st_size > 5_000
    weft(*train, "--recipe", half, "--run", tmp_path / "b")
    _, out, _ = weft(*train, "--recipe", whole, "--run", tmp_path / "b")
    again = json.loads(out)
    assert (again["steps"], again["resumed_at"]) == (4, 2)
    runs = [(tmp_path / name / "progress.jsonl").read_text().splitlines() for name in ("a", "b")]
    one_call, two_calls = ([json.loads(line) for line in lines] for lines in runs)
    assert [line["step"] for line in two_calls] == [1, 2, 3, 4]
    assert two_calls[0]["loss"] == one_call[0]["loss"]
    assert again["bytes"] == done["bytes"]
    told = tmp_path / "told.yaml"
    told.write_text(RECIPE.replace("steps: 4", "steps: 1, task: context"))
    code, out, err = weft(*train, "--recipe", told, "--run", tmp_path / "c")
    assert code == Exit.OK, err
    assert json.loads(out)["loss"] != one_call[0]["loss"], "stories, not captions"
    told.write_text(RECIPE.replace("steps: 4", "steps: 1, task: nix"))
    code, _, err = weft(*train, "--recipe", told, "--run", tmp_path / "d")
    assert (code, "'nix' is neither" in err) == (Exit.FAILED, True)


def test_a_recipe_goes_by_its_name() -> None:
    """`--recipe context` of the writer; a path stays a path."""
    assert _named(Part.writer, Path("context")).name == "writer-context.yaml"
    assert read_recipe(_named(Part.writer, Path("context")))["task"] == "context"
    assert _named(Part.writer, Path("mine.yaml")) == Path("mine.yaml")
    assert _named(Part.encoder, Path("context")) == Path("context")


def test_train_says_what_is_wrong(weft: Any, tmp_path: Path) -> None:
    code, _, err = weft("train", "writer", "--recipe", tmp_path / "nix.yaml", "--run", tmp_path / "run")
    assert (code, "nix.yaml" in err) == (Exit.USAGE, True)
    (tmp_path / "half.yaml").write_text("seed: 1\n")
    code, _, err = weft("train", "writer", "--recipe", tmp_path / "half.yaml", "--run", tmp_path / "run")
    assert (code, "half.yaml" in err, "steps" in err) == (Exit.FAILED, True, True)


def test_eval_worn(weft: Any, shop: Path) -> None:
    """Both ways side by side, over photos in which each garment is the only one."""
    ask = ("eval", "worn", "--images", shop / "photos", "--coco", shop / "boxes.json", "--light", "0.8", "--json")
    code, out, _ = weft(*ask)
    found = json.loads(out)
    assert code == 0
    assert (found["photos"], found["catalogue"], found["light"]) == (8, 8, 0.8)
    assert set(found["whole"]) == set(found["garments"]) >= {"first", "ten", "garment_first", "garment_ten", "in_ten"}
    assert found["garments"]["ten"] == 1.0, "eight products: all of them are among ten"
    code, out, _ = weft(*ask, "--every", "2", "--limit", "3")
    assert json.loads(out)["photos"] == 3


def test_eval_relevance(weft: Any, shop: Path) -> None:
    """The fake models have no fit: nothing is called unsure, and that is what the figures say."""
    ask = ("eval", "relevance", "--images", shop / "photos", "--coco", shop / "boxes.json", "--json")
    code, out, _ = weft(*ask)
    found = json.loads(out)
    assert code == 0
    assert set(found["kinds"]) == {"photo", "words", "absent"}
    assert found["kinds"]["photo"]["nothing"] == 80
    assert found["kinds"]["words"]["unsure_of_nothing"] == 0.05, "one of twenty is refused: it asks for nothing"
    assert found["kinds"]["words"]["unsure_of_good"] == 0.0


def test_a_kit_is_previewed(weft: Any, shop: Path, tmp_path: Path) -> None:
    """Ten captions of one photo, each in the shape of the topic, by the kit; faults by line and column, exit code 2."""
    kit = tmp_path / "acme.yaml"
    kit.write_text("locale: de\nrequired: [Gratis Versand]\nmax_chars: {title: 30}\n")
    code, out, _ = weft("caption", "preview", "--kit", kit, "--image", shop / "photos" / "0.png", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, len(lines)) == (0, 10)
    for line in lines:
        assert (line["kit"], line["locale"]) == ("acme", "de")
        assert line["caption"].endswith("Gratis Versand.")
        assert 0 < len(line["title"]) <= 30
        assert line["alt"]
    code, out, _ = weft("caption", "preview", "--kit", kit, "--image", shop / "photos" / "0.png", "--count", 2)
    assert (code, out.count("Gratis Versand.")) == (0, 4), "in caption and meta"
    kit.write_text("locale: de\ntone: loud\n")
    code, out, told = weft("caption", "preview", "--kit", kit, "--image", shop / "photos" / "0.png")
    assert (code, out) == (Exit.USAGE, "")
    assert "acme.yaml, line 2, column 7: there is no tone 'loud'" in told.replace("\n", "")
    code, _, told = weft("caption", "preview", "--kit", kit)
    assert (code, told.strip()) == (Exit.USAGE, "say of what: --image, or --product")


def test_a_preview_of_no_photo_is_told(weft: Any, tmp_path: Path) -> None:
    """A file that is none, and one that is not there."""
    kit = tmp_path / "k.yaml"
    kit.write_text("tone: warm\n")
    (tmp_path / "x.png").write_bytes(b"no photo")
    for name in ("x.png", "y.png"):
        code, out, told = weft("caption", "preview", "--kit", kit, "--image", tmp_path / name)
        assert (code, out) == (Exit.REJECTED, "")
        assert name in told
