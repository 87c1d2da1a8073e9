"""The rule behind each reason of a refusal."""

import re
from pathlib import Path

import pytest

from processors import captions
from processors.captions import Rejected, judge
from processors.refusals import FAILED, HUNG, RULES, is_readable, rule_of, rules_of
from processors.values import Attribute, Colour, Evidence, Garment

TAGS = "\n#newin #ootd #fashion #styleinspo #lookbook #outfitideas #wardrobe #shopthelook"
PACK = Evidence(
    (
        Garment("g0", "dress", (0, 0, 9, 9), 0.9, (Colour("red", "#f00", 0.9),), {"gender": Attribute("kids", 0.9)}),
        Garment("g1", "shoe", (0, 9, 9, 12), 0.8, (Colour("navy", "#008", 0.9),)),
    )
)


@pytest.mark.parametrize(
    ("draft", "rule"),
    [
        ("A red silk dress for kids." + TAGS, "ungrounded"),
        ("A kids' red dress that is not red." + TAGS, "denied"),
        ("A kids' red dress with navy shoes. And yes, it is navy." + TAGS, "binding"),
        ("A red converse dress for kids." + TAGS, "unknown_word"),
        ("A red dress for kids, made for the office." + TAGS, "audience"),
        ("Something for kids." + TAGS, "names_none"),
        ("A dress for kids." + TAGS, "left_out"),
        ("A red dress for kids.\n#reddress", "hashtags"),
        ("A red dress for kids.", "hashtags"),
        ("A red dress for kids" + TAGS, "form"),
        ("Red." + TAGS, "form"),
    ],
)
def test_each_kind_of_refusal_has_its_name(draft: str, rule: str) -> None:
    """Among the rules of what the judge says of such a draft."""
    verdict = judge(draft, PACK)
    assert isinstance(verdict, Rejected)
    assert rule in rules_of(verdict.reasons), verdict
    assert is_readable(verdict.reasons) == (rule not in ("hashtags", "form"))


def test_what_no_rule_knows_is_other() -> None:
    """And what the model did not give is no reason to be read."""
    assert rule_of("a reason of tomorrow") == "other"
    assert [rule_of(reason) for reason in (FAILED, HUNG)] == [FAILED, HUNG]
    assert len(set(RULES)) == len(RULES)


def test_every_reason_that_is_written_down_has_a_rule() -> None:
    """The judge's own sentences: a new one that no rule knows would be counted as other."""
    text = Path(captions.__file__).read_text()
    sentences = [found for found in re.findall(r'return f?"([^"]*)"', text) if " " in found]
    assert len(sentences) >= 5
    assert [s for s in sentences if rule_of(s) == "other"] == []
