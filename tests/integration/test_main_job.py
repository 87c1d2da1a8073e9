"""The whole path on a real Kafka, driven as a user drives it: photos in, captions and answers out."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import asyncpg
import cv2
import msgspec
import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from pydantic import SecretStr

from infra.store import content_key
from infra.stores import open_store
from models.fakes import OWN_SHADE
from models.guard import ignore
from models.recipes.composer_stream import ExportedTriplet
from processors.drawn import catalogue
from processors.identity import key_of
from processors.triplets import triplet_id
from processors.values import Metadata
from streams.contract import codecs, topics
from streams.contract.edits import EditRequest
from streams.contract.records import AppliesTo, Article, Caption, ImageRef, Match, PictureIn, Query, Result, Upload
from streams.contract.topics import ROLES
from streams.engine.message import Message
from streams.engine.observer import NullObserver
from streams.kafka.client import Client, Reader, new_query_id
from streams.ops.forget import Forget
from streams.ops.generations.think import set_offsets
from streams.ops.ingest import Ingest, Outcome, Photo, RefusedProduct, announce
from streams.ops.triplets import export
from streams.wiring.duplicates import run_duplicates
from streams.wiring.models import Models
from streams.wiring.parts import open_parts
from streams.wiring.shadow import compare_on
from streams.wiring.sink import run_sink
from streams.wiring.triplets import run_triplets
from tests.fixtures.stack import Up, photo_of
from tests.unit.processors.test_geometry import drawn as drawn_photo

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

RED, NAVY = (200, 20, 30), (20, 30, 80)


async def ingest(up: Up, photos: Sequence[Photo]) -> list[Outcome]:
    settings = up.settings
    async with Client(settings) as client:
        return await Ingest(client, open_store(settings), settings).send_and_wait(photos, 300)


async def ask(up: Up, **fields: object) -> Result:
    """A query that sees everything that is on `catalog.items` now."""
    async with Client(up.settings) as client:
        offsets = {name: offset for name, offset in (await client.end_offsets(topics.ITEMS)).items() if offset}
        return await client.query(
            Query(query_id=new_query_id(), deadline_ms=60_000, min_offsets=offsets, **fields)  # type: ignore[arg-type]
        )


async def next_of(reader: Reader, product_id: str) -> Message:
    async with asyncio.timeout(60):
        async for raw in reader.follow():
            if raw.key == product_id.encode():
                return raw
    raise AssertionError(product_id)


def ids(result: Result) -> list[str]:
    return [hit.product_id for hit in result.hits]


async def test_two_hundred_products_get_captions_and_answers(up: Up, tmp_path: Path) -> None:
    """Each upload has exactly one caption of its own, and every query its answer."""
    photos = []
    for product in catalogue(11, 200, size=128):
        path = tmp_path / f"{product.product_id}.jpg"
        Image.fromarray(product.pixels).save(path)
        photos.append(Photo(product.product_id, path, dict(product.metadata)))
    outcomes = await ingest(up, photos)
    assert sorted(o.product_id for o in outcomes if isinstance(o, Caption)) == sorted(p.product_id for p in photos)
    async with Client(up.settings) as client:
        captions = await client.captions()
    assert all(captions[photo.product_id].caption for photo in photos)
    for photo in photos[::20]:
        result = await ask(up, image=ImageRef(product_id=photo.product_id), text="but in red", top_k=5)
        assert result.error is None
        assert len(result.hits) == 5
        assert not result.partial
        assert photo.product_id not in ids(result), "the product that was asked about is no answer"
        assert result.shards.answered == result.shards.of


async def test_a_garment_is_edited_by_the_look_of_one_of_the_catalogue(up: Up, tmp_path: Path) -> None:
    """Through the running roles: the image lies in the store, products of the catalogue are named, nothing changes outside the mask."""
    reds = [photo_of(tmp_path, f"edit-red-{number}", RED) for number in range(2)]
    await ingest(up, reds)
    assert ids(await ask(up, text="red")), "the index has them"
    given = photo_of(tmp_path, "edit-navy", NAVY).path
    assert given is not None
    asked = EditRequest("e-1", text="red", image=ImageRef(bytes=given.read_bytes()), deadline_ms=60_000)
    async with Client(up.settings) as client:
        result = await client.edit(asked)
        empty = await client.edit(structs.replace(asked, request_id="e-2", text=""))
    assert result.error is None
    assert b'"method":"transfer"' in codecs.encode(result), "which is no generative model, and its record says so"
    assert any(one.used for one in result.retrieved)
    store = open_store(up.settings)
    image, mask, before = (
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        for data in (store.get(result.image), store.get(result.mask), given.read_bytes())
    )
    inside = mask[..., 0] > 0
    assert np.array_equal(image[~inside], before[~inside])
    assert image[inside].mean(axis=0)[0] > before[inside].mean(axis=0)[0] + 50, "it is red now"
    assert empty.error is not None
    assert empty.error.code == "empty_query"


async def test_forgetting_a_product_takes_its_edits_and_no_others(up: Up, tmp_path: Path) -> None:
    """Made by the running role, found by their manifests in the store: that of its photo goes, image, mask and manifest; another stays."""
    # What another product or edit has as well stays. Tests share the stack, and equal photos and equal masks are one object:
    # these garments have a colour and a form that no other test's have.
    own_photo, lent_photo = (
        photo_of(tmp_path, product_id, (rgb[0], rgb[1], rgb[2] + 3), right=61)
        for product_id, rgb in (("own-edit", NAVY), ("lends-red", RED))
    )
    await ingest(up, [own_photo, lent_photo])
    assert "lends-red" in ids(await ask(up, text="red", top_k=1000)), "the index has it"
    given = tmp_path / "visitor.png"
    pixels = np.full((120, 110, 3), 255, np.uint8)
    pixels[16:90, 40:80] = (30, 120, 40)
    Image.fromarray(pixels).save(given)
    asked = EditRequest(
        "f-1", text="red", image=ImageRef(product_id="own-edit"), references=("lends-red",), deadline_ms=60_000
    )
    async with Client(up.settings) as client:
        own = await client.edit(asked)
        other = await client.edit(structs.replace(asked, request_id="f-2", image=ImageRef(bytes=given.read_bytes())))
    assert (own.error, other.error) == (None, None)
    store = open_store(up.settings)
    report = await Forget(up.settings, store, ("own-edit",), "").run(prove=True)
    assert {(place.state, place.found) for place in report.places if place.place == "edits"} == {("gone", 0)}
    left = set(store.list("edits/"))
    own_keys, other_keys = ({store.key_of(one.image), store.key_of(one.mask)} for one in (own, other))
    assert not own_keys & left
    assert other_keys <= left
    again = await Forget(up.settings, store, ("lends-red",), "").run(prove=True)
    assert {(place.state, place.found) for place in again.places if place.place == "edits"} == {("gone", 0)}
    assert not other_keys & set(store.list("edits/")), "it had her look"


async def test_one_process_runs_all_roles(up: Up, tmp_path: Path) -> None:
    """`--single-process`, for small machines; every role has the same pid in `stack.json`."""
    assert len(set(up.file.pids.values())) == 1
    assert set(up.file.pids) == set(ROLES)
    photos = [photo_of(tmp_path, f"single-{number}", RED) for number in range(4)]
    assert len([one for one in await ingest(up, photos) if isinstance(one, Caption)]) == len(photos)
    first, *others = [photo.product_id for photo in photos]
    found = ids(await ask(up, image=ImageRef(product_id=first), top_k=1000))
    assert sorted(name for name in found if name.startswith("single-")) == others


async def test_a_deleted_product_is_gone_from_search_and_captions(up: Up, tmp_path: Path) -> None:
    """A null value under the product's key is the whole request."""
    await ingest(up, [photo_of(tmp_path, "gone-1", RED), photo_of(tmp_path, "stays-1", RED)])
    assert {"gone-1", "stays-1"} <= set(ids(await ask(up, text="a red dress", top_k=1000)))
    async with Reader(up.settings, topics.CAPTIONS, from_end=True) as captions, Client(up.settings) as client:
        await client.delete(["gone-1"])
        assert (await next_of(captions, "gone-1")).value is None
        found = await client.captions()
    assert "gone-1" not in found
    assert "stays-1" in found
    after = ids(await ask(up, text="a red dress", top_k=1000))
    assert "gone-1" not in after
    assert "stays-1" in after
    refused = await ask(up, image=ImageRef(product_id="gone-1"))
    assert refused.error is not None
    assert refused.error.code == "unknown_product"


