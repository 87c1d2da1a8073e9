"""A Hypothesis state machine: a store and a dict, told the same, stay the same."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from infra.local_store import LocalStore
from infra.memory_store import MemoryStore
from infra.store import ETag, NotFound, ObjectStore

# No key of these is a folder of another.
KEYS = st.sampled_from(["a", "b/c", "b/d", "b-e", "f/g/h", "f/i"])
DATA = st.binary(max_size=8)


class _StoreMachine(RuleBasedStateMachine):
    """`tags` holds every tag ever seen, so that swaps meet present, old and foreign ones."""

    tags = Bundle("tags")

    def __init__(self) -> None:
        super().__init__()
        self.store = self.open()
        self.model: dict[str, bytes] = {}

    def open(self) -> ObjectStore:
        raise NotImplementedError

    @rule(target=tags, key=KEYS, data=DATA)
    def put(self, key: str, data: bytes) -> ETag:
        self.model[key] = data
        return self.store.put(key, data)

    @rule(key=KEYS, data=DATA)
    def create(self, key: str, data: bytes) -> None:
        assert self.store.create(key, data) == (key not in self.model)
        self.model.setdefault(key, data)

    @rule(key=KEYS, data=DATA, tag=tags)
    def swap(self, key: str, data: bytes, tag: ETag) -> None:
        present = key in self.model and self.store.get_versioned(key).etag == tag
        assert (self.store.swap(key, data, tag) is not None) == present
        if present:
            self.model[key] = data

    @rule(target=tags, key=KEYS)
    def get_versioned(self, key: str) -> ETag:
        try:
            data, tag = self.store.get_versioned(key)
        except NotFound:
            assert key not in self.model
            return ETag("none")
        assert data == self.model[key]
        return tag

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.model.pop(key, None)
        self.store.delete(key)

    @rule(prefix=st.sampled_from(["", "b", "b/", "b/c", "f/", "f/g/", "x"]))
    def list_prefix(self, prefix: str) -> None:
        assert list(self.store.list(prefix)) == sorted(key for key in self.model if key.startswith(prefix))

    @invariant()
    def same_objects(self) -> None:
        assert {key: self.store.get(key) for key in self.store.list()} == self.model


class MemoryMachine(_StoreMachine):
    def open(self) -> ObjectStore:
        return MemoryStore()


class LocalMachine(_StoreMachine):
    def open(self) -> ObjectStore:
        self.folder = Path(tempfile.mkdtemp(prefix="weft-store-"))
        return LocalStore(self.folder)

    @rule()
    def reopen(self) -> None:
        """Another process opens the same folder."""
        self.store = LocalStore(self.folder)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestMemoryMachine = MemoryMachine.TestCase
TestLocalMachine = LocalMachine.TestCase
TestMemoryMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLocalMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
