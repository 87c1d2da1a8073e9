"""`catalog.articles`, from bytes to a checked record: a brand's own texts, and what of the catalogue each is about."""

from __future__ import annotations

import msgspec

from processors.errors import Code, Poison
from processors.identity import checked_shop, key_of, split
from streams.contract import codecs
from streams.contract.checks import check_id
from streams.contract.cloudevents import unwrapped
from streams.contract.records import ARTICLE_KINDS, Article, Caption
from streams.engine.message import Message

MAX_TEXT = 100_000
"""Characters of an article."""
MAX_TITLE, MAX_WORD, MAX_LOCALE = 500, 128, 35
MAX_IMAGES, MAX_ADDRESS = 64, 4096

_ARTICLE = msgspec.json.Decoder(Article)


def decode_article(message: Message) -> Article | None:
    """A checked article; None is the deletion of the one in the key (`article_key`).

    Raises:
        Poison: it is none, or goes by another key than its id; names the field.
    """
    message = unwrapped(message)
    key = article_key(message)
    if not message.value:
        if not key:
            raise Poison(
                "a null value deletes the article of the key, and there is none", field="key", code=Code.WRONG_KEY
            )
        return None
    article = codecs.decode_given(_ARTICLE, message.value, Article)
    check_id(article.id, "id")
    shop = checked_shop(article.shop)
    if key and key not in {article.id, key_of(shop, article.id)}:
        # Compaction goes by the key: under another one a later version would not replace it.
        raise Poison("differs from the record's key", field="id", code=Code.WRONG_KEY)
    _check(article)
    return article


def article_key(message: Message) -> str:
    """The key as text. Raises `Poison` where it is none."""
    try:
        return (message.key or b"").decode()
    except UnicodeDecodeError as error:
        raise Poison("is not UTF-8", field="key", code=Code.WRONG_KEY) from error


def id_in(key: str) -> str:
    """The article's id in a record's key."""
    return split(key)[1]


def without_context(caption: Caption) -> str:
    """The text of a caption without what articles say in it: what its memo holds."""
    text, uses = caption.caption, caption.context if isinstance(caption.context, tuple) else ()
    for span in sorted((span for use in uses for span in use.spans), key=lambda one: -one.start):
        text = text[: max(0, span.start - 1)] + text[span.end :]
    return text


def _check(article: Article) -> None:
    _check_targets(article)
    if not article.text.strip():
        raise Poison("is empty", field="text", code=Code.OUT_OF_RANGE)
    for name, text, most in (
        ("text", article.text, MAX_TEXT),
        ("title", article.title or "", MAX_TITLE),
        ("locale", article.locale or "", MAX_LOCALE),
        ("version", str(article.version or ""), MAX_WORD),
    ):
        if len(text) > most:
            raise Poison(f"is longer than {most} characters", field=name, code=Code.OUT_OF_RANGE)
    if article.kind is not None and article.kind not in ARTICLE_KINDS:
        raise Poison(
            f"{article.kind[:50]!r} is none of {', '.join(ARTICLE_KINDS)}", field="kind", code=Code.UNKNOWN_NAME
        )
    images = article.images or ()
    if len(images) > MAX_IMAGES:
        raise Poison(f"there are {len(images)}, more than {MAX_IMAGES}", field="images", code=Code.OUT_OF_RANGE)
    for number, image in enumerate(images):
        if not 0 < len(image.encode()) <= MAX_ADDRESS:
            raise Poison(
                f"is empty or longer than {MAX_ADDRESS} bytes", field=f"images[{number}]", code=Code.OUT_OF_RANGE
            )


def _check_targets(article: Article) -> None:
    about = article.applies_to
    given = {"product": about.product, "brand": about.brand, "collection": about.collection}
    if all(value is None for value in given.values()) and not article.images:
        raise Poison(
            "names no product, no brand and no collection, and the article has no picture that could show a product",
            field="applies_to",
            code=Code.MISSING_FIELD,
        )
    for name, value in given.items():
        if value is None:
            continue
        if not value.strip():
            raise Poison("is empty", field=f"applies_to.{name}", code=Code.OUT_OF_RANGE)
        if name == "product":
            check_id(value, "applies_to.product")
        elif len(value) > MAX_WORD:
            raise Poison(f"is longer than {MAX_WORD} characters", field=f"applies_to.{name}", code=Code.OUT_OF_RANGE)
