"""A feed against the catalogue: what is new, changed, unchanged, gone; and feeds in XML and with addresses."""

from __future__ import annotations

import contextlib
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.memory_store import MemoryStore
from infra.settings import Settings
from processors.errors import Poison
from streams.contract import topics
from streams.engine.message import ORIGIN, Message
from streams.kafka.dead_letters import PREFIX
from streams.ops.feed import Change, Known, images_in, plan, refused_upload
from streams.ops.ingest import Photo, RefusedProduct, announce
from streams.ops.sources import SourcePhoto, walk
from streams.ops.table_xml import read_items
from tests.fixtures.stack import photo_of

GOOGLE = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>A shop</title><link>https://shop.example</link>
<item><g:id>sku-1</g:id><title>Wrap dress</title><g:image_link>https://cdn.example/1.jpg</g:image_link>
<g:additional_image_link>https://cdn.example/1b.jpg</g:additional_image_link>
<g:additional_image_link>https://cdn.example/1c.jpg</g:additional_image_link>
<g:price>79.00 EUR</g:price><g:color>navy</g:color>
<g:shipping><g:country>DE</g:country><g:price>4.90 EUR</g:price></g:shipping></item>
<item><g:id>sku-2</g:id><title><![CDATA[Boots & more]]></title><g:image_link>https://cdn.example/2.jpg</g:image_link></item>
<item><g:id>sku-3</g:id><title>No photo</title></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">
<entry><g:id>sku-1</g:id><title>Wrap dress</title><link href="https://shop.example/1"/><g:image_link>https://cdn.example/1.jpg</g:image_link></entry></feed>"""


def photo(product_id: str, address: str = "", **metadata: Any) -> Photo:
    return Photo(product_id, None, metadata, address or f"https://cdn.example/{product_id}.jpg")


def known(*photos: Photo) -> dict[str, Known]:
    return {one.product_id: Known((one.address,), one.metadata) for one in photos}


def address_of(one: Photo) -> tuple[str, ...]:
    return (one.address,)


# ---------------------------------------------------------------- what is there


def letter(topic: str, offset: str, *headers: tuple[str, bytes]) -> Message:
    told = [("topic", topic), ("partition", "3"), ("offset", offset)]
    return Message(
        topics.DEAD_LETTERS, 0, 0, b"sku-1", b"{}", (*((f"{PREFIX}{n}", v.encode()) for n, v in told), *headers)
    )


def test_an_upload_that_was_refused_is_known_by_its_letter() -> None:
    """By where it first lay: one that was passed on, too. Letters of items, and what is no letter, name none."""
    assert refused_upload(letter(topics.UPLOADS, "81")) == (topics.UPLOADS, 3, 81)
    passed_on = Message(topics.UPLOADS, 5, 9, b"sku-1").identity
    assert refused_upload(letter(topics.UPLOADS, "81", (ORIGIN, passed_on.encode()))) == (topics.UPLOADS, 5, 9)
    assert refused_upload(letter(topics.ITEMS, "81")) is None
    assert refused_upload(letter(topics.UPLOADS, "x")) is None
    assert refused_upload(Message(topics.DEAD_LETTERS, 0, 0, b"k", b"{}")) is None


# ---------------------------------------------------------------- feeds


@pytest.mark.parametrize("packed", [False, True])
def test_a_google_feed_is_a_catalogue_of_addresses(tmp_path: Path, packed: bool) -> None:
    """The shipping's price is not the product's; further photos are the product's; a product without a photo is named."""
    file = tmp_path / ("merchant.xml.gz" if packed else "merchant.xml")
    file.write_bytes(gzip.compress(GOOGLE.encode()) if packed else GOOGLE.encode())
    found = walk(file)
    assert found.sources == (
        SourcePhoto(
            "sku-1",
            None,
            {"title": "Wrap dress", "price": 79.0, "color": "navy", "currency": "EUR"},
            "https://cdn.example/1.jpg",
            ("https://cdn.example/1b.jpg", "https://cdn.example/1c.jpg"),
        ),
        SourcePhoto("sku-2", None, {"title": "Boots & more"}, "https://cdn.example/2.jpg"),
    )
    [row] = found.rejected
    assert "sku-3" in row.words
    assert row.where == f"{file.name} item 3"


def test_an_atom_feed_is_read_too(tmp_path: Path) -> None:
    """Its links are attributes."""
    (tmp_path / "feed.xml").write_text(ATOM)
    [source] = walk(tmp_path / "feed.xml").sources
    assert (source.product_id, source.address) == ("sku-1", "https://cdn.example/1.jpg")


def test_a_feed_of_any_name_knows_the_photos_beside_it_and_no_others(tmp_path: Path) -> None:
    """What lies in a folder of downloads beside a feed is not what was asked about."""
    for name in ("a", "b"):
        photo_of(tmp_path, name, (200, 0, 0))
    (tmp_path / "tonight.csv").write_text(
        "id,image\nsku-1,a.png\nsku-2,https://cdn.example/b.png\nsku-3,https://cdn.example/c.png\n"
    )
    found = walk(tmp_path / "tonight.csv")
    assert [(s.product_id, s.path and s.path.name, s.address) for s in found.sources] == [
        ("sku-1", "a.png", ""),
        ("sku-2", "b.png", ""),
        ("sku-3", None, "https://cdn.example/c.png"),
    ]
    assert (found.rejected, found.noted) == ((), ())


