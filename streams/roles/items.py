"""What the models made of photos, and what is said of a product → its item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from models.ports import Detector, ImageEncoder
from processors import agreement, chances, merchant
from processors.agreement import Agreed, Shot
from processors.chances import Packed
from processors.identity import split
from processors.photo_roles import NO_GARMENT
from processors.product import PhotoPlace
from processors.values import Garment, Metadata
from streams.contract.records import Conflict, Disagreement, Item, ItemPhoto, Source, View, Vote
from streams.contract.version import VERSION
from streams.roles.memo import Memo, content_hash
from streams.roles.sold import sold_garment

WHOLE = "whole"


class PhotoContent(msgspec.Struct, frozen=True, gc=False):
    """All that the models made of one photo, whatever product it is of, and whichever of its photos: what is remembered."""

    width: int
    height: int
    garments: tuple[Garment, ...]
    views: tuple[View, ...]
    facets: str = ""
    chances: dict[str, Packed] = {}
    """Garment → what it probably is (`processors.chances`)."""
    # Who thought it: a replay by a later version publishes the bytes of the first.
    version: str = VERSION


def memo_key(digest: str, version: str) -> str:
    """What is known of a photo under one version of facet heads; other heads say other things of it."""
    return content_hash(digest.encode(), version.encode()) if version else digest


@dataclass(frozen=True, slots=True)
class Items:
    """Makes items.

    Args:
        memo: of the role: what was seen of photos.
        detector: names itself.
        encoder: names itself.
        conflicted: told the facet of each conflict between a shop's word and its photo.
        profile: whose models they are; "" for the starter's.
    """

    memo: Memo
    detector: Detector
    encoder: ImageEncoder
    conflicted: Callable[[str], None]
    profile: str = ""

    def maker(self, facets: str) -> str:
        """By what an item is made of what is known of its product: other models, heads, rules or code may make another.

        Args:
            facets: the version of facet heads.
        """
        return f"{self.memo.name} {facets} {VERSION}"

    def item(
        self,
        product: str,
        metadata: Metadata,
        photos: Sequence[PhotoPlace],
        contents: Mapping[str, PhotoContent],
        source: Source,
    ) -> Item:
        """The item of a product.

        Args:
            product: its key (`processors.identity`).
            metadata: what the shop says.
            photos: in the order of the shop; none: the product is incomplete.
            contents: by the photos' digests.
            source: the upload since which the product is what it is.
        """
        if not photos:
            nothing = self._made(product, metadata, source, "", PhotoContent(0, 0, (), ()))
            return msgspec.structs.replace(nothing, incomplete=True)
        [first, *others] = photos
        if others or first.role in NO_GARMENT:
            return self._of_many(product, metadata, photos, contents, source)
        content = contents[first.digest]
        known = {garment: [one] for garment, one in content.chances.items()}
        return self._finished(self._made(product, metadata, source, first.address, content), known)

    def _made(self, product: str, metadata: Metadata, source: Source, image: str, content: PhotoContent) -> Item:
        """An item of one photo, or of the main one."""
        shop, product_id = split(product)
        return Item(
            product_id=product_id,
            shop=shop,
            image=image,
            width=content.width,
            height=content.height,
            garments=content.garments,
            views=content.views,
            metadata=metadata,
            encoder=self.encoder.fingerprint,
            dimension=self.encoder.dimension,
            detector=self.detector.fingerprint,
            source=source,
            version=content.version,
            facets=content.facets,
            profile=self.profile or UNSET,
        )

    def _of_many(
        self,
        product: str,
        metadata: Metadata,
        photos: Sequence[PhotoPlace],
        contents: Mapping[str, PhotoContent],
        source: Source,
    ) -> Item:
        shown = [contents[photo.digest] for photo in photos]
        shots = [Shot(p.address, p.role, c.width, c.height, c.garments) for p, c in zip(photos, shown, strict=True)]
        agreed = agreement.agree(shots, metadata.category)
        seen_in = _seen_in(agreed, len(photos))
        main = self._made(product, metadata, source, photos[agreed.main].address, shown[agreed.main])
        return self._finished(
            msgspec.structs.replace(
                main,
                garments=agreed.garments,
                views=_views(agreed, photos, shown),
                photos=tuple(
                    ItemPhoto(p.address, p.role, c.width, c.height, tuple(seen_in[number]))
                    for number, (p, c) in enumerate(zip(photos, shown, strict=True))
                ),
                sold=agreed.sold or UNSET,
                disagreements=_disagreements(agreed, photos) or UNSET,
            ),
            _chances(agreed, shown),
        )

    def _finished(self, item: Item, known: Mapping[str, Sequence[Packed]]) -> Item:
        """With what the garment that is sold probably is, and with what the shop says otherwise; `known`: by garment."""
        sold = sold_garment(item)
        if sold is not None and known.get(sold.id):
            item = msgspec.structs.replace(item, chances=chances.mean(known[sold.id]))
        return self._with_conflicts(item, sold)

    def _with_conflicts(self, item: Item, sold: Garment | None) -> Item:
        conflicts = merchant.conflicts(item.garments, item.metadata, sold)
        for conflict in conflicts:
            self.conflicted(conflict.facet)
        told = tuple(Conflict(c.garment, c.facet, c.merchant, c.pixels, c.confidence) for c in conflicts)
        return msgspec.structs.replace(item, conflicts=told) if told else item


def _seen_in(agreed: Agreed, photos: int) -> list[list[str]]:
    seen: list[list[str]] = [[] for _ in range(photos)]
    for garment, sightings in zip(agreed.garments, agreed.sightings, strict=True):
        for sighting in sightings:
            seen[sighting.photo].append(garment.id)
    return seen


def _views(agreed: Agreed, photos: Sequence[PhotoPlace], shown: Sequence[PhotoContent]) -> tuple[View, ...]:
    """The whole of each photo, and each garment of the pack wherever it is seen: those of the main photo first.

    A garment's own id is the view of the photo that its box lies in.
    """
    vectors = [{view.id: view.vector for view in content.views} for content in shown]
    kinds = {garment.id: garment.category for garment in agreed.garments}
    seen_in = _seen_in(agreed, len(photos))
    found: list[View] = []

    def add(name: str, category: str, number: int, local: str) -> None:
        photo = UNSET if number == agreed.main else photos[number].address
        vector = vectors[number].get(local)
        if vector is not None:
            found.append(View(name, category, vector, photo))

    add(WHOLE, kinds.get(agreed.sold, ""), agreed.main, WHOLE)
    for garment, sightings in zip(agreed.garments, agreed.sightings, strict=True):
        add(garment.id, garment.category, sightings[0].photo, sightings[0].garment.id)
    for number in range(len(photos)):
        if number != agreed.main:
            add(
                f"{number}/{WHOLE}", kinds.get(agreed.sold, "") if agreed.sold in seen_in[number] else "", number, WHOLE
            )
        for garment, sightings in zip(agreed.garments, agreed.sightings, strict=True):
            for sighting in sightings[1:]:
                if sighting.photo == number:
                    add(f"{number}/{garment.id}", garment.category, number, sighting.garment.id)
    return tuple(found)


def _chances(agreed: Agreed, shown: Sequence[PhotoContent]) -> dict[str, list[Packed]]:
    """Garment of the pack → what each photo that shows it says of it."""
    return {
        garment.id: [
            known
            for sighting in sightings
            if (known := shown[sighting.photo].chances.get(sighting.garment.id)) is not None
        ]
        for garment, sightings in zip(agreed.garments, agreed.sightings, strict=True)
    }


def _disagreements(agreed: Agreed, photos: Sequence[PhotoPlace]) -> tuple[Disagreement, ...]:
    return tuple(
        Disagreement(
            dispute.garment,
            dispute.facet,
            dispute.value,
            tuple(Vote(photos[ballot.photo].address, ballot.value, ballot.confidence) for ballot in dispute.ballots),
        )
        for dispute in agreed.disputes
    )
