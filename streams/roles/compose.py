"""`compose`: a shopper's query becomes a result. Read it from top to bottom:

    read (check it; get the photo, or look the product up) → open → embed → answer (fuse, ask all shards, merge, publish)

A query is never left without an answer: what cannot be answered gets a result that says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from infra.fetch import Fetcher
from models.ports import ImageEncoder, Raw, Ready, TextEncoder
from processors import decode, fusion, query_words
from processors.conditions import Condition
from processors.errors import RESULT_CODES, Code, Poison
from processors.identity import key_of
from processors.values import MAX_QUERY_TEXT, Pixels, Vector
from streams.contract import codecs, topics
from streams.contract.records import (
    Answer,
    Found,
    Hits,
    LookupProbe,
    Query,
    QueryError,
    Result,
    SearchProbe,
    Shards,
)
from streams.engine.failures import Failure
from streams.engine.message import Message
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Stage
from streams.roles import reserve
from streams.search import merging
from streams.search.pending import PendingQueries, all_answered
from streams.search.spaces import Space

QUERY_SIDE = 512
"""Longest side, in pixels, that is kept of a query's photo: no garment is cut out of it."""
MARGIN_S = 0.05
"""Kept back from the deadline for publishing the result."""
SLERP = 0.5
"""Where on the arc from image to text a query without a known reference lies (docs/models/encoder.md)."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What the query starts from: a product of the catalogue (its key), a photo, or nothing but words."""

    product: str = ""
    vector: Vector | None = None
    facets: tuple[tuple[str, str], ...] = ()
    data: bytes = b""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked query. `deadline` in seconds since the epoch; `started` likewise."""

    message: Message
    query: Query
    started: float
    deadline: float
    reference: Reference
    space: Space
    """The generation that answers this query, from its first look-up to its last hit, whatever is swapped in meanwhile."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that the encoders must embed for one query."""

    asked: Asked
    edit: fusion.ParsedEdit
    pixels: Pixels | None
    image: Ready | None
    texts: tuple[Ready, ...]
    directed: bool  # texts = (edited caption, reference caption); otherwise texts = (what was typed,)
    conditions: tuple[Condition, ...] = ()  # read from the words ("under 50")


@dataclass(frozen=True, slots=True)
class Embedded:
    """A query with its vectors."""

    prepared: Prepared
    image: Vector | None
    texts: tuple[Vector, ...]


async def _anywhere(_product_id: str) -> int | None:
    return None


Publish = Callable[[Message, Result], Awaitable[None]]
"""Publishes a result and returns when the broker has it."""