class _Told:
    """What is said on `search.matches`, in the order of each key; keys lie on many partitions, and come in any order."""

    def __init__(self, reader: Reader) -> None:
        self._coming, self._kept = aiter(reader.follow()), list[Match]()

    async def next(self, query_id: str, product_id: str = "") -> Match:
        """The next that is said of a standing query, or of a product under it."""
        async with asyncio.timeout(120):
            while True:
                for match in self._kept:
                    if (match.query_id, match.product_id) == (query_id, product_id):
                        self._kept.remove(match)
                        return match
                raw = await anext(self._coming)
                if raw.value is not None:
                    self._kept.append(codecs.decode_match(raw.value))


async def test_a_standing_query_is_told_what_meets_it_and_what_does_not_any_more(up: Up, tmp_path: Path) -> None:
    """By price, of one shop: what was there, what comes, what changes, what goes; and nothing of a query that was ended."""
    shop = "watched"
    async with Client(up.settings) as client, Reader(up.settings, topics.MATCHES, from_end=True) as matches:
        told = _Told(matches)

        async def put(product_id: str, **metadata: object) -> None:
            photo = photo_of(tmp_path, product_id, RED).path.read_bytes() if metadata.pop("photo", False) else None
            image = None if photo is None else ImageRef(bytes=photo)
            await client.upload([Upload(product_id, image, metadata, shop=shop)])

        async with Reader(up.settings, topics.ITEMS, from_end=True) as items:
            await put("old", photo=True, price=10.0)
            await next_of(items, key_of(shop, "old"))
        query = Query("cheap", filters={"price": {"lte": 20}}, shop=shop)
        await client.save_query("cheap", query)
        assert (await told.next("cheap", "old")).state == "there"
        assert (await told.next("cheap")).state == "watching"
        await put("new", photo=True, price=30.0)
        await put("new", price=15.0)
        met = await told.next("cheap", "new")
        assert (met.state, met.shop) == ("met", shop)
        assert met.hit is not None
        assert met.hit.product_id == "new"
        await put("new", price=16.0)  # still: not told again
        await put("new", price=50.0)
        left = await told.next("cheap", "new")
        assert (left.state, left.reason) == ("left", "changed")
        await client.delete(["old"], shop=shop)
        gone = await told.next("cheap", "old")
        assert (gone.state, gone.reason) == ("left", "deleted")
        await client.save_query("broken", Query("broken", image=ImageRef(product_id="nobody"), shop=shop))
        refused = await told.next("broken")
        assert refused.state == "refused"
        assert refused.error is not None
        assert refused.error.code == "unknown_product"


