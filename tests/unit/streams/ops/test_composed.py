"""The yardstick of composed search: its pairs, their wordings, and the figures of a catalogue that is known."""

from __future__ import annotations

import msgspec
import pytest

from models.composers.late_interaction import LateInteraction
from models.fakes import FakeComposer, FakeImageEncoder, FakeTextEncoder
from processors.chances import pack
from processors.edit_text import parse_edit
from processors.facets import COLOUR
from processors.values import Garment, Metadata
from streams.contract.records import Item, Source, View
from streams.facets.labelled import Labelled
from streams.ops.composed.local import LocalSearch
from streams.ops.composed.pairs import PHRASINGS, pairs_of, refusal_of, texts_of
from streams.ops.composed.trained import Trained
from streams.ops.composed.trial import (
    DIRECTION,
    IMAGE,
    SERVED,
    SHUFFLED,
    SUM,
    TEXT,
    TRAINED,
    WITH_FACETS,
    measure,
    queries_of,
)

COLOURS, SLEEVES = ("navy", "red", "green", "white"), ("long", "short")
PRODUCTS = [
    Labelled(
        f"{kind}-{colour}-{sleeve}",
        "a.jpg",
        "b",
        kind,
        {"kind": kind, COLOUR: colour, "sleeve": sleeve, "gender": "men"},
    )
    for kind in ("t-shirt", "dress")
    for colour in COLOURS
    for sleeve in SLEEVES
]


def item(product: Labelled) -> Item:
    """As `enrich` makes it of a photo on which all facets are seen well, and whose vector says little."""
    texts = FakeTextEncoder()
    category = "dress" if product.category == "dress" else "shirt"
    vector = texts.forward([texts.prepare(f"{category} {product.product_id}")])[0].astype("<f4").tobytes()
    chances = {facet: {value: 0.9} for facet, value in product.labels.items()} | {"category": {category: 0.95}}
    return Item(
        product.product_id, "a.jpg", 9, 9, (Garment("g0", category, (0, 0, 9, 9), 0.9),), (View("whole", category, vector),),
        Metadata(), FakeImageEncoder().fingerprint, len(vector) // 4, "d", Source("catalog.uploads", 0, 0), "0",
        "sha256:heads", chances=pack(chances),
    )  # fmt: skip


def shown(name: str, category: str, colour: str, words: str) -> Item:
    """A product whose vector says what it looks like, and whose facets were read from its photo."""
    texts = FakeTextEncoder()
    vector = texts.forward([texts.prepare(words)])[0].astype("<f4").tobytes()
    one = item(Labelled(name, "a.jpg", "b", category, {COLOUR: colour}))
    chances = pack({"category": {category: 0.9}, COLOUR: {colour: 0.9}})
    return msgspec.structs.replace(one, product_id=name, views=(View("whole", category, vector),), chances=chances)


async def test_a_red_hat_is_a_hat_before_it_is_red() -> None:
    """The vector of the words holds colour and kind together, and red shirts were nearer to it than any hat."""
    catalogue = [
        shown("shirt", "shirt", "red", "red hat"),
        shown("red-hat", "hat", "red", "red thing"),
        shown("blue-hat", "hat", "blue", "red hat thing"),
    ]
    search = LocalSearch(catalogue, FakeImageEncoder(), FakeTextEncoder(), None)  # type: ignore[arg-type]
    hat, same, by_price = await search.ask(
        [{"text": "red hat"}, {"text": "red hat"}, {"text": "red hat", "sort": "price"}]
    )
    assert [hit.product_id for hit in hat.hits][-1] == "shirt"
    assert hat.hits == same.hits
    told = {hit.product_id: hit for hit in hat.hits}
    assert told["red-hat"].meets == {"category": True, COLOUR: True}
    assert told["shirt"].meets == {"category": False, COLOUR: True}
    # What relevance goes by is the inner product, whatever the facets add.
    assert told["shirt"].similarity == pytest.approx(1.0, abs=1e-3)
    assert all(hit.similarity is not None and hit.similarity < 1.0 for name, hit in told.items() if name != "shirt")
    assert all(hit.similarity is None for hit in by_price.hits)
    assert max(hit.score for hit in by_price.hits) == pytest.approx(1.0, abs=1e-3)


