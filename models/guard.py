"""What every model needs, written once: length and order, warm-up, timing, and batches that do not fit the memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, cast

import numpy as np

from models.memory import is_out_of_memory, release_memory
from models.ports import (
    Detector,
    GivesWay,
    HoldsToGrammar,
    ImageEncoder,
    Inpaint,
    Inpainter,
    Model,
    Raw,
    Ready,
    RefusesTexts,
    SeesFaint,
    TextEncoder,
    View,
    Writer,
    WriterRequest,
    view_of,
)
from processors.errors import Code, Fatal, Poison, Retryable, WeftError
from processors.values import Detection, Pixels, Vector

if TYPE_CHECKING:
    from collections.abc import Iterator

In = TypeVar("In")
Out = TypeVar("Out")

Observe: TypeAlias = Callable[[str, int, float], None]
"""Called as (stage, items, seconds) after each "prepare", "forward", "finish", and "out_of_memory" (seconds lost)."""


def ignore(_stage: str, _items: int, _seconds: float) -> None:
    """Watch nothing: the `observe` of a guard whose timings nobody reads."""


class Guarded(Generic[In, Out]):
    """Any `Model`, held to its contract; itself a `Model`.

    Args:
        model: the adapter that does the work.
        name: how messages call it ("detector").
        observe: receives the timings; see `Observe`.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        model: Model[In, Out],
        *,
        name: str,
        observe: Observe = ignore,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self.name = name
        self._observe = observe
        self._clock = clock

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the model inside: guarding changes no output."""
        return self._model.fingerprint

    def example(self) -> In:
        return self._model.example()

    def prepare(self, item: In, /) -> Ready:
        with self._timed("prepare", 1):
            return self._model.prepare(item)

    def finish(self, item: In, raw: Raw, /) -> Out:
        with self._timed("finish", 1):
            return self._model.finish(item, raw)

    def forward(self, batch: Sequence[Ready], /) -> list[Raw]:
        """Run the device, halving the batch as often as the memory demands.

        Raises:
            Poison: a single item does not fit although the model's own example does.
            Retryable: not even the example fits; the memory is somebody else's at the moment.
            Fatal: the model broke its contract (another number of results than items), or fails on its own example:
                a driver that is broken fails on everything from now on, and no item is at fault.
            Whatever the model raises on this batch; halve it to find the item.
        """
        if not batch:
            return []
        started = self._clock()
        try:
            results = self._attempt(batch)
        except WeftError:
            raise
        except Exception as error:
            if len(batch) == 1:
                self._blame(error)
            raise
        if results is not None:
            return results
        self._observe("out_of_memory", len(batch), self._clock() - started)
        release_memory()
        if len(batch) > 1:
            middle = len(batch) // 2
            return self.forward(batch[:middle]) + self.forward(batch[middle:])
        return self._alone(batch)

    def run(self, items: Sequence[In]) -> list[Out]:
        """All three steps for `items`, in order, on the calling thread."""
        raws = self.forward([self.prepare(item) for item in items])
        return [self.finish(item, raw) for item, raw in zip(items, raws, strict=True)]

    def warm_up(self, spread: Sequence[In] = ()) -> None:
        """Drive the example through all three steps, alone and as a pair, so that the first real item finds a warm device.

        Args:
            spread: two or more *different* items; they are asked for in both orders and the answers must swap with
                them. This is the only place where a shuffled batch can be seen, so give it where outputs repeat.

        Raises:
            Fatal: the model fails on its own example, or answers in another order than it was asked.
        """
        try:
            example = self._model.example()
            self.run([example])
            self.run([example, example])
            there, back = self.run(spread), self.run(spread[::-1])
        except (Retryable, Fatal):
            raise
        except Exception as error:
            raise Fatal(f"{self.name} fails on its own example: {type(error).__name__}: {error}") from error
        if not all(_alike(one, other) for one, other in zip(there, back[::-1], strict=True)):
            raise Fatal(f"{self.name} answers in another order than it is asked")

    def _attempt(self, batch: Sequence[Ready]) -> list[Raw] | None:
        """One `forward` of the model inside; None when the memory did not suffice."""
        try:
            with self._timed("forward", len(batch)):
                results = self._model.forward(batch)
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                return None
            raise
        if len(results) != len(batch):
            raise Fatal(f"{self.name} returned {len(results)} results for a batch of {len(batch)}")
        return results

    def _blame(self, error: Exception) -> None:
        """Find out whether it is the item's fault: every item that comes would be refused for a broken device."""
        try:
            self._model.forward([self._model.prepare(self._model.example())])
        except Retryable:
            raise
        except Exception as again:  # noqa: BLE001 - whatever it is, the next item meets it too
            raise Fatal(
                f"{self.name} fails on its own example: {type(again).__name__}: {again}; the device is broken"
            ) from error

    def _alone(self, batch: Sequence[Ready]) -> list[Raw]:
        """Decide whose fault it is that one item does not fit: the example is known to fit a healthy device."""
        if self._attempt([self._model.prepare(self._model.example())]) is None:
            raise Retryable(f"{self.name} is out of memory, even for its own example")
        results = self._attempt(batch)
        if results is None:
            raise Poison(f"{self.name} runs out of memory on this item alone", code=Code.OUT_OF_RANGE)
        return results

    def _timed(self, stage: str, items: int) -> AbstractContextManager[None]:
        return _timed(stage, items, self._observe, self._clock)


