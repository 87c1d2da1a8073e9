"""edit, through its real pipeline: one result for each request, whatever is asked, and the look of the right product."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from infra.memory_store import MemoryStore
from models.fakes import FakeDetector, FakeFaceDetector, FakeImageEncoder, FakeTextEncoder
from models.ports import Inpaint, Inpainter
from processors.decode import DecodeLimits
from processors.errors import Code, Poison
from processors.lab import ciede2000, lab_of_hex, to_lab
from processors.palette import PALETTE
from processors.second_look import NOTHING
from processors.values import Detection, Pixels
from streams.contract import topics
from streams.contract.edits import PAINTING, STEPS, EditProgress, EditResult
from streams.contract.probes import Answer, Found, Hits, LookupProbe, Probe, SearchProbe
from streams.contract.records import Hit
from streams.engine.attempts import Engine
from streams.engine.credits import Credits
from streams.engine.device import Device
from streams.engine.message import Message
from streams.engine.pipeline import Pipeline
from streams.roles.edit.retrieval import Retrieval
from streams.roles.edit.role import PREFIX, Edit
from streams.search.pending import PendingQueries
from streams.search.query_photos import has_run_out
from streams.search.spaces import Space
from tests.fakes.facet_heads import head

NOW = 1_764_000_000.0
BLUE, RED = (40, 70, 190), (190, 30, 40)


def photo(colour: tuple[int, int, int], kind: str = "PNG") -> bytes:
    """Something upright of one colour on a grey wall: a dress, for the fake detector."""
    pixels = np.full((200, 150, 3), 225, np.uint8)
    pixels[40:160, 35:115] = colour
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, quality=95)
    return buffer.getvalue()


def with_face() -> bytes:
    """The same in blue, with what the fake detector takes for a face."""
    pixels = np.array(Image.open(io.BytesIO(photo(BLUE))))
    pixels[10:30, 65:85] = (255, 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pixels_of(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


class Catalogue:
    """A shard that knows products by their colour, a store with their photos, and the role between them."""

    def __init__(self, *, consent: str = "faces", seer: bool = True, painter: Inpainter | None = None) -> None:
        self.store = MemoryStore("test")
        self.products: dict[str, tuple[str, str, str]] = {}  # key → category, colour, address
        self.probes: list[Probe] = []
        self.results: list[EditResult] = []
        self.steps: list[EditProgress] = []
        self.time = NOW
        self.hold: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self.pending = PendingQueries(self.send, self.now)
        images, texts = FakeImageEncoder(), FakeTextEncoder()

        async def in_thread(work: Any, *given: Any) -> Any:
            return work(*given)

        async def nowhere(_key: str) -> int | None:
            return None

        self.role = Edit(
            images=images,
            texts=texts,
            detector=FakeDetector(),
            retrieval=Retrieval(
                self.pending,
                self.store,
                None,  # type: ignore[arg-type]
                in_thread,
                self.now,
                nowhere,
                2**20,
            ),
            store=self.store,
            publish=self.publish,
            tell=self.tell,
            now=self.now,
            limits=DecodeLimits(),
            batch_items=4,
            in_thread=in_thread,
            space=lambda: Space("g-0001", images, texts),
            consent=consent,
            faces=FakeFaceDetector() if seer else None,
            inpainter=painter,
        )

    def add(self, key: str, colour: tuple[int, int, int], name: str, category: str) -> None:
        address = self.store.put_content(photo(colour), ".png")
        self.products[key] = (category, name, address)

    def now(self) -> float:
        return self.time

    async def send(self, probe: Probe) -> None:
        self.probes.append(probe)
        self.asked.set()
        if self.hold is not None:
            await self.hold.wait()
        self.pending.deliver(self.answer(probe))

    def answer(self, probe: Probe) -> Answer:
        if isinstance(probe, LookupProbe):
            known = self.products.get(probe.product_id)
            vector = None if known is None else b"\0\0\0\0"
            image = "" if known is None else known[2]
            return Found(probe.query_id, 0, 1, "g-0001", 9, fresh=True, vector=vector, image=image, category="dress")
        shop = f"{probe.shop}" if probe.shop else ""
        hits = tuple(
            Hit(key, 0.5, address, category)
            for key, (category, colour, address) in self.products.items()
            if ("/" in key) == bool(shop)
            and key not in probe.exclude_products
            and category in probe.filters.get("category", (category,))
            and colour in probe.filters.get("colour", (colour,))
        )
        return Hits(probe.query_id, 0, 1, "g-0001", 9, fresh=True, hits=hits, typed=True, composed=True)

    async def publish(self, _message: Message, result: EditResult) -> None:
        self.results.append(result)

    async def tell(self, _message: Message, progress: EditProgress) -> Awaitable[object]:
        self.steps.append(progress)
        return asyncio.sleep(0)

    async def run(self, *messages: Message, before_last: asyncio.Event | None = None) -> list[EditResult]:
        """The messages through the pipeline, to their last acknowledgement; the last one once an event has come."""
        acked: list[int] = []

        async def nothing_left(_message: Message, _result: object) -> tuple[()]:
            return ()

        with ThreadPoolExecutor(2) as cpu:
            async with Device() as device:
                pipeline: Pipeline[Any] = Pipeline(
                    "edit",
                    self.role.stages(),
                    publish=nothing_left,
                    dead_letter=self.role.failed,
                    admission=Credits(2**28),
                    engine=Engine(device, cpu),
                )
                running = asyncio.create_task(pipeline.run())
                for message in messages:
                    if before_last is not None and message is messages[-1]:
                        await before_last.wait()
                    await pipeline.submit(message, lambda one=message.offset: acked.append(one))  # type: ignore[misc]
                await pipeline.drain()
                await running
        self.results.sort(key=lambda result: result.request_id)  # what is at work beside each other ends in any order
        assert acked == [message.offset for message in messages]
        return self.results


def request(offset: int = 0, key: str = "e1", **fields: Any) -> Message:
    value = {"request_id": key, "image": {"bytes": photo(BLUE)}, "text": "a red dress", **fields}
    value = {name: one for name, one in value.items() if one is not None}
    return Message(
        topics.EDIT_REQUESTS, 0, offset, key.encode(), msgspec.json.encode(value), timestamp_ms=int(NOW * 1000)
    )


def shop_of_dresses(**given: Any) -> Catalogue:
    catalogue = Catalogue(**given)
    catalogue.add("blue-1", BLUE, "blue", "dress")
    catalogue.add("red-1", RED, "red", "dress")
    return catalogue


async def test_words_find_a_garment_and_its_look_is_on_the_photo() -> None:
    """The red dress of the catalogue is named, and the blue one of the photo is red now; outside the mask nothing changed."""
    catalogue = shop_of_dresses()
    [result] = await catalogue.run(request())
    assert result.error is None
    assert [(one.product_id, one.used) for one in result.retrieved] == [("red-1", True)]
    image, mask = (pixels_of(catalogue.store.get(one)) for one in (result.image, result.mask))
    before, inside = pixels_of(photo(BLUE)), mask[..., 0] > 0
    assert np.array_equal(image[~inside], before[~inside])
    assert ciede2000(to_lab(image)[inside].mean(axis=0), to_lab(np.uint8([[RED]]))[0, 0]) < 6
    assert result.colour_difference is not None
    assert result.colour_difference[1] < result.colour_difference[0]
    assert result.garment is not None
    assert inside[100, 75]
    assert result.lineage is not None
    assert result.lineage.source.offset == 0
    assert [one.step for one in catalogue.steps] == list(STEPS)
    [probe] = [one for one in catalogue.probes if isinstance(one, SearchProbe)]
    assert probe.filters["category"] == ("dress",)


async def test_the_same_request_gives_the_same_bytes() -> None:
    """Under one content address; another seed is told."""
    catalogue = shop_of_dresses()
    first, second, third = await catalogue.run(request(0, "a"), request(1, "b"), request(2, "c", seed=5))
    assert first.image == second.image
    assert (first.mask, first.manifest) == (second.mask, second.manifest)
    assert third.seed == 5


async def test_what_no_garment_has_is_of_the_words() -> None:
    """The catalogue has no green dress: one of it lends its cloth, the words their colour, and the result says so."""
    catalogue = shop_of_dresses()
    [result] = await catalogue.run(request(text="a green dress"))
    assert result.error is None
    assert result.from_words == ("green",)
    assert result.retrieved
    image, mask = (pixels_of(catalogue.store.get(one)) for one in (result.image, result.mask))
    mean = to_lab(image)[mask[..., 0] > 0].mean(axis=0)
    assert ciede2000(mean, lab_of_hex(dict(PALETTE)["green"])) < 8


class TwoWorn(FakeDetector):
    """Sees a shirt over trousers where a photo's lower half is of another colour than the upper one."""

    def forward(self, batch: Sequence[Pixels], /) -> list[tuple[Detection, ...]]:
        found = super().forward(batch)
        for number, pixels in enumerate(batch):
            if tuple(pixels[60, 75]) != tuple(pixels[140, 75]):
                found[number] = (
                    Detection("shirt", (35, 40, 115, 100), 0.9),
                    Detection("pants", (35, 100, 115, 160), 0.8),
                )
        return found


