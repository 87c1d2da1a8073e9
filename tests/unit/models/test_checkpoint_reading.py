"""The reader of checkpoints: what it takes, what it refuses and how it says so; that nothing of a file is ever run."""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import socket
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoints import yolo_reading
from models.checkpoints.apart import run_apart
from processors.errors import Poison
from tests.fixtures.own_yolo import NAMES, network, saved


class Runs:
    """A pickle of it calls something when it is read."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint."""
    return saved(network("yolo11n.yaml"), tmp_path_factory.mktemp("good") / "best.pt")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that is there once something was run."""
    return tmp_path / "canary"


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """As the process of its own does, but in this one: were anything run, it would be seen here."""
    with path.open("rb") as file:
        return yolo_reading.read(torch, file, path.stat().st_size)


def refusal(path: Path) -> str:
    with pytest.raises(yolo_reading.RefusedError) as refused:
        read(path)
    return str(refused.value)


def rewritten(good: Path, path: Path, data: bytes) -> Path:
    """The checkpoint with another pickle in it."""
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, data if entry.filename.endswith("data.pkl") else old.read(entry))
    return path


def test_a_checkpoint_gives_its_tensors_and_its_description(good: Path) -> None:
    """Half-precision tensors under the names of a state dict; names, size and structure."""
    tensors, described = read(good)
    expected = network("yolo11n.yaml").half().state_dict()
    assert set(tensors) == set(expected)
    assert all(torch.equal(tensors[name], expected[name]) for name in tensors)
    assert described["names"] == list(NAMES)
    assert (described["task"], described["imgsz"], described["yaml"]["yaml_file"]) == ("detect", 160, "yolo11n.yaml")
    assert described["modules"]["model.0.conv"]["has"]["stride"] == [2, 2]


def test_a_checkpoint_in_training_is_taken_by_its_average(tmp_path: Path) -> None:
    """`last.pt` holds its average alone, an optimizer, and what numpy and pathlib leave in settings."""
    import numpy as np

    made = network("yolov8n-seg.yaml")
    more = {
        "model": None,
        "ema": made.half(),
        "optimizer": {"state": {0: {"step": torch.ones(1)}}, "param_groups": [{"lr": 0.1}]},
        "best_fitness": np.float64(0.25),
        "train_args": {"imgsz": 320, "save_dir": Path("runs/train"), "data": tmp_path},
    }
    _, described = read(saved(made, tmp_path / "last.pt", **more))
    assert (described["task"], described["imgsz"]) == ("segment", 320)


def hostile(canary: Path) -> dict[str, Any]:
    """What a pickle may hold that runs something, and where."""
    touch = f"open({str(canary)!r}, 'w').close()"
    inner = pickle.dumps(Runs(os.system, f"touch {canary}"))
    evil = {"backbone": [], "head": [], "activation": f"__import__('os').system('touch {canary}')", "nc": 1, "ch": 3}
    from ultralytics.nn.tasks import DetectionModel

    return {
        "reduce in the model": {"model": Runs(os.system, f"touch {canary}")},
        "reduce in train_args": {"train_args": {"imgsz": Runs(exec, touch)}},
        "nested torch.load": {"model": Runs(torch.load, io.BytesIO(inner))},
        "nested pickle": {"model": Runs(pickle.loads, inner)},
        "a constructor that evaluates": {"model": Runs(DetectionModel, evil)},
        "getattr": {"model": Runs(getattr, Runs(__import__, "os"), "system")},
        "a default factory": {"model": collections.defaultdict(Path)},
    }


CASES = ("reduce in the model", "reduce in train_args", "nested torch.load", "nested pickle", "a constructor that evaluates", "getattr", "a default factory")  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_is_run(case: str, protocol: int, good: Path, tmp_path: Path, canary: Path) -> None:
    """Whatever a pickle asks to be called: it is refused, and the canary is not there."""
    holds = {"train_args": {"imgsz": 160}, **hostile(canary)[case]}
    data = pickle.dumps(holds, protocol=protocol)
    assert refusal(rewritten(good, tmp_path / "best.pt", data))
    assert not canary.exists()
    os.system(f"touch {canary}")  # the canary itself works
    assert canary.exists()


def test_what_is_refused_is_named(good: Path, tmp_path: Path, canary: Path) -> None:
    """The sentence says what the file asked for."""
    data = pickle.dumps({"model": Runs(os.system, f"touch {canary}")}, protocol=2)
    assert "posix.system" in refusal(rewritten(good, tmp_path / "best.pt", data))


def test_the_format_before_zip_is_refused(tmp_path: Path, canary: Path) -> None:
    """A bare pickle, with and without torch's magic number before it."""
    torch.save({"model": Runs(os.system, f"touch {canary}")}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Runs(os.system, f"touch {canary}")))
    assert "bare pickle" in refusal(tmp_path / "old.pt")
    assert "bare pickle" in refusal(tmp_path / "bare.pt")
    assert not canary.exists()


