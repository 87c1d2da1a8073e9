"""docs/operations.md, run: a shop is backed up, restored, and its store moved; nobody reads of photos that are gone."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from minio import Minio

from infra.settings import Settings
from infra.stores import open_store
from streams.cli.client import _query as query_of_cli
from streams.cli.exits import Exit
from streams.cli.store import _state as state_of
from streams.contract import topics
from streams.contract.codecs import decode_item
from streams.contract.records import Caption, ImageRef, Query, Upload
from streams.kafka.client import Client, Reader, new_query_id
from streams.ops.doctor import Finding, examine
from streams.ops.ingest import Ingest
from tests.fixtures.s3_servers import S3Server
from tests.fixtures.stack import Up, photo_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BLOCKS = [
    (kind, text)
    for kind, text in re.findall(r"```sh run ?(\w*)\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    if kind != "generations"  # test_generations.py runs these
]
ONE_PROCESS = ("--single-process",)
PRODUCTS = [f"shop-{n}" for n in range(3)]


@dataclass
class Shop:
    """The folders that the page names by variables, and the block that comes next."""

    folder: Path
    environment: dict[str, str]
    next_block: int = 0

    def run(self, kind: str) -> str:
        """Run the next block of the page, which must be of this kind; returns what it printed."""
        found, text = BLOCKS[self.next_block]
        assert found == kind, f"block {self.next_block} of the page is {found!r}"
        self.next_block += 1
        script = f'set -euo pipefail\n{text}\necho "WEFT_STORE_URL=${{WEFT_STORE_URL:-}}"'
        done = subprocess.run(["bash", "-c", script], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    places = {name: tmp_path / name.lower() for name in ("DATA", "BACKUP", "RESTORED", "MOVED")}
    places["BACKUP"].mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return Shop(tmp_path, {**os.environ, "PATH": path, **{name: str(place) for name, place in places.items()}})


def photos_found(up: Up) -> dict[str, Path]:
    """What `weft query` shows a person: product → file, of the best hits."""
    asked = Query(new_query_id(), text="red", deadline_ms=60_000)
    hits = asyncio.run(query_of_cli(asked, None, None, up.data_dir)).hits
    return {hit.product_id: Path(unquote(urlsplit(hit.image).path)) for hit in hits}


def photos_finding(up: Up) -> Finding:
    return next(finding for finding in asyncio.run(examine(up.settings)) if finding.part == "photos")


async def ingested(up: Up, folder: Path) -> None:
    settings = up.settings
    async with Client(settings) as client:
        job = Ingest(client, open_store(settings), settings)
        outcomes = await job.send_and_wait([photo_of(folder, name, (200, 20, 30)) for name in PRODUCTS], 120)
    assert all(isinstance(one, Caption) for one in outcomes)
    async with Reader(settings, topics.ITEMS) as items:
        images = [decode_item(raw.value or b"").image async for raw in items.to_end()]
    assert all(re.fullmatch(r"images/../../[0-9a-f]{64}\.png", image) for image in images), images


async def item_of(up: Up, product_id: str, address: str) -> str:
    """The photo's address in the item that an upload becomes."""
    async with Client(up.settings) as client, Reader(up.settings, topics.ITEMS, from_end=True) as items:
        await client.upload([Upload(product_id, ImageRef(uri=address))])
        async with asyncio.timeout(60):
            async for raw in items.follow():
                if raw.key == product_id.encode():
                    return decode_item(raw.value or b"").image
    raise AssertionError(product_id)


def serving(up: Up, store: Path) -> None:
    """Every product is found, its photo lies in this store and can be opened, and doctor says so."""
    found = photos_found(up)
    assert set(PRODUCTS) <= found.keys()
    assert all(path.is_relative_to(store) and path.is_file() for path in found.values()), found
    finding = photos_finding(up)
    assert finding.ok, finding


def test_a_shop_is_backed_up_restored_and_moved(shop: Shop) -> None:
    """The page from top to bottom."""
    up = Up(Path(shop.environment["DATA"]), arguments=ONE_PROCESS)
    up.start()
    asyncio.run(ingested(up, shop.folder))
    serving(up, up.data_dir / "store")
    old_address = open_store(up.settings).uri(photos_found(up)["shop-0"].relative_to(up.data_dir / "store").as_posix())
    assert "the cluster's" in shop.run("")
    assert up.stop() == 0
    shop.run("stopped")  # backup

    shop.run("stopped")  # restore
    restored = Up(Path(shop.environment["RESTORED"]), arguments=ONE_PROCESS)
    restored.start()
    serving(restored, restored.data_dir / "store")
    assert restored.stop() == 0

    shop.run("stopped")  # move
    moved = Path(shop.environment["MOVED"])
    [line] = [line for line in shop.run("start").splitlines() if line.startswith("WEFT_STORE_URL=")]
    assert shop.next_block == len(BLOCKS)
    up.environment = {"WEFT_STORE_URL": line.partition("=")[2]}
    up.start()
    try:
        serving(up, moved)
        key = asyncio.run(item_of(up, "of-an-old-record", old_address))
        assert (moved / key).is_file()
        elsewhere_is_refused(up, shop.folder / "elsewhere")
        (moved / key).rename(moved / "aside.png")
        finding = photos_finding(up)
        assert not finding.ok
        assert key in finding.found
    finally:
        assert up.stop() == 0


