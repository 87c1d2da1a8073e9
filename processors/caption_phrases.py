"""The sentences of the caption grammar. `[a|b]` is a choice, `<is|are>` agrees with the first garment, `{slot}` is filled.

Slots: `{a}` the first garment as a phrase ("a navy linen dress"), `{A}` the same at the start of a sentence, `{n}` its
plain noun, `{It}` "It" or "They", `{fabric}`, `{cloth}` the same as a noun ("knit fabric"), `{gender}` ("women"), `{owner}` ("women's"), `{others}` the other
garments, `{Others}` at the start of a sentence; `(s|)` agrees with `{others}`. No phrase may hold a word that claims
anything (`processors.vocabulary`); a test holds them to it. Every sentence has a slot: one that states nothing of the product
is not written. "plain" is product copy, with nothing in it but facts; the other tones say the same facts in brighter frames.
"""

from __future__ import annotations

TONES: tuple[str, ...] = ("plain", "warm", "editorial", "playful")

LEADS: dict[str, tuple[str, ...]] = {
    "plain": ("{A}.",),
    "warm": (
        "{A} you will [reach for|come back to] [again and again|all week|every time].",
        "Meet {a}[, made to be loved|, and feel at home|, gentle and easy|].",
        "There is something [lovely|kind|comforting|cheering] about {a}.",
        "{A} <feels|feel> like [home|a good morning|an old friend|a quiet smile].",
        "Build your day around {a}[| and slow down a little].",
        "We [love|adore|keep smiling at] {a}[| for days that matter|, and you might too].",
        "{A}, chosen with [care|love|you in mind].",
        "Say yes to {a}[| this weekend|, and to an easy day].",
    ),
    "editorial": (
        "{A} <sets|set> the [tone|pace|scene|mood].",
        "[The season|The story|The mood|The edit] opens with {a}.",
        "{A}, [composed|considered|quietly sure|precise] and [unhurried|assured|poised|measured].",
        "Consider {a}: [proportion|line|restraint|clarity] first, [everything else after|the rest will follow].",
        "A study in [ease|balance|restraint|poise]: {a}.",
        "{A} <anchors|anchor> the [frame|look|silhouette|composition].",
        "Attention falls on {a}.",
        "Nothing here is accidental, least of all {a}.",
    ),
    "playful": (
        "Say hello to {a}[!|, and to the weekend.]",
        "{A}: [yes, please|count us in|absolutely|oh, go on then]!",
        "Plot twist: {a}[!|, for the win!]",
        "{A} just [entered the chat|walked in|took over].",
        "[Guess who|Look what] showed up: {a}!",
        "Warning: {a} may cause [compliments|double takes|happy dancing].",
        "Mood of the day: {a}.",
        "[Step aside, boring days|Move over, Monday|Hello, weekend]: {a} [coming through|on duty|reporting in]!",
    ),
}

# A fact of the first garment that its own phrase left out.
FABRIC_FACTS: dict[str, tuple[str, ...]] = {
    "plain": ("Made of {cloth}",),
    "warm": (
        "{It} <is|are> made of {cloth}",
        "The {cloth} feels [just right|good to be in]",
    ),
    "editorial": (
        "The {n} <is|are> cut from {cloth}",
        "{It} <comes|come> in {cloth}, and {cloth} alone",
        "The word is {fabric}",
    ),
    "playful": (
        "And yes, <it is|they are> {fabric}",
        "The {n} <is|are> all {fabric}[| and all attitude]",
        "Made of {cloth}, full of [ideas|mischief]",
    ),
}
GENDER_FACTS: dict[str, tuple[str, ...]] = {
    "plain": ("For {gender}",),
    "warm": ("Made [with care|to last], for {gender}", "From our {owner} [edit|family|favourites]"),
    "editorial": ("From the {owner} [edit|chapter|collection]", "A note in the {owner} [story|wardrobe]"),
    "playful": (
        "{owner_cap} rail, front row",
        "For {gender}, and for a good entrance",
        "{owner_cap} favourites, unite",
    ),
}
# Both at once; joined to one sentence.
BOTH_FACTS: dict[str, tuple[str, ...]] = {
    "plain": ("Made of {cloth}, for {gender}",),
    **dict.fromkeys(
        ("warm", "editorial", "playful"),
        (
            "{It} <is|are> made of {cloth}, for {gender}",
            "{It} <is|are> cut from {cloth} and made for {gender}",
            "Made of {cloth}, from the {owner} [edit|line|range]",
            "The fabric is {fabric}, from the {owner} [edit|line|range]",
        ),
    ),
}

OTHERS: dict[str, tuple[str, ...]] = {
    "plain": ("Worn with {others}.",),
    "warm": (
        "{Others} keep(s|) <it|them> good company.",
        "With {others}, the whole look comes [together|home].",
        "Add {others} and [you are ready|off you go|the day is yours].",
        "{Others} round(s|) <it|them> off [beautifully|with ease|gently].",
    ),
    "editorial": (
        "{Others} answer(s|) in kind.",
        "The frame widens to {others}.",
        "{Others} finish(es|) the thought.",
        "In counterpoint: {others}.",
        "Then come(s|) {others}, and the line is [complete|resolved].",
    ),
    "playful": (
        "Partner(|s) in crime: {others}.",
        "{Others} joined the party[!|.|, obviously.]",
        "Plus {others}, because [why not|more is more|we can]!",
        "Best supporting act: {others}.",
        "{Others} said [me too|yes|count me in].",
    ),
}

NEUTRAL_LEADS: dict[str, tuple[str, ...]] = {
    "plain": ("A new arrival in the shop.", "New in the catalogue.", "One of our latest pieces."),
    "warm": ("Something new has [arrived|come home].", "A new find we are happy to share."),
    "editorial": ("A new entry in the [edit|story].", "The image [speaks first|comes first]."),
    "playful": ("Ta-da! Something new [just landed|is here].", "Guess what just came in!"),
}

# Hashtags, word by word: the rule-based writer joins them, and the language model learns them in capitals
# ("#NavyDress"), because its tokens then are the words. These claim nothing …
NEUTRAL_TAGS: dict[str, tuple[str, ...]] = {
    "plain": (
        "everyday style", "easy to wear", "wardrobe essentials", "daily outfit", "simple style", "ready to wear", "basics",
    ),
    "warm": (
        "slow fashion", "comfy style", "happy days", "wear what you love", "feel good", "weekend style", "cosy look",
    ),
    "editorial": (
        "editorial", "modern classic", "quiet luxury", "refined style", "style edit", "lookbook", "the edit",
    ),
    "playful": (
        "outfit goals", "mood of the day", "fun fashion", "style twist", "weekend mood", "good vibes", "happy look",
    ),
}  # fmt: skip
COMMON_TAGS: tuple[str, ...] = (
    "new in", "ootd", "outfit ideas", "style inspo", "fashion", "look of the day", "shop the look", "new arrivals",
    "wardrobe", "street style", "insta style", "what to wear", "fashion finds", "style tips", "todays look",
    "outfit inspo",
)  # fmt: skip
# … and these a gender.
GENDER_TAGS: dict[str, tuple[str, ...]] = {
    "women": ("womens fashion", "womens wear", "womens style"),
    "men": ("mens fashion", "mens wear", "mens style"),
    "unisex": ("unisex fashion", "unisex style"),
    "kids": ("kids fashion", "kids style"),
    "girls": ("girls fashion", "girls style"),
    "boys": ("boys fashion", "boys style"),
}