class GuardedDetector(Guarded[Pixels, tuple[Detection, ...]]):
    """A guarded `Detector`."""

    def __init__(self, model: Detector, *, name: str = "detector", observe: Observe = ignore) -> None:
        super().__init__(model, name=name, observe=observe)

    def faint(self, item: Pixels, raw: Raw, /) -> tuple[Detection, ...]:
        """See `SeesFaint`; of a detector that is sure of all that it tells, `finish`."""
        if not isinstance(self._model, SeesFaint):
            return self.finish(item, raw)
        with self._timed("finish", 1):
            return self._model.faint(item, raw)


class GuardedInpainter(Guarded[Inpaint, Pixels]):
    """A guarded `Inpainter`."""

    def __init__(self, model: Inpainter, *, name: str = "editor", observe: Observe = ignore) -> None:
        super().__init__(model, name=name, observe=observe)
        self.method = model.method

    def give_way_to(self, urgent: Callable[[], None]) -> bool:
        """See `GivesWay`."""
        return isinstance(self._model, GivesWay) and self._model.give_way_to(urgent)


class GuardedImageEncoder(Guarded[Pixels, Vector]):
    """A guarded `ImageEncoder`."""

    def __init__(self, model: ImageEncoder, *, name: str = "image encoder", observe: Observe = ignore) -> None:
        super().__init__(model, name=name, observe=observe)
        self._encoder = model

    @property
    def dimension(self) -> int:
        return self._encoder.dimension

    @property
    def features_maker(self) -> str:
        return self._encoder.features_maker

    def features(self, raw: Raw, /) -> Vector:
        return self._encoder.features(raw)


class GuardedTextEncoder(Guarded[str, Vector]):
    """A guarded `TextEncoder`."""

    def __init__(self, model: TextEncoder, *, name: str = "text encoder", observe: Observe = ignore) -> None:
        super().__init__(model, name=name, observe=observe)
        self._dimension = model.dimension
        self.refuses = model.refuses if isinstance(model, RefusesTexts) else ""
        """Why there is no text tower inside: every text is refused; "" where there is one."""

    @property
    def dimension(self) -> int:
        return self._dimension

    def warm_up(self, spread: Sequence[str] = ()) -> None:
        """Nothing to warm where there is no tower."""
        if not self.refuses:
            super().warm_up(spread)


RESTART_SECONDS = 60.0
"""For so long a writer that failed from the start of its process on is left as it is: captions are written by rule."""


class GuardedWriter(Guarded[WriterRequest, str]):
    """A guarded `Writer`.

    One that has written and then fails on its own example ends the process, as other models do: what is delivered again is
    written by a device that is whole. A `dispensable` one that fails from the start of its process on was not mended by that,
    and captions can be written without it: the item is at fault, until `RESTART_SECONDS` later another process is tried.

    Args:
        model, name, observe, clock: as of every guarded model.
        dispensable: who asks can do without; a warm-up on which the model fails is no reason not to start.
    """

    def __init__(
        self,
        model: Writer,
        *,
        name: str = "writer",
        observe: Observe = ignore,
        clock: Callable[[], float] = time.perf_counter,
        dispensable: bool = False,
    ) -> None:
        super().__init__(model, name=name, observe=observe, clock=clock)
        self._dispensable = dispensable
        self._prompt_fingerprint = model.prompt_fingerprint
        self._has_written = False
        self._broken_since: float | None = None

    def forward(self, batch: Sequence[Ready], /) -> list[Raw]:
        """As every guarded model's, but for when it is the item that is blamed."""
        results = super().forward(batch)
        if results:
            self._has_written, self._broken_since = True, None
        return results

    def warm_up(self, spread: Sequence[WriterRequest] = ()) -> None:
        """See `Guarded.warm_up`; it may be done in another process, from which this one was forked."""
        try:
            super().warm_up(spread)
        except Fatal as error:
            # One that breaks its contract is no failure that may pass.
            if not self._dispensable or error.__cause__ is None:
                raise
            self._broken_since = self._clock()
        self._has_written = False

    def needed(self) -> GuardedWriter:
        """The same for who cannot do without it. Raises `Fatal` where it is broken."""
        if self.is_broken:
            raise Fatal(f"{self.name} fails on its own example; the device is broken")
        return GuardedWriter(cast("Writer", self._model), name=self.name, observe=self._observe, clock=self._clock)

    @property
    def is_broken(self) -> bool:
        """Whether it failed on its own example when it was asked last."""
        return self._broken_since is not None

    def _blame(self, error: Exception) -> None:
        try:
            super()._blame(error)
        except Fatal:
            if self._has_written or not self._dispensable:
                raise
            if self._broken_since is None:
                self._broken_since = self._clock()
            if self._clock() - self._broken_since >= RESTART_SECONDS:
                raise

    @property
    def prompt_fingerprint(self) -> str:
        return self._prompt_fingerprint

    def give_way_to(self, urgent: Callable[[], None]) -> bool:
        """See `GivesWay`."""
        return isinstance(self._model, GivesWay) and self._model.give_way_to(urgent)

    @property
    def grounded(self) -> bool:
        """See `HoldsToGrammar`."""
        return isinstance(self._model, HoldsToGrammar) and self._model.grounded

    @property
    def looks(self) -> View:
        """See `LooksAtPhotos`."""
        return view_of(self._model)


@contextmanager
def _timed(stage: str, items: int, observe: Observe, clock: Callable[[], float]) -> Iterator[None]:
    """Report the time of the block, unless it raises: a failed batch is no measurement."""
    started = clock()
    yield
    observe(stage, items, clock() - started)


def _alike(one: object, other: object) -> bool:
    """Equal, or for arrays equal within the rounding that another batch layout brings."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and bool(np.allclose(one, other, atol=1e-3))
    return one == other
