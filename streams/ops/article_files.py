"""Articles from a folder: Markdown, HTML, plain text and PDF, with front matter and the pictures beside them.

What an article applies to stands in its front matter (YAML between two lines `---`), in a file of its name that ends in `.yaml`, or
in `<meta name="product" content="…">` of HTML; else it is what the command says for all.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import yaml

from infra.fetch import read_regular
from infra.store import ObjectStore
from processors.errors import Code, Poison
from streams.contract.articles import MAX_IMAGES, decode_article
from streams.contract.records import Article
from streams.engine.message import Message
from streams.ops.ingest import read_photo
from streams.ops.pdf_text import text_of

SUFFIXES = (".md", ".markdown", ".html", ".htm", ".txt", ".pdf")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
MAX_BYTES = 20 * 2**20
FIELDS = ("id", "product", "brand", "collection", "applies_to", "title", "kind", "version", "locale", "shop")

_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.DOTALL | re.MULTILINE)
_PICTURE = re.compile(r"!\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\])")
_MARKS = re.compile(r"(\*\*|__|\*|_|`)(?=\S)(.+?)(?<=\S)\1")
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^>]*>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Given:
    """What the command says for every file that does not say it itself."""

    product: str | None = None
    brand: str | None = None
    collection: str | None = None
    shop: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is no article, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file as an article, with the pictures that are to be stored for it."""

    path: Path
    article: Article
    pictures: tuple[Path, ...] = ()


@dataclass(slots=True)
class _Read:
    text: str
    said: dict[str, Any] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)


def articles_in(folder: Path, given: Given) -> Iterator[Loaded | Refused]:
    """Every article of a folder and of those in it, in the order of their names. Blocking.

    Raises:
        Poison: there is no such folder.
    """
    if not folder.is_dir():
        raise Poison(f"{folder} is no folder", field="folder", code=Code.NOT_FOUND)
    seen: dict[str, Path] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            loaded = load(path, folder, given)
        except Poison as error:
            yield Refused(path, f"{error.field}: {error.message}" if error.field else error.message)
            continue
        if (other := seen.setdefault(loaded.article.id, path)) != path:
            yield Refused(path, f"id: {loaded.article.id!r} is that of {other.name} as well")
            continue
        yield loaded


def load(path: Path, folder: Path, given: Given) -> Loaded:
    """One file. Raises `Poison`, which names the field."""
    _check_within(path, folder)
    data = read_regular(path, MAX_BYTES, field="file")
    suffix = path.suffix.lower()
    if suffix == ".pdf":
        text, title = text_of(path)
        read = _Read(text, {"title": title} if title else {})
    else:
        text = _decoded(data)
        read = _of_html(text) if suffix in (".html", ".htm") else _of_markdown(text, plain=suffix == ".txt")
    beside = path.with_suffix(".yaml")
    if beside.is_file():
        _check_within(beside, folder)
        read.said |= _fields(_decoded(read_regular(beside, 2**16, field="file")))
    pictures = _pictures(path, folder, read.pictures)
    article = _article(read, path.relative_to(folder).with_suffix("").as_posix(), given, pictures)
    return Loaded(path, article, pictures)


def stored(loaded: Loaded, store: ObjectStore, max_bytes: int) -> Article:
    """The article with its pictures in the store, under the addresses that it then has. Blocking.

    Raises:
        Poison: a picture that is none; names it.
        Retryable: the store is away.
    """
    addresses = []
    for picture in loaded.pictures:
        try:
            data, kind = read_photo(picture, max_bytes)
        except Poison as error:
            raise Poison(f"{picture.name}: {error.message}", field="images", code=error.code) from None
        addresses.append(store.address(store.put_content(data, suffix=f".{kind}", prefix="images")))
    if not addresses:
        return loaded.article
    return msgspec.structs.replace(loaded.article, images=tuple(dict.fromkeys(addresses)))


