"""The words that change what a shop's label says: placeholders, negations, imitations, parts, other languages.

All lower case and without accents; `processors.labels` reads with them. Words of other languages are mapped where they
name one value plainly. Those that are not mapped are no values: a caption would print them.
"""

from __future__ import annotations

PLACEHOLDERS = frozenset(
    """
    na|n a|nan|n d|nd|none|null|nil|unknown|unspecified|undefined|undisclosed|unavailable|other|others|tbc|tbd|tba|tbs|
    to be confirmed|to be decided|to be determined|to be announced|various|varies|varied|misc|miscellaneous|assorted|
    multiple|mixed|default|as shown|as pictured|as described|placeholder|example|sample text|lorem ipsum|test|todo|
    all|any|anything|everything|something|yes|no|true|false|empty|blank|please select|select|choose|choose an option|
    standard|special|different|divers|diverse|k a|keine angabe|keine|sonstige|sonstiges|andere|unbekannt|autre|autres|
    inconnu|non specifie|aucun|aucune|otro|otros|varios|sin especificar|desconocido|ninguno|altro|altri|vari|sconosciuto|
    overig|onbekend|nvt|coming soon|outro|outros|desconhecido|xx|xxx|xxxx|not applicable|not available|composition|material|materials|fabric|
    ref|value|num|div 0|default title|default category|uncategorized|uncategorised|random|random colour|random color|
    color may vary|colour may vary|colors may vary|colours may vary|zufallig|beliebig|egal|selecionar|seleccionar|selezionare|choisir|
    does not apply|no aplica|entfallt|trifft nicht zu|to follow|unspec|unsure|idk|dunno|pending|in progress|update soon|
    same as above|as above|same|ditto|idem|id|dito|s o|so|nr|n r|sold out|out of stock|ausverkauft|epuise|agotado|foo|asdf|qwerty|
    n k|as picture|as photo|as image|fabric name here|your text here|enter text|insert text|to be advised|awaiting|wip|draft
    """.replace("\n", "")
    .replace("    ", "")
    .split("|")
)
"""Whole labels that say nothing."""
REFERRALS = (
    "see ",
    "refer to ",
    "check our ",
    "check with ",
    "check the ",
    "check description ",
    "check details ",
    "check image ",
    "check images ",
    "check photo ",
    "check photos ",
    "check picture ",
    "check pictures ",
    "check label ",
    "check tag ",
    "check product ",
    "check below ",
    "check website ",
    "check size ",
    "please ",
    "siehe ",
    "voir ",
    "ver ",
    "vedi ",
    "zie ",
    "as per ",
    "as shown ",
    "as pictured ",
    "as seen ",
    "as in ",
    "cf ",
    "bitte ",
    "wird ",
    "wordt ",
    "folgt ",
    "noch ",
    "por confirmar ",
    "por definir ",
    "a definir ",
    "a confirmer ",
    "da definire ",
    "da confermare ",
    "nader te bepalen ",
    "wie ",
    "comme ",
    "como ",
    "come ",
    "zoals ",
    "same as ",
    "like in ",
    "customer ",
    "your choice ",
    "ask ",
    "info ",
    "information ",
    "not known ",
    "not stated ",
    "not specified ",
    "not sure ",
    "not provided ",
    "no info ",
    "no information ",
    "no data ",
    "to be confirmed ",
)
"""How labels begin that send the reader elsewhere ("see description")."""

NEGATIONS = frozenset(
    """
    no not non never without except excluding excludes excl exclude minus neither nor zero lacks lacking lack nothing
    avoid avoids isnt arent doesnt dont wont cant cannot wasnt hasnt havent didnt shouldnt free-of free-from instead-of
    rather-than other-than anything-but except-but alternative-to substitute-for hardly barely almost nearly none nil false
    perhaps maybe possibly probably presumably might could anti tbc tbd tba unknown unconfirmed unverified unspecified pending
    ohne kein keine keinen keinem keiner keines nicht sans pas aucun aucune sin senza sem nao zonder geen niet utan inte uden
    uten ilman fara brez ikke bez nie ei nein nee nej inget ingen inga nem
    """.split()  # noqa: SIM905 (a paragraph reads better than a list of eighty strings)
)
"""What follows, to the end of its clause, is not so."""
NEUTRAL_AFTER_NEGATION = frozenset(
    "static bacterial microbial allergenic allergic odour odor fungal uv dust iron stretch crease slip wrinkle toxic fade pilling pill shrink transparent see padded wired woven gmo dyed wash nonsense".split()  # noqa: SIM905
)
"""Of "non-iron cotton" the iron is denied, and the cotton is not."""
DENIED_BEFORE = frozenset("free less excluded excepted absent frei fri fritt vrij libre degil".split())  # noqa: SIM905
"""What stands before, in its clause, is not so ("leather-free")."""
ENDS_NEGATION = frozenset("but yet however aber sondern mais pero sino ma maar".split())  # noqa: SIM905
"""Words that end a clause as a comma does."""

