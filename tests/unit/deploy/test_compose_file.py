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
from streams.contract.topics import ROLES
from tests.fixtures.s3_servers import SOURCES

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
    for role in ROLES:
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


def test_what_is_installed_is_compiled() -> None:
    """uv compiles nothing by itself, and who runs the image may not write: every start would compile it all again."""
    text = (ROOT / "infra/docker/Dockerfile").read_text()
    assert "UV_COMPILE_BYTECODE=1" in text[: text.index("uv pip install")]
    makefile = (ROOT / "Makefile").read_text()
    runtime = [line for line in makefile.splitlines() if "uv pip install" in line and "-r requirements.lock" in line]
    assert [("--compile-bytecode" in line) for line in runtime] == [True]
    packages = re.search(r"^PACKAGES := (.*)$", makefile, re.MULTILINE)
    assert packages is not None
    assert set(packages[1].split()) == {"streams", "processors", "models", "index_sync", "infra"}
    assert "compileall -q $(PACKAGES)" in makefile


def test_images_can_be_pulled_and_are_pinned(compose: dict) -> None:
    """MinIO's images are gone from their hub; `latest` is another server every month."""
    images = {name: service["image"] for name, service in compose["services"].items() if service["image"] != "weft:cpu"}
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in images.values()), images
    assert not [image for image in images.values() if "minio" in image]


def test_the_image_is_built_of_what_was_tested() -> None:
    """The distribution under Python, and packages that no lock names, do not change by themselves."""
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text()
    assert re.findall(r"^FROM (python\S+)", dockerfile, re.MULTILINE) == ["python:3.11-slim-bookworm"]
    named = re.findall(
        r'"([a-z][a-z0-9-]+(?:[=<>~!][^"]*)?)"', "".join(re.findall(r"^RUN .*", dockerfile, re.MULTILINE))
    )
    assert named
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", package) for package in named), named


def test_what_stops_is_started_again(compose: dict) -> None:
    """A broker that ran out of memory at night came back with its machine only. What runs once may fail and try again."""
    once = {"models", "topics"}
    for name, service in compose["services"].items():
        assert service["restart"] == ("on-failure" if name in once else "unless-stopped"), name


def test_kafka_runs_groups_and_transactions_on_one_node(compose: dict) -> None:
    """Kafka's defaults want three replicas of its own topics: on one node a transactional producer waited for ever."""
    kafka = compose["services"]["kafka"]["environment"]
    for name in (
        "OFFSETS_TOPIC_REPLICATION_FACTOR",
        "TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
        "TRANSACTION_STATE_LOG_MIN_ISR",
        "DEFAULT_REPLICATION_FACTOR",
        "MIN_INSYNC_REPLICAS",
    ):
        assert kafka[f"KAFKA_{name}"] == "1", name


def test_kafka_is_reached_from_both_sides(compose: dict) -> None:
    """One advertised address for roles and host was an address that one of them cannot reach. Only loopback is published."""
    kafka = compose["services"]["kafka"]
    told = dict(one.split("://") for one in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(","))
    bound = dict(one.split("://") for one in kafka["environment"]["KAFKA_LISTENERS"].split(","))
    protocols = dict(one.split(":") for one in kafka["environment"]["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert bound.keys() == protocols.keys()
    assert compose["x-weft"]["environment"]["WEFT_BOOTSTRAP_SERVERS"] == told["INTERNAL"]
    host, port = told["HOST"].split(":")
    assert kafka["ports"] == [f"{host}:{port}:{bound['HOST'].removeprefix(':')}"]
    assert {p.split(":")[0] for s in compose["services"].values() for p in s.get("ports", ())} == {"127.0.0.1"}


def test_users_are_numbers(compose: dict) -> None:
    """A platform that refuses root cannot tell from a name that it is none."""
    text = (ROOT / "infra/docker/Dockerfile").read_text()
    users = re.findall(r"^USER (\S+)$", text, flags=re.MULTILINE)
    assert set(users) == {"root", "10001:10001"}
    assert all(users[place + 1] == "10001:10001" for place, user in enumerate(users) if user == "root")
    assert compose["x-weft"]["user"] == "10001:10001"


def test_the_store_is_the_server_that_the_suite_runs(compose: dict) -> None:
    """The S3 suite passes on this version of this server, with these keys and this port."""
    s3, ours = compose["services"]["s3"], compose["x-weft"]["environment"]
    name, version = s3["image"].split("/")[1].split(":")
    assert SOURCES["versitygw"].endswith(f"/{name}@{version}")
    assert ours["WEFT_S3_ENDPOINT"] == f"s3{s3['environment']['VGW_PORT']}"
    assert ours["WEFT_S3_ACCESS_KEY"] == s3["environment"]["ROOT_ACCESS_KEY_ID"]
    assert ours["WEFT_S3_SECRET_KEY"] == s3["environment"]["ROOT_SECRET_ACCESS_KEY"]


def test_the_cpu_image_can_be_had_without_cuda(compose: dict) -> None:
    """The commands of the Dockerfile find the pinned torch and NVIDIA's packages in what is locked."""
    text = (ROOT / "infra/docker/Dockerfile").read_text()
    lock = (ROOT / "requirements.lock").read_text()
    assert "TORCH_CPU_INDEX" in compose["x-weft"]["build"]["args"]
    for name in ("torch", "torchvision"):
        assert re.search(rf"^{name}==\S+ ", lock, flags=re.MULTILINE)
        assert rf"s/^\({name}==[^ ]*\) .*/\1+cpu/p" in text
    pattern = re.search(r"grep -oE '([^']+)'", text)
    assert pattern is not None
    found = {match[0] for line in lock.splitlines() if (match := re.match(pattern[1], line))}
    assert {"triton", "cuda-toolkit", "nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13"} <= found
    assert not [name for name in found if name.startswith(("torch", "faiss"))]
