"""`weft eval context`: planted facts of articles in captions: used, cited, and gone with their articles; with other choices of chunks beside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from infra.logs import configure
from infra.settings import Settings
from models.yardsticks.captions import Product
from models.yardsticks.context import ContextReport, Planted, Variant, planted, rightly_told
from models.yardsticks.photos import UnreadableInput
from models.yardsticks.references import cider
from processors.context.grounding import stands_in, ungrounded
from processors.drawn import catalogue
from processors.values import CaptionText
from streams.cli.evaluate import JsonOption, ProfileOption, chosen_settings, eval_app
from streams.cli.evaluate_pictures import check_marks, looked_for, show_pictures, write_figures
from streams.cli.output import print_json, print_table, rows_table
from streams.cli.progress import progress
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Caption, Item
from streams.engine.inline import run_inline
from streams.engine.message import Message
from streams.ops.caption_trial import Trial
from streams.roles.caption.context import Context
from streams.roles.caption.role import Captioner
from streams.roles.context.articles import Articles
from streams.roles.outcome import Unchanged

SIDE = 224


@eval_app.command("context")
def context(
    products: Annotated[
        int, typer.Option(help="Drawn products, each with an article around one planted fact; 0: none.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Of products and articles.")] = 29,
    by_rule: Annotated[
        bool,
        typer.Option("--by-rule", help="Texts by rule: what articles add is the same, and no language model runs."),
    ] = False,
    pictures: Annotated[
        int,
        typer.Option(
            min=0, help="Photos that are looked for among their changed selves, 10 s of a core each; 0: none."
        ),
    ] = 0,
    photos: Annotated[
        Path | None, typer.Option(help="Folder, or zip, of these photos; without it they are of drawn products.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="A Markdown file with marks: the figures are written between them.")
    ] = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Facts that were planted in articles: stated, cited rightly, gone with the article; by other choices of chunks; and photos found by pictures."""
    chosen = chosen_settings(profile)
    configure(chosen.log_level, chosen.log_format)
    if write is not None:
        check_marks(write, facts=bool(products), pictures=bool(pictures), photos=photos)
    found = asyncio.run(_run(chosen, products, seed, by_rule=by_rule)) if products else None
    seen = looked_for(chosen, pictures, photos, seed) if pictures else None
    if write is not None:
        write_figures(write, found, seen, photos, by_rule=by_rule)
    if found is None:
        if as_json and seen is not None:
            print_json(seen)
        elif seen is not None:
            show_pictures(seen)
        return
    found = msgspec.structs.replace(found, pictures=seen)
    if as_json:
        print_json(found)
        return
    rows: list[Sequence[object]] = [
        (name, f"{getattr(found, name):.3f}") for name in ("used", "cited", "gone", "sentences")
    ]
    rows += [(name, getattr(found, name)) for name in ("ungrounded", "quoted_orders")]
    print_table(rows_table((f"{found.products} products", ""), rows))
    variants = [(n, f"{v.used:.3f}", f"{v.chunks:.1f}", f"{v.milliseconds:.1f}") for n, v in found.variants.items()]
    print_table(rows_table(("chunks", "used", "chunks drawn on", "ms a caption"), variants))
    if seen is not None:
        show_pictures(seen)


async def _run(settings: Settings, count: int, seed: int, *, by_rule: bool) -> ContextReport:
    from streams.wiring.yardsticks import caption_trial

    articles = Articles()
    async with caption_trial(settings, articles=articles) as served:
        if served.captioner is None:
            raise ValueError("this trial has no captioner")
        trial = replace(served, captioner=replace(served.captioner, by_rule=by_rule))
        items = await drawn_items(trial, count, seed)
        plain = await captions_of(trial.captioner, items)
        stories = planted([(item.product_id, _noun(item)) for item in items], seed)
        for number, one in enumerate(stories):
            value = {"id": f"story-{number}", "text": one.text, "applies_to": {"product": one.product}}
            articles.apply(_record(number, f"story-{number}", msgspec.json.encode(value)))
        told = await captions_of(trial.captioner, items)
        variants = await asyncio.to_thread(_variants, trial, items, plain, stories)
        for number in range(len(stories)):
            articles.apply(_record(len(stories) + number, f"story-{number}", None))
        after = await captions_of(trial.captioner, items)
        scores = await asyncio.to_thread(_clip_scores, settings, items, plain, told)
    return _report(plain, told, after, stories, variants, scores)


async def drawn_items(trial: Trial, count: int, seed: int) -> list[Item]:
    """Drawn products as `enrich` sees them; also for benchmarks."""
    import numpy as np

    drawn = list(catalogue(seed, count, size=SIDE))
    pixels = {f"{one.product_id}.png": np.asarray(one.pixels) for one in drawn}
    listed = [
        Product(one.product_id, f"{one.product_id}.png", "", {}, frozenset(), dict(one.metadata)) for one in drawn
    ]
    refused: list[UnreadableInput] = []
    with progress("enriching", count) as tick:
        found = await trial.enriched(listed, _Drawn(pixels), refused, tick, metadata=True)  # type: ignore[arg-type]
    return [item for _, item in found]


class _Drawn:
    """Drawn photos where `Photos` would read files."""

    def __init__(self, pixels: dict[str, object]) -> None:
        self._pixels = pixels

    def bytes_of(self, name: str) -> bytes:
        """As a PNG."""
        import cv2

        done, data = cv2.imencode(".png", self._pixels[name][:, :, ::-1])  # type: ignore[index]
        if not done:
            raise ValueError(name)
        return data.tobytes()


