"""Queries that go on from one before them: `"previous": "q-1"`.

A worker remembers the latest queries that it read, for itself alone and no longer than it runs. Queries are keyed by their own id, so
that of a session may come to several workers: one that does not know a query says so, and never answers without what it asked for.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec.structs import replace

from processors.errors import Code
from processors.values import MAX_QUERY_TEXT
from streams.contract.checks import BadQuery
from streams.contract.limits import MAX_EDITS
from streams.contract.records import ImageRef, Query

MOST, MOST_BYTES = 4096, 16 * 2**20
"""Queries, and bytes of their photos and words, that one worker remembers."""
FIELD = "previous"


class Turns:
    """The latest queries of one worker; the oldest are forgotten first. All calls come from the event loop.

    Args:
        most: queries.
        most_bytes: of their photos and words.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._known: OrderedDict[tuple[str, str], Query] = OrderedDict()
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """Of photos and words that are remembered."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._known)

    def keep(self, query: Query) -> None:
        """Remember a query, whose `previous` was resolved; one that is larger than all that may be held is not."""
        # What a later turn needs, and nothing else of it.
        name = (query.shop or "", query.query_id)
        kept = Query(query.query_id, query.image, query.text, edits=query.edits, images=query.images)
        before = self._known.pop(name, None)
        self._bytes -= 0 if before is None else _size(before)
        if _size(kept) > self._most_bytes:
            return
        self._known[name] = kept
        self._bytes += _size(kept)
        while len(self._known) > self._most or self._bytes > self._most_bytes:
            _, oldest = self._known.popitem(last=False)
            self._bytes -= _size(oldest)

    def resumed(self, query: Query) -> Query:
        """The query with what the one before it started from and asked for; its own image, where it has one, counts instead.

        Raises:
            BadQuery: that one is not known here, or the turns are too many.
        """
        if query.previous is None:
            return query
        before = self._known.get((query.shop or "", query.previous))
        if before is None:
            raise BadQuery(
                f"this worker knows no query {query.previous[:200]!r}: send the image again, and the texts of the turns before as `edits`",
                code=Code.UNKNOWN_NAME,
                query_id=query.query_id,
                field=FIELD,
            )
        edits = (*before.edits, *([before.text] if before.text else []), *query.edits)
        if len(edits) > MAX_EDITS or sum(map(len, edits)) > MAX_QUERY_TEXT:
            raise BadQuery(
                f"has more than {MAX_EDITS} turns or {MAX_QUERY_TEXT} characters before it",
                code=Code.OUT_OF_RANGE,
                query_id=query.query_id,
                field=FIELD,
            )
        lent = {one.role: one for one in (*before.images, *query.images)}
        return replace(
            query, image=query.image or before.image, edits=edits, images=tuple(lent.values()), previous=None
        )


def _size(query: Query) -> int:
    texts = (query.query_id, query.text or "", *query.edits)
    return (
        _of(query.image)
        + sum(4 * len(text) for text in texts)
        + sum(4 * len(one.product_id or "") for one in query.images)
    )


def _of(image: ImageRef | None) -> int:
    if image is None:
        return 0
    return len(image.bytes or b"") + sum(4 * len(text) for text in (image.uri or "", image.product_id or ""))
