"""What articles add to a caption: the sentences that its text ends with, each with the chunk that it stands in.

The text without them is the one that there would be without any article, and remembered as such: an article that comes, changes or goes
costs no language model's pass.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.ports import TextEncoder
from processors.context.chunks import Chunk, Scored, choose, windows
from processors.context.facts import MAX_CHARACTERS, Chosen, Fact, Told, select, tells
from processors.context.sentences import sentences
from processors.context.telling import StoryRequest, answer_of, refused, sentences_to_tell
from processors.identity import key_of
from processors.kit import PLAIN, Kit, emoji_apart
from processors.languages import language_of
from processors.values import CaptionText, Evidence
from streams.contract.records import ContextSpan, ContextUse, Item
from streams.engine.message import CONTEXT as HEADER
from streams.engine.message import Message
from streams.roles.context.articles import Applied, Articles, together
from streams.roles.context.header import ARTICLES, PICTURED, Place, places_in
from streams.roles.context.pictured import PicturedView
from streams.roles.context.view import View

VERSION = "2"
"""Raise it when other sentences are chosen: captions of before are made again."""
WAIT_S = 30.0
"""Longest wait for an article that an item was sent again for: its record lies before the item's."""
EMBEDDED = 256
"""Articles whose chunks are kept as vectors: 1.5 KB a chunk, at most 400 of each."""
BATCH = 32


Embedded: TypeAlias = tuple[tuple[Chunk, ...], NDArray[np.float32], tuple[float, ...]]
"""Chunks of an article, their vectors (n, d), and how much each tells."""


class Likeness(Protocol):
    """How alike texts are."""

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) float32 of length 1."""
        ...


class Teller(Protocol):
    """Writes sentences of articles. Blocks; from any thread."""

    @property
    def fingerprint(self) -> str: ...

    def tell(self, request: StoryRequest) -> str:
        """What the model wrote, as it is."""
        ...


class ByEncoder:
    """`Likeness` by a text encoder that is loaded when it is first asked. Blocks; from any thread."""

    def __init__(self, load: Callable[[], TextEncoder]) -> None:
        self._load = load
        self._one = threading.Lock()
        self._encoder: TextEncoder | None = None

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with self._one:
            if self._encoder is None:
                self._encoder = self._load()
            found = []
            for at in range(0, len(texts), BATCH):
                part = [text[:2000] for text in texts[at : at + BATCH]]
                found += self._encoder.forward([self._encoder.prepare(text) for text in part])
        return np.stack(found).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Added:
    """A caption with what articles say in it."""

    text: CaptionText
    uses: tuple[ContextUse, ...]
    told: Told = field(default_factory=lambda: Told((), ()))
    drawn: int = 0
    """Chunks that were looked through."""


class Context:
    """Articles for captions.

    Args:
        articles: the view.
        likeness: ranks chunks; loads a model when it is first asked.
        pictured: which pictures of articles are products' photos; None: none is.
        teller: writes a sentence of the weightiest chunk, which stands in place of its own where it passes; None: sentences are quoted.
    """

    def __init__(
        self,
        articles: Articles,
        likeness: Likeness,
        pictured: PicturedView | None = None,
        teller: Teller | None = None,
    ) -> None:
        self._articles, self._likeness, self._teller = articles, likeness, teller
        self._ratio = True
        self._pictured = pictured or PicturedView()
        self._keep, self._ends, self._ranked, self._telling = 0, True, True, True
        self._embedded: OrderedDict[str, Embedded] = OrderedDict()
        self._keeping = threading.Lock()
        self._given_up: dict[Place, int] = {}

    def choosing(
        self,
        *,
        keep: int = 0,
        ends: bool = True,
        ranked: bool = True,
        telling: bool = True,
        written: bool = False,
        ratio: bool = True,
    ) -> Context:
        """The same with another choice of chunks, for yardsticks.

        Args:
            keep: how many by likeness; 0: as served.
            ends: whether the first and the last are kept as well.
            ranked: by likeness; else in the order of the text.
            telling: and by how much they tell.
            written: whether the model writes, where there is one.
            ratio: whether its prompt says how much is to be of story and picture.
        """
        made = Context(self._articles, self._likeness, self._pictured, self._teller if written else None)
        made._ratio = ratio
        made._keep, made._ends, made._ranked, made._telling = keep, ends, ranked, telling
        made._embedded = self._embedded
        return made

    @property
    def writes(self) -> bool:
        """Whether a model writes."""
        return self._teller is not None

    def of(self, item: Item) -> tuple[Applied, ...]:
        """The articles that apply to an item."""
        pictures = self._pictured.of(key_of(item.shop, item.product_id), item.image)
        return self._articles.of(item.shop, item.product_id, item.metadata, pictures)

    def missing(self, message: Message) -> Mapping[Place, int]:
        """Offsets of articles, and of what they picture, that a record's caption has to know, and that are not known yet."""
        wanted = places_in(message.header(HEADER))
        if not wanted or all(view.knows(_of(wanted, name)) for name, view in self._views()):
            return {}
        return {} if all(offset <= self._given_up.get(place, -1) for place, offset in wanted.items()) else wanted

    async def reached(self, wanted: Mapping[Place, int]) -> bool:
        """Wait for them, not for ever: of a topic that was made anew they never come, and then are waited for once."""
        for name, view in self._views():
            if not await view.reached(_of(wanted, name), WAIT_S):
                self._given_up |= {
                    place: max(offset, self._given_up.get(place, -1)) for place, offset in wanted.items()
                }
                return False
        return True

    def _views(self) -> tuple[tuple[str, View], ...]:
        return ((ARTICLES, self._articles), (PICTURED, self._pictured))

    def add(self, applied: Sequence[Applied], text: CaptionText, evidence: Evidence, kit: Kit = PLAIN) -> Added:
        """The caption with what these articles say of the product; as it is where they say nothing that may stand in it. Blocks."""
        language = language_of(kit.locale)
        chosen = [
            Chosen(one.known.article.id, one.about, self._chunks(one, text.caption))
            for one in applied
            if not one.known.article.locale or language_of(one.known.article.locale) == language
        ]
        room = min(MAX_CHARACTERS, kit.limit("caption") - len(text.caption))
        allowed = [] if kit is PLAIN else [kit.allows]
        told = select(chosen, evidence, language=language, room=room, allowed=allowed, said=text.caption)
        drawn = sum(len(one.chunks) for one in chosen)
        if not told.facts:
            return Added(text, (), told, drawn)
        if self._teller is not None:
            told = self._told(self._teller, chosen, told, evidence, room, text.caption, allowed)
        return replace(_written(text, told, {one.known.article.id: one for one in applied}), drawn=drawn)

    def fingerprint(self, applied: Sequence[Applied]) -> str:
        """Part of the key of a caption that articles apply to; "" where none does."""
        if not applied:
            return ""
        return (
            f"{fingerprint(applied)} {self._teller.fingerprint}" if self._teller is not None else fingerprint(applied)
        )

    def _told(
        self,
        teller: Teller,
        chosen: Sequence[Chosen],
        told: Told,
        evidence: Evidence,
        room: int,
        caption: str,
        allowed: Sequence[Callable[[str], bool]],
    ) -> Told:
        """The weightiest fact as the model writes it of its chunk, where that stands; else as it was quoted."""
        first, *others = told.facts
        [chunks] = [one for one in chosen if one.article == first.article]
        [chunk] = [one.chunk for one in chunks.chunks if one.chunk.number == first.chunk]
        shown = sentences_to_tell(chunk)
        said = answer_of(teller.tell(StoryRequest(shown, evidence, seed_of(caption), self._ratio)))
        why = refused(said, shown, evidence, chunks.about, room - 1)
        why = why or ("" if all(allows(said) for allows in allowed) else "holds a word that the kit bans")
        if why:
            return Told(told.facts, (*told.refused, (first.article, said, f"written: {why}")))
        left = room - len(said) - 1
        rest = [
            one for one in others if (one.article, one.chunk) != (first.article, first.chunk) and len(one.said) < left
        ]
        return Told((msgspec.structs.replace(first, said=said), *rest), told.refused, written=True)

    def _chunks(self, one: Applied, caption: str) -> tuple[Scored, ...]:
        chunks, vectors, told = self._vectors(one)
        if not chunks:
            return ()
        [asked] = self._likeness.vectors([caption])
        scores = [float(score) for score in vectors @ asked]
        if not self._ranked:
            scores = [-n / len(chunks) for n in range(len(chunks))]
        return choose(chunks, scores, keep=self._keep, ends=self._ends, more=told if self._telling else ())

    def _vectors(self, one: Applied) -> Embedded:
        name = one.known.fingerprint
        with self._keeping:
            if (kept := self._embedded.get(name)) is not None:
                self._embedded.move_to_end(name)
                return kept
        chunks = windows(sentences(one.known.article.text))
        vectors = self._likeness.vectors([chunk.text for chunk in chunks]) if chunks else np.zeros((0, 1), np.float32)
        with self._keeping:
            found = self._embedded[name] = (chunks, vectors, tuple(map(tells, chunks)))
            while len(self._embedded) > EMBEDDED:
                self._embedded.popitem(last=False)
        return found


