"""The judge of the chaos harness can find everything it is there for: each test breaks one promise by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from infra.store import content_key
from streams.contract import topics
from streams.contract.cloudevents import output_headers
from streams.contract.codecs import encode
from streams.contract.metadata import metadata_of
from streams.contract.records import Item, ItemPhoto, Source, Upload
from streams.engine.message import PRIORITY, URGENT, Message
from tests.chaos.checker import Violation, judge
from tests.chaos.evidence import Evidence, Index, Indexed
from tests.chaos.expected import Untrustworthy
from tests.chaos.products import State, effects
from tests.chaos.workload import HEADER, Op, Shot, as_sent, photo_of

A, B = "p-a", "p-b"
OPS = (
    Op(0, A, "upload"),
    Op(1, A, "poison", poison="zip"),
    Op(2, A, "upload", 2),
    Op(3, B, "upload", 3),
    Op(4, B, "delete"),
    Op(5, A, "upload", 5),
)
ENTRY = Indexed("images/a.jpg", "dress", (("brand", "x"),), (("whole", b"\0\1"),))


def upload_of(op: Op) -> Message:
    value = None if op.kind == "delete" else f"upload {op.number}".encode()
    headers = ((HEADER, str(op.number).encode()),)
    return Message(topics.UPLOADS, 0, op.number, op.product_id.encode(), value, headers, 1000 + op.number)


def on(topic: str, records: Sequence[Message]) -> tuple[Message, ...]:
    """The records at the offsets of their places."""
    return tuple(replace(record, topic=topic, partition=0, offset=n) for n, record in enumerate(records))


def made_of(record: Message, stage: str, topic: str, value: bytes) -> Message:
    headers = output_headers(record, stage=stage, topic=topic)
    return Message(topic, 0, 0, record.key, None if record.value is None else value, headers, 2000)


def item_of(upload: Message, ops: Sequence[Op] = (), **changed: Any) -> Message:
    """The item of an upload, as it is after all of these."""
    ops = ops or OPS
    number = int(upload.header(HEADER) or b"0")
    after = effects(ops)[number].after if any(op.number == number and op.kind != "poison" for op in ops) else State()
    images = [content_key(photo_of(shot.photo), ".jpg") for shot in after.photos]
    metadata = metadata_of(Upload("p", metadata=as_sent({**dict(after.metadata), **changed.pop("metadata", {})})))
    source = Source(upload.topic, upload.partition, upload.offset)
    item = Item("p", images[0] if images else "", 9, 9, (), (), metadata, "e", 8, "d", source, "0")
    if len(images) > 1:
        photos = tuple(ItemPhoto(image, "", 9, 9, ()) for image in images)
        item = msgspec.structs.replace(item, photos=photos)
    if not images:
        item = msgspec.structs.replace(item, incomplete=True)
    return made_of(upload, "enrich", topics.ITEMS, encode(msgspec.structs.replace(item, **changed)))


def caption_of(upload: Message) -> Message:
    source = {"topic": upload.topic, "partition": upload.partition, "offset": upload.offset}
    text = json.dumps({"caption": upload.offset, "lineage": {"source": source}}).encode()
    return made_of(item_of(upload), "caption", topics.CAPTIONS, text)


def letter_of(upload: Message, message: str = "no image") -> Message:
    named = {
        "topic": upload.topic,
        "partition": str(upload.partition),
        "offset": str(upload.offset),
        "stage": "read",
        "exception.message": message,
    }
    headers = tuple((f"__connect.errors.{name}", value.encode()) for name, value in named.items())
    return replace(upload, headers=(*upload.headers, *headers))


def answered(query_id: str, hits: Sequence[str], event_id: str = "r") -> Message:
    value = json.dumps({"hits": [{"product_id": hit, "score": 0.5} for hit in hits]}).encode()
    return Message(topics.RESULTS, 0, 0, query_id.encode(), value, (("ce_id", f"{event_id} {query_id}".encode()),))


UPLOADS = [upload_of(op) for op in OPS]
GOOD = [upload for upload, op in zip(UPLOADS, OPS, strict=True) if op.kind != "poison"]
QUERIES = [Message(topics.QUERIES, 0, n, name.encode(), b"{}") for n, name in enumerate(("live-0", "final-0"))]


def clean() -> Evidence:
    return Evidence(
        uploads=on(topics.UPLOADS, UPLOADS),
        items=on(topics.ITEMS, [item_of(upload) for upload in GOOD]),
        captions=on(topics.CAPTIONS, [caption_of(upload) for upload in GOOD]),
        dead=on(topics.DEAD_LETTERS, [letter_of(UPLOADS[1])]),
        queries=on(topics.QUERIES, QUERIES),
        results=on(topics.RESULTS, [answered("live-0", [A]), answered("final-0", [A])]),
        index=Index({A: ENTRY}, {0: len(GOOD)}),
    )


def found(evidence: Evidence, reference: Evidence | None = None) -> tuple[Violation, ...]:
    return judge(OPS, evidence, reference or clean()).violations


def captions(*order: int) -> Evidence:
    """The captions of these good uploads, in this order."""
    return replace(clean(), captions=on(topics.CAPTIONS, [caption_of(GOOD[n]) for n in order]))


def items(*order: int) -> Evidence:
    """The items of these good uploads, in this order; the index has read them all."""
    made = on(topics.ITEMS, [item_of(GOOD[n]) for n in order])
    return replace(clean(), items=made, index=Index({A: ENTRY}, {0: len(made)}))


def test_a_clean_run_is_clean() -> None:
    """And its counts are true."""
    verdict = judge(OPS, clean(), clean())
    assert verdict.violations == ()
    counts = verdict.counts
    assert (counts.uploads, counts.poison, counts.deletes, counts.captions, counts.dead) == (5, 1, 1, 4, 1)
    assert (counts.lost, counts.doubled, set(counts.again.values())) == (0, 0, {0})


@pytest.mark.parametrize("order", [(0, 1, 2, 1, 2, 3, 4), (0, 1, 2, 3, 4, 0, 1, 2, 3, 4), (0, 0, 1, 2, 3, 4)])
def test_what_comes_again_as_the_same_event_is_no_violation(order: tuple[int, ...]) -> None:
    """A role killed between publishing and committing does the same again, from there to the end."""
    again = len(order) - 5
    for evidence, name in ((captions(*order), "captions"), (items(*order), "items")):
        verdict = judge(OPS, evidence, clean())
        assert verdict.violations == ()
        assert verdict.counts.again[name] == again


BROKEN: dict[str, tuple[Callable[[], Evidence], str, str]] = {
    "a caption is lost": (lambda: captions(0, 1, 3, 2), "lost caption", A),
    "a delete is lost": (lambda: captions(0, 1, 2, 4), "lost caption", B),
    "an item is lost": (lambda: items(0, 1, 3, 4), "lost item", B),
    "an older caption comes first": (lambda: captions(1, 0, 2, 3, 4), "order of captions", A),
    "an older item comes first": (lambda: items(0, 4, 1, 2, 3), "order of items", A),
    "an older caption is the last": (lambda: captions(0, 1, 2, 3, 4, 1), "stale caption", A),
    "a step back that is not made good": (lambda: items(0, 1, 2, 3, 4, 0, 4), "order of items", A),
    "the caption of a delete is the last but one": (lambda: captions(0, 1, 3, 2, 4), "order of captions", B),
}


@pytest.mark.parametrize("name", BROKEN)
def test_lost_and_swapped(name: str) -> None:
    """A broken run is told, by product."""
    broken, kind, product_id = BROKEN[name]
    assert (kind, product_id) in {(v.kind, v.product_id) for v in found(broken())}


def with_captions(*more: Message) -> Evidence:
    return replace(clean(), captions=on(topics.CAPTIONS, [*clean().captions, *more]))


def test_the_same_event_with_other_bytes_is_a_duplicate() -> None:
    """It names product, event and both places."""
    other = replace(caption_of(GOOD[4]), value=(caption_of(GOOD[4]).value or b"") + b" ")
    [violation] = found(with_captions(other))
    assert (violation.kind, violation.product_id) == ("doubled caption", A)
    assert violation.places == (f"{topics.CAPTIONS}-0@4", f"{topics.CAPTIONS}-0@5")
    assert violation.event_id == (other.header("ce_id") or b"").decode()


def test_the_same_caption_under_another_id_is_a_duplicate() -> None:
    """A reader who forgets what it has seen by id would show it twice."""
    [violation] = found(with_captions(replace(caption_of(GOOD[4]), headers=(("ce_id", b"another"),))))
    assert (violation.kind, violation.event_id) == ("doubled caption", "another")


def test_a_caption_of_poison_is_a_duplicate_and_one_of_nothing_is_stray() -> None:
    """The poison's own ids are not among those that are wanted."""
    assert [v.kind for v in found(with_captions(caption_of(UPLOADS[1])))] == ["doubled caption"]
    nobody = Message(topics.CAPTIONS, 0, 0, b"nobody", b"{}", (("ce_id", b"x"),))
    assert [v.kind for v in found(with_captions(nobody))] == ["stray caption"]