async def test_the_neighbours_of_a_product_are_those_of_a_query(up: Up, tmp_path: Path) -> None:
    """And they follow the catalogue: what is deleted is in no list."""
    shop = "alike"
    colours = [RED, NAVY, (200, 30, 30), (30, 30, 90)]
    key = key_of(shop, "alike-0")
    async with Client(up.settings) as client, Reader(up.settings, topics.SIMILAR) as lists:

        async def has(names: set[str]) -> list[str]:
            async with asyncio.timeout(120):
                async for raw in lists.follow():
                    if raw.key == key.encode() and raw.value is not None:
                        near = [one.product_id for one in codecs.decode_neighbours(raw.value).neighbours]
                        if set(near) == names:
                            return near
            raise AssertionError(names)

        photos = [photo_of(tmp_path, f"alike-{n}", colour).path.read_bytes() for n, colour in enumerate(colours)]
        uploads = [Upload(f"alike-{n}", ImageRef(bytes=data), shop=shop) for n, data in enumerate(photos)]
        await client.upload(uploads)
        near = await has({"alike-1", "alike-2", "alike-3"})
        assert ids(await ask(up, image=ImageRef(product_id="alike-0"), shop=shop, collapse=False)) == near
        await client.delete(["alike-2"], shop=shop)
        await has({"alike-1", "alike-3"})


