"""The table of hostile inputs, case by case, on decoder, codecs, fetcher and the walk of a folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from infra.fetch import Fetcher
from infra.local_store import LocalStore
from infra.memory_store import MemoryStore
from infra.settings import Settings
from processors.decode import check_header, decode
from processors.errors import Poison
from processors.image_header import sniff
from streams.contract import topics
from streams.contract.checks import BadQuery
from streams.contract.codecs import decode_query, decode_upload, encode
from streams.contract.metadata import metadata_of
from streams.contract.records import Query, Upload
from streams.engine.message import Message
from streams.ops.ingest import Photo, announce
from streams.ops.sources import walk
from tests.fixtures import hostile

IMAGES = hostile.image_cases()
RECORDS = hostile.record_cases()
# The others are refused later: by the fetcher, the decoder, the index, the reader of edits.
LATER = {"bad_image", "unknown_product"}
QUERIES = [case for case in hostile.query_cases() if case.field not in LATER and case.name != "q-only-emoji"]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case.name)
def test_images(case: hostile.ImageCase) -> None:
    """A valid image of any kind becomes pixels; anything else is Poison that names the field and the cause."""
    if case.fate is None:
        assert decode(case.data, max_side=64).pixels.shape[2] == 3
        return
    with pytest.raises(Poison) as refused:
        decode(case.data, max_side=64)
    assert refused.value.field == "image"
    assert case.fate in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("case", [c for c in IMAGES if c.fate and "is more than" in c.fate], ids=lambda c: c.name)
def test_bombs_are_refused_from_their_header(case: hostile.ImageCase) -> None:
    """No decoder sees them."""
    with pytest.raises(Poison, match="is more than"):
        check_header(case.data[:200] if case.name.endswith("png") else case.data)


@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case.name)
def test_what_is_no_image_is_known_by_its_first_bytes(case: hostile.ImageCase) -> None:
    """`weft ingest` stores nothing else, whatever the file is called."""
    if not case.sniffed:
        assert sniff(case.data)
        return
    with pytest.raises(Poison, match=case.fate):
        sniff(case.data)


@pytest.mark.parametrize("case", RECORDS, ids=lambda case: case.name)
def test_uploads(case: hostile.RecordCase) -> None:
    """A record is read, or refused with the field that is at fault."""
    message = Message(topics.UPLOADS, 0, 0, case.key, case.value)
    if case.fate is None:
        upload = decode_upload(message)
        assert upload is not None
        assert encode(upload), "it can be written again"
        metadata_of(upload)
        return
    with pytest.raises(Poison) as refused:
        metadata_of(decode_upload(message))  # type: ignore[arg-type]
    assert refused.value.field.split("[")[0] == case.field
    assert case.fate in str(refused.value)


@pytest.mark.parametrize("case", QUERIES, ids=lambda case: case.name)
def test_queries(case: hostile.RecordCase) -> None:
    """A query is read, or refused with a code and under its own id, so that its asker is answered."""
    message = Message(topics.QUERIES, 0, 0, case.key, case.value)
    if case.fate is None:
        assert isinstance(decode_query(message), Query)
        return
    with pytest.raises(BadQuery) as refused:
        decode_query(message)
    assert (refused.value.code, refused.value.query_id) == (case.field, case.name)
    assert case.fate in str(refused.value)


@contextmanager
def listener() -> Iterator[tuple[int, list[object]]]:
    """A port inside, and who connected to it."""
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        server.setblocking(False)
        seen: list[object] = []
        yield server.getsockname()[1], seen
        try:
            while True:
                seen.append(server.accept())
        except BlockingIOError:
            pass
    assert not seen, "somebody connected inside"


async def read(fetcher: Fetcher, case: hostile.RecordCase) -> bytes:
    upload = decode_upload(Message(topics.UPLOADS, 0, 0, case.key, case.value))
    assert upload is not None
    return await fetcher.fetch(upload.image.uri or "")


async def test_addresses(tmp_path: Path) -> None:
    """Nothing inside is connected to and no file outside is read, though the hosts are on the list."""
    store = LocalStore(tmp_path / "store")
    with listener() as (port, _):
        cases = hostile.address_cases(tmp_path, store.root, port)
        hosts, roots = tuple(hostile.inside_hosts(port)), (tmp_path / "allowed",)
        async with Fetcher(Settings(allowed_hosts=hosts, file_roots=roots), store) as fetcher:
            for case in cases:
                with pytest.raises(Poison) as refused:
                    await read(fetcher, case)
                assert refused.value.field == "image.uri", case.name
                assert case.fate is not None
                assert case.fate in str(refused.value), case.name


async def test_whether_a_file_outside_exists_is_not_told(tmp_path: Path) -> None:
    """The answer is the same for a file that is there and for one that is not."""
    (tmp_path / "there").write_bytes(b"x")
    (tmp_path / "root").mkdir()
    async with Fetcher(Settings(file_roots=(tmp_path / "root",)), MemoryStore()) as fetcher:
        told = []
        for name in ("there", "absent"):
            with pytest.raises(Poison) as refused:
                await fetcher.fetch((tmp_path / name).as_uri())
            told.append(str(refused.value))
    assert told[0] == told[1]


def test_a_folder_of_rubbish(tmp_path: Path) -> None:
    """Pipes, sockets, devices, links that loop: the walk ends, and each photo is an upload or a named refusal."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "good.jpg").write_bytes(hostile.GOOD)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "endless.jpg").symlink_to("/dev/zero")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    (folder / "folder.jpg").mkdir()
    (folder / "[red]\x1b[2J.jpg").write_bytes(hostile.GOOD)
    store = MemoryStore("test")
    sent, refused = [], {}
    for source in walk(folder).sources:
        photo = Photo(source.product_id, source.path, dict(source.metadata))
        try:
            sent.append(announce(photo, store, 2**20).product_id)
        except Poison as error:
            refused[source.product_id] = str(error)
    assert sorted(sent) == ["[red]\x1b[2J", "good"]
    assert set(refused) == {"pipe", "endless", "loop", "gone"}
    assert len(list(store.list())) == 1, "the same photo twice, and nothing else"