JOINS = frozenset({"and", "with", "plus", "und", "et", "y", "e"})
"""After these, what was said of the value before is not said of the next."""

IMITATIONS_BEFORE = frozenset(
    """
    faux fake imitation imitations imitated imit immitation artificial synthetic simulated mock vegan pleather manmade
    man-made bonded reconstituted pseudo quasi like resembles resembling mimics mimicking imitates imitating simulates
    simulating replicates inspired-by alternative kunst konst suni sztuczna sztuczne sztuczny sztucznej umela umele umely
    fausse simili synthetique imitacion sintetico sintetica sinteticos sinteticas imitazione finto finta kunst unechtes
    unecht veganes veganer vegane vegano vegana aspect effet effetto efecto aspetto aspecto look nep imitatie tipo
    falso falsa fusk imitacao imitacoes simil eko cruelty-free animal-free regenerated composite yapay sahte kunstig kunstige
    """.split()  # noqa: SIM905
)
"""What follows, up to an "and" or the end of its clause, is an imitation; after a value at the end of a clause, that value is."""
IMITATING_STEMS = (
    "synthetis", "syntetisk", "syntetyczn", "synteettis", "syntetick", "sintetic", "sintetik", "synthetiq", "artifici", "kunstlich",
    "kunstmatig", "konstgjor", "imitac", "imitas", "imitat", "imitier", "imitov", "vegan", "wegan", "vegetalien", "ekologi", "okologi", "ecologi",
)  # fmt: skip
"""Words that begin so are read as `IMITATIONS_BEFORE` in every inflection: "synthetisches Leder", "veganskt läder"."""
ECOLOGICAL_STEMS = ("ekologi", "okologi", "ecologi")
"""Those of them that make an imitation of what can be imitated only: "ekologisk bomull" is cotton."""
MATERIALS_BEFORE = frozenset(
    """
    pu pvc vinyl polyurethane poly plastic textile microfibre microfiber eco oko polyurethan ecologico ecologica ecologique ekologiczna bio plant
    plant-based bio-based biobased lab-grown mushroom mycelium cactus apple pineapple cork grape hemp corn vegetal
    """.split()  # noqa: SIM905
)
"""As `IMITATIONS_BEFORE`, of what is imitated by such a material only (`IMITABLE`): eco leather is none, eco cotton is cotton."""
IMITATIONS_AFTER = frozenset(
    """
    look looks lookalike look-alike like effect effects imitation imitat imitatie optik optic alternative alternatives
    substitute replacement mimic esque ish ersatz aspect alike ette
    """.split()  # noqa: SIM905
)
"""What stands directly before is an imitation ("denim-look")."""
MANNERS_AFTER = frozenset(
    [
        "style",
        "styled",
        "style-of",
        "feel",
        "feeling",
        "touch",
        "finish",
        "type",
        "inspired",
        "print",
        "printed",
        "handfeel",
        "sensation",
    ]
)
"""As `IMITATIONS_AFTER`, of fabrics and genders only: a "collar style" is a collar, "silk touch" is no silk."""
IMITATED_BY_MATERIAL = frozenset({"polyester", "nylon", "acrylic", "synthetic", "polyurethane", "viscose"})
IMITABLE = frozenset({"leather", "suede", "fur"})
""""Polyester fur" is no fur, where "polyester cotton" is a mixture."""

