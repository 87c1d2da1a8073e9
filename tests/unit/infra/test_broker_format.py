"""An empty log for the embedded Kafka: Java makes the first, and the others are made of that one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.broker import CHECKPOINT, EmbeddedBroker
from infra.broker_jars import Classpath
from processors.errors import Fatal

JAVA = """#!/bin/sh
for last; do :; done
data=$(sed -n 's/^log.dirs=//p' "$last")
mkdir -p "$data"
printf 'the features of this Kafka' > "$data/bootstrap.checkpoint"
printf 'cluster.id=of Java' > "$data/meta.properties"
"""


def formatted(folder: Path, classpath: Classpath) -> dict[str, str]:
    """What lies in the log of a new broker."""
    broker = EmbeddedBroker(folder, classpath=classpath)
    identity = broker._choose_identity()
    broker._write_configuration(identity)
    broker._format(classpath, identity)
    return {one.name: one.read_text() for one in (folder / "kafka" / "data").iterdir()}


@pytest.fixture
def classpath(tmp_path: Path) -> Classpath:
    java = tmp_path / "java"
    java.write_text(JAVA)
    java.chmod(0o755)
    return Classpath((), java, formatted=tmp_path / "4.1.0.checkpoint")


def test_the_second_log_needs_no_java(tmp_path: Path, classpath: Classpath) -> None:
    """The same features, a cluster and a folder of its own."""
    (tmp_path / "one" / "kafka").mkdir(parents=True)
    first = formatted(tmp_path / "one", classpath)
    assert first["meta.properties"] == "cluster.id=of Java"
    away = replace(classpath, java=tmp_path / "away")
    logs = []
    for name in ("two", "three"):
        (tmp_path / name / "kafka").mkdir(parents=True)
        logs.append(formatted(tmp_path / name, away))
    assert [log[CHECKPOINT] for log in logs] == [first[CHECKPOINT]] * 2
    said = [dict(line.split("=") for line in log["meta.properties"].splitlines()) for log in logs]
    assert {(one["version"], one["node.id"]) for one in said} == {("1", "1")}
    assert [len(one[name]) for one in said for name in ("cluster.id", "directory.id")] == [22] * 4
    assert said[0]["cluster.id"] != said[1]["cluster.id"]
    assert said[0]["directory.id"] != said[1]["directory.id"]


@pytest.mark.parametrize("damage", [b"", b"half", None])
def test_what_was_kept_and_is_damaged_is_made_again(tmp_path: Path, classpath: Classpath, damage: bytes | None) -> None:
    """Cut short, or of another disk's making; where Java is not there either, the start says so."""
    (tmp_path / "one" / "kafka").mkdir(parents=True)
    formatted(tmp_path / "one", classpath)
    assert classpath.formatted is not None
    kept = classpath.formatted.read_bytes()
    classpath.formatted.write_bytes(kept[:-1] + b"?" if damage is None else damage)
    (tmp_path / "two" / "kafka").mkdir(parents=True)
    with pytest.raises((Fatal, OSError)):
        formatted(tmp_path / "two", replace(classpath, java=tmp_path / "away"))
    (tmp_path / "three" / "kafka").mkdir(parents=True)
    assert formatted(tmp_path / "three", classpath)["meta.properties"] == "cluster.id=of Java"
    assert classpath.formatted.read_bytes() == kept