def outfit(above: tuple[int, int, int], below: tuple[int, int, int]) -> bytes:
    """A shirt over trousers, for `TwoWorn`."""
    pixels = np.full((200, 150, 3), 225, np.uint8)
    pixels[40:100, 35:115], pixels[100:160, 35:115] = above, below
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Showing(Catalogue):
    """Whose products are found by every kind that their photos show, as in the index."""

    def answer(self, probe: Probe) -> Answer:
        if isinstance(probe, SearchProbe) and probe.filters.get("category") == ("pants",):
            probe = msgspec.structs.replace(probe, filters={})
        return super().answer(probe)


async def test_the_look_is_that_of_the_kind_that_is_wanted_whatever_the_product_sells() -> None:
    """Found for "trousers": of a model in a shirt over trousers the trousers lend their look; and what is sold as trousers comes first."""
    catalogue = Showing()
    catalogue.role = replace(catalogue.role, detector=TwoWorn())
    address = catalogue.store.put_content(outfit((40, 160, 60), RED), ".png")
    catalogue.products["sells-a-shirt"] = ("shirt", "green", address)
    worn = {"image": {"bytes": outfit((90, 90, 90), BLUE)}, "text": "other trousers"}
    first, *_ = await catalogue.run(request(0, "a", **worn))
    assert first.error is None
    assert [(one.product_id, one.used) for one in first.retrieved] == [("sells-a-shirt", True)]
    assert first.garment is not None
    assert first.garment.category == "pants"
    image, mask = (pixels_of(catalogue.store.get(one)) for one in (first.image, first.mask))
    assert ciede2000(to_lab(image)[mask[..., 0] > 0].mean(axis=0), to_lab(np.uint8([[RED]]))[0, 0]) < 6
    catalogue.results.clear()
    catalogue.products["sells-trousers"] = (
        "pants",
        "yellow",
        catalogue.store.put_content(photo((220, 200, 40)), ".png"),
    )
    [second] = await catalogue.run(request(1, "b", **worn))
    assert [(one.product_id, one.used) for one in second.retrieved] == [
        ("sells-trousers", True),
        ("sells-a-shirt", False),
    ]


