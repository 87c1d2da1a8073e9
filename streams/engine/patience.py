"""Work on a model that may never come back, with a limit: whoever waits gets an error, and the device goes on.

A thread that hangs in a driver cannot be ended. It is left to itself; until it comes back, the model is not asked again.
It is one thread for all calls: memory that a batch has freed lies in an arena of the thread that took it, where another thread
does not find it, and a thread for each batch made a role grow by the memory of a batch, again and again.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Hung(Exception):
    """The model did not answer in time, or is still busy with what it did not answer in time."""


@dataclass(slots=True)
class _Call(Generic[T]):
    work: Callable[[], T]
    done: threading.Event = field(default_factory=threading.Event)
    result: T | None = None
    error: BaseException | None = None
    given_up: bool = False

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            self.error = error
        finally:
            self.done.set()


def _serve(calls: SimpleQueue[_Call[object] | None]) -> None:
    """The thread: one call after the other, until there is nobody any more who could ask."""
    while (call := calls.get()) is not None:
        call.run()
        del call  # what it gave would live on until the next one


class Patience:
    """Runs one call at a time, each for at most so many seconds.

    Args:
        seconds: limit of a call; 0 is none.
        name: of the thread, which starts with the first call and ends with this object.
    """

    def __init__(self, seconds: float, name: str = "patience") -> None:
        self._seconds = seconds
        self._name = name
        self._call: _Call[object] | None = None
        self._calls: SimpleQueue[_Call[object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def run(self, work: Callable[[], T]) -> T:
        """What `work` gives, or its error. Called by one thread at a time, or by `work` itself, whose time it then counts to.

        Raises:
            Hung: it did not come back in time, or a call of before has not.
        """
        if self._seconds <= 0 or self.waited_for():
            return work()
        if self._call is not None and not self._call.done.is_set():
            raise Hung(f"a batch that took more than {self._seconds:.0f} s has still not come back")
        if self._thread is None:
            self._thread = threading.Thread(target=_serve, args=(self._calls,), name=self._name, daemon=True)
            self._thread.start()
            weakref.finalize(self, self._calls.put, None)
        call: _Call[object] = _Call(work)
        self._call = call
        self._calls.put(call)
        if not call.done.wait(self._seconds):
            call.given_up = True
            raise Hung(f"no answer within {self._seconds:.0f} s")
        self._call = None
        if call.error is not None:
            raise call.error
        return cast(T, call.result)

    def waited_for(self) -> bool:
        """Whether this is the thread of a call that somebody still waits for."""
        call = self._call
        return threading.current_thread() is self._thread and call is not None and not call.given_up
