"""docker-compose.yml: it cannot be run where there is no Docker engine, so it is held against its schema."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from infra.settings import Settings

ROOT = Path(__file__).parents[3]
MODULE = "github.com/compose-spec/compose-go/v2@v2.4.7"


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_the_file_satisfies_the_compose_schema(compose: dict) -> None:
    """The schema is the Compose project's own, from its Go module."""
    if shutil.which("go") is None:
        pytest.skip("Go is not installed: the Compose schema travels in a Go module")
    answer = subprocess.run(["go", "mod", "download", "-json", MODULE], capture_output=True, text=True, cwd="/")  # noqa: PLW1510
    if answer.returncode != 0:
        pytest.skip(f"the Go module of the Compose schema cannot be fetched: {answer.stderr[:200]}")
    schema = json.loads((Path(json.loads(answer.stdout)["Dir"]) / "schema" / "compose-spec.json").read_text())
    jsonschema.validate(compose, schema)


def test_every_role_has_a_service_and_is_scraped(compose: dict) -> None:
    """A role that is not deployed, or not measured, is not there at night."""
    prometheus = yaml.safe_load((ROOT / "infra/docker/prometheus.yml").read_text())
    targets = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    for role in ("enrich", "caption", "index", "compose"):
        assert compose["services"][role]["command"] == ["worker", role]
        assert f"{role}:{compose['x-weft']['environment']['WEFT_METRICS_PORT']}" in targets


def test_every_weft_variable_is_a_setting(compose: dict) -> None:
    """A misspelt variable would be ignored in silence."""
    known = {f"WEFT_{name.upper()}" for name in Settings.model_fields}
    used = {name for name in compose["x-weft"]["environment"] if name.startswith("WEFT_")}
    assert used <= known


def test_the_dockerfile_copies_every_room() -> None:
    """An image without a room would fail only when it starts."""
    text = (ROOT / "infra/docker/Dockerfile").read_text()
    rooms = {"streams", "processors", "models", "index_sync", "infra"}
    assert rooms <= set(re.findall(r"^COPY (\w+) \1$", text, flags=re.MULTILINE))
    assert {"cpu", "cuda"} <= set(re.findall(r"^FROM \S+ AS (\w+)$", text, flags=re.MULTILINE))
