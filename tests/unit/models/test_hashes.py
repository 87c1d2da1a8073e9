"""Weights are loaded only when a list beside them names them and every byte is the listed one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.recipes import ship
from models.recipes.ship import write
from models.weights.hashes import (
    MARKER,
    Marker,
    base_problems,
    check_folder,
    check_weights,
    fingerprint,
    sha256_of,
    shipped_problems,
)
from processors.errors import Fatal


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A folder of shipped weights with its manifest."""
    (tmp_path / "encoder.safetensors").write_bytes(b"encoder weights")
    (tmp_path / "writer").mkdir()
    (tmp_path / "writer" / "adapter_model.safetensors").write_bytes(b"adapter weights")
    write(tmp_path)
    return tmp_path


def base(folder: Path) -> Path:
    """An unpacked base with its marker."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"base weights")
    marker = Marker("b", "b==1", "", "copy/1", {"model.safetensors": sha256_of(folder / "model.safetensors")})
    (folder / MARKER).write_bytes(msgspec.json.encode(marker))
    return folder


def flip(path: Path, position: int = 3) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_whole_weights_pass(shipped: Path, tmp_path: Path) -> None:
    """What is listed and untouched is loaded, and its hash comes back for fingerprints."""
    digest = check_weights(shipped / "encoder.safetensors")
    assert digest == f"sha256:{sha256_of(shipped / 'encoder.safetensors')}"
    check_folder(shipped / "writer")
    check_folder(base(tmp_path / "base"))
    assert base_problems(tmp_path / "base") == []


@pytest.mark.parametrize("position", [0, 7, 14])
def test_a_flipped_bit_is_refused(shipped: Path, position: int) -> None:
    """One bit anywhere in a weight file stops the start, with the file's name and what to do."""
    flip(shipped / "encoder.safetensors", position)
    with pytest.raises(Fatal, match=r"encoder\.safetensors is damaged.*git checkout"):
        check_weights(shipped / "encoder.safetensors")


def test_a_flipped_bit_in_a_base_is_refused(tmp_path: Path) -> None:
    """The same for a fetched base, which is fetched again."""
    folder = base(tmp_path / "base")
    flip(folder / "model.safetensors")
    with pytest.raises(Fatal, match=r"model\.safetensors is damaged.*weft models pull starter"):
        check_folder(folder)
    assert [problem.path.name for problem in base_problems(folder)] == ["model.safetensors"]


def test_damage_after_a_check_is_seen(shipped: Path) -> None:
    """Hashes are remembered for a process, but not past a change of the file."""
    check_weights(shipped / "encoder.safetensors")
    (shipped / "encoder.safetensors").write_bytes(b"other weights, longer than before")
    with pytest.raises(Fatal, match="damaged"):
        check_weights(shipped / "encoder.safetensors")


def test_an_unlisted_file_is_refused(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Weights that somebody dropped beside the known ones, or anywhere else, are not loaded."""
    (shipped / "extra.safetensors").write_bytes(b"x")
    with pytest.raises(Fatal, match="in no list of known weights"):
        check_weights(shipped / "extra.safetensors")
    stray = tmp_path_factory.mktemp("stray") / "w.safetensors"
    stray.write_bytes(b"x")
    with pytest.raises(Fatal, match="not loaded"):
        check_weights(stray)


def test_a_missing_file_is_named(shipped: Path) -> None:
    """A missing file is told from a damaged one."""
    with pytest.raises(Fatal, match=r"gone\.safetensors is missing"):
        check_weights(shipped / "gone.safetensors")


def test_a_damaged_list_is_refused(shipped: Path) -> None:
    """A manifest that is no JSON stops the start instead of passing everything."""
    (shipped / "manifest.json").write_text("{")
    with pytest.raises(Fatal, match=r"manifest\.json is damaged"):
        check_weights(shipped / "encoder.safetensors")


def test_verify_sees_missing_damaged_and_stray_files(shipped: Path) -> None:
    """`weft models verify` lists every trouble at once."""
    assert shipped_problems(shipped) == []
    flip(shipped / "encoder.safetensors")
    (shipped / "writer" / "adapter_model.safetensors").unlink()
    (shipped / "detector.safetensors").write_bytes(b"new")
    found = {problem.path.name: problem.message.split(":")[0].split(" ")[0] for problem in shipped_problems(shipped)}
    assert found == {
        "encoder.safetensors": "damaged",
        "adapter_model.safetensors": "missing",
        "detector.safetensors": "not",
    }


def test_ship_refuses_files_of_no_part(shipped: Path) -> None:
    """A stray file cannot slip into the manifest under nobody's licence."""
    (shipped / "notes.txt").write_text("hello")
    with pytest.raises(Fatal, match="no part of the starter profile"):
        write(shipped)


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_fingerprints_differ_where_their_parts_do(one: list[str], other: list[str]) -> None:
    """Parts are length-prefixed: no two different lists run together into one."""
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


def test_what_a_run_exported_is_listed_alone(tmp_path: Path) -> None:
    """Weights of one's own training can be loaded and measured; the checkpoint beside them cannot."""
    (tmp_path / "last.safetensors").write_bytes(b"checkpoint")
    weights = tmp_path / "encoder.safetensors"
    weights.write_bytes(b"weights")
    assert ship.list_run(weights) == weights
    assert check_weights(weights).startswith("sha256:")
    with pytest.raises(Fatal, match="in no list"):
        check_weights(tmp_path / "last.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"?")
    with pytest.raises(Fatal, match="no part of the starter"):
        ship.list_run(tmp_path / "other.safetensors")
