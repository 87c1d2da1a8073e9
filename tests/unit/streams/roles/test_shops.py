"""Two shops in one stack: equal ids, opposite labels, and nothing of the one with the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from index_sync.shard import Shard
from infra.memory_store import MemoryStore
from models.fakes import FakeImageEncoder, FakeWriter
from processors.attributes import Calibration
from processors.errors import Code, Poison
from processors.policies import policies_of
from streams.contract import codecs, topics
from streams.contract.checks import BadQuery
from streams.contract.codecs import decode_caption, decode_item
from streams.contract.probes import Hits, SearchProbe
from streams.contract.records import Caption, Item
from streams.engine.message import SHOP, Message
from streams.kafka.key_order import PassOn
from streams.kafka.producer import MemorySender, Sent
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.enrich import Enrich
from streams.roles.index.answers import answer
from streams.roles.index.entries import change_of
from streams.roles.memo import Memo
from streams.roles.outcome import PassedOn, publisher
from streams.roles.taking_in import TakeIn
from tests.fakes.products import products_in
from tests.fixtures.engines import World, running
from tests.unit.streams.roles.test_role_compose import NOW, Shards, compose
from tests.unit.streams.roles.test_role_enrich import Web, photo, role, through

PRODUCTS = 6
WORDS = {
    "one": ("linen", "women", "one says breezy"),
    "two": ("leather", "men", "two says rugged"),
    None: ("silk", "girls", ""),
}


def upload(number: int, shop: str | None, *, labelled: bool = True, key: str | None = None, offset: int = 0) -> Message:
    fabric, gender, text = WORDS[shop]
    said: dict[str, Any] = {"category": "dress"}
    if labelled:
        said |= {"fabric": fabric, "gender": gender, "description": text}
    record = {"product_id": f"sku-{number}", "image": {"uri": "https://x/1.png"}, "metadata": said}
    value = msgspec.json.encode(record | ({"shop": shop} if shop else {}))
    return Message(topics.UPLOADS, 0, offset, (key or f"sku-{number}").encode(), value)


def published(
    stages: Any, stage: str, topic: str, messages: Sequence[Message], enrich: Enrich | None = None
) -> list[Sent]:
    """What a role publishes; `enrich`: the role, where it is that one."""

    async def main() -> list[Sent]:
        sender, world = MemorySender(), World()
        publish: Any = publisher(sender, stage=stage, topic=topic)
        if enrich is not None:
            publish = TakeIn(sender, products_in(enrich.store), enrich.items).publish
        world.publish = publish  # type: ignore[method-assign]
        async with running(stages, world) as pipeline:
            for message in messages:
                await pipeline.submit(message, world.ack(message))
            await pipeline.drain()
        assert not world.dead, world.dead
        return sender.sent

    return asyncio.run(main())


def items_of(shops: Sequence[str | None], *, labelled: bool = True) -> list[Message]:
    """The items of the same ids and photos of each shop, as they lie on their topic."""
    uploads = [
        upload(number, shop, labelled=labelled or number > 0, offset=number)
        for number in range(PRODUCTS)
        for shop in shops
    ]
    enrich = role(Web(photo()))
    sent = published(enrich.stages(), "enrich", topics.ITEMS, uploads, enrich)
    return [Message(topics.ITEMS, 0, n, one.key, one.value, one.headers) for n, one in enumerate(sent)]


def captioner(neighbourhood: Neighbourhood) -> Captioner:
    writer, voted = FakeWriter(), policies_of({"fabric": "neighbours", "gender": "neighbours"})
    memo = Memo(MemoryStore("test"), "caption", writer.fingerprint)
    return Captioner(writer, neighbourhood, memo, Calibration(k=20), batch_items=4, batch_wait_s=0.0, policies=voted)


def test_equal_ids_are_products_of_their_own() -> None:
    """Item and caption have the shop's own id and the shop; their keys differ, and those of no shop are as they were."""
    items = items_of(["one", "two", None])
    assert {message.key for message in items} == {
        key
        for number in range(PRODUCTS)
        for key in (f"//one/sku-{number}".encode(), f"//two/sku-{number}".encode(), f"sku-{number}".encode())
    }
    decoded = [decode_item(message.value or b"") for message in items]
    assert {(item.shop, item.product_id) for item in decoded} == {
        (shop, f"sku-{number}") for number in range(PRODUCTS) for shop in ("one", "two", "")
    }
    captions = published(captioner(Neighbourhood()).stages(), "caption", topics.CAPTIONS, items)
    assert {sent.key for sent in captions} == {message.key for message in items}


