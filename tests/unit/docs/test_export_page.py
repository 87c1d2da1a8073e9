"""docs/export.md: its code reads what `weft index export` writes; Qdrant is run in its local mode, of the others what is built."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index_sync.entry import Change
from streams.ops.generations.export import export_parquet
from tests.fakes.index_items import DIMENSION, entry, unit
from tests.fakes.index_snapshots import GENERATION, snapshots

PAGE = (Path(__file__).parents[3] / "docs" / "export.md").read_text()
COLOURS = ("red", "navy", "green")


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's blocks that are marked `run` define, together, from top to bottom."""
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python run\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/export.md", "exec"), names)
    return names


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty products with two vectors each, over two shards."""
    changes = [
        Change(n, f"p{n}", entry(n, 500 + n, facets={"colour": COLOURS[n % 3], "fabric": "wool"})) for n in range(30)
    ]
    file = tmp_path_factory.mktemp("export") / "catalogue.parquet"
    export_parquet(snapshots({0: changes[:11], 1: changes[11:]}), GENERATION, file)
    return file


def all_rows(page: dict[str, Any], path: Path) -> Iterator[dict[str, Any]]:
    for some in page["rows"](path, 7):
        assert 0 < len(some) <= 7
        yield from some


def test_the_page_reads_what_was_written(page: dict[str, Any], path: Path) -> None:
    """Every vector of every product, facets as a dict; ids of points are one for each, and always the same."""
    found = list(all_rows(page, path))
    assert page["dimension_of"](path) == DIMENSION
    assert {(row["id"], row["view"]) for row in found} == {(f"p{n}", v) for n in range(30) for v in ("whole", "g0")}
    assert len({page["point_id"](row) for row in found}) == 60
    assert [page["point_id"](row) for row in all_rows(page, path)] == [page["point_id"](row) for row in found]
    assert all(row["facets"] == {"colour": COLOURS[int(row["id"][1:]) % 3], "fabric": "wool"} for row in found)


@pytest.mark.filterwarnings("ignore:.*local mode:UserWarning")
def test_qdrant_answers_as_the_vectors_say(page: dict[str, Any], path: Path) -> None:
    """Loaded twice over: each product once, by its best vector, in the order of exact scores, with and without a filter."""
    from qdrant_client import QdrantClient

    client = QdrantClient(":memory:")
    page["load_qdrant"](client, path)
    assert client.count("catalog").count == 60
    asked = unit(77).tolist()
    best: dict[str, float] = {}
    for row in all_rows(page, path):
        best[row["id"]] = max(best.get(row["id"], -2.0), float(np.dot(row["vector"], asked)))
    ranked = sorted(best.items(), key=lambda pair: -pair[1])
    for facets, wanted in (
        ({}, ranked[:5]),
        ({"colour": "navy"}, [one for one in ranked if int(one[0][1:]) % 3 == 1][:5]),
    ):
        found = page["nearest_qdrant"](client, asked, 5, facets)
        assert [product for product, _ in found] == [product for product, _ in wanted]
        assert np.allclose([score for _, score in found], [score for _, score in wanted], atol=1e-5)
    client.close()


def test_what_the_other_engines_are_sent_is_what_the_file_says(page: dict[str, Any], path: Path) -> None:
    """Rows of Milvus, lines of Postgres and documents of OpenSearch have every column, with its value, under a declared name."""
    read = {(row["id"], row["view"]): row for row in all_rows(page, path)}
    names = set(next(iter(read.values())))
    assert {*page["MILVUS_TEXTS"], "version", "facets", "vector"} == names
    milvus = page["milvus_row"](read["p4", "g0"])
    assert {key: value for key, value in milvus.items() if key != "pk"} == read["p4", "g0"]
    assert len(milvus["pk"]) == 36

    table = page["pg_table"](path)
    declared = re.findall(r"(\w+) (?:text|bigint|jsonb|vector\()", table)
    assert set(declared) == set(page["PG_COLUMNS"]) == names
    assert f"vector({DIMENSION})" in table
    line = dict(zip(page["PG_COLUMNS"], page["pg_row"](read["p4", "g0"]), strict=True))
    assert {**line, "facets": json.loads(line["facets"]), "vector": json.loads(line["vector"])} == read["p4", "g0"]

    index = page["opensearch_index"](path)["mappings"]["properties"]
    actions = list(page["opensearch_actions"](path))
    assert {(one["_source"]["id"], one["_source"]["view"]): one["_source"] for one in actions} == read
    assert len({one["_id"] for one in actions}) == len(read)
    assert set(index) == names
    assert index["vector"]["dimension"] == DIMENSION
    asked = page["opensearch_query"](read["p4", "g0"]["vector"], 3, {"colour": "navy"})
    assert json.loads(json.dumps(asked))["query"]["knn"]["vector"]["filter"] == {
        "bool": {"must": [{"term": {"facets.colour": "navy"}}]}
    }


def test_the_page_names_every_column(path: Path) -> None:
    """The table of columns is that of the file."""
    import pyarrow.parquet as pq

    cells = re.findall(r"^\| (`[^|]+) \| [^|]+ \|", PAGE, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(pq.read_schema(path).names)
