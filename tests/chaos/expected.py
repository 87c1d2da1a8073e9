"""What a run must have made: of each op that was sent, the ids of its item and its caption, and which of them must be there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from streams.contract import topics
from streams.contract.cloudevents import output_headers
from streams.engine.message import PRIORITY, URGENT, Message
from tests.chaos.products import Effect, State, effects
from tests.chaos.workload import HEADER, Op


class Untrustworthy(Exception):
    """The evidence cannot be judged: uploads are missing or doubled, or the broker has compacted records away."""


NOTHING = Effect(State(), State())


@dataclass(frozen=True, slots=True)
class Expected:
    """An op and the ids that its item and its caption must have."""

    op: Op
    upload: Message
    item: str
    caption: str
    effect: Effect = NOTHING


def with_items(expected: Sequence[Expected], published: Collection[str]) -> list[Expected]:
    """Those that have an item, or must have one.

    Of prices that follow each other, the last must be seen, where it is not the one that stands already; each of the others may be
    (`published`: ids of what was).
    """
    by_product: dict[str, list[Expected]] = defaultdict(list)
    for one in sorted(expected, key=lambda e: e.upload.offset):
        by_product[one.op.product_id].append(one)
    kept: set[int] = set()
    for ops in by_product.values():
        stands = State()
        for n, one in enumerate(ops):
            wanted = _has_an_item(one, published)
            if is_price(one):
                followed = n + 1 < len(ops) and is_price(ops[n + 1])
                wanted = one.item in published or (not followed and one.effect.after != stands)
            if wanted:
                kept.add(one.op.number)
                stands = one.effect.after
    return [one for one in expected if one.op.number in kept]


def is_price(expected: Expected) -> bool:
    """Whether it is a part that says a price, and nothing else."""
    return expected.op.kind == "part" and {name for name, _ in expected.op.patch} == {"price"}


def _has_an_item(expected: Expected, published: Collection[str]) -> bool:
    """Whether it has one of its own, or must have one.

    A late older version, or a part that says nothing new, has none: the one that stands is true of it. An urgent one may have
    one all the same (`published`: ids): what is made of the one that stands may still wait for its turn.
    """
    urgent = expected.upload.header(PRIORITY) == URGENT
    return expected.op.kind == "delete" or expected.effect.changed or (urgent and expected.item in published)


def check_dense(records: Iterable[Message]) -> None:
    by_partition: dict[tuple[str, int], list[int]] = defaultdict(list)
    for record in records:
        by_partition[record.topic, record.partition].append(record.offset)
    for (topic, partition), offsets in by_partition.items():
        if sorted(offsets) != list(range(len(offsets))):
            raise Untrustworthy(f"{topic}-{partition} does not hold every offset from 0 on")


def expected_of(ops: Sequence[Op], uploads: Iterable[Message]) -> list[Expected]:
    by_number: dict[int, Message] = {}
    for upload in uploads:
        number = int(upload.header(HEADER) or b"-1")
        if number in by_number:
            raise Untrustworthy(f"op {number} was sent twice: {place_of(by_number[number])} {place_of(upload)}")
        by_number[number] = upload
    if by_number.keys() != {op.number for op in ops}:
        raise Untrustworthy(f"{len(by_number)} records of {len(ops)} were sent")
    made = effects(ops)
    return [_with_ids(op, by_number[op.number], made.get(op.number, NOTHING)) for op in ops]


def _with_ids(op: Op, upload: Message, effect: Effect) -> Expected:
    headers = output_headers(upload, stage="enrich", topic=topics.ITEMS)
    item = Message(topics.ITEMS, 0, 0, headers=headers)
    captioned = output_headers(item, stage="caption", topic=topics.CAPTIONS)
    return Expected(op, upload, dict(headers)["ce_id"].decode(), dict(captioned)["ce_id"].decode(), effect)


def captions_wanted(captions: Iterable[Message], good: Sequence[Expected]) -> list[Expected]:
    """The changes of which a caption is wanted: all, but those of which a caption that stands says the same already, and
    those of a product without a photo.

    An upload with the photo and the labels of the one before it, title apart, has the caption that it has (`WEFT_UNCHANGED`).
    """
    good = [e for e in good if e.effect.after.complete or not e.effect.after.there]
    there = {event_id_of(record) for record in captions}
    before: dict[str, Expected] = {}
    told = []
    for expected in sorted(good, key=lambda e: e.upload.offset):
        last = before.get(expected.op.product_id)
        if expected.caption in there or last is None or not says_the_same(last, expected):
            told.append(expected)
        before[expected.op.product_id] = expected
    return told


def says_the_same(one: Expected, other: Expected) -> bool:
    """Whether two uploads of a product may give the same caption: nothing else of the workload's uploads is stated.

    Photos beside the main one may change what the pack says of the garment, or not.
    """
    states = (one.effect.after, other.effect.after)
    said = {(s.main and s.main.photo, s.value("fabric"), s.value("gender")) for s in states}
    return one.op.product_id == other.op.product_id and all(s.complete for s in states) and len(said) == 1


def event_id_of(record: Message) -> str:
    return (record.header("ce_id") or b"").decode()


def place_of(record: Message) -> str:
    return f"{record.topic}-{record.partition}@{record.offset}"
