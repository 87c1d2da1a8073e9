"""The shipped heads' training: labels that allow several values, cloth drawn anew, and what the labels say."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from models.facets.facet_heads import encode, load_shipped, version_of
from models.recipes import facets_data
from models.recipes.facets import CONFIG, heads_of, lines_of, weighed_of
from models.recipes.facets_learning import Rows, aligned, allowed_of, regress
from models.recipes.facets_prints import PATTERNS, redrawn
from models.recipes.facets_truth import CATEGORIES_OF, NO_GARMENT, PHONE, STREET, VALUES, of_drawn
from processors.drawn import random_spec
from processors.facets import FACETS
from processors.kinds import KINDS
from processors.second_look import CATEGORY
from processors.values import CATEGORIES
from processors.vocabulary import canonical
from processors.weighed import CERTAINTY, GARMENT, LIGHT, LOOK


def test_every_label_allows_values_of_ours() -> None:
    """A spelling that no head has would be no label at all, in silence."""
    rng = np.random.default_rng(0)
    labels = [*PHONE.values(), *STREET.values(), NO_GARMENT, *(of_drawn(random_spec(rng)) for _ in range(300))]
    for allowed in labels:
        assert CATEGORY in allowed
        for facet, values in allowed.items():
            assert values, facet
            assert set(values) <= set(VALUES[facet]), (facet, values)
            assert facet in (*FACETS, CATEGORY)


def test_the_heads_speak_the_words_of_captions_and_filters() -> None:
    """A value is the canonical one; of each it is known of which garments it may be said."""
    assert set(VALUES["kind"]) - {"tunic"} <= set(KINDS)
    for facet in ("pattern", "sleeve", "neckline", "length"):
        said = [value for value in VALUES[facet] if value != "regular"]
        assert [canonical(facet, value) for value in said] == said
    for facet, values in VALUES.items():
        for value in values:
            assert set(CATEGORIES_OF[facet](value)) <= set(CATEGORIES)


def test_a_label_that_allows_two_values_teaches_against_the_third() -> None:
    """Rows of "a or b" and of "c" alone: the head tells them apart, and of the former says nothing but a or b."""
    rng = np.random.default_rng(1)
    features = rng.normal(0, 1, (300, 6)).astype(np.float32)
    third = features[:, 0] > 0
    labels = [{"f": ("c",)} if one else {"f": ("a", "b")} for one in third] + [{}] * 20
    rows = Rows(
        np.concatenate([features, rng.normal(0, 1, (20, 6)).astype(np.float32)]),
        allowed_of(labels, {"f": ("a", "b", "c")}),
        np.ones(320, np.float32),
    )
    weight, bias = regress(rows, penalty={"f": 0.01}, rounds=40, evened=0.5)["f"]
    said = (features @ weight.T + bias).argmax(1)
    assert ((said == 2) == third).mean() > 0.97


def test_drawings_are_moved_to_where_photos_lie() -> None:
    """Group by group: mean and spread are those of the photos, the order within a group stays."""
    rng = np.random.default_rng(2)
    drawn, real = rng.normal(5, 2, (400, 3)).astype(np.float32), rng.normal(-1, 1, (400, 3)).astype(np.float32)
    moved = aligned(drawn, ["x"] * 400, real, ["x"] * 400)
    assert np.allclose(moved.mean(0), real.mean(0), atol=0.05)
    assert np.allclose(moved.std(0), real.std(0), rtol=0.05)
    assert (np.argsort(moved[:, 0]) == np.argsort(drawn[:, 0])).all()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_new_cloth_stays_within_its_garment(pattern: str) -> None:
    """Outside of the mask the photo is as it was; inside it is another, the same for the same seed."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (120, 90, 3)).astype(np.uint8)
    mask = np.zeros((120, 90), bool)
    mask[30:100, 20:70] = True
    one = redrawn(pixels, mask, pattern, np.random.default_rng(4), [pixels])
    again = redrawn(pixels, mask, pattern, np.random.default_rng(4), [pixels])
    far = np.ones_like(mask)
    far[27:103, 17:73] = False
    assert (one[far] == pixels[far]).all()
    assert (one[40:90, 30:60] != pixels[40:90, 30:60]).mean() > 0.5
    assert (one == again).all()


