"""`weft eval search`, `feedback`, `fashioniq`: results against judgements, against what shoppers did, and against FashionIQ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from infra.settings import Settings
from models.yardsticks import fashioniq as fiq
from models.yardsticks import judgements
from models.yardsticks.judgements import Figure, Judged
from processors.errors import Poison
from processors.identity import checked_shop
from processors.values import Vector
from streams.cli.app import DataDir, OfShop, client_settings, run
from streams.cli.evaluate import JsonOption, LimitOption, eval_app
from streams.cli.exits import Exit
from streams.cli.output import print_json, print_table, rows_table, say
from streams.cli.progress import progress
from streams.contract import codecs, topics
from streams.contract.records import ImageRef, Query
from streams.kafka.client import Client, Reader, new_query_id

PRODUCT = "product:"
"""Before the id, in the column `query`, of a query that starts from a product."""


@eval_app.command("search")
def search(
    judged: Annotated[
        Path,
        typer.Option("--judgements", help="CSV, TSV or JSON lines: query (a text, or product:ID), product, grade."),
    ],
    k: Annotated[int, typer.Option(min=1, max=1000, help="As far as results are looked at.")] = 10,
    limit: LimitOption = 0,
    shop: OfShop = None,
    data_dir: DataDir = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the stack that is up what people judged: nDCG, MRR and recall, with intervals."""
    wanted = judgements.read(judged)
    wanted = wanted[:limit] if limit else wanted
    shown, failed = run(_asked(client_settings(data_dir), wanted, k, checked_shop(shop, "--shop") or None))
    found = judgements.report(wanted, shown, k, failed)
    if as_json:
        print_json(found)
    else:
        figures = ((f"nDCG@{k}", found.ndcg), ("MRR", found.mrr), (f"recall@{k}", found.recall))
        print_table(rows_table((f"{found.queries} queries", "value", "95 %"), [(n, *_shown(f)) for n, f in figures]))
        say(f"{found.judged:.2f} of what was shown is judged; the rest counts as wrong")
    for query, cause in list(failed.items())[:10]:
        say(f"no result for {query!r}: {cause}")
    if failed:
        raise typer.Exit(Exit.REJECTED)


@eval_app.command("feedback")
def feedback(data_dir: DataDir = None, as_json: JsonOption = False) -> None:
    """Join search.feedback with search.results, as far as both are kept: what shoppers did, by arm."""
    results, did, unreadable = run(_joined(client_settings(data_dir)))
    found = judgements.arms(results, did)
    if as_json:
        for arm in found:
            print_json(arm)
    else:
        rows = [
            (
                one.arm or "(none)",
                str(one.results),
                *(
                    f"{f.value:.3f} ({f.interval[0]:.3f} to {f.interval[1]:.3f})"
                    for f in (one.click, one.basket, one.buy, one.returned)
                ),
                "" if one.click_rank is None else f"{one.click_rank:.1f}",
            )
            for one in found
        ]
        print_table(rows_table(("arm", "results", "click", "basket", "buy", "return", "rank of clicks"), rows))
    if unreadable:
        say(f"{unreadable} records of search.feedback cannot be read")
        raise typer.Exit(Exit.REJECTED)


@eval_app.command("fashioniq")
def fashioniq(
    data: Annotated[Path, typer.Option(help="Folder of cap.CATEGORY.val.json and split.CATEGORY.val.json, also .gz.")],
    features: Annotated[Path, typer.Option(help="npz with `ids` and `vectors`: of every photo of the galleries.")],
    queries: Annotated[
        Path | None,
        typer.Option(help="npz with `dress`, `shirt`, `toptee`: a vector a query; without, the photo alone."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Recall@10 and @50 on FashionIQ's validation split, in both galleries, the reference kept."""
    categories = fiq.read(data)
    asked = None if queries is None else {name: list(array) for name, array in _arrays(queries).items()}
    found = fiq.recalls(categories, _features(features), asked)
    if as_json:
        print_json(found)
        return
    rows = [
        (one.category, one.gallery, str(one.photos), str(one.queries), *(f"{one.at[k]:.4f}" for k in fiq.KS))
        for one in found
    ]
    print_table(rows_table(("category", "gallery", "photos", "queries", *(f"R@{k}" for k in fiq.KS)), rows))


def _shown(figure: Figure) -> tuple[str, str]:
    return f"{figure.value:.3f}", f"{figure.interval[0]:.3f} to {figure.interval[1]:.3f}"


def _arrays(path: Path) -> dict[str, Vector]:
    try:
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError) as error:
        raise Poison(f"{path} is no npz file: {error}") from error


def _features(path: Path) -> dict[str, Vector]:
    arrays = _arrays(path)
    if not {"ids", "vectors"} <= arrays.keys() or len(arrays["ids"]) != len(arrays["vectors"]):
        raise Poison(f"{path} needs `ids` and `vectors`, as many of the one as of the other")
    return {str(name): vector for name, vector in zip(arrays["ids"], arrays["vectors"], strict=True)}


async def _asked(
    settings: Settings, wanted: Sequence[Judged], k: int, shop: str | None
) -> tuple[dict[str, list[str]], dict[str, str]]:
    shown: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    async with Client(settings) as client:
        with progress("queries", len(wanted)) as tick:
            for one in wanted:
                product = one.query.removeprefix(PRODUCT) if one.query.startswith(PRODUCT) else None
                query = Query(
                    query_id=new_query_id(),
                    image=None if product is None else ImageRef(product_id=product),
                    text=one.query if product is None else None,
                    top_k=k,
                    deadline_ms=10_000,
                    collapse=False,
                    shop=shop,
                )
                result = await client.query(query)
                if result.error is None:
                    shown[one.query] = [hit.product_id for hit in result.hits]
                else:
                    failed[one.query] = f"{result.error.code}: {result.error.message}"
                tick(1)
    return shown, failed


async def _joined(settings: Settings) -> tuple[dict[str, str], list[tuple[str, str, int | None]], int]:
    results: dict[str, str] = {}
    ranks: dict[str, dict[str, int]] = {}
    async with Reader(settings, topics.RESULTS) as reader:
        async for raw in reader.to_end():
            if raw.value is None:
                continue
            try:
                result = codecs.decode_result(raw.value)
            except Poison:
                continue
            if result.error is None:
                results.setdefault(result.query_id, result.arm)
                ranks.setdefault(result.query_id, {h.product_id: n for n, h in enumerate(result.hits, start=1)})
    did: list[tuple[str, str, int | None]] = []
    unreadable = 0
    async with Reader(settings, topics.FEEDBACK) as reader:
        async for raw in reader.to_end():
            try:
                one = codecs.decode_feedback(raw)
            except Poison:
                unreadable += 1
                continue
            rank = ranks.get(one.query_id, {}).get(one.product_id) if one.rank is None else one.rank
            did.append((one.query_id, one.action, rank))
    return results, did, unreadable
