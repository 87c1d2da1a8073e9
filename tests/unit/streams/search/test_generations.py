"""What `index.control` says of generations, and which encoders answer for them."""

from __future__ import annotations

import msgspec
import pytest

from infra.memory_store import MemoryStore
from models.fakes import FakeImageEncoder, FakeTextEncoder
from models.ports import ImageEncoder, TextEncoder
from processors.errors import BadSetting, Missing
from streams.contract import codecs, topics
from streams.contract.records import Generation
from streams.engine.message import Message
from streams.ops.generations.control import pointer as control_pointer
from streams.search.generations import COLLECTION, FIRST, Generations, checked_name, key_of
from streams.search.spaces import FRESH_S, Presence, Spaces, presences


def record(key: str, value: Generation | bytes | None) -> Message:
    data = codecs.encode(value) if isinstance(value, Generation) else value
    return Message(topics.CONTROL, 0, 0, key.encode(), data)


def made(name: str, **more: object) -> Message:
    return record(key_of(name), Generation(key_of(name), name, "building", **more))  # type: ignore[arg-type]


def pointer(live: str, previous: str = "") -> Message:
    return record(COLLECTION, Generation(COLLECTION, live, "live", previous=previous))


def after(*messages: Message) -> Generations:
    found = Generations()
    for message in messages:
        found = found.after(message)
    return found


def test_a_cluster_without_records_has_the_first_generation() -> None:
    """As every cluster of before: it is live, reads `catalog.items`, and there is nothing to go back to."""
    none = Generations()
    assert (none.live, none.previous, set(none.served())) == (FIRST, "", {FIRST})
    assert none.state(FIRST) == "live"
    first = none.of(FIRST)
    assert first is not None
    assert first.items == topics.ITEMS


def test_a_swap_is_one_record_and_the_one_before_is_kept() -> None:
    """Built, swapped in, rolled back: the pointer alone changes."""
    built = after(made("g-bar"), made("g-bar", ready=True))
    assert set(built.served()) == {FIRST, "g-bar"}
    swapped = built.after(pointer("g-bar", FIRST))
    assert [swapped.state(name) for name in (FIRST, "g-bar")] == ["retired", "live"]
    back = swapped.after(pointer(FIRST, "g-bar"))
    assert (back.live, back.previous, set(back.served())) == (FIRST, "g-bar", {FIRST, "g-bar"})


def swapped_in(found: Generations, name: str, at: str) -> Generations:
    """As `weft index swap` writes it."""
    record_of = control_pointer(name, found.live, found.answered_before(name))
    return found.after(record(COLLECTION, msgspec.structs.replace(record_of, at=at)))


def states(found: Generations) -> dict[str, str]:
    return {one.generation: found.state(one.generation) for one in found.all()}


def test_who_answered_once_is_retired_and_not_being_built_however_many_came_after() -> None:
    """Two swaps later a generation that had served for a year was shown as one that is being built."""
    found = after(*(made(name, ready=True, at="2026-01-01") for name in ("g-a", "g-b", "g-c")))
    for day, name in enumerate(("g-a", "g-b"), start=2):
        found = swapped_in(found, name, f"2026-01-0{day}")
    assert states(found) == {FIRST: "retired", "g-a": "retired", "g-b": "live", "g-c": "building"}
    found = swapped_in(found, "g-c", "2026-01-04")
    assert states(found) == {FIRST: "retired", "g-a": "retired", "g-b": "retired", "g-c": "live"}
    back = swapped_in(found, "g-b", "2026-01-05")
    again = swapped_in(back, "g-c", "2026-01-06")
    assert states(again) == states(found), "a rollback, and the same once more"
    assert states(swapped_in(again, "g-a", "2026-01-07"))["g-b"] == "retired"


def test_a_name_that_was_dropped_and_built_anew_has_not_answered() -> None:
    """What is under it now was never looked at by anybody, whatever was there before; after the next swap, too."""
    found = swapped_in(
        after(*(made(name, ready=True, at="2026-01-01") for name in ("g-a", "g-b"))), "g-a", "2026-01-02"
    )
    found = swapped_in(swapped_in(found, "g-b", "2026-01-03"), FIRST, "2026-01-04")
    assert states(found)["g-a"] == "retired"
    dropped = record(key_of("g-a"), Generation(key_of("g-a"), "g-a", "retired", at="2026-01-05"))
    anew = found.after(dropped).after(made("g-a", at="2026-01-05"))
    assert states(anew)["g-a"] == "building"
    anew = anew.after(made("g-a", ready=True, at="2026-01-06"))
    assert states(anew)["g-a"] == "building"
    assert states(swapped_in(anew, "g-b", "2026-01-07"))["g-a"] == "building"


