"""A brand kit: how one brand, or one channel of it, wants its texts; and a text held to it.

A kit says how a product is spoken of, never what is true of it: facts come from the evidence pack alone.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import msgspec

from processors import channels as texts
from processors.captions import template_caption
from processors.claims import mentions
from processors.evidence import worth_stating
from processors.languages import LANGUAGES, language_of
from processors.languages.claims import fact_words
from processors.languages.phrases import Said, coverage
from processors.values import CaptionText, Evidence
from processors.verify import MIN_HASHTAGS, NAMES_NONE, ParsedCaption, Rejected, verify

NAME = "kit"
"""The field of an upload's metadata that chooses its kit."""
DEFAULT = "default"
"""The kit of every product that chooses none, where there is one of this name."""
UNKNOWN, UNMET = "unknown_kit", "kit_unmet"
"""Reasons why a caption is held: its upload names a kit that nobody has; what it must or must not say could not be met."""

_EMOJI: dict[str, str] = {
    "dress": "👗", "skirt": "👗", "shirt": "👕", "pants": "👖", "shorts": "🩳", "jacket": "🧥", "hat": "👒", "bag": "👜", "shoe": "👟",
    "sunglass": "🕶",
}  # fmt: skip
_ANY_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\U00002600-\U000027bf\U00002b00-\U00002bff\U0000fe0f\U0000200d\U000020e3\U0001f1e6-\U0001f1ff]+"
)
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*")
_SENTENCE = re.compile(r"[^.!?…]*[.!?…]+[\"'”’)]*\s*")


class Kit(msgspec.Struct, frozen=True, dict=True):
    """One brand's or channel's wishes.

    Args:
        name: by which uploads choose it.
        tone: one of `processors.captions.TONES`.
        locale: language and country ("de-AT"); texts follow the language.
        required: phrases that caption, description and SEO meta must hold; what is missing is added as a sentence.
        banned: words and phrases that no text and no hashtag may hold, whatever their case and accents; "cheap*" bans what begins so.
        max_chars: limit of each text, by the names of `processors.channels.LIMITS`.
        max_hashtags: of a caption; None is no limit but Weft's own.
        banned_hashtags: tags that are left out, with or without "#".
        emoji: "some" ends a caption with the product's; "never" takes out what a model wrote.
        order: of the facts in a phrase (`processors.languages.grammar.ORDERED`); () is the language's own.
    """

    name: str = ""
    tone: str = "plain"
    locale: str = "en"
    required: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    max_chars: dict[str, int] = {}
    max_hashtags: int | None = None
    banned_hashtags: tuple[str, ...] = ()
    emoji: Literal["never", "some"] = "never"
    order: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Changes with everything that the kit says, but its name."""
        return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self, name=""), order="sorted")).hexdigest()

    @property
    def by_grammar(self) -> bool:
        """Whether captions are written by grammar: the language model writes English, in an order of its own."""
        return language_of(self.locale) != "en" or bool(self.order)

    @cached_property
    def _banned(self) -> re.Pattern[str] | None:
        words = [_pattern(phrase) for phrase in self.banned]
        return re.compile("|".join(words)) if words else None

    def allows(self, text: str) -> bool:
        """Whether no banned word stands in a text."""
        return self._banned is None or self._banned.search(folded(text)) is None

    def allows_tag(self, tag: str) -> bool:
        """Whether a hashtag is none of the banned ones, and no banned word is hidden in it."""
        bare = folded(tag).lstrip("#")
        hidden = (folded(word).rstrip("*").replace(" ", "") for word in self.banned)
        refused = {folded(word).lstrip("#").replace(" ", "") for word in self.banned_hashtags}
        return bare not in refused and not any(word in bare for word in hidden)

    def limit(self, text: str) -> int:
        """Characters of a text: "caption", "title", "alt", "description" or "meta"."""
        return self.max_chars.get(text, texts.LIMITS[text])


PLAIN = Kit()
"""What goes for products without a kit."""


def folded(text: str) -> str:
    """Without case and accents, words apart by one space."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in parts if not unicodedata.combining(c)).split())


