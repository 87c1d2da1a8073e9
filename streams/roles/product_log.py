"""States of products that were written together: one object for each batch of a partition, instead of one for each product.

`products/{topic}/log/{partition}/{number}` holds what a batch of uploads left behind; the numbers count up, and each is created,
never written over: of two workers that believe that a partition is theirs, the second finds its number taken, and begins anew
from what is there. What has become long is folded, either into one such object or into an object for each product, and `floor`
says that what lies before it is done with: a worker that wakes late, and finds the number free that it was to write, finds the
floor above it. The newest state of a product is that of the highest `number` (`streams.roles.product_states.Kept`), wherever it lies.

Everything here blocks: call it in a thread. `refresh`, `append` and `fold` of one log by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from infra.logs import logger
from infra.store import ETag, NotFound, ObjectStore
from processors.errors import Retryable

log = logger(__name__)

FEW = 1_000
"""States that are folded into one object of the log; more are written to the products' own."""
MOST_STATES = 5_000
"""States in memory of one partition before they are folded: about 600 bytes each."""
MOST_SEGMENTS = 64
"""Objects of one log before they are folded: whoever takes the partition over reads them all."""
_FLOOR = "floor"
_THREADS = 8

State: TypeAlias = tuple[str, int, bytes]
"""A product's key, the number of its state, and the state (MessagePack of `Kept`)."""
_STATES = msgspec.msgpack.Decoder(list[State])


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest state of a product in a log, and in which object it lies."""

    number: int
    data: bytes
    segment: int


@dataclass(slots=True)
class ProductLog:
    """The log of one partition.

    Args:
        store: where it is.
        prefix: of its objects, with a slash.
        states: of all products of it that are not folded; read it from anywhere.
    """

    store: ObjectStore
    prefix: str
    states: dict[str, Newest] = field(default_factory=dict)
    segments: dict[int, int] = field(default_factory=dict)
    """Number of an object → how many states it holds."""
    floor: int = 0
    next: int = 0

    def refresh(self, numbers: Iterable[int] | None = None) -> None:
        """Read what others have written. `numbers`: of the objects that are there, where they were listed already.

        Raises `Retryable`: the store is away, or it was folded again and again meanwhile.
        """
        for _ in range(5):
            floor = self._floor()
            if floor != self.floor:
                self._begin(floor)
            found = sorted(n for n in (self._listed() if numbers is None else numbers) if n >= max(self.next, floor))
            try:
                for number in found:
                    self._took(number, _decoded(self.store.get(self._key(number)), self._key(number)))
            except NotFound:
                numbers = None
                self._begin(-1)  # folded since: what it held lies elsewhere
            else:
                self.next = max(self.next, floor)
                return
        raise Retryable(f"{self.prefix} changes faster than it is read")

    def append(self, states: Sequence[State]) -> None:
        """Write the next object. Raises `Retryable`: the store is away, or another worker has written to the partition."""
        number, data = self.next, msgspec.msgpack.encode(states)
        if not self.store.create(self._key(number), data):
            self.refresh()  # by an attempt of ours whose answer did not come, too: the uploads find it when they come again
            raise Retryable(f"{self.prefix} was written by another worker")
        floor = self._floor()
        if floor > number:
            # It was written, folded and removed by another worker while this one stood still: this one came too late.
            self.store.delete(self._key(number))
            self.refresh()
            raise Retryable(f"{self.prefix} was folded by another worker")
        self._took(number, states)

    @property
    def is_long(self) -> bool:
        """Whether it is to be folded."""
        return len(self.states) > MOST_STATES or len(self.segments) > MOST_SEGMENTS

    def gathered(self) -> tuple[int, list[State]] | None:
        """What is to be written to the products' own objects, and up to which object of the log; None: it was little, and is in
        one object of the log now. Raises `Retryable`.
        """
        # As the objects have it now: a product that was taken out (`without`) stays out.
        newest: dict[str, State] = {}
        for number in sorted(self.segments):
            for state in _found(self.store, self._key(number))[0]:
                known = newest.get(state[0])
                if known is None or known[1] <= state[1]:
                    newest[state[0]] = state
        if len(newest) > FEW:
            return self.next, list(newest.values())
        self.append(list(newest.values()))
        self.drop(self.next - 1)
        return None

    def drop(self, end: int) -> None:
        """What lies before `end` is elsewhere now. Raises `Retryable`."""
        key = self.prefix + _FLOOR
        try:
            found = self.store.get_versioned(key)
        except NotFound:
            moved = self.store.create(key, str(end).encode())
        else:
            moved = int(found.data) >= end or self.store.swap(key, str(end).encode(), found.etag) is not None
        if not moved:
            raise Retryable(f"{key} was changed by another worker")
        for number in self._listed():
            if number < end:
                self.store.delete(self._key(number))
        self.floor = max(self.floor, end)
        self.segments = {number: count for number, count in self.segments.items() if number >= end}
        for product in [product for product, one in self.states.items() if one.segment < end]:
            del self.states[product]

    def _begin(self, floor: int) -> None:
        self.states.clear()
        self.segments.clear()
        self.floor = self.next = floor

    def _took(self, number: int, states: Sequence[State]) -> None:
        for product, order, data in states:
            known = self.states.get(product)
            if known is None or known.number <= order:
                self.states[product] = Newest(order, data, number)
        self.segments[number] = len(states)
        self.next = number + 1

    def _floor(self) -> int:
        try:
            return int(self.store.get(self.prefix + _FLOOR))
        except NotFound:
            return 0

    def _listed(self) -> list[int]:
        return [number for key in self.store.list(self.prefix) if (number := number_of(key)) is not None]

    def _key(self, number: int) -> str:
        return f"{self.prefix}{number:012d}"


def number_of(key: str) -> int | None:
    """The number of an object of a log; None of the floor."""
    name = key.rpartition("/")[2]
    return int(name) if name.isdecimal() else None


def holding(store: ObjectStore, prefix: str, meant: Callable[[str], bool]) -> list[str]:
    """The objects of all logs below a prefix that hold states of certain products, by their keys. Blocking."""
    return [key for key in _all(store, prefix) if any(meant(state[0]) for state in _found(store, key)[0])]


def without(store: ObjectStore, prefix: str, meant: Callable[[str], bool]) -> int:
    """Take products out of all logs below a prefix; out of how many objects. Blocking. Who holds a partition keeps what it has read."""
    count = 0
    for key in _all(store, prefix):
        states, etag = _found(store, key)
        left = [state for state in states if not meant(state[0])]
        if etag is not None and len(left) < len(states):
            count += store.swap(key, msgspec.msgpack.encode(left), etag) is not None  # else it was folded, and is gone
    return count


def _all(store: ObjectStore, prefix: str) -> list[str]:
    return [key for key in store.list(prefix) if number_of(key) is not None and "/log/" in key]


def _found(store: ObjectStore, key: str) -> tuple[list[State], ETag | None]:
    try:
        found = store.get_versioned(key)
    except NotFound:
        return [], None
    return _decoded(found.data, key), found.etag


def write_own(
    store: ObjectStore, states: Sequence[State], key_of: Callable[[str], str], number_in: Callable[[bytes], int]
) -> None:
    """Write states to the products' own objects, except where a newer one is.

    Args:
        store: where they are.
        states: to be written.
        key_of: the object of a product.
        number_in: the number of a state that is there.

    Raises:
        Retryable: the store is away, or another worker writes the same objects.
    """

    def one(state: State) -> None:
        product, number, data = state
        key = key_of(product)
        try:
            found = store.get_versioned(key)
        except NotFound:
            written = store.create(key, data)
        else:
            written = number_in(found.data) >= number or store.swap(key, data, found.etag) is not None
        if not written and number_in(store.get(key)) < number:
            raise Retryable(f"{key} was changed by another worker")

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="fold") as pool:
        for _ in pool.map(one, states):
            pass


def by_partition(keys: Iterable[str], prefix: str) -> Mapping[int, list[int]]:
    """Partition → the numbers of the objects of its log, of keys below the prefix of all logs."""
    found: dict[int, list[int]] = {}
    for key in keys:
        partition, _, _ = key.removeprefix(prefix).partition("/")
        number = number_of(key)
        if partition.isdecimal():
            numbers = found.setdefault(int(partition), [])
            if number is not None:
                numbers.append(number)
    return found


def _decoded(data: bytes, key: str) -> list[State]:
    try:
        return _STATES.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # As if it were not there: a full upload of each product makes it good.
        log.warning("products.unreadable", key=key, cause=str(error))
        return []