IMITATING_PREFIXES = (
    "imitation",
    "imitatie",
    "simili",
    "pseudo",
    "kunst",
    "konst",
    "vegan",
    "faux",
    "fake",
    "fusk",
    "mock",
    "eco",
    "non",
    "pu",
)
QUALIFYING_SUFFIXES = ("imitation", "imitat", "optik", "effect", "look", "like", "free", "frei", "vrij", "fri", "less")
"""Written together with a value ("fauxleather", "leatherfree"), they are words of their own."""

PARTS = frozenset(
    """
    trim trims trimmed trimming lining linings lined liner sole soles outsole outsoles insole insoles detail details
    detailing accent accents patch patches piping button buttons strap straps cuff cuffs hem hood filling fill filled
    padding padded thread stitching embroidery tag label insert inserts panel panels tassel tassels zip zipper handle
    handles laces lace-up backing binding edging futter innenfutter sohle besatz doublure semelle forro suela fodera
    """.split()  # noqa: SIM905
)
"""A fabric of a part is not the garment's ("leather trim", "lined with silk")."""
BLENDS = frozenset("blend blends blended mix mixed mixture rich mischung mischgewebe melange mezcla misto".split())  # noqa: SIM905
"""A blend of a fabric is not that fabric."""
NO_LABELS = frozenset("silky silken lacy furry woolly feminine womanly masculine manly boyish girly girlish".split())  # noqa: SIM905
"""Words that a caption may not say without the value, and that as a label do not name it: silky is no silk."""
SHELLS = frozenset(
    "shell outer outside upper main body face fabric material obermaterial oberstoff aussen exterieur exterior esterno".split()  # noqa: SIM905
)
"""What names the garment itself, beside its parts."""
BESIDE_GARMENTS = frozenset(
    """
    accessory accessories care charm charms strap straps polish cleaner cleaning insole insoles laces tree trees hanger hangers
    box boxes press presses cover covers rack racks organiser organisers organizer organizers pattern patterns form forms clip clips dye spray
    """.split()  # noqa: SIM905
)
"""Directly behind a garment, what is sold is none: "shoe care"."""
PATTERN_NOUNS = frozenset("print prints printed pattern patterns patterned design designs".split())  # noqa: SIM905
SLEEVES = frozenset(
    {
        "sleeve",
        "sleeves",
        "arm",
        "armel",
        "manche",
        "manches",
        "manga",
        "mangas",
        "manica",
        "maniche",
        "mouw",
        "mouwen",
        "arma",
    }
)

LABELS: dict[str, dict[str, str]] = {
    "length": {"above knee": "short", "above the knee": "short", "below knee": "midi", "below the knee": "midi",
               "regular": "", "regular length": "", "normal": "", "normal length": "", "standard length": ""},
    "colour": {"blk": "black", "wht": "white", "nvy": "navy", "gry": "grey", "brn": "brown", "grn": "green"},
    "pattern": {"plain": "solid", "unprinted": "solid", "self design": "solid", "printless": "solid", "patternless": "solid", "polka dot": "dotted", "check": "checked", "dot": "dotted", "spot": "dotted", "spots": "dotted",
                "aop": "printed", "micro check": "checked", "windowpane": "checked", "window pane": "checked"},
    "category": {"dressing gown": "", "dressing gowns": ""},
    "neckline": {"collarless": "collarless", "collar less": "collarless", "vneck": "v", "v necked": "v", "o neck": "round", "oneck": "round"},
    "sleeve": {"sleeve": "", "sleeves": "", "l s": "long", "s s": "short", "longsleeve": "long", "longsleeves": "long", "shortsleeve": "short",
               "shortsleeves": "short", "sleeve less": "sleeveless", "full": "long", "half": "short", "half sleeve": "short", "1 2": "short", "1 2 sleeve": "short", "1 2 sleeves": "short", "3 4": "three-quarter",
               "3 4 length": "three-quarter", "3 4 length sleeve": "three-quarter", "3 4 length sleeves": "three-quarter", "3 4 sleeve": "three-quarter",
               "3 4 sleeves": "three-quarter", "full sleeves": "long", "half sleeves": "short"},
    "gender": {
        "baby": "kids", "babies": "kids", "infant": "kids", "infants": "kids", "newborn": "kids", "newborns": "kids",
        "junior": "kids", "juniors": "kids", "youth": "kids", "teen": "kids", "teens": "kids", "teenager": "kids",
        "teenagers": "kids", "tween": "kids", "tweens": "kids", "schoolgirl": "girls", "schoolboy": "boys", "gents": "men", "gent": "men",
        "maternity": "women", "everyone": "unisex", "everybody": "unisex", "anyone": "unisex", "anybody": "unisex", "both": "unisex", "all genders": "unisex", "all gender": "unisex", "m f": "unisex", "f m": "unisex",
        "m w": "unisex", "w m": "unisex", "d h": "unisex", "h d": "unisex", "h f": "unisex", "f h": "unisex",
    },
    "fabric": {"poly": "polyester", "leatherette": "faux leather", "pleather": "faux leather", "suedette": "faux suede", "ultrasuede": "faux suede",
               "microsuede": "faux suede", "micro suede": "faux suede", "sherpa fleece": "fleece", "fun fur": "faux fur", "teddy fur": "faux fur",
               "lace up": "", "lace ups": "", "laceup": "", "silk screen": "", "silk screened": "", "silkscreen": "",
               "ultra suede": "faux suede", "rexine": "faux leather", "leatherite": "faux leather", "artsilk": "faux silk", "cashmilon": "acrylic", "lã": "wool"},
}  # fmt: skip
"""English labels beside the words of captions (`processors.vocabulary`), by facet; "" for one that says nothing: a caption would
call a shirt of regular length "a regular shirt"."""

