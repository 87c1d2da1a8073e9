"""What topics and groups are called on somebody else's cluster, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.settings import Settings
from processors.errors import Fatal
from streams.contract import topics
from streams.contract.version import VERSION
from streams.kafka.consumer import message_of
from streams.kafka.names import AS_THEY_ARE, client_id, names_of
from streams.kafka.options import client_options
from streams.kafka.producer import KafkaSender

PREFIXES = st.text("abcXYZ0129._-", max_size=20)


@given(prefix=PREFIXES, named=st.sets(st.sampled_from([spec.name for spec in topics.TOPICS])))
def test_a_name_comes_back_from_the_cluster(prefix: str, named: set[str]) -> None:
    """Whatever the prefix and the table: each topic has a name of its own there, and that name leads back to it."""
    names = names_of(Settings(topic_prefix=prefix, topic_names={name: f"team_{name}" for name in named}))
    there = [names.topic(spec.name) for spec in topics.TOPICS]
    assert len(set(there)) == len(topics.TOPICS)
    assert [names.name_of(topic) for topic in there] == [spec.name for spec in topics.TOPICS]


def test_without_settings_nothing_is_renamed() -> None:
    """The default: names as EVENTS.md has them."""
    assert names_of(Settings()) == AS_THEY_ARE
    assert AS_THEY_ARE.topic(topics.UPLOADS) == topics.UPLOADS


def test_the_table_comes_before_the_prefix() -> None:
    """A platform team's names are taken as they are; all others get the prefix, groups too."""
    names = names_of(
        Settings(
            topic_prefix="dev.",
            topic_names={topics.UPLOADS: "shop-photos"},
            group_names={"weft-enrich": "shop-photo-readers"},
        )
    )
    assert names.topic(topics.UPLOADS) == "shop-photos"
    assert names.topic(topics.ITEMS) == "dev.catalog.items"
    assert names.group("weft-enrich") == "shop-photo-readers"
    assert names.group("weft-index") == "dev.weft-index"
    assert names_of(Settings(topic_prefix="dev.", group_prefix="team-")).group("weft-index") == "team-weft-index"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"topic_names": {"catalog.upload": "x"}}, "WEFT_TOPIC_NAMES: there is no topic catalog.upload"),
        ({"topic_names": {topics.UPLOADS: "a b"}}, "WEFT_TOPIC_NAMES: 'a b' is no name of a topic"),
        ({"topic_names": {topics.UPLOADS: "x", topics.ITEMS: "x"}}, "catalog.uploads and catalog.items would both"),
        ({"topic_names": {topics.UPLOADS: topics.ITEMS}}, "would both be called catalog.items"),
        ({"group_names": {"enrich": "x"}}, "WEFT_GROUP_NAMES: there is no consumer group enrich"),
        ({"group_names": {"weft-enrich": " "}}, "WEFT_GROUP_NAMES: ' ' is no name of a consumer group"),
        ({"group_names": {"weft-enrich": "team\n"}}, "WEFT_GROUP_NAMES: .* is no name of a consumer group"),
    ],
)
def test_a_table_that_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    """A misspelt name would otherwise read or write some other topic in silence."""
    with pytest.raises(Fatal, match=says):
        names_of(Settings(**settings))


def test_a_prefix_that_no_topic_can_have_is_refused() -> None:
    """Told at the start, by the setting's name."""
    with pytest.raises(ValidationError, match="topic_prefix"):
        Settings(topic_prefix="dev/")


def test_ids_do_not_depend_on_the_names() -> None:
    """The same record of a renamed topic makes events of the same ids: they derive from EVENTS.md's names."""
    names = names_of(Settings(topic_prefix="dev."))
    record = SimpleNamespace(topic="dev.catalog.uploads", partition=3, offset=7, key=b"k", value=b"v", timestamp=0)
    record.headers = ()
    plain = SimpleNamespace(**{**vars(record), "topic": "catalog.uploads"})
    renamed, as_it_is = message_of(record, names), message_of(plain)
    assert renamed == as_it_is
    assert renamed.event_id("enrich") == as_it_is.event_id("enrich")


@dataclass
class Producer:
    """Notes where records go."""

    topics: list[str] = field(default_factory=list)

    async def send(self, topic: str, **_: object) -> Awaitable[object]:
        self.topics.append(topic)
        delivery: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        delivery.set_result(None)
        return delivery


async def test_a_sender_sends_to_the_name_there() -> None:
    """The roles know EVENTS.md's names only."""
    producer = Producer()
    sender = KafkaSender(producer, names_of(Settings(topic_prefix="dev.")))
    await (await sender.send(topics.ITEMS, key=b"k", value=b"v"))
    assert producer.topics == ["dev.catalog.items"]


def test_a_client_id_names_role_and_version() -> None:
    """So that a broker's quotas, logs and group lists tell who is who."""
    assert client_id("enrich").startswith(f"weft-enrich-{VERSION}-")
    assert client_options(Settings(), "index")["client_id"] == client_id("index")