def elsewhere_is_refused(up: Up, elsewhere: Path) -> None:
    """A host without the right WEFT_STORE_URL: its worker and its ingest say which store is which, and store nothing."""
    environment = {"WEFT_BOOTSTRAP_SERVERS": up.file.bootstrap, "WEFT_STORE_URL": elsewhere.as_uri()}
    photo = photo_of(elsewhere.parent, "lost", (1, 2, 3)).path
    for arguments in (("worker", "enrich"), ("ingest", str(photo))):
        command = [sys.executable, "-m", "streams.cli", *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment, "WEFT_PROFILE": "fake"},
            timeout=120,
        )
        assert done.returncode == Exit.USAGE, done.stderr
        assert "another one than this cluster's" in done.stderr
        assert elsewhere.as_uri() in done.stderr
    assert [path for path in elsewhere.rglob("*") if path.is_file() and ".weft" not in path.parts] == []
    settings = Settings(bootstrap_servers=up.file.bootstrap, store_url=elsewhere.as_uri())
    state = asyncio.run(state_of(settings))
    assert (state.store, state.same) == ("", False)
    assert state.cluster


def photo_in_bucket(up: Up, server: S3Server, bucket: str) -> dict[str, bytes]:
    """What any S3 client finds at the addresses of the hits: product → the photo's first bytes."""
    asked = Query(new_query_id(), text="red", deadline_ms=60_000)
    hits = asyncio.run(
        query_of_cli(
            asked,
            None,
            None,
            up.data_dir,
        )
    ).hits
    client = plain_client(server)
    found = {}
    for hit in hits:
        place = urlsplit(hit.image)
        assert (place.scheme, place.netloc) == ("s3", bucket), hit.image
        answer = client.get_object(bucket, unquote(place.path.lstrip("/")))
        found[hit.product_id] = answer.read(8)
        answer.release_conn()
    return found


def plain_client(server: S3Server) -> Minio:
    return Minio(server.endpoint, access_key=server.access_key, secret_key=server.secret_key, secure=False)


@pytest.mark.parametrize("s3", ["versitygw"], indirect=True)
def test_a_store_moves_from_a_folder_to_a_bucket(tmp_path: Path, s3: S3Server) -> None:
    """Copied object by object, by a client that knows nothing of Weft: hits name the new place, and an empty prefix is refused."""
    up = Up(tmp_path / "data", arguments=ONE_PROCESS)
    up.start()
    asyncio.run(ingested(up, tmp_path))
    assert up.stop() == 0
    client, bucket = plain_client(s3), f"moved-{s3.kind}"
    client.make_bucket(bucket)
    folder = up.data_dir / "store"
    for file in sorted(folder.rglob("*")):
        key = file.relative_to(folder)
        if file.is_file() and key.parts[0] != ".weft":
            client.fput_object(bucket, f"shops/one/{key.as_posix()}", str(file))
    shutil.rmtree(folder)
    keys = {"WEFT_S3_ACCESS_KEY": s3.access_key, "WEFT_S3_SECRET_KEY": s3.secret_key}
    up.environment = {"WEFT_S3_ENDPOINT": s3.endpoint, "WEFT_S3_SECURE": "false", **keys}
    wrong = {**os.environ, **up.environment, "WEFT_PROFILE": "fake", "WEFT_STORE_URL": f"s3://{bucket}/shops/two"}
    command = [sys.executable, "-m", "streams.cli", "up", "--data-dir", str(up.data_dir), *ONE_PROCESS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=wrong, timeout=240)
    assert done.returncode == Exit.USAGE, done.stderr
    assert "another one than this cluster's" in done.stderr
    assert [one.object_name for one in client.list_objects(bucket, "shops/two/", recursive=True)] == []
    up.environment = {**up.environment, "WEFT_STORE_URL": f"s3://{bucket}/shops/one"}
    up.start()
    try:
        with pytest.MonkeyPatch.context() as here:
            for name, value in up.environment.items():
                here.setenv(name, value)
            found = photo_in_bucket(up, s3, bucket)
            assert {name: found.get(name) for name in PRODUCTS} == dict.fromkeys(PRODUCTS, b"\x89PNG\r\n\x1a\n")
            assert photos_finding(up).ok
    finally:
        assert up.stop() == 0
