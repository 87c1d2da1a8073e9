"""What the models made of photos, and what is said of a product → its item."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from models.ports import Detector, ImageEncoder
from processors import agreement, merchant
from processors.agreement import Agreed, Shot
from processors.identity import split
from processors.photo_roles import NO_GARMENT
from processors.product import PhotoPlace
from processors.values import Garment, Metadata
from streams.contract.records import Conflict, Disagreement, Item, ItemPhoto, Source, View, Vote
from streams.contract.version import VERSION
from streams.roles.memo import Memo, content_hash
from streams.roles.outcome import Unchanged
from streams.roles.sold import sold_garment

WHOLE = "whole"


class PhotoContent(msgspec.Struct, frozen=True):
    """All that the models made of one photo, whatever product it is of, and whichever of its photos: what is remembered."""

    width: int
    height: int
    garments: tuple[Garment, ...]
    views: tuple[View, ...]
    facets: str = ""
    # Who thought it: a replay by a later version publishes the bytes of the first.
    version: str = VERSION


def memo_key(digest: str, version: str) -> str:
    """What is known of a photo under one version of facet heads; other heads say other things of it."""
    return content_hash(digest.encode(), version.encode()) if version else digest


@dataclass(frozen=True, slots=True)
class Items:
    """Makes items.

    Args:
        memo: of the role; keeps for which upload an item was first made.
        detector: names itself.
        encoder: names itself.
        conflicted: told the facet of each conflict between a shop's word and its photo.
    """

    memo: Memo
    detector: Detector
    encoder: ImageEncoder
    conflicted: Callable[[str], None]

    async def made(
        self,
        product: str,
        metadata: Metadata,
        photos: Sequence[PhotoPlace],
        contents: Mapping[str, PhotoContent],
        source: Source,
        *,
        newest: bool = True,
    ) -> Item | Unchanged:
        """The item; where the product was the same before, that one, with the source that it had then.

        Other heads see other facets: under another version it is another item. Raises `Retryable`.

        Args:
            product: its key (`processors.identity`).
            metadata: what the shop says.
            photos: in the order of the shop; none: the product is incomplete.
            contents: by the photos' digests.
            source: the upload.
            newest: whether it is the one that made the product what it is; not where an earlier one is delivered again.
        """
        kept = await self.memo.keep(_name(product, metadata, photos, contents), source, Source)
        # Two equal uploads are worked on beside each other: where the younger was remembered first, the older names itself.
        first = kept.or_earlier(source) if newest else kept
        item = self.item(product, metadata, photos, contents, first)
        return item if first == source else Unchanged(item)

    def item(
        self,
        product: str,
        metadata: Metadata,
        photos: Sequence[PhotoPlace],
        contents: Mapping[str, PhotoContent],
        source: Source,
    ) -> Item:
        """See `made`."""
        if not photos:
            return self._of_nothing(product, metadata, source)
        shop, product_id = split(product)
        [first, *others] = photos
        if others or first.role in NO_GARMENT:
            return self._of_many(product, metadata, photos, contents, source)
        content = contents[first.digest]
        return self._with_conflicts(
            Item(
                product_id=product_id,
                shop=shop,
                image=first.address,
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
            )
        )

    def _of_nothing(self, product: str, metadata: Metadata, source: Source) -> Item:
        shop, product_id = split(product)
        return Item(
            product_id=product_id,
            shop=shop,
            image="",
            width=0,
            height=0,
            garments=(),
            views=(),
            metadata=metadata,
            encoder=self.encoder.fingerprint,
            dimension=self.encoder.dimension,
            detector=self.detector.fingerprint,
            source=source,
            version=VERSION,
            incomplete=True,
        )

    def _of_many(
        self,
        product: str,
        metadata: Metadata,
        photos: Sequence[PhotoPlace],
        contents: Mapping[str, PhotoContent],
        source: Source,
    ) -> Item:
        shop, product_id = split(product)
        shown = [contents[photo.digest] for photo in photos]
        shots = [Shot(p.address, p.role, c.width, c.height, c.garments) for p, c in zip(photos, shown, strict=True)]
        agreed = agreement.agree(shots, metadata.category)
        main = shown[agreed.main]
        seen_in = _seen_in(agreed, len(photos))
        return self._with_conflicts(
            Item(
                product_id=product_id,
                shop=shop,
                image=photos[agreed.main].address,
                width=main.width,
                height=main.height,
                garments=agreed.garments,
                views=_views(agreed, photos, shown),
                metadata=metadata,
                encoder=self.encoder.fingerprint,
                dimension=self.encoder.dimension,
                detector=self.detector.fingerprint,
                source=source,
                version=main.version,
                facets=main.facets,
                photos=tuple(
                    ItemPhoto(p.address, p.role, c.width, c.height, tuple(seen_in[number]))
                    for number, (p, c) in enumerate(zip(photos, shown, strict=True))
                ),
                sold=agreed.sold or UNSET,
                disagreements=_disagreements(agreed, photos) or UNSET,
            )
        )

    def _with_conflicts(self, item: Item) -> Item:
        conflicts = merchant.conflicts(item.garments, item.metadata, sold_garment(item))
        for conflict in conflicts:
            self.conflicted(conflict.facet)
        told = tuple(Conflict(c.garment, c.facet, c.merchant, c.pixels, c.confidence) for c in conflicts)
        return msgspec.structs.replace(item, conflicts=told) if told else item


def _name(
    product: str,
    metadata: Metadata,
    photos: Sequence[PhotoPlace],
    contents: Mapping[str, PhotoContent],
) -> str:
    """What an item is a function of, as one name; of a single photo the one that it had when there was but one."""
    version = contents[photos[0].digest].facets if photos else ""
    if len(photos) == 1 and photos[0].role not in NO_GARMENT:
        said = [product, photos[0].address, photos[0].digest, metadata]
    else:
        said = [product, photos, metadata]
    digest = memo_key(hashlib.sha256(msgspec.msgpack.encode(said)).hexdigest(), version)
    return f"item-{digest}"


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
