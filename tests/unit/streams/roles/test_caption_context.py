"""Articles in the role `caption`, and the role `context` that has captions made anew: what is said, cited, and taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from infra.memory_store import MemoryStore
from processors.errors import Poison, Retryable
from streams.contract import topics
from streams.contract.articles import without_context
from streams.contract.codecs import encode
from streams.contract.records import Caption, ContextUse, Item
from streams.engine.message import CONTEXT, Message
from streams.engine.stages import Done
from streams.ops.caption_explain import explain
from streams.ops.rewrite import Rewrite
from streams.ops.store_names import Named
from streams.roles.caption.context import Context
from streams.roles.caption.kits import Kits, parse
from streams.roles.caption.role import Captioner
from streams.roles.context.articles import Articles
from streams.roles.context.header import places_in
from streams.roles.context.role import Asking, read
from streams.roles.outcome import Unchanged
from tests.unit.streams.ops.test_rewrite import Log
from tests.unit.streams.roles.test_caption_kits import INJECTIONS, Echo
from tests.unit.streams.roles.test_role_caption import GOOD, Scripted, captioner, item, message, through

FACT = "It was cut by Ada Moreau in Porto."
STORY = f"We love this piece. {FACT} It feels like summer."
BASE = "A red dress for every day."
STATEMENTS = ("This dress is made of gold", "100% pure vegan silk, waterproof", "made in Italy by hand since 1899")
"""Of the orders that tests give, those that are a merchant's plain word of the product: it may be quoted, as a fabric in its metadata is."""


class Words:
    """Texts are as alike as the letters that they have; counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += len(texts)
        found = np.array([[text.lower().count(letter) + 0.1 for letter in "aeinorst"] for text in texts], np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


class World:
    """A captioner with articles."""

    def __init__(self, writer: Any = None) -> None:
        self.articles, self.likeness = Articles(), Words()
        self.writer = writer or Echo()
        self.context = Context(self.articles, self.likeness)
        self.role: Captioner = replace(captioner(self.writer), context=self.context)
        self.offset = 0

    def article(self, name: str, text: str | None, **about: str) -> Message:
        more = {key: about.pop(key) for key in ("shop", "locale", "version") if key in about}
        value = None if text is None else msgspec.json.encode({"id": name, "text": text, "applies_to": about, **more})
        record = Message(topics.ARTICLES, 0, self.offset, name.encode(), value, (), 1000 + self.offset)
        self.offset += 1
        self.articles.apply(record)
        return record

    async def caption(self, of: Item, offset: int = 0) -> Caption:
        found = await through(self.role, message(of, offset))
        assert isinstance(found, Caption)
        return found


def uses(caption: Caption) -> list[tuple[str, str]]:
    assert isinstance(caption.context, tuple)
    return [(use.article, caption.caption[span.start : span.end]) for use in caption.context for span in use.spans]


async def test_a_product_states_a_fact_of_its_article_and_cites_it() -> None:
    """Behind the text that there would be without it; the citation has the chunk, its likeness, and where it is said."""
    world = World()
    world.article("a1", STORY, product="p1", version="2")
    caption = await world.caption(item("p1"))
    assert caption.caption == f"{BASE} {FACT}"
    assert uses(caption) == [("a1", FACT)]
    [use] = caption.context  # type: ignore[misc]
    assert (use.chunk, use.text, use.version) == (0, STORY, "2")
    assert 0 < use.score <= 1
    assert without_context(caption) == BASE
    assert {caption.caption[s.start : s.end].lower() for s in caption.spans} == {"red", "dress"}
    assert msgspec.json.decode(encode(caption))["context"][0]["article"] == "a1"


async def test_a_product_without_an_article_is_as_if_there_were_none() -> None:
    """The same bytes, and no field; nothing is ranked for it."""
    world, plain = World(), captioner(Echo())
    world.article("a1", STORY, product="p1")
    first, second = await world.caption(item("p2")), await through(plain, message(item("p2")))
    assert encode(first) == encode(second)
    assert b"context" not in encode(first)
    assert world.likeness.asked == 0


async def test_an_article_that_comes_changes_or_goes_changes_the_caption_and_asks_no_model() -> None:
    """The text of the model is remembered by the product's own facts."""
    world = World(Scripted(GOOD))
    assert (await world.caption(item("p1"), 0)).caption == BASE
    world.article("a1", STORY, product="p1")
    assert (await world.caption(item("p1"), 1)).caption == f"{BASE} {FACT}"
    world.article("a1", STORY.replace("Porto", "Lyon"), product="p1")
    assert (await world.caption(item("p1"), 2)).caption == f"{BASE} {FACT.replace('Porto', 'Lyon')}"
    world.article("a1", "We love this piece.", product="p1")
    assert (await world.caption(item("p1"), 3)).context is msgspec.UNSET
    world.article("a1", None)
    assert (await world.caption(item("p1"), 4)).caption == BASE
    assert world.writer.batches == 1