def _pattern(phrase: str) -> str:
    words = re.escape(folded(phrase).rstrip("*")).replace(r"\ ", r"[\s\-]+")
    return rf"(?<![^\W_]){words}" + ("" if phrase.rstrip().endswith("*") else r"(?![^\W_])")


def held_to(text: CaptionText, evidence: Evidence, kit: Kit) -> CaptionText | Rejected:
    """An English caption with what the kit wants: emoji, hashtags, length, required phrases; or why it cannot be mended."""
    if kit is PLAIN:
        return text
    if not kit.allows(text.caption):
        return Rejected(("holds a word that the kit bans",))
    bare = " ".join(_ANY_EMOJI.sub("", text.caption).split())
    room = kit.limit("caption") - _needed(bare, kit, evidence)
    kept = _cut(bare, room)
    if not kept:
        return Rejected((f"its first sentence is longer than the {kit.limit('caption')} characters of the kit",))
    if kept != text.caption:
        verdict = verify(ParsedCaption(kept, text.hashtags), evidence, writer=text.writer)
        if isinstance(verdict, Rejected):
            return verdict
        text = verdict
    return _dressed(text, kit, evidence)


def by_rule(evidence: Evidence, tone: str, seed: int, kit: Kit) -> CaptionText:
    """The rule-based caption of a kit: always grounded, the same for the same arguments."""
    if kit is PLAIN:
        return template_caption(evidence, tone, seed)
    if not kit.by_grammar:
        mended = held_to(template_caption(evidence, tone, seed), evidence, kit)
        if isinstance(mended, CaptionText):
            return mended
    said = next(
        (
            said
            for order, varied in ((kit.order, True), (kit.order, False), ((), False))
            if _grounded(said := _said(evidence, tone, seed, kit, order, varied=varied), evidence, kit)
        ),
        Said(""),
    )
    tags = texts.hashtags_by_grammar(evidence, kit.locale, kit.allows_tag)
    text = CaptionText(said.text, tags, said.spans, coverage(said.spans, evidence), "template")
    return _dressed(text, kit, evidence)


def _said(evidence: Evidence, tone: str, seed: int, kit: Kit, order: Sequence[str], *, varied: bool) -> Said:
    limit = kit.limit("caption") - _needed("", kit, evidence)
    return texts.caption_by_grammar(
        evidence, kit.locale, tone, seed, order=order, limit=limit, allowed=kit.allows, varied=varied
    )


def _grounded(said: Said, evidence: Evidence, kit: Kit) -> bool:
    """Whether the verifier agrees; it reads English. An unusual order may let a reader take a fact for another garment's."""
    if language_of(kit.locale) != "en":
        return True
    verdict = verify(ParsedCaption(said.text, ("#newin",) * MIN_HASHTAGS), evidence)
    reasons = verdict.reasons if isinstance(verdict, Rejected) else ()
    return all(reason == NAMES_NONE or "hashtags" in reason for reason in reasons)


def other_texts(evidence: Evidence, kit: Kit) -> texts.Channels:
    """Title, alt text, description and SEO meta."""
    return texts.channels(
        evidence, kit.locale, order=kit.order, limits=kit.max_chars, required=kit.required, allowed=kit.allows
    )


def unmet(kit: Kit, text: CaptionText, evidence: Evidence) -> tuple[str, ...]:
    """(`UNMET`,) where a caption is empty, too long, lacks what is required, holds what is banned, or cannot tell of its product; else ()."""
    caption = folded(text.caption)
    met = (
        bool(caption)
        and bool(text.spans or not worth_stating(evidence))
        and kit.allows(text.caption)
        and len(text.caption) <= kit.limit("caption")
        and all(folded(phrase) in caption for phrase in kit.required)
        and not _silenced(kit, text, evidence)
    )
    return () if met else (UNMET,)


