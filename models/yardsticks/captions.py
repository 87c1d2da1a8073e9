"""What captions of real photos state, against the shop's own words: `weft eval captions`.

A facet of a product is *right* when the caption says one of the values that the shop's word allows (of a colour: the first
that it names), *stated* when it says any, and counted in *of* when the shop says it. A statement is *wrong* when none of the
shop's values allows it. A further colour of a patterned garment is not wrong where the first is right: shops name the ground.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from models.yardsticks.caption_reading import GarmentWord, Statement, read, wide_kind
from models.yardsticks.diversity import distinct
from models.yardsticks.intervals import Interval, of_mean, resampled
from models.yardsticks.photos import Photos, UnreadableInput
from models.yardsticks.shop_words import FACETS, SEEN_FACETS, further_colours, truth_of
from processors.errors import Poison
from processors.values import Garment, Vector, WriterKind
from processors.vocabulary import clean

COUNTED = (*FACETS, "kind")


class FacetScore(msgspec.Struct, frozen=True):
    """Products: `of` of which the shop says the facet, `stated` of these by the caption, `right` of these as the shop says.

    `wrong`: statements that the shop's word does not allow.
    """

    right: int
    stated: int
    of: int
    wrong: int


class CaptionScores(msgspec.Struct, frozen=True):
    """Figures of a set of captions; shares are 0..1.

    `coverage`: facets that a photo shows (category, colour, pattern, sleeve, neckline) and that are right, of those that the
    shop says. `coverage_of_all`: the same with fabric and audience. `nothing_found`: photos without any garment.
    `category_found`: photos in which a garment of the shop's category was found. `words`, `distinct2`: of the sentences.
    """

    coverage: float
    coverage_ci: Interval
    coverage_of_all: float
    wrong_per_caption: float
    wrong_ci: Interval
    nothing_found: float
    category_found: float
    words: float
    sentences: float
    distinct2: float
    template_share: float
    captions: int
    facets: dict[str, FacetScore]


class CaptionsReport(CaptionScores, frozen=True):
    """`weft eval captions --json`. The outer figures are of photos alone; `with_metadata`: of the same with the shop's words.

    `brands`: products judged of each. `without_photo`: products that the folder has no photo of; `not_comparable`: those whose
    type is none of Weft's categories (watches, ties).
    """

    with_metadata: CaptionScores | None
    brands: dict[str, int]
    without_photo: int
    not_comparable: int
    refused: tuple[UnreadableInput, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """One product to judge: its photo, what the shop says of it in our values, and its fields as they are."""

    product_id: str
    path: str
    brand: str
    truth: Mapping[str, frozenset[str]]
    further_colours: frozenset[str]
    fields: Mapping[str, str | float]


@dataclass(frozen=True, slots=True)
class Captioned:
    """A product with what Weft made of its photo.

    `of_pack`: the share of what the writer was shown that the caption states, None where there was nothing; `drafts_refused`: before
    it; `image`: the photo's unit vector.
    """

    product: Product
    garments: tuple[Garment, ...]
    width: int
    height: int
    caption: str
    hashtags: tuple[str, ...]
    writer: WriterKind
    of_pack: float | None = None
    drafts_refused: int = 0
    image: Vector | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One statement of a caption and whether the shop allows it; None: the shop says nothing of the facet."""

    statement: Statement
    right: bool | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A caption held against the shop's words. `right` and `stated`: facets."""

    captioned: Captioned
    verdicts: tuple[Verdict, ...]
    right: frozenset[str]
    stated: frozenset[str]

    @property
    def wrong(self) -> tuple[Verdict, ...]:
        """The statements that contradict the shop."""
        return tuple(verdict for verdict in self.verdicts if verdict.right is False)

    @property
    def known(self) -> tuple[str, ...]:
        """The facets that a photo shows and the shop says."""
        return tuple(facet for facet in SEEN_FACETS if facet in self.captioned.product.truth)

    @property
    def coverage(self) -> float:
        """Of this product; its category is always known."""
        return len(self.right.intersection(self.known)) / len(self.known)