def test_a_pointer_of_before_names_the_first_as_one_that_answered() -> None:
    """It does not say who answered; the first generation always did."""
    found = after(*(made(name, ready=True) for name in ("g-a", "g-b")), pointer("g-b", "g-a"))
    assert states(found) == {FIRST: "retired", "g-a": "retired", "g-b": "live"}


def test_what_is_being_built_or_was_dropped_is_not_served() -> None:
    """The workers hold neither; the first generation too can be dropped."""
    assert set(after(made("g-bar")).served()) == {FIRST}
    dropped = record(key_of("g-bar"), Generation(key_of("g-bar"), "g-bar", "retired"))
    assert after(made("g-bar", ready=True), dropped).of("g-bar") is None
    first = record(key_of(FIRST), Generation(key_of(FIRST), FIRST, "retired"))
    assert after(made("g-bar", ready=True), pointer("g-bar", FIRST), first).served().keys() == {"g-bar"}


def test_claims_of_stores_and_junk_say_nothing_of_generations() -> None:
    """They share the topic."""
    store = record("store/abc", Generation("store/abc", "file:///x/", "live"))
    assert after(store, record(COLLECTION, b"junk"), record("else", None)) == Generations()


@pytest.mark.parametrize("name", ["", "G-1", "a/b", "g 1", "-g", "g" * 65, "..", "g.1"])
def test_names_that_topics_and_keys_cannot_hold_are_refused(name: str) -> None:
    """They would become parts of both."""
    with pytest.raises(BadSetting, match="no name of a generation"):
        checked_name(name)


class Other(FakeImageEncoder):
    """Another maker."""

    fingerprint = "sha256:other"


OWN = (FakeImageEncoder(), FakeTextEncoder())


def loading(asked: list[str]) -> Spaces:
    def load(profile: str) -> tuple[ImageEncoder, TextEncoder]:
        asked.append(profile)
        if profile == "gone":
            raise Missing("its weights are not there")
        return Other(), FakeTextEncoder()

    return Spaces(OWN, load, "fake")


async def test_a_candidate_is_loaded_before_it_answers() -> None:
    """Once for both of one profile; the space of the live one changes with the pointer alone."""
    asked: list[str] = []
    spaces = loading(asked)
    built = after(made("g-other", ready=True, profile="starter", encoder="sha256:other"))
    await spaces.apply(built)
    assert spaces.settled.is_set()
    assert (spaces.live().generation, spaces.live().images) == (FIRST, OWN[0])
    assert spaces.presence("me", 1.0).loaded == (FIRST, "g-other")
    await spaces.apply(built.after(pointer("g-other", FIRST)))
    assert (spaces.live().generation, spaces.live().images.fingerprint) == ("g-other", "sha256:other")
    assert asked == ["starter"]


async def test_queries_stay_where_they_are_when_an_encoder_cannot_be_loaded() -> None:
    """A forced swap to what cannot be asked: the old one answers, and the reason is told."""
    spaces = loading([])
    built = after(
        made("g-gone", ready=True, profile="gone"), made("g-wrong", ready=True, profile="p", encoder="sha256:x")
    )
    await spaces.apply(built.after(pointer("g-gone", FIRST)))
    assert not spaces.settled.is_set(), "nothing answers before it is known that the live one can"
    await spaces.apply(built)
    await spaces.apply(built.after(pointer("g-gone", FIRST)))
    assert spaces.live().generation == FIRST
    said = spaces.presence("me", 1.0)
    assert said.loaded == (FIRST,)
    assert "weights are not there" in said.trouble["g-gone"]
    assert "sha256:x" in said.trouble["g-wrong"]


def test_who_has_not_said_for_a_while_that_he_is_there_does_not_count() -> None:
    """A process that was killed leaves its word behind."""
    store = MemoryStore("test")
    for name, at in (("a", 100.0), ("b", 100.0 - FRESH_S - 1)):
        said = Presence(name, at, FIRST, (FIRST,))
        store.put(f"index/{COLLECTION}/compose/{name}.json", msgspec.json.encode(said))
    store.put(f"index/{COLLECTION}/compose/junk.json", b"junk")
    assert [one.id for one in presences(store, 101.0)] == ["a"]