async def test_of_two_garments_that_words_name_one_is_edited_and_the_other_is_told() -> None:
    """The shirt is red, not red and white; the trousers stay, and a warning says that they were left out."""
    catalogue = Catalogue()
    catalogue.role = replace(catalogue.role, detector=TwoWorn())
    catalogue.add("red-1", RED, "red", "shirt")
    worn = outfit((90, 90, 90), BLUE)
    [result] = await catalogue.run(request(image={"bytes": worn}, text="a red shirt and white trousers"))
    assert result.error is None
    assert result.garment is not None
    assert result.garment.category == "shirt"
    assert result.from_words == ()
    [probe] = [one for one in catalogue.probes if isinstance(one, SearchProbe)]
    assert probe.filters["category"] == ("shirt",)
    assert "red" in probe.filters["colour"]
    assert "white" not in probe.filters["colour"]
    assert any("also name pants" in one and "here the shirt" in one for one in result.warnings)
    image = pixels_of(catalogue.store.get(result.image))
    assert np.array_equal(image[110:155, 40:110], pixels_of(worn)[110:155, 40:110])
    catalogue.results.clear()
    [alone] = await catalogue.run(request(1, "b", image={"bytes": worn}, text="a red shirt"))
    assert not [one for one in alone.warnings if "also name" in one]


