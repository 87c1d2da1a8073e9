"""The metadata of an upload, typed."""

from __future__ import annotations

from processors import offers, said
from processors.errors import Code, Poison
from processors.values import Metadata
from streams.contract.limits import MAX_FACET_NAME, MAX_FACETS, MAX_TEXT
from streams.contract.records import Upload

_TEXT_FIELDS = ("title", "description", "brand", "gender", "fabric", "category")


def metadata_of(upload: Upload) -> Metadata:
    """The typed metadata of an upload: known fields, every other string as a facet, and the rest as it came.

    A null is none.

    Raises:
        Poison: a value of the wrong type, too long, or too many facets; names the field.
    """
    given = {name: value for name, value in (upload.metadata or {}).items() if value is not None}
    texts = {name: _text(name, given.pop(name, "")) for name in _TEXT_FIELDS}
    price = _price(given.pop("price", None))
    offer = offers.take_offer(given)
    group_id, tags = said.take_group(given, upload.group_id), said.take_tags(given)
    path = said.take_path(given, texts["category"])
    texts["category"] = texts["category"] or said.category_in(path)
    if len(given) > MAX_FACETS:
        raise Poison(f"more than {MAX_FACETS} facets", field="metadata", code=Code.OUT_OF_RANGE)
    if any(not name or len(name) > MAX_FACET_NAME for name in given):
        raise Poison(
            f"a facet's name is empty or longer than {MAX_FACET_NAME} characters",
            field="metadata",
            code=Code.OUT_OF_RANGE,
        )
    more = {name: value for name, value in given.items() if not isinstance(value, str)}
    if more:
        said.check_more(more)
    return Metadata(
        **texts,
        price=price,
        facets={name: _text(name, value) for name, value in given.items() if name not in more},
        sale_price=offer.sale_price,
        currency=offer.currency,
        in_stock=offer.in_stock,
        sizes=offer.sizes,
        launched=offer.launched,
        group_id=group_id,
        category_path=path,
        tags=tags,
        more=more,
    )


def check_metadata(upload: Upload) -> None:
    """What `metadata_of` raises; a part of nothing but price, stock, sizes and launch day is not made into metadata for that.

    Raises:
        Poison: as of `metadata_of`.
    """
    given = upload.metadata or {}
    if upload.group_id is None and given and offers.COLUMN_NAMES.issuperset(given):
        columns = {name: value for name, value in given.items() if value is not None}
        _price(columns.pop("price", None))
        offers.take_offer(columns)
        if not columns:
            return
    metadata_of(upload)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise Poison(f"expected a string, got {type(value).__name__}", field=f"metadata.{name}", code=Code.WRONG_TYPE)
    if len(value) > MAX_TEXT:
        raise Poison(f"is longer than {MAX_TEXT} characters", field=f"metadata.{name}", code=Code.OUT_OF_RANGE)
    return value


def _price(value: object) -> float | None:
    if value is None:
        return None
    price = offers.read_price("price", value)
    if price is None:
        raise Poison("expected a number", field="metadata.price", code=Code.WRONG_TYPE)
    return price