async def test_the_second_stage_compares_garments_with_garments() -> None:
    """Through the shard, as the role answers: the first stage has only the whole photo of the reference and the best view of each."""

    def dress(name: str, colour: str, whole: str, garment: str) -> Item:
        one = shown(name, "dress", colour, whole)
        (view,) = shown(name, "dress", colour, garment).views
        return msgspec.structs.replace(one, views=(*one.views, msgspec.structs.replace(view, id="g0")))

    catalogue = [
        dress("reference", "red", "street scene", "long dress"),
        dress("scene", "navy", "street scene", "short coat"),
        dress("garment", "navy", "street scenery", "long dress"),
    ]
    asked = [{"image": {"product_id": "reference"}, "text": "but in navy"}]
    plain = LocalSearch(catalogue, FakeImageEncoder(), FakeTextEncoder(), None)  # type: ignore[arg-type]
    again = LocalSearch(catalogue, FakeImageEncoder(), FakeTextEncoder(), None, LateInteraction())  # type: ignore[arg-type]
    (first,), (second,) = await plain.ask(asked), await again.ask(asked)
    assert [hit.product_id for hit in first.hits] == ["scene", "garment"]
    assert [hit.product_id for hit in second.hits] == ["garment", "scene"]
    assert second.reranked == "done"
    assert {hit.product_id: hit.score for hit in second.hits} == {hit.product_id: hit.score for hit in first.hits}


async def test_words_that_say_no_facet_are_asked_of_the_vector_alone() -> None:
    """Nothing is added for what was not asked."""
    search = LocalSearch([shown("a", "hat", "red", "elegant red")], FakeImageEncoder(), FakeTextEncoder(), None)  # type: ignore[arg-type]
    for words in ("elegant", "elegant red"):
        (found,) = await search.ask([{"text": words}])
        assert found.hits[0].similarity is None
    assert found.hits[0].score == pytest.approx(1.0, abs=1e-3)


async def test_a_red_hat_for_the_beach_is_a_hat_first() -> None:
    """Words that say more than facets: of these the kind of garment counts and nothing else, and all wishes are told."""
    catalogue = [
        shown("shirt", "shirt", "red", "red hat for the beach"),
        shown("red-hat", "hat", "red", "red thing"),
        shown("blue-hat", "hat", "blue", "red hat"),
    ]
    search = LocalSearch(catalogue, FakeImageEncoder(), FakeTextEncoder(), None)  # type: ignore[arg-type]
    found, by_price = await search.ask(
        [{"text": "red hat for the beach"}, {"text": "red hat for the beach", "sort": "price"}]
    )
    # Between hats the vector decides, whatever their colours probably are.
    assert [hit.product_id for hit in found.hits] == ["blue-hat", "red-hat", "shirt"]
    told = {hit.product_id: hit for hit in found.hits}
    assert told["blue-hat"].meets == {"category": True, COLOUR: False}
    assert told["shirt"].meets == {"category": False, COLOUR: True}
    assert told["shirt"].similarity == pytest.approx(1.0, abs=1e-3)
    assert by_price.hits[0].product_id == "shirt"


def test_a_pair_differs_in_one_facet_and_every_such_product_is_right() -> None:
    """Of one type and audience; the others agree."""
    pairs = pairs_of(PRODUCTS, 1000, 3)
    one = next(pair for pair in pairs if pair.reference == "dress-navy-long" and pair.value == "red")
    assert one.right == {"dress-red-long"}
    assert len(pairs) == len(PRODUCTS) * (len(COLOURS) - 1 + len(SLEEVES) - 1)
    twin = Labelled("twin", "a.jpg", "b", "dress", PRODUCTS[-1].labels)
    more = pairs_of([*PRODUCTS, twin], 1000, 3)
    assert any(pair.right == {PRODUCTS[-1].product_id, "twin"} for pair in more)
    assert pairs_of(PRODUCTS, 5, 3) == pairs_of(PRODUCTS, 5, 3) != pairs_of(PRODUCTS, 5, 4)


