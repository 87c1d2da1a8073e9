"""`weft captions export`: what each format says, what it leaves alone, and what changed since."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import msgspec
import pytest

from models.fakes import FakeWriter
from processors.errors import BadSetting
from processors.identity import key_of
from streams.contract.records import Caption
from streams.ops.caption_export import FORMATS, Standing, chosen, since
from tests.unit.streams.roles.test_role_caption import GOOD, Scripted, captioner, item, message, through

NOON = 1_770_000_000_000


async def rows() -> list[Standing]:
    """One by the language model, one of a shop that waits, and one that was deleted."""
    caption = await through(captioner(Scripted(GOOD)), message(item("sku-1")))
    assert isinstance(caption, Caption)
    held = await through(replace(captioner(FakeWriter()), by_rule=True), message(item("sku-2")))
    held = msgspec.structs.replace(held, shop="acme", caption='Red; "loud",\na dress.', status="hold")
    return [
        Standing("sku-1", caption, NOON),
        Standing(key_of("acme", "sku-2"), held, NOON + 1000),
        Standing("sku-3", None, NOON + 2000),
    ]


def table(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


async def test_csv_holds_every_text_and_who_wrote_it() -> None:
    """Ids apart from shops, line breaks and quotes as they are, deletions marked."""
    found = table("".join(FORMATS["csv"](await rows())))
    assert [row["product_id"] for row in found] == ["sku-1", "sku-2", "sku-3"]
    assert [row["deleted"] for row in found] == ["", "", "true"]
    first, second, _ = found
    assert (first["caption"], first["writer"], first["machine_made"]) == ("A red dress for every day.", "llm", "true")
    assert first["model"] == FakeWriter().fingerprint
    assert (second["shop"], second["caption"], second["status"]) == ("acme", 'Red; "loud",\na dress.', "hold")
    assert first["title"] == "Red dress"
    assert first["changed"] == "2026-02-02T02:40:00.000Z"


async def test_jsonl_is_the_events() -> None:
    """Each line decodes as a caption; a deletion says so."""
    lines = [json.loads(line) for line in FORMATS["jsonl"](await rows())]
    assert msgspec.convert({k: v for k, v in lines[0].items() if k != "changed"}, Caption).title == "Red dress"
    assert lines[2] == {"product_id": "sku-3", "shop": "", "deleted": True, "changed": "2026-02-02T02:40:02.000Z"}


async def test_shopify_gets_metafields_alone() -> None:
    """The handle, and nothing that people edit: no title, no body, no SEO field."""
    found = table("".join(FORMATS["shopify"](await rows())))
    assert [row["Handle"] for row in found] == ["sku-1", "sku-2"]
    assert all(name == "Handle" or "(product.metafields.weft." in name for name in found[0])
    assert found[0]["Weft title (product.metafields.weft.title)"] == "Red dress"


async def test_merchant_is_told_what_a_model_wrote() -> None:
    """The structured attributes; a text with a colon or quotes is quoted, and a line is a line."""
    found = table("".join(FORMATS["merchant"](await rows())).replace('"', "”"), "\t")
    assert set(found[0]) == {"id", "structured_title", "structured_description"}
    assert found[0]["structured_title"] == "default:Red dress"
    assert found[0]["structured_description"].startswith("trained_algorithmic_media:A red dress")
    assert found[1]["structured_description"].startswith("”default:")
    assert len(found) == 2


async def test_what_changed_since_and_what_may_go_out() -> None:
    """By the time of the record; what waits stays behind, deletions do not."""
    all_of = await rows()
    assert [row.product for row in chosen(all_of, since_ms=0, status="ready")] == ["sku-1", "sku-3"]
    assert [row.product for row in chosen(all_of, since_ms=NOON + 1, status="all")] == [
        key_of("acme", "sku-2"),
        "sku-3",
    ]
    assert since("", 5.0) == 0
    assert since("24h", NOON / 1000) == NOON - 86_400_000
    assert since("2026-02-02T02:40:00Z", 0.0) == since("2026-02-02T02:40:00", 0.0) == NOON
    with pytest.raises(BadSetting, match="--changed-since yesterday"):
        since("yesterday", 0.0)


async def test_a_record_of_before_there_was_a_provenance() -> None:
    """Has empty columns, and is no error."""
    [first, *_] = await rows()
    assert first.caption is not None
    old = replace(first, caption=msgspec.structs.replace(first.caption, provenance=None))
    [row] = table("".join(FORMATS["csv"]([old])))
    assert (row["machine_made"], row["model"], row["caption"]) == ("", "", "A red dress for every day.")