def test_a_caption_with_the_lineage_of_another_upload() -> None:
    """The id is right, what it says is not."""
    wrong = replace(caption_of(GOOD[4]), value=caption_of(GOOD[1]).value)
    evidence = replace(clean(), captions=on(topics.CAPTIONS, [*clean().captions[:4], wrong]))
    assert [v.kind for v in found(evidence)] == ["wrong lineage"]


AGAIN = (*OPS, Op(6, A, "upload", 5), Op(7, A, "upload", 7), Op(8, A, "upload", 5))
"""After the last upload the same photo twice more, another one between them."""


def again(*order: int, source_of: int | None = None) -> list[str]:
    """Kinds of violations of a run of `AGAIN` with the captions of these good uploads; the last with the source of another."""
    uploads = [upload_of(op) for op in AGAIN]
    good = [upload for upload, op in zip(uploads, AGAIN, strict=True) if op.kind != "poison"]
    made = [caption_of(good[n]) for n in order]
    if source_of is not None:
        made[-1] = replace(made[-1], value=caption_of(good[source_of]).value)
    evidence = replace(
        clean(),
        uploads=on(topics.UPLOADS, uploads),
        items=on(topics.ITEMS, [item_of(upload, AGAIN) for upload in good]),
        captions=on(topics.CAPTIONS, made),
        index=Index({A: ENTRY}, {0: len(good)}),
    )
    return [v.kind for v in judge(AGAIN, evidence, clean()).violations]


