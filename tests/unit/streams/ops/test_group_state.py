"""What the tools read of a consumer group while its coordinator is not there yet, or still loading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, GroupCoordinatorNotAvailableError
from aiokafka.protocol.admin import DescribeGroupsResponse_v1
from aiokafka.protocol.commit import OffsetFetchResponse_v3

from infra.settings import Settings
from processors.errors import Fatal
from streams.ops import admin

LOADING, MOVED = 14, 16


class Broker:
    """Answers one after the other: an exception of the look for the coordinator, or what the coordinator says."""

    def __init__(self, answers: Sequence[Any]) -> None:
        self.answers = list(answers)

    def __call__(self, **options: Any) -> Broker:
        return self

    @property
    def _client(self) -> Broker:
        return self

    async def _metadata_update(self, cluster: Any, topics: Any) -> bool:
        return True

    async def bootstrap(self) -> None: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def find_coordinator(self, group: str) -> int:
        if isinstance(self.answers[0], Exception):
            raise self.answers.pop(0)
        return 1

    async def _send_request(self, request: Any, node: int) -> Any:
        return self.answers.pop(0)

    async def describe_consumer_groups(self, groups: list[str]) -> list[Any]:
        await self.find_coordinator(groups[0])
        return [self.answers.pop(0)]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Any:
    def answering(*answers: Any) -> Broker:
        broker = Broker(answers)
        monkeypatch.setattr("aiokafka.admin.AIOKafkaAdminClient", broker)
        return broker

    monkeypatch.setattr(admin, "_COORDINATOR_PAUSE_S", 0.0)
    return answering


def offsets(code: int, *partitions: tuple[int, int, str, int]) -> OffsetFetchResponse_v3:
    return OffsetFetchResponse_v3(0, [("catalog.items", list(partitions))] if partitions else [], code)


def described(code: int, members: int) -> DescribeGroupsResponse_v1:
    member = ("id", "client", "host", b"", b"")
    return DescribeGroupsResponse_v1(0, [(code, "weft-index", "Stable", "consumer", "range", [member] * members)])


async def test_offsets_wait_for_a_coordinator_that_is_loading(broker: Any) -> None:
    """Told as "nothing was ever committed", a replay began anew and a swap waited for what was done."""
    asked = broker(
        GroupCoordinatorNotAvailableError("none yet"),
        offsets(LOADING),
        offsets(0, (0, -1, "", MOVED)),
        offsets(0, (0, 17, "topic", 0), (1, -1, "", 0)),
    )
    assert await admin.group_offsets(Settings(), "weft-index") == {("catalog.items", 0): (17, "topic")}
    assert not asked.answers


async def test_members_wait_for_a_coordinator_that_is_loading(broker: Any) -> None:
    """Told as no member at all, a generation was dropped under its writer."""
    asked = broker(GroupCoordinatorNotAvailableError("none yet"), described(LOADING, 0), described(0, 2))
    assert await admin.group_members(Settings(), "weft-index") == 2
    assert not asked.answers


async def test_what_does_not_pass_is_told_at_once(broker: Any) -> None:
    """A right that is missing."""
    broker(GroupAuthorizationFailedError("no"), offsets(0))
    with pytest.raises(Fatal, match="GroupAuthorizationFailed"):
        await admin.group_offsets(Settings(), "weft-index")


async def test_who_never_comes_is_told_after_a_while(broker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the last try."""
    monkeypatch.setattr(admin, "_COORDINATOR_S", -1.0)
    broker(offsets(LOADING))
    with pytest.raises(Exception, match="group weft-index") as told:
        await admin.group_offsets(Settings(), "weft-index")
    assert type(told.value).__name__ == "Retryable"