def test_hostile_tables(tmp_path: Path) -> None:
    """A cell of ten megabytes costs its field, an id of four kilobytes its row; both are named."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jpg").write_bytes(hostile.GOOD)
    rows = f"id,image,description\nhuge,a.jpg,{'x' * 10_000_000}\n{'i' * 4096},b.jpg,fine\nfine,c.jpg,fine\n"
    (tmp_path / "products.csv").write_text(rows)
    catalogue = walk(tmp_path)
    assert catalogue.rejected == ()
    store, told = MemoryStore("test"), {}
    for source in catalogue.sources:
        try:
            announce(Photo(source.product_id, source.path, dict(source.metadata)), store, 2**20)
        except Poison as error:
            told[source.product_id] = error.field
    assert told == {"i" * 4096: "product_id"}
    assert [(row.where, "description has 10,000,000 characters" in row.cause) for row in catalogue.noted] == [
        ("products.csv line 2", True)
    ]


def test_a_table_that_never_ends(tmp_path: Path) -> None:
    """A link to a device is no table; nor do the photos beside it come in under names that are not the shop's."""
    (tmp_path / "a.jpg").write_bytes(hostile.GOOD)
    (tmp_path / "products.csv").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "products.jsonl")
    catalogue = walk(tmp_path)
    assert [row.where for row in catalogue.rejected] == ["products.csv", "products.jsonl"]
    assert catalogue.sources == ()


def test_metadata_that_no_broker_takes(tmp_path: Path) -> None:
    """Within every limit of a field and too large in all: refused with its name, before it ends the ingest."""
    path = tmp_path / "a.jpg"
    path.write_bytes(hostile.GOOD)
    metadata = {f"facet-{n}": "€" * 20_000 for n in range(100)}
    with pytest.raises(Poison) as refused:
        announce(Photo("a", path, metadata), MemoryStore("test"), 2**20)
    assert refused.value.field == "metadata"


def test_an_upload_that_is_fine_is_not_changed(tmp_path: Path) -> None:
    """The checks of an ingest leave the record as it is."""
    path = tmp_path / "a.jpg"
    path.write_bytes(hostile.GOOD)
    upload = announce(Photo("a", path, {"title": hostile.RIGHT_TO_LEFT, "price": 7.5}), MemoryStore("test"), 2**20)
    assert msgspec.json.decode(msgspec.json.encode(upload), type=Upload) == upload
    assert upload.metadata == {"title": hostile.RIGHT_TO_LEFT, "price": 7.5}