def products_of(
    rows: Iterable[tuple[str, str, Mapping[str, str | float]]], photos: Photos
) -> tuple[list[Product], list[str], int]:
    """The products to judge, the ids without a photo, and how many are of a type that Weft has no category for.

    Args:
        rows: (id, name of the photo or "", fields) of each product.
        photos: where the photos are.
    """
    found, missing, beyond = [], [], 0
    for product_id, image, fields in rows:
        brand = next((str(v) for name, v in fields.items() if clean(name) in ("brand", "brandname", "vendor")), "")
        truth = truth_of(fields, brand)
        if "category" not in truth:
            beyond += 1
            continue
        path = photos.find(image or product_id)
        if path is None:
            missing.append(product_id)
        else:
            found.append(Product(product_id, path, brand, truth, further_colours(fields), fields))
    if not found and not missing and not beyond:
        raise Poison("nothing to judge: the table of products has no row that can be read")
    if not found:
        what = (
            f"for there is no photo, such as of {missing[0]!r}"
            if missing
            else "for none has a type that Weft has a category for"
        )
        raise Poison(f"{photos.root}: nothing to judge among {len(missing) + beyond} products, {what}")
    return found, missing, beyond


def spread(products: Sequence[Product], limit: int) -> list[Product]:
    """`limit` products (0: all), one brand after the other in the order of their hashes: the same on every machine."""
    if not limit or limit >= len(products):
        return list(products)
    by_brand: dict[str, list[Product]] = {}
    for product in sorted(products, key=lambda p: (_hash(p.product_id), p.product_id)):
        by_brand.setdefault(product.brand.strip().lower(), []).append(product)
    brands = sorted(by_brand, key=lambda brand: (_hash(brand), brand))
    rounds = max(len(some) for some in by_brand.values())
    dealt = [by_brand[brand][n] for n in range(rounds) for brand in brands if n < len(by_brand[brand])]
    return dealt[:limit]


def judge(captioned: Captioned) -> Judged:
    """Hold a caption's sentences against the shop's words."""
    product = captioned.product
    reading = read(captioned.caption)
    [category] = product.truth["category"]
    words = reading.of_product(category)
    verdicts = [verdict for word in words for verdict in _of_word(word, captioned)]
    said = [*(statement for word in words for statement in word.said), *reading.loose]
    verdicts += _of_statements(said, product)
    right, stated = set(), set()
    for verdict in verdicts:
        facet = verdict.statement.facet
        if not verdict.statement.denied and not (verdict.statement.implied and not verdict.right):
            stated.add(facet)
            right |= {facet} if verdict.right else set()
    if not _first_colour_right(said, product):
        right.discard("colour")
    return Judged(captioned, _unrepeated(verdicts), frozenset(right), frozenset(stated))


def _of_word(word: GarmentWord, captioned: Captioned) -> list[Verdict]:
    """Whether the garment word names the product's category, and its kind."""
    truth = captioned.product.truth
    right = word.category in truth["category"]
    found = [Verdict(Statement(word.start, word.end, "category", (word.category,)), right)]
    kinds = truth.get("kind", frozenset())
    wide = wide_kind(captioned.caption[word.start : word.end], word.category)
    if right and (word.kind or wide in kinds):
        kind = word.kind or wide
        found.append(Verdict(Statement(word.start, word.end, "kind", (kind,)), kind in kinds if kinds else None))
    return found


def _of_statements(said: Sequence[Statement], product: Product) -> list[Verdict]:
    verdicts = []
    colours = [s for s in said if s.facet == "colour" and not s.denied]
    ground_right = bool(colours) and _allowed(colours[0], product)
    patterned = not product.truth.get("pattern", frozenset({"solid"})) & {"solid"}
    for statement in said:
        allowed = _allowed(statement, product)
        if allowed is not None and statement.denied:
            allowed = None if not allowed else False
        elif allowed is False and (statement.implied or (statement in colours[1:] and ground_right and patterned)):
            allowed = None
        verdicts.append(Verdict(statement, allowed))
    return verdicts


