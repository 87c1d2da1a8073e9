"""`weft caption`: what a brand kit would make of a product."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from infra.logs import configure
from infra.stores import open_store
from processors.errors import Poison
from processors.identity import checked_shop
from processors.kit import Kit
from streams.cli.app import AsJson, DataDir, OfShop, app, client_settings
from streams.cli.evaluate import ProfileOption, chosen_settings
from streams.cli.exits import Exit
from streams.cli.output import out, print_json, say, shown
from streams.contract.records import Caption
from streams.ops.caption_explain import Explanation

caption_app = typer.Typer(help="Brand kits: what one would make of a product.", no_args_is_help=True)
app.add_typer(caption_app, name="caption")

SAMPLES = 10


@caption_app.callback()
def caption() -> None:
    """Brand kits: what one would make of a product."""


@caption_app.command("preview")
def preview(
    kit: Annotated[Path, typer.Option("--kit", help="The brand kit: a YAML file (docs/kits.md).")],
    image: Annotated[Path | None, typer.Option("--image", help="A photo; no broker is needed.")] = None,
    product: Annotated[str | None, typer.Option("--product", help="A product of the running stack.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", help="With --image: what the shop says, name=value; repeatable.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=100, help="So many samples.")] = SAMPLES,
    by_rule: Annotated[bool, typer.Option("--by-rule", help="Without the language model: at once.")] = False,
    shop: OfShop = None,
    profile: ProfileOption = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show samples of what a kit makes of one product, in the shape of `catalog.captions`; nothing is published."""
    from streams.roles.caption.kits import KitProblem, read

    if (image is None) == (product is None):
        say("say of what: --image, or --product")
        raise typer.Exit(Exit.USAGE)
    told = dict(pair.partition("=")[::2] for pair in metadata or ())
    if not all(name and value for name, value in told.items()) or (told and image is None):
        say("--metadata goes with --image, and is name=value: --metadata fabric=linen")
        raise typer.Exit(Exit.USAGE)
    try:
        wanted = read(kit)
    except KitProblem as error:
        say(f"{kit}, {error}")
        raise typer.Exit(Exit.USAGE) from error
    chosen = chosen_settings(profile)
    configure(chosen.log_level, chosen.log_format)  # what the role logs must not stand among the JSON lines
    found = asyncio.run(
        _preview(wanted, image, product, told, count, by_rule, checked_shop(shop, "--shop"), profile, data_dir)
    )
    for one in found:
        if as_json:
            print_json(one)
        else:
            _print(one)
    if (texts := len({one.caption for one in found})) < len(found):
        say(f"{texts} of the {len(found)} captions differ")


async def _preview(
    kit: Kit,
    image: Path | None,
    product: str | None,
    metadata: dict[str, str],
    count: int,
    by_rule: bool,
    shop: str,
    profile: str | None,
    data_dir: Path | None,
) -> list[Caption]:
    from streams.ops.caption_preview import item_of_photo, item_of_product, samples
    from streams.wiring.yardsticks import caption_trial

    item = await item_of_product(client_settings(data_dir), shop, product) if product is not None else None
    photos_of = None if item is None else open_store(client_settings(data_dir))
    async with caption_trial(chosen_settings(profile), photos_of=photos_of) as trial:
        if item is None:
            if image is None:
                raise Poison("neither a photo nor a product")
            item = await item_of_photo(trial, image, metadata)
        return await samples(trial, item, kit, count, by_rule=by_rule or kit.by_grammar)


