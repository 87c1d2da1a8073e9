"""The decoder on a GPU: each step is one replay of a recorded graph.

A step of a small model is some 800 kernels of a few microseconds each, and launching them from Python takes longer than running them.
All steps have one shape (`MOST_ROWS` rows over `CAPACITY` positions, what is beyond a row's end masked), so one recording serves every
batch; and as kernels choose their order of summation by the shape, a row gets the same bits whoever is beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, cast

from models.writer.decoder_net import Cache, Decoder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CAPACITY = 512
"""Positions of a row, a multiple: prompt and answer of a caption are two thirds of it at most."""
READ_AT_ONCE = 64
"""Prompts are read in multiples of so many tokens, filled up behind: a recording for each."""


@dataclass(slots=True)
class StackedCache(Cache):
    """`Cache` in one tensor (layers, 2, rows, groups, capacity, dimension), of which `layers` are views."""

    whole: Tensor

    def move(self, source: int, target: int, length: int) -> None:
        self.whole[:, :, target, :, :length] = self.whole[:, :, source, :, :length]

    def put(self, row: int, known: Sequence[Tensor]) -> None:
        (values,) = known
        self.whole[:, :, row, :, : values.shape[3]] = values


class Recorded:
    """A function of a few small tensors, recorded with its results on its first call and replayed from then on.

    On a processor it is called each time: nothing is recorded there.

    Args:
        run: reads nothing but these tensors and what does not move, and returns tensors.
        inputs: of the first call; their shapes are those of all.
    """

    def __init__(self, run: Callable[..., Any], inputs: Sequence[Tensor], device: torch.device) -> None:
        self._run = run
        self._inputs = [one.to(device, copy=True) for one in inputs]
        self._graph: Any = None
        self._results: Any = None
        if device.type == "cuda":
            self._record()

    def _record(self) -> None:
        import torch

        graph = torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):  # libraries set themselves up in their first calls, which cannot be recorded
                self._run(*self._inputs)
            aside.synchronize()
            # Other threads go on using the device meanwhile.
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                self._results = self._run(*self._inputs)
            finally:
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = graph

    def __call__(self, *inputs: Tensor) -> Any:
        """What the function gives; overwritten by the next call."""
        for held, given in zip(self._inputs, inputs, strict=True):
            held.copy_(given)
        if self._graph is None:
            return self._run(*self._inputs)
        self._graph.replay()
        return self._results


@dataclass(frozen=True, slots=True)
class DecoderOnGpu(Decoder):
    """`Decoder` with the same results in recorded steps; see the module. One thread uses it at a time."""

    reads_whole: ClassVar[bool] = True
    _free: list[StackedCache] = field(default_factory=list)
    _reads: dict[int, Recorded] = field(default_factory=dict)
    _steps: dict[int, Recorded] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: Decoder) -> DecoderOnGpu:
        """Of a decoder whose tensors are on the device."""
        return cls(**{each.name: getattr(plain, each.name) for each in fields(Decoder)})

    def cache(self, rows: int, capacity: int) -> StackedCache:
        """One that was given back, or a new one. Its rows may hold what earlier answers left, which no later one looks at."""
        import torch

        capacity = -(-capacity // CAPACITY) * CAPACITY
        for place, one in enumerate(self._free):
            if one.capacity == capacity and one.whole.shape[2] == rows:
                return self._free.pop(place)
        shape = self.shape
        size = (shape.layers, 2, rows, shape.groups, capacity, shape.dimension)
        whole = torch.zeros(size, dtype=self.dtype, device=self.device)
        return StackedCache(list(whole.unbind(0)), capacity, whole)

    def give_back(self, cache: Cache) -> None:
        """The cache is used no more: its recording serves the next batch."""
        if cache.capacity == CAPACITY and not self._free:
            self._free.append(cast("StackedCache", cache))
        else:
            self._steps.pop(id(cache), None)

    def begin(self, ids: Sequence[int], before: Sequence[Tensor] = ()) -> tuple[Tensor, list[Tensor]]:
        """As `Decoder.begin`, of a whole prompt: keys and values as one tensor (layers, 2, groups, length, dimension), which the
        next call overwrites.
        """
        import torch

        if before:
            raise ValueError("a prompt is read whole on a GPU")
        length = -(-len(ids) // READ_AT_ONCE) * READ_AT_ONCE
        # What is filled up comes behind, where no token of the prompt looks.
        filled = torch.tensor([*ids, *[0] * (length - len(ids))])
        if length not in self._reads:
            self._reads[length] = Recorded(self._read, (filled,), self.device)
        hidden, known = self._reads[length](filled)
        return hidden[len(ids) - 1 : len(ids)].clone(), [known[:, :, :, : len(ids)]]

    def _read(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        hidden, known = self.read(ids)
        return hidden, torch.stack(known)

    def step(self, tokens: Tensor, lengths: Tensor, cache: Cache) -> Tensor:
        """As `Decoder.step`."""
        if id(cache) not in self._steps:

            def run(tokens: Tensor, lengths: Tensor) -> Tensor:
                return self.stepped(tokens, lengths, cache, cache.capacity)

            self._steps[id(cache)] = Recorded(run, (tokens, lengths), self.device)
        found: Tensor = self._steps[id(cache)](tokens, lengths).clone()
        return found