def _allowed(statement: Statement, product: Product) -> bool | None:
    known = product.truth.get(statement.facet)
    if known is None:
        return None
    if statement.facet == "colour":
        # The first value is what was said, the others are shades of it. "Blue" of a navy garment: `colour_names.COARSE`.
        return statement.values[0] in known | product.further_colours
    return bool(known.intersection(statement.values))


def _first_colour_right(said: Sequence[Statement], product: Product) -> bool:
    first = next((s for s in said if s.facet == "colour" and not s.denied), None)
    return first is not None and first.values[0] in product.truth.get("colour", ())


def _unrepeated(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """What is said twice is one claim; the garment's word is repeated in every sentence."""
    kept: dict[tuple[str, tuple[str, ...]], Verdict] = {}
    for verdict in sorted(verdicts, key=lambda v: v.statement.start):
        kept.setdefault((verdict.statement.facet, verdict.statement.values), verdict)
    return tuple(kept.values())


def report(
    alone: Sequence[Judged],
    with_metadata: Sequence[Judged] | None,
    without_photo: int,
    not_comparable: int,
    refused: Sequence[UnreadableInput],
) -> CaptionsReport:
    """Count. Raises `Poison` when no photo could be captioned."""
    if not alone:
        raise Poison(f"none of {len(refused)} photos could be captioned")
    brands = Counter(one.captioned.product.brand or "none" for one in alone)
    return CaptionsReport(
        **msgspec.structs.asdict(score(alone)),
        with_metadata=None if with_metadata is None else score(with_metadata),
        brands=dict(sorted(brands.items())),
        without_photo=without_photo,
        not_comparable=not_comparable,
        refused=tuple(refused),
    )


def score(judged: Sequence[Judged]) -> CaptionScores:
    """The figures of at least one caption."""
    wrong = [float(len(one.wrong)) for one in judged]
    right = np.array([len(one.right.intersection(one.known)) for one in judged], np.float64)
    known = np.array([len(one.known) for one in judged], np.float64)
    facets = {facet: _facet_score(facet, judged) for facet in COUNTED}
    every = [facets[facet] for facet in FACETS]
    texts = [one.captioned.caption for one in judged]
    return CaptionScores(
        coverage=float(right.sum() / known.sum()),
        coverage_ci=resampled(len(judged), lambda counts: float(right @ counts / (known @ counts))),
        coverage_of_all=sum(one.right for one in every) / sum(one.of for one in every),
        wrong_per_caption=_mean(wrong),
        wrong_ci=of_mean(wrong),
        nothing_found=_mean([float(not one.captioned.garments) for one in judged]),
        category_found=_mean([float(_category_found(one.captioned)) for one in judged]),
        words=_mean([float(len(text.split())) for text in texts]),
        sentences=_mean([float(sum(text.count(mark) for mark in ".!?")) for text in texts]),
        distinct2=distinct(texts),
        template_share=_mean([float(one.captioned.writer == "template") for one in judged]),
        captions=len(judged),
        facets=facets,
    )


def _category_found(captioned: Captioned) -> bool:
    return any(garment.category in captioned.product.truth["category"] for garment in captioned.garments)


def _facet_score(facet: str, judged: Sequence[Judged]) -> FacetScore:
    told = [one for one in judged if facet in one.captioned.product.truth]
    return FacetScore(
        right=sum(facet in one.right for one in told),
        stated=sum(facet in one.stated for one in told),
        of=len(told),
        wrong=sum(verdict.statement.facet == facet for one in judged for verdict in one.wrong),
    )


def _hash(text: str) -> int:
    return zlib.crc32(text.strip().lower().encode())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