FOREIGN: dict[str, dict[str, str]] = {
    "fabric": {
        "baumwolle": "cotton", "baumwoll": "cotton", "coton": "cotton", "algodon": "cotton", "algodao": "cotton",
        "cotone": "cotton", "katoen": "cotton", "bomull": "cotton", "bomuld": "cotton", "bawelna": "cotton",
        "leinen": "linen", "lin": "linen", "lino": "linen", "linho": "linen", "linnen": "linen",
        "wolle": "wool", "schurwolle": "wool", "laine": "wool", "lana": "wool", "wol": "wool", "welna": "wool",
        "seide": "silk", "soie": "silk", "seda": "silk", "seta": "silk", "zijde": "silk",
        "leder": "leather", "cuir": "leather", "cuero": "leather", "couro": "leather", "leer": "leather",
        "echtleder": "leather", "rindsleder": "leather", "skora": "leather", "skory": "leather",
        "kunstleder": "faux leather", "similicuir": "faux leather", "polipiel": "faux leather", "skai": "faux leather",
        "ecopelle": "faux leather", "similpelle": "faux leather", "lederimitat": "faux leather", "lederoptik": "faux leather",
        "kunstleer": "faux leather", "imitationsleder": "faux leather", "veganleder": "faux leather",
        "lader": "leather", "konstlader": "faux leather", "læder": "leather", "kunstlæder": "faux leather", "nahka": "leather",
        "keinonahka": "faux leather", "tekonahka": "faux leather", "deri": "leather", "nepleer": "faux leather",
        "imitatieleer": "faux leather", "ekoskora": "faux leather", "similcuero": "faux leather", "similpiel": "faux leather", "cuerina": "faux leather",
        "courino": "faux leather", "konstskinn": "faux leather", "fusklader": "faux leather", "ull": "wool", "uld": "wool",
        "skorzana": "", "pelle": "", "piel": "",
        "wildleder": "suede", "veloursleder": "suede", "daim": "suede", "kunstwildleder": "faux suede",
        "pelz": "fur", "fourrure": "fur", "pelliccia": "fur", "kunstpelz": "faux fur", "webpelz": "faux fur", "kunstfell": "faux fur",
        "samt": "velvet", "velours": "velvet", "terciopelo": "velvet", "velluto": "velvet",
        "spitze": "lace", "dentelle": "lace", "encaje": "lace", "pizzo": "lace",
        "kaschmir": "cashmere", "cachemire": "cashmere", "cachemir": "cashmere", "kasjmier": "cashmere",
        "viskose": "viscose", "viscosa": "viscose", "polyamid": "nylon", "polyamide": "nylon", "poliamida": "nylon",
        "poliester": "polyester", "poliestere": "polyester", "elasthan": "elastane", "elasthanne": "elastane", "elastan": "elastane",
        "elastano": "elastane", "satijn": "satin", "raso": "satin", "kunstseide": "viscose", "strick": "knit",
        "jeansstoff": "denim", "mezclilla": "denim", "vaquero": "denim", "stroh": "straw", "paille": "straw",
    },
    "gender": {
        "damen": "women", "damenmode": "women", "dame": "women", "frauen": "women", "femme": "women", "femmes": "women",
        "mujer": "women", "mujeres": "women", "donna": "women", "donne": "women", "mulher": "women", "senora": "women",
        "feminino": "women", "femenino": "women", "dames": "women", "kvinnor": "women", "kobieta": "women",
        "herren": "men", "herrenmode": "men", "manner": "men", "homme": "men", "hommes": "men", "hombre": "men",
        "hombres": "men", "uomo": "men", "uomini": "men", "homem": "men", "caballero": "men", "masculino": "men",
        "heren": "men", "herr": "men", "mezczyzna": "men", "mezczyzni": "men", "herre": "men", "mies": "men", "miehet": "men", "panske": "men", "erkek": "men",
        "dam": "women", "kvinna": "women", "kvinde": "women", "kvinne": "women", "naiset": "women", "nainen": "women", "kobiety": "women",
        "damske": "women", "kadin": "women", "flickor": "girls", "flicka": "girls", "dziewczeta": "girls", "dziewczynka": "girls", "divky": "girls",
        "pojkar": "boys", "pojke": "boys", "chlopcy": "boys", "chlopiec": "boys", "chlapci": "boys", "barn": "kids", "dzieci": "kids", "lapset": "kids",
        "madchen": "girls", "fille": "girls", "filles": "girls", "nina": "girls", "ninas": "girls", "bambina": "girls",
        "menina": "girls", "meisjes": "girls",
        "jungen": "boys", "jungs": "boys", "garcon": "boys", "garcons": "boys", "nino": "boys", "bambino": "boys",
        "menino": "boys", "jongens": "boys",
        "kinder": "kids", "enfant": "kids", "enfants": "kids", "ninos": "kids", "bambini": "kids", "kinderen": "kids",
        "baby": "kids", "bebe": "kids", "mixte": "unisex", "unisexe": "unisex",
    },
    "pattern": {
        "gestreift": "striped", "rayures": "striped", "raye": "striped", "rayas": "striped", "righe": "striped",
        "kariert": "checked", "carreaux": "checked", "cuadros": "checked", "geblumt": "floral", "fleuri": "floral",
        "flores": "floral", "floreale": "floral", "gepunktet": "dotted", "pois": "dotted", "lunares": "dotted",
        "einfarbig": "solid", "unifarben": "solid", "uni": "solid", "ungemustert": "solid", "unbedruckt": "solid", "ungestreift": "", "unkariert": "", "liso": "solid", "bedruckt": "printed", "imprime": "printed",
    },
    "sleeve": {
        "halbarm": "short", "1 2 arm": "short", "3 4 arm": "three-quarter", "3 4 armel": "three-quarter", "dreiviertelarm": "three-quarter",
        "lange armel": "long", "kurze armel": "short", "langarmlig": "long", "langarmelig": "long", "kurzarmlig": "short", "kurzarmelig": "short",
        "manches 3 4": "three-quarter", "manches trois quarts": "three-quarter", "manga 3 4": "three-quarter", "mangas 3 4": "three-quarter",
        "maniche 3 4": "three-quarter", "mangas largas": "long", "mangas cortas": "short", "manga comprida": "long", "manga curta": "short",
        "maniche lunghe": "long", "maniche corte": "short", "manica lunga": "long", "manica corta": "short", "smanicato": "sleeveless",
        "lange mouwen": "long", "lange mouw": "long", "korte mouwen": "short", "korte mouw": "short", "mouwloos": "sleeveless",
        "langarmad": "long", "kortarmad": "short", "armlos": "sleeveless",
        "langarm": "long", "kurzarm": "short", "armellos": "sleeveless", "manches longues": "long",
        "manches courtes": "short", "sans manches": "sleeveless", "sin mangas": "sleeveless", "manga larga": "long",
        "manga corta": "short",
    },
    "neckline": {"kragenlos": "", "rundhals": "round", "stehkragen": "", "kragen": "collar", "col": "", "cuello": "", "v ausschnitt": "v", "col v": "v"},
    "length": {"lang": "long", "kurz": "short", "largo": "", "corto": "", "longue": "long", "courte": "short"},
    "colour": {
        "schwarz": "black", "noir": "black", "noire": "black", "negro": "black", "nero": "black", "preto": "black",
        "weiss": "white", "blanc": "white", "blanche": "white", "blanco": "white", "bianco": "white", "branco": "white",
        "rot": "red", "rouge": "red", "rojo": "red", "rosso": "red", "vermelho": "red",
        "blau": "blue", "bleu": "blue", "azul": "blue", "blu": "blue", "marine": "navy",
        "grun": "green", "vert": "green", "verde": "green", "gelb": "yellow", "jaune": "yellow", "amarillo": "yellow",
        "grau": "grey", "gris": "grey", "grigio": "grey", "braun": "brown", "marron": "brown", "marrone": "brown",
        "rosa": "pink", "lila": "purple", "violett": "purple", "bunt": "", "mehrfarbig": "",
        "hellblau": "light blue", "dunkelblau": "navy", "hellgrau": "light grey", "dunkelgrau": "charcoal", "dunkelgrun": "dark green",
        "hellgrun": "green", "hellbraun": "tan", "dunkelbraun": "brown", "dunkelrot": "burgundy", "weinrot": "burgundy", "hellrosa": "pink",
        "anthrazit": "charcoal", "turkis": "turquoise", "creme": "cream", "naturweiss": "cream", "wollweiss": "cream", "oliv": "olive",
        "flieder": "lavender", "silber": "light grey", "senf": "mustard", "farblos": "", "gemustert": "", "verschiedene": "",
        "bleu marine": "navy", "bleu clair": "light blue", "bleu fonce": "navy", "gris clair": "light grey", "gris fonce": "charcoal",
        "vert fonce": "dark green", "kaki": "khaki", "multicolore": "", "azul marino": "navy", "azul claro": "light blue", "azul oscuro": "navy",
        "morado": "purple", "naranja": "orange", "azzurro": "light blue", "arancione": "orange", "viola": "purple",
        "cinza": "grey", "castanho": "brown", "roxo": "purple", "laranja": "orange",
        "zwart": "black", "wit": "white", "rood": "red", "blauw": "blue", "donkerblauw": "navy", "lichtblauw": "light blue", "groen": "green",
        "geel": "yellow", "grijs": "grey", "bruin": "brown", "roze": "pink", "paars": "purple", "oranje": "orange",
        "svart": "black", "vit": "white", "czarny": "black", "bialy": "white", "czerwony": "red", "niebieski": "blue", "zielony": "green",
    },
    "category": {
        "kleid": "dress", "kleider": "dress", "rocke": "skirt", "hosen": "pants", "jacke": "jacket", "jacken": "jacket", "hemd": "shirt",
        "hemden": "shirt", "bluse": "shirt", "blusen": "shirt", "schuh": "shoe", "schuhe": "shoe", "stiefel": "shoe", "tasche": "bag",
        "taschen": "bag", "hut": "hat", "hute": "hat", "mutze": "hat", "mutzen": "hat", "sonnenbrille": "sunglass", "sonnenbrillen": "sunglass",
        "robes": "dress", "jupe": "skirt", "jupes": "skirt", "pantalon": "pants", "pantalons": "pants", "manteau": "jacket", "manteaux": "jacket",
        "chemisier": "shirt", "chemisiers": "shirt", "chaussure": "shoe", "chaussures": "shoe", "sac a main": "bag", "sacs": "bag",
        "chapeau": "hat", "chapeaux": "hat", "lunettes de soleil": "sunglass",
        "vestido": "dress", "vestidos": "dress", "falda": "skirt", "faldas": "skirt", "pantalones": "pants", "camisa": "shirt",
        "camisas": "shirt", "camiseta": "shirt", "camisetas": "shirt", "chaqueta": "jacket", "chaquetas": "jacket", "zapato": "shoe",
        "zapatos": "shoe", "zapatillas": "shoe", "bolso": "bag", "bolsos": "bag", "gafas de sol": "sunglass",
        "abito": "dress", "abiti": "dress", "vestito": "dress", "vestiti": "dress", "gonna": "skirt", "gonne": "skirt", "pantaloni": "pants",
        "camicia": "shirt", "camicie": "shirt", "maglietta": "shirt", "magliette": "shirt", "giacca": "jacket", "giacche": "jacket",
        "scarpa": "shoe", "scarpe": "shoe", "borsa": "bag", "borse": "bag", "cappello": "hat", "cappelli": "hat", "occhiali da sole": "sunglass",
        "jurk": "dress", "jurken": "dress", "rokken": "skirt", "broek": "pants", "broeken": "pants", "jassen": "jacket", "overhemd": "shirt",
        "overhemden": "shirt", "schoen": "shoe", "schoenen": "shoe", "tas": "bag", "tassen": "bag", "zonnebril": "sunglass",
        "saia": "skirt", "saias": "skirt", "calcas": "pants", "casaco": "jacket", "casacos": "jacket", "sapato": "shoe", "sapatos": "shoe",
    },
}  # fmt: skip
"""Words of other languages by facet; "" is one that names no value by itself."""
FOREIGN_STEMS = (
    "baumwoll", "leder", "wolle", "seiden", "damen", "herren", "kinder", "algodon", "viskose", "stoff", "gewebe", "tejido",
    "tissu", "tessuto", "cuir", "frei", "imitat",
)  # fmt: skip
"""A word that holds one of these, and is not mapped, is a word of another language that we do not know."""

