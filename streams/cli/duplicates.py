"""`weft duplicates`: which products show the same photo."""

from __future__ import annotations

from processors.errors import Poison
from processors.identity import checked_shop
from streams.cli.app import AsJson, DataDir, OfShop, app, client_settings, run
from streams.cli.output import print_json, print_table, rows_table, say
from streams.contract import codecs, topics
from streams.contract.records import Duplicates
from streams.kafka.client import Reader


@app.command("duplicates")
def duplicates(shop: OfShop = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Which products show the same photo, as the role `duplicates` found them. With --json: one Duplicates a line."""
    found = run(_standing(checked_shop(shop, "--shop"), data_dir))
    if as_json:
        for one in found:
            print_json(one)
        return
    rows = [
        (one.product_id, other.product_id, other.kind, f"{other.confidence:.2f}", str(other.inliers))
        for one in found
        for other in one.duplicates
    ]
    if not rows:
        say("none is known; the role duplicates finds them: weft up --with duplicates")
        return
    print_table(rows_table(("product", "same photo", "as", "sure", "inliers"), rows, ids=("product", "same photo")))


async def _standing(shop: str, data_dir: DataDir) -> list[Duplicates]:
    found: dict[bytes, Duplicates] = {}
    async with Reader(client_settings(data_dir), topics.DUPLICATES) as reader:
        async for raw in reader.to_end():
            found.pop(raw.key or b"", None)
            try:
                if raw.value and (one := codecs.decode_duplicates(raw.value)).shop == shop:
                    found[raw.key or b""] = one
            except Poison:
                continue  # of another version: nothing that could be shown
    return list(found.values())
