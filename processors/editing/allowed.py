"""Which words no garment is edited for: nudity, and the likeness of real people.

A list of words is what it is: it refuses what people commonly write, and neither reads minds nor other languages than those below.
How a word is spelt does not matter (see `spellings`).
Houses that bear a person's name (Calvin Klein, Tommy Hilfiger) are brands, and on no list.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

NUDITY: tuple[str, ...] = tuple(
    """
    nude nudes naked nudity nudify nudite denude denuded denudee undress undressed undressing unclothed topless bottomless shirtless braless pantyless
    striptease strip-tease porn porno pornographic pornography nsfw xxx erotic erotica sexual hentai genital genitals
    nekkid nudist nudists naturist naturism unclad disrobe disrobed disrobing disrobes nakedness exhibitionist
    penis vagina vulva nipple nipples boobs tits areola buttocks barebreasted bare-breasted bare-chested deepnude
    nackt nackte nackter oben-ohne ausziehen entkleiden desnudo desnuda desnudos desnudas desvestir desvestida nue nues deshabiller
    nuda nudo nudi pelado pelada naakt
    """.split()  # noqa: SIM905
)
PHRASES: tuple[str, ...] = (
    "no clothes",
    "no clothing",
    "without clothes",
    "without clothing",
    "without any clothes",
    "without anything on",
    "clothes off",
    "clothing off",
    "in nothing but",
    "wearing only her",
    "wearing only his",
    "nothing underneath",
    "no underwear",
    "au naturel",
    "x rated",
    "expose her",
    "expose his",
    "fully exposed",
    "under her clothes",
    "under his clothes",
    "under the clothes",
    "under her dress",
    "under her skirt",
    "nothing on",
    "not wearing anything",
    "wearing nothing",
    "take off her",
    "take off his",
    "take off their",
    "take her clothes",
    "take his clothes",
    "remove her clothes",
    "remove his clothes",
    "remove her dress",
    "remove her shirt",
    "remove her top",
    "remove her bra",
    "remove his shirt",
    "remove the clothes",
    "remove clothes",
    "remove all clothes",
    "remove clothing",
    "bare skin",
    "bare breasts",
    "bare chest",
    "bare body",
    "see through her",
    "see through his",
    "in her underwear",
    "in his underwear",
    "birthday suit",
    "strip her",
    "strip him",
    "strip them",
    "strip me",
    "x ray clothes",
    "see through clothes",
    "only her skin",
    "only his skin",
    "in the buff",
    "ohne kleidung",
    "ohne kleider",
    "sans vetements",
    "sin ropa",
    "senza vestiti",
    "sem roupa",
    "zonder kleren",
)
PEOPLE: tuple[str, ...] = (
    "adele", "beyonce", "rihanna", "madonna", "shakira", "zendaya", "eminem", "drake", "taylor swift", "billie eilish",
    "ariana grande", "selena gomez", "justin bieber", "dua lipa", "lady gaga", "katy perry", "miley cyrus", "kanye west",
    "harry styles", "ed sheeran", "bruno mars", "nicki minaj", "cardi b", "jennifer lopez", "britney spears", "olivia rodrigo",
    "sabrina carpenter", "kim kardashian", "kylie jenner", "kendall jenner", "khloe kardashian", "gigi hadid", "bella hadid",
    "cara delevingne", "naomi campbell", "kate moss", "heidi klum", "emma watson", "emma stone", "scarlett johansson",
    "jennifer lawrence", "angelina jolie", "margot robbie", "natalie portman", "anne hathaway", "meryl streep", "julia roberts",
    "gal gadot", "ana de armas", "sydney sweeney", "millie bobby brown", "megan fox", "jennifer aniston", "nicole kidman",
    "brad pitt", "tom cruise", "tom hanks", "tom holland", "leonardo dicaprio", "johnny depp", "robert downey", "chris evans",
    "chris hemsworth", "ryan gosling", "ryan reynolds", "keanu reeves", "will smith", "dwayne johnson", "timothee chalamet",
    "robert pattinson", "george clooney", "morgan freeman", "denzel washington", "donald trump", "melania trump", "joe biden",
    "kamala harris", "barack obama", "michelle obama", "hillary clinton", "bill clinton", "elon musk", "jeff bezos", "bill gates",
    "mark zuckerberg", "vladimir putin", "volodymyr zelensky", "xi jinping", "narendra modi", "angela merkel", "olaf scholz",
    "friedrich merz", "emmanuel macron", "keir starmer", "boris johnson", "rishi sunak", "giorgia meloni", "pope francis",
    "king charles", "queen elizabeth", "prince harry", "prince william", "meghan markle", "kate middleton", "princess diana",
    "lionel messi", "cristiano ronaldo", "kylian mbappe", "neymar", "serena williams", "roger federer", "rafael nadal",
    "novak djokovic", "lebron james", "tiger woods", "simone biles", "usain bolt", "oprah winfrey", "ellen degeneres",
    "greta thunberg", "malala yousafzai", "marilyn monroe", "audrey hepburn", "elvis presley", "michael jackson",
    "messi", "ronaldo", "mbappe", "obama", "putin", "zelensky", "zelenskyy", "penelope cruz", "kardashian", "trump", "deepika padukone", "priyanka chopra", "shah rukh khan", "aishwarya rai",
)  # fmt: skip
_NAMES = (
    *PEOPLE,
    *(" ".join(reversed(one.split())) for one in PEOPLE if one.count(" ") == 1),
    "kardashians",
    "kardashian jenner",
)
"""With the family name first, too ("Swift, Taylor")."""
_LIKENESS = re.compile(
    r"\b(?:look(?:s|ing)? like|likeness of|face of|as worn by|turn (?:her|him|them|me) into|deepfake|face ?swap)\b"
)
_UNDRESSING = re.compile(
    r"\b(?:remov(?:e|ing)|tak(?:e|ing)(?: off)?|get(?:ting)? rid of|los(?:e|ing)|strip(?:ping)?(?: off)?|eras(?:e|ing)|without)"
    r"(?: (?:all|of|the|her|his|their|my|any|every)){0,3} (?:clothes|clothing|garments|underwear|bra|panties|everything)\b"
)
_BARING = re.compile(
    r"\b(?:(?:remov(?:e|ing)|tak(?:e|ing) off|pull(?:ing)? off|strip(?:ping)? off|get(?:ting)? rid of|delet(?:e|ing)|eras(?:e|ing)|without)"
    r"(?: (?:all|of|the|a|her|his|their|my|any|every)){1,3}(?: \w+){0,2}? {worn}"
    r"|(?:tak(?:e|ing)|pull(?:ing)?|rip(?:ping)?) (?:her|his|their|the|my)(?: \w+){0,2}? {worn} off)"
    r"(?= (?:and|from|off|so|to|please|completely|entirely|for|in|on|now|of (?:her|him|them|the))\b|$)".replace(
        "{worn}",
        "(?:shirt|top|t shirt|blouse|dress|skirt|pants|trousers|jeans|shorts|outfit|bikini|swimsuit|lingerie|tights)",
    )
)
"""A garment that goes, and nothing that comes instead. A part of it ("the shirt's collar") may go, and so may what is worn over others."""
_ELSEWHERE = re.compile(
    r"裸|脱が|脱い|ヌード|누드|알몸|나체|голая|голую|голый|голой|голые|голых|нагая|нагую|нагой|обнаж[её]н|раздет|раздень|оголен|عار(?:ي|ية)\b|γυμν|ערום|नंगी|नग्न|çıplak|naga\b|nahá|mezítel|alasti|khỏa thân"
)
"""Of languages that are not read otherwise, the commonest words for it."""
_DIGITS = (str.maketrans("0134578$@€", "oieastbsae"), str.maketrans("0134578$@€", "oleastbsae"))
"""What digits and signs stand for, 1 for i and for l ("B1ll1e" is found by neither, "Bi11ie" and "t1ts" are)."""
_SIGNS = re.compile(r"[!|¡](?=[!|¡]*\w)")
"""Within a word they are an i or an l; behind it they end a sentence."""
_ALIKE = str.maketrans(
    "аеорсухіјѕѵαεορτυχικνуԁԛԝһӏɡɑɩıøłđħŧɫƚᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
    "aeopcyxijsvaeoptuxiknydqwhlgaiioldhtllabcdefghijklmnoprstuvwyz",
)
"""Letters of Cyrillic, Greek and phonetic alphabets that look like Latin ones, and those with a stroke, which no decomposition takes away."""
_SHAPES = str.maketrans("пнвгитмкηω", "nhbrutmknw")
"""Further ones that do so at a second look …"""
_SOUNDS = str.maketrans("пнвгитмкблдзфηурсхй", "pnvgitmkbldzfnurshy")
"""… or sound so."""
_ENCLOSED = {first + n: chr(ord("a") + n) for first in (0x1F130, 0x1F150, 0x1F170) for n in range(26)}
"""Letters in black squares and circles."""
_SPELT_OUT = re.compile(r"\b(?:[a-z] ){3,}[a-z]\b")
_DRAWN_OUT = re.compile(r"([a-z])\1{2,}")
_WITHIN = re.compile(r"(?<=\w)[-._·•*'’]+(?=\w)")
_SIZES = re.compile(r"\bx{2,4} ?(?:l|large|s|small)\b")
"""That "XXX large" is a size."""


def refused(text: str) -> str:
    """Why no garment is edited for these words; "" where they are fine.

    Words are found whole ("nude" is a colour of cloth, and is refused all the same: it is what is misused most).
    """
    if (found := _ELSEWHERE.search(unicodedata.normalize("NFKC", text).casefold())) is not None:
        return f"asks for nudity ({found.group()!r})"
    for words in spellings(text):
        if (
            found := _pattern((*NUDITY, *PHRASES)).search(words) or _UNDRESSING.search(words) or _BARING.search(words)
        ) is not None:
            return f"asks for nudity ({found.group()!r})"
        if (found := _pattern(_NAMES).search(words)) is not None:
            return f"names a real person ({found.group()!r})"
        if (found := _LIKENESS.search(words)) is not None:
            return f"asks for somebody's likeness ({found.group()!r})"
    return ""


def spellings(text: str) -> tuple[str, ...]:
    """The plain words of a text, small and apart by single spaces, as they may be meant.

    Whatever accents, capitals, wide or invisible characters they are written with, with letters of other alphabets that look alike,
    with digits or signs for letters, joined by hyphens or dots, or parted by them, drawn out ("nuuude"), or letter by letter.
    """
    wide = unicodedata.normalize("NFKD", text.translate(_ENCLOSED).casefold())
    bare = "".join(one for one in wide if unicodedata.category(one) not in {"Mn", "Me", "Cf"})
    found: list[str] = []
    for table in (_SHAPES, _SOUNDS):
        plain = bare.translate(table).translate(_ALIKE)
        signs = [_SIGNS.sub(letter, plain).translate(digits) for letter, digits in zip("il", _DIGITS, strict=True)]
        for one in (plain, *signs):
            for apart in (one, _WITHIN.sub("", one)):
                words = _SIZES.sub("", " ".join(re.findall(r"[^\W_]+", apart)))
                found += [words, _SPELT_OUT.sub(lambda letters: letters.group().replace(" ", ""), words)]
    return tuple(dict.fromkeys([*found, *(_DRAWN_OUT.sub(r"\1", one) for one in found)]))


@cache
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    plain = {one.replace("-", " ") for one in phrases}
    plain |= {one.replace(" ", "") for one in plain}  # "taylorswift", "strip-tease" without its hyphen
    spelt = "|".join(re.escape(one) for one in sorted(plain, key=len, reverse=True))
    return re.compile(rf"\b(?:{spelt})\b")
