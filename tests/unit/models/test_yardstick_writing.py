"""The writer's yardsticks: coverage of what is true, claims that nothing bears out, variety, and who had to write."""

from __future__ import annotations

import numpy as np
import pytest

from models.fakes import FakeWriter
from models.guard import GuardedWriter
from models.recipes.writer_data import Case, cases, examples, held_out
from models.yardsticks.diversity import distinct, repetition, self_bleu
from models.yardsticks.writing import Text, as_text, coverage, held_by, report, score, ungrounded, write
from processors.drawn.spec import GarmentSpec
from processors.evidence import build, colours
from processors.values import Attribute, Colour, Evidence, Garment


def case(named: str = "navy") -> Case:
    """A navy linen dress for women; the pack calls its colour `named` and does not know the fabric."""
    truth = GarmentSpec("dress", "navy", None, "solid", None, None, None, "linen", "women")
    garment = Garment(
        id="g0",
        category="dress",
        box=(0, 0, 1, 1),
        confidence=0.9,
        colours=(Colour(named, "#000000", 0.9),),
        attributes={"gender": Attribute("women", 0.9)},
    )
    return Case(build([garment]), "plain", (truth,))


def test_coverage_is_against_the_truth_not_the_pack() -> None:
    """All of a wrong pack stated: category and gender are true, colour and fabric are not covered."""
    text = Text("A black dress for women.", ())
    assert coverage(text, case("black")) == pytest.approx(2 / 4)
    assert coverage(text, case("black"), of_pack=True) == 1.0
    assert coverage(Text("A navy linen dress for ladies.", ()), case()) == 1.0
    assert coverage(Text("", ()), case()) == 0.0


def test_ungrounded_claims_are_counted_by_facet_in_sentences_and_hashtags() -> None:
    pack = case().evidence
    text = Text("A navy silk dress for men with a bag.", ("#reddress", "#ootd", "#navydress"))
    assert ungrounded(text, pack, held_by(pack)) == {"fabric": 1, "gender": 1, "category": 1, "colour": 1}
    assert not ungrounded(Text("A navy dress for women.", ("#womensfashion",)), pack, held_by(pack))


def test_a_draft_that_does_not_parse_is_measured_all_the_same() -> None:
    """The base model writes no hashtags and no end: its claims count, and it is not readable."""
    text = as_text("Dress: navy, for women, for women, and a red shirt")
    assert text.hashtags == ()
    scores = score([text], [case()], ["Dress: navy, for women, for women, and a red shirt"])
    assert (scores.readable, scores.accepted) == (0.0, 0.0)
    assert scores.ungrounded_per_caption == 2.0
    assert scores.coverage_of_pack == 1.0


class Babbling(FakeWriter):
    """Writes nothing usable for one garment, and the rule-based caption for more."""

    def finish(self, item: object, raw: str, /) -> str:
        return "la la la" if len(item.evidence.garments) == 1 else raw  # type: ignore[attr-defined]


def test_the_share_of_the_rule_based_writer_is_that_of_refused_drafts() -> None:
    """Published is what the role publishes: the drafts that hold, and the rule-based caption for the others."""
    unseen = cases(24)
    found = report(write(GuardedWriter(Babbling()), unseen, batch=7))
    single = sum(len(one.evidence.garments) == 1 for one in unseen)
    assert 0 < single < 24
    assert found.template_share == pytest.approx(single / 24)
    assert found.template_share_by_garments["1"] == 1.0
    assert found.template_share_by_garments["3"] == 0.0
    assert found.drafts.accepted == pytest.approx(1 - single / 24)
    assert found.captions == 24
    # The grammar states all of its packs, so what is published reaches the ceiling and claims nothing else.
    assert found.coverage == pytest.approx(found.ceiling)
    assert found.ungrounded_per_caption == 0.0
    assert found.published.coverage_of_pack == 1.0
    assert 0.8 < found.ceiling < 1.0


def test_unseen_packs_are_unseen_and_the_same_each_time() -> None:
    """Each has a pair of colour and category that no training example has, and they do not change."""
    unseen = cases(40)
    assert unseen == cases(40)
    assert {one.tone for one in unseen} == {"plain", "warm", "editorial", "playful"}
    pairs = [[(c, g.category) for g in one.evidence.garments for c in colours(g)] for one in unseen]
    assert all(any(held_out(*pair) for pair in own) for own in pairs)
    trained = examples(3, worn=0.5)
    shown = [next(trained) for _ in range(60)]
    assert not any(held_out(c, g.category) for one in shown for g in one.evidence.garments for c in colours(g))
    assert any(len(one.evidence.garments) > 2 for one in shown)


def test_variety() -> None:
    """Four words twice: three bigrams of six are distinct. A text among copies has BLEU 1, among strangers nearly 0."""
    assert distinct(["a red linen dress"] * 2) == 0.5
    assert distinct(["one two three", "four five six"]) == 1.0
    assert self_bleu(["a red linen dress for the day"] * 3) == pytest.approx(1.0)
    assert self_bleu(["one two three four", "five six seven eight"]) < 0.05
    assert np.isnan(self_bleu(["one"]))
    assert repetition("red dress red dress red dress", 2) == pytest.approx(3 / 5)
    assert repetition("short") == 0.0


def test_an_empty_pack_is_fully_covered_by_anything() -> None:
    nothing = Case(Evidence(garments=()), "plain", ())
    assert coverage(Text("Something new.", ()), nothing) == 1.0
