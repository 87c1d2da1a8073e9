"""Phrases of facts in four languages: agreement, order, spans, and the other texts of a product."""

from __future__ import annotations

import re

import pytest

from processors.channels import Channels, caption_by_grammar, channels, hashtags_by_grammar
from processors.languages.claims import written_as
from processors.values import Attribute, Colour, Evidence, Garment


def garment(category: str, *colours: str, name: str = "g0", **facts: str) -> Garment:
    """One garment, each colour with as much of it as the others."""
    shades = tuple(Colour(colour, "#000000", 1 / len(colours)) for colour in colours)
    attributes = {facet: Attribute(value, 0.9) for facet, value in facts.items()}
    return Garment(name, category, (0, 0, 50, 90), 0.9, shades, attributes)


def said(locale: str, *garments: Garment, order: tuple[str, ...] = ()) -> str:
    return caption_by_grammar(Evidence(garments), locale, "plain", 0, order=order).text


def words_of(text: str) -> set[str]:
    """The words of a text that say something."""
    return {word for word in re.findall(r"[\w-]+", text.lower()) if len(word) > 2}


DRESS = garment("dress", "navy", pattern="striped", fabric="linen", sleeve="long", neckline="v", gender="women")
SHOES = garment("shoe", "black", name="g1", fabric="leather")


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en", "A navy striped linen dress with long sleeves and a V-neckline for women. Worn with black leather shoes."),
        ("de-AT", "Marineblaues gestreiftes Kleid aus Leinen mit langen Ärmeln und V-Ausschnitt für Damen. Dazu schwarze Schuhe aus Leder."),
        ("fr_CA", "Robe bleu marine à rayures en lin à manches longues et encolure en V, pour femme. Avec des chaussures noires en cuir."),
        ("es", "Vestido azul marino de rayas de lino, de manga larga con cuello de pico, para mujer. Con zapatos negros de cuero."),
    ],
)  # fmt: skip
def test_a_caption_in_each_language(locale: str, text: str) -> None:
    """The same evidence, said as a shop of that country would."""
    assert said(locale, DRESS, SHOES) == text


@pytest.mark.parametrize(
    ("locale", "fabric", "text"),
    [
        ("en", "cotton blend", "A cotton blend dress."), ("de", "cotton blend", "Kleid aus Baumwollmischung."),
        ("fr", "cotton blend", "Robe en coton mélangé."), ("fr", "wool blend", "Robe en laine mélangée."),
        ("es", "cotton blend", "Vestido de mezcla de algodón."),
        ("en", "ramie blend", "A ramie blend dress."), ("de", "ramie blend", "Kleid aus Mischgewebe."),
        ("fr", "ramie blend", "Robe en tissu mélangé."), ("es", "ramie blend", "Vestido de mezcla de tejidos."),
    ],
)  # fmt: skip
def test_a_mixture_is_called_one_in_every_language(locale: str, fabric: str, text: str) -> None:
    """With the fibre that leads, where the language has a word for it."""
    assert said(locale, garment("dress", fabric=fabric)) == text


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en", "A gold and silver skirt."), ("de", "Gold-silberfarbener Rock."), ("fr", "Jupe doré et argenté."),
        ("es", "Falda dorada y plateada."),
    ],
)  # fmt: skip
def test_gold_and_silver_are_no_mustard_and_grey(locale: str, text: str) -> None:
    """The palette has coarser names for them; a shop's own word goes first where the language has it."""
    assert said(locale, garment("skirt", "gold", "silver")) == text


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"sleeve": "long"}, "Chaqueta de manga larga."),
        ({"pattern": "printed", "sleeve": "long", "gender": "women"}, "Chaqueta estampada de manga larga, para mujer."),
        ({"fabric": "wool", "sleeve": "long"}, "Chaqueta de lana, de manga larga."),
        ({"pattern": "striped", "sleeve": "short"}, "Chaqueta de rayas, de manga corta."),
        ({"gender": "women"}, "Chaqueta para mujer."),
        ({"sleeve": "sleeveless"}, "Chaqueta sin mangas."),
    ],
)  # fmt: skip
def test_a_comma_parts_facts_and_not_the_noun_from_its_first(facts: dict[str, str], text: str) -> None:
    """Of two that begin with "de" the second has one, and an audience behind other facts."""
    assert said("es", garment("jacket", **facts)) == text


