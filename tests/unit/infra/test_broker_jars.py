"""Getting Kafka's jars: once, checked, repaired, or a sentence that says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from infra.broker import main
from infra.broker_jars import Classpath, fetch_jars
from processors.errors import Fatal


class FakeMaven:
    """Resolves to the real jars, copied from where they were fetched; counts, and can be away or give damaged jars."""

    def __init__(self, real: Classpath, *, away: int = 0, damaged: int = 0) -> None:
        self.calls: list[str] = []
        self._real, self._away, self._damaged = real, away, damaged

    def __call__(self, coordinates: str, cache: Path) -> Iterable[Path]:
        self.calls.append(coordinates)
        if self._away > 0:
            self._away -= 1
            raise ConnectionError("Max retries exceeded\nwith a long tail")
        if "kafka" not in coordinates:
            return []
        folder = cache / "repository" / "org"
        folder.mkdir(parents=True, exist_ok=True)
        for jar in self._real.jars:
            if not (folder / jar.name).exists():  # as Maven does: what is there is taken for whole
                shutil.copy(jar, folder)
        if self._damaged > 0:
            self._damaged -= 1
            (folder / self._real.jars[0].name).write_bytes(b"half a jar")
        return sorted(folder.iterdir())


def test_fetched_once_then_never_asked_again(tmp_path: Path, kafka_classpath: Classpath) -> None:
    """The second start does not touch the resolver, hence not the network."""
    maven, said = FakeMaven(kafka_classpath), []
    first = fetch_jars(said.append, cache=tmp_path, resolve=maven)
    assert said == ["fetching Apache Kafka 4.1.0 (44 MB, once)"]
    assert sorted(jar.name for jar in first.jars) == sorted(jar.name for jar in kafka_classpath.jars)
    asked = len(maven.calls)
    assert fetch_jars(said.append, cache=tmp_path, resolve=maven) == first
    assert (len(maven.calls), len(said)) == (asked, 1)


def test_a_jar_that_vanished_is_fetched_again(tmp_path: Path, kafka_classpath: Classpath) -> None:
    """A cleaned or cut cache is noticed by name and size."""
    maven = FakeMaven(kafka_classpath)
    jars = fetch_jars(cache=tmp_path, resolve=maven).jars
    jars[3].unlink()
    assert fetch_jars(cache=tmp_path, resolve=maven).jars == jars
    assert jars[3].exists()
    (tmp_path / "classpath.json").write_text(json.dumps({"coordinates": 1}))
    assert fetch_jars(cache=tmp_path, resolve=maven).jars == jars


def test_half_a_jar_is_repaired(tmp_path: Path, kafka_classpath: Classpath) -> None:
    """A download that was interrupted would be taken for whole for ever; the second try removes it first."""
    jars = fetch_jars(cache=tmp_path, resolve=FakeMaven(kafka_classpath, damaged=1)).jars
    assert all(jar.stat().st_size > 1000 for jar in jars)


def test_other_jars_than_the_tested_ones_are_refused(tmp_path: Path, kafka_classpath: Classpath) -> None:
    """A repository that gives something else under a known name does not get it run."""
    with pytest.raises(Fatal, match=r"not what Weft was tested with.*WEFT_BOOTSTRAP_SERVERS.*WEFT_KAFKA_JARS"):
        fetch_jars(cache=tmp_path, resolve=FakeMaven(kafka_classpath, damaged=9))
    assert not (tmp_path / "classpath.json").exists()


def test_without_network_one_sentence_and_two_ways_out(tmp_path: Path, kafka_classpath: Classpath) -> None:
    """One failure is tried again; a second one is told, in a line, with what to do instead."""
    assert fetch_jars(cache=tmp_path / "a", resolve=FakeMaven(kafka_classpath, away=1)).jars
    with pytest.raises(Fatal) as caught:
        fetch_jars(cache=tmp_path / "b", resolve=FakeMaven(kafka_classpath, away=9))
    message = str(caught.value)
    assert "cannot fetch Apache Kafka's jars: Max retries exceeded." in message
    assert "WEFT_BOOTSTRAP_SERVERS" in message
    assert "WEFT_KAFKA_JARS" in message
    assert "\n" not in message


def test_a_folder_of_ones_own(tmp_path: Path, kafka_classpath: Classpath) -> None:
    """The user's jars are taken as they are; a folder without Kafka is named."""
    for jar in kafka_classpath.jars:
        (tmp_path / jar.name).symlink_to(jar)
    found = fetch_jars(folder=tmp_path, cache=tmp_path / "unused", resolve=FakeMaven(kafka_classpath, away=9))
    assert len(found.jars) == len(kafka_classpath.jars)
    assert not (tmp_path / "unused").exists()
    with pytest.raises(Fatal, match=r"WEFT_KAFKA_JARS\) lacks the jars kafka_2\.13-"):
        fetch_jars(folder=tmp_path / "unused")


def test_the_command_line_fetches_ahead(kafka_classpath: Classpath, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m infra.broker fetch` says how many jars are where; anything else is a usage error."""
    assert main(["fetch"]) == 0
    assert capsys.readouterr().out.startswith(f"{len(kafka_classpath.jars)} jars in ")
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