async def test_a_caption_states_what_its_article_says(up: Up, tmp_path: Path) -> None:
    """From its first upload on; one that comes later rewrites it, and one that is taken back is gone from it. Another product has none."""
    shop, fact, later = (
        "stories",
        "It was woven by Atelier Moreau in Porto in 1974.",
        "It was sewn by Otto Lang in Bregenz.",
    )
    photo = ImageRef(bytes=photo_of(tmp_path, "told", RED).path.read_bytes())
    async with Client(up.settings) as client, Reader(up.settings, topics.CAPTIONS) as captions:
        following, last = captions.follow(), dict[str, Caption]()

        async def until(name: str, holds: Callable[[str], bool]) -> Caption:
            """The last caption of a product, once it is so: one fetch may bring those of several products, in any order."""
            key = key_of(shop, name)
            if key in last and holds(last[key].caption):
                return last[key]
            async with asyncio.timeout(120):
                async for raw in following:
                    if raw.value is not None:
                        caption = last[(raw.key or b"").decode()] = codecs.decode_caption(raw.value)
                        if raw.key == key.encode() and holds(caption.caption):
                            return caption
            raise AssertionError(name)

        text = f"We love this piece. {fact} It feels like summer."
        await client.save_article("a1", Article("a1", text, AppliesTo(product="p1"), shop=shop), shop=shop)
        await client.upload([Upload("p1", photo, shop=shop), Upload("p2", photo, shop=shop)])
        first = await until("p1", lambda caption: fact in caption)
        assert isinstance(first.context, tuple)
        [use] = first.context
        assert (use.article, [first.caption[span.start : span.end] for span in use.spans]) == ("a1", [fact])
        plain = await until("p2", bool)
        assert plain.context is msgspec.UNSET
        await client.save_article("b1", Article("b1", later, AppliesTo(product="p2"), shop=shop), shop=shop)
        rewritten = await until("p2", lambda caption: later in caption)
        assert rewritten.caption == f"{plain.caption} {later}"
        await client.save_article("b1", None, shop=shop)
        assert codecs.encode(await until("p2", lambda caption: later not in caption)) == codecs.encode(plain)


async def test_a_picture_of_an_article_tells_whom_it_is_about(up: Up) -> None:
    """It names nobody: its picture is the product's photo, a little cut. Taken back, the caption is the one of before."""
    shop, fact, photo = "lookbook", "It was woven by Atelier Moreau in Porto in 1974.", drawn_photo(12)
    whole, part = (cv2.imencode(".png", pixels)[1].tobytes() for pixels in (photo, photo[5:355, 5:265]))
    store = open_store(up.settings)
    address = store.address(store.put_content(part, suffix=".png"))
    async with Client(up.settings) as client, Reader(up.settings, topics.CAPTIONS) as captions:
        following = captions.follow()

        async def until(told: bool) -> Caption:
            async with asyncio.timeout(120):
                async for raw in following:
                    if raw.key == key_of(shop, "p1").encode() and raw.value is not None:
                        caption = codecs.decode_caption(raw.value)
                        if (fact in caption.caption) == told:
                            return caption
            raise AssertionError("no caption")

        await client.upload([Upload("p1", ImageRef(bytes=whole), shop=shop)])
        plain = await until(told=False)
        await client.save_article("look", Article("look", fact, images=(address,), shop=shop), shop=shop)
        shown = await until(told=True)
        assert isinstance(shown.context, tuple)
        [use] = shown.context
        assert isinstance(use.picture, PictureIn)
        assert (use.article, use.picture.picture, use.picture.kind) == ("look", address, "crop")
        await client.save_article("look", None, shop=shop)
        assert codecs.encode(await until(told=False)) == codecs.encode(plain)


