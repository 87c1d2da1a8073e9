"""The shop's tables: `products.csv`, `.tsv`, `.jsonl` or `.xlsx` → rows with an id, an image and metadata.

Column names are those of EVENTS.md and those that Shopify, WooCommerce and Google Merchant write. A field that cannot be
used is left out of its product and named; it never costs the product.
"""

from __future__ import annotations

import datetime as dt
import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processors.errors import Poison, Retryable
from processors.offers import read_day, read_stock
from streams.contract.limits import MAX_FACET_NAME, MAX_FACETS, MAX_TEXT
from streams.ops.photo_names import without_suffix
from streams.ops.prices import currency_in, price_of
from streams.ops.table_files import Line, canonical, read_lines
from streams.ops.told_photos import photos_in

# In one spelling (`canonical`), the surest first. Shopify's handle names the product, its SKUs the sizes of it.
ID_COLUMNS = (
    "product_id", "id", "item_id", "sku", "handle", "variant_sku", "item_sku", "seller_sku", "product_number", "artikelnummer", "artikel_nr",
    "art_nr", "artnr", "reference", "referencia", "codice",
)  # fmt: skip
IMAGE_COLUMNS = (
    "image", "file", "filename", "file_name", "image_path", "image_file", "photo", "picture", "image_src", "image_link",
    "image_url", "image_name", "main_image", "main_image_url", "photo_url", "picture_url", "images", "image_urls", "variant_image",
    "base_image", "cover_media_url", "image_urls_x_y_z", "bild", "foto", "imagen", "immagine",
)  # fmt: skip
# Other names for the typed fields of EVENTS.md.
_TYPED = {
    "title": "title", "name": "title", "product_name": "title", "productdisplayname": "title", "product_title": "title",
    "description": "description", "body_html": "description", "product_description": "description",
    "brand": "brand", "brandname": "brand", "brand_name": "brand", "vendor": "brand",
    "gender": "gender", "fabric": "fabric",
    "category": "category", "type": "category", "product_type": "category", "categories": "category", "product_category": "category",
    "category_name": "category",
    "price": "price", "variant_price": "price", "regular_price": "price",
    "sale_price": "sale_price", "special_price": "sale_price", "discount_price": "sale_price",
    "compare_at_price": "compare_at_price", "variant_compare_at_price": "compare_at_price",
    "currency": "currency", "currency_code": "currency", "price_currency": "currency",
    "availability": "in_stock", "in_stock": "in_stock", "stock": "in_stock", "stock_status": "in_stock",
    "quantity": "in_stock", "stock_quantity": "in_stock", "inventory": "in_stock", "inventory_quantity": "in_stock",
    "variant_inventory_qty": "in_stock", "qty": "in_stock",
    "size": "sizes", "sizes": "sizes", "available_sizes": "sizes",
    # As German, French, Spanish, Italian and Dutch shops head them.
    "preis": "price", "prix": "price", "precio": "price", "prezzo": "price", "prijs": "price", "verkaufspreis": "price",
    "titel": "title", "produktname": "title", "bezeichnung": "title", "titre": "title", "titulo": "title", "titolo": "title",
    "beschreibung": "description", "descripcion": "description", "descrizione": "description", "beschrijving": "description",
    "marke": "brand", "hersteller": "brand", "marque": "brand", "marca": "brand", "merk": "brand",
    "geschlecht": "gender", "genre": "gender", "genero": "gender", "genere": "gender", "geslacht": "gender",
    "kategorie": "category", "warengruppe": "category", "categorie": "category", "categoria": "category",
    "wahrung": "currency", "waehrung": "currency", "devise": "currency", "moneda": "currency", "valuta": "currency",
    "währung": "currency", "título": "title", "descripción": "description", "género": "gender", "catégorie": "category",
    "categoría": "category", "größe": "sizes", "größen": "sizes", "bestand": "in_stock", "lagerbestand": "in_stock", "groessen": "sizes",
    "launched": "launched", "launch_date": "launched", "release_date": "launched", "launch": "launched",
    "group_id": "group_id", "item_group_id": "group_id", "parent_id": "group_id", "parent_sku": "group_id",
    "style_id": "group_id", "parent": "group_id",
    "category_path": "category_path", "tags": "tags",
}  # fmt: skip
_PRICES = frozenset({"price", "sale_price", "compare_at_price"})
_FURTHER = frozenset({"additional_image_link", "additional_image_links", "variant_image", "gallery", "images"})
# Photos beside the first one: "image 2", "picture_3".
_NUMBERED = re.compile(rf"(?:{'|'.join((*IMAGE_COLUMNS, *sorted(_FURTHER)))})_?\d{{1,2}}")
_PRICE_IN = re.compile(
    r"(?:variant_|regular_)?price_(?:aed|aud|brl|cad|chf|cny|czk|dkk|eur|gbp|huf|inr|jpy|kwd|nok|nzd|pln|ron|sar|sek|try|usd)"
)
# What WooCommerce calls the type of a product: none of them is a category.
_WOO_TYPES = frozenset({"simple", "variable", "variation", "grouped", "external"})
_GOOGLE_CATEGORY = "google_product_category"
_NOTHING = frozenset(
    {"", "-", "na", "n/a", "#n/a", "null", "none", "nan"}
    # The errors of a spreadsheet.
    | {"#ref!", "#value!", "#name?", "#null!", "#num!", "#div/0!", "#error!", "#spill!", "#calc!"}
)
_BLANKS = " \t\r\n\v\f\u00a0\u202f\u2009\u3000\u200b\u2060\ufeff"
"""What is cut off at the ends of a cell; some of them nobody sees."""
_SIZE_WORDS = frozenset({"size", "sizes", "größe", "groesse", "taille", "talla", "taglia", "maat", "storlek"})
# What Excel shows, and saves, in place of a number of twelve digits or more: "1.23457E+12".
_SHORTENED = re.compile(r"-?\d(?:[.,]\d{1,20})?E\+\d{2,3}", re.ASCII | re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,1000}>")


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """Something in the folder that is not used: where it stands ("products.csv line 3"), and why.

    `words`: among them the id of the product that it may be about, if anything names it.
    """

    where: str
    cause: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """One size of a product, on a line of its own; `in_stock` None: nobody said."""

    size: str
    in_stock: bool | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `product_id` and `image` may be "" each.

    `further`: photos of the product beside its first one. `roles`: what photos show, where the row says so. `continues`: a further line of a product that stands above it (Shopify's sizes and further photos); `option` is what
    tells the line from the others of its product. `notes`: fields that were left out. `problem` is "" for a good row; a bad one has its words in `raw`, to tell which photo it was about.
    """

    where: str
    product_id: str = ""
    image: str = ""
    further: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str | float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    continues: bool = False
    option: Option | None = None
    problem: str = ""
    raw: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The table that it stands in."""
        return self.where.rsplit(" ", 2)[0]


def read_table(file: Path, shown: str) -> tuple[list[Row], str]:
    """All rows of a table, the bad ones among them; and why it cannot be used as a whole, or "".

    Args:
        file: a table; see `streams.ops.table_files` for the forms that are read.
        shown: how the file is called in messages.
    """
    options: dict[str, str] = {}
    try:
        lines = read_lines(file, shown, frozenset({*ID_COLUMNS, *IMAGE_COLUMNS}))
        return [_row(line, options) for line in lines], ""
    except (Poison, Retryable) as error:
        return [], str(error)


def _row(line: Line, options: dict[str, str]) -> Row:
    """`options`: the names of Shopify's options, which only the first line of a product has; kept from line to line."""
    if line.problem:
        return Row(line.where, problem=line.problem, raw=line.raw)
    cells, roles, unknown = photos_in(line.cells, _holds_photos)
    flat = _flat(cells)
    _take_attributes(flat)
    size = _take_options(flat, options)
    named: dict[str, str] = {}
    for column in flat:
        named.setdefault(canonical(column), column)
    id_column = next((named[name] for name in ID_COLUMNS if name in named), "")
    image_column = next((named[name] for name in IMAGE_COLUMNS if name in named), "")
    product_id, images = str(flat.pop(id_column, "")), images_in(str(flat.pop(image_column, "")))
    for column in [column for column in flat if _holds_further(column)]:
        images += images_in(str(flat.pop(column)))
    if images and not product_id and any(canonical(column) in ID_COLUMNS for column in line.cells):
        # The photo's own name would make another product of it than the shop's.
        return Row(line.where, problem="has no id", raw=tuple(images))
    if _SHORTENED.fullmatch(product_id):
        # Products whose long numbers begin alike would be one product.
        problem = f"the id {product_id[:50]!r} is a number that a spreadsheet has shortened: make its column text there"
        return Row(line.where, problem=problem, raw=(product_id, *images))
    metadata, notes = _metadata(flat)
    notes = (*unknown, *notes)
    continues = canonical(id_column) == "handle" and "title" not in metadata
    image, *further = images or [""]
    option = None
    if size:
        stock = metadata.get("in_stock")
        option = Option(size, read_stock(stock) if isinstance(stock, str) else None)
        metadata.setdefault("sizes", size)
    shown = {place: role for told, role in roles.items() for place in images_in(told)}
    return Row(line.where, product_id, image, tuple(further), shown, metadata, notes, continues, option)


def _take_attributes(flat: dict[str, str | float]) -> None:
    """WooCommerce's columns as the fields that they are: attributes by name and values, and categories beside its own "Type"."""
    columns = {canonical(column): column for column in flat}
    kind = columns.get("type", "")
    if str(flat.get(kind, "")).casefold().partition(",")[0] in _WOO_TYPES:
        del flat[kind]
    if "categories" in columns:  # several paths: the deepest says most
        paths = [path.strip() for path in str(flat[columns["categories"]]).split(",")]
        flat[columns["categories"]] = max(paths, key=lambda path: path.count(">"))
    google = columns.get(_GOOGLE_CATEGORY, "")
    if google and not any(_typed(column) == "category" for column in flat) and not str(flat[google]).isdigit():
        flat["category"] = flat.pop(google)
    for column in [column for name, column in columns.items() if re.fullmatch(r"attribute_\d+_name", name)]:
        name = str(flat.pop(column))
        values = columns.get(canonical(column).removesuffix("name") + "value_s", "")
        if values and name.strip() and canonical(name) not in columns:
            flat[name.strip()] = flat.pop(values)


def _take_options(flat: dict[str, str | float], names: dict[str, str]) -> str:
    """Shopify's options ("Option1 Name": "Size", "Option1 Value": "M") as the fields that they are; the size of the line, or ""."""
    columns = {canonical(column): column for column in flat}
    if "handle" in columns and columns.keys() & {"title", "option1_name"}:
        names.clear()  # another product begins
    size = ""
    for number in ("1", "2", "3"):
        name = str(flat.pop(columns.get(f"option{number}_name", ""), "")) or names.get(number, "")
        value = str(flat.pop(columns.get(f"option{number}_value", ""), ""))
        if not name:
            continue
        names[number] = name
        if not value or (name, value) == ("Title", "Default Title"):  # Shopify's word for a product without options
            continue
        if name.casefold() in _SIZE_WORDS:
            size = value
        elif canonical(name) not in columns:
            flat[name] = value
    return size


def _holds_further(column: str) -> bool:
    return canonical(column) in _FURTHER or _NUMBERED.fullmatch(canonical(column)) is not None


def _holds_photos(column: str) -> bool:
    return canonical(column) in IMAGE_COLUMNS or _holds_further(column)


def images_in(text: str) -> list[str]:
    """The photos that a cell names: paths or addresses."""
    text = re.sub(r"(?<![^\s,;|])//(?=[^/\s]+/)", "https://", text.strip().replace("\\", "/"))  # "//cdn.test/a.jpg"
    listed = re.split(r"\s*[,;|]\s*", text)
    if "://" not in text and len(listed) > 1 and all(without_suffix(one) != one for one in listed):
        return listed
    return [_on_this_disk(one) for one in re.split(r"[\s,;|]+(?=https?://)", text) if one]


def _on_this_disk(path: str) -> str:
    """Of a path with a drive the file's name: the folder is another machine's."""
    return path.rsplit("/", 1)[-1] if re.match(r"[A-Za-z]:/", path) else path


def _metadata(flat: Mapping[str, str | float]) -> tuple[dict[str, str | float], tuple[str, ...]]:
    metadata: dict[str, str | float] = {}
    notes: list[str] = []
    currency = ""
    for column, value in flat.items():
        name = _typed(column) or column.removeprefix("g:")
        if name in metadata:
            continue
        if name in _PRICES:
            price = value if isinstance(value, float) else price_of(value)
            if price is None or not math.isfinite(price) or price < 0:
                notes.append(f"{name} {str(value)[:50]!r} is no single price, and is left out")
            else:
                metadata[name] = price
                currency = currency or (currency_in(value) if isinstance(value, str) else "")
            continue
        text = _plain(str(value)) if canonical(column) == "body_html" else str(value)
        if len(name) > MAX_FACET_NAME:
            notes.append(
                f"the column {name[:50]!r}… has a name of more than {MAX_FACET_NAME} characters, and is left out"
            )
        elif _SHORTENED.fullmatch(text):
            notes.append(f"{name} {text!r} is a number that a spreadsheet has shortened, and is left out")
        elif len(text) > MAX_TEXT:
            notes.append(f"{name} has {len(text):,} characters, more than {MAX_TEXT:,}, and is left out")
        else:
            metadata[name] = text if isinstance(value, str) else _number(value)
    _settle_prices(metadata, currency)
    notes += _unread(metadata)
    for name in list(metadata)[MAX_FACETS:]:
        del metadata[name]
        notes.append(f"{name} is left out: more than {MAX_FACETS} fields")
    return metadata, tuple(notes)


def _unread(metadata: Mapping[str, str | float]) -> list[str]:
    """Of columns that filters know, what they cannot: it stays with the product as it is."""
    stock, launched = str(metadata.get("in_stock", "")), str(metadata.get("launched", ""))
    notes = []
    if stock and read_stock(stock) is None:
        notes.append(f"in_stock {stock[:50]!r} is neither a number of pieces nor a word for it, and no filter knows it")
    if launched and not read_day(launched):
        notes.append(f"launched {launched[:50]!r} is no day (2026-03-01), and no filter knows it")
    return notes


def _settle_prices(metadata: dict[str, str | float], currency: str) -> None:
    """Shopify's "compare at" is what a product cost before; its price is then the sale price."""
    if metadata.get("sale_price") == 0 and metadata.get("price"):
        del metadata["sale_price"]  # how some shops' programs write that there is none: nothing is given away
    before, now = metadata.pop("compare_at_price", None), metadata.get("price")
    if isinstance(before, float) and isinstance(now, float) and before > now and "sale_price" not in metadata:
        metadata["price"], metadata["sale_price"] = before, now
    if currency:
        metadata.setdefault("currency", currency)


def _typed(column: str) -> str:
    """The typed field that a column holds, or ""."""
    name = canonical(column)
    return "price" if _PRICE_IN.fullmatch(name) else _TYPED.get(name, "")


def _flat(cells: Mapping[str, Any], *, nested: bool = False) -> dict[str, str | float]:
    """Cells as text or numbers, empty ones left out. Objects are opened one level deep ("attributes": {"Fabric": …})."""
    flat: dict[str, str | float] = {}
    inner: dict[str, str | float] = {}
    for name, value in cells.items():
        if isinstance(value, Mapping):
            inner |= {} if nested else _flat(value, nested=True)
            continue
        cell = float(value) if _is_price(name, value) else _text(value)
        if str(cell).lower() not in _NOTHING and name.strip():
            flat[name.strip()] = cell
    taken = {canonical(name) for name in flat}
    return flat | {name: cell for name, cell in inner.items() if canonical(name) not in taken}


def _is_price(name: str, value: object) -> bool:
    """A price that came as a number is one, whatever its digits."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return is_number and _typed(name) in _PRICES


def _text(value: object) -> str:
    if isinstance(value, str):
        value = value.replace("\0", "").strip(_BLANKS)
        as_text = re.fullmatch(r'="([^"]*)"', value)  # how a CSV keeps Excel from making a number of "00012"
        return as_text[1] if as_text else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, list):
        return ", ".join(text for item in value if (text := _text(item)))
    return ""


def _number(value: float) -> str:
    """Excel knows no whole numbers: 10001.0 in a column of ids is 10001."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def _plain(text: str) -> str:
    """The text of HTML."""
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())
