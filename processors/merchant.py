"""What a shop says of the garment it sells, beside what its photo shows: the shop's word wins, and a difference is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from processors.attributes import attributes_of
from processors.garments import is_of_kind, main_garment
from processors.kinds import KINDS, kind_label, one_of, says_more
from processors.values import Attribute, Garment, Metadata
from processors.vocabulary import clean

COMPARED = ("kind", "pattern", "sleeve", "neckline", "length")
"""Colour is none of them: "steel" and "grey" are no conflict."""
KIND_NAMES = ("kind", "article type", "articletype", "product type", "producttype")
"""The names, cleaned, under which shops send the kind of a product, beside its category."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The shop says `merchant` of a facet, and the photo shows `pixels` with that confidence."""

    garment: str
    facet: str
    merchant: str
    pixels: str
    confidence: float


def told_facets(metadata: Metadata, seen: str = "") -> dict[str, Attribute]:
    """Facet → what the shop says of its product, its kind among them. `seen`: see `told_kind`."""
    told, kind = attributes_of(metadata), told_kind(metadata, seen)
    return {**told, "kind": Attribute(kind, 1.0)} if kind else told


def told_kind(metadata: Metadata, seen: str = "") -> str:
    """The kind that the shop says; its category where that names one ("Apparel" does not), or "".

    `seen`: what models call the garment that it sells. A category ("Tops") of which that is a kind ("kurta") does not replace it.
    """
    given = next((value for name, value in metadata.facets.items() if value and clean(name) in KIND_NAMES), "")
    if given:
        return kind_label(given)
    nodes = [*reversed(metadata.category.split(">")), *reversed(metadata.category_path)]
    kind = next((kind for node in nodes if (kind := kind_label(node)) in KINDS), "")
    return "" if says_more(seen, kind) else kind


def seen_kind(garment: Garment | None) -> str:
    """What models call a garment beyond its category, or ""."""
    kind = None if garment is None else garment.attributes.get("kind")
    return "" if kind is None else kind.value


def conflicts(garments: Sequence[Garment], metadata: Metadata, sold: Garment | None = None) -> tuple[Difference, ...]:
    """Where the photo of the garment that the shop sells (`sold`, else `main_garment`) shows something else than the shop says."""
    main = sold or main_garment(garments, metadata.category)
    if main is None or not is_of_kind(main, metadata.category):
        return ()
    shown = {facet: seen for facet in COMPARED if (seen := main.attributes.get(facet)) is not None}
    told = told_facets(metadata, seen_kind(main)) if shown else {}
    return tuple(
        Difference(main.id, facet, told[facet].value, seen.value, seen.confidence)
        for facet, seen in shown.items()
        if facet in told and not _agree(facet, told[facet], seen)
    )


def _agree(facet: str, told: Attribute, seen: Attribute) -> bool:
    """Equal, or of a kind: one is wider than the other ("top" and "t-shirt" name the same garment)."""
    if facet != "kind":
        return told.value == seen.value
    return one_of(told.value) == one_of(seen.value) or "top" in {told.value, seen.value}