async def test_a_kind_that_only_ones_own_detector_knows_is_filtered_by(up: Up, tmp_path: Path) -> None:
    """By photo, by product and by filter alone: in the plural, too, and where the shop says a wider word or its own plural."""
    shop, names = "kaftans", ["silent", "says-shirt", "says-kaftans", "red"]
    metadata = [{}, {"category": "Shirts"}, {"category": "shirt", "articleType": "Kaftans"}, {"category": "Dresses"}]
    colours = [OWN_SHADE, OWN_SHADE, OWN_SHADE, RED]
    photos = [photo_of(tmp_path, name, rgb).path.read_bytes() for name, rgb in zip(names, colours, strict=True)]
    async with Client(up.settings) as client, Reader(up.settings, topics.CAPTIONS, from_end=True) as captions:
        following, said = captions.follow(), dict[str, Caption]()
        uploads = zip(names, photos, metadata, strict=True)
        await client.upload([Upload(name, ImageRef(bytes=data), told, shop=shop) for name, data, told in uploads])
        async with asyncio.timeout(120):
            while len(said) < len(names):
                raw = await anext(following)
                if raw.value is not None and (caption := codecs.decode_caption(raw.value)).shop == shop:
                    said[caption.product_id] = caption
    kinds = {name: one.evidence.garments[0].attributes["kind"].value for name, one in said.items()}
    assert kinds == {"silent": "kaftan", "says-shirt": "kaftan", "says-kaftans": "kaftans", "red": "dress"}
    own = set(names[:3])
    for asked in ("kaftan", "Kaftans"):
        by_photo = await ask(up, image=ImageRef(bytes=photos[3]), filters={"kind": [asked]}, shop=shop)
        assert set(ids(by_photo)) == own, asked
        by_product = await ask(up, image=ImageRef(product_id="silent"), filters={"kind": [asked]}, shop=shop)
        assert set(ids(by_product)) == own - {"silent"}, "the product that was asked about is no answer"
    shirts = await ask(up, image=ImageRef(bytes=photos[0]), filters={"kind": ["shirt"]}, shop=shop)
    assert ids(shirts) == ["says-shirt"], "it is found as what the shop says, too"
    every = await ask(up, image=ImageRef(bytes=photos[0]), facets=("kind",), shop=shop)
    assert every.facets["kind"] == {"kaftan": 3, "shirt": 1, "dress": 1}


async def test_an_updated_photo_replaces_the_old_one(up: Up, tmp_path: Path) -> None:
    """In the captions and in the index: the colour that is found is that of the new photo."""
    [first] = await ingest(up, [photo_of(tmp_path, "changes-1", RED)])
    [second] = await ingest(up, [photo_of(tmp_path, "changes-1", NAVY)])
    assert isinstance(first, Caption)
    assert isinstance(second, Caption)
    assert first.evidence.garments[0].colours[0].name == "red"
    assert second.evidence.garments[0].colours[0].name == "navy"
    async with Client(up.settings) as client:
        assert (await client.captions())["changes-1"].lineage.source == second.lineage.source
    result = await ask(up, text="navy", top_k=1000)
    assert ids(result).count("changes-1") == 1
    old = announce(photo_of(tmp_path, "the-old-photo", RED), open_store(up.settings), 2**20)
    by_old_photo = await ask(up, image=old.image, top_k=1000)
    assert {hit.product_id: hit.score for hit in by_old_photo.hits}["changes-1"] < 0.9, "still the red photo"