def _check_within(path: Path, folder: Path) -> None:
    """A folder that somebody sent may hold a link to any file of this machine, which captions would then quote."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Poison(f"{path.name} is a link that leads out of the folder", field="file", code=Code.FOLDER_NOT_ALLOWED)


def _article(read: _Read, name: str, given: Given, pictures: Sequence[Path]) -> Article:
    said = dict(read.said)
    about = said.pop("applies_to", None) or {}
    if not isinstance(about, dict):
        raise Poison("expected product, brand or collection", field="applies_to", code=Code.WRONG_TYPE)
    about = {**about, **{key: said.pop(key) for key in ("product", "brand", "collection") if key in said}}
    if not about:
        chosen = {"product": given.product, "brand": given.brand, "collection": given.collection}
        about = {key: value for key, value in chosen.items() if value is not None}
    about = {key: _word(value) for key, value in about.items()}
    made: dict[str, object] = {"id": name, "text": read.text, "applies_to": about, "shop": given.shop}
    made["images"] = [picture.name for picture in pictures]  # what they show is enough to be about
    made |= {key: _word(value) for key, value in said.items()}
    article = decode_article(Message("", 0, 0, None, msgspec.json.encode(made)))
    if article is None:
        raise Poison("is empty", field="text", code=Code.OUT_OF_RANGE)
    return msgspec.structs.replace(article, images=None)  # they have addresses once they are `stored`


def _word(value: Any) -> Any:
    """YAML reads `product: 1234` as a number, and a date as one: ids and versions are words."""
    return value if value is None or isinstance(value, str) else str(value)


def _fields(text: str) -> dict[str, Any]:
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise Poison("aliases are not read", field="front matter", code=Code.INVALID)
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise Poison(f"is no YAML: {str(error)[:200]}", field="front matter", code=Code.MALFORMED) from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Poison("expected fields", field="front matter", code=Code.WRONG_TYPE)
    # A site's own front matter (date, author, layout) stays its own.
    return {name: value for name, value in found.items() if name in FIELDS and value is not None}


def _decoded(data: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise Poison(
                    f"is not {encoding.removesuffix('-sig').upper()}", field="file", code=Code.MALFORMED
                ) from error
    raise AssertionError("the last mark is empty")


def _of_markdown(text: str, *, plain: bool) -> _Read:
    front = _FRONT.match(text)
    said = _fields(front.group(1) or "") if front else {}
    text = text[front.end() :] if front else text
    if plain:
        return _Read(text, said)
    text = _FENCE.sub("", text)
    pictures = _PICTURE.findall(text)
    text = _LINK.sub(r"\1", _PICTURE.sub("", text))
    for _ in range(3):  # bold within italics
        text = _MARKS.sub(r"\2", text)
    heading = re.search(r"^#\s+(.+?)\s*#*\s*$", text, re.MULTILINE)
    if heading and "title" not in said:
        said["title"] = heading.group(1)[:500]
        text = text[: heading.start()] + text[heading.end() :]  # it is no sentence that a caption could state
    text = re.sub(r"^(#{1,6})\s+(.+?)\s*#*\s*$", r"\n\2\n", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*>\s?", "", text, flags=re.MULTILINE)
    return _Read(html.unescape(_TAG.sub(" ", text)), said, pictures)


def _of_html(text: str) -> _Read:
    reader = _Html()
    reader.feed(text)
    reader.close()
    said = {name: value for name, value in reader.meta.items() if name in FIELDS}
    if reader.title.strip() and "title" not in said:
        said["title"] = " ".join(reader.title.split())[:500]
    return _Read("".join(reader.parts), said, reader.pictures)


class _Html(HTMLParser):
    """The text that a reader of a page sees, paragraphs apart."""

    _UNSEEN = frozenset(
        ("script", "style", "noscript", "template", "nav", "header", "footer", "form", "svg", "iframe", "head")
    )
    _BLOCKS = frozenset(
        (
            "p",
            "div",
            "br",
            "li",
            "ul",
            "ol",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "tr",
            "section",
            "article",
            "blockquote",
            "dd",
            "dt",
            "figcaption",
        )
    )
    _VOID = frozenset(
        ("br", "img", "meta", "link", "hr", "input", "source", "wbr", "area", "base", "col", "embed", "track")
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.meta: dict[str, str] = {}
        self.pictures: list[str] = []
        self.title = ""
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "meta" and given.get("name"):
            self.meta[given["name"].removeprefix("weft:")] = given.get("content", "")
        if tag == "img" and given.get("src") and not self._unseen():
            self.pictures.append(given["src"])
        if tag in self._BLOCKS:
            self.parts.append("\n\n")
        if tag not in self._VOID:
            style = given.get("style", "").replace(" ", "").lower()
            hides = tag in self._UNSEEN or "hidden" in given or "display:none" in style or "visibility:hidden" in style
            self._open.append((tag, hides))

    def handle_endtag(self, tag: str) -> None:
        if tag in self._BLOCKS:
            self.parts.append("\n\n")
        if any(name == tag for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "title":
            self.title += data
        elif not self._unseen():
            self.parts.append(" ".join(data.split("\n")) if data.strip() else " ")

    def _unseen(self) -> bool:
        return any(hides for _, hides in self._open)


def _pictures(path: Path, folder: Path, named: list[str]) -> tuple[Path, ...]:
    """Those that the text names, those of its name (`story.jpg`, `story-2.jpg`) and those in a folder of its name; within `folder` only."""
    found = [path.parent / name.split("?")[0] for name in named if "://" not in name and not name.startswith("data:")]
    found += sorted(
        one
        for one in path.parent.iterdir()
        if one.suffix.lower() in PICTURES and re.fullmatch(rf"{re.escape(path.stem)}(?:[-_]\d+)?", one.stem)
    )
    own = path.with_suffix("")
    found += sorted(one for one in own.iterdir() if one.suffix.lower() in PICTURES) if own.is_dir() else []
    root = folder.resolve()
    kept: dict[Path, None] = {}
    for one in found:
        place = one.resolve()
        if place.is_relative_to(root) and place.is_file() and place.suffix.lower() in PICTURES:
            kept[place] = None
    return tuple(kept)[:MAX_IMAGES]
