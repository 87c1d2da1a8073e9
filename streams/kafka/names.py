"""What topics and consumer groups are called on this cluster.

The code knows one name for each topic and group, those of EVENTS.md. On somebody else's cluster they may carry a prefix,
or be names of a table that a platform team gave. Every client translates at its edge: what it sends to, subscribes to and
asks about on the way out, what a record says of its topic on the way in. So event ids, places of dead letters, offsets in
queries and snapshots of the index hold the names of EVENTS.md, and do not change when a topic is called something else.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.settings import Settings
from processors.errors import BadSetting
from streams.contract.topics import ITEMS, TOPICS
from streams.contract.version import VERSION

GROUPS = ("weft-enrich", "weft-caption", "weft-index", "weft-compose", "weft-standing", "weft-context", "weft-edit")
"""The consumer groups, one a role."""
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")  # what a broker accepts as a name
_MOST = 249


@dataclass(frozen=True, slots=True)
class Names:
    """From the names of EVENTS.md to those on the cluster, and back. A table comes before a prefix.

    Args:
        topic_prefix: put before every topic that `topics` does not name.
        group_prefix: put before every group that `groups` does not name.
        topics: name in EVENTS.md to name on the cluster.
        groups: likewise of consumer groups.
    """

    topic_prefix: str = ""
    group_prefix: str = ""
    topics: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `name_of` answered: it is asked of every record that is read, and a process reads some ten topics."""

    def topic(self, name: str) -> str:
        """What the topic is called on the cluster. The items of a generation are called after `catalog.items` there."""
        if name.startswith(f"{ITEMS}."):
            return self.topic(ITEMS) + name.removeprefix(ITEMS)
        return self.topics.get(name) or self.topic_prefix + name

    def group(self, name: str) -> str:
        """What the consumer group is called on the cluster."""
        return self.groups.get(name) or self.group_prefix + name

    def name_of(self, topic: str) -> str:
        """The name in EVENTS.md of a topic of the cluster."""
        told = self._told.get(topic)
        if told is None:
            told = self._told[topic] = self._name_of(topic)
        return told

    def _name_of(self, topic: str) -> str:
        named = next((name for name, given in self.topics.items() if given == topic), None)
        items = self.topic(ITEMS)
        if named is None and topic.startswith(f"{items}."):
            return ITEMS + topic.removeprefix(items)
        return named or topic.removeprefix(self.topic_prefix)

    def all_topics(self) -> dict[str, str]:
        """Every topic of EVENTS.md and its name on the cluster."""
        return {spec.name: self.topic(spec.name) for spec in TOPICS}

    def all_groups(self) -> dict[str, str]:
        """Every consumer group and its name on the cluster."""
        return {name: self.group(name) for name in GROUPS}


AS_THEY_ARE = Names()
"""No prefix and no table."""


def names_of(settings: Settings) -> Names:
    """The names that the settings give.

    Raises:
        BadSetting: a table names something that Weft does not have, or two topics (or groups) get one name.
    """
    names = Names(
        settings.topic_prefix,
        settings.group_prefix or settings.topic_prefix,
        dict(settings.topic_names),
        dict(settings.group_names),
    )
    _check("WEFT_TOPIC_NAMES", "topic", names.topics, names.all_topics())
    _check("WEFT_GROUP_NAMES", "consumer group", names.groups, names.all_groups())
    return names


def _check(variable: str, kind: str, table: Mapping[str, str], all_of_them: Mapping[str, str]) -> None:
    if unknown := sorted(set(table) - set(all_of_them)):
        raise BadSetting(f"{variable}: there is no {kind} {', '.join(unknown)}; there are {', '.join(all_of_them)}")
    taken: dict[str, str] = {}
    for name, given in all_of_them.items():
        if kind == "topic" and (not _TOPIC.fullmatch(given) or given in {".", ".."}):
            raise BadSetting(
                f"{variable}: {given!r} is no name of a topic: at most {_MOST} letters, digits, '.', '_', '-'"
            )
        if kind != "topic" and not (given.isprintable() and given == given.strip()):
            raise BadSetting(f"{variable}: {given!r} is no name of a {kind}")
        if given in taken:
            raise BadSetting(f"{variable}: {taken[given]} and {name} would both be called {given}")
        taken[given] = name


def client_id(client: str, instance: str = "") -> str:
    """What a connection calls itself, for the broker's logs, quotas and group lists: `weft-enrich-0.1.0-host`.

    Args:
        client: a role, or "tool".
        instance: what tells a process from others of its role on the host; behind the rest where it is given.
    """
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())
    return f"weft-{client}-{VERSION}-{host}{f'-{instance}' if instance else ''}"
