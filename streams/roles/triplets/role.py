"""`triplets`: an item becomes pairs with what is like it, and the words that lead from the one to the other. Read it from top to bottom:

read → wait until the catalogue knows it → pair (its nearest; what it was paired with before) → look (photos, where the captioner needs them)
→ caption both sides → word the change (grammar, or a language model that is checked) → publish; what holds no more is deleted

Ids derive from the two products, so whatever is delivered twice is written twice the same. A triplet lives as long as both products.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.ports import Captioner, CaptionRequest, Chat, Remote
from processors import triplets as pairing
from processors.identity import key_of, split
from processors.triplets import Garment, Pair
from processors.values import Attribute, Colour, Evidence, Pixels
from processors.values import Garment as Seen
from streams.contract import codecs, topics
from streams.contract.cloudevents import output_headers
from streams.contract.records import Item, Source, Triplet, TripletChange, TripletOrigin, TripletSide
from streams.contract.version import VERSION
from streams.engine.message import Message
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Stage
from streams.kafka.producer import Sender
from streams.roles.outcome import deleted
from streams.roles.triplets.known import Catalogue, Pairs, Progress, Shown, shown_in

NEAREST = 50
"""Garments that are looked through for pairs."""
MOST_BEFORE = 64
"""Earlier triplets of a product that are looked at again when it comes."""
GRAMMAR = "grammar"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What leaves the role because of one item: triplets, and ids of those that are gone."""

    made: tuple[Triplet, ...] = ()
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """An item that was read; `shown` is None where it has nothing that could be paired."""

    message: Message
    product: str
    item: Item | None
    shown: Shown | None


@dataclass(frozen=True, slots=True)
class Work:
    """Pairs on their way, with their words by grammar, their photos and captions by product, and the ids of what is gone."""

    source: Source
    encoder: str
    pairs: tuple[tuple[Pair, str], ...]
    gone: tuple[str, ...]
    photos: Mapping[str, Pixels] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)


Look = Callable[[str], Awaitable[Pixels]]
"""The pixels of a photo of our store, by its address."""


async def _nothing(_address: str) -> Pixels:
    raise NotImplementedError("this captioner does not look at photos")