@pytest.mark.parametrize(
    ("locale", "order", "text"),
    [
        ("fr", ("colour", "kind", "audience"), "Veste noire imprimée en soie à manches longues, pour femme."),
        ("fr", ("audience", "kind", "colour"), "Veste noire imprimée en soie à manches longues, pour femme."),
        ("fr", ("colour", "kind"), "Veste noire imprimée en soie à manches longues, pour femme."),
        ("es", ("colour", "kind", "audience"), "Chaqueta negra estampada de seda, de manga larga, para mujer."),
        ("de", ("colour", "kind", "audience"), "Schwarze Jacke aus Seide mit Druck und langen Ärmeln für Damen."),
        ("en", ("colour", "kind", "audience"), "A black jacket made of silk with a print and long sleeves for women."),
        ("en", ("kind", "colour", "audience", "pattern"), "A jacket in black for women made of silk with a print and long sleeves."),
    ],
)  # fmt: skip
def test_what_is_said_of_the_garment_is_not_said_of_its_wearer(locale: str, order: tuple[str, ...], text: str) -> None:
    """ "Un t-shirt pour enfant gris" is of a grey child, "for boys with short sleeves" of boys with sleeves; what a kit orders behind the audience stays there."""
    jacket = garment("jacket", "black", pattern="printed", fabric="silk", sleeve="long", gender="women")
    assert said(locale, jacket, order=order) == text


@pytest.mark.parametrize(
    ("locale", "category", "colours", "text"),
    [
        ("de", "skirt", ("red",), "Roter Rock."),
        ("de", "jacket", ("red",), "Rote Jacke."),
        ("de", "dress", ("red",), "Rotes Kleid."),
        ("de", "shoe", ("red",), "Rote Schuhe."),
        ("de", "skirt", ("black", "white"), "Schwarz-weißer Rock."),
        ("de", "bag", ("cream",), "Cremefarbene Tasche."),
        ("fr", "dress", ("white",), "Robe blanche."),
        ("fr", "hat", ("white",), "Couvre-chef blanc."),
        ("fr", "shoe", ("white",), "Chaussures blanches."),
        ("fr", "dress", ("brown",), "Robe marron."),
        ("fr", "dress", ("black", "white"), "Robe noir et blanc."),
        ("fr", "shoe", ("light blue",), "Chaussures bleu clair."),
        ("es", "skirt", ("yellow",), "Falda amarilla."),
        ("es", "dress", ("yellow",), "Vestido amarillo."),
        ("es", "shoe", ("green",), "Zapatos verdes."),
        ("es", "sunglass", ("red",), "Gafas de sol rojas."),
        ("es", "skirt", ("black", "white"), "Falda negra y blanca."),
        ("es", "shoe", ("navy",), "Zapatos azul marino."),
    ],
)
def test_adjectives_agree(locale: str, category: str, colours: tuple[str, ...], text: str) -> None:
    """In gender and number; colours that are things do not change."""
    assert said(locale, garment(category, *colours)) == text


@pytest.mark.parametrize(
    ("locale", "article"), [("de", "ein roter Rock"), ("fr", "une jupe rouge"), ("es", "una falda roja"), ("en", "a red skirt")]
)  # fmt: skip
def test_articles_agree(locale: str, article: str) -> None:
    """A frame around the phrase has it with its article."""
    for seed in range(6):
        assert article in caption_by_grammar(
            Evidence((garment("skirt", "red"),)), locale, "warm", seed
        ).text.lower().replace("ein roter rock", "ein roter Rock")