def test_no_vote_and_no_word_crosses() -> None:
    """What a shop left open is decided by its own products, though those of the others look the same."""
    items = items_of(["one", "two", None], labelled=False)
    neighbourhood = Neighbourhood(("fabric", "gender"))
    for message in items:
        neighbourhood.apply(message)
    asked = [message for message in items if (message.key or b"").endswith(b"sku-0")]
    captions = [
        decode_caption(sent.value or b"")
        for sent in published(captioner(neighbourhood).stages(), "caption", topics.CAPTIONS, asked)
    ]
    assert {caption.shop for caption in captions} == {"one", "two", ""}
    for caption in captions:
        fabric, gender, text = WORDS[caption.shop or None]
        [garment] = caption.evidence.garments
        assert (garment.attributes["fabric"].value, garment.attributes["gender"].value) == (fabric, gender)
        assert set(garment.attributes["fabric"].neighbours) <= {f"sku-{n}" for n in range(1, PRODUCTS)}
        assert {example.text for example in caption.evidence.style_examples} <= {text}
        others = [words for shop, words in WORDS.items() if (shop or "") != caption.shop]
        said = msgspec.json.encode(caption).decode()
        assert not [word for fabric, _, text in others for word in (fabric, text) if word and word in said]


def test_no_hit_crosses() -> None:
    """A probe of a shop finds its products only, by their keys; one of no shop those of no shop."""
    shard = Shard(0, "", 0)
    for message in items_of(["one", "two", None]):
        change = change_of(message)
        shard.apply(change.offset, change.product_id, change.entry)
    encoder = FakeImageEncoder()
    vector = np.asarray(encoder.finish(encoder.example(), encoder.forward([encoder.prepare(encoder.example())])[0]))
    for shop in ("one", "two", ""):
        probe = SearchProbe("q", vector.astype("<f4").tobytes(), encoder.fingerprint, 100, 0.0, shop=shop)
        found = answer(shard, probe, of=1, wanted=0)
        assert isinstance(found, Hits)
        keys = {f"//{shop}/sku-{n}" if shop else f"sku-{n}" for n in range(PRODUCTS)}
        assert {hit.product_id for hit in found.hits} == keys
    nobody = answer(shard, msgspec.structs.replace(probe, shop="three"), of=1, wanted=0)
    assert isinstance(nobody, Hits)
    assert nobody.hits == ()


async def test_a_query_is_of_one_shop() -> None:
    """It asks for its products, its hits have the shop's own ids; what an older index worker adds of others is left out."""
    shards = Shards()

    def hits(of: Any, partition: int) -> Any:
        found = Shards.answer(shards, of, partition)
        if not isinstance(found, Hits):
            return found
        [hit] = found.hits
        return msgspec.structs.replace(
            found,
            hits=tuple(msgspec.structs.replace(hit, product_id=key) for key in ("//one/sku-7", "//two/sku-7", "sku-7")),
        )

    shards.answer = hits  # type: ignore[method-assign]
    for shop in ("one", None):
        value = msgspec.json.encode({"query_id": "q", "text": "red", **({"shop": shop} if shop else {})})
        made = compose(shards)
        read: Any = await made.read(Message(topics.QUERIES, 0, 3, b"q", value, timestamp_ms=int(NOW * 1000)))
        await made.answer(made.embed([made.open(read)])[0])
        assert {(hit.shop, hit.product_id) for hit in shards.results[-1].hits} == {(shop or "", "sku-7")}
        assert [probe.shop for probe in shards.probes[-1:] if isinstance(probe, SearchProbe)] == [shop or ""]
    value = msgspec.json.encode({"query_id": "q", "image": {"product_id": "sku-9"}, "shop": "one"})
    made = compose(shards)
    await made.answering(made.read)(Message(topics.QUERIES, 0, 4, b"q", value, timestamp_ms=int(NOW * 1000)))
    assert shards.results[-1].error is not None
    assert shards.results[-1].error.code == "unknown_product"
    assert "'sku-9'" in shards.results[-1].error.message