@pytest.mark.parametrize(
    ("facet", "value"),
    [(COLOUR, "navy"), (COLOUR, "white"), ("pattern", "solid"), ("pattern", "striped"), ("pattern", "checked"),
     ("pattern", "printed"), ("sleeve", "long"), ("sleeve", "sleeveless"), ("sleeve", "three-quarter"),
     ("neckline", "round"), ("neckline", "v"), ("neckline", "polo"), ("neckline", "collar"), ("neckline", "scoop")],
)  # fmt: skip
def test_six_wordings_are_read_as_the_same_wish_and_a_refusal_as_none(facet: str, value: str) -> None:
    """Otherwise the spread over them would measure the rules that read them."""
    texts = texts_of(facet, value)
    assert len(set(texts)) == PHRASINGS
    assert {parse_edit(text).set.get(facet) for text in texts} == {value}
    assert value in parse_edit(refusal_of(facet, value)).exclude.get(facet, ()) or value == "sleeveless"


async def test_the_cut_of_one_product_and_the_colour_of_another() -> None:
    """The second lends its colour and nothing else; words lead; a later turn goes on from both."""
    search = LocalSearch(map(item, PRODUCTS), FakeImageEncoder(), FakeTextEncoder(), None)  # type: ignore[arg-type]
    images = [{"product_id": "dress-navy-long"}, {"product_id": "t-shirt-red-short", "role": "colour"}]
    [first, second, third] = await search.ask(
        [
            {"images": images},
            {"previous": "q-0", "text": "with short sleeves"},
            {"images": images, "text": "in green"},
        ]
    )
    assert first.hits[0].product_id == "dress-red-long"
    assert first.hits[0].meets == {"colour": True}
    assert first.understood is not None
    assert first.understood.set == {"colour": "red"}
    assert second.hits[0].product_id == "dress-red-short"
    assert third.hits[0].product_id == "dress-green-long"
    beside = await search.ask([{"image": images[0], "images": images[1:]}])
    assert beside[0].hits == first.hits


@pytest.mark.parametrize(
    ("images", "code", "field"),
    [
        ([{"product_id": "dress-navy-long"}, {"product_id": "x", "role": "mood"}], "unknown_name", "images[1].role"),
        ([{"product_id": "dress-navy-long"}, {"product_id": "dress-red-long"}], "invalid", "images[1].role"),
        ([{"product_id": "dress-navy-long"}, {"uri": "https://a.example/b.jpg", "role": "colour"}], "invalid", "images[1].product_id"),
        ([{"product_id": "dress-red-long", "role": "colour"}], "invalid", "images"),
        ([{"product_id": "dress-navy-long"}, {"product_id": "absent", "role": "colour"}], "unknown_product", "images[colour].product_id"),
        ([{"product_id": "dress-navy-long"}, {"product_id": "dress-red-long", "role": "fabric"}], "invalid", "images[fabric].product_id"),
        ([{"product_id": "dress-navy-long"}] * 8, "out_of_range", "images"),
    ],
)  # fmt: skip
async def test_an_image_that_can_lend_nothing_is_told(images: list[dict[str, str]], code: str, field: str) -> None:
    """Nobody is answered without a facet that was asked for."""
    search = LocalSearch(map(item, PRODUCTS), FakeImageEncoder(), FakeTextEncoder(), None)  # type: ignore[arg-type]
    [result] = await search.ask([{"images": images}])
    assert result.error is not None
    assert (result.error.code, result.error.field) == (code, field)