def _silenced(kit: Kit, text: CaptionText, evidence: Evidence) -> bool:
    """Whether a caption says nothing but what its product is called ("Hemd.") because all else that is known of it is banned."""
    if not kit.banned or {span.facet for span in text.spans} - {"category"}:
        return False
    free = by_rule(evidence, kit.tone, 0, msgspec.structs.replace(kit, banned=()))
    return any(span.facet != "category" for span in free.spans)


def _dressed(text: CaptionText, kit: Kit, evidence: Evidence) -> CaptionText:
    caption = texts.with_required(text.caption, kit.required, kit.limit("caption"))
    emoji = _emoji(kit, evidence)
    if emoji and len(caption) + 1 + len(emoji) <= kit.limit("caption"):
        caption = f"{caption} {emoji}".strip()
    tags = [tag for tag in text.hashtags if kit.allows_tag(tag)][: kit.max_hashtags]
    return msgspec.structs.replace(text, caption=caption, hashtags=tuple(tags))


def emoji_apart(text: str) -> tuple[str, str]:
    """A text and the emoji that it ends with, with the blank before them; "" for none."""
    bare = text.rstrip()
    while bare and _ANY_EMOJI.fullmatch(bare[-1]):
        bare = bare[:-1]
    bare = bare.rstrip()
    return bare, text[len(bare) :]


def _emoji(kit: Kit, evidence: Evidence) -> str:
    first = evidence.garments[0].category if evidence.garments else ""
    return _EMOJI.get(first, "") if kit.emoji == "some" else ""


def _needed(caption: str, kit: Kit, evidence: Evidence) -> int:
    """Characters that what is still to be added takes."""
    added = texts.with_required(caption, kit.required, 10**6)
    emoji = _emoji(kit, evidence)
    return len(added) - len(caption) + (1 + len(emoji) if emoji else 0)


def _cut(text: str, limit: int) -> str:
    """The first whole sentences that fit, or ""."""
    kept = ""
    for sentence in _SENTENCE.findall(text):
        if len((kept + sentence).rstrip()) > limit:
            break
        kept += sentence
    return kept.rstrip()


def problem_of(kit: Kit, known_tones: Sequence[str]) -> tuple[str, str]:
    """What is wrong with a kit as a whole: the path of the field ("required.0") and why; ("", "") when nothing is."""
    if kit.tone not in known_tones:
        return "tone", f"there is no tone {kit.tone!r}; there are {', '.join(known_tones)}"
    if fault := _no_locale(kit.locale):
        return "locale", fault
    for n, phrase in enumerate(kit.required):
        if not kit.allows(phrase):
            return f"required.{n}", f"{phrase!r} is required and banned"
        if claims := _claims(phrase, language_of(kit.locale)):
            return f"required.{n}", f"{phrase!r} says {claims} of every product: a kit states no facts"
    needed = len(texts.with_required("", kit.required, 10**6))
    if needed and needed + texts.MIN_CHARACTERS > kit.limit("caption"):
        return "required", f"takes {needed} of the {kit.limit('caption')} characters of a caption"
    return "", ""


def _no_locale(locale: str) -> str:
    """Why texts cannot be written for a locale, or "". Every caption and export carries it as it stands."""
    language = language_of(locale)
    if language not in LANGUAGES:
        return f"there is no grammar for {locale!r}; there are {', '.join(LANGUAGES)}"
    return "" if _LOCALE.fullmatch(locale) else f"{locale!r} is no locale such as {language} or {language}-AT"


def _claims(phrase: str, language: str) -> str:
    """The words of a phrase that claim something of a garment, or ""."""
    found = [mention.surface for mention in mentions(phrase)]
    found += [word for word in fact_words(language) if re.search(_pattern(word), folded(phrase))]
    return ", ".join(dict.fromkeys(found))