@pytest.mark.parametrize(("text", "printed"), [("a red dress", False), ("a red dress with a print", True)])
async def test_a_print_comes_along_only_where_words_ask_for_one(text: str, printed: bool) -> None:
    """A red dress with a white blot lends its red; its blot where a print is asked for."""
    catalogue = Catalogue()
    pixels = np.array(pixels_of(photo(RED)))
    pixels[60:110, 50:100] = 250
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    catalogue.products["red-1"] = ("dress", "red", catalogue.store.put_content(buffer.getvalue(), ".png"))
    [result] = await catalogue.run(request(text=text))
    assert result.error is None
    assert [one.product_id for one in result.retrieved if one.used] == ["red-1"]
    image, mask = (pixels_of(catalogue.store.get(one)) for one in (result.image, result.mask))
    light = to_lab(image)[mask[..., 0] == 255][:, 0]
    assert bool(np.percentile(light, 95) - np.percentile(light, 5) > 20) is printed


class Blind(FakeDetector):
    """Finds nothing in any photo."""

    def forward(self, batch: Sequence[Pixels], /) -> list[tuple[Detection, ...]]:
        return [() for _ in batch]


@pytest.mark.parametrize(("told", "code"), [("dress", None), (NOTHING, Code.NO_GARMENT)])
async def test_a_packshot_that_the_detector_overlooks_is_judged_as_the_catalogue_judged_it(
    told: str, code: Code | None
) -> None:
    """What stands on its plain ground is the garment, where the second look says that it is one; of a ball it says nothing."""
    values = ("dress", NOTHING)
    bias = np.array([9.0 * (value == told) for value in values], np.float32)
    features = FakeImageEncoder().dimension
    judge = replace(head(values, np.zeros((2, features)).tolist()), bias=bias)
    catalogue = shop_of_dresses()
    catalogue.role = replace(catalogue.role, detector=Blind(), judge_of=lambda _maker: judge)
    [result] = await catalogue.run(request())
    assert (None if result.error is None else result.error.code) == code
    if code is None:
        assert result.garment is not None
        assert result.garment.category == "dress"
        assert np.allclose(result.garment.box, (35, 40, 115, 160), atol=6)


async def test_clothes_have_the_look_of_clothes() -> None:
    """Where nothing of the kind is sold, that of other clothes; red sunglasses lend a dress nothing, and the words are left."""
    catalogue = Catalogue()
    catalogue.add("glasses", RED, "red", "sunglass")
    [first] = await catalogue.run(request(0, "a"))
    assert (first.retrieved, first.from_words) == ((), ("red",))
    catalogue.results.clear()
    catalogue.add("shirt-1", RED, "red", "shirt")
    catalogue.add("shirt-2", BLUE, "blue", "shirt")
    [second] = await catalogue.run(request(1, "b"))
    assert [(one.product_id, one.used) for one in second.retrieved] == [("shirt-1", True)]
    assert second.from_words == ()


async def test_an_empty_catalogue_leaves_the_words() -> None:
    """A colour is enough; words without one have nothing to go by."""
    catalogue = Catalogue()
    first, second = await catalogue.run(request(0, "a"), request(1, "b", text="something elegant"))
    assert first.image
    assert first.retrieved == ()
    assert first.from_words == ("red",)
    assert second.error is not None
    assert second.error.code == Code.NO_GARMENT


async def test_shops_do_not_mix() -> None:
    """A request of one shop asks for its products alone, and one of none for those of none."""
    catalogue = shop_of_dresses()
    await catalogue.run(request(0, "a", shop="north"), request(1, "b"))
    asked = {one.shop for one in catalogue.probes if isinstance(one, SearchProbe)}
    assert asked == {"north", ""}
    assert catalogue.results[0].shop == "north"
    assert not catalogue.results[0].retrieved


async def test_the_products_that_a_request_names_are_used_instead() -> None:
    """Their look, though the words say otherwise; and a product of the catalogue may be edited itself."""
    catalogue = shop_of_dresses()
    [result] = await catalogue.run(request(image={"product_id": "red-1"}, text="this dress", references=["blue-1"]))
    assert [(one.product_id, one.used) for one in result.retrieved] == [("blue-1", True)]


async def test_a_product_does_not_lend_itself_its_look() -> None:
    """Though no other product is as much like the words."""
    catalogue = shop_of_dresses()
    [result] = await catalogue.run(request(image={"product_id": "red-1"}, text="a red dress"))
    assert [one.product_id for one in result.retrieved] == ["blue-1"]
    assert result.from_words == ("red",)


