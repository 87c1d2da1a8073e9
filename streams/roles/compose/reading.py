"""How the words of a query are read: what they set, refuse and bound, and what is left to be embedded."""

from __future__ import annotations

from dataclasses import dataclass

from processors import fusion, query_words
from processors.conditions import Condition
from processors.edit_text import ParsedEdit
from processors.errors import Code
from streams.contract import codecs
from streams.contract.records import Query


@dataclass(frozen=True, slots=True)
class Reading:
    """The words of a query as they were understood.

    Attributes:
        edit: what is set, refused and left over.
        typed: what is to be embedded where the reference's facets are not known; "" where nothing is.
        conditions: prices, sizes and stock ("under 50").
    """

    edit: ParsedEdit
    typed: str
    conditions: tuple[Condition, ...] = ()


def read_words(query: Query, *, alone: bool) -> Reading:
    """Read a query's words; `alone`: it has neither a photo nor a product.

    Raises:
        BadQuery: "not black" alone: everything else is refused, and nothing is asked for.
    """
    words = query_words.read(query.text or "")
    edit = fusion.parse_edit(words.text)
    typed = edit.text or (query.text if words.conditions else "") or ""
    if not typed and alone:
        raise codecs.BadQuery(
            "says nothing of what is wanted", code=Code.EMPTY_QUERY, query_id=query.query_id, field="text"
        )
    # Of "under 50" alone nothing is left to be embedded: beside a photo nothing is, else the words as they are.
    return Reading(edit, typed if edit.text or alone else "", words.conditions)