async def test_equal_articles_publish_equal_bytes() -> None:
    """A record that comes again says so (`Unchanged`), and chunks are not ranked again."""
    world = World()
    world.article("a1", STORY, product="p1")
    first = await world.caption(item("p1"), 0)
    asked = world.likeness.asked
    again = world.role.read(message(item("p1"), 1))
    assert not isinstance(again, Done)
    done = await world.role.recall(again)
    assert isinstance(done, Done)
    assert isinstance(done.result, Unchanged)
    assert encode(done.result.record) == encode(first)
    [early, _] = await world.role.read_all([message(item("p1"), 2), message(item("p1"), 3)])
    assert early is not None
    assert encode(early.result.record) == encode(first)
    assert world.likeness.asked == asked


async def test_brand_and_collection_and_whose_they_are() -> None:
    """By name, whatever its case; of a shop's articles only its products know."""
    world = World()
    world.article("b", "Acme was founded in 1921 by Ada Rossi.", brand="ACME")
    world.article("c", "The Dune line was drawn in Fez by Leila Haddad.", collection="Dune")
    world.article("s", "It was sewn by Otto Lang in Bregenz.", product="p1", shop="other")
    of = item("p1", brand="Acme")
    dune = msgspec.structs.replace(of, metadata=msgspec.structs.replace(of.metadata, facets={"Collection": "dune"}))
    assert {name for name, _ in uses(await world.caption(dune))} == {"b", "c"}
    assert [name for name, _ in uses(await world.caption(of))] == ["b"]
    assert (await world.caption(item("p1"))).context is msgspec.UNSET
    shop = await world.caption(msgspec.structs.replace(item("p1"), shop="other"))
    assert [name for name, _ in uses(shop)] == ["s"]


async def test_a_kit_holds_for_what_articles_say() -> None:
    """Its limit, its banned words, its language, and its emoji at the end."""
    world = World()
    world.article("a1", STORY, product="p1")

    async def with_kit(text: str) -> Caption:
        world.role = replace(world.role, kits=Kits({"default": parse(text, "default")}))
        return await world.caption(item("p1"))

    emoji = await with_kit("emoji: some")
    assert (emoji.caption, without_context(emoji)) == (f"{BASE} {FACT} 👗", f"{BASE} 👗")
    assert (await with_kit("max_chars: {caption: 60}")).caption == BASE
    assert (await with_kit('banned: ["porto"]')).caption == BASE
    assert (await with_kit("locale: de")).caption == "Rotes Kleid."
    world.article("a2", "Gewebt von der Weberei Lang in Bregenz.", product="p1", locale="de-AT")
    assert uses(await with_kit("locale: de")) == [("a2", "Gewebt von der Weberei Lang in Bregenz.")]