JOINED = (
    (r"\bw/o\b", "without"),
    (r"n['’`]t\b", "nt"),
    (r"\b[dl]['’`](?=[^\W\d_]{3})", ""),
    (r"\bless (?=than\b)", "under "),
    (
        r"\b(leather|suede|fur) (?:is |made )*(?:of|from|out of) (?:recycled |upcycled )?(?:pu|pvc|polyurethane|polyester|vinyl|plastics?|apples?|mushrooms?|mycelium|cactus|pineapples?|cork|grapes?|corn|plants?)\b",
        r"\1 imitation ",
    ),
    (r"\b(?:art|poly|banana|sabra|cactus|soy|milk|bamboo|aloe|rayon|cupro) (?=silk\b)", "artificial "),
    (r"\b(?:plant|bio)[ -]based (?=(?:wool|silk|cashmere|down)\b)", "artificial "),
    (
        r"\b(?:type|style|genre|facon|estilo|stile) (?=(?:cuir|daim|fourrure|laine|soie|cuero|ante|couro|pelle|seda|lana|seta)\b)",
        "artificial ",
    ),
    (r"\b(?:libre de|livre de|libero da|exempt de|exento de|exenta de|frei von|vrij van|fri for|fri fra)\b", "without"),
    (r"\bmay (?=contain|include|have|be\b)", "perhaps "),
    (r"\bor (?:similar|equivalent|comparable|equal)\b", "absent"),
    (r"\b(?:anyone|anybody|everyone|everybody|all) (?=(?:but|except|excepting|excluding)\b)", "except-"),
    (r"\bas \w+ as\b", "like"),
    (r"\b(inspired) (?=by\b)", r"\1-"),
    (r"\b(free) (?=of\b|from\b)", r"\1-"),
    (r"\b(instead) (?=of\b)", r"\1-"),
    (r"\b(rather|other) (?=than\b)", r"\1-"),
    (r"\b(anything) (?=but\b)", r"\1-"),
    (r"\b(alternative) (?=to\b)", r"\1-"),
    (r"\b(substitute) (?=for\b)", r"\1-"),
    (r"\b(man)[ -](?=made\b)", r"\1-"),
    (r"\b(plant|bio) (?=based\b)", r"\1-"),
    (r"\b(lab) (?=grown\b)", r"\1-"),
    (r"\b(look) (?=alike\b)", r"\1-"),
    (r"\b(cruelty|animal) (?=free\b)", r"\1-"),
)
"""Spellings that are made one word before a label is cut: what stands in the first column, and what it becomes."""
