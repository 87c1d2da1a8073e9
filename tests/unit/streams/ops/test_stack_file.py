"""Clients of a stack that is still starting."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.settings import Settings
from streams.ops import stack_file
from streams.ops.stack_file import StackFile, at_work, is_at_work, wait_for_start

STACK = StackFile(bootstrap="127.0.0.1:1", store="file:///s", metrics={}, pids={})


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_file, "_POLL_S", 0.0)


def test_a_client_waits_until_the_stack_is_ready(tmp_path: Path) -> None:
    """`weft up &` and the next line of the README at once: it ended with "no broker"."""
    told: list[str] = []

    def ready(text: str) -> None:
        told.append(text)
        stack_file.write(tmp_path, STACK)

    with at_work(tmp_path):
        wait_for_start(Settings(data_dir=tmp_path), ready)
        assert stack_file.locate(Settings(data_dir=tmp_path)).bootstrap_servers == STACK.bootstrap
        wait_for_start(Settings(data_dir=tmp_path), told.append)  # it is up: nobody waits
    assert told == [f"the stack in {tmp_path} is not ready yet: waiting for it"]


def test_a_client_waits_no_longer_than_the_stack_lives(tmp_path: Path) -> None:
    """However it ended: the lock goes with the process."""
    told: list[str] = []
    with ExitStack() as running:
        running.enter_context(at_work(tmp_path))

        def died(text: str) -> None:
            told.append(text)
            running.close()

        wait_for_start(Settings(data_dir=tmp_path), died)
    assert len(told) == 1
    assert not is_at_work(tmp_path)


def test_nobody_waits_where_no_stack_starts_or_a_broker_is_named(tmp_path: Path) -> None:
    """A folder without a stack, one that is not there, and another broker than the stack's."""
    told: list[str] = []
    wait_for_start(Settings(data_dir=tmp_path), told.append)
    wait_for_start(Settings(data_dir=tmp_path / "none"), told.append)
    with at_work(tmp_path):
        wait_for_start(Settings(data_dir=tmp_path, bootstrap_servers="127.0.0.1:9"), told.append)
    assert not told
    assert not (tmp_path / "none").exists()


def test_two_stacks_in_one_folder_and_a_folder_that_is_none(tmp_path: Path) -> None:
    """Who may start is the broker's to say: neither waits here for the other."""
    with at_work(tmp_path), at_work(tmp_path):
        assert is_at_work(tmp_path)
    (tmp_path / "file").write_text("")
    with at_work(tmp_path / "file"):
        assert not is_at_work(tmp_path / "file")