async def test_triplets_are_made_and_go_with_their_products(up: Up, tmp_path: Path) -> None:
    """The optional role beside a running stack: a pair both ways, in the export with its vectors, and gone with one of the two."""
    stop, ready = asyncio.Event(), asyncio.Event()
    wanted = {triplet_id(*keys) for keys in permutations([key_of("pairs", name) for name in ("red", "navy")])}
    out = tmp_path / "triplets.jsonl"
    uploads = [
        Upload(name, ImageRef(bytes=photo_of(tmp_path, name, rgb).path.read_bytes()), shop="pairs")
        for name, rgb in (("red", RED), ("navy", NAVY))
    ]

    async def until(reader: Reader, *, deleted: bool) -> None:
        last: dict[str, bool] = {}
        async with asyncio.timeout(120):
            async for raw in reader.follow():
                name = (raw.key or b"").decode()
                if name in wanted:
                    last[name] = raw.value is None
                if set(last) == wanted and set(last.values()) == {deleted}:
                    return

    async def used() -> None:
        await ready.wait()
        async with Reader(up.settings, topics.TRIPLETS, from_end=True) as reader, Client(up.settings) as client:
            await client.upload(uploads)
            await until(reader, deleted=False)
            await export(up.settings, out)
            await client.delete(["red"], shop="pairs")
            await until(reader, deleted=True)
        stop.set()

    models = Models(up.settings, lambda _: ignore)
    async with open_parts(up.settings, NullObserver(), models, stop) as parts, asyncio.TaskGroup() as tasks:
        tasks.create_task(run_triplets(parts, lambda _role: ready.set()))
        tasks.create_task(used())
    lines = [msgspec.json.decode(line, type=ExportedTriplet) for line in out.read_bytes().splitlines()]
    [there] = [one for one in lines if (one.reference.shop, one.reference.product_id) == ("pairs", "red")]
    assert "navy" in there.modification
    assert there.reference.encoder == there.target.encoder
    assert 0 < len(there.target.vector) == len(there.reference.vector)


async def begin_at_the_end(up: Up, group: str, topic: str) -> None:
    """A role that joins this stack late would else first compare the photos of all products that other tests have left."""
    async with Reader(up.settings, topic) as reader:
        ends = {(topic, partition): end for partition, end in (await reader.ends()).items()}
    await set_offsets(up.settings, group, ends)


async def test_products_of_one_photo_are_told(up: Up) -> None:
    """The optional role beside a running stack: a crop names its photo, and names it no more once that is gone."""
    stop, ready, shop = asyncio.Event(), asyncio.Event(), "twins"
    photo = drawn_photo(9)
    uploads = [
        Upload(name, ImageRef(bytes=cv2.imencode(".png", pixels)[1].tobytes()), shop=shop)
        for name, pixels in (("whole", photo), ("part", photo[10:350, 8:262]))
    ]

    async def until(reader: Reader, *, deleted: bool) -> bytes | None:
        async with asyncio.timeout(120):
            async for raw in reader.follow():
                if raw.key == key_of(shop, "part").encode() and (raw.value is None) == deleted:
                    return raw.value
        raise AssertionError("part")

    async def used() -> None:
        await ready.wait()
        async with Reader(up.settings, topics.DUPLICATES, from_end=True) as reader, Client(up.settings) as client:
            await client.upload(uploads)
            found = codecs.decode_duplicates(await until(reader, deleted=False) or b"")
            assert [(one.product_id, one.kind) for one in found.duplicates] == [("whole", "crop")]
            await client.delete(["whole"], shop=shop)
            await until(reader, deleted=True)
        stop.set()

    await begin_at_the_end(up, "weft-duplicates", topics.SIMILAR)
    models = Models(up.settings, lambda _: ignore)
    async with open_parts(up.settings, NullObserver(), models, stop) as parts, asyncio.TaskGroup() as tasks:
        tasks.create_task(run_duplicates(parts, lambda _role: ready.set()))
        tasks.create_task(used())


