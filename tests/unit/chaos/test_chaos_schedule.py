"""The blows and the workload are pure functions of the seed, and hit what they are said to hit."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.decode import decode
from processors.errors import Poison
from streams.contract import codecs, topics
from streams.engine.message import Message
from tests.chaos.products import effects
from tests.chaos.schedule import TARGETS, schedule
from tests.chaos.workload import POISONS, Op, object_of, photo_of, value_of, workload

MODES = ("refuse", "slow", "full")


@given(st.integers(0, 2**32), st.integers(1, 120), st.integers(10, 600))
def test_a_schedule_is_a_pure_function_of_its_seed(seed: int, kills: int, records: int) -> None:
    """Kills as asked for, evenly over all targets; every other kind of blow at least once; records sent in between."""
    steps = schedule(seed, kills, records, MODES)
    assert steps == schedule(seed, kills, records, MODES)
    killed = Counter(step.target for step in steps if step.blow == "kill")
    assert killed.total() == kills
    assert max(killed.values()) - min(killed[target] for target in TARGETS) <= 1
    assert {step.blow for step in steps} == {"kill", "term", "freeze", "store"}
    assert [step.number for step in steps] == list(range(len(steps)))
    sent = [step.sent for step in steps]
    assert sent == sorted(sent)
    assert sent[-1] < records
    assert all((step.hold_s > 0) == (step.blow in {"freeze", "store"}) for step in steps)


def test_other_seeds_are_other_schedules_and_a_store_without_troubles_has_none() -> None:
    """A hundred kills: every trouble of the store has its turn."""
    assert schedule(1, 100, 500, MODES) != schedule(2, 100, 500, MODES)
    assert {step.mode for step in schedule(1, 100, 500, MODES) if step.blow == "store"} == set(MODES)
    assert not [step for step in schedule(1, 100, 500, ()) if step.blow == "store"]


@given(st.integers(0, 2**32), st.integers(10, 500))
def test_a_workload_is_a_pure_function_of_its_seed(seed: int, uploads: int) -> None:
    """As many uploads as asked for, 5 % of them poison; products change, and some are deleted."""
    ops = workload(seed, uploads)
    assert ops == workload(seed, uploads)
    kinds = Counter(op.kind for op in ops)
    assert kinds["upload"] + kinds["part"] + kinds["poison"] == uploads
    assert kinds["poison"] == max(1, round(uploads * 0.05))
    assert [op.number for op in ops] == list(range(len(ops)))
    assert len({op.product_id for op in ops}) < uploads


def test_a_large_workload_has_every_kind_of_poison_and_every_kind_of_change() -> None:
    """Products that are changed after they were deleted, poisoned while they are there, sent as bytes and by address."""
    ops = workload(7, 500)
    assert {op.poison for op in ops if op.kind == "poison"} == set(POISONS)
    assert {op.inline for op in ops if op.kind == "upload"} == {True, False}
    histories: dict[str, list[str]] = {}
    for op in ops:
        histories.setdefault(op.product_id, []).append(op.kind)
    told = {"→".join(history) for history in histories.values()}
    for wanted in ("upload→upload", "delete→upload", "upload→delete", "upload→poison", "upload→part", "part→upload"):
        assert any(wanted in history for history in told)


def test_parts_photos_and_versions_meet() -> None:
    """Products that are incomplete first, photos that are added and taken away, versions that come late and change nothing."""
    ops = workload(7, 500)
    made = effects(ops)
    assert any(effect.after.there and not effect.after.complete for effect in made.values())
    assert any(op.version is not None and not made[op.number].changed for op in ops if op.kind in {"upload", "part"})
    both = [({s.photo for s in e.before.photos}, {s.photo for s in e.after.photos}) for e in made.values()]
    assert any(before and before < after for before, after in both)
    assert any(after and before > after for before, after in both)


def uri(key: str) -> str:
    return f"s3://bucket/{key}"


def decoded(op: Op) -> object:
    return codecs.decode_upload(Message(topics.UPLOADS, 0, 0, op.product_id.encode(), value_of(op, uri)))


@pytest.mark.parametrize("poison", POISONS)
def test_poison_is_poison_and_nothing_but_it(poison: str) -> None:
    """The record does not decode, or what it names is no image."""
    op = Op(3, "p", "poison", poison=poison)
    named = object_of(op)
    if poison in {"malformed", "no-image"}:
        with pytest.raises(Poison):
            decoded(op)
    elif poison == "inline-zip":
        data = decoded(op).image.bytes  # type: ignore[attr-defined]
        assert zipfile.is_zipfile(io.BytesIO(data))
    else:
        assert decoded(op).image.uri == uri(named[0])  # type: ignore[attr-defined, index]
        if poison != "missing":
            with pytest.raises(Poison):
                decode(named[1])  # type: ignore[index, arg-type]


def test_good_uploads_are_good() -> None:
    """By address or as bytes; equal photos are equal bytes, different ones are not."""
    for op in (Op(1, "p", "upload", 4), Op(2, "p", "upload", 4, inline=True)):
        upload = decoded(op)
        named = object_of(op)
        data = upload.image.bytes if named is None else named[1]  # type: ignore[attr-defined]
        assert data == photo_of(4)
        assert decode(data).pixels.shape == (96, 96, 3)
    assert json.loads(value_of(Op(1, "p", "upload", 4), uri) or b"")["image"]["uri"].startswith("s3://bucket/images/")
    assert len({photo_of(n) for n in range(300)}) == 300
    assert value_of(Op(5, "p", "delete"), uri) is None
