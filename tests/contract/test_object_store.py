"""The contract of the object store, for every store that there is."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from infra.local_store import LocalStore
from infra.memory_store import MemoryStore
from infra.s3_store import S3Address, S3Store
from infra.store import ObjectStore
from tests.contract.object_store_contract import ObjectStoreContract
from tests.fixtures.s3_servers import S3Server

_buckets = itertools.count()


class TestMemoryStore(ObjectStoreContract):
    """The twin."""

    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryStore()


class TestLocalStore(ObjectStoreContract):
    """A folder."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return LocalStore(tmp_path / "store with space")


@pytest.mark.integration
class TestS3Store(ObjectStoreContract):
    """Real servers; every test has a bucket of its own, which the store makes."""

    @pytest.fixture
    def store(self, s3: S3Server) -> ObjectStore:
        address = S3Address(s3.endpoint, f"contract-{next(_buckets)}", prefix="some/prefix", secure=False)
        return S3Store(address, access_key=s3.access_key, secret_key=s3.secret_key)
