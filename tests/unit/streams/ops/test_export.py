"""A generation as one file: what lies in it is what the shards hold; it appears whole or not at all."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from index_sync.entry import Change, ViewInfo
from index_sync.manifest import Damaged
from processors.errors import BadSetting, Fatal, Missing, Retryable
from streams.ops.generations.export import export_npz, export_parquet
from streams.search.generations import FIRST
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects, entry, unit
from tests.fakes.index_snapshots import GENERATION, snapshots


def changes(start: int, stop: int) -> list[Change]:
    """Upserts, then one product again, and one deleted."""
    first = [
        Change(n, f"p{n}", entry(n, 100 + n, facets={"colour": "red", "size": str(n)})) for n in range(start, stop)
    ]
    return [
        *first,
        Change(stop, f"p{start}", entry(7000 + start, image="images/new.png")),
        Change(stop + 1, f"p{start + 1}", None),
    ]


def read(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return [row for batch in file.iter_batches() for row in batch.to_pylist()]


def test_parquet_holds_each_vector_with_its_product(tmp_path: Path) -> None:
    """The last version of each, no deleted one, over all shards and segments; vectors as the index has them, as float32."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    store = snapshots({0: changes(0, 20), 3: changes(20, 33), 4: []})
    path = tmp_path / "c.parquet"
    done = export_parquet(store, GENERATION, path, group_rows=6)
    rows = {(row["id"], row["view"]): row for row in read(path)}
    wanted = {(f"p{n}", view) for n in range(33) if n not in {0, 1, 20, 21} for view in ("whole", "g0")}
    assert set(rows) == wanted | {("p0", "whole"), ("p20", "whole")}
    assert (done.products, done.rows, done.dimension, done.encoder) == (31, len(rows), DIMENSION, ENCODER)
    for (product, view), row in rows.items():
        number = int(product[1:])
        replaced = number in {0, 20}
        seed = 7000 + number if replaced else number + (100 if view == "g0" else 0)
        assert row["vector"] == unit(seed).astype(np.float16).astype(np.float32).tolist()
        assert row["version"] == ({0: 20, 20: 33}[number] if replaced else number)
        assert dict(row["facets"]) == ({} if replaced else {"colour": "red", "size": str(number)})
        assert row["image"] == row["photo"] == ("images/new.png" if replaced else "file:///p.jpg")
    with pq.ParquetFile(path) as file:
        assert file.schema_arrow.field("vector").type == pa.list_(pa.float32(), DIMENSION)
        assert file.schema_arrow.field("facets").type == pa.map_(pa.string(), pa.string())
        assert file.schema_arrow.metadata == {b"weft.generation": FIRST.encode(), b"weft.encoder": ENCODER.encode()}
        assert max(file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)) <= 6
        assert file.num_row_groups > 8


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    """Products, versions, views and vectors; shops by their halves, further photos by their own address."""
    view = ViewInfo("p1", "", (), photo="images/back.png")
    several = entry(1, 2)
    payload = msgspec.structs.replace(several.payload, views=(several.payload.views[0], view), image="images/a.png")
    more = Change(50, "//north/p9", msgspec.structs.replace(several, payload=payload))
    store = snapshots({0: [*changes(0, 9), more]})
    export_parquet(store, GENERATION, tmp_path / "c.parquet")
    export_npz(store, GENERATION, tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz", allow_pickle=False) as arrays:
        owner, ids = arrays["products"], arrays["ids"]
        plain = [
            (str(ids[o]), int(arrays["versions"][o]), str(v), row.astype(np.float32).tolist(), str(arrays["images"][o]))
            for o, v, row in zip(owner, arrays["views"], arrays["vectors"], strict=True)
        ]
    rows = read(tmp_path / "c.parquet")
    assert [(r["id"], r["version"], r["view"], r["vector"], r["image"]) for r in rows] == plain
    of_shop = [(r["shop"], r["product_id"], r["view"], r["photo"]) for r in rows if r["shop"]]
    assert of_shop == [("north", "p9", "whole", "images/a.png"), ("north", "p9", "p1", "images/back.png")]


@pytest.mark.parametrize("write", [export_npz, export_parquet])
def test_a_damaged_object_leaves_no_file(tmp_path: Path, write: Any) -> None:
    """Neither a half one, nor the one of before lost; the object is named."""
    store = snapshots({0: changes(0, 20), 1: changes(20, 40)})
    path = tmp_path / "c"
    path.write_bytes(b"of before")
    key = next(key for key in store.objects if "/00001/objects/" in key)
    store.objects[key] += b"?"
    with pytest.raises(Damaged, match=key):
        write(store, GENERATION, path)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"c": b"of before"}


@pytest.mark.parametrize("write", [export_npz, export_parquet])
def test_what_cannot_be_exported_is_said(tmp_path: Path, write: Any) -> None:
    """No snapshot; shards of two encoders; a folder that is not there; a generation of no product is an empty file."""
    with pytest.raises(Retryable, match="weft index snapshot"):
        write(MemoryObjects(), GENERATION, tmp_path / "c")
    two = snapshots({0: [Change(0, "a", entry(1))], 1: [Change(0, "b", entry(2, encoder="other"))]}, {1: "other"})
    with pytest.raises(Fatal, match="other"):
        write(two, GENERATION, tmp_path / "c")
    with pytest.raises(BadSetting, match="cannot be written"):
        write(snapshots({0: changes(0, 5)}), GENERATION, tmp_path / "nowhere" / "c")
    assert list(tmp_path.iterdir()) == []
    done = write(snapshots({0: []}), GENERATION, tmp_path / "c")
    assert (done.products, done.rows) == (0, 0)


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And that npz needs none."""
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Missing, match=r"extra `parquet`.*npz"):
        export_parquet(snapshots({0: changes(0, 5)}), GENERATION, tmp_path / "c")
