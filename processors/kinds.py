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
_KIND_OF = {spelling: kind for kind, spellings in _SPELLINGS.items() for spelling in spellings.split("|")}


@lru_cache(maxsize=8192)
def kind_label(text: str) -> str:
    """The kind that a shop's label names ("Tshirts" → "t-shirt"), or the shop's own, cleaned ("Casual Shoes" → "casual shoes")."""
    cleaned = clean(text)
    return _KIND_OF.get(cleaned, cleaned)


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