@dataclass(frozen=True, slots=True)
class Triplets:
    """The stages of the role; everything it needs is handed in.

    Args:
        catalogue: see there.
        pairs: likewise.
        progress: how far the catalogue was followed.
        captioner: describes each side.
        chat: words the change; None: the grammar does.
        look: photos, for a captioner that looks.
        most: targets that are taken for a product when it comes, and as many of which it is the target.
        batch_items: largest batch of the device.
    """

    catalogue: Catalogue
    pairs: Pairs
    progress: Progress
    captioner: Captioner
    chat: Chat | None = None
    look: Look = _nothing
    most: int = 2
    batch_items: int = 16

    def stages(self) -> tuple[Stage, ...]:
        """The role's story."""
        return (
            CpuStage("read", self.read),
            IoStage("await", self.known, concurrency=256),
            CpuStage("pair", self.pair),
            IoStage("look", self.photos, concurrency=8),
            self._captioned(),
            DeviceStage("word", self.word, max_items=self.batch_items, known=self._by_grammar),
            CpuStage("make", self.make),
        )

    def _captioned(self) -> Stage:
        """On the device; of a captioner that computes elsewhere on the event loop, which holds no device."""
        if isinstance(self.captioner, Remote):
            return IoStage("caption", self.ask, concurrency=self.captioner.concurrency, abandons=True)
        return DeviceStage("caption", self.caption, max_items=self.batch_items, known=self._by_rule)

    def read(self, message: Message) -> Read:
        """Decode the item; a null value is the product's deletion."""
        if message.value is None:
            deleted(message)  # refuses a record that does not say which product
            return Read(message, (message.key or b"").decode(), None, None)
        item = codecs.decode_item(message.value)
        shown = shown_in(item)
        return Read(message, key_of(item.shop, item.product_id), item, shown)

    async def known(self, read: Read) -> Read:
        """Wait until the catalogue knows this item: of two that come at once, the later then sees the other."""
        await self.progress.reached(read.message)
        return read

    def pair(self, read: Read) -> Work | Done[Outcome]:
        """The nearest that words lead to, and what the product was paired with before, as far as that still holds."""
        before = self.pairs.of(read.product)[:MOST_BEFORE]
        if read.item is None or read.shown is None:
            return Done(Outcome(gone=tuple(name for name, _, _ in before)))
        here = read.shown.garment
        new = pairing.pairs_of(here, self.catalogue.near(read.shown, NEAREST), self.most)
        names = {pair.id for pair in new}
        again = [self._still(read.shown, *one) for one in before if one[0] not in names]
        kept = [pair for pair in again if pair is not None]
        worded = pairing.checked([*new, *kept])
        made = {pair.id for pair, _ in worded}
        gone = tuple(name for name, _, _ in before if name not in made)
        if not worded:
            return Done(Outcome(gone=gone))
        return Work(read.item.source, read.shown.encoder, tuple(worded), gone)

    def _still(self, shown: Shown, _name: str, reference: str, target: str) -> Pair | None:
        """A pair of before as it is now; None where the other side is gone, of another kind, or not to be reached by words."""
        here = shown.garment
        found = self.catalogue.garment(target if reference == here.product else reference, shown)
        if found is None:
            return None
        other, similarity = found
        sides = (here, other) if reference == here.product else (other, here)
        return pairing.still(*sides, similarity)

    async def photos(self, work: Work) -> Work:
        """The photos of all sides, where the captioner looks at them."""
        if not self.captioner.looks:
            return work
        sides = {side.product: side.image for pair, _ in work.pairs for side in (pair.reference, pair.target)}
        return replace(work, photos={product: await self.look(image) for product, image in sides.items()})

    def caption(self, batch: Sequence[Work]) -> list[Work]:
        """One pass over all sides of all items."""
        sides = [(place, side) for place, work in enumerate(batch) for side in _sides(work)]
        requests = [_request(side, batch[place].photos.get(side.product)) for place, side in sides]
        raws = self.captioner.forward([self.captioner.prepare(request) for request in requests])
        found: list[dict[str, str]] = [{} for _ in batch]
        for (place, side), request, raw in zip(sides, requests, raws, strict=True):
            found[place][side.product] = self.captioner.finish(request, raw)
        return [replace(work, captions=captions) for work, captions in zip(batch, found, strict=True)]

    async def ask(self, work: Work) -> Work:
        """The same of a captioner elsewhere."""
        assert isinstance(self.captioner, Remote)
        requests = {side.product: _request(side, work.photos.get(side.product)) for side in _sides(work)}
        prepare = self.captioner.prepare
        ready = await asyncio.to_thread(lambda: [prepare(request) for request in requests.values()])
        raws = await asyncio.gather(*(self.captioner.answer(one) for one in ready))
        finish = self.captioner.finish
        told = await asyncio.to_thread(lambda: [finish(*one) for one in zip(requests.values(), raws, strict=True)])
        return replace(work, captions=dict(zip(requests, told, strict=True)))

    def _by_rule(self, work: Work) -> Work | None:
        """Captions by rule need no device."""
        from models.captioner.by_evidence import RuleCaptioner

        return self.caption([work])[0] if isinstance(self.captioner, RuleCaptioner) else None

    def word(self, batch: Sequence[Work]) -> list[tuple[Work, tuple[str, ...]]]:
        """What a language model makes of each pair; "" where that says something else than what differs."""
        if self.chat is None:
            return [(work, ("",) * len(work.pairs)) for work in batch]
        asked = [(place, pair) for place, work in enumerate(batch) for pair, _ in work.pairs]
        prompts = [_prompt(batch[place], pair) for place, pair in asked]
        raws = self.chat.forward([self.chat.prepare(prompt) for prompt in prompts])
        found: list[list[str]] = [[] for _ in batch]
        for (place, pair), prompt, raw in zip(asked, prompts, raws, strict=True):
            found[place].append(pairing.accepted(pair, self.chat.finish(prompt, raw)))
        return [(work, tuple(words)) for work, words in zip(batch, found, strict=True)]

    def _by_grammar(self, work: Work) -> tuple[Work, tuple[str, ...]] | None:
        return self.word([work])[0] if self.chat is None else None

    def make(self, worded: tuple[Work, tuple[str, ...]]) -> Outcome:
        """The records."""
        work, written = worded
        made = tuple(
            self._triplet(work, pair, by_grammar, by_chat)
            for (pair, by_grammar), by_chat in zip(work.pairs, written, strict=True)
        )
        return Outcome(made, work.gone)

    def _triplet(self, work: Work, pair: Pair, by_grammar: str, by_chat: str) -> Triplet:
        modifier = self.chat.fingerprint if self.chat is not None and by_chat else GRAMMAR
        return Triplet(
            id=pair.id,
            reference=_side(pair.reference, work.captions),
            target=_side(pair.target, work.captions),
            modification=by_chat or by_grammar,
            changes=tuple(TripletChange(one.facet, one.before, one.after) for one in pair.changes),
            rank=pair.rank,
            similarity=round(pair.similarity, 4),
            provenance=TripletOrigin(self.captioner.fingerprint, modifier, work.encoder, work.source, VERSION),
        )


