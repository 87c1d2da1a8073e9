"""One shard's answer to one probe."""

from __future__ import annotations

import numpy as np

from index_sync.shard import Shard
from streams.contract import codecs
from streams.contract.limits import MAX_COMPARED, MAX_COMPARED_VIEWS
from streams.contract.probes import Found, Hits, LookupProbe, SearchProbe
from streams.roles.index.answers import answer, answer_of
from tests.fakes.index_items import DIMENSION, ENCODER, entry, unit


def _shard() -> Shard:
    shard = Shard(2, ENCODER, DIMENSION)
    for i in range(5):
        shard.apply(i, f"p{i}", entry(i, facets={"colour": "red" if i % 2 else "navy"}))
    return shard


def _probe(vector: bytes, encoder: str = ENCODER, **more: tuple[str, ...]) -> SearchProbe:
    return SearchProbe("q", vector, encoder, 3, 0.0, **more)  # type: ignore[arg-type]


def test_hits_say_what_they_are_of() -> None:
    """Partition, of, generation, applied offset, and whether the wanted offset is in."""
    found = answer(_shard(), _probe(unit(3).tobytes(), exclude_products=("p4",)), of=7, wanted=5)
    assert isinstance(found, Hits)
    assert (found.partition, found.of, found.applied_offset, found.fresh, found.error) == (2, 7, 5, True, "")
    assert found.hits[0].product_id == "p3"
    assert len(found.hits) == 3
    assert "p4" not in {hit.product_id for hit in found.hits}
    stale = answer(_shard(), _probe(unit(3).tobytes()), of=7, wanted=6)
    assert isinstance(stale, Hits)
    assert not stale.fresh


def test_a_probe_of_another_maker_or_shape_is_answered_with_an_error() -> None:
    """Never with hits, never with silence."""
    for probe, cause in (
        (_probe(unit(1).tobytes(), encoder="sha256:other"), "sha256:other"),
        (_probe(unit(1, 4).tobytes()), "vector"),
        (_probe(b"abc"), "float32"),
    ):
        found = answer(_shard(), probe, of=7, wanted=0)
        assert isinstance(found, Hits)
        assert found.hits == ()
        assert cause in found.error


def test_an_empty_shard_answers() -> None:
    """No hits, no error: it holds nothing yet."""
    found = answer(Shard(0, "", 0), _probe(unit(1).tobytes()), of=1, wanted=0)
    assert isinstance(found, Hits)
    assert (found.hits, found.error) == ((), "")


def test_lookup_finds_the_product_or_says_that_it_is_not_here() -> None:
    """With its vector and facets; without a vector where the shard does not hold it."""
    found = answer(_shard(), LookupProbe("q", "p1", 0.0), of=7, wanted=0)
    assert isinstance(found, Found)
    assert found.facets == {"colour": "red"}
    assert np.allclose(np.frombuffer(found.vector or b"", "<f4"), unit(1), atol=1e-3)
    missing = answer(_shard(), LookupProbe("q", "nobody", 0.0), of=7, wanted=0)
    assert isinstance(missing, Found)
    assert missing.vector is None


def test_a_facet_that_no_product_has_is_named() -> None:
    """Those that Weft knows itself are none of them, though no product has one now."""
    filters = {"Color": ("red",), "season": ("ss27",), "brand": ("acme",)}
    found = answer(_shard(), _probe(unit(1).tobytes(), filters=filters), of=7, wanted=0)  # type: ignore[arg-type]
    assert isinstance(found, Hits)
    assert found.unknown_facets == ("season",)
    counting = _probe(unit(1).tobytes(), facets=("colour", "seasn", "price", "sizes"))  # type: ignore[arg-type]
    counted = answer(_shard(), counting, of=7, wanted=0)
    assert isinstance(counted, Hits)
    assert set(counted.unknown_facets) == {"seasn", "price", "size"}, "no product has a price or a size either"


def test_many_shards_in_one_answer() -> None:
    """The best of all, each with its partition; what each shard says of itself; one of another maker with its error."""
    other = Shard(5, "sha256:other", DIMENSION)
    other.apply(0, "x", entry(3, encoder="sha256:other"))
    more = Shard(4, ENCODER, DIMENSION)
    more.apply(0, "q", entry(3))
    found = answer_of([_shard(), other, more], _probe(unit(3).tobytes()), of=7, wanted={4: 2})
    assert isinstance(found, Hits)
    assert [(hit.product_id, p) for hit, p in zip(found.hits, found.partitions, strict=True)][:2] == [
        ("p3", 2),
        ("q", 4),
    ]
    assert len(found.hits) == 3
    assert (found.partition, found.applied_offset, found.fresh, found.error) == (2, 5, True, "")
    assert [(o.partition, o.applied_offset, o.fresh, bool(o.error)) for o in found.others] == [
        (5, 1, True, True),
        (4, 1, False, False),
    ]


def test_a_lookup_in_many_shards_is_of_the_one_that_holds_the_product() -> None:
    """Whichever it is; the others are named as looked through."""
    empty = Shard(1, ENCODER, DIMENSION)
    found = answer_of([empty, _shard()], LookupProbe("q", "p1", 0.0), of=2, wanted={})
    assert isinstance(found, Found)
    assert found.partition == 2
    assert found.vector is not None
    assert [o.partition for o in found.others] == [1]


def test_many_products_are_looked_up_with_all_of_their_views() -> None:
    """For a second stage: those that these shards hold, in the order asked for; deleted ones and twice the same are none."""
    first, second = _shard(), Shard(4, ENCODER, DIMENSION)
    second.apply(0, "q0", entry(2, 3, 4))
    first.apply(5, "p4", None)
    probe = LookupProbe("q", "", 0.0, products=("q0", "p4", "nobody", "p1", "p1"))
    found = answer_of([first, second], probe, 7, {2: 6, 4: 0})
    assert isinstance(found, Found)
    assert [one.product_id for one in found.products] == ["q0", "p1"]
    assert found.vector is None
    three, one = (np.frombuffer(one.vectors, "<f2").reshape(-1, DIMENSION) for one in found.products)
    assert three.shape == (3, DIMENSION)
    assert len(found.products[0].views) == 3
    assert np.allclose(one, unit(1), atol=1e-3)
    assert found.fresh
    assert codecs.decode_answer(codecs.encode(found)) == found
    assert codecs.decode_probe(codecs.encode(probe)) == probe


def test_what_a_second_stage_may_ask_for_is_bounded() -> None:
    """So many products, and so many views of each: an answer has to fit a record."""
    shard = Shard(0, ENCODER, DIMENSION)
    for n in range(MAX_COMPARED + 3):
        shard.apply(n, f"p{n}", entry(*range(n, n + MAX_COMPARED_VIEWS + 2)))
    keys = tuple(f"p{n}" for n in range(MAX_COMPARED + 3))
    found = answer(shard, LookupProbe("q", "", 0.0, products=keys), of=1, wanted=0)
    assert isinstance(found, Found)
    assert [one.product_id for one in found.products] == list(keys[:MAX_COMPARED])
    assert {len(one.views) for one in found.products} == {MAX_COMPARED_VIEWS}
    assert {len(one.vectors) for one in found.products} == {2 * DIMENSION * MAX_COMPARED_VIEWS}
