"""A sentence that a language model writes of a chunk and a picture: what it is asked, and what of its answer may stand.

"Beyond Vision" asks for who, what, when, where and why, the context before the picture, 70 % of it and 30 %. Its authors name invented names as
what goes wrong; so each name, number and promise has to stand in the chunk, and each other word of weight in the chunk or in what is known of
the product. What fails is not mended: the chunk's own sentence is quoted instead.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec

from processors.context.chunks import Chunk
from processors.context.facts import About, contradiction
from processors.context.grounding import anchors, names_within, normal, stands_in, ungrounded
from processors.context.hostile import quotable
from processors.evidence import render
from processors.function_words import PLAIN
from processors.values import Evidence

VERSION = "1"
_SYSTEM = "Tell a garment's story in one sentence for its shop: who, what, when, where, why. State only what story and picture say."
_RATIO = " Take 70 % from the story and 30 % from the picture."
_USER = "Story: {story}\nPicture: {picture}"
TELLING_FINGERPRINT = "sha256:" + hashlib.sha256(f"{VERSION}\n{_SYSTEM}\n{_RATIO}\n{_USER}".encode()).hexdigest()
"""Changes whenever the words of the prompt do."""
MAX_STORY = 700
"""Characters of a chunk that are shown: prompt tokens cost as much as written ones on a processor."""
MIN_WORDS = 5

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_BEFORE = re.compile(r"(?:[^\W_]+\W+){1,2}$")
"""The two words before a number: what it is told of."""
_LINKING = frozenset(
    "this that pair piece garment one ones first story where when who whom whose it its their there here also".split()  # noqa: SIM905
)


class StoryRequest(msgspec.Struct, frozen=True):
    """A sentence to write. `sentences`: of one chunk, those that may be quoted; `seed` makes sampling repeatable."""

    sentences: tuple[str, ...]
    evidence: Evidence
    seed: int
    ratio: bool = True
    """Whether the prompt says how much is to come from story and picture; False for a yardstick."""


def prompt(request: StoryRequest) -> list[dict[str, str]]:
    """The chat messages: the story before the picture."""
    system = _SYSTEM + (_RATIO if request.ratio else "")
    story = " ".join(request.sentences)[:MAX_STORY]
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": _USER.format(story=story, picture=render(request.evidence))},
    ]


def sentences_to_tell(chunk: Chunk) -> tuple[str, ...]:
    """Those of a chunk that a model may be shown: an order to whoever writes is none of them."""
    return tuple(sentence for sentence in chunk.sentences if quotable(sentence))


def answer_of(raw: str) -> str:
    """The first sentence or two of what a model wrote, on one line."""
    line = next((line.strip() for line in raw.strip().splitlines() if line.strip()), "")
    return " ".join(line.split()).strip('"“” ')


def refused(said: str, shown: Sequence[str], evidence: Evidence, about: About, room: int) -> str:
    """Why a written sentence may not stand in a caption, or "".

    Args:
        said: the sentence.
        shown: the sentences that it was written of.
        evidence: what is known of the product.
        about: what of the product the article applies to.
        room: characters that there are.
    """
    if not said.endswith((".", "!")) or len(_WORD.findall(said)) < MIN_WORDS or not quotable(said):
        return "is no sentence that a caption may hold"
    if len(said) > room:
        return "is too long"
    text = " ".join(shown)
    if not anchors(said, names_within(shown)):
        return "names, counts and promises nothing"
    # "Ada Moreau of Porto" is one run of names; the story may have told of both apart.
    parts = [(words, words.split(" of ")) for words in ungrounded(said, [text])]
    if missing := [words for words, each in parts if not all(stands_in(one, text) for one in each)]:
        return f"{missing[0]!r} stands in no chunk"
    return contradiction(said, evidence, about) or _moved(said, text, shown) or _strange(said, text, evidence)


def _moved(said: str, text: str, shown: Sequence[str]) -> str:
    """A name that is spelt otherwise, or a number that is told of something else: "founded in 1921" is not "cut in Porto in 1921"."""
    names = {
        word.casefold(): word
        for sentence in shown
        for one in anchors(sentence)
        if one.kind == "name"
        for word in one.text.split()
    }
    for word in _WORD.findall(said):
        if word.casefold() in names and word not in text:
            return f"{word!r} is spelt otherwise in the chunk"
    for one in anchors(said, names_within(shown)):
        if one.kind == "name" and not all(part in text for part in one.text.split(" of ")):
            return f"{one.text!r} is spelt otherwise in the chunk"
        before = _BEFORE.search(said[: one.start])
        if one.kind == "number" and before is not None and not stands_in(before.group() + one.text, text):
            return f"{before.group() + one.text!r} stands in no chunk"
    return ""


def _strange(said: str, text: str, evidence: Evidence) -> str:
    known = _words(text) | _words(render(evidence))
    strange = [word for word in _words(said) if not _stands(word, known)]
    return f"{min(strange)!r} is said by neither story nor picture" if strange else ""


def _words(text: str) -> set[str]:
    return {word for word in _WORD.findall(normal(text)) if len(word) > 2}


def _stands(word: str, known: set[str]) -> bool:
    """Whether a word, or another form of it, is known, or says nothing by itself."""
    if word in known or word in PLAIN or word in _LINKING:
        return True
    stem = word[: max(4, len(word) - 3)]
    return any(other.startswith(stem) and abs(len(other) - len(word)) <= 3 for other in known)
