"""The folder in which a command is started is never imported, whatever lies in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.spawn import python_argv
from streams.cli.exits import Exit

TRAP = "import pathlib, sys; pathlib.Path(__file__).with_name('imported').touch(); sys.exit('imported')"


@pytest.fixture
def folder(tmp_path):
    """A data scientist's folder: names that are ours, a library's and the standard library's."""
    for name in ("models", "infra", "processors", "index_sync"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(TRAP)
    for name in ("torch", "aiokafka", "typer", "queue", "msgspec", "faiss", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(TRAP)
    return tmp_path


def run(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "WEFT_PROFILE": "fake", "WEFT_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    "argv",
    [
        (str(Path(sys.executable).with_name("weft")), "up"),
        (sys.executable, "-m", "streams.cli", "up"),
        python_argv("streams.cli", "up"),
    ],
    ids=["weft", "python -m", "as weft up starts its roles"],
)
def test_nothing_of_the_folder_is_imported(argv, folder):
    """The command comes as far as the broker that is not there."""
    ended = run(folder, *argv)
    assert ended.returncode == Exit.UNAVAILABLE, ended.stderr
    assert "127.0.0.1:9" in ended.stderr
    assert not list(folder.rglob("imported"))


def test_the_roles_of_a_stack_are_started_so(tmp_path):
    """`weft up` gives each of its children `-P`."""
    from infra.settings import Settings
    from streams.ops.stack import Stack

    stack = Stack(Settings(data_dir=tmp_path, bootstrap_servers="127.0.0.1:9"))
    command = stack._command("enrich", ("enrich",))
    assert command.argv[:4] == (sys.executable, "-P", "-m", "streams.cli")