async def test_a_key_may_be_the_id_alone_or_say_the_shop() -> None:
    """Of uploads and of deletes; a delete under the id names the shop in a header."""
    made = role(Web(photo()))
    for key in ("sku-3", "//one/sku-3"):
        item = await through(made, upload(3, "one", key=key))
        assert isinstance(item, Item)
        assert (item.shop, item.product_id) == ("one", "sku-3")
    with pytest.raises(Poison) as refused:
        codecs.decode_upload(upload(3, "one", key="//two/sku-3"))
    assert refused.value.code is Code.WRONG_KEY
    for key, header, product in (
        (b"//one/sku-3", b"", ("one", "sku-3")),
        (b"sku-3", b"one", ("one", "sku-3")),
        (b"sku-3", b"", ("", "sku-3")),
    ):
        headers = ((SHOP, header),) if header else ()
        gone = await through(made, Message(topics.UPLOADS, 0, 9, key, None, headers))
        assert (gone.shop, gone.product_id) == product


async def test_a_shop_that_cannot_be_is_refused_by_name() -> None:
    """The field at fault is `shop`."""
    message = upload(1, "one")
    bad = msgspec.json.decode(message.value or b"") | {"shop": "a\nb"}
    with pytest.raises(Poison) as refused:
        codecs.decode_upload(Message(topics.UPLOADS, 0, 0, b"sku-1", msgspec.json.encode(bad)))
    assert refused.value.field == "shop"
    with pytest.raises(BadQuery) as badly_asked:
        codecs.decode_query(Message(topics.QUERIES, 0, 0, b"q", b'{"query_id": "q", "text": "red", "shop": " "}'))
    assert badly_asked.value.field == "shop"


def test_what_is_passed_on_says_its_shop() -> None:
    """Its key has the shop from then on: the record of a delete has nowhere else to say it."""
    asked: list[bytes] = []

    async def elsewhere(_message: Message, product: bytes) -> PassOn:
        asked.append(product)
        return PassOn(7, product)

    async def main() -> Any:
        made = role(Web(photo()))
        made = type(made)(**{**{f: getattr(made, f) for f in made.__dataclass_fields__}, "order": elsewhere})
        return await through(made, Message(topics.UPLOADS, 0, 9, b"sku-3", None, ((SHOP, b"one"),)))

    assert asyncio.run(main()) == PassedOn(7, b"//one/sku-3")
    assert asked == [b"//one/sku-3"]


def test_captions_of_before_there_were_shops_are_read() -> None:
    """Old items and captions have no shop, and are of none."""
    [message] = items_of([None])[:1]
    old = msgspec.msgpack.decode(message.value or b"")
    del old["shop"]
    assert decode_item(msgspec.msgpack.encode(old)).shop == ""
    [sent] = published(captioner(Neighbourhood()).stages(), "caption", topics.CAPTIONS, [message])
    caption = msgspec.json.decode(sent.value or b"")
    del caption["shop"]
    assert isinstance(decode_caption(msgspec.json.encode(caption)), Caption)
    assert decode_caption(msgspec.json.encode(caption)).shop == ""