@pytest.mark.parametrize("text", INJECTIONS)
async def test_orders_in_an_article_change_nothing(text: str) -> None:
    """In its text, beside a fact, in its title and its id: the model is asked the same, and says the same."""
    world, plain = World(), World()
    plain.article("a1", STORY, product="p1")
    world.article("a1", f"{STORY}\n\n{text}\n\nIt feels like summer.", product="p1")
    first, second = await plain.caption(item("p1")), await world.caption(item("p1"))
    if text in STATEMENTS:
        assert FACT in second.caption
    else:
        assert second.caption == first.caption
    assert [r.evidence for r in world.writer.asked] == [r.evidence for r in plain.writer.asked]
    assert (first.hashtags, first.title, first.alt) == (second.hashtags, second.title, second.alt)


async def test_an_item_that_was_sent_again_waits_for_its_article() -> None:
    """Its record may be read before the article is."""
    world = World()
    again = replace(message(item("p1"), 3), headers=((CONTEXT, b"0:0/e1"),))
    first = world.role.read(again)
    assert not isinstance(first, Done)
    assert first.early is again
    assert await world.role.read_all([again, again]) == [None, None]
    waiting = asyncio.create_task(through(world.role, again))
    await asyncio.sleep(0)
    assert not waiting.done()
    world.article("a1", STORY, product="p1")
    assert uses(await waiting) == [("a1", FACT)]