@pytest.mark.parametrize("locale", ["en", "de", "fr", "es"])
@pytest.mark.parametrize("tone", ["plain", "warm", "editorial", "playful"])
def test_spans_stand_on_what_they_claim(locale: str, tone: str) -> None:
    """Category, colour, fabric and gender of each garment, wherever its words stand; none of what is not in the pack."""
    for seed in range(4):
        caption = caption_by_grammar(Evidence((DRESS, SHOES)), locale, tone, seed)
        claimed = {(span.garment, span.facet) for span in caption.spans}
        assert claimed == {("g0", f) for f in ("category", "colour", "fabric", "gender")} | {
            ("g1", f) for f in ("category", "colour", "fabric")
        }
        assert all(caption.text[s.start : s.end].strip() == caption.text[s.start : s.end] != "" for s in caption.spans)


@pytest.mark.parametrize("locale", ["en", "de", "fr", "es"])
@pytest.mark.parametrize("facet", ["fabric", "gender", "pattern", "sleeve", "neckline"])
def test_a_fact_that_is_taken_from_the_pack_is_taken_from_every_text(locale: str, facet: str) -> None:
    """All that the texts with the fact say more, and nothing of it stays."""
    attributes = {name: value for name, value in DRESS.attributes.items() if name != facet}
    without = Evidence((Garment("g0", "dress", DRESS.box, 0.9, DRESS.colours, attributes),))
    full = channels(Evidence((DRESS,)), locale)
    less = channels(without, locale)
    words = words_of(full.description) - words_of(less.description)
    assert words, "the description says the fact"
    texts = (less.title, less.alt, less.meta, said(locale, *without.garments))
    assert not words & set().union(*map(words_of, texts))


def test_an_order_of_the_brand() -> None:
    """What it names before the noun stands before it where the language lets it, the rest behind, in that order."""
    one = garment("dress", "navy", fabric="linen", sleeve="long")
    assert said("en", one, order=("kind", "fabric", "colour")) == "A dress made of linen in navy with long sleeves."
    assert said("en", one, order=("sleeve", "colour", "kind")) == "A long-sleeved navy dress made of linen."
    bare = garment("dress", "navy", sleeve="sleeveless")
    assert said("en", bare) == "A navy dress without sleeves."
    assert said("en", bare, order=("sleeve", "colour", "kind")) == "A sleeveless navy dress."
    assert said("de", garment("dress", "navy", fabric="silk", sleeve="sleeveless")) == (
        "Marineblaues Kleid aus Seide ohne Ärmel."
    )
    assert said("de", one, order=("kind", "colour")) == "Kleid in Marineblau aus Leinen mit langen Ärmeln."
    assert said("fr", one, order=("kind", "fabric", "colour")) == "Robe en lin bleu marine à manches longues."


