"""`weft caption preview`: samples of what a kit makes of a product."""

from __future__ import annotations

from typing import cast

import pytest

from infra.memory_store import MemoryStore
from streams.ops.caption_preview import samples
from streams.ops.caption_trial import Trial
from streams.roles.caption.kits import parse
from streams.roles.enrich import Enrich
from tests.unit.streams.roles.test_role_caption import Scripted, captioner, item


def trial() -> Trial:
    """With a captioner only; no photo is enriched."""
    return Trial(MemoryStore(), cast(Enrich, None), captioner(Scripted()))


@pytest.mark.parametrize("locale", ["en", "de", "fr", "es"])
async def test_samples_by_rule_differ_as_far_as_the_order_leaves_it_open(locale: str) -> None:
    """Fabric and audience with the garment, or in sentences of their own; those that differ come first."""
    kit = parse(f"{{locale: {locale}, order: [colour, kind]}}", "acme")
    found = await samples(trial(), item("sku-1", fabric="linen", gender="women"), kit, 10, by_rule=True)
    texts = [one.caption for one in found]
    assert len(found) == 10
    assert len(set(texts)) == 4
    assert len(set(texts[:4])) == 4
    assert {one.kit for one in found} == {"acme"}


async def test_an_order_of_all_facts_is_one_text() -> None:
    """Ten samples all the same, as many as were asked for."""
    kit = parse("{locale: de, order: [colour, kind, fabric, sleeve, neckline, length, pattern, audience]}", "acme")
    found = await samples(trial(), item("sku-1", fabric="linen", gender="women"), kit, 10, by_rule=True)
    assert {one.caption for one in found} == {"Rotes Kleid aus Leinen für Damen."}
    assert len(found) == 10
