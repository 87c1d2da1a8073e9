"""The answers of the shards made into the result that is published; and the result of a query that has no answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from msgspec import UNSET

from processors.composing import Composed
from processors.conditions import told
from processors.errors import RESULT_CODES, Code, Poison
from processors.relevance import Judged
from streams.contract import codecs, topics
from streams.contract.checks import BadQuery
from streams.contract.probes import Answer, Hits, SearchProbe
from streams.contract.records import Hit, Query, QueryError, Result, Shards, ShownGarment, Understood
from streams.engine.message import Message
from streams.roles.compose import judging, probes
from streams.roles.compose.asked import Prepared
from streams.roles.compose.garments import MAX_HITS, FoundGarments
from streams.roles.compose.reranking import MOST, Reranked
from streams.search import merging
from streams.search.pending import PendingQueries, all_answered
from streams.search.wording import Wording, wording_of

Again: TypeAlias = Callable[[Sequence[merging.Ranked]], Awaitable[Reranked]]

DUPLICATES = "duplicates"
NO_TWINS = QueryError(
    Code.UNKNOWN_NAME,
    "nothing is known of duplicates here, or not in time: the role duplicates finds them",
    field="collapse",
)


@dataclass(frozen=True, slots=True)
class Results:
    """Makes results. `relative` makes an address in our store relative to it; `now` in seconds since the epoch."""

    pending: PendingQueries
    partitions: int
    relative: Callable[[str], str]
    now: Callable[[], float]

    async def made(
        self,
        prepared: Prepared,
        probe: SearchProbe,
        answers: dict[int, Answer],
        siblings: Sequence[merging.Ranked],
        garments: FoundGarments,
        composed: Composed | None = None,
        judged: Judged | None = None,
        again: Again | None = None,
    ) -> Result:
        """The merged result; `partial` when a shard is missing, or had not applied what the query asked for.

        `again`: orders the best hits once more (`streams.roles.compose.reranking`); None: no second stage is due.
        """
        query, page = prepared.asked.query, prepared.asked.page
        shards = [answer for answer in answers.values() if isinstance(answer, Hits)]
        of = shards[0].of if shards else self.partitions
        good = merging.good_of(probe, answers)
        wording = wording_of(probe.words, good)
        judged = judging.with_words(judged, wording)
        found, outcome = page.of(merging.ranked(good, probe.shop, wording)), None
        if again is not None:
            deep = replace(page, offset=0, size=max(page.depth, MOST))
            reranked = await again(deep.of(merging.ranked(good, probe.shop, wording)))
            found, outcome = list(reranked.hits[: page.depth]), reranked.outcome
        if garments.merged is not None:
            found = list(garments.merged)
        sure = judging.confident(found, judged)
        found = merging.with_siblings(found, siblings, page)[page.offset : page.depth]
        shown = [(one.garment, one.hits[page.offset : page.depth][:MAX_HITS]) for one in garments.garments]
        every = [*found, *(hit for _, hits in shown for hit in hits)]
        members, whole = await self._members(probe, every, prepared) if page.collapse else ([], True)

        def placed(hits: Sequence[merging.Ranked]) -> tuple[Hit, ...]:
            all_placed = [merging.placed(one, members, query.fields, self.relative, page.twins) for one in hits]
            return judging.told(hits, all_placed, judged, query.min_relevance)

        unfollowed = (judging.UNFITTED,) if query.min_relevance and judged is None else ()
        unknown_twins = (NO_TWINS,) if query.collapse == DUPLICATES and page.twins is None else ()
        approximate = [] if whole else ["variants"]
        if query.facets and (len(good) < of or not all(shard.typed and shard.fresh for shard in good)):
            approximate.append("facets")
        return Result(
            query_id=query.query_id,
            hits=placed(found),
            partial=len(good) < of
            or not all(shard.fresh for shard in good)
            or not all(one.whole for one in garments.garments),
            generation=min((shard.generation for shard in good), default=""),
            applied_offsets={f"{topics.ITEMS}-{s.partition}": s.applied_offset for s in sorted(good, key=_partition)},
            shards=Shards(answered=len(good), of=of),
            took_ms=round((self.now() - prepared.asked.started) * 1000),
            warnings=(*merging.unknown_facets(query, good), *unfollowed, *unknown_twins),
            total=merging.total_of(good) if query.facets else None,
            facets=merging.counts_of(good),
            ranges=merging.ranges_of(good),
            understood=understood_of(prepared, composed, wording),
            approximate=tuple(approximate),
            garments=tuple(ShownGarment(one.id, one.category, one.box, placed(hits)) for one, hits in shown),
            confident=sure,
            reranked=UNSET if outcome is None else outcome,
        )

    async def _members(
        self, probe: SearchProbe, found: Sequence[merging.Ranked], prepared: Prepared
    ) -> tuple[list[merging.Ranked], bool]:
        """The products of the hits' groups, wherever they lie; and whether all shards said theirs, and all that they have.

        Asked for once it is known which groups are on the page: no shard knows that before, and a group's products lie in many.
        """
        wanted = probes.variants(prepared, probe, found)
        if wanted is None:
            return [], True
        answers = await self.pending.ask(wanted, all_answered)
        good = merging.good_of(wanted, answers)
        whole = (
            all_answered(answers) and len(good) == len(answers) and all(len(one.hits) < wanted.top_k for one in good)
        )
        return merging.ranked(good, wanted.shop, wording_of(wanted.words, good)), whole


def refusal(query_id: str, cause: Poison, partitions: int) -> Result:
    """The result of a query that cannot be answered."""
    return Result(
        query_id=query_id,
        hits=(),
        partial=False,
        generation="",
        applied_offsets={},
        shards=Shards(answered=0, of=partitions),
        took_ms=0,
        error=QueryError(code=_result_code(cause), message=str(cause), field=cause.field),
    )


def query_id_of(message: Message) -> str:
    """The id of a query, also of one that is not well formed."""
    try:
        return codecs.decode_query(message).query_id
    except BadQuery as error:
        return error.query_id


def missing_partitions(query: Query, of: int | None) -> BadQuery | None:
    """What a query waits for and can never come: partitions that `catalog.items` has not (`of` None: not known)."""
    missing = next((name for name in sorted(query.min_offsets) if not _is_partition(name, of)), None)
    if missing is None:
        return None
    there = "" if of is None else f": there are {topics.ITEMS}-0 to {topics.ITEMS}-{of - 1}"
    return BadQuery(
        f"there is no partition {missing[:200]!r} of {topics.ITEMS}{there}",
        code=Code.UNKNOWN_NAME,
        query_id=query.query_id,
        field="min_offsets",
    )


async def nobody_counts() -> int | None:
    """Nobody can say how many partitions there are."""
    return None


class PartitionCount:
    """Refuses a query that waits for a partition which there is not, before anybody is asked: shards that are slow, or away,
    would leave it unsaid, and the answer would pass for a partial one.

    Args:
        count: how many partitions `catalog.items` has now; None where nobody can say.
    """

    def __init__(self, count: Callable[[], Awaitable[int | None]] = nobody_counts) -> None:
        self._count = count
        self._known = 0

    async def check(self, query: Query) -> None:
        """Raise `BadQuery` for such a query. The broker is asked only about a partition beyond those that are known."""
        if missing_partitions(query, self._known) is None:
            return
        self._known = await self._count() or 0
        if self._known and (missing := missing_partitions(query, self._known)):
            raise missing


def _result_code(cause: Poison) -> Code:
    """Clients know one code for whatever is wrong with a photo or its address; the sentence says more."""
    known = isinstance(cause, BadQuery) or cause.code is Code.UNKNOWN_PRODUCT
    if not known and cause.field.partition(".")[0] == "image":
        return Code.BAD_IMAGE
    return cause.code if cause.code in RESULT_CODES else Code.INVALID


def _is_partition(name: str, of: int | None) -> bool:
    topic, _, number = name.rpartition("-")
    spelt = number.isascii() and number.isdigit() and len(number) < 10 and str(int(number)) == number
    return topic == topics.ITEMS and spelt and (of is None or int(number) < of)


def _partition(answer: Hits) -> int:
    return answer.partition


def understood_of(prepared: Prepared, composed: Composed | None, wording: Wording | None = None) -> Understood | None:
    """What is told of how a query's words were read; None where it has none."""
    reading = prepared.reading
    query = prepared.asked.query
    if composed is None and not any(text.strip() for text in (*query.edits, query.text or "")):
        return None
    edit = reading.edit
    wanted = dict(edit.set)
    if composed is not None:
        # Steps ("lighter") are told as what they came to.
        wanted |= {facet: values[0] for facet, values in composed.wishes.items() if facet not in wanted and values}
    excluded = dict(edit.exclude)
    if composed is not None:
        excluded |= {facet: (*excluded.get(facet, ()), *values) for facet, values in composed.refused.items()}
    return Understood(
        filters={condition.column: told(condition) for condition in reading.conditions},
        wants=dict(edit.set),
        refuses=dict(edit.exclude),
        ignored=edit.ignored,
        set=wanted or UNSET,
        exclude=excluded or UNSET,
        kept=UNSET if composed is None else composed.kept,
        words=() if wording is None else wording.told(),
        heads=composed.heads or UNSET if composed is not None else UNSET,
    )
