"""Which index generations there are, as `index.control` says: which one is live, and what each is made of.

The pointer is one record under the collection's name; swapping and rolling back write it. What a generation is made of
stands under `generation/<collection>/<name>`. A cluster that never made a second one has neither: the first is live.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field, replace

from infra.settings import Settings
from processors.errors import BadSetting, Poison
from streams.contract import codecs, topics
from streams.contract.records import Generation
from streams.engine.message import Message
from streams.kafka.client import Reader

COLLECTION = "catalog"
FIRST = "g-0001"
"""The generation that reads `catalog.items` from its beginning, without being built."""
_PREFIX = f"generation/{COLLECTION}/"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def key_of(name: str) -> str:
    """The key of the record that says what a generation is made of."""
    return f"{_PREFIX}{name}"


def group_of(name: str) -> str:
    """The group that keeps a generation's own items topic current; where a replay that fills it is, too."""
    return f"weft-items-{name}"


def captions_group(items: str) -> str:
    """The group in which the role `caption` reads an items topic: one of its own for each, so that no offset of another counts."""
    return "weft-caption" + items.removeprefix(topics.ITEMS).replace(".", "-")


def checked_name(name: str) -> str:
    """The name itself: it becomes part of topics, groups and keys of the store. Raises `BadSetting`."""
    if not _NAME.fullmatch(name):
        raise BadSetting(
            f"{name[:80]!r} is no name of a generation: up to 64 of a-z, 0-9, - and _, beginning with a letter or digit"
        )
    return name


@dataclass(frozen=True, slots=True)
class Generations:
    """The generations of the collection. A value: `after` returns the next one."""

    pointer: Generation | None = None
    made: Mapping[str, Generation] = field(default_factory=dict)

    @property
    def live(self) -> str:
        """The name of the one that answers."""
        return FIRST if self.pointer is None else self.pointer.generation

    @property
    def items(self) -> str:
        """The items topic of the one that answers: what captions are made of."""
        made = self.of(self.live)
        return topics.ITEMS if made is None else made.items

    @property
    def previous(self) -> str:
        """The one that a rollback leads to; "" where there is none."""
        return "" if self.pointer is None else self.pointer.previous

    def of(self, name: str) -> Generation | None:
        """What a generation is made of; None for one that does not exist, or was dropped."""
        found = self.made.get(name)
        if found is None and name == FIRST:
            return Generation(key_of(FIRST), FIRST, "building", ready=True)
        return None if found is None or found.state == "retired" else found

    def all(self) -> list[Generation]:
        """Those that exist, by name."""
        return [made for name in sorted({FIRST, *self.made}) if (made := self.of(name)) is not None]

    def served(self) -> dict[str, Generation]:
        """Those that the index workers hold, by name."""
        return {made.generation: made for made in self.all() if made.ready}

    def state(self, name: str) -> str:
        """`live`, `retired` (it answered once: `previous` is where a rollback leads) or `building`, as `Generation.state` spells them."""
        if name == self.live:
            return "live"
        return "retired" if name in {self.previous, *self.answered} else "building"

    @property
    def answered(self) -> tuple[str, ...]:
        """Those that answered before the previous one, by name, but for those that were dropped, and built anew, since."""
        return self._answered({self.live, self.previous})

    def answered_before(self, name: str) -> tuple[str, ...]:
        """What `answered` is once this one is swapped in: the previous one is among them then."""
        return self._answered({self.live, name})

    def _answered(self, but: Collection[str]) -> tuple[str, ...]:
        pointer = self.pointer
        if pointer is None:
            return ()
        # Whoever else answers, the first did, though a pointer of an earlier version does not say so.
        names = sorted({*pointer.answered, pointer.previous, FIRST} - {"", *but})
        there = [made for name in names if (made := self.of(name)) is not None]
        return tuple(made.generation for made in there if made.ready and made.at <= pointer.at)

    def after(self, message: Message) -> Generations:
        """The generations after a record of `index.control`; what is none of theirs changes nothing."""
        key = (message.key or b"").decode("utf-8", "replace")
        if key != COLLECTION and not key.startswith(_PREFIX):
            return self
        try:
            record = None if message.value is None else codecs.decode_generation(message.value)
        except Poison:
            return self  # junk is no generation
        if key == COLLECTION:
            return replace(self, pointer=record)
        made = {name: kept for name, kept in self.made.items() if name != key.removeprefix(_PREFIX)}
        if record is not None:
            made[key.removeprefix(_PREFIX)] = record
        return replace(self, made=made)


async def read(settings: Settings) -> Generations:
    """The generations as they stand now. Raises `Retryable` when no broker answers."""
    found = Generations()
    async with Reader(settings, topics.CONTROL) as reader:
        async for message in reader.to_end():
            found = found.after(message)
    return found


async def follow(settings: Settings, client: str) -> AsyncIterator[Generations]:
    """The generations as they stand, and again with each change, for ever."""
    found = Generations()
    # Years may pass between two records: the broker is asked once a second, and answers at once when one comes.
    async with Reader(settings, topics.CONTROL, client=client, fetch_wait_ms=1000) as reader:
        async for message in reader.to_end():
            found = found.after(message)
        yield found
        async for message in reader.follow():
            now = found.after(message)
            if now != found:
                found = now
                yield now