@dataclass(frozen=True, slots=True)
class Compose:
    """The stages of the role; everything it needs is handed in."""

    fetcher: Fetcher
    images: ImageEncoder
    texts: TextEncoder
    pending: PendingQueries
    publish: Publish
    now: Callable[[], float]
    limits: decode.DecodeLimits
    partitions: int
    batch_items: int
    relative: Callable[[str], str] = str
    """Makes an address in our store relative to it: items of before a move hold absolute ones."""
    live: Callable[[], Space] | None = None
    """The generation that is live, with its encoders; None: `images` and `texts`, whichever generation answers."""
    place: Callable[[str], Awaitable[int | None]] = _anywhere
    """The partition that a product's key names; None where nobody can say."""

    def space(self) -> Space:
        """Where a query that comes now is answered."""
        return Space("", self.images, self.texts) if self.live is None else self.live()

    def stages(self) -> tuple[Stage, ...]:
        """The role's story. Results leave from `answer`: a query that waits for its shards delays no other."""
        return (
            IoStage("read", self.answering(self.read), concurrency=256, size=_size_of_photo),
            CpuStage(
                "open",
                self.open,
                size=_size_of_pixels,
                cost=lambda asked: decode.unfolded_pixels(asked.reference.data, QUERY_SIDE),
                max_cost=self.limits.max_pixels,
            ),
            DeviceStage("embed", self.embed, max_items=self.batch_items, wait_s=0.002),
            IoStage("answer", self.answer, concurrency=256),
        )

    def answering(
        self, step: Callable[[Message], Awaitable[Asked | Done[None]]]
    ) -> Callable[[Message], Awaitable[Asked | Done[None]]]:
        """Wrap `read`: a bad query is not a dead letter, its asker waits."""

        async def run(message: Message) -> Asked | Done[None]:
            try:
                return await step(message)
            except codecs.BadQuery as error:
                await self.refuse(message, error.query_id, error)
            except Poison as error:
                await self.refuse(message, _query_id(message), error)
            return Done(None)

        return run

    async def read(self, message: Message) -> Asked | Done[None]:
        """Check the query, and get what it starts from."""
        started = self.now()
        query = codecs.decode_query(message)
        # Never longer from now: a record dated into the future would hold its place until then.
        deadline = min(max(message.timestamp_ms / 1000, 0.0), started) + query.deadline_ms / 1000
        if deadline <= started:
            late = Poison("the deadline passed before the query was read", code=Code.DEADLINE_EXCEEDED)
            await self.refuse(message, query.query_id, late)
            return Done(None)
        asked = Asked(message, query, started, deadline, Reference(), self.space())
        if query.image is None:
            return asked
        if query.image.product_id is not None:
            return await self._look_up(asked, query.image.product_id)
        data = query.image.bytes
        if data is None and query.image.uri is not None:
            async with asyncio.timeout(max(deadline - self.now(), 0.0)):
                data = await self.fetcher.fetch(query.image.uri)
        return replace(asked, reference=Reference(data=data or b""))

    async def _look_up(self, asked: Asked, product_id: str) -> Asked | Done[None]:
        """Ask the shard that the product's key names, and only where that has none of the kind, all of them."""
        key = key_of(asked.query.shop or "", product_id)
        probe = LookupProbe(
            query_id=asked.message.event_id("lookup"),
            product_id=key,
            deadline=asked.deadline - MARGIN_S,
            min_offsets=asked.query.min_offsets,
            joined=True,
            generation=asked.space.generation,
            partition=await self.place(key),
        )
        answers = await self.pending.ask(
            probe, lambda got: probe.partition in got or all_answered(got) or _found(got) is not None
        )
        if _found(answers) is None and probe.partition is not None:
            # Keys of before partitions were added may lie elsewhere.
            probe = msgspec.structs.replace(probe, query_id=asked.message.event_id("lookup/all"), partition=None)
            answers = await self.pending.ask(probe, lambda got: all_answered(got) or _found(got) is not None)
        found = _found(answers)
        if found is None or found.vector is None:
            missing = f"the catalogue has no product {product_id!r}"
            if not all_answered(answers):
                missing = (
                    f"{len(answers)} of {self.partitions} shards answered in time; none of them has {product_id!r}"
                )
            unknown = Poison(missing, field="image.product_id", code=Code.UNKNOWN_PRODUCT)
            await self.refuse(asked.message, asked.query.query_id, unknown)
            return Done(None)
        vector = np.frombuffer(found.vector, dtype="<f4")
        reference = Reference(probe.product_id, vector, tuple(sorted(found.facets.items())), group=found.group_id)
        return replace(asked, reference=reference)

    def open(self, asked: Asked) -> Prepared:
        """Decode the photo, read the edit, and word what it starts from and what it asks for."""
        reference, pixels, image = asked.reference, None, None
        facets = dict(reference.facets)
        if reference.data:
            pixels = decode.decode(reference.data, self.limits, max_side=QUERY_SIDE).pixels
            image = asked.space.images.prepare(pixels)
        words = query_words.read(asked.query.text or "")
        edit = fusion.parse_edit(words.text)
        typed = edit.text or (asked.query.text if words.conditions else "") or ""
        if not typed and image is None and reference.vector is None:
            # "not black" alone: everything else is refused, and nothing is asked for.
            raise codecs.BadQuery(
                "says nothing of what is wanted", code=Code.EMPTY_QUERY, query_id=asked.query.query_id, field="text"
            )
        captions = fusion.captions_for(facets, edit) if facets else None
        texts: tuple[Ready, ...]
        if captions is not None:
            texts = (_worded(asked.space, captions[1]), _worded(asked.space, captions[0]))
        else:
            # Of "under 50" alone nothing is left to be embedded: beside a photo nothing is, else the words as they are.
            alone = image is None and reference.vector is None
            texts = (_worded(asked.space, typed),) if edit.text or (typed and alone) else ()
        return Prepared(asked, edit, pixels, image, texts, captions is not None, words.conditions)

    def embed(self, batch: Sequence[Prepared]) -> list[Embedded]:
        """One pass of each encoder over all queries; around a swap there may be encoders of two generations."""
        spaces = {prepared.asked.space.images.fingerprint: prepared.asked.space for prepared in batch}
        found: dict[int, Embedded] = {}
        for maker, space in spaces.items():
            own = [p for p in batch if p.asked.space.images.fingerprint == maker]
            found |= zip(map(id, own), self._embed(space, own), strict=True)
        return [found[id(prepared)] for prepared in batch]

    def _embed(self, space: Space, batch: Sequence[Prepared]) -> list[Embedded]:
        images: list[Raw] = space.images.forward([p.image for p in batch if p.image is not None])
        texts: list[Raw] = space.texts.forward([ready for p in batch for ready in p.texts])
        next_image, next_text = iter(images), iter(texts)
        return [
            Embedded(
                prepared,
                None if prepared.pixels is None else space.images.finish(prepared.pixels, next(next_image)),
                tuple(space.texts.finish("", next(next_text)) for _ in prepared.texts),
            )
            for prepared in batch
        ]

    async def answer(self, embedded: Embedded) -> None:
        """Fuse, ask every shard, merge what came in time, publish."""
        asked = embedded.prepared.asked
        query, message = asked.query, asked.message
        probe, wished = self._probes(embedded)
        if wished is None:
            answers, siblings = await self.pending.ask(probe, all_answered), []
        else:
            answers, others = await asyncio.gather(
                self.pending.ask(probe, all_answered), self.pending.ask(wished, all_answered)
            )
            siblings = merging.ranked(merging.good_of(wished, others), wished.shop)
        result = await self._result(embedded.prepared, probe, answers, siblings)
        # Only the shards know how many partitions there are; the setting is about topics that are yet to be made.
        if missing := _missing_partitions(query, result.shards.of if result.shards.answered else None):
            await self.refuse(message, query.query_id, missing)
        else:
            await self.publish(message, result)

    def _probes(self, embedded: Embedded) -> tuple[SearchProbe, SearchProbe | None]:
        """What every shard is asked; and, of a reference's group, who is what the shopper wishes ("but in green")."""
        prepared, asked = embedded.prepared, embedded.prepared.asked
        query, message, reference = asked.query, asked.message, asked.reference
        page = merging.page_of(query)
        filters, conditions = merging.filters_of(query)
        probe = SearchProbe(
            query_id=message.event_id("search"),
            vector=self.fused(embedded).astype("<f4").tobytes(),
            encoder=asked.space.images.fingerprint,
            top_k=page.depth,
            deadline=asked.deadline - MARGIN_S,
            filters=filters,
            exclude=prepared.edit.exclude,
            exclude_products=(reference.product,) if reference.product else (),
            min_offsets=query.min_offsets,
            joined=True,
            conditions=(*conditions, *prepared.conditions),
            sort=query.sort or "",
            score_band=query.score_band,
            collapse=query.collapse,
            facets=query.facets,
            fields=bool(query.fields),
            shop=query.shop or "",
            generation=asked.space.generation,
        )
        wishes = merging.sibling_filters(prepared.edit)
        if not reference.group or not (wishes or prepared.conditions):
            return probe, None
        return probe, msgspec.structs.replace(
            probe,
            query_id=message.event_id("siblings"),
            top_k=merging.MOST_SIBLINGS,
            filters={**filters, **wishes},
            groups=(reference.group,),
            # Of a sibling it must be known that it is what was asked for, before it takes the first place.
            conditions=(*conditions, *(msgspec.structs.replace(c, lenient=False) for c in prepared.conditions)),
            collapse=False,
            facets=(),
        )

    def fused(self, embedded: Embedded) -> Vector:
        """The query's vector: by direction where the reference's attributes are known, else between image and text."""
        image = embedded.image if embedded.image is not None else embedded.prepared.asked.reference.vector
        if image is None:
            return embedded.texts[0]
        if not embedded.texts:
            return image
        if embedded.prepared.directed:
            return fusion.fuse_direction(image, embedded.texts[0], embedded.texts[1])
        return fusion.fuse_slerp(image, embedded.texts[0], SLERP)

    async def _result(
        self, prepared: Prepared, probe: SearchProbe, answers: dict[int, Answer], siblings: Sequence[merging.Ranked]
    ) -> Result:
        """The merged result; `partial` when a shard is missing, or had not applied what the query asked for."""
        query, page = prepared.asked.query, merging.page_of(prepared.asked.query)
        shards = [answer for answer in answers.values() if isinstance(answer, Hits)]
        of = shards[0].of if shards else self.partitions
        good = merging.good_of(probe, answers)
        found = merging.in_order(merging.ranked(good, probe.shop), page.depth, page.order, collapse=page.collapse)
        found = merging.with_siblings(found, siblings, page)[page.offset : page.depth]
        members, whole = await self._members(probe, found, prepared) if page.collapse else ([], True)
        approximate = [] if whole else ["variants"]
        if query.facets and (len(good) < of or not all(shard.typed and shard.fresh for shard in good)):
            approximate.append("facets")
        return Result(
            query_id=query.query_id,
            hits=tuple(merging.placed(one, members, query.fields, self.relative) for one in found),
            partial=len(good) < of or not all(shard.fresh for shard in good),
            generation=min((shard.generation for shard in good), default=""),
            applied_offsets={f"{topics.ITEMS}-{s.partition}": s.applied_offset for s in sorted(good, key=_partition)},
            shards=Shards(answered=len(good), of=of),
            took_ms=round((self.now() - prepared.asked.started) * 1000),
            warnings=merging.unknown_facets(query, good),
            total=merging.total_of(good) if query.facets else None,
            facets=merging.counts_of(good),
            ranges=merging.ranges_of(good),
            understood=merging.understood_of(query.text, prepared.edit, prepared.conditions),
            approximate=tuple(approximate),
        )

    async def _members(
        self, probe: SearchProbe, found: Sequence[merging.Ranked], prepared: Prepared
    ) -> tuple[list[merging.Ranked], bool]:
        """The products of the hits' groups, wherever they lie; and whether all shards said theirs, and all that they have.

        Asked for once it is known which groups are on the page: no shard knows that before, and a group's products lie in many.
        """
        groups = tuple(dict.fromkeys(one.hit.group_id for one in found if one.hit.group_id))
        if not groups:
            return [], True
        most = min((merging.MOST_VARIANTS + 1) * len(groups), codecs.MAX_DEPTH)
        wanted = msgspec.structs.replace(
            probe,
            query_id=prepared.asked.message.event_id("variants"),
            top_k=most,
            groups=groups,
            collapse=False,
            sort="",
            facets=(),
            fields=False,
        )
        answers = await self.pending.ask(wanted, all_answered)
        good = merging.good_of(wanted, answers)
        whole = all_answered(answers) and len(good) == len(answers) and all(len(one.hits) < most for one in good)
        return merging.ranked(good, wanted.shop), whole

    async def refuse(self, message: Message, query_id: str, cause: Poison) -> None:
        """Answer with an error."""
        result = Result(
            query_id=query_id,
            hits=(),
            partial=False,
            generation="",
            applied_offsets={},
            shards=Shards(answered=0, of=self.partitions),
            took_ms=0,
            error=QueryError(code=_result_code(cause), message=str(cause), field=cause.field),
        )
        await self.publish(message, result)

    async def failed(self, failure: Failure) -> Sequence[Awaitable[object]]:
        """What the engine gives up on (a photo that does not decode): an error result instead of a dead letter."""
        await self.refuse(failure.message, _query_id(failure.message), failure.error)
        return ()