async def test_figures_of_a_catalogue_that_is_known() -> None:
    """Where facets are seen well the served answer is right, in all wordings; shuffled words are not; refusals hold."""
    search = LocalSearch(map(item, PRODUCTS), FakeImageEncoder(), FakeTextEncoder(), None)  # type: ignore[arg-type]
    known = {one.product_id: one for one in PRODUCTS}
    pairs = pairs_of(PRODUCTS, 1000, 3)
    asked: list[int] = []
    found = await measure(search, FakeTextEncoder(), known, pairs, tick=asked.append)
    assert sum(asked) == queries_of(pairs), "what the progress is told it is out of"
    served = found.methods[SERVED]
    assert (served["all"].r1, served[COLOUR].queries, served["sleeve"].queries) == (1.0, 48, 16)
    assert found.paraphrases == (1.0,) * PHRASINGS
    assert (found.spread, found.understood, found.first_category) == (0.0, 1.0, 1.0)
    assert found.methods[SHUFFLED]["all"].r1 < 0.5
    assert set(found.methods) == {SERVED, IMAGE, TEXT, SUM, DIRECTION, SHUFFLED}
    assert found.methods[IMAGE]["all"].r1 < served["all"].r1
    assert found.heads == "sha256:heads"
    assert found.refused.by_facet[COLOUR] == 0.0


async def test_a_trained_composer_is_measured_by_itself_and_with_the_facets() -> None:
    """Its vector finds what the photo alone does not; beside the facets it does no harm, and the served answer is as before."""
    search = LocalSearch(map(item, PRODUCTS), FakeImageEncoder(), FakeTextEncoder(), None)  # type: ignore[arg-type]
    known, pairs = {one.product_id: one for one in PRODUCTS}, pairs_of(PRODUCTS, 1000, 3)
    trained = Trained(FakeComposer(), FakeTextEncoder())
    found = await measure(search, FakeTextEncoder(), known, pairs, trained=trained)
    assert found.methods[WITH_FACETS]["all"].r1 == found.methods[SERVED]["all"].r1 == 1.0
    assert found.methods[TRAINED]["all"].r1 > found.methods[IMAGE]["all"].r1


async def test_a_result_says_what_was_understood_and_which_hits_meet_it() -> None:
    """What is set, refused and kept, by which heads; a second turn refines the first."""
    search = LocalSearch(map(item, PRODUCTS), FakeImageEncoder(), FakeTextEncoder(), None)  # type: ignore[arg-type]
    reference = {"product_id": "dress-navy-long"}
    [first, second] = await search.ask(
        [
            {"image": reference, "text": "in red, not in white"},
            {"image": reference, "text": "with short sleeves", "edits": ["in red, not in white"]},
        ]
    )
    told = first.understood
    assert told is not None
    assert (told.set, told.exclude, told.heads) == ({"colour": "red"}, {"colour": ("white",)}, "sha256:heads")
    assert told.kept == ("category", "kind", "sleeve", "gender")
    assert first.hits[0].product_id == "dress-red-long"
    assert first.hits[0].meets == {"colour": True}
    assert next(h for h in first.hits if h.product_id == "dress-green-long").meets == {"colour": False}
    assert second.hits[0].product_id == "dress-red-short"
    assert second.hits[0].meets == {"colour": True, "sleeve": True}
    assert all(-1 <= hit.score <= 1 for hit in (*first.hits, *second.hits))
    # The same second turn by the first query's id (each query of a batch is named by its place).
    [_, named] = await search.ask(
        [
            {"image": reference, "text": "in red, not in white"},
            {"previous": "q-0", "text": "with short sleeves"},
        ]
    )
    assert named.hits == second.hits
    assert named.understood == second.understood
    [unknown] = await search.ask([{"previous": "q-77", "text": "with short sleeves"}])
    assert unknown.error is not None
    assert (unknown.error.code, unknown.error.field) == ("unknown_name", "previous")
    assert "`edits`" in unknown.error.message
