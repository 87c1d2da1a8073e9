"""The kind of a garment, finer than the detector's class: "t-shirt", "polo", "jeans"; a shop's other kinds keep their name."""

from __future__ import annotations

from functools import lru_cache

from processors.vocabulary import Claim, base_forms, clean

_SPELLINGS: dict[str, str] = {
    "t-shirt": "tshirt|tshirts|t shirt|t shirts|tee|tees|tee shirt|tee shirts",
    "long-sleeved top": "long sleeve top|long sleeve tops|long sleeved top|long sleeved tops|longsleeve|longsleeves",
    "top": "top|tops",
    "shirt": "shirt|shirts|button up shirt|button down shirt|dress shirt|dress shirts",
    "polo": "polo|polos|polo shirt|polo shirts",
    "blouse": "blouse|blouses",
    "tank top": "tank top|tank tops|tank|tanks|vest top|vest tops|undershirt|undershirts|innerwear vests|innerwear vest",
    "sweater": "sweater|sweaters|jumper|jumpers|pullover|pullovers",
    "hoodie": "hoodie|hoodies",
    "sweatshirt": "sweatshirt|sweatshirts",
    "cardigan": "cardigan|cardigans",
    "jacket": "jacket|jackets|outwear|outerwear",
    "coat": "coat|coats",
    "blazer": "blazer|blazers",
    "jeans": "jeans|jean",
    "trousers": "trousers|trouser|pants|pant",
    "leggings": "leggings|legging",
    "joggers": "joggers|jogger|sweatpants",
    "shorts": "shorts|short",
    "skirt": "skirt|skirts",
    "dress": "dress|dresses",
    "jumpsuit": "jumpsuit|jumpsuits",
    "sneakers": "sneakers|sneaker|trainers|trainer",
    "boots": "boots|boot",
    "sandals": "sandals|sandal",
    "heels": "heels|heel|pumps",
    "flats": "flats",
    "cap": "cap|caps",
    "hat": "hat|hats",
    "beanie": "beanie|beanies",
    "bag": "bag|bags|handbag|handbags|purse|purses",
    "backpack": "backpack|backpacks|rucksack|rucksacks",
    "sunglasses": "sunglasses",
}  # fmt: skip
KINDS: tuple[str, ...] = tuple(_SPELLINGS)
_WIDE = frozenset({"top", "shirt", "jacket", "trousers", "shorts", "skirt", "dress", "bag", "hat", "sunglasses"})
"""Kinds that say no more than a category does."""
_SHORTEST_PLURAL = 4
_KIND_OF = {spelling: kind for kind, spellings in _SPELLINGS.items() for spelling in spellings.split("|")}


@lru_cache(maxsize=8192)
def kind_label(text: str) -> str:
    """The kind that a shop's label names ("Tshirts" → "t-shirt"), or the shop's own, cleaned ("Casual Shoes" → "casual shoes")."""
    cleaned = clean(text)
    return _KIND_OF.get(cleaned, cleaned)


@lru_cache(maxsize=8192)
def one_of(kind: str) -> str:
    """A kind that no list knows as the name of one garment: a shop's "kurtas" and a detector's "kurta" are one kind.

    By the endings of plurals alone, so of a word that is none of them it makes another that no shop uses; compare both.
    """
    noun = kind.rpartition(" ")[2]
    if kind in _SPELLINGS or len(noun) < _SHORTEST_PLURAL or not noun.endswith("s") or noun.endswith("ss"):
        return kind
    if kind.endswith("ies"):
        return kind.removesuffix("ies") + "y"
    return kind.removesuffix("es" if kind.endswith(("sses", "shes", "ches", "xes")) else "s")


@lru_cache(maxsize=8192)
def says_more(seen: str, told: str) -> bool:
    """Whether the name that a model gives a garment is of the kind that the shop tells, and narrower than it: a "kurta" of its "tops".

    Only of names that Weft's own lists lack, as a detector of one's own gives: between two that they know the shop decides.
    """
    return bool(seen) and seen not in _SPELLINGS and told in _WIDE


@lru_cache(maxsize=8192)
def noun_of(kind: str) -> str:
    """The word by which a sentence names a kind, or "" where the lists know none; a plural of one garment becomes singular."""
    for noun in (kind, *(kind.removesuffix(end) for end in ("es", "s") if kind.endswith(end))):
        known = base_forms().get(clean(noun))
        if known and any(facet == "category" for facet, _ in known):
            # "kurtas" and "kurta" are both known, and the product is one of them; "jeans" and "boots" come in pairs.
            single = noun.removesuffix("s")
            alone = kind not in _SPELLINGS and single != noun and clean(single) in base_forms()
            return single if alone and not noun.endswith("ss") else noun
    return ""


@lru_cache(maxsize=8192)
def claims_of(kind: str) -> tuple[Claim, ...]:
    """What is true of a garment of this kind: its categories, and of jeans that they are denim."""
    noun = noun_of(kind)
    return base_forms().get(clean(noun), ()) if noun else ()