@pytest.mark.parametrize(
    ("locale", "order", "text"),
    [
        ("en", ("colour", "kind"), "A navy and cream hat made of knit fabric with dots."),
        ("de", ("kind",), "Kopfbedeckung in Marineblau und Creme aus Strick mit Punkten."),
        ("de", ("colour", "kind"), "Marineblau-cremefarbene Kopfbedeckung aus Strick mit Punkten."),
        ("de", ("kind", "pattern", "fabric"), "Kopfbedeckung mit Punkten aus Strick in Marineblau und Creme."),
        ("fr", (), "Couvre-chef bleu marine et crème à pois en maille."),
    ],
)
def test_the_fabric_is_said_of_the_garment_and_not_of_its_pattern(
    locale: str, order: tuple[str, ...], text: str
) -> None:
    """ "A hat with dots made of flannel" has dots of flannel. An order of the kit that names both is the kit's."""
    assert said(locale, garment("hat", "navy", "cream", fabric="knit", pattern="dotted"), order=order) == text


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en", "A dress in navy with dots, long sleeves and a V-neckline."),
        ("de", "Kleid in Marineblau mit Punkten, langen Ärmeln und V-Ausschnitt."),
        ("fr", "Robe bleu marine à pois à manches longues et encolure en V."),
        ("es", "Vestido azul marino de lunares, de manga larga con cuello de pico."),
    ],
)
def test_what_a_garment_has_is_said_with_one_with(locale: str, text: str) -> None:
    one = garment("dress", "navy", pattern="dotted", sleeve="long", neckline="v")
    assert said(locale, one, order=("kind", "colour", "pattern")) == text


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("en", "A navy dress without sleeves and with a V-neckline."),
        ("de", "Marineblaues Kleid ohne Ärmel und mit V-Ausschnitt."),
        ("fr", "Robe bleu marine sans manches et à encolure en V."),
        ("es", "Vestido azul marino, sin mangas y con cuello de pico."),
    ],
)
def test_what_a_garment_lacks_is_parted_from_what_it_has(locale: str, text: str) -> None:
    """ "Without sleeves with a V-neckline" lacks both, or has one: who knows."""
    assert said(locale, garment("dress", "navy", sleeve="sleeveless", neckline="v")) == text


@pytest.mark.parametrize(
    ("locale", "text", "bare"),
    [
        ("en", "A dress. Without sleeves. With a V-neckline.", "A dress. Without sleeves."),
        ("de", "Kleid. Ohne Ärmel. Mit V-Ausschnitt.", "Kleid. Ohne Ärmel."),
        ("fr", "Robe. Sans manches. Détails : encolure en V.", "Robe. Sans manches."),
        ("es", "Vestido. Sin mangas. Detalles: cuello de pico.", "Vestido. Sin mangas."),
    ],
)
def test_a_description_does_not_give_sleeves_to_what_has_none(locale: str, text: str, bare: str) -> None:
    """It said "With sleeves." of it, in every language."""
    one = garment("dress", sleeve="sleeveless", neckline="v")
    assert channels(Evidence((one,)), locale).description == text
    assert channels(Evidence((garment("dress", sleeve="sleeveless"),)), locale).description == bare
    for seed in range(20):
        varied = caption_by_grammar(Evidence((one,)), locale, "plain", seed, varied=True).text
        assert re.search("without|ohne|sans|sin", varied, re.IGNORECASE)


@pytest.mark.parametrize("locale", ["en", "de", "fr", "es"])
def test_captions_by_grammar_vary_where_the_order_leaves_it_open(locale: str) -> None:
    """Details, fabric and audience may have sentences of their own; every text states all, in the kit's order."""
    pack = Evidence((DRESS, SHOES))
    texts = {
        caption_by_grammar(pack, locale, "plain", seed, order=("colour", "kind"), varied=True) for seed in range(60)
    }
    assert len({one.text for one in texts}) == (8 if locale in ("en", "de") else 4)
    assert not any("Détails" in one.text or "Detalles" in one.text for one in texts), "that is for a description"
    assert len({frozenset((s.garment, s.facet) for s in one.spans) for one in texts}) == 1
    fixed = ("colour", "kind", "fabric", "sleeve", "neckline", "audience")
    assert len({caption_by_grammar(pack, locale, "plain", n, order=fixed, varied=True).text for n in range(60)}) == 1


@pytest.mark.parametrize(
    ("locale", "trousers", "skirt"),
    [
        ("en", "Full-length grey trousers.", "A maxi grey skirt."),
        ("de", "Graue Hose in voller Länge.", "Grauer Rock in Maxilänge."),
        ("fr", "Pantalon long gris.", "Jupe maxi grise."),
        ("es", "Pantalón largo gris.", "Falda maxi gris."),
    ],
)
def test_trousers_are_long_and_skirts_maxi(locale: str, trousers: str, skirt: str) -> None:
    """Nobody sells "maxi trousers"; `weft explain` finds either word of the value."""
    for value in ("full", "maxi"):
        assert said(locale, garment("pants", "grey", length=value)) == trousers
    assert said(locale, garment("skirt", "grey", length="maxi")) == skirt
    forms = written_as(locale, "length", "maxi")
    assert any(form in trousers.lower() for form in forms)
    assert any(form in skirt.lower() for form in forms)