async def test_a_mask_bounds_what_changes() -> None:
    """Only where it is light, and only of the garment's own photo size."""
    drawn = np.zeros((200, 150), np.uint8)
    drawn[50:90, 50:100] = 255
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, "PNG")
    catalogue = shop_of_dresses()
    [result] = await catalogue.run(request(mask={"bytes": buffer.getvalue()}))
    image, before = pixels_of(catalogue.store.get(result.image)), pixels_of(photo(BLUE))
    changed = (image != before).any(axis=2)
    assert changed.any()
    assert not changed[drawn == 0].any()


async def test_consent_may_be_asked_for_always() -> None:
    """Of photos; the shop's own are its own."""
    catalogue = shop_of_dresses(consent="always")
    await catalogue.run(request(0), request(1, consent=True), request(2, image={"product_id": "blue-1"}))
    by_code = [None if one.error is None else one.error.code for one in catalogue.results]
    assert sorted(by_code, key=str) == [None, None, Code.CONSENT_NEEDED]


async def test_a_face_needs_consent() -> None:
    """A photo in which one is seen is edited if consent is stated; one without is edited either way."""
    catalogue = shop_of_dresses()
    seen = {"image": {"bytes": with_face()}}
    before = set(catalogue.store.list())
    refused, false, agreed, nobody = await catalogue.run(
        request(0, "a", **seen), request(1, "b", consent=False), request(2, "c", consent=True, **seen), request(3, "d")
    )
    for one in (refused, false):
        assert one.error is not None
        assert (one.error.code, one.error.field) == (Code.CONSENT_NEEDED, "consent")
    assert refused.error is not None
    assert "a face is to be seen" in refused.error.message
    assert agreed.image
    assert nobody.image
    stored = set(catalogue.store.list()) - before
    assert stored == {key for one in (agreed, nobody) for key in (one.image, one.mask, one.manifest)}


async def test_where_nobody_can_see_faces_every_photo_needs_consent() -> None:
    """But not a product of the catalogue; and with the rule "stated" nobody looks."""
    blind = shop_of_dresses(seer=False)
    first, second, third = await blind.run(
        request(0, "a"), request(1, "b", consent=True), request(2, "c", image={"product_id": "blue-1"})
    )
    assert first.error is not None
    assert (first.error.code, first.error.field) == (Code.CONSENT_NEEDED, "consent")
    assert second.error is None
    assert third.error is None
    [unasked] = await shop_of_dresses(consent="stated", seer=False).run(request(image={"bytes": with_face()}))
    assert unasked.error is None


async def test_an_edit_says_what_it_is() -> None:
    """Inside the image and beside it: the manifest with the words, the seed and the hash of the pixels; the mark is inside the mask."""
    catalogue = shop_of_dresses()
    plain, marked = await catalogue.run(request(0, "a"), request(1, "b", mark=True, seed=3))
    data = catalogue.store.get(marked.image)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        inside = json.loads(image.text["weft:manifest"])  # type: ignore[attr-defined]
        assert "compositeSynthetic" in image.text["XML:com.adobe.xmp"]  # type: ignore[attr-defined]
    assert inside == json.loads(catalogue.store.get(marked.manifest))
    action = inside["assertions"][0]["data"]["actions"][0]
    assert action["action"] == "c2pa.edited"
    assert action["parameters"]["seed"] == 3
    assert action["parameters"]["visible_mark"] is True
    first, second = pixels_of(catalogue.store.get(plain.image)), pixels_of(data)
    differs = (first != second).any(axis=2)
    assert differs.any()
    assert not differs[pixels_of(catalogue.store.get(plain.mask))[..., 0] == 0].any()


async def test_edits_are_kept_for_hours() -> None:
    """Their day and hour stand in their keys; a result that is read later finds nothing after that."""
    catalogue = shop_of_dresses()
    [result] = await catalogue.run(request())
    for key in (result.image, result.mask, result.manifest):
        assert key.startswith(PREFIX)
        assert not has_run_out(key, NOW + 3600, 1, PREFIX)
        assert has_run_out(key, NOW + 3 * 3600, 1, PREFIX)