@app.command("explain")
def explain_product(
    product: Annotated[str, typer.Argument(help="Its id.")],
    shop: OfShop = None,
    profile: ProfileOption = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Why a product's caption says what it says: input, evidence by source, prompt, drafts, verdicts; written once more with the same seed."""
    from streams.cli.output import print_table, rows_table

    chosen = chosen_settings(profile)
    configure(chosen.log_level, chosen.log_format)
    found = asyncio.run(_explained(product, checked_shop(shop, "--shop"), profile, data_dir))
    if as_json:
        print_json(found)
        return
    say_of = {
        "product": found.product_id,
        "from": found.source,
        "photo": found.image,
        "kit": found.kit or "none",
        "tone": found.tone,
    }
    for name, text in say_of.items():
        out.print(f"[bold]{name}[/] {shown(text)}", soft_wrap=True)
    for field, value in found.metadata.items():
        out.print(f"[bold]shop says[/] {shown(f'{field}: {value}')}", soft_wrap=True)
    rows = [
        (
            f"{fact.garment} {fact.facet}",
            fact.value,
            fact.source,
            f"{fact.confidence:.2f}",
            "yes" if fact.stated else "",
        )
        for fact in found.facts
    ]
    print_table(rows_table(("fact", "value", "source", "sure", "stated"), rows))
    for message in found.prompt:
        out.print(f"[bold]{message['role']}[/] {shown(message['content'])}", soft_wrap=True)
    for n, draft in enumerate(found.drafts, 1):
        out.print(f"[bold]draft {n}[/] {shown(draft.text)}", soft_wrap=True)
        out.print(f"[bold]verdict[/] {shown('; '.join(draft.refused) or 'holds')}", soft_wrap=True)
    for use in found.context:
        told = f"{use.article}, chunk {use.chunk}, alike {use.score:.2f}: {use.text}"
        out.print(f"[bold]article[/] {shown(told)}", soft_wrap=True)
    for article, sentence, why in found.unused:
        out.print(f"[bold]not said[/] {shown(f'{article}: {sentence} ({why})')}", soft_wrap=True)
    out.print(f"[bold]decided by[/] {found.decided}: {shown(found.caption)}", soft_wrap=True)
    for n, reasons in enumerate(found.refused, 1):
        out.print(f"[bold]refused then[/] draft {n}: {shown('; '.join(reasons))}", soft_wrap=True)
    if found.published and not found.same:
        out.print(
            f"[bold]published[/] {shown(found.published)} (written by other models, rules, or a kit of before)",
            soft_wrap=True,
        )
    out.print(
        f"[bold]status[/] {found.status or 'not published yet'} {shown(', '.join(found.reasons))}", soft_wrap=True
    )


async def _explained(product: str, shop: str, profile: str | None, data_dir: Path | None) -> Explanation:
    from streams.contract import topics
    from streams.contract.codecs import decode_item
    from streams.kafka.client import caption_in
    from streams.ops.articles import articles_of
    from streams.ops.caption_explain import explain
    from streams.ops.caption_preview import last_of
    from streams.wiring.yardsticks import caption_trial

    settings = client_settings(data_dir)
    item = await last_of(settings, topics.ITEMS, shop, product)
    try:
        published = caption_in(await last_of(settings, topics.CAPTIONS, shop, product))
    except Poison:
        published = None
    articles, photos_of = await articles_of(settings), open_store(settings)
    async with caption_trial(chosen_settings(profile), articles=articles, photos_of=photos_of) as trial:
        if trial.captioner is None:
            raise ValueError("this trial has no captioner")
        pixels = await trial.captioner.look(decode_item(item.value or b"")) if trial.captioner.looks else None
        found = explain(trial.captioner, item, published, pixels)
    if found is None:
        raise Poison("nobody has seen this product yet: it has no photo, so no caption")
    return found


def _print(caption: Caption) -> None:
    waits = f" [bold](hold: {shown(', '.join(caption.reasons))})[/]" if caption.status == "hold" else ""
    out.print(f"[bold]{shown(caption.title)}[/]{waits}", soft_wrap=True)
    for text in (caption.caption, " ".join(caption.hashtags), f"alt: {caption.alt}", f"meta: {caption.meta}"):
        out.print(shown(text), soft_wrap=True)
    out.print("")
