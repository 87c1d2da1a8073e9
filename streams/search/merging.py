"""The answers of all shards to one search made into one page: in order, one hit a group, with counts, warnings and variants."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from processors.conditions import Condition, parted
from processors.edit_text import ParsedEdit
from processors.errors import Code
from processors.identity import shop_of, split
from processors.offers import COLUMNS, Offer, column_named
from processors.ordering import BY_SCORE, DIGITS, Order, best
from processors.vocabulary import FACET_NAMES, FAMILIES, facet_named
from streams.contract.limits import MAX_DEPTH
from streams.contract.probes import About, Answer, Hits, SearchProbe
from streams.contract.records import Hit, Query, QueryError, Variant
from streams.search.twins import Twins
from streams.search.wording import Wording

MOST_VARIANTS = 24
"""Beside one hit."""
MORE_OF_TWINS = 2
"""So many times the hits of a page are asked for where those of one photo are to be one."""
MOST_SIBLINGS = 100
"""Of the reference's group that are looked at for a wish ("but in green")."""
_NOTHING = About()


@dataclass(frozen=True, slots=True)
class Ranked:
    """A hit of some shard, with what merging and showing need beside it."""

    hit: Hit
    about: About
    said: float = 0.0
    """How far its own words alone speak for it (`Wording.said`)."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which hits of a query are wanted, and in which order. `twins`: who shows the same photo, where these are to be one hit."""

    offset: int
    size: int
    order: Order
    collapse: bool
    twins: Twins | None = None

    @property
    def depth(self) -> int:
        """Hits that must be known for it."""
        return self.offset + self.size

    @property
    def asked(self) -> int:
        """Hits that every shard is asked for."""
        return self.depth if self.twins is None else min(MAX_DEPTH, MORE_OF_TWINS * self.depth)

    def of(self, found: Iterable[Ranked]) -> list[Ranked]:
        """The best of these, down to its depth."""
        return in_order(found, self.depth, self.order, collapse=self.collapse, twins=self.twins)


def page_of(query: Query, twins: Twins | None = None) -> Page:
    """The page that a query asks for."""
    size = query.top_k if query.limit is None else query.limit
    return Page(query.offset, size, Order(query.sort or "", query.score_band), bool(query.collapse), twins)


def follows(probe: SearchProbe, answer: Hits) -> bool:
    """Whether a worker has done all that the probe asks; one of an earlier version knows no columns, and must not count."""
    asks_more = bool(probe.conditions or probe.sort) or probe.groups is not None
    return (answer.typed or not asks_more) and (answer.composed or not probe.blocks)


def ranked(answers: Iterable[Hits], shop: str = "", wording: Wording | None = None) -> list[Ranked]:
    """All hits of a shop of all answers: an index worker from before there were shops answers with everybody's products.

    `wording`: the query's words, which weigh what they weigh over all these answers.
    """
    found = []
    for answer in answers:
        about = answer.about if len(answer.about) == len(answer.hits) else (_NOTHING,) * len(answer.hits)
        both = [Ranked(hit, one) for hit, one in zip(answer.hits, about, strict=True)]
        if wording is not None and answer.words is not None:
            weighed = ((wording.weighed(one.hit, one.about, answer.words), one.about) for one in both)
            both = [Ranked(hit, one, wording.said(hit, one, answer.words)) for hit, one in weighed]
        both = [
            one
            if one.about.inner is None
            else Ranked(replace(one.hit, similarity=one.about.inner), one.about, one.said)
            for one in both
        ]
        found += [one for one in both if shop_of(one.hit.product_id) == shop]
    return found


def in_order(
    found: Iterable[Ranked], k: int, order: Order = BY_SCORE, *, collapse: bool, twins: Twins | None = None
) -> list[Ranked]:
    """The best `k`, one a group where they are to be collapsed; with `twins`, one of those that show the same photo as well."""
    if twins is not None:
        found = list(found)
        every = in_order(found, len(found), order, collapse=collapse)
        return without_twins(every, twins)[:k]
    return best(
        found,
        lambda one: order.key(one.hit.score, one.hit.product_id, one.about.value),
        (lambda one: one.hit.group_id) if collapse else (lambda _: ""),
        k,
    )


def without_twins(found: Sequence[Ranked], twins: Twins) -> list[Ranked]:
    """In their order, without those whose photo is that of one before."""
    passed: set[str] = set()
    kept: list[Ranked] = []
    for one in found:
        if one.hit.product_id not in passed:
            kept.append(one)
            passed.update(twins.of(one.hit.product_id))
    return kept


def with_siblings(found: Sequence[Ranked], siblings: Sequence[Ranked], page: Page) -> list[Ranked]:
    """The siblings that a shopper wished for before everything else."""
    first = page.of(siblings)
    there = {one.hit.product_id for one in first}
    groups = {one.hit.group_id for one in first} if page.collapse else set()
    rest = [one for one in found if one.hit.product_id not in there and one.hit.group_id not in groups - {""}]
    return [*first, *rest] if page.twins is None else without_twins([*first, *rest], page.twins)


def sibling_filters(edit: ParsedEdit) -> dict[str, tuple[str, ...]]:
    """What a sibling must be to be the one that was wished for: "green" is every green; of two colours either."""
    found: dict[str, tuple[str, ...]] = {}
    for facet, value in edit.set.items():
        values = value.split(" and ") if facet == "colour" else [value]
        wider = [shade for one in values for shade in (one, *FAMILIES.get(one, ()))] if facet == "colour" else values
        found[facet] = tuple(dict.fromkeys(wider))
    return found


