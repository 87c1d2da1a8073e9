"""Several photos of one product → one evidence pack: the garment that is sold is the one that the photos agree on.

Details and swatches show no garment. What photos show differently is settled by votes, then by confidence, and told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from processors.crops import MAX_GARMENTS
from processors.evidence import SURELY_BESIDE
from processors.garments import area, kind_of, main_garment
from processors.photo_roles import MAIN, NO_GARMENT, PACKSHOT
from processors.values import Colour, Garment

CATEGORY, COLOUR = "category", "colour"


@dataclass(frozen=True, slots=True)
class Shot:
    """One photo as the models saw it by itself; its garments' ids are of this photo."""

    address: str
    role: str
    width: int
    height: int
    garments: tuple[Garment, ...]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A garment of the pack in one photo. `garment`: as it was seen there."""

    photo: int
    garment: Garment


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one photo says of a facet."""

    photo: int
    value: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Dispute:
    """A facet that photos show differently, and the value that counts."""

    garment: str
    facet: str
    value: str
    ballots: tuple[Ballot, ...]


@dataclass(frozen=True, slots=True)
class Agreed:
    """The pack. `main`: the photo that stands for the product; `sold`: id of the garment that is sold, or "".

    `sightings`: of each garment, the one whose box it has first.
    """

    main: int
    sold: str
    garments: tuple[Garment, ...]
    sightings: tuple[tuple[Sighting, ...], ...]
    disputes: tuple[Dispute, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    garment: Garment
    sightings: tuple[Sighting, ...]
    disputes: tuple[Dispute, ...] = ()
    sold: bool = False


def main_photo(roles: Sequence[str]) -> int:
    """The photo that stands for the product: the one that is called main, else the first that shows a garment."""
    if MAIN in roles:
        return roles.index(MAIN)
    return next((number for number, role in enumerate(roles) if role not in NO_GARMENT), 0)


def agree(shots: Sequence[Shot], stated: str = "") -> Agreed:
    """One pack of all photos (at least one).

    Args:
        shots: in the order of the shop.
        stated: the shop's category; what it names is sold wherever a photo shows it.
    """
    main = main_photo([shot.role for shot in shots])
    voters = {number: shot for number, shot in enumerate(shots) if shot.role not in NO_GARMENT}
    category = _sold_category(voters, stated)
    if not category:
        return Agreed(main, "", (), (), ())
    sold = _sold(voters, main, category)
    found = [sold, *_others(voters, main, category, sold)][:MAX_GARMENTS]
    return _named(found, shots, main)


# ---------------------------------------------------------------- what is sold


def _sold_category(voters: dict[int, Shot], stated: str) -> str:
    seen = {garment.category for shot in voters.values() for garment in shot.garments}
    named = seen & {stated, kind_of(stated)} if stated else set()
    return max(sorted(named or seen), key=lambda category: _votes(voters.values(), category), default="")


def _votes(shots: Iterable[Shot], category: str) -> tuple[int, int, float, float]:
    """Photos that surely show it, those of them in which it is the largest, how sure they are, how much of them it fills.

    A packshot shows what is sold and nothing else: its largest garment has two votes.
    """
    photos, largest, confidence, filled = 0, 0, 0.0, 0.0
    for shot in shots:
        own = [garment for garment in shot.garments if garment.category == category]
        main = main_garment(shot.garments)
        if not own or main is None:
            continue
        surest = max(garment.confidence for garment in own)
        is_largest = main.category == category
        photos += int(is_largest or surest >= SURELY_BESIDE) + int(is_largest and shot.role == PACKSHOT)
        largest += int(is_largest)
        confidence += surest
        filled += max(area(garment.box) for garment in own) / (shot.width * shot.height)
    return photos, largest, confidence, filled


def _sold(voters: dict[int, Shot], main: int, category: str) -> _Found:
    sightings = _sightings(voters, main, category)
    first = sightings[0].garment
    disputes = []
    kinds = [_kind_seen(number, shot, category) for number, shot in voters.items()]
    kind = _settled(CATEGORY, [ballot for ballot in kinds if ballot is not None], lambda _: category)
    if kind is not None:
        disputes.append(kind)
    colours, colour = _colours(sightings)
    disputes += [colour] if colour is not None else []
    attributes = {}
    for facet in sorted({facet for sighting in sightings for facet in sighting.garment.attributes}):
        told = [(s.photo, s.garment.attributes[facet]) for s in sightings if facet in s.garment.attributes]
        ballots = [Ballot(photo, attribute.value, attribute.confidence) for photo, attribute in told]
        value = _winner(ballots)
        attributes[facet] = max((a for _, a in told if a.value == value), key=lambda a: a.confidence)
        dispute = _settled(facet, ballots, _winner)
        disputes += [dispute] if dispute is not None else []
    confidence = max(sighting.garment.confidence for sighting in sightings)
    garment = msgspec.structs.replace(first, confidence=confidence, colours=colours, attributes=attributes)
    return _Found(garment, tuple(sightings), tuple(disputes), sold=True)


def _sightings(voters: dict[int, Shot], main: int, category: str) -> list[Sighting]:
    """The largest garment of the category in each photo; that of the main photo first, then the surest."""
    found = []
    for number, shot in voters.items():
        own = main_garment([garment for garment in shot.garments if garment.category == category])
        if own is not None:
            found.append(Sighting(number, own))
    return sorted(found, key=lambda sighting: (sighting.photo != main, -sighting.garment.confidence, sighting.photo))


def _kind_seen(number: int, shot: Shot, category: str) -> Ballot | None:
    """The category that a photo speaks for: the sold one where it shows it, else that of its largest garment."""
    own = [garment for garment in shot.garments if garment.category == category]
    best = max(own, key=lambda garment: garment.confidence, default=None) or main_garment(shot.garments)
    return None if best is None else Ballot(number, best.category, best.confidence)


def _colours(sightings: Sequence[Sighting]) -> tuple[tuple[Colour, ...], Dispute | None]:
    told = [sighting for sighting in sightings if sighting.garment.colours]
    if not told:
        return (), None
    ballots = [
        Ballot(s.photo, s.garment.colours[0].name, round(s.garment.confidence * s.garment.colours[0].share, 4))
        for s in told
    ]
    name = _winner(ballots)
    colours = next(s.garment.colours for s in told if s.garment.colours[0].name == name)
    return colours, _settled(COLOUR, ballots, _winner)


def _winner(ballots: Sequence[Ballot]) -> str:
    """The value with the most votes; of as many, the surer; of equals, that of the earlier ballot."""
    votes: dict[str, tuple[int, float]] = {}
    for ballot in ballots:
        count, confidence = votes.get(ballot.value, (0, 0.0))
        votes[ballot.value] = (count + 1, round(confidence + ballot.confidence, 4))
    return max(votes, key=lambda value: votes[value])


def _settled(facet: str, ballots: Sequence[Ballot], winner: Callable[[Sequence[Ballot]], str]) -> Dispute | None:
    if len({ballot.value for ballot in ballots}) < 2:
        return None
    return Dispute("", facet, winner(ballots), tuple(sorted(ballots, key=lambda ballot: ballot.photo)))


# ---------------------------------------------------------------- what it is worn with


def _others(voters: dict[int, Shot], main: int, category: str, sold: _Found) -> list[_Found]:
    """Further garments, the surest first: those that at least half of the photos show, packshots apart."""
    worn = {number: shot for number, shot in voters.items() if shot.role != PACKSHOT} or voters
    found = []
    first = sold.sightings[0]
    beside = [g for g in voters[first.photo].garments if g.category == category and g is not first.garment]
    found += [_Found(garment, (Sighting(first.photo, garment),)) for garment in beside]
    for kind in sorted({garment.category for shot in worn.values() for garment in shot.garments} - {category}):
        sightings = _sightings(worn, main, kind)
        if 2 * len(sightings) < len(worn):
            continue
        best = sightings[0]
        found.append(_Found(best.garment, tuple(sightings)))
        more = [g for g in worn[best.photo].garments if g.category == kind and g is not best.garment]
        found += [_Found(garment, (Sighting(best.photo, garment),)) for garment in more]
    return sorted(found, key=lambda one: (-one.garment.confidence, one.garment.category, one.garment.box))


def _named(found: Sequence[_Found], shots: Sequence[Shot], main: int) -> Agreed:
    """With ids in descending confidence, as `processors.evidence.build` gives them."""
    ranked = sorted(found, key=lambda one: (-one.garment.confidence, one.garment.category, one.garment.box))
    garments: list[Garment] = []
    disputes: list[Dispute] = []
    sold = ""
    for number, one in enumerate(ranked):
        name, photo = f"g{number}", one.sightings[0].photo
        elsewhere = msgspec.UNSET if photo == main else shots[photo].address
        garments.append(msgspec.structs.replace(one.garment, id=name, photo=elsewhere))
        disputes += [Dispute(name, dispute.facet, dispute.value, dispute.ballots) for dispute in one.disputes]
        sold = name if one.sold else sold
    return Agreed(main, sold, tuple(garments), tuple(one.sightings for one in ranked), tuple(disputes))
