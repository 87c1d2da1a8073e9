"""What a result says of how its query was read."""

from __future__ import annotations

from msgspec import UNSET

from processors.composing import Composed
from processors.conditions import told
from streams.contract.records import Understood
from streams.roles.compose.asked import Prepared
from streams.search.wording import Wording


def understood_of(prepared: Prepared, composed: Composed | None, wording: Wording | None = None) -> Understood | None:
    """What is told of how a query's words were read; None where it has none."""
    reading = prepared.reading
    query = prepared.asked.query
    if composed is None and not any(text.strip() for text in (*query.edits, query.text or "")):
        return None
    edit = reading.edit
    wanted = dict(edit.set)
    if composed is not None:
        # Steps ("lighter") are told as what they came to.
        wanted |= {facet: values[0] for facet, values in composed.wishes.items() if facet not in wanted and values}
    return Understood(
        filters={condition.column: told(condition) for condition in reading.conditions},
        wants=dict(edit.set),
        refuses=dict(edit.exclude),
        ignored=edit.ignored,
        set=wanted or UNSET,
        exclude=dict(edit.exclude) or UNSET,
        kept=UNSET if composed is None else composed.kept,
        words=() if wording is None else wording.told(),
        heads=composed.heads or UNSET if composed is not None else UNSET,
    )