def variants_of(hit: Hit, members: Iterable[Ranked]) -> tuple[Variant, ...]:
    """The other products of a hit's group, the best first."""
    others = [one for one in members if one.hit.group_id == hit.group_id and one.hit.product_id != hit.product_id]
    return tuple(_variant(one) for one in in_order(others, MOST_VARIANTS, collapse=False))


def _variant(one: Ranked) -> Variant:
    hit, offer = one.hit, one.about.offer
    return Variant(
        split(hit.product_id)[1],
        round(hit.score, DIGITS),
        hit.image,
        one.about.colour,
        offer.sizes,
        offer.pays,
        offer.in_stock,
    )


def shown_fields(one: Ranked, names: Collection[str]) -> dict[str, Any]:
    """Of what the shop says of a product, what a query asks for, by the names under which it was sent; "*" is all."""
    said = {**one.about.said, **_columns(one.about.offer)}
    if one.hit.group_id:
        said["group_id"] = one.hit.group_id
    if "*" in names:
        return said
    wanted = {*names, *(facet_named(name) for name in names)}
    wanted |= {shown for name in names if (shown := _COLUMN_SHOWN.get(column_named(name), ""))}
    return {name: value for name, value in said.items() if name in wanted or facet_named(name) in wanted}


_COLUMN_SHOWN = {column: names[0] for column, names in COLUMNS.items()}


def _columns(offer: Offer) -> dict[str, Any]:
    given = {
        "price": offer.price,
        "sale_price": offer.sale_price,
        "currency": offer.currency or None,
        "in_stock": offer.in_stock,
        "sizes": list(offer.sizes) or None,
        "launched": offer.launched or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def total_of(answers: Iterable[Hits]) -> int:
    """Products that match, in all shards."""
    return sum(answer.total for answer in answers)


def counts_of(answers: Iterable[Hits]) -> dict[str, dict[str, int]]:
    """Facet → value → products in all shards, the most frequent first; one spelling a value, the first that came."""
    found: dict[str, dict[str, tuple[str, int]]] = {}
    for answer in answers:
        for name, values in answer.counts.items():
            known = found.setdefault(name, {})
            for value, count in values.items():
                spelt, before = known.get(value.casefold(), (value, 0))
                known[value.casefold()] = (spelt, before + count)
    return {name: dict(sorted(values.values(), key=lambda pair: (-pair[1], pair[0]))) for name, values in found.items()}


def ranges_of(answers: Iterable[Hits]) -> dict[str, tuple[float, float]]:
    """Number → the least and the most of all shards."""
    found: dict[str, tuple[float, float]] = {}
    for answer in answers:
        for name, (least, most) in answer.ranges.items():
            before = found.get(name, (least, most))
            found[name] = (min(before[0], least), max(before[1], most))
    return found


def unknown_facets(query: Query, shards: Sequence[Hits]) -> tuple[QueryError, ...]:
    """A warning for each facet that is filtered by or counted and that no product has: nothing is found, and a typing error
    would look alike.
    """
    if not shards:
        return ()
    unknown = set.intersection(*(set(shard.unknown_facets) for shard in shards))
    asked = [(name, f"filters.{name[:200]}") for name in sorted(query.filters)]
    asked += [(name, f"facets[{place}]") for place, name in enumerate(query.facets)]
    return tuple(
        QueryError(Code.UNKNOWN_NAME, f"no product has the facet {name[:200]!r}{_near(name)}", field)
        for name, field in asked
        if (column_named(name) or name) in unknown
    )


def _near(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), (*FACET_NAMES, *COLUMNS), n=1)
    return f"; is {near[0]!r} meant?" if near and near[0] != name.lower() else ""


def filters_of(query: Query) -> tuple[dict[str, tuple[str, ...]], tuple[Condition, ...]]:
    """The facets and the conditions that a query's filters are."""
    return parted(query.filters)


def good_of(probe: SearchProbe, answers: Mapping[int, Answer]) -> list[Hits]:
    """The answers that count: of searches without an error, by workers that follow the probe."""
    return [one for one in answers.values() if isinstance(one, Hits) and not one.error and follows(probe, one)]


Relative = Callable[[str], str]


def placed(
    one: Ranked, members: Sequence[Ranked], fields: Collection[str], relative: Relative, twins: Twins | None = None
) -> Hit:
    """A hit as it is published: with the shop's own id. `twins`: who shows the same photo, where that is told."""
    shop, product_id = split(one.hit.product_id)
    variants = variants_of(one.hit, members) if members and one.hit.group_id else ()
    image, photo = one.hit.image, one.hit.photo
    shown = relative(image)
    return replace(
        one.hit,
        product_id=product_id,
        shop=shop,
        image=shown,
        # A worker of an earlier version names no photo: it knows one a product.
        photo=shown if photo in ("", image) else relative(photo),
        variants=tuple(replace(v, image=relative(v.image)) for v in variants),
        fields=shown_fields(one, fields) if fields else {},
        meets=one.about.meets or UNSET,
        duplicates=UNSET if twins is None else tuple(split(key)[1] for key in twins.of(one.hit.product_id)) or UNSET,
    )