def _worded(space: Space, text: str) -> Ready:
    # A text within its limit may outgrow it in our own words ("sleeveless" is "without sleeves").
    return space.texts.prepare(text[:MAX_QUERY_TEXT])


def _size_of_photo(asked: Asked) -> int:
    data = asked.reference.data
    return reserve.held_by(data, QUERY_SIDE) if data else 0


def _size_of_pixels(prepared: Prepared) -> int:
    # The photo's own bytes stay with the question it belongs to.
    pixels = 0 if prepared.pixels is None else prepared.pixels.nbytes + reserve.SHOWN_BYTES
    return len(prepared.asked.reference.data) + pixels


def _result_code(cause: Poison) -> Code:
    """Clients know one code for whatever is wrong with a photo or its address; the sentence says more."""
    known = isinstance(cause, codecs.BadQuery) or cause.code is Code.UNKNOWN_PRODUCT
    if not known and cause.field.partition(".")[0] == "image":
        return Code.BAD_IMAGE
    return cause.code if cause.code in RESULT_CODES else Code.INVALID


def _query_id(message: Message) -> str:
    try:
        return codecs.decode_query(message).query_id
    except codecs.BadQuery as error:
        return error.query_id


def _missing_partitions(query: Query, of: int | None) -> codecs.BadQuery | None:
    """What a query waits for and can never come: partitions that `catalog.items` has not (`of` None: not known)."""
    missing = next((name for name in sorted(query.min_offsets) if not _is_partition(name, of)), None)
    if missing is None:
        return None
    there = "" if of is None else f": there are {topics.ITEMS}-0 to {topics.ITEMS}-{of - 1}"
    return codecs.BadQuery(
        f"there is no partition {missing[:200]!r} of {topics.ITEMS}{there}",
        code=Code.UNKNOWN_NAME,
        query_id=query.query_id,
        field="min_offsets",
    )


def _is_partition(name: str, of: int | None) -> bool:
    topic, _, number = name.rpartition("-")
    spelt = number.isascii() and number.isdigit() and len(number) < 10 and str(int(number)) == number
    return topic == topics.ITEMS and spelt and (of is None or int(number) < of)


def _found(answers: dict[int, Answer]) -> Found | None:
    return next((a for a in answers.values() if isinstance(a, Found) and a.vector is not None), None)


def _partition(answer: Hits) -> int:
    return answer.partition
