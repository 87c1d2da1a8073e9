"""Composers by query, by stack and by arm."""

from __future__ import annotations

import dataclasses
from collections import Counter

import msgspec
import numpy as np
import pytest

from infra.settings import Settings
from models.composers.late_interaction import LateInteraction
from models.encoder.own_folder import NoTexts
from models.fakes import FakeImageEncoder, FakeTextEncoder
from processors.errors import BadSetting, Poison
from streams.contract import topics
from streams.contract.probes import Found, SearchProbe
from streams.contract.records import Result
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.compose.composers import Composers, arm_of
from streams.wiring.composers import composers_of, reranker_of
from tests.unit.streams.roles.test_role_compose import NOW, Shards, compose, red_dress


def _known() -> Found:
    chances = {"category": {"dress": 980}, "colour": {"red": 950}}
    return msgspec.structs.replace(red_dress(), chances=chances)


async def _asked(composers: Composers, query_id: str = "q-1", **query: object) -> tuple[Result, SearchProbe | None]:
    shards = Shards()
    shards.known["sku-9"] = _known()
    role = dataclasses.replace(compose(shards), composers=composers)
    given = {"query_id": query_id, "image": {"product_id": "sku-9"}, "text": "but in navy", **query}
    message = Message(topics.QUERIES, 0, 3, query_id.encode(), msgspec.json.encode(given), timestamp_ms=int(NOW * 1000))
    read = await role.answering(role.read)(message)
    if not isinstance(read, Done):
        await role.answer(role.embed([role.cut(role.detect([role.open(read)])[0])])[0])
    probe = next((one for one in shards.probes if isinstance(one, SearchProbe)), None)
    return shards.results[-1], probe


async def test_a_query_names_its_composer_and_the_result_says_who_answered() -> None:
    """Facets weigh what garments probably are, the direction does not; without a name the stack's own answers."""
    result, probe = await _asked(Composers())
    assert result.arm == "facets"
    assert probe is not None
    assert probe.blocks
    result, probe = await _asked(Composers(), composer="direction")
    assert result.arm == "direction"
    assert probe is not None
    assert not probe.blocks
    assert (await _asked(Composers("direction")))[0].arm == "direction"


async def test_an_unknown_composer_is_named() -> None:
    """And one that is known, but has no weights here."""
    for name in ("nobody", "combiner"):
        result, _ = await _asked(Composers(), composer=name)
        assert result.error is not None
        assert (result.error.code, result.error.field) == ("unknown_name", "composer")


async def test_a_trained_composer_is_the_query_and_with_facets_stands_beside_them() -> None:
    """Its vector is what the shards search for; `facets+` keeps what the words say of facets."""
    texts = FakeTextEncoder()
    own = np.asarray(texts.finish("", texts.forward([texts.prepare("green parka")])[0]), dtype=np.float32)
    trained = {"combiner": lambda *_: own, "facets+combiner": lambda *_: own}
    result, probe = await _asked(Composers(trained=trained), composer="combiner")
    assert result.arm == "combiner"
    assert probe is not None
    np.testing.assert_allclose(np.frombuffer(probe.vector, "<f4"), own, atol=1e-6)
    assert not probe.blocks
    _, beside = await _asked(Composers(trained=trained), composer="facets+combiner")
    assert beside is not None
    assert beside.blocks


def test_an_arm_is_of_the_querys_id_alone_and_has_its_share() -> None:
    """The same at every worker and every time; a quarter is a quarter."""
    shares = {"facets": 3.0, "direction": 1.0}
    arms = Counter(arm_of(f"q-{n}", shares) for n in range(4000))
    assert arm_of("q-7", shares) == arm_of("q-7", dict(reversed(shares.items())))
    assert 0.22 < arms["direction"] / 4000 < 0.28
    assert arm_of("q", {"facets": 0.0, "direction": 1.0}) == "direction"


@pytest.mark.parametrize(
    "given",
    [{"composer": "nobody"}, {"composer": "combiner"}, {"composer_shares": {"facets": -1}}, {"composers": {"x": "a"}}],
)
def test_wrong_settings_are_refused_with_their_variable(given: dict[str, object]) -> None:
    """At the start, not at the first query."""
    with pytest.raises(BadSetting, match="WEFT_COMPOSER"):
        composers_of(Settings(**given), FakeImageEncoder(), FakeTextEncoder())


async def test_without_a_text_tower_words_act_as_facets_and_alone_are_refused() -> None:
    """An image tower of one's own: "this, but in navy" is the product's vector with its facets changed; words alone have no vector."""
    shards = Shards()
    shards.known["sku-9"] = _known()
    images = FakeImageEncoder()
    role = dataclasses.replace(compose(shards), texts=NoTexts(dimension=images.dimension, maker=images.fingerprint))
    given = {"query_id": "q-1", "image": {"product_id": "sku-9"}, "text": "but in navy"}
    message = Message(topics.QUERIES, 0, 3, b"q-1", msgspec.json.encode(given), timestamp_ms=int(NOW * 1000))
    read = await role.read(message)
    assert not isinstance(read, Done)
    await role.answer(role.embed([role.cut(role.detect([role.open(read)])[0])])[0])
    probe = next(one for one in shards.probes if isinstance(one, SearchProbe))
    assert probe.blocks
    assert shards.results[-1].error is None
    alone = Message(
        topics.QUERIES,
        0,
        4,
        b"q-2",
        msgspec.json.encode({"query_id": "q-2", "text": "a red dress"}),
        timestamp_ms=int(NOW * 1000),
    )
    asked = await role.read(alone)
    assert not isinstance(asked, Done)
    with pytest.raises(Poison, match="no text tower: ask by photo or by product"):
        role.open(asked)


def test_a_stack_has_a_second_stage_where_it_is_asked_for() -> None:
    """It costs a second round to the shards, and gains nothing with the starter's vectors."""
    assert reranker_of(Settings()) is None
    assert isinstance(reranker_of(Settings(rerank="late-interaction")), LateInteraction)