@pytest.mark.parametrize("address", ["http://cdn.example/a.jpg", "ftp://cdn.example/a.jpg", "file:///etc/passwd"])
def test_only_https_is_sent_as_an_address(tmp_path: Path, address: str) -> None:
    """The engine would refuse the others, one dead letter a product."""
    (tmp_path / "tonight.csv").write_text(f"id,image\nsku-1,{address}\n")
    assert [row.where for row in walk(tmp_path / "tonight.csv").rejected] == ["tonight.csv line 2"]


def test_a_product_twice_in_a_feed_of_addresses_is_named(tmp_path: Path) -> None:
    """The first counts, as in a folder's table."""
    (tmp_path / "f.csv").write_text("id,image,title\na,https://c.example/1.jpg,One\na,https://c.example/2.jpg,Two\n")
    found = walk(tmp_path / "f.csv")
    assert [s.address for s in found.sources] == ["https://c.example/1.jpg"]
    assert "twice" in found.rejected[0].cause


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<rss><channel><item><id>1</id></item>", "no XML"),
        (b"not xml", "no XML"),
        (b"<rss><channel></channel></rss>", "no product"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><rss><item><id>&b;</id></item></rss>', "DOCTYPE"),
        (b'<?xml version="1.0" encoding="klingon"?><rss><item/></rss>', "no XML"),
    ],
)
def test_what_is_no_feed_says_why(data: bytes, words: str) -> None:
    """An entity may unfold to gigabytes: declarations are not read at all."""
    with pytest.raises(Poison, match=words):
        list(read_items(data))


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader_of_xml(data: bytes) -> None:
    """Rubbish is a sentence, or products."""
    with contextlib.suppress(Poison):
        list(read_items(b"<rss><item>" + data + b"</item></rss>"))


# ---------------------------------------------------------------- against what is there


def test_every_product_is_one_kind_of_change() -> None:
    """Prices alone are columns; a fact that is gone is a changed fact."""
    there = known(
        photo("same", title="A", price=10.0),
        photo("price", title="A", price=10.0),
        photo("facts", title="A", colour="red"),
        photo("less", title="A", colour="red"),
        photo("photo", "https://cdn.example/old.jpg", title="A"),
        photo("gone", title="A"),
    )
    feed = [
        photo("same", title="A", price=10.0),
        photo("price", title="A", price=12.5),
        photo("facts", title="A", colour="blue"),
        photo("less", title="A"),
        photo("photo", title="A"),
        photo("new", title="A"),
    ]
    found = plan(feed, [], [], there, address_of)
    assert [(one.product_id, change) for one, change in found.changes] == [
        ("same", Change.UNCHANGED),
        ("price", Change.COLUMNS),
        ("facts", Change.FACTS),
        ("less", Change.FACTS),
        ("photo", Change.PHOTO),
        ("new", Change.NEW),
    ]
    assert found.gone == ("gone",)
    assert [one.product_id for one in found.to_send] == ["price", "facts", "less", "photo", "new"]
    assert found.counts() == {"new": 1, "photo": 1, "facts": 2, "columns": 1, "unchanged": 1, "gone": 1, "refused": 0}


def test_a_product_whose_row_is_bad_is_not_gone() -> None:
    """Nor one whose photo cannot be read tonight."""

    def unreadable(one: Photo) -> str:
        if one.product_id == "b":
            raise Poison("the file cannot be read", field="image")
        return one.address

    there = known(photo("a"), photo("b"), photo("c"))
    found = plan([photo("b")], [RefusedProduct("f.csv line 3", "ingest", "bad")], ["a", "x"], there, unreadable)
    assert found.gone == ("c",)
    assert [item.product_id for item in found.refused] == ["f.csv line 3", "b"]


@pytest.mark.parametrize(("gone", "too_many"), [(0, False), (2, False), (3, True), (10, True)])
def test_a_feed_that_lacks_more_than_a_fifth_is_not_believed(gone: int, too_many: bool) -> None:
    """One that was cut off on its way must not empty a shop."""
    there = [photo(str(number)) for number in range(10)]
    assert plan(there[gone:], [], [], known(*there), address_of).too_many_gone is too_many


def test_a_photo_is_compared_by_what_would_be_stored(tmp_path: Path) -> None:
    """What `weft ingest` sent the night before is unchanged, and nothing is written to find that out."""
    store, settings = MemoryStore("test"), Settings()
    one = photo_of(tmp_path, "a", (200, 0, 0), title="A")
    upload = announce(one, store, settings.max_image_bytes)
    there = {"a": Known((upload.image.uri or "",), json.loads(json.dumps(upload.metadata)))}
    other = MemoryStore("test")
    assert plan([one], [], [], there, images_in(other, settings)).changes == ((one, Change.UNCHANGED),)
    assert list(other.list()) == []
    changed = photo_of(tmp_path, "a", (0, 0, 200), title="A")
    assert plan([changed], [], [], there, images_in(other, settings)).changes == ((changed, Change.PHOTO),)