async def captions_of(captioner: Captioner | None, items: Sequence[Item]) -> list[Caption]:
    """What the role `caption` publishes for items, in their order. Raises what one of them ended in."""
    assert captioner is not None
    messages = [Message(topics.ITEMS, 0, n, item.product_id.encode(), encode(item)) for n, item in enumerate(items)]
    found = await run_inline(captioner.stages(), messages, lambda _done: None)
    records = [one.record if isinstance(one, Unchanged) else one for one in found]
    bad = next((one for one in records if not isinstance(one, Caption)), None)
    if bad is not None:
        raise bad if isinstance(bad, Exception) else TypeError(f"no caption: {bad!r}")
    return [one for one in records if isinstance(one, Caption)]


def _variants(
    trial: Trial, items: Sequence[Item], plain: Sequence[Caption], stories: Sequence[Planted]
) -> dict[str, Variant]:
    assert trial.captioner is not None
    assert trial.captioner.context is not None
    given = trial.captioner.context
    written: tuple[tuple[str, dict[str, Any]], ...] = (
        (
            ("written by the model", {"written": True}),
            ("written, prompt without its ratio", {"written": True, "ratio": False}),
        )
        if given.writes
        else ()
    )
    return {
        name: _variant(given.choosing(**how), items, plain, stories)
        for name, how in (
            *written,
            ("as served", {}),
            ("3 chunks", {"keep": 3}),
            ("7 chunks", {"keep": 7}),
            ("without first and last", {"ends": False}),
            ("by likeness alone", {"telling": False}),
            ("in the order of the text", {"ranked": False, "telling": False}),
        )
    }


def _variant(context: Context, items: Sequence[Item], plain: Sequence[Caption], stories: Sequence[Planted]) -> Variant:
    used, chunks, written, turned = 0, 0, 0, 0
    began = time.process_time()
    for item, caption, story in zip(items, plain, stories, strict=True):
        text = _text(caption)
        added = context.add(context.of(item), text, caption.evidence)
        used += _states(added.text.caption, story)
        own = bool(added.uses) and story.fact not in added.text.caption and added.told.written
        written += own
        turned += own and not rightly_told(added.told.facts[0].said, story)
        chunks += added.drawn
    spent = time.process_time() - began
    count = max(1, len(items))
    return Variant(used / count, chunks / count, round(1000 * spent / count, 2), written / count, turned)


def _text(caption: Caption) -> CaptionText:
    return CaptionText(caption.caption, caption.hashtags, caption.spans, caption.coverage, caption.writer)


def _report(
    plain: Sequence[Caption],
    told: Sequence[Caption],
    after: Sequence[Caption],
    stories: Sequence[Planted],
    variants: dict[str, Variant],
    scores: dict[str, float],
) -> ContextReport:
    count = max(1, len(stories))
    citing = [(one, story) for one, story in zip(told, stories, strict=True) if isinstance(one.context, tuple)]
    right = sum(_cited(one, number) for number, one in enumerate(told) if isinstance(one.context, tuple))
    return ContextReport(
        products=len(stories),
        sentences=sum(story.text.count(". ") + 1 for story in stories) / count,
        used=sum(_states(one.caption, story) for one, story in zip(told, stories, strict=True)) / count,
        cited=right / max(1, len(citing)),
        ungrounded=sum(bool(ungrounded(_added(one), [story.text])) for one, story in citing),
        quoted_orders=sum("gnore all" in one.caption or "% off" in one.caption for one in told),
        gone=sum(encode(one) == encode(other) for one, other in zip(plain, after, strict=True)) / count,
        variants=variants,
        clip_score=scores,
        cider={
            name: round(cider([one.caption for one in captions], [[story.fact] for story in stories]), 4)
            for name, captions in (("without", plain), ("with", told))
        },
    )


def _clip_scores(
    settings: Settings, items: Sequence[Item], plain: Sequence[Caption], told: Sequence[Caption]
) -> dict[str, float]:
    """2.5 times the likeness of photo and caption, as Hessel et al. (2021) have it; by the profile's own encoder."""
    import numpy as np

    from streams.wiring.yardsticks import models_of

    texts = models_of(settings).text_encoder
    photos = [np.frombuffer(next(view.vector for view in item.views if view.id == "whole"), "<f4") for item in items]

    def score(captions: Sequence[Caption]) -> float:
        words = [one.caption[:1000] for one in captions]
        found = [
            texts.finish(word, raw)
            for at in range(0, len(words), 16)
            for word, raw in zip(
                words[at : at + 16], texts.forward([texts.prepare(w) for w in words[at : at + 16]]), strict=True
            )
        ]
        return round(sum(2.5 * max(0.0, float(p @ t)) for p, t in zip(photos, found, strict=True)) / len(photos), 4)

    return {"without": score(plain), "with": score(told)}


def _states(caption: str, story: Planted) -> bool:
    return all(stands_in(word, caption) for word in story.words)


def _added(caption: Caption) -> str:
    uses = caption.context if isinstance(caption.context, tuple) else ()
    return " ".join(caption.caption[span.start : span.end] for use in uses for span in use.spans)


def _cited(caption: Caption, number: int) -> bool:
    uses = caption.context if isinstance(caption.context, tuple) else ()
    return all(
        use.article == f"story-{number}"
        and not ungrounded(" ".join(caption.caption[span.start : span.end] for span in use.spans), [use.text])
        for use in uses
    )


def _noun(item: Item) -> str:
    return item.garments[0].category if item.garments else "piece"


def _record(offset: int, name: str, value: bytes | None) -> Message:
    return Message(topics.ARTICLES, 0, offset, name.encode(), value, (), offset)