async def test_a_share_is_compared_in_shadow(up: Up, tmp_path: Path) -> None:
    """Beside a running stack: what is captioned is compared, and no topic and no memo knows of it."""
    stop, joined, compared = asyncio.Event(), asyncio.Event(), asyncio.Event()
    agreements: list[dict[str, tuple[float, float]]] = []
    settings = up.settings.model_copy(update={"shadow_profile": "fake", "shadow_share": 1.0})

    class Told(NullObserver):
        def shadowed(self, outcome: str, agreed: Any, **_: Any) -> None:
            if outcome == "compared":  # captions of other tests' products may be made anew meanwhile
                agreements.append(dict(agreed))
                compared.set()

    async def used() -> None:
        await joined.wait()
        await ingest(up, [photo_of(tmp_path, "in-shadow", RED)])
        async with asyncio.timeout(120):
            await compared.wait()
        stop.set()

    await begin_at_the_end(up, "weft-shadow", topics.CAPTIONS)
    models = Models(settings, lambda _: ignore)
    async with open_parts(settings, Told(), models, stop) as parts, asyncio.TaskGroup() as tasks:
        tasks.create_task(compare_on(parts, lambda _: None, lambda _: joined.set()))
        tasks.create_task(used())
    assert all(one["category"] == (1.0, 1.0) for one in agreements)
    assert not list(open_store(settings).list("memo/shadow"))


async def test_captions_are_rows_of_a_database(up: Up, postgres: str, tmp_path: Path) -> None:
    """The optional role beside a running stack: what stood before it, what comes, edits that stay, deletions, and a table that was
    dropped while the role was away.
    """
    settings = up.settings.model_copy(update={"sink_url": SecretStr(postgres)})
    red, navy = (photo_of(tmp_path, f"row-{name}", colour) for name, colour in (("red", RED), ("navy", NAVY)))

    async def rows(*statement: str) -> dict[str, Any]:
        connection = await asyncpg.connect(postgres)
        try:
            for one in statement:
                await connection.execute(one)
            found = await connection.fetch("SELECT * FROM weft_captions WHERE product_id LIKE 'row-%'")
            return {row["product_id"]: dict(row) for row in found}
        finally:
            await connection.close()

    async def until(true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(120):
            while not true(found := await rows()):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.1)
        return found

    async def running(use: Callable[[], Coroutine[Any, Any, None]]) -> None:
        stop, ready = asyncio.Event(), asyncio.Event()

        async def used() -> None:
            await ready.wait()
            await use()
            stop.set()

        models = Models(settings, lambda _: ignore)
        async with open_parts(settings, NullObserver(), models, stop) as parts, asyncio.TaskGroup() as tasks:
            tasks.create_task(run_sink(parts, lambda _role: ready.set()))
            tasks.create_task(used())

    async def first() -> None:
        [told] = (await until(lambda found: "row-red" in found)).values()
        assert told["caption"]
        assert not told["edited"]
        await rows("UPDATE weft_captions SET caption = 'Ours.' WHERE product_id = 'row-red'")
        await ingest(up, [navy])
        async with Client(up.settings) as client:
            linen = Upload("row-red", metadata=Metadata(fabric="linen"))
            await client.upload([linen])
            found = await until(lambda rows: "row-navy" in rows and rows["row-red"]["written"] != told["written"])
            assert (found["row-red"]["caption"], found["row-red"]["edited"]) == ("Ours.", True)
            await client.delete(["row-red"])
        await until(lambda found: "row-red" not in found)

    async def again() -> None:
        assert "row-navy" in await rows()

    await ingest(up, [red])
    await running(first)
    await rows("DELETE FROM weft_captions")
    await running(again)