class Painter:
    """An `Inpainter` that paints the mean colour of the garment, or black, in twelve steps."""

    fingerprint = "sha256:painter"
    method = "diffusion"

    def __init__(self, at_step: Callable[[int], None] = lambda _: None) -> None:
        self.jobs: list[Inpaint] = []
        self.at_step = at_step

    def prepare(self, item: Inpaint, /) -> Inpaint:
        return item

    def forward(self, batch: Sequence[Inpaint], /) -> list[Poison | None]:
        self.jobs += batch
        return [self._one(job) for job in batch]

    def _one(self, job: Inpaint) -> Poison | None:
        for done in range(0, 12, 5):
            self.at_step(done)
            try:
                job.watch(done, 12)
            except Poison as error:
                return error
        return None

    def finish(self, item: Inpaint, raw: Poison | None, /) -> Pixels:
        if raw is not None:
            raise raw
        shown = item.worn[0][1]
        found = item.pixels.copy()
        inside = item.mask.whole(*found.shape[:2])
        found[inside] = 0 if shown is None else shown.reshape(-1, 3).mean(axis=0)
        return found

    def example(self) -> Inpaint:
        raise NotImplementedError


async def test_a_model_paints_where_the_profile_has_one() -> None:
    """With the words, the retrieved garment on white, the seed and the steps of the request; its progress is told every few steps."""
    painter = Painter()
    catalogue = shop_of_dresses(painter=painter)
    [result] = await catalogue.run(request(seed=7, steps=12))
    assert result.error is None
    assert result.method == "diffusion"
    assert result.lineage is not None
    assert result.lineage.editor == "sha256:painter"
    [job] = painter.jobs
    [(words, shown)] = job.worn
    assert (words, job.seed, job.steps) == ("a red dress", 7, 12)
    assert shown is not None
    assert tuple(shown[0, 0]) == (255, 255, 255)
    assert (
        ciede2000(
            to_lab(shown[len(shown) // 2 :][:1, shown.shape[1] // 2 :][:, :1])[0, 0], to_lab(np.uint8([[RED]]))[0, 0]
        )
        < 3
    )
    assert [one.step for one in catalogue.steps if one.step in STEPS] == list(STEPS)
    assert sorted((one.done, one.of) for one in catalogue.steps if one.step == PAINTING) == [(5, 12), (10, 12)]
    manifest = json.loads(catalogue.store.get(result.manifest))
    assert manifest["assertions"][0]["data"]["actions"][0]["parameters"]["method"] == "diffusion"
    assert not result.warnings


async def test_words_alone_are_painted_too() -> None:
    """An empty catalogue lends no garment, and no colour has to be named."""
    painter = Painter()
    [result] = await Catalogue(painter=painter).run(request(text="something elegant"))
    assert result.error is None
    assert painter.jobs[0].worn == (("something elegant", None),)
    assert result.colour_difference is None


async def test_a_request_is_taken_back_between_two_steps() -> None:
    """And so is one whose deadline passes; each has one result, and nothing is stored."""
    catalogue = shop_of_dresses()

    def taken_back(done: int) -> None:
        if done == 5:
            catalogue.role.cancels.cancel(Message(topics.EDIT_REQUESTS, 0, 9, b"e1"))

    def late(done: int) -> None:
        if done == 5:
            catalogue.time += 3600

    for at_step, code in ((taken_back, Code.CANCELLED), (late, Code.DEADLINE_EXCEEDED)):
        catalogue.role = replace(catalogue.role, inpainter=Painter(at_step))
        catalogue.results.clear()
        before = set(catalogue.store.list())
        [result] = await catalogue.run(request())
        assert result.error is not None
        assert result.error.code == code
        assert set(catalogue.store.list()) == before


def test_a_request_that_was_never_made_cannot_be_taken_back() -> None:
    """Nor one of another partition, nor a later one."""
    catalogue = Catalogue()
    catalogue.role.cancels.begin(request(5))
    assert catalogue.role.cancels.cancel(Message(topics.EDIT_REQUESTS, 1, 9, b"e1")) == 0
    assert catalogue.role.cancels.cancel(Message(topics.EDIT_REQUESTS, 0, 4, b"e1")) == 0
    assert catalogue.role.cancels.cancel(Message(topics.EDIT_REQUESTS, 0, 9, b"e1")) == 1
    with pytest.raises(Poison):
        catalogue.role.cancels.check(request(5))