def publisher(
    sender: Sender, pairs: Pairs, published: Callable[[int, int], None] = lambda _made, _gone: None
) -> Callable[[Message, Outcome], Awaitable[Sequence[Awaitable[object]]]]:
    """The `publish` of the pipeline: each triplet under its id, a null value for each that is gone; all acknowledged before the commit."""

    async def publish(message: Message, outcome: Outcome) -> Sequence[Awaitable[object]]:
        records: list[tuple[str, bytes | None]] = [(one.id, codecs.encode(one)) for one in outcome.made]
        records += [(name, None) for name in outcome.gone]
        deliveries = []
        for number, (name, value) in enumerate(records):
            headers = output_headers(message, stage="triplets", topic=topics.TRIPLETS, number=number)
            deliveries.append(await sender.send(topics.TRIPLETS, key=name.encode(), value=value, headers=headers))
        # Known at once: a deletion that follows at the next moment has to find them.
        for one in outcome.made:
            pairs.add(one.id, *(_key(side) for side in (one.reference, one.target)))
        for name in outcome.gone:
            pairs.remove(name)
        published(len(outcome.made), len(outcome.gone))
        return deliveries

    return publish


def _key(side: TripletSide) -> str:
    return key_of(side.shop, side.product_id)


def _sides(work: Work) -> list[Garment]:
    """Each product once, in order."""
    return list({side.product: side for pair, _ in work.pairs for side in (pair.reference, pair.target)}.values())


def _prompt(work: Work, pair: Pair) -> str:
    return pairing.prompt_of(pair, work.captions[pair.reference.product], work.captions[pair.target.product])


def _request(side: Garment, pixels: Pixels | None) -> CaptionRequest:
    """What is known of a side, as evidence of a caption."""
    named = {facet: value for facet, value in side.facets.items() if facet not in ("category", "colour")}
    garment = Seen(
        "g0",
        side.facets.get("category", ""),
        (0.0, 0.0, 1.0, 1.0),
        1.0,
        (Colour(side.facets["colour"], "", 1.0),) if side.facets.get("colour") else (),
        {facet: Attribute(value, 1.0) for facet, value in named.items()},
    )
    seed = int(pairing.triplet_id(side.product, side.product)[:7], 16)
    return CaptionRequest(Evidence((garment,)), seed, pixels)


def _side(side: Garment, captions: Mapping[str, str]) -> TripletSide:
    shop, product_id = split(side.product)
    return TripletSide(product_id, side.image, captions[side.product], dict(side.facets), shop)