@pytest.mark.parametrize(
    ("locale", "text"), [("fr", "Robe mini bleu marine en lin."), ("es", "Vestido mini azul marino de lino.")]
)
def test_a_length_stands_at_its_noun(locale: str, text: str) -> None:
    """In an order of English, too, where the colour comes before the noun."""
    one = garment("dress", "navy", fabric="linen", length="mini")
    assert said(locale, one, order=("colour", "kind")) == text


def test_a_value_that_a_language_has_no_word_for_is_left_out() -> None:
    """A shop's own word goes into English alone."""
    one = garment("dress", "jade", fabric="bouclé")
    assert said("en", one) == "A jade bouclé dress."
    assert said("de", one) == "Kleid."


@pytest.mark.parametrize("limit", [125, 60, 30, 12])
def test_alt_texts_and_titles_keep_their_limits(limit: int) -> None:
    """Fact by fact they become shorter, in whole words, and always name the garment."""
    found = channels(Evidence((DRESS, SHOES)), "en", limits={"alt": limit, "title": limit})
    for text in (found.alt, found.title):
        assert len(text) <= limit
        assert "dress" in text.lower()
        assert set(text.lower().strip(".").split()) <= set(
            "a navy striped linen dress with long sleeves and a v-neckline for women. worn with black leather shoes".replace(
                ".", ""
            ).split()
        ) | {"women.", "dress.", "v-neckline."}


def test_alt_texts_tell_what_is_to_be_seen() -> None:
    """Nobody sees whose clothes they are, or what they are made of."""
    assert (
        channels(Evidence((DRESS, SHOES))).alt
        == "A navy striped dress with long sleeves and a V-neckline. Worn with black shoes."
    )


def test_nothing_known_has_neutral_texts() -> None:
    """No title and no alt text are made up."""
    found = channels(Evidence(()), "fr")
    assert found == Channels("", "", "Une nouveauté de la boutique.", found.meta)
    assert found.meta in ("Une nouveauté de la boutique.", "Nouveau au catalogue.")


@pytest.mark.parametrize("locale", ["en", "de", "fr", "es"])
def test_hashtags_are_one_word_each(locale: str) -> None:
    """8 to 12, the product's first, none twice."""
    tags = hashtags_by_grammar(Evidence((DRESS, SHOES)), locale)
    assert 8 <= len(tags) <= 12
    assert len(set(tags)) == len(tags)
    assert all(tag[0] == "#" and tag[1:].isalnum() and tag == tag.lower() for tag in tags)


@pytest.mark.parametrize("locale", ["en", "de", "fr", "es"])
def test_what_is_worn_with_a_product_never_stands_in_its_place(locale: str) -> None:
    """Where the product cannot be named, by a ban or for want of a word, no text says that it is a pair of shoes."""
    unknown = garment("fascinator", "navy")
    pack = Evidence((unknown, SHOES)) if locale != "en" else Evidence((DRESS, SHOES))

    def allowed(text: str) -> bool:
        return locale != "en" or "dress" not in text.lower()

    named = re.compile(r"shoe|schuh|chaussure|zapato", re.IGNORECASE)
    assert named.search(caption_by_grammar(Evidence((SHOES,)), locale, "plain", 0, allowed=allowed).text)
    caption = caption_by_grammar(pack, locale, "plain", 0, allowed=allowed)
    assert caption.text
    assert caption.spans == ()
    others = channels(pack, locale, allowed=allowed)
    tags = hashtags_by_grammar(pack, locale, allowed)
    for text in (caption.text, others.title, others.alt, others.description, others.meta, *tags):
        assert not named.search(text), text
