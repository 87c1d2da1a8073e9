"""`weft facets`: learn a shop's facets from its own labels, and say which version is applied."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from infra.settings import Settings
from infra.store import ObjectStore
from infra.stores import open_store
from models.facets.facet_heads import Card, FacetWorth
from models.yardsticks.photos import Photos
from processors.errors import Poison
from streams.cli.app import AsJson, DataDir, app, client_settings
from streams.cli.exits import Exit
from streams.cli.live_version import tell
from streams.cli.output import out, print_json, print_table, rows_table, say
from streams.cli.progress import progress
from streams.facets import versions

if TYPE_CHECKING:
    from streams.facets.labelled import Labelled
    from streams.facets.look import Looked

facets_app = typer.Typer(
    help="Heads that read facets from the pixels: fit, list, show, use, rollback.", no_args_is_help=True
)
app.add_typer(facets_app, name="facets")

SHIPPED, SHOP = "shipped", "shop"
HELD_OUT = "five folds by brand: every product is judged by heads fitted without its brand"


class Listed(msgspec.Struct, frozen=True):
    """One line of `weft facets list --json`."""

    version: str
    live: bool
    made: str
    source: str
    products: int
    facets: tuple[str, ...]


class Shown(msgspec.Struct, frozen=True):
    """What `weft facets show --json` and `weft facets fit --json` print."""

    version: str
    live: bool
    card: Card
    nothing_found: int = 0
    refused: int = 0
    left_out: dict[str, int] = {}
    mapped: dict[str, dict[str, str]] = {}
    drawn: tuple[str, ...] = ()


@facets_app.command("fit")
def fit(
    products: Annotated[
        Path, typer.Option(help="The shop's table with its labels: CSV, TSV, JSON lines (also .gz), Excel.")
    ],
    images: Annotated[
        Path, typer.Option(help="Folder, or zip, of the photos, named by id or by the table's image column.")
    ],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for the pictures.", show_default="facets")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Use the first N labelled products only; 0: all.")] = 0,
    publish: Annotated[bool, typer.Option(help="Make the version live; without, it is only stored.")] = True,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Fit heads on the shop's own labels, say what each value is worth on brands held out, and publish them as a version."""
    from streams.facets import charts, labelled

    chosen = client_settings(data_dir)
    store = open_store(chosen)
    photos = Photos.open(images)
    table = labelled.read_labelled(products, photos)
    taught = table.products[:limit] if limit else table.products
    say(f"{len(taught)} labelled products with a photo")
    looked, data, card = _fitted(chosen, taught, photos)
    version = versions.put(store, data)
    live = versions.use(store, version) if publish else versions.read_live(store)
    folder = out_dir or Path("facets")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [str(path) for path in charts.draw(card, folder)]
    refused = [f"{one.name}: {one.cause}" for one in looked.refused]
    for line in (*refused[:20], *(f"drawn: {path}" for path in drawn)):
        say(line)
    _show(
        Shown(
            version, live.version == version, card, looked.nothing_found, len(refused), dict(table.left_out),
            {facet: dict(words) for facet, words in table.mapped.items()}, tuple(drawn),
        ),
        as_json=as_json,
    )  # fmt: skip
    if refused:
        raise typer.Exit(Exit.REJECTED)


def _fitted(chosen: Settings, taught: Sequence[Labelled], photos: Photos) -> tuple[Looked, bytes, Card]:
    from models.facets import facet_fit, facet_heads
    from models.guard import Guarded, GuardedImageEncoder
    from streams.facets.look import look_at
    from streams.wiring.models import judge_of, shipped_heads
    from streams.wiring.yardsticks import models_of

    started = time.monotonic()
    models = models_of(chosen)
    detector, encoder = Guarded(models.detector, name="detector"), GuardedImageEncoder(models.image_encoder)
    judge = judge_of(shipped_heads(chosen), encoder.features_maker)
    with progress("looking at photos", len(taught)) as tick:
        looked = look_at(taught, photos, detector, encoder, tick, judge=judge)
    fitted = facet_fit.fit(looked.examples, say)
    card = Card(
        made=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        source=SHOP,
        products=len(looked.products),
        brands=len({product.brand.strip().lower() for product in looked.products}),
        held_out=HELD_OUT,
        seconds=round(time.monotonic() - started, 1),
        facets=fitted.worth,
        notes=fitted.left_out,
    )
    return looked, facet_heads.encode(encoder.features_maker, fitted.heads, card, fitted.layer), card


