"""The judge: from what was sent and what lies on the topics and in the store, everything that should not be so.

Pure: no clock, no network. What a reader may see twice (Kafka delivers at least once) must be the same event: the same id
and the same bytes.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from processors.errors import Poison
from streams.contract.codecs import decode_item
from streams.contract.records import Item
from streams.engine.message import Message
from tests.chaos.evidence import Evidence, Index, Indexed, digest_of
from tests.chaos.expected import (
    Expected,
    captions_wanted,
    check_dense,
    event_id_of,
    expected_of,
    is_price,
    place_of,
    says_the_same,
    with_items,
)
from tests.chaos.workload import Op, photo_of

_CONNECT = "__connect.errors."


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise. `places`: topic-partition@offset of the records that show it."""

    kind: str
    product_id: str
    event_id: str = ""
    places: tuple[str, ...] = ()
    detail: str = ""

    def __str__(self) -> str:
        parts = (self.kind, self.product_id, self.event_id, " ".join(self.places), self.detail)
        return " · ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Counts:
    """What was found, for the report. `again`: records that came a second time, as the same event."""

    uploads: int
    poison: int
    deletes: int
    captions: int
    lost: int
    doubled: int
    again: dict[str, int]
    dead: int
    queries: int
    indexed: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Clean when there are no violations."""

    violations: tuple[Violation, ...]
    counts: Counts


def judge(ops: Sequence[Op], found: Evidence, reference: Evidence | None = None) -> Verdict:
    """Hold a run against what was sent, and against an undisturbed run of the same.

    Raises:
        Untrustworthy: see there.
    """
    for records in (found.uploads, found.items, found.captions, found.dead, found.queries, found.results):
        check_dense(records)
    expected = expected_of(ops, found.uploads)
    published = {event_id_of(record) for record in found.items}
    good = with_items([e for e in expected if e.op.kind != "poison"], published)
    violations: list[Violation] = []
    violations += _contents(found.items, good)
    violations += _events(found.items, {e.item: e for e in good}, "item")
    violations += _order(found.items, good, lambda e: e.item, "item", strict=True)
    told = captions_wanted(found.captions, good)
    violations += _events(found.captions, {e.caption: e for e in told}, "caption")
    violations += _order(found.captions, told, lambda e: e.caption, "caption", strict=False)
    violations += _lineage(found.captions, told)
    violations += _dead(found.dead, [e for e in expected if e.op.kind == "poison"])
    violations += _answers(found.queries, found.results)
    violations += _index_against_items(found.index, good, found.items)
    if reference is not None:
        violations += _index(found.index, reference.index)
        violations += _same_answers(found.results, reference.results)
    return Verdict(tuple(violations), _counts(expected, found, violations))


# ---------------------------------------------------------------- what was sent


# ---------------------------------------------------------------- events


def _events(records: Iterable[Message], wanted: Mapping[str, Expected], what: str) -> list[Violation]:
    """Each wanted event is there, as one (key, value), and nothing else is."""
    by_id = _by_id(records)
    violations = []
    for event_id, expected in wanted.items():
        seen = by_id.pop(event_id, [])
        if not seen:
            detail = f"no {what} of op {expected.op.number} ({expected.op.kind}), sent at {place_of(expected.upload)}"
            violations.append(Violation(f"lost {what}", expected.op.product_id, event_id, (), detail))
            continue
        if len({(r.key, r.value) for r in seen}) > 1:
            violations.append(Violation(f"doubled {what}", expected.op.product_id, event_id, _places(seen), "bytes"))
        if seen[0].key != expected.op.product_id.encode() or (seen[0].value is None) != (expected.op.kind == "delete"):
            detail = f"is not what op {expected.op.number} ({expected.op.kind}) asks for"
            violations.append(Violation(f"wrong {what}", expected.op.product_id, event_id, _places(seen), detail))
    for event_id, seen in by_id.items():
        # A second id for an upload that has its event already is a duplicate that a reader cannot tell.
        kind = (
            f"doubled {what}" if seen[0].key in {e.op.product_id.encode() for e in wanted.values()} else f"stray {what}"
        )
        violations.append(Violation(kind, _key(seen[0]), event_id, _places(seen), "an id that no upload asks for"))
    return violations


def _contents(items: Iterable[Message], good: Sequence[Expected]) -> list[Violation]:
    """Each item is the product as it was after its upload: its photos by the hashes of their bytes, its metadata."""
    wanted = {e.item: e for e in good}
    violations = []
    for record in items:
        expected = wanted.get(event_id_of(record))
        if expected is None or record.value is None or expected.op.kind == "delete":
            continue  # told as lost, stray or wrong
        try:
            found = _product_in(decode_item(record.value))
        except Poison as error:
            violations.append(
                Violation("unreadable item", _key(record), event_id_of(record), (place_of(record),), str(error))
            )
            continue
        after = expected.effect.after
        photos = sorted(hashlib.sha256(photo_of(shot.photo)).hexdigest() for shot in after.photos)
        if found != (photos, dict(after.metadata), not after.complete):
            detail = f"after op {expected.op.number} ({expected.op.kind}) it is another product"
            violations.append(
                Violation("wrong product", _key(record), event_id_of(record), (place_of(record),), detail)
            )
    return violations


def _product_in(item: Item) -> tuple[list[str], dict[str, str], bool]:
    """Hashes of its photos, its metadata, whether it is incomplete."""
    images = [photo.image for photo in item.photos] if isinstance(item.photos, tuple) else [item.image]
    said = item.metadata
    price = "" if said.price is None else f"{said.price:.2f}"
    typed = {"title": said.title, "brand": said.brand, "fabric": said.fabric, "gender": said.gender, "price": price}
    metadata = {name: value for name, value in {**typed, **said.facets}.items() if value}
    hashes = sorted(image.rpartition("/")[2].partition(".")[0] for image in images if image)
    return hashes, metadata, item.incomplete is True


def _order(
    records: Iterable[Message], good: Sequence[Expected], id_of: Callable[[Expected], str], what: str, *, strict: bool
) -> list[Violation]:
    """Per product: first occurrences in the order of the uploads, and the last record is of the last upload.

    `strict` (topics whose inputs come once): after a step back, everything between comes again as well.
    """
    rank: dict[str, int] = {}
    last: dict[str, int] = defaultdict(int)
    passed: dict[str, set[int]] = defaultdict(
        set
    )  # a price that came by itself first, and together with the next one again
    latest: dict[str, Expected] = {}
    changes: dict[str, list[Expected]] = defaultdict(list)
    for expected in sorted(good, key=lambda e: e.upload.offset):
        product_id = expected.op.product_id
        if is_price(expected) and product_id in latest and is_price(latest[product_id]):
            passed[product_id].add(last[product_id] - 1)
        latest[product_id] = expected
        changes[product_id].append(expected)
        rank[id_of(expected)] = last[product_id]
        last[product_id] += 1
    by_product: dict[str, list[Message]] = defaultdict(list)
    for record in records:
        if event_id_of(record) in rank:
            by_product[_key(record)].append(record)
    violations = []
    for product_id, seen in by_product.items():
        ranks = [rank[event_id_of(record)] for record in seen]
        highest = -1
        for n, (at, record) in enumerate(zip(ranks, seen, strict=True)):
            before = min(highest, ranks[n - 1]) if strict and n > 0 else highest
            skipped = any(between not in passed[product_id] for between in range(before + 1, at))
            if skipped:
                detail = f"change {at} of the product came after change {ranks[n - 1] if n else 'none'}"
                violations.append(
                    Violation(f"order of {what}s", product_id, event_id_of(record), (place_of(record),), detail)
                )
            highest = max(highest, at)
        shown, newest = changes[product_id][ranks[-1]], changes[product_id][-1]
        # A caption that stands is not published again: an equal one before it may come again, and be the last.
        equal = not strict and says_the_same(shown, newest)
        if shown is not newest and not equal and highest == last[product_id] - 1:
            detail = f"the last record shows change {ranks[-1]} of {last[product_id]}"
            violations.append(
                Violation(f"stale {what}", product_id, event_id_of(seen[-1]), (place_of(seen[-1]),), detail)
            )
    return violations


def _lineage(captions: Iterable[Message], told: Sequence[Expected]) -> list[Violation]:
    """A caption says which upload it was first made for: that of its event, or one before it that says the same."""
    wanted = {e.caption: e for e in told}
    violations = []
    for record in captions:
        expected = wanted.get(event_id_of(record))
        if expected is None or record.value is None:
            continue
        source = msgspec.json.decode(record.value)["lineage"]["source"]
        named = (source["topic"], source["partition"], source["offset"])
        same = {
            e.upload.source for e in told if e.upload.offset <= expected.upload.offset and says_the_same(e, expected)
        }
        if named not in same:
            detail = f"says it is of {source}, its id is of {place_of(expected.upload)}"
            violations.append(
                Violation("wrong lineage", _key(record), event_id_of(record), (place_of(record),), detail)
            )
    return violations


# ---------------------------------------------------------------- dead letters and answers


def _dead(letters: Iterable[Message], poison: Sequence[Expected]) -> list[Violation]:
    """Exactly the poison, with its own key and bytes, each for one cause."""
    by_source: dict[str, list[Message]] = defaultdict(list)
    for letter in letters:
        by_source[
            "@".join(("-".join((_error(letter, "topic"), _error(letter, "partition"))), _error(letter, "offset")))
        ].append(letter)
    violations = []
    for expected in poison:
        seen = by_source.pop(place_of(expected.upload), [])
        op = expected.op
        if not seen:
            detail = f"{op.poison} of op {op.number}, sent at {place_of(expected.upload)}"
            violations.append(Violation("missing dead letter", op.product_id, "", (), detail))
            continue
        if any((letter.key, letter.value) != (expected.upload.key, expected.upload.value) for letter in seen):
            violations.append(Violation("changed dead letter", op.product_id, "", _places(seen), op.poison))
        if len({(_error(letter, "stage"), _error(letter, "exception.message")) for letter in seen}) > 1:
            violations.append(Violation("doubled dead letter", op.product_id, "", _places(seen), "another cause"))
    for source, seen in by_source.items():
        cause = f"{source}: {_error(seen[0], 'stage')}: {_error(seen[0], 'exception.message')}"
        violations.append(Violation("extra dead letter", _key(seen[0]), "", _places(seen), cause))
    return violations


def _answers(queries: Iterable[Message], results: Iterable[Message]) -> list[Violation]:
    """Every query has one result; a second delivery has the same id (its times may differ)."""
    ids: dict[str, set[str]] = {_key(query): set() for query in queries}
    places: dict[str, list[Message]] = defaultdict(list)
    violations = []
    for result in results:
        if _key(result) in ids:
            ids[_key(result)].add(event_id_of(result))
            places[_key(result)].append(result)
        else:
            violations.append(Violation("stray result", _key(result), event_id_of(result), (place_of(result),)))
    for query_id, seen in ids.items():
        if len(seen) != 1:
            kind = "doubled result" if seen else "lost result"
            violations.append(Violation(kind, query_id, " ".join(sorted(seen)), _places(places[query_id])))
    return violations


# ---------------------------------------------------------------- index


def _index_against_items(index: Index, good: Sequence[Expected], items: Iterable[Message]) -> list[Violation]:
    """The index holds the products that were not deleted last, and has read all items."""
    violations = []
    ends: dict[int, int] = defaultdict(int)
    for item in items:
        ends[item.partition] = max(ends[item.partition], item.offset + 1)
    for partition, end in ends.items():
        if index.applied.get(partition, 0) != end:
            detail = f"partition {partition} is applied to {index.applied.get(partition, 0)}, the topic ends at {end}"
            violations.append(Violation("index behind", "", "", (), detail))
    final = {e.op.product_id: e for e in sorted(good, key=lambda e: e.upload.offset)}
    live = {product_id for product_id, e in final.items() if e.effect.after.complete}
    violations += [
        Violation("missing index entry", product_id, final[product_id].item)
        for product_id in sorted(live - index.products.keys())
    ]
    violations += [Violation("extra index entry", product_id) for product_id in sorted(index.products.keys() - live)]
    return violations


def _index(found: Index, reference: Index) -> list[Violation]:
    """As after an undisturbed run, but for offsets."""
    violations = []
    for product_id in sorted(found.products.keys() | reference.products.keys()):
        ours, theirs = found.products.get(product_id), reference.products.get(product_id)
        if ours != theirs:
            violations.append(Violation("index differs", product_id, "", (), _difference(ours, theirs)))
    return violations


def _difference(ours: Indexed | None, theirs: Indexed | None) -> str:
    if ours is None or theirs is None:
        return f"{'not' if ours is None else 'only'} in the disturbed run"
    names = [n for n in ("image", "category", "facets", "views") if getattr(ours, n) != getattr(theirs, n)]
    return f"{', '.join(names)} differ from the undisturbed run"


def _same_answers(found: Iterable[Message], reference: Iterable[Message]) -> list[Violation]:
    """The closing queries, asked when all was quiet, find the same products with the same scores."""
    ours = {_key(r): digest_of(r.value or b"") for r in found if _key(r).startswith("final-")}
    theirs = {_key(r): digest_of(r.value or b"") for r in reference if _key(r).startswith("final-")}
    return [
        Violation(
            "answer differs",
            query_id,
            "",
            (),
            f"{len(ours.get(query_id, ()))} hits, wanted {len(theirs.get(query_id, ()))}",
        )
        for query_id in sorted(ours.keys() | theirs.keys())
        if ours.get(query_id) != theirs.get(query_id)
    ]


# ---------------------------------------------------------------- counting and naming


def _counts(expected: Sequence[Expected], found: Evidence, violations: Sequence[Violation]) -> Counts:
    kinds = [e.op.kind for e in expected]
    return Counts(
        uploads=len(kinds) - kinds.count("delete"),
        poison=kinds.count("poison"),
        deletes=kinds.count("delete"),
        captions=len({event_id_of(r) for r in found.captions if r.value is not None}),
        lost=sum(v.kind.startswith(("lost", "missing")) for v in violations),
        doubled=sum(v.kind.startswith("doubled") for v in violations),
        again={
            name: len(records) - len({key(r) for r in records})
            for name, records, key in (
                ("items", found.items, event_id_of),
                ("captions", found.captions, event_id_of),
                ("dead letters", found.dead, lambda r: tuple(_error(r, n) for n in ("topic", "partition", "offset"))),
                ("results", found.results, event_id_of),
            )
        },
        dead=len(found.dead),
        queries=len(found.queries),
        indexed=len(found.index.products),
    )


def _by_id(records: Iterable[Message]) -> dict[str, list[Message]]:
    by_id: dict[str, list[Message]] = defaultdict(list)
    for record in records:
        by_id[event_id_of(record)].append(record)
    return dict(by_id)


def _key(record: Message) -> str:
    return (record.key or b"").decode("utf-8", "replace")


def _error(letter: Message, name: str) -> str:
    return (letter.header(_CONNECT + name) or b"").decode("utf-8", "replace")


def _places(records: Iterable[Message]) -> tuple[str, ...]:
    return tuple(place_of(record) for record in records)
