"""How the words of a query are read: what they set, refuse and bound, and what is left to be embedded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from processors import fusion, query_words, shopper_words
from processors.conditions import Condition
from processors.edit_text import ParsedEdit, joined
from processors.errors import Code
from processors.query_terms import AskedWords, codes_in, words_asked
from streams.contract.checks import BadQuery
from streams.contract.records import Query


@dataclass(frozen=True, slots=True)
class Reading:
    """The words of a query as they were understood.

    Attributes:
        edit: what is set, refused and left over.
        typed: what is to be embedded where the reference's facets are not known; "" where nothing is.
        conditions: prices, sizes and stock ("under 50").
        words: what is looked for in the products' own texts; beside a photo or a product only names: "but in navy" is no keyword.
    """

    edit: ParsedEdit
    typed: str
    conditions: tuple[Condition, ...] = ()
    words: AskedWords | None = None

    @property
    def edits(self) -> bool:
        """Whether the words ask for anything that a facet or the embedding may tell."""
        edit = self.edit
        return bool(edit.set or edit.exclude or edit.less or edit.shade or edit.length or edit.rest or edit.another)


def read_words(query: Query, *, alone: bool, pays: float | None = None, currency: str = "") -> Reading:
    """Read a query's words.

    Args:
        query: with its turns.
        alone: it has neither a photo nor a product.
        pays: what the product that it starts from costs, for "cheaper"; None where nobody knows.
        currency: of that price; "" where nobody knows.

    Raises:
        BadQuery: "not black" alone: everything else is refused, and nothing is asked for.
    """
    turns = [query_words.read(text) for text in (*query.edits, query.text or "")]
    conditions = _latest(turns)
    texts = [shopper_words.in_english(words.text) for words in turns]
    if pays is not None:
        compared = [query_words.compared(text, pays, currency) for text in texts]
        texts = [words.text for words in compared]
        conditions += next((words.conditions for words in reversed(compared) if words.conditions), ())
    # Words alone may be a brand or a title: what is misspelt of those the catalogue itself knows best.
    edits = [fusion.parse_edit(text if alone else shopper_words.corrected(text)) for text in texts]
    edit = joined(edits) if query.edits else edits[0]
    typed = edit.text or (query.text if conditions else "") or ""
    if not typed and alone:
        raise BadQuery("says nothing of what is wanted", code=Code.EMPTY_QUERY, query_id=query.query_id, field="text")
    # Of "under 50" alone nothing is left to be embedded: beside a photo nothing is, else the words as they are.
    # Of another language both are looked for: nobody knows which one the catalogue's texts are in.
    said = " ".join(dict.fromkeys(one for words, text in zip(turns, texts, strict=True) for one in (words.text, text)))
    words = _words(query.text or "", said, edit, alone=alone)
    return Reading(edit, typed if edit.text or alone else "", conditions, words)


def _words(whole: str, text: str, edit: ParsedEdit, *, alone: bool) -> AskedWords | None:
    # What is refused must not be found by its name.
    refuses = bool(edit.exclude or edit.less or edit.ignored)
    found = words_asked(edit.text if refuses else text, names_only=not alone)
    codes = codes_in(whole) if alone else ()
    if found is None:
        return AskedWords((), codes) if codes else None
    return replace(found, codes=codes)


def _latest(turns: Sequence[query_words.Words]) -> tuple[Condition, ...]:
    """Of the conditions of several turns, of each column those of the last turn that says one."""
    found: dict[str, tuple[Condition, ...]] = {}
    for words in turns:
        for column in dict.fromkeys(condition.column for condition in words.conditions):
            found[column] = tuple(condition for condition in words.conditions if condition.column == column)
    return tuple(condition for conditions in found.values() for condition in conditions)