def test_sleeves_are_read_from_the_arms_beside_a_garment() -> None:
    """Skin on both sides of the upper part, cloth on both sides, or neither."""
    labels = {"skin": 41, "dress": 14, "hair": 19}
    mask = np.zeros((200, 120), np.uint8)
    mask[40:180, 40:80] = 14
    mask[45:110, 28:45] = mask[45:110, 75:92] = 41
    assert facets_data.sleeve_of(mask == 14, mask, labels) == "sleeveless"
    mask[45:110, 28:45] = mask[45:110, 75:92] = 14
    assert facets_data.sleeve_of(mask == 14, mask, labels) == "long"
    mask[80:110, 75:92] = 41
    assert facets_data.sleeve_of(mask == 14, mask, labels) == ""


def test_drawn_samples_and_things() -> None:
    """Boxes lie in their pictures, and what is drawn is what the label says."""
    shown = [facets_data.drawn_sample(facets_data.DRAWN_SEEDS + n) for n in range(6)]
    found = [one for one in shown if one is not None] + [facets_data.thing_sample(n) for n in range(6)]
    assert len(found) >= 9
    for sample in found:
        height, width = sample.pixels.shape[:2]
        x0, y0, x1, y1 = sample.box
        assert 0 <= x0 < x1 <= width + 1
        assert 0 <= y0 < y1 <= height + 1
    assert {one.allowed[CATEGORY] for one in found[-6:]} == {NO_GARMENT[CATEGORY]}


def test_what_ships_has_the_thresholds_and_lines_of_the_recipe() -> None:
    """A recipe that was changed without shipping would tell of heads that nobody has."""
    config = yaml.safe_load(CONFIG.read_text())
    shipped = load_shipped().heads.heads
    blank = {
        f: (np.zeros((len(h.values), 1), np.float32), np.zeros(len(h.values), np.float32)) for f, h in shipped.items()
    }
    for facet, told in heads_of(config, blank).items():
        assert (shipped[facet].thresholds, shipped[facet].lines) == (told.thresholds, told.lines), facet
        assert shipped[facet].weighed == told.weighed, facet
    assert set(config["lines"]) | set(config["weighed"]) <= set(shipped)


def test_a_line_of_the_recipe_asks_for_values_that_there_are() -> None:
    """A spelling that no head has would hold nothing against any garment, in silence."""
    config = yaml.safe_load(CONFIG.read_text())
    for facet in config["lines"]:
        for line in lines_of(config, facet):
            assert set(line.categories) <= set(CATEGORIES_OF[facet](line.value)), (facet, line)
            assert set(line.values) <= set(VALUES.get(line.beside, ())), (facet, line)


def test_what_the_recipe_weighs_there_is() -> None:
    """A value or a category that nobody has would count for nothing, in silence."""
    config = yaml.safe_load(CONFIG.read_text())
    for facet in config["weighed"]:
        for one in weighed_of(config, facet):
            assert one.value in VALUES[facet]
            assert 0.5 <= one.threshold < 1
            for term in one.terms:
                known = {GARMENT: CATEGORIES, LOOK: (CERTAINTY, LIGHT), **VALUES}[term.facet]
                assert set(term.values) <= set(known), (facet, term)


def test_heads_that_are_stated_anew_keep_their_weights_to_the_bit() -> None:
    """`restate` reads the file and writes it: half precision of half precision is the same."""
    shipped = load_shipped()
    heads = shipped.heads
    assert version_of(encode(heads.maker, dict(heads.heads), shipped.card, heads.layer)) == heads.version