def test_a_caption_that_stands_need_not_come_again() -> None:
    """But one of other pixels must, and after it the first one again: it does not stand any more."""
    assert again(0, 1, 2, 3, 4, 5, 6, 7) == []
    assert again(0, 1, 2, 3, 4, 6, 7) == []
    assert "lost caption" in again(0, 1, 2, 3, 4, 5, 7)
    assert "lost caption" in again(0, 1, 2, 3, 4, 5, 6)


def test_a_caption_that_says_the_same_may_be_of_the_upload_it_was_first_made_for() -> None:
    """Its bytes are those of then; a later one, or one of other pixels, it is not of."""
    assert again(0, 1, 2, 3, 4, 5, 6, 7, source_of=4) == []
    assert again(0, 1, 2, 3, 4, 5, 6, 7, source_of=6) == ["wrong lineage"]
    assert again(0, 1, 2, 3, 4, 5, source_of=7)[-1] == "wrong lineage"


def test_a_delete_that_came_out_as_a_caption() -> None:
    """And the other way round."""
    for at in (3, 4):
        wrong = list(clean().items)
        wrong[at] = replace(wrong[at], value=wrong[4].value if wrong[at].value is None else None)
        assert [v.kind for v in found(replace(clean(), items=on(topics.ITEMS, wrong)))] == ["wrong item"]


def test_dead_letters_are_exactly_the_poison() -> None:
    """None missing, none of a good upload, its own bytes, one cause."""
    letter = letter_of(UPLOADS[1])
    cases = {
        "missing dead letter": [],
        "extra dead letter": [letter, letter_of(UPLOADS[2], "the store is away")],
        "changed dead letter": [replace(letter, value=b"other")],
        "doubled dead letter": [letter, letter_of(UPLOADS[1], "another cause")],
    }
    for kind, letters in cases.items():
        assert [v.kind for v in found(replace(clean(), dead=on(topics.DEAD_LETTERS, letters)))] == [kind]
    assert found(replace(clean(), dead=on(topics.DEAD_LETTERS, [letter, letter]))) == ()