async def test_one_bad_photo_harms_only_itself(up: Up, tmp_path: Path) -> None:
    """The others of its batch come through; the bad one leaves a dead letter that names stage, field and cause, and no
    photo; a client refuses it before it is sent.
    """
    data = b"\xff\xd8\xff\xe0 this is no photo"
    bad = tmp_path / "bad-1.jpg"
    bad.write_bytes(data)
    photos = [photo_of(tmp_path, f"good-{n}", RED) for n in range(5)]
    photos.insert(2, Photo("bad-1", bad, {}))
    async with Client(up.settings) as client, Reader(up.settings, topics.DEAD_LETTERS, from_end=True) as letters:
        await client.upload([Upload("bad-2", ImageRef(bytes=data))])
        outcomes = await ingest(up, photos)
        letter = await next_of(letters, "bad-2")
    assert sorted(o.product_id for o in outcomes if isinstance(o, Caption)) == [f"good-{n}" for n in range(5)]
    [refused] = [o for o in outcomes if isinstance(o, RefusedProduct)]
    assert (refused.product_id, refused.stage) == ("bad-1", "ingest")
    assert "image" in refused.cause
    assert letter.header("__connect.errors.stage") == b"read"
    assert b"image" in (letter.header("__connect.errors.exception.message") or b"")
    assert not open_store(up.settings).exists(content_key(data, ".jpg"))
    assert not open_store(up.settings).exists(content_key(data, ".jpeg"))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"{", "malformed"),
        (b'{"query_id": "q"}', "empty_query"),
        (b'{"query_id": "q", "text": "not black"}', "empty_query"),
        (b'{"query_id": "q", "text": "red", "top_k": 1000000}', "out_of_range"),
        (b'{"query_id": "q", "image": {"product_id": "never-seen"}}', "unknown_product"),
        (b'{"query_id": "q", "image": {"uri": "https://127.0.0.1/x.jpg"}}', "bad_image"),
        (b'{"query_id": "q", "image": {"bytes": "AAAA"}}', "bad_image"),
    ],
)
async def test_a_bad_query_is_answered(up: Up, value: bytes, code: str) -> None:
    """By hand, as with kcat: never left without an answer, and the answer says why."""
    from aiokafka import AIOKafkaProducer

    key = new_query_id().encode()
    async with (
        Reader(up.settings, topics.RESULTS, from_end=True) as results,
        AIOKafkaProducer(bootstrap_servers=up.settings.bootstrap_servers) as producer,
    ):
        await producer.send_and_wait(topics.QUERIES, key=key, value=value.replace(b'"q"', b'"%s"' % key))
        raw = await next_of(results, key.decode())
    result = msgspec.json.decode(raw.value or b"", type=Result)
    assert result.error is not None
    assert result.error.code == code
    assert result.hits == ()


async def test_an_upload_by_hand_needs_no_headers_and_no_key(up: Up) -> None:
    """Any Kafka client will do: the bytes of the photo in the record, nothing else."""
    import base64
    import io

    from aiokafka import AIOKafkaProducer

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), RED).save(buffer, "PNG")
    value = msgspec.json.encode(
        {"product_id": "by-hand", "image": {"bytes": base64.b64encode(buffer.getvalue()).decode()}, "unknown": 1}
    )
    async with (
        Reader(up.settings, topics.CAPTIONS, from_end=True) as captions,
        AIOKafkaProducer(bootstrap_servers=up.settings.bootstrap_servers) as producer,
    ):
        await producer.send_and_wait(topics.UPLOADS, value=value)
        raw = await next_of(captions, "by-hand")
    assert raw.header("ce_id")
    assert msgspec.json.decode(raw.value or b"", type=Caption).product_id == "by-hand"
