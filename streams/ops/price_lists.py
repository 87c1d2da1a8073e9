"""A table that says nothing but price, stock, sizes and launch day of products that are there: each row is an update, without a photo."""

from __future__ import annotations

from collections.abc import Sequence

from processors.offers import COLUMN_NAMES
from streams.ops.tables import RejectedRow, Row


def is_price_list(rows: Sequence[Row]) -> bool:
    """Whether every good row gives an id, and of its product columns alone."""
    good = [row for row in rows if not row.problem]
    return bool(good) and all(
        row.product_id and row.metadata and not (row.image or row.further) and COLUMN_NAMES.issuperset(row.metadata)
        for row in good
    )


def updates_in(rows: Sequence[Row]) -> tuple[dict[str, Row], list[RejectedRow]]:
    """The rows of a price list by their products, and those that cannot be used.

    Two rows of one product that say the same are one; where they differ, nobody knows which is meant, and both are refused.
    """
    found: dict[str, Row] = {}
    rejected: list[RejectedRow] = []
    twice: set[str] = set()
    for row in rows:
        if row.problem:
            rejected.append(RejectedRow(row.where, row.problem, row.raw))
            continue
        known = found.setdefault(row.product_id, row)
        if known.metadata != row.metadata:
            cause = f"product {row.product_id!r} is in the table twice, with other values"
            firsts = [] if row.product_id in twice else [known]
            rejected += [RejectedRow(one.where, cause, (row.product_id,)) for one in (*firsts, row)]
            twice.add(row.product_id)
    return {product: row for product, row in found.items() if product not in twice}, rejected