def test_a_module_that_is_no_detector_is_named(good: Path, tmp_path: Path) -> None:
    """A classification model, a plain state dict, a checkpoint of YOLOv5's own repository, a tensor."""
    from ultralytics.nn.tasks import ClassificationModel

    torch.save({"model": ClassificationModel("yolo11n-cls.yaml", nc=3, verbose=False)}, tmp_path / "cls.pt")
    assert "ClassificationModel of ultralytics" in refusal(tmp_path / "cls.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "state.pt")
    assert "no `ema` and no `model`" in refusal(tmp_path / "state.pt")
    torch.save(torch.ones(2), tmp_path / "tensor.pt")
    assert "holds a Tensor" in refusal(tmp_path / "tensor.pt")
    data = b"\x80\x02}X\x05\x00\x00\x00modelcmodels.yolo\nModel\n)\x81s."
    assert "YOLOv5" in refusal(rewritten(good, tmp_path / "v5.pt", data))


def test_torchscript_is_refused(tmp_path: Path) -> None:
    """A program in a zip archive with the same ending."""
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/code/__torch__.py", "class Model: pass")
        archive.writestr("script/constants.pkl", b"\x80\x02).")
        archive.writestr("script/data.pkl", b"\x80\x02).")
    assert "TorchScript" in refusal(tmp_path / "script.pt")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(share: float, good: Path, tmp_path: Path) -> None:
    """At any place."""
    data = good.read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: int(share * len(data))])
    assert refusal(tmp_path / "cut.pt").startswith(("it is damaged", "it is empty"))


def test_a_changed_byte_is_refused(good: Path, tmp_path: Path) -> None:
    """In the middle of a tensor, where torch itself would see nothing: the boxes would be others."""
    data = bytearray(good.read_bytes())
    with zipfile.ZipFile(good) as archive:
        entry = max(archive.infolist(), key=lambda one: one.file_size)
    data[entry.header_offset + entry.file_size // 2 + 256] ^= 0xFF
    (tmp_path / "changed.pt").write_bytes(data)
    told = refusal(tmp_path / "changed.pt")
    assert told == f"it is damaged: {entry.filename} in it is not what was written"


def test_bombs_are_refused(good: Path, tmp_path: Path) -> None:
    """Compressed members, members that share their bytes, a tensor that says it is larger than what is kept of it."""
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("best/data.pkl", old.read("best/data.pkl"))
        new.writestr("best/data/0", bytes(50 << 20))
    assert "compressed" in refusal(tmp_path / "packed.pt")
    data = bytearray(good.read_bytes())
    at = data.rindex(b"PK\x01\x02")  # the last entry of the directory: its sizes
    data[at + 20 : at + 28] = struct.pack("<II", 1 << 31, 1 << 31)
    (tmp_path / "larger.pt").write_bytes(data)
    assert refusal(tmp_path / "larger.pt").startswith(("what it says it holds is larger", "it is damaged"))
    made = network("yolo11n.yaml")
    made.half().model[0].conv.weight = torch.nn.Parameter(torch.zeros(1).half().expand(1 << 40), requires_grad=False)
    torch.save({"model": made}, tmp_path / "wide.pt")
    assert "larger than what is kept" in refusal(tmp_path / "wide.pt")


def test_a_network_within_itself_is_refused(tmp_path: Path) -> None:
    """Reading it would never end."""
    made = network("yolo11n.yaml")
    made.model[0].add_module("again", made.model)
    torch.save({"model": made}, tmp_path / "round.pt")
    assert "nested in itself" in refusal(tmp_path / "round.pt")


def test_an_encrypted_archive_is_refused(good: Path, tmp_path: Path) -> None:
    """By a sentence: the reader of archives raises an error of its own for it."""
    data = bytearray(good.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(mark, at + 4)
    path = tmp_path / "locked.pt"
    path.write_bytes(data)
    assert refusal(path).startswith("it is damaged or was cut short")


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    """A picture, a zip of something else, an archive whose pickle is none."""
    (tmp_path / "photo.pt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert "it is no checkpoint" in refusal(tmp_path / "photo.pt")
    for name, entry, told in (
        ("a.pt", "a/b.txt", "no checkpoint of torch's"),
        ("b.pt", "b/data.pkl", "pickle is damaged"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(entry, b"\xff\xff")
        assert told in refusal(tmp_path / name)


def test_a_process_of_its_own_can_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the fences there are no network, no programs, no other files, no memory without end; and no environment of ours."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never told")
    (tmp_path / "secret").write_text("never told")
    (tmp_path / "folder").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        told: dict[str, Any] = {}
        for audit in (False, True):
            order = {"audit": audit, "port": server.getsockname()[1]}
            order |= {"canary": str(tmp_path / "canary"), "secret": str(tmp_path / "secret")}
            (tmp_path / "order").write_text(json.dumps(order))
            with (tmp_path / "order").open("rb") as file:
                run_apart("tests.fixtures.fenced_program", file, tmp_path / "folder", name=tmp_path / "order")
            answer = json.loads((tmp_path / "folder" / "answer.json").read_text())
            told[str(audit)] = answer["told"]
            assert answer["environment"]["HOME"] == str(tmp_path / "folder")
            assert "AWS_SECRET_ACCESS_KEY" not in answer["environment"]
            assert answer["told"]["write here"] == "done"
    fences = answer["fences"]
    # By Python's hook alone, wherever the kernel has nothing to offer.
    assert {told["True"][name] for name in ("connect", "socket", "run", "system", "write elsewhere")} == {
        "PermissionError"
    }
    if fences["seccomp over system calls"]:
        assert {told["False"][name] for name in ("socket", "run", "fork")} == {"PermissionError"}
        assert told["False"]["system"] != "done"
    if fences["Landlock over files"]:
        assert {told["False"][name] for name in ("read the secret", "write elsewhere")} == {"PermissionError"}
    if sys.platform.startswith("linux"):
        assert told["False"]["memory"] == "MemoryError"
        assert told["False"]["large file"] == "OSError"
    assert not (tmp_path / "canary").exists()


def test_a_program_that_never_ends_is_ended(tmp_path: Path) -> None:
    """With a sentence about time."""
    (tmp_path / "empty").write_bytes(b"")
    with (tmp_path / "empty").open("rb") as file, pytest.raises(Poison, match="longer than 1 s"):
        run_apart("tests.fixtures.sleeping_program", file, tmp_path, name=Path("best.pt"), seconds=1)