@facets_app.command("list")
def list_versions(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show every version in the store, the live one first."""
    store = open_store(client_settings(data_dir))
    live = versions.read_live(store)
    found = []
    for version in versions.listed(store):
        try:
            card = versions.read(store, version).card
        except Poison as error:  # the others are listed all the same
            say(str(error))
            continue
        facets = tuple(facet.facet for facet in card.facets)
        found.append(Listed(version, version == live.version, card.made, card.source, card.products, facets))
    found.sort(key=lambda one: (not one.live, one.made))
    if as_json:
        print_json(found)
        return
    rows = [("live" if one.live else "", one.version, one.made, one.products, ", ".join(one.facets)) for one in found]
    print_table(rows_table(("", "version", "made", "products", "facets"), rows, ids=("version",)))


@facets_app.command("show")
def show(
    version: Annotated[
        str,
        typer.Argument(help="A version, the beginning of it, or `shipped`; by default the one that enrich applies."),
    ] = "",
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show what each value of a version is worth on brands that took no part."""
    from models.facets import facet_heads
    from streams.wiring.models import shipped_heads

    settings = client_settings(data_dir)
    store = open_store(settings)
    live = versions.read_live(store).version
    if version == SHIPPED or not (version or live):
        if shipped_heads(settings) is None:
            say(f"the profile {settings.profile} ships no facet heads: `weft facets fit` makes some")
            raise typer.Exit(Exit.FAILED)
        found = facet_heads.load_shipped()
        _show(Shown(found.heads.version, not live, found.card), as_json=as_json)
        return
    chosen = versions.find(store, version) if version else live
    _show(Shown(chosen, chosen == live, versions.read(store, chosen).card), as_json=as_json)


@facets_app.command("use")
def use(
    version: Annotated[str, typer.Argument(help="A version, or the beginning of it.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a version live: enrich applies it to what comes after, without a restart."""
    store = open_store(client_settings(data_dir))
    tell(versions.use(store, versions.find(store, version)), as_json=as_json)


@facets_app.command("rollback")
def rollback(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Make the version live that was so before the one of now."""
    store: ObjectStore = open_store(client_settings(data_dir))
    tell(versions.roll_back(store), as_json=as_json)


def _show(found: Shown, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    card = found.card
    state = "live" if found.live else "not live"
    taught = f"{card.products} products of {card.brands} brands, {card.seconds:.0f} s"
    out.print(f"{found.version} ({state}): {taught if card.source == SHOP else f'{card.products} pictures'}")
    rows = [row for facet in card.facets for row in _rows(facet)]
    print_table(rows_table(("facet", "value", "labelled", "stated", "right", "of stated", "from"), rows))
    for note in card.notes:
        say(note)


def _rows(facet: FacetWorth) -> list[tuple[object, ...]]:
    share = f"{facet.right / facet.stated:.3f}" if facet.stated else ""
    total = (facet.facet, f"all {len(facet.values)}", facet.labelled, facet.stated, facet.right, share, "")
    return [
        total,
        *(
            (
                "",
                value.value,
                value.labelled,
                value.stated,
                value.right,
                f"{value.right / value.stated:.3f}" if value.stated else "",
                f"{value.threshold:.2f}" if value.threshold <= 1 else "never",
            )
            for value in sorted(facet.values, key=lambda one: -one.labelled)
        ),
    ]
