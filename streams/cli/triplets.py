"""`weft triplets`: what the role `triplets` made of the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.app import AsJson, DataDir, app, client_settings, run
from streams.cli.output import print_json, print_table, rows_table

triplets_app = typer.Typer(help="Triplets that the role `triplets` made of the catalogue: for training composers.")
app.add_typer(triplets_app, name="triplets")


@triplets_app.callback()
def triplets() -> None:
    """Triplets that the role `triplets` made of the catalogue: for training composers."""


@triplets_app.command("export")
def triplets_export(
    out: Annotated[Path, typer.Option(help="JSON lines; name it under `stream` of a recipe.")] = Path("triplets.jsonl"),
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Write the triplets that hold now, each with the vectors of its two products, for `weft train composer`."""
    from streams.ops.triplets import export

    done = run(export(client_settings(data_dir), out))
    if as_json:
        print_json(done)
        return
    rows: list[tuple[str, object]] = [("out", done.out), ("triplets", done.triplets)]
    rows += [(f"left out: {cause}", count) for cause, count in done.left_out.items()]
    rows += [(f"changes of {facet}", count) for facet, count in done.by_facet.items()]
    print_table(rows_table(("exported", ""), rows))
