"""Facets from the pixels: small heads over what the encoder's pass leaves behind, and when a value is sure enough to state.

A head is fitted elsewhere (`models.facets.facet_fit`); here it only reads. Below its value's threshold a facet is unknown, and so is
one of a garment of which the value was never said (sleeves of a shoe).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from processors.errors import Fatal
from processors.garments import kind_of
from processors.kinds import claims_of
from processors.values import CATEGORIES, Attribute, Vector
from processors.weighed import LOOK, Weighed

COLOUR = "colour"
FACETS: tuple[str, ...] = ("kind", "pattern", "sleeve", "neckline", "length", COLOUR)
"""What heads may tell. `colour` is a shop's own word, read from the garment's own pixels (`processors.colour_shares`)."""
BORROWED = ("pattern", "neckline")
"""What the heads that ship tell where those that a shop fitted are silent. Of sleeves they are wrong of too many such garments."""
POSSIBLE = 0.45
"""What a shop's heads must give a value that others tell."""
NEVER = 2.0
"""The threshold of a value that is never stated: it was not right often enough."""
Chances: TypeAlias = Mapping[str, Mapping[str, float]]
"""Facet → value → probability."""
NOTHING_KNOWN: Chances = {}
NOTHING_SEEN: Mapping[str, float] = {}
TOP, RECONSIDERED = "shirt", ("dress", "jacket", "skirt")
"""The category of tops, and those that a box of one is most often taken for."""
TOP_LIKELY = 0.4
"""What a top's kinds must have together. Of 261 catalogue photos (evaluation data) whose main garment was boxed as a dress, a jacket or a
skirt 168 are of tops: 73 of them become tops by this, and 3 of the 84 that were boxed rightly; from .5 on 51 and 2."""
SHIPPED_TOP_LIKELY: Mapping[str, float] = {"jacket": 0.12}
"""The same under the heads that ship, which are too sure of jackets. Of 39 small photos (four folds of five by brand) that still were jackets 24 are of tops, most of them kurtas and blouses:
17 of those are told by this, and 2 of the 15 jackets."""
_TOPS = frozenset({"long-sleeved top", "tank top", "cardigan"})
"""Kinds of tops that no list of categories has."""
PIXELS, MERCHANT, NEIGHBOURS = "pixels", "merchant", "neighbours"
"""Who decided an attribute (`processors.values.Attribute.source`)."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What several heads read instead of the features: (hidden,) numbers of a garment, from what the pass left behind and from its colours.

    Args:
        weight: (hidden, numbers + colours) float32, on both as they come.
        bias: (hidden,) float32.
        shares: (colours,): of a garment that has no pixels of its own; empty: the layer looks at no colours.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    shares: Vector

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1] or self.shares.ndim != 1:
            raise Fatal(f"a layer has {self.weight.shape} weights and {self.bias.shape} biases")

    def __call__(self, features: Vector, shares: Vector | None) -> Vector:
        """SiLU (arXiv 1702.03118) of one product."""
        colours = self.shares if shares is None or not len(self.shares) else shares
        sums = self.weight @ np.concatenate([features, colours]) + self.bias
        return np.asarray(sums / (1 + np.exp(-np.clip(sums, -60, 60))), np.float32)


@dataclass(frozen=True, slots=True)
class Line:
    """From where a value is stated of some garments, in place of its threshold: what is seldom printed is printed for better reasons.

    Args:
        value: of the head.
        threshold: the probability from which it is stated.
        categories: of garments of these; () is any.
        beside: another head, or the same; "" asks none.
        values: of `beside`.
        at_most: only where those have no more than this together.
    """

    value: str
    threshold: float
    categories: tuple[str, ...] = ()
    beside: str = ""
    values: tuple[str, ...] = ()
    at_most: float = 1.0

    def holds(self, chance: float, category: str, known: Chances) -> bool:
        """Whether the value is stated by this line. `known`: facet → value → probability; of a head that is not there nothing is known, and nothing held against it."""
        told = known.get(self.beside, {})
        return (
            chance >= self.threshold
            and (not self.categories or category in self.categories)
            and sum(told.get(value, 0.0) for value in self.values) <= self.at_most
        )


@dataclass(frozen=True, slots=True)
class Head:
    """One facet.

    Args:
        values: what it may say.
        weight: (values, numbers) float32, on features as they come, on the colour shares, or on the numbers of a layer.
        bias: (values,) float32.
        thresholds: for each value the probability from which it is stated; `NEVER` is never.
        categories: for each value the categories of garments of which it may be said; () is any.
        covers: for each value the narrower ones of which it is true as well ("printed" of a floral); () is none of any.
        layered: it reads the layer of its version; one of colour words reads the colour shares behind it as well.
        lines: where a value has some, it is stated by these and not by its threshold.
        weighed: a value that is among these is stated by it alone, where no other is stated.
    """

    values: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    thresholds: tuple[float, ...]
    categories: tuple[tuple[str, ...], ...]
    covers: tuple[tuple[str, ...], ...] = ()
    layered: bool = False
    lines: tuple[Line, ...] = ()
    weighed: tuple[Weighed, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.values)
        if self.weight.ndim != 2 or self.weight.shape[0] != count or self.bias.shape != (count,):
            raise Fatal(f"a head has {self.weight.shape} weights and {self.bias.shape} biases for {count} values")
        if not count or {len(self.thresholds), len(self.categories), len(set(self.values))} != {count}:
            raise Fatal(f"a head of {count} values has {len(self.thresholds)} thresholds, or says a value twice")
        if self.covers and (
            len(self.covers) != count or not {v for some in self.covers for v in some} <= set(self.values)
        ):
            raise Fatal(f"a head of {count} values covers {self.covers}")
        stated = {line.value for line in self.lines} | {one.value for one in self.weighed}
        if unknown := stated - set(self.values):
            raise Fatal(f"a head of {self.values} has lines of {sorted(unknown)}")

    def probabilities(self, features: Vector) -> NDArray[np.float32]:
        """(values,), which sum to 1, of features (numbers,)."""
        scores = self.weight @ features + self.bias
        powers = np.exp(scores - scores.max())
        return np.asarray(powers / powers.sum(), np.float32)

    def widened(self, chances: NDArray[np.float32]) -> NDArray[np.float32]:
        """(values,): how likely it is that each is true, the narrower ones that it covers among it; these may sum to more than 1."""
        wide = chances.copy()
        for number, narrower in enumerate(self.covers):
            wide[number] += sum(float(chances[self.values.index(value)]) for value in narrower)
        return wide

    def read(self, features: Vector, category: str) -> Attribute | None:
        """The likeliest value where it is sure enough and suits the category, with the next one; None: unknown."""
        return self.told(self.probabilities(features), category)

    def told(self, chances: NDArray[np.float32], category: str, known: Chances = NOTHING_KNOWN) -> Attribute | None:
        """The same of `probabilities`. Where no narrow value is sure enough alone, the one that covers them may be. `known`: see `Line` and `Weighed`."""
        found = self._likeliest(chances, category, known)
        return self._weighed(chances, category, known) if found is None and self.weighed else found

    def _weighed(self, chances: NDArray[np.float32], category: str, known: Chances) -> Attribute | None:
        likely: list[tuple[float, str]] = []
        for one in self.weighed:
            allowed = self.categories[self.values.index(one.value)]
            chance = one.chance(category, known) if not allowed or category in allowed else None
            if chance is not None and chance >= one.threshold:
                likely.append((chance, one.value))
        if not likely:
            return None
        chance, value = max(likely)
        others = (self.values[int(n)] for n in np.argsort(-chances, kind="stable"))
        return Attribute(value, round(chance, 4), source=PIXELS, second=next(o for o in (*others, "") if o != value))

    def _likeliest(self, chances: NDArray[np.float32], category: str, known: Chances) -> Attribute | None:
        wide = self.widened(chances)
        order = np.argsort(-wide, kind="stable")
        first = int(order[0])
        within = self.covers[first] if self.covers else ()
        narrow = max((self.values.index(value) for value in within), key=lambda n: chances[n], default=first)
        if chances[narrow] > chances[first] and self._enough(narrow, float(chances[narrow]), category, known):
            first, wide = narrow, chances
        allowed = self.categories[first]
        if not self._enough(first, float(wide[first]), category, known) or (allowed and category not in allowed):
            return None
        others = (self.values[int(n)] for n in order if n != first and self.values[int(n)] not in within)
        return Attribute(
            self.values[first], round(min(1.0, float(wide[first])), 4), source=PIXELS, second=next(others, "")
        )

    def _enough(self, number: int, chance: float, category: str, known: Chances) -> bool:
        if any(one.value == self.values[number] for one in self.weighed):
            return False
        mine = [line for line in self.lines if line.value == self.values[number]]
        if mine:
            return any(line.holds(chance, category, known) for line in mine)
        return chance >= self.thresholds[number]


@dataclass(frozen=True, slots=True)
class Heads:
    """One version of all heads, fitted on features of one maker (`models.ports.ImageEncoder.features_maker`).

    Args:
        version: names it in the lineage of an item: "sha256:…" over its bytes.
        maker: whose features they read.
        heads: facet → its head.
        layer: what layered heads read.
        under: those that tell `BORROWED` facets of which these say nothing; None: nobody does.
    """

    version: str
    maker: str
    heads: Mapping[str, Head]
    layer: Layer | None = None
    under: Heads | None = None

    def __post_init__(self) -> None:
        for facet, head in self.heads.items():
            if not head.layered:
                continue
            width = (
                0 if self.layer is None else len(self.layer.bias) + (len(self.layer.shares) if facet == COLOUR else 0)
            )
            if head.weight.shape[1] != width:
                raise Fatal(f"the head of {facet} does not fit the layer that it reads")

    def probabilities(self, features: Vector, shares: Vector | None) -> dict[str, NDArray[np.float32]]:
        """Of each facet that can be read of this garment, (values,), which sum to 1. Arguments as for `read`."""
        hidden = None if self.layer is None else self.layer(features, shares)
        found = {}
        for facet, head in self.heads.items():
            if facet == COLOUR and shares is None:
                continue
            given = shares if facet == COLOUR else features
            if head.layered and hidden is not None:
                given = hidden if facet != COLOUR or shares is None else np.concatenate([hidden, shares])
            if given is not None:
                found[facet] = head.probabilities(given)
        return found

    def kinds(self, features: Vector, shares: Vector | None) -> dict[str, float]:
        """How likely each kind is; empty where no head tells kinds."""
        head = self.heads.get("kind")
        if head is None:
            return {}
        given = features if self.layer is None or not head.layered else self.layer(features, shares)
        return dict(zip(head.values, head.probabilities(given).tolist(), strict=True))

    def read(
        self, features: Vector, shares: Vector | None, category: str, look: Mapping[str, float] = NOTHING_SEEN
    ) -> dict[str, Attribute]:
        """What is sure enough of one garment.

        Args:
            features: of the encoder's pass (`of_garment`).
            shares: of the garment's own pixels (`processors.colour_shares`); None where it has none.
            category: the detector's class.
            look: what its own pixels say (`processors.colour_shares.look_of`).
        """
        found: dict[str, Attribute] = {}
        probable = self.probabilities(features, shares)
        known = self._known(probable, look)
        for facet, chances in probable.items():
            # The category is settled before (`processors.second_look`).
            attribute = self.heads[facet].told(chances, category, known) if facet in FACETS else None
            if attribute is not None:
                found[facet] = attribute
        if self.under is not None and not set(BORROWED) <= set(found):
            lent = self.under.read(features, shares, category, look)
            for facet in BORROWED:
                if facet not in found and facet in lent and self._allows(facet, lent[facet].value, probable):
                    found[facet] = lent[facet]
        return found

    def _known(self, probable: Mapping[str, NDArray[np.float32]], look: Mapping[str, float]) -> Chances:
        """What lines and weighed values ask."""
        asked = {line.beside for head in self.heads.values() for line in head.lines}
        asked |= {term.facet for head in self.heads.values() for one in head.weighed for term in one.terms}
        known: dict[str, Mapping[str, float]] = {
            facet: dict(zip(self.heads[facet].values, probable[facet].tolist(), strict=True))
            for facet in asked
            if facet in probable
        }
        return {**known, LOOK: look}

    def _allows(self, facet: str, value: str, probable: Mapping[str, NDArray[np.float32]]) -> bool:
        """Whether these heads hold for possible what others say; what they do not know they do not deny."""
        head = self.heads.get(facet)
        if head is None or value not in head.values:
            return True
        return float(probable[facet][head.values.index(value)]) >= POSSIBLE


def category_of(category: str, read: Mapping[str, Attribute]) -> str:
    """The category of a garment whose facets were read: a kind that is sure enough to be stated says it, where the box says otherwise.

    A long tunic is boxed as a dress; a shop that calls it a kurta calls it a top.
    """
    kind = read.get("kind")
    if kind is None:
        return category
    named = [value for facet, values in claims_of(kind.value) if facet == "category" for value in values]
    ours = [value for value in named if value in CATEGORIES]
    return ours[0] if ours and category in CATEGORIES and category not in ours else category


def reconsidered(category: str, kinds: Mapping[str, float], *, shipped: bool = False) -> str:
    """The category of the garment that a photo with a plain ground is of: a top, where that is what its kinds say and its box says otherwise.

    A long top fills the photo as a dress does, an open shirt looks like a jacket; kinds, which were taught with packshots, know more of it.

    Args:
        category: of its box.
        kinds: how likely each is.
        shipped: by the heads that ship, not by those of a shop.
    """
    needed = SHIPPED_TOP_LIKELY.get(category, TOP_LIKELY) if shipped else TOP_LIKELY
    if category not in RECONSIDERED or sum(p for kind, p in kinds.items() if _is_top(kind)) <= needed:
        return category
    return TOP


@cache
def _is_top(kind: str) -> bool:
    return kind in _TOPS or kind_of(kind) == TOP


def of_garment(crop: Vector, whole: Vector, *, main: bool) -> Vector:
    """The features of a garment: of its crop; of the photo's main garment the mean with the whole photo's.

    A crop loses the hem and the shoulders that a whole photo shows; of a garment worn beside the main one the whole photo
    tells nothing.
    """
    return np.asarray((crop + whole) / 2 if main else crop, np.float32)
