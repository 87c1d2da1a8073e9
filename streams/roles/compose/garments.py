"""Of the garments of a shopper's photo: which one the words are about, and the hits of all of them in one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from processors.asked_garments import SURE
from processors.garments import main_garment
from processors.ordering import Order
from processors.values import Garment
from processors.vocabulary import base_forms, clean
from streams.contract.probes import Answer, SearchProbe
from streams.roles.compose import probes
from streams.roles.compose.asked import Embedded
from streams.roles.compose.shown import Worn
from streams.search import merging
from streams.search.twins import Twins

MAX_HITS = 50
"""Of one garment: six of them stand in one result."""
_LONGEST = 3
"""Words of a garment's name."""


@dataclass(frozen=True, slots=True)
class OfGarment:
    """A garment of the photo with its own hits; `whole`: every shard answered for it."""

    garment: Garment
    hits: tuple[merging.Ranked, ...]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class FoundGarments:
    """What was found for a photo: by garment; and in one list, where the words are about none of them."""

    garments: tuple[OfGarment, ...] = ()
    merged: tuple[merging.Ranked, ...] | None = None


def lead_of(worn: Sequence[Worn], turns: Sequence[str]) -> Worn | None:
    """The garment that the words are about: the first that the latest turn names and the photo shows, else the turn before, else the main one."""
    for categories in (one for text in reversed(turns) for one in named(text)):
        for one in worn:
            if one.garment.category in categories:
                return one
    surely = [one.garment for one in worn if one.garment.confidence >= SURE]
    main = main_garment(surely or [one.garment for one in worn])
    return next((one for one in worn if one.garment is main), None)


def found(
    embedded: Embedded, probe: SearchProbe, answers: Mapping[int, Answer], others: Mapping[str, Mapping[int, Answer]]
) -> FoundGarments:
    """The hits of each garment.

    Args:
        embedded: the query.
        probe: what was asked for the garment that the words are about, or for the whole photo.
        answers: to it.
        others: garment → the answers to what was asked for it.
    """
    page = embedded.prepared.asked.page
    listed = [
        _of(one.garment, probe, answers if one.garment.id == embedded.lead else others.get(one.garment.id, {}), page)
        for one in embedded.worn
    ]
    if (
        embedded.texts
        or embedded.composed
        or probe.blocks
        or not listed
        or (len(listed) == 1 and embedded.whole is None)
    ):
        return FoundGarments(tuple(listed))
    lists = [one.hits for one in listed]
    whole = _hits(probe, others.get(probes.WHOLE, {}), page)
    if len(listed) == 1:
        merged = page.of([*lists[0], *whole])
    else:
        # A whole photo that is nearer to one of the shop's than any of its garments is that photo.
        best = max((hits[0].hit.score for hits in lists if hits), default=-1.0)
        known = [whole] if whole and whole[0].hit.score >= best else []
        merged = in_turn([*lists, *known], page.depth, page.order, collapse=page.collapse, twins=page.twins)
    return FoundGarments(tuple(listed), tuple(merged))


def in_turn(
    lists: Sequence[Sequence[merging.Ranked]], k: int, order: Order, *, collapse: bool, twins: Twins | None = None
) -> list[merging.Ranked]:
    """The lists of several garments as one: the best of each, then the second of each; the surest list first.

    Scores of two garments do not compare (every shoe is like every other): by score alone the ten first may all be shoes. What is
    sorted by price or day is sorted over all lists.
    """
    if order.sort:
        return merging.in_order((one for hits in lists for one in hits), k, order, collapse=collapse, twins=twins)
    ranked = sorted((hits for hits in lists if hits), key=lambda hits: (-hits[0].hit.score, hits[0].hit.product_id))
    taken: set[tuple[str, str]] = set()
    chosen: list[merging.Ranked] = []
    for place in range(max((len(hits) for hits in ranked), default=0)):
        for hits in ranked:
            one = hits[place] if place < len(hits) else None
            if one is None or len(chosen) >= k:
                continue
            group = one.hit.group_id if collapse else ""
            mark = ("group", group) if group else ("product", one.hit.product_id)
            if mark not in taken and ("product", one.hit.product_id) not in taken:
                taken.add(mark)
                taken.update(("product", key) for key in (() if twins is None else twins.of(one.hit.product_id)))
                chosen.append(one)
    return chosen


def _of(garment: Garment, probe: SearchProbe, answers: Mapping[int, Answer], page: merging.Page) -> OfGarment:
    good, hits = merging.good_of(probe, answers), _hits(probe, answers, page)
    whole = bool(good) and len(good) >= good[0].of and all(shard.fresh for shard in good)
    return OfGarment(garment, hits, whole)


def _hits(probe: SearchProbe, answers: Mapping[int, Answer], page: merging.Page) -> tuple[merging.Ranked, ...]:
    found = merging.ranked(merging.good_of(probe, answers), probe.shop)
    return tuple(page.of(found))


def named(text: str) -> list[tuple[str, ...]]:
    """The categories that each garment's name in a text stands for, in its order; of two names at one place the longer."""
    words, forms = clean(text).split(), base_forms()
    found, at = [], 0
    while at < len(words):
        for length in range(_LONGEST, 0, -1):
            claims = forms.get(" ".join(words[at : at + length]), ()) if at + length <= len(words) else ()
            values = [value for facet, names in claims if facet == "category" for value in names]
            if values:
                found.append(tuple(values))
                at += length - 1
                break
        at += 1
    return found
