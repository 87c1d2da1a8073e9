"""The yardsticks' shop in memory answers what the stack's does."""

from __future__ import annotations

import time

import pytest

from infra.memory_store import MemoryStore
from models.fakes import FakeImageEncoder, FakeTextEncoder
from processors.decode import DecodeLimits
from streams.contract.records import Query
from streams.ops.search_trial import Bank, SearchTrial
from streams.roles.compose.role import Compose
from streams.search.pending import PendingQueries
from tests.unit.streams.ops.test_composed import shown


async def nothing(*_: object) -> None:
    """Replaced by the trial."""


def trial(bank: Bank) -> SearchTrial:
    role = Compose(
        fetcher=None,  # type: ignore[arg-type]
        images=FakeImageEncoder(),
        texts=FakeTextEncoder(),
        pending=PendingQueries(nothing, time.time),
        publish=nothing,
        now=time.time,
        limits=DecodeLimits(),
        partitions=1,
        batch_items=4,
    )
    return SearchTrial(MemoryStore("eval"), None, role, bank)  # type: ignore[arg-type]


async def test_words_that_are_facets_find_something() -> None:
    """`weft eval relevance` asks "red hat": its shop scored vectors alone, and such an answer does not count where facets are asked for."""
    bank = Bank([shown("shirt", "shirt", "red", "red hat"), shown("red-hat", "hat", "red", "red thing")])
    found, beach = await trial(bank).ask([Query("a", text="red hat"), Query("b", text="a red hat for the beach")], int)
    assert [hit.product_id for hit in found.hits] == ["red-hat", "shirt"]
    assert found.hits[1].similarity == pytest.approx(1.0, abs=1e-3)
    assert beach.hits[0].product_id == "red-hat"
    assert not found.partial


async def test_a_part_of_the_shop_is_a_shop() -> None:
    """For what a shop of shirts does not sell."""
    bank = Bank([shown("shirt", "shirt", "red", "red hat"), shown("red-hat", "hat", "red", "red thing")])
    (found,) = await trial(bank.only({"shirt"})).ask([Query("a", text="red hat")], int)
    assert [hit.product_id for hit in found.hits] == ["shirt"]