def fingerprint(applied: Sequence[Applied]) -> str:
    """Part of the key of a caption that articles apply to; "" where none does."""
    return f"{VERSION} {together(applied)}" if applied else ""


def _of(wanted: Mapping[Place, int], name: str) -> dict[int, int]:
    return {partition: offset for (topic, partition), offset in wanted.items() if topic == name}


def _written(text: CaptionText, told: Told, applied: Mapping[str, Applied]) -> Added:
    caption, emoji = emoji_apart(text.caption)
    uses: dict[tuple[str, int], tuple[Fact, list[ContextSpan]]] = {}
    for fact in told.facts:
        start = len(caption) + (1 if caption else 0)
        caption = f"{caption} {fact.said}".strip()
        uses.setdefault((fact.article, fact.chunk), (fact, []))[1].append(ContextSpan(start, len(caption)))
    found = tuple(_use(fact, spans, applied[fact.article]) for fact, spans in uses.values())
    return Added(msgspec.structs.replace(text, caption=caption + emoji), found, told)


def seed_of(caption: str) -> int:
    """The same for the same caption, 31 bits."""
    return int(hashlib.sha256(caption.encode()).hexdigest()[:8], 16) & 0x7FFFFFFF


def _use(fact: Fact, spans: Sequence[ContextSpan], of: Applied) -> ContextUse:
    version = str(of.known.article.version or "")
    use = ContextUse(fact.article, fact.chunk, fact.score, tuple(spans), fact.text, version)
    return use if of.picture is None else msgspec.structs.replace(use, picture=of.picture)