def test_the_index_is_that_of_the_undisturbed_run() -> None:
    """Entries missing, too many, different, or not read to the end."""
    other = replace(ENTRY, views=(("whole", b"\0\2"),))
    cases: list[tuple[Index, set[str]]] = [
        (Index({}, {0: 5}), {"missing index entry", "index differs"}),
        (Index({A: ENTRY, B: ENTRY}, {0: 5}), {"extra index entry", "index differs"}),
        (Index({A: other}, {0: 5}), {"index differs"}),
        (Index({A: ENTRY}, {0: 4}), {"index behind"}),
        (Index({A: ENTRY}, {}), {"index behind"}),
    ]
    for index, kinds in cases:
        assert {v.kind for v in found(replace(clean(), index=index))} == kinds


def test_every_query_has_one_answer_and_the_closing_ones_are_the_same() -> None:
    """Two results are one when they share their id."""
    live, final = answered("live-0", [A]), answered("final-0", [A])
    cases = [
        ([final], ["lost result"]),
        ([live, final, answered("live-0", [A], "again")], ["doubled result"]),
        ([live, final, answered("nobody", [])], ["stray result"]),
        ([live, answered("final-0", [])], ["answer differs"]),
        ([live, final, live], []),
    ]
    for results, kinds in cases:
        assert [v.kind for v in found(replace(clean(), results=on(topics.RESULTS, results)))] == kinds


def test_evidence_with_holes_is_not_judged() -> None:
    """A compacted topic, an upload that was never sent, or sent twice: trouble of the harness, not of the product."""
    for uploads in (UPLOADS[:-1], [*UPLOADS, UPLOADS[0]]):
        with pytest.raises(Untrustworthy):
            found(replace(clean(), uploads=on(topics.UPLOADS, uploads)))
    with pytest.raises(Untrustworthy, match="every offset"):
        found(replace(clean(), captions=clean().captions[1:]))


PARTS = (
    Op(0, A, "part", patch=(("season", "summer"),), version=10),
    Op(1, A, "upload", 1, version=5),
    Op(2, A, "upload", 2, version=30, further=(Shot(3, "back"),)),
    Op(3, A, "upload", 1, version=20),
    Op(4, A, "part", patch=(("season", "winter"), ("brand", None)), version=40),
    Op(5, A, "part", patch=(("season", "winter"),), version=41),
)
"""A part before the first photo, a photo that is older than it, two photos, a late one, a part, one that says nothing new."""


def parts(
    wanted: Sequence[int], *, ops: Sequence[Op] = PARTS, urgent: Collection[int] = (), **changed: Any
) -> list[str]:
    """Kinds of violations of a run of `ops` with the items of these uploads; `changed`: of the last of them."""
    uploads = [hurried(upload_of(op)) if op.number in urgent else upload_of(op) for op in ops]
    made = [item_of(uploads[number], ops) for number in wanted]
    if changed:
        made[-1] = item_of(uploads[wanted[-1]], ops, **changed)
    complete = [number for number in wanted if effects(ops)[number].after.complete]
    evidence = replace(
        clean(),
        uploads=on(topics.UPLOADS, uploads),
        items=on(topics.ITEMS, made),
        captions=on(topics.CAPTIONS, [caption_of(uploads[number]) for number in complete]),
        dead=(),
        index=Index({A: ENTRY}, {0: len(wanted)}),
    )
    return [v.kind for v in judge(ops, evidence, clean()).violations]


def test_parts_versions_and_several_photos_are_known() -> None:
    """What changes a product has an item that shows all of it; a late older one, and a part that says nothing new, has none."""
    assert parts([0, 1, 2, 4]) == []
    assert effects(PARTS)[4].after.metadata == (("season", "winter"), ("title", "upload 2"))
    assert parts([0, 1, 2]) == ["lost item"], "no word of its caption changes"
    assert "doubled item" in parts([0, 1, 2, 3, 4])
    assert parts([0, 1, 2, 4], metadata={"season": "summer"}) == ["wrong product"]
    assert parts([0, 1, 2, 4], photos=msgspec.UNSET) == ["wrong product"]
    assert parts([0, 1, 2, 4], incomplete=True) == ["wrong product"]


