"""`weft train encoder|writer` on a shop's own tables: what is read, what is held out, a start of one's own, and the card."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from models.recipes import card, shop, writer
from models.recipes.encoder_facets import Known
from models.recipes.shop import Shop
from models.recipes.writer_shop import mixed, shop_examples
from models.weights.starter import WRITER_BASE, shipped_path
from processors.claims import mentions
from processors.drawn import catalogue
from processors.errors import Fatal, Poison
from tests.fixtures import tiny_llama
from tests.fixtures.commands import weft

CACHE = Path(os.environ.get("WEFT_MODEL_CACHE") or "~/.cache/weft/models").expanduser()
BRANDS = [f"brand {number}" for number in range(8)]


@pytest.fixture(scope="module")
def shopping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 drawn products of eight brands, with a table as shops write them, and one row of each kind that cannot teach."""
    folder = tmp_path_factory.mktemp("shop")
    rows = []
    for number, product in enumerate(catalogue(5, 48, size=96)):
        Image.fromarray(product.pixels).save(folder / f"{product.product_id}.jpg")
        types = ("Dresses", "Shirts", "Trousers", "Casual Shoes")
        rows.append(
            {
                "id": product.product_id,
                "brandName": BRANDS[number % len(BRANDS)],
                "articleType": types[number % len(types)],
                "baseColour": "Navy Blue" if number % 2 else "Red",
                "articleAttributes": {
                    "Pattern": "Striped" if number % 3 else "Printed",
                    "Sleeve Length": "Long Sleeves",
                },
            }
        )
    rows += [{"id": "gone", "articleType": "Dresses"}, {"id": rows[0]["id"], "articleType": "Watches"}]
    (folder / "products.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def of(shopping: Path) -> Shop:
    return Shop(shopping / "products.jsonl", shopping)


def test_what_a_table_teaches(shopping: Path) -> None:
    """Facets that the shop's word leaves open are open; rows without photo or category are counted, brands are never on both sides."""
    found = shop.read(of(shopping))
    assert len(found.items) == 48
    assert found.left_out == {"without a photo": 1, "of no type that Weft has a category for": 1}
    first = found.items[0]
    assert (first.brand, first.known.colours, first.known.facets["sleeve"]) == ("brand 0", ("red",), "long")
    assert "pattern" not in first.known.facets, "printed may be floral or dotted"
    assert found.items[1].known.facets["pattern"] == "striped"
    assert found.items[1].known.colours == ("navy",)
    sides = found.brands(held_out=False), found.brands(held_out=True)
    assert not sides[0].keys() & sides[1].keys()
    assert sum(sides[0].values()) + sum(sides[1].values()) == 48
    assert sides[1], "some brand is held out"
    views = list(found.views(held_out=True))
    assert len(views) == sum(sides[1].values())
    assert {view.origin for view in views} == {"shop"}


def test_labels_of_single_photos(tmp_path: Path) -> None:
    """`labels.csv` as ours: without brands a photo in five is held out; a label that Weft has no word for is counted."""
    (tmp_path / "photos").mkdir()
    rows = []
    for number, product in enumerate(catalogue(6, 20, size=64)):
        Image.fromarray(product.pixels).save(tmp_path / "photos" / f"p{number}.jpg")
        rows.append(f"p{number},{'Kite' if number == 3 else 'dress'}")
    (tmp_path / "labels.csv").write_text("image,label\n" + "\n".join(rows) + "\n")
    found = shop.read(Shop(labels=tmp_path / "labels.csv"))
    assert (len(found.items), sum(found.left_out.values())) == (19, 1)
    assert found.items[0].known == Known({"category": "dress"})
    assert 0 < sum(item.held_out for item in found.items) < 10


def test_tables_that_cannot_teach(shopping: Path, tmp_path: Path) -> None:
    """The sentence says which option is missing, or why no row is left."""
    with pytest.raises(Poison, match="--images"):
        shop.read(Shop(shopping / "products.jsonl"))
    (tmp_path / "products.jsonl").write_text('{"id": "x", "articleType": "Dresses"}\n')
    with pytest.raises(Poison, match="1 without a photo"):
        shop.read(Shop(tmp_path / "products.jsonl", shopping))


def test_packs_of_a_shop(shopping: Path) -> None:
    """Each is of a product that is not held out, its answer states no colour that the shop does not; the share holds."""
    items = shop.read(of(shopping), need_photos=False)
    drawn = list(islice(shop_examples(items, 1), 60))
    told = {item.known.facets["category"] for item in items.items if not item.held_out}
    assert {example.evidence.garments[0].category for example in drawn} <= told
    for example in drawn:
        [garment] = example.evidence.garments
        named = {m.values("colour")[0] for m in mentions(example.text, ()) if m.values("colour")}  # type: ignore[index]
        assert named <= {colour.name for colour in garment.colours}
    both = Counter(
        example.evidence.garments[0].box == (0.0, 0.0, 100.0, 90.0) and len(example.evidence.garments) == 1
        for example in islice(mixed(iter(drawn), iter(drawn), 0.5, 1), 40)
    )
    assert both == {True: 40}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model cache whose language model is a tiny one."""
    (tmp_path / "cache" / WRITER_BASE).mkdir(parents=True)
    tiny_llama.build(tmp_path / "cache" / WRITER_BASE)
    tiny_llama.list_files(tmp_path / "cache" / WRITER_BASE)
    monkeypatch.setenv("WEFT_MODEL_CACHE", str(tmp_path / "cache"))
    return tmp_path


RECIPE = """
seed: 1
steps: 2
batch: 2
bucket: 2
rank: 4
alpha: 8
modules: [q_proj, v_proj]
rate: 0.01
save_every: 1
licence: Apache-2.0
provenance: a test
"""


def test_a_writer_of_a_shops_own(shopping: Path, base: Path) -> None:
    """Two steps; the next run starts from its weights; the card tells counts, settings, and losses by brand before and after."""
    (base / "recipe.yaml").write_text(RECIPE)
    weights = writer.train(base / "recipe.yaml", base / "one", Path(), shop=of(shopping))
    text = (base / "one" / card.CARD).read_text()
    items = shop.read(of(shopping), need_photos=False)
    held = sum(item.held_out for item in items.items)
    assert f"| products held out | {held} |" in text
    assert "| rate | 0.01 |" in text
    before, after = map(float, re.findall(r"\| all held out \| \d+ \| ([\d.]+) \| ([\d.]+) \|", text)[0])
    assert before != after
    for brand in items.brands(held_out=True):
        assert f"| {brand} |" in text
    started = Shop(*(of(shopping).products, of(shopping).images, None, str(weights)))
    writer.train(base / "recipe.yaml", base / "two", Path(), shop=started)
    again = (base / "two" / card.CARD).read_text()
    assert "| started from | writer.safetensors |" in again
    begun = float(re.findall(r"\| all held out \| \d+ \| ([\d.]+) \|", again)[0])
    assert begun == pytest.approx(after, abs=0.02), "it goes on where the first one ended (rounded to fp16)"


def test_a_start_that_does_not_fit_is_refused(shopping: Path, base: Path) -> None:
    """By name and shape, before anything is trained."""
    (base / "recipe.yaml").write_text(RECIPE)
    save_file({"other": load_file(shipped_path("encoder.safetensors"))["visual.trunk.anchors"]}, base / "x.safetensors")
    with pytest.raises(Fatal, match="no adapter to start from"):
        writer.train(
            base / "recipe.yaml",
            base / "run",
            Path(),
            shop=Shop(of(shopping).products, None, None, str(base / "x.safetensors")),
        )


def test_an_encoder_of_a_shops_own(shopping: Path, tmp_path: Path) -> None:
    """From the shipped weights, two steps on the shop's photos alone; loaded as served for the card."""
    if not (CACHE / "efficientnet-lite0").is_dir() or not (CACHE / "all-minilm-l6-v2").is_dir():
        pytest.skip("the bases are not in the model cache: run `weft models pull starter`")
    usual = (Path(shop.__file__).parent / "encoder-shop.yaml").read_text()
    small = (
        usual.replace("drawn: 600", "drawn: 3")
        .replace("steps: 600", "steps: 2")
        .replace("canonical: 320", "canonical: 8")
    )
    small = small.replace(
        "{shop: 36, phone: 12, street: 8, drawn: 12, drawn-whole: 2}", "{shop: 6, phone: 2, drawn: 2}"
    )
    (tmp_path / "recipe.yaml").write_text(small.replace("side: 192", "side: 64").replace("mixed: 12", "mixed: 2"))
    done = weft(
        *("train", "encoder", "--recipe", str(tmp_path / "recipe.yaml"), "--run", str(tmp_path / "run"), "--json"),
        *("--products", str(shopping / "products.jsonl"), "--images", str(shopping), "--data", str(tmp_path / "none")),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["weights"].endswith("encoder.safetensors")
    text = (tmp_path / "run" / card.CARD).read_text()
    items = shop.read(of(shopping))
    assert f"| photos of shop | {sum(not item.held_out for item in items.items)} |" in text
    assert "| started from | encoder.safetensors |" in text
    [shares] = re.findall(r"\| all held out \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", text)
    assert int(shares[0]) == sum(item.held_out for item in items.items)
    assert all(0 <= float(share) <= 1 for share in shares[1:])


def test_who_takes_a_shops_tables(shopping: Path) -> None:
    """The heads of facets are fitted by another command, which is named; a start has to be there."""
    table = ("--products", str(shopping / "products.jsonl"), "--images", str(shopping))
    facets = weft("train", "facets", *table)
    assert (facets.returncode, "weft facets fit" in facets.stderr) == (2, True)
    assert weft("train", "composer", *table).returncode == 2
    start = weft("train", "writer", *table, "--start", "no-such.safetensors")
    assert (start.returncode, "no-such.safetensors" in start.stderr) == (2, True)


def test_a_card_holds_whatever_a_brand_is_called(tmp_path: Path) -> None:
    """No name ends a cell, or begins a tag."""
    (tmp_path / "w").write_bytes(b"x")
    figure = card.Figure("A|B\n<b>", 3, {"loss": 1.0}, {"loss": 0.5})
    path = card.write(tmp_path, "t", data={}, settings={}, figures=[figure], held_out="", weights=tmp_path / "w")
    assert "| A\\|B &lt;b> | 3 | 1.000 | 0.500 |" in path.read_text()
