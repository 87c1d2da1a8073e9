"""Captions as files for shop systems: CSV, Shopify's products, Google Merchant's supplemental feed, JSON Lines.

No format has a column that a shop edits its own texts in: Shopify's are metafields, Merchant's the structured attributes that Google asks for
where a machine wrote. So an import never overwrites what somebody edited there. Provenance goes with every row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from infra.settings import Settings
from processors.errors import BadSetting
from processors.identity import split
from streams.contract import topics
from streams.contract.records import Caption
from streams.kafka.client import Reader, caption_in

MERCHANT_TITLE, MERCHANT_DESCRIPTION = 150, 5000
"""Characters that Google Merchant takes."""
_SPAN = re.compile(r"(\d{1,6})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400}
_BY_MACHINE, _BY_NOBODY = "trained_algorithmic_media", "default"


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands of one product. `caption`: None, it was deleted. `changed_ms`: when its record was written, milliseconds since the epoch."""

    product: str
    caption: Caption | None
    changed_ms: int


async def standing(settings: Settings, shop: str | None = None) -> list[Standing]:
    """The last word on every product, in the order in which they changed. `shop`: of this shop only."""
    found: dict[str, Standing] = {}
    async with Reader(settings, topics.CAPTIONS) as reader:
        async for raw in reader.to_end():
            key = (raw.key or b"").decode("utf-8", "replace")
            caption = caption_in(raw)
            if (caption is None and raw.value is not None) or shop not in {None, split(key)[0]}:
                continue
            found[key] = Standing(key, caption, raw.timestamp_ms)
    return sorted(found.values(), key=lambda one: (one.changed_ms, one.product))


def since(text: str, now: float) -> int:
    """A time, or a span before `now` (seconds since the epoch), as milliseconds since the epoch; 0 for "". Raises `BadSetting`."""
    if not text:
        return 0
    if span := _SPAN.fullmatch(text):
        return round((now - int(span[1]) * _SECONDS[span[2]]) * 1000)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadSetting(f"--changed-since {text}: neither a time as 2026-01-31T12:00:00Z, nor a span as 24h") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def chosen(all_of: Iterable[Standing], *, since_ms: int, status: str) -> list[Standing]:
    """Those that changed at `since_ms` or later and have this status ("all": any); deletions always."""
    return [
        one
        for one in all_of
        if one.changed_ms >= since_ms and (one.caption is None or status in ("all", one.caption.status))
    ]


def as_jsonl(rows: Iterable[Standing]) -> Iterator[str]:
    """A `Caption` a line with `changed`; of a deleted product `{"product_id", "shop", "deleted": true, "changed"}`."""
    for row in rows:
        shop, product_id = split(row.product)
        body = (
            {"product_id": product_id, "shop": shop, "deleted": True}
            if row.caption is None
            else msgspec.to_builtins(row.caption)
        )
        yield msgspec.json.encode(body | {"changed": _time(row.changed_ms)}).decode() + "\n"


def as_csv(rows: Iterable[Standing]) -> Iterator[str]:
    """One row a product, deleted ones with `deleted` true and no texts."""
    yield from _table(_COLUMNS, ([column(row) for column in _COLUMNS.values()] for row in rows), ",")


def as_shopify(rows: Iterable[Standing]) -> Iterator[str]:
    """Shopify's product CSV: the handle and metafields of the namespace `weft`; `product_id` has to be the handle.

    Raises:
        BadSetting: two shops have a product of one id.
    """
    columns: dict[str, Callable[[Standing], str]] = {
        "Handle": lambda row: split(row.product)[1],
        **{
            f"Weft {name.replace('_', ' ')} (product.metafields.weft.{name})": column
            for name, column in _COLUMNS.items()
            if name not in ("product_id", "shop", "deleted")
        },
    }
    there = _of_one_shop_each([row for row in rows if row.caption is not None])
    yield from _table(columns, ([column(row) for column in columns.values()] for row in there), ",")


def as_merchant(rows: Iterable[Standing]) -> Iterator[str]:
    """A supplemental feed (TSV) with `structured_title` and `structured_description`, marked as made by a model where one wrote them.

    Raises:
        BadSetting: two shops have a product of one id.
    """
    columns: dict[str, Callable[[Caption], str]] = {
        "id": lambda caption: caption.product_id,
        # Title and description are by rule in every case; the caption's writer is what Google asks about.
        "structured_title": lambda caption: _structured(_BY_NOBODY, _shortened(caption.title, MERCHANT_TITLE)),
        "structured_description": lambda caption: _structured(
            _BY_MACHINE if caption.writer == "llm" else _BY_NOBODY,
            _shortened(caption.caption, MERCHANT_DESCRIPTION),
        ),
    }
    there = _of_one_shop_each([row for row in rows if row.caption is not None and row.caption.title])
    told = [row.caption for row in there if row.caption is not None]
    yield from _table(columns, ([column(caption) for column in columns.values()] for caption in told), "\t")


def _of_one_shop_each(rows: list[Standing]) -> list[Standing]:
    """The rows, whose ids name one product each: these formats know no shops, so of two rows one would overwrite the other where it is read."""
    seen: dict[str, str] = {}
    for row in rows:
        shop, product_id = split(row.product)
        if seen.setdefault(product_id, shop) != shop:
            two = " and ".join(sorted(name or "no shop" for name in (shop, seen[product_id])))
            raise BadSetting(f"product {product_id} is of {two}, and this format has no column for it: say --shop")
    return rows


FORMATS: dict[str, Callable[[Iterable[Standing]], Iterator[str]]] = {
    "csv": as_csv,
    "shopify": as_shopify,
    "merchant": as_merchant,
    "jsonl": as_jsonl,
}


def _of(field: str) -> Callable[[Standing], str]:
    return lambda row: "" if row.caption is None else str(getattr(row.caption, field))


def _provenance(field: str) -> Callable[[Standing], str]:
    def told(row: Standing) -> str:
        made = row.caption.provenance if row.caption is not None else None
        value = getattr(made, field) if made is not None else None
        if isinstance(value, tuple):
            return " ".join(value)
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    return told


_COLUMNS: dict[str, Callable[[Standing], str]] = {
    "product_id": lambda row: split(row.product)[1],
    "shop": lambda row: split(row.product)[0],
    "title": _of("title"),
    "caption": _of("caption"),
    "description": _of("description"),
    "alt": _of("alt"),
    "meta": _of("meta"),
    "hashtags": lambda row: "" if row.caption is None else " ".join(row.caption.hashtags),
    "locale": _of("locale"),
    "kit": _of("kit"),
    "status": _of("status"),
    "reasons": lambda row: "" if row.caption is None else " ".join(row.caption.reasons),
    "writer": _of("writer"),
    "machine_made": _provenance("machine_made"),
    "model": _provenance("model"),
    "version": _provenance("version"),
    "inferred": _provenance("inferred"),
    "reviewed_by": _provenance("reviewed_by"),
    "changed": lambda row: _time(row.changed_ms),
    "deleted": lambda row: "true" if row.caption is None else "",
}


def _table(columns: Iterable[str], rows: Iterable[list[str]], delimiter: str) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n" if delimiter == "," else "\n")
    for row in ([*columns], *rows):
        writer.writerow([" ".join(cell.split()) if delimiter == "\t" else cell for cell in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _structured(source: str, text: str) -> str:
    """Google's sub-attributes between colons; a text is quoted where it holds a colon or a quote."""
    quoted = '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ':"') else text
    return f"{source}:{quoted}"


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rsplit(" ", 1)[0] + "…"


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