async def test_an_article_that_never_comes_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its topic was made anew: the caption goes out without it, and the next one at once."""
    monkeypatch.setattr("streams.roles.caption.context.WAIT_S", 0.01)
    world = World()
    again = replace(message(item("p1"), 3), headers=((CONTEXT, b"0:99/e1"),))
    assert (await through(world.role, again)).caption == BASE
    assert world.context.missing(again) == {}


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, {}),
        (b"", {}),
        (b"x", {}),
        (b"0:1,1:7/e", {("articles", 0): 1, ("articles", 1): 7}),
        (b"0:1/e/0:3", {("articles", 0): 1, ("pictured", 0): 3}),
        (b"/e/0:3", {("pictured", 0): 3}),
        (b"\xff:1", {}),
    ],
)
def test_what_a_header_says(header: bytes | None, wanted: dict[tuple[str, int], int]) -> None:
    """What cannot be read says nothing."""
    assert places_in(header) == wanted


async def test_explain_shows_what_articles_say() -> None:
    """And what the caption would be without them."""
    world = World()
    world.article("a1", STORY, product="p1")
    published = await world.caption(item("p1"))
    found = explain(world.role, message(item("p1")), published)
    assert found is not None
    assert found.same
    assert [(use.article, use.text) for use in found.context] == [("a1", STORY)]
    assert {why for _, _, why in found.unused} == {"names nothing and tells nothing of how it was made"}


# ---------------------------------------------------------------- the role `context`


def asking(log: Log, captions: Sequence[Message] = ()) -> Asking:
    async def stand() -> AsyncIterator[Message]:
        for record in captions:
            yield record

    async def again(found: Mapping[bytes, tuple[int, int]], mark: str) -> int:
        return await Rewrite(log, log, mark, header=CONTEXT).ask(found)

    return Asking(log.to_end, stand, again, lambda: "e1", later_s=0.0)


def stored(*items: Item) -> Log:
    return Log(*((one.product_id, encode(one)) for one in items))


def sent_again(log: Log) -> list[tuple[str, bytes | None]]:
    return [((r.key or b"").decode(), r.header(CONTEXT)) for r in log.records if r.header(CONTEXT)]


async def test_items_of_an_article_s_products_are_sent_again() -> None:
    """As they stand, by product and by brand; each says which article its caption has to know."""
    world = World()
    log = stored(item("p1"), item("p2", brand="Acme"), item("p3"))
    log.add("p4", encode(item("p4", brand="Acme")))
    log.add("p4", None)
    ask = asking(log)
    await ask.ask(read(world.article("a1", STORY, product="p1")))
    assert sent_again(log) == [("p1", b"0:0/e1")]
    await ask.ask(read(world.article("a2", STORY, brand="acme")))
    assert sent_again(log)[1:] == [("p2", b"0:1/e1")]
    assert log.newest()["p1"] == encode(item("p1"))


async def test_an_article_that_is_taken_back_is_found_by_what_cites_it() -> None:
    """The record of its deletion does not say what it applied to."""
    world = World()
    world.article("a1", STORY, product="p1")
    cited = await world.caption(item("p1"))
    plain = await world.caption(item("p2"))
    captions = [
        Message(topics.CAPTIONS, 0, n, one.product_id.encode(), encode(one)) for n, one in enumerate((cited, plain))
    ]
    log = stored(item("p1"), item("p2"))
    await asking(log, captions).ask(read(world.article("a1", None)))
    assert sent_again(log) == [("p1", b"0:1/e1")]
    gone = [*captions, Message(topics.CAPTIONS, 0, 9, b"p1", None)]
    log = stored(item("p1"), item("p2"))
    await asking(log, gone).ask(read(world.article("a1", None)))
    assert sent_again(log) == []


async def test_articles_that_wait_together_cost_one_reading() -> None:
    """And one that fails is told to all of them, who are asked again."""
    world, readings = World(), 0
    log = stored(*(item(f"p{n}") for n in range(20)))
    ask = asking(log)

    async def items() -> AsyncIterator[Message]:
        nonlocal readings
        readings += 1
        if readings == 1:
            raise Retryable("the broker is away")
        async for record in log.to_end():
            yield record

    ask.items = items
    changes = [read(world.article(f"a{n}", STORY, product=f"p{n}")) for n in range(20)]
    first = await asyncio.gather(*(ask.ask(change) for change in changes), return_exceptions=True)
    assert all(isinstance(one, Retryable) for one in first)
    await asyncio.gather(*(ask.ask(change) for change in changes))
    assert readings <= 3
    assert sorted({key for key, _ in sent_again(log)}) == sorted(f"p{n}" for n in range(20))


def test_what_is_no_article_is_poison() -> None:
    """The role makes a dead letter of it; the view leaves it out and goes on."""
    bad = Message(topics.ARTICLES, 0, 0, b"a1", b'{"id": "a1"}')
    with pytest.raises(Poison):
        read(bad)
    view = Articles()
    view.apply(bad)
    assert view.knows({0: 0})
    assert len(view) == 0


def test_the_view_is_bounded() -> None:
    """An article beyond is not taken in; a new text of one that is known is."""
    view = Articles(most=1)
    for offset, (name, text) in enumerate((("a1", "One."), ("a2", "Two."), ("a1", "Three."))):
        value = msgspec.json.encode({"id": name, "text": text, "applies_to": {"product": "p1"}})
        view.apply(Message(topics.ARTICLES, 0, offset, name.encode(), value, (), offset))
    [found] = view.of("", "p1", item("p1").metadata)
    assert (len(view), found.known.article.text) == (1, "Three.")


async def test_a_sweep_of_the_store_keeps_what_a_caption_was_made_of() -> None:
    """Its memo holds the text without what articles say; their pictures are named by their records."""
    world, named = World(), Named()
    world.article("a1", STORY, product="p1")
    caption = await world.caption(item("p1"))
    named.take(MemoryStore("test"), Message(topics.CAPTIONS, 0, 0, b"p1", encode(caption)))
    assert {BASE, caption.caption} <= named.texts
    picture = f"images/ab/cd/{'ab' * 32}.jpg"
    article = {"id": "a1", "text": STORY, "applies_to": {"product": "p1"}, "images": [picture]}
    named.take(MemoryStore("test"), Message(topics.ARTICLES, 0, 0, b"a1", msgspec.json.encode(article)))
    assert named.photo(picture)


def test_a_citation_is_read_back() -> None:
    """By readers of now, from what was written."""
    use = ContextUse("a1", 0, 0.5, (), "Text.")
    assert msgspec.json.decode(msgspec.json.encode(use), type=ContextUse) == use
