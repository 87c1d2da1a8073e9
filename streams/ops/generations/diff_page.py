"""The page of `weft index diff --html`: for each sampled product its neighbours before and after, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from infra.store import NotFound, ObjectStore
from models.yardsticks.page_parts import small
from processors.decode import DecodeLimits, decode
from processors.errors import Poison
from streams.ops.generations.diff import Asked, Diff

QUERIES_SHOWN = 30
SIDE = 112
_CSS = """body{font:14px/1.4 system-ui,sans-serif;margin:24px;color:#222;background:#f6f5f2}
table{border-collapse:collapse;margin:0 0 24px}td,th{padding:4px 12px;text-align:left;border-bottom:1px solid #ddd}
section{background:#fff;border-radius:8px;padding:12px 16px;margin:0 0 16px}
.row{display:flex;gap:8px;align-items:flex-start;margin:8px 0;overflow-x:auto}.row b{width:64px;flex:none}
figure{margin:0;width:112px;flex:none}img{width:112px;height:112px;object-fit:contain;background:#eceae5}
figcaption{font-size:11px;overflow-wrap:anywhere}.alone img{outline:3px solid #d35400}"""


def write(path: Path, found: Diff, asked: Sequence[Asked], store: ObjectStore) -> None:
    """Write the page: whole in itself, with those queries first of which the answers differ most. Blocking."""
    worst = sorted(asked, key=lambda one: (one.overlap, one.product_id))[:QUERIES_SHOWN]
    pictures: dict[str, str] = {}
    for one in worst:
        for _, image in (*one.before, *one.after):
            if image not in pictures:
                pictures[image] = _thumbnail(store, image)
    path.write_text(page(found, worst, pictures), encoding="utf-8")


def page(found: Diff, asked: Sequence[Asked], pictures: dict[str, str]) -> str:
    """The HTML. `pictures`: address → `data:` URI, "" where there is none."""
    sides = "".join(
        f"<tr><th>{escape(side.generation)}</th><td>{side.live}</td><td>{only}</td><td><code>{side.digest}</code></td>"
        f"<td>{escape(side.items)}</td><td>{escape(side.encoder)}</td></tr>"
        for side, only in ((found.live, found.only_in_live_count), (found.other, found.only_in_other_count))
    )
    sections = "".join(_section(one, found, pictures) for one in asked)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(found.live.generation)} and "
        f"{escape(found.other.generation)}</title><style>{_CSS}</style>"
        f"<h1>{escape(found.live.generation)} → {escape(found.other.generation)}</h1>"
        f"<p>{found.queries} queries: overlap@10 {found.overlap_at_10}, rank correlation {found.rank_correlation}</p>"
        "<table><tr><th>generation</th><th>products</th><th>only there</th><th>digest</th><th>items</th><th>encoder</th></tr>"
        f"{sides}</table>{sections}</html>\n"
    )


def _section(one: Asked, found: Diff, pictures: dict[str, str]) -> str:
    before, after = {key for key, _ in one.before}, {key for key, _ in one.after}
    rows = (
        (found.live.generation, one.before, after),
        (found.other.generation, one.after, before),
    )
    lines = "".join(
        f"<div class=row><b>{escape(name)}</b>{''.join(_figure(key, pictures.get(image, ''), key in there) for key, image in hits)}</div>"
        for name, hits, there in rows
    )
    return f"<section><h2>{escape(one.product_id)}</h2><p>overlap {one.overlap:.2f}</p>{lines}</section>"


def _figure(product_id: str, picture: str, in_both: bool) -> str:
    image = f'<img alt="" src="{picture}">' if picture else '<img alt="no picture">'
    return f"<figure{'' if in_both else ' class=alone'}>{image}<figcaption>{escape(product_id)}</figcaption></figure>"


def _thumbnail(store: ObjectStore, image: str) -> str:
    """A small JPEG as a `data:` URI; "" where the photo is not in the store, or is none."""
    key = store.key_of(image)
    if key is None:
        return ""
    try:
        pixels = decode(store.get(key), DecodeLimits(), max_side=2 * SIDE).pixels
    except (NotFound, Poison):
        return ""
    return small(pixels, 2 * SIDE)[0]