def hurried(upload: Message) -> Message:
    return replace(upload, headers=(*upload.headers, (PRIORITY, URGENT)))


def test_an_urgent_part_that_says_nothing_new_may_have_an_item() -> None:
    """Of its own, and true of it; it need not have one, and what is not urgent has none."""
    assert parts([0, 1, 2, 4], urgent=[5]) == []
    assert parts([0, 1, 2, 4, 5], urgent=[5]) == []
    assert "doubled item" in parts([0, 1, 2, 4, 5], urgent=[4])
    assert parts([0, 1, 2, 4, 5], urgent=[5], metadata={"season": "summer"}) == ["wrong product"]
    assert "lost item" in parts([0, 1, 2, 5], urgent=[4, 5])


def test_a_product_without_a_photo_is_in_no_index_and_has_no_caption() -> None:
    """Until one comes."""
    ops = PARTS[:1]
    assert "extra index entry" in parts([0], ops=ops)
    upload = upload_of(ops[0])
    evidence = replace(
        clean(),
        uploads=on(topics.UPLOADS, [upload]),
        items=on(topics.ITEMS, [item_of(upload, ops)]),
        captions=on(topics.CAPTIONS, [caption_of(upload)]),
        dead=(),
        index=Index({}, {0: 1}),
    )
    assert [v.kind for v in judge(ops, evidence).violations] == ["stray caption"]


def priced(number: int, price: str) -> Op:
    return Op(number, A, "part", patch=(("price", price),))


PRICED = (
    Op(0, A, "upload", 1),
    priced(1, "10.00"),
    priced(2, "12.50"),
    priced(3, "15.00"),
    Op(4, A, "part", patch=(("season", "winter"),)),
    priced(5, "12.50"),
    priced(6, "15.00"),
)
"""Three prices that may be one item, a word between, and two of which the second is the price that stands."""


def test_prices_that_follow_each_other_may_be_one_item() -> None:
    """The last is seen, unless it stands already; one that came by itself and then again with the others is no step back."""
    for wanted in (
        [0, 3, 4],
        [0, 1, 2, 3, 4, 5, 6],
        [0, 2, 3, 4],
        [0, 3, 4, 5, 6],
        [0, 1, 0, 3, 4],
        [0, 1, 0, 1, 2, 3, 4],
    ):
        assert parts(wanted, ops=PRICED) == [], wanted
    assert "lost item" in parts([0, 1, 2, 4], ops=PRICED), "the last of three prices"
    assert "lost item" in parts([0, 3], ops=PRICED), "a word is no price"
    assert "lost item" in parts([0, 3, 4, 5], ops=PRICED), "the price that stood is not the one that stands"
    assert "order of items" in parts([0, 4, 3], ops=PRICED)
    assert "stale item" in parts([0, 3, 4, 3], ops=PRICED)
    assert parts([0, 3, 4], ops=PRICED, metadata={"price": "10.00"}) == ["wrong product"]


def test_an_equal_caption_may_be_the_last_after_a_crash() -> None:
    """What stands is not published again: of captions that say the same any may be the last; one that says otherwise may not."""
    same = (Op(0, A, "upload", 1), Op(1, A, "part", patch=(("season", "winter"),)))
    other = (Op(0, A, "upload", 1), Op(1, A, "part", patch=(("fabric", "linen"),)))
    for ops, wanted in ((same, []), (other, ["stale caption"])):
        uploads = [upload_of(op) for op in ops]
        evidence = replace(
            clean(),
            uploads=on(topics.UPLOADS, uploads),
            items=on(topics.ITEMS, [item_of(upload, ops) for upload in uploads]),
            captions=on(topics.CAPTIONS, [caption_of(uploads[n]) for n in (0, 1, 0)]),
            dead=(),
            index=Index({A: ENTRY}, {0: 2}),
        )
        assert [v.kind for v in judge(ops, evidence, clean()).violations] == wanted
