"""Which captions are ready, and which wait for a person; rule files, and what evidence says of itself."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from processors.errors import Fatal
from processors.hold import Rule
from processors.policies import policies_of
from processors.values import Garment
from streams.contract.codecs import encode
from streams.roles.caption.rules import load
from tests.unit.streams.roles.test_role_caption import GOOD, LIE, Scripted, captioner, item, message, through


async def test_a_grounded_caption_is_ready() -> None:
    """Seen surely, stated by the shop, written by the model: nothing to wait for."""
    caption = await through(captioner(Scripted(GOOD.replace("red", "red wool"))), message(item("sku-1", fabric="wool")))
    assert (caption.status, caption.reasons, caption.caption) == ("ready", (), "A red wool dress for every day.")
    assert caption.provenance.machine_made
    assert (caption.provenance.model, caption.provenance.reviewed_by) == (caption.lineage.writer, None)


async def test_a_photo_in_which_nothing_was_found_covers_nothing_and_waits() -> None:
    """There is nothing to cover: null, not 1."""
    nothing = msgspec.structs.replace(item("sku-1"), garments=(), views=item("sku-1").views[:1])
    caption = await through(captioner(Scripted("", "")), message(nothing))
    assert msgspec.json.decode(encode(caption))["coverage"] is None
    assert caption.status == "hold"
    assert caption.reasons == ("nothing_found", "rule_based")
    assert caption.provenance.model == "template"


async def test_an_unsure_garment_waits() -> None:
    """Below the rule's confidence; the caption names it."""
    sure = item("sku-1")
    unsure = msgspec.structs.replace(sure, garments=(msgspec.structs.replace(sure.garments[0], confidence=0.3),))
    caption = await through(captioner(Scripted(GOOD)), message(unsure))
    assert caption.reasons == ("low_confidence",)


async def test_another_rule_file_decides_otherwise(tmp_path: Path) -> None:
    """A shop's own rules replace the shipped ones."""
    path = tmp_path / "rules.json"
    path.write_text('{"rules": [{"reason": "every_llm_text", "writer": ["llm"], "coverage_below": 1}]}')
    role = replace(captioner(Scripted(GOOD, LIE, LIE)), rules=load(path))
    dress = item("sku-1")
    shoes = Garment("g1", "shoe", (0, 90, 50, 99), 0.4)  # hardly seen: a draft may leave them out
    with_shoes = msgspec.structs.replace(dress, garments=(*dress.garments, shoes))
    assert (await through(role, message(with_shoes))).reasons == ("every_llm_text",)
    assert (await through(role, message(item("sku-2", kind="hat")))).status == "ready"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "no rule file"),
        ('{"rules": [{"reason": "x", "colour": "red"}]}', "unknown field `colour`"),
        ('{"rules": [{"reason": "x"}]}', "without a condition"),
        ('{"rules": [{"reason": "", "writer": ["llm"]}]}', "is no name"),
        ('{"rules": [{"reason": "x", "confidence_below": 50}]}', "confidence_below is 50"),
    ],
)
def test_a_rule_file_that_cannot_be_meant_ends_the_start(tmp_path: Path, text: str, cause: str) -> None:
    """With its name and the cause."""
    path = tmp_path / "rules.json"
    path.write_text(text)
    with pytest.raises(Fatal, match=rf"rules\.json.*{re.escape(cause)}"):
        load(path)
    with pytest.raises(Fatal, match="cannot be read"):
        load(tmp_path / "none.json")


def test_a_policy_that_does_not_exist_is_told() -> None:
    """By the name of the setting, with what there is."""
    with pytest.raises(
        Fatal, match=r"WEFT_FACET_POLICY: fabric is 'shop': say one of merchant, seen, pixels, neighbours, never"
    ):
        policies_of({"fabric": "shop"})
    with pytest.raises(Fatal, match="no facet 'material'"):
        policies_of({"material": "never"})
    with pytest.raises(Fatal, match="say one of merchant, seen, pixels, never"):
        policies_of({"colour": "neighbours"})
    assert Rule("x", inferred=("fabric",)).problem() == ""


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (Rule("x", inferred=("colur",)), "inferred is ['colur']"),
        (Rule("x", inferred=()), "inferred is []"),
        (Rule("x", writer=("robot",)), "must name some of llm, template"),
        (Rule("x", garments_at_most=-1), "must be 0 or more"),
    ],
)
def test_a_rule_that_could_never_hold_is_told(rule: Rule, told: str) -> None:
    """A misspelt name would let every caption out, silently."""
    assert told in rule.problem()
    assert Rule("x", inferred=("*",), writer=("template",), garments_at_most=0).problem() == ""
