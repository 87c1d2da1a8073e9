"""Products of several photos on their way into the store: what the upload says of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.memory_store import MemoryStore
from infra.settings import Settings
from processors.errors import Poison
from streams.contract import topics
from streams.contract.codecs import decode_upload, encode
from streams.contract.records import Upload
from streams.engine.message import Message
from streams.ops.feed import Change, Known, images_in, plan, take_in
from streams.ops.ingest import Photo, announce, role_in
from tests.fixtures.stack import photo_of


def several(folder: Path, *names: str, equal: bool = False) -> Photo:
    """One product with a photo of each name."""
    paths = []
    for number, name in enumerate(names):
        one = photo_of(folder, name, (40 * number, 0, 90), title="A")
        assert one.path is not None
        paths.append(one.path)
    return Photo("sku-1", paths[0], {"title": "A"}, further=tuple(paths[1:]), equal=equal)


def sent(photo: Photo, store: MemoryStore) -> Upload:
    upload = announce(photo, store, 2**25)
    decoded = decode_upload(Message(topics.UPLOADS, 0, 0, photo.product_id.encode(), encode(upload)))
    assert decoded is not None
    return decoded


def test_the_image_of_a_table_is_the_main_one(tmp_path: Path) -> None:
    """Further photos have the role that their names end with."""
    store = MemoryStore("test")
    upload = sent(several(tmp_path, "dress", "dress_back", "dress-main", "dress2"), store)
    assert upload.image is not None
    assert upload.images is not None
    assert [one.role for one in upload.images] == ["back", None, None]
    assert all(store.exists(one.uri or "") for one in (upload.image, *upload.images))


def test_of_a_folder_none_is_the_image_unless_it_is_called_so(tmp_path: Path) -> None:
    """The engine takes the first that shows a garment."""
    upload = sent(several(tmp_path, "detail", "front", "main", equal=True), MemoryStore("test"))
    assert (upload.image, upload.images and [one.role for one in upload.images]) == (None, ["detail", "front", "main"])


def test_a_photo_that_cannot_be_used_is_named_and_nothing_is_stored(tmp_path: Path) -> None:
    """It is one of several."""
    photo, store = several(tmp_path, "a", "b"), MemoryStore("test")
    broken = photo.further[0]
    assert isinstance(broken, Path)
    broken.write_bytes(b"no photo")
    with pytest.raises(Poison, match=broken.name):
        announce(photo, store, 2**25)
    assert list(store.list()) == []


@pytest.mark.parametrize(
    ("name", "role"),
    [("sku-1_back", "back"), ("Detail 2", "detail"), ("backpack", None), ("123", None), ("my packshot", "packshot")],
)
def test_the_last_word_of_a_name_may_be_a_role(name: str, role: str | None) -> None:
    """A word within another is none."""
    assert role_in(name) == role


def test_a_feed_compares_all_photos_of_a_product(tmp_path: Path) -> None:
    """One that was added or taken away is a change of photos; parts and versions count as enrich takes them in."""
    photo, store, settings = several(tmp_path, "a", "b"), MemoryStore("test"), Settings()
    upload = announce(photo, store, settings.max_image_bytes)
    products: dict = {}
    later = Upload("sku-1", metadata={"title": "B", "season": "summer"}, version=2)
    for offset, one in enumerate((upload, later, Upload("sku-1", metadata={"title": "C"}, version=1))):
        take_in(products, Message(topics.UPLOADS, 0, offset, b"sku-1", encode(one), (), 1000 + offset))
    product = products["sku-1"]
    known = {"sku-1": Known(tuple(place.address for place in product.photos), product.metadata)}
    assert known["sku-1"].metadata == {"title": "B", "season": "summer"}
    images_of = images_in(store, settings)
    assert plan([photo], [], [], known, images_of).changes[0][1] is Change.FACTS
    assert plan([several(tmp_path, "a")], [], [], known, images_of).changes[0][1] is Change.PHOTO
    take_in(products, Message(topics.UPLOADS, 0, 9, b"sku-1", None, (), 2000))
    assert not products["sku-1"].alive


def test_what_the_shop_says_a_photo_shows_comes_before_its_name(tmp_path: Path) -> None:
    """And where it says so of the first, none of them is taken for the main one but the one that is called so."""
    photo = several(tmp_path, "first", "dress_back", "third")
    told = replace(photo, roles={photo.places[0]: "swatch", photo.places[1]: "main"})
    upload = sent(told, MemoryStore("test"))
    assert (upload.image, upload.images and [one.role for one in upload.images]) == (None, ["swatch", "main", None])
    upload = sent(replace(photo, roles={photo.places[2]: "detail"}), MemoryStore("test"))
    assert upload.image is not None
    assert [one.role for one in upload.images or ()] == ["back", "detail"]
