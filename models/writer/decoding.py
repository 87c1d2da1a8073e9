"""Writing many answers at once with a `Decoder`: each row on its own positions, and gone from the batch once it ends.

What a row gets does not depend on the others: prompts are read one by one, the sums of a step do not depend on the number
of rows (`Steady`), and sampling is seeded for each row. A row may be held to a grammar of its own: what that forces is neither
drawn nor looked up in the head, and at the beginning and the end of an answer not even read as a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from models.writer.decoder_net import Cache, Decoder
from models.writer.guiding import Guide, Steps
from models.writer.seeded_sampling import Sampler

if TYPE_CHECKING:
    from torch import Tensor

MOST_ROWS = 32
"""Rows that are written at once; more wait for one to end. Bounds the keys and values of any batch."""
BEGINNINGS = 16
"""Shared beginnings that are remembered: one for each tone, and a few."""


def _nothing() -> None:
    """Nobody waits."""


class Prompt(NamedTuple):
    """A prompt as token ids.

    Args:
        ids: all of them.
        seed: of its sampling.
        shared: how many of the first ids other prompts begin with, too.
        longest: most tokens of the answer.
        guide: the grammar that the answer is held to; None: it is free.
    """

    ids: tuple[int, ...]
    seed: int
    shared: int = 0
    longest: int = 0
    guide: Guide | None = None


class Repeats:
    """Which tokens would write a run of `run` tokens for the second time: small models fall into loops."""

    def __init__(self, ids: Sequence[int], run: int) -> None:
        self._run = run
        self._last: list[int] = []
        self._after: dict[tuple[int, ...], set[int]] = {}
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        """Take in the next token of the text."""
        if len(self._last) == self._run - 1:
            self._after.setdefault(tuple(self._last), set()).add(token)
            self._last.pop(0)
        self._last.append(token)

    def banned(self) -> Sequence[int]:
        """What may not come next."""
        return sorted(self._after.get(tuple(self._last), ())) if len(self._last) == self._run - 1 else ()


@dataclass(slots=True)
class _Row:
    number: int
    prompt: Prompt
    repeats: Repeats
    length: int
    hidden: Tensor
    steps: Steps | None = None
    answer: list[int] = field(default_factory=list)
    forced: list[int] = field(default_factory=list)
    """Tokens that the grammar has put after the answer, which are still to be read."""

    def ended(self, end: int) -> bool:
        """Whether the answer is whole: what is forced up to its end is no more read."""
        if self.forced and self.forced[-1] == end:
            self.answer += self.forced
            self.forced = []
        return bool(self.answer) and (self.answer[-1] == end or len(self.answer) >= self.prompt.longest)


class Decoding:
    """Answers prompts in batches.

    Args:
        decoder: the network.
        sampler: draws the next token.
        end: the token that ends an answer.
        repeated_run: no run of so many tokens is written twice.
        rows: numbers of rows, ascending, in which the decoder's sums are the same; others are filled up to the next.
    """

    def __init__(
        self, decoder: Decoder, sampler: Sampler, *, end: int, repeated_run: int, rows: Sequence[int] = (MOST_ROWS,)
    ) -> None:
        self._decoder = decoder
        self._sampler = sampler
        self._end = end
        self._repeated_run = repeated_run
        self._rows = tuple(rows)
        self.between_steps: Callable[[], None] = _nothing
        """Called between two steps of a batch; may ask for other answers meanwhile."""
        self._beginnings: dict[tuple[int, ...], list[Tensor]] = {}

    def answers(self, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
        """The answers' ids, in order, each up to and with the end, or `longest` of them."""
        import torch

        with torch.inference_mode():
            return self._answers(prompts)

    def _answers(self, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
        waiting = list(enumerate(prompts))[::-1]
        slots = self._filled_up(min(len(prompts), MOST_ROWS))
        cache = self._decoder.cache(slots, max(len(prompt.ids) + prompt.longest for prompt in prompts))
        try:
            return self._written(waiting, cache, slots)
        finally:
            self._decoder.give_back(cache)

    def _written(self, waiting: list[tuple[int, Prompt]], cache: Cache, slots: int) -> list[tuple[int, ...]]:
        done: dict[int, tuple[int, ...]] = {}
        rows: list[_Row] = []
        count = len(waiting)
        while waiting or rows:
            while waiting and len(rows) < min(slots, MOST_ROWS):
                rows.append(self._begun(*waiting.pop(), cache, len(rows)))
            self._draw(rows)
            for place in reversed(range(len(rows))):
                row = rows[place]
                if row.ended(self._end):
                    done[row.number] = tuple(row.answer[: row.prompt.longest])
                    self._leave(rows, place, cache)
            if rows:
                self._step(rows, cache)
                self.between_steps()
        return [done[number] for number in range(count)]

    def _begun(self, number: int, prompt: Prompt, cache: Cache, place: int) -> _Row:
        steps = None if prompt.guide is None else prompt.guide.begin()
        forced = [] if steps is None else steps.forced()[: prompt.longest]
        read = forced[:-1] if forced[-1:] == [self._end] else forced
        shared = 0 if self._decoder.reads_whole else prompt.shared
        ids = (*prompt.ids[shared:], *read)
        hidden, known = self._decoder.begin(ids, self._beginning(prompt.ids[:shared]))
        cache.put(place, known)
        repeats = Repeats(prompt.ids, self._repeated_run)
        return _Row(number, prompt, repeats, len(prompt.ids) + len(read), hidden[0], steps, forced)

    def _beginning(self, ids: tuple[int, ...]) -> Sequence[Tensor]:
        if not ids:
            return ()
        if ids not in self._beginnings:
            if len(self._beginnings) >= BEGINNINGS:
                self._beginnings.pop(next(iter(self._beginnings)))
            self._beginnings[ids] = self._decoder.begin(ids)[1]
        return self._beginnings[ids]

    def _draw(self, rows: Sequence[_Row]) -> None:
        """The next token of each row: the one that its grammar forces, else one by the network's scores."""
        free = [row for row in rows if not row.forced and not row.ended(self._end)]
        for row in rows:
            if row.forced:
                row.answer.append(row.forced.pop(0))
        if not free:
            return
        scores = self._scores(free)
        seeds, positions = [row.prompt.seed for row in free], [len(row.answer) for row in free]
        for row, token in zip(free, self._sampler.draw(scores, seeds, positions).tolist(), strict=True):
            row.answer.append(token)
            if row.steps is None:
                row.repeats.add(token)
            elif token != self._end:
                row.steps.take(token)
                row.forced = row.steps.forced()

    def _scores(self, rows: Sequence[_Row]) -> Tensor:
        """(rows, vocabulary), with what may not come next at minus infinity."""
        import torch

        hidden = torch.stack([row.hidden for row in rows])
        missing = self._filled_up(len(rows)) - len(rows)
        scores = self._decoder.logits(torch.nn.functional.pad(hidden, (0, 0, 0, missing)))[: len(rows)]
        for place, row in enumerate(rows):
            if row.steps is not None:  # a grammar ends: it needs no guard against loops, which could leave it no token
                row.steps.restrict(scores[place])
            elif banned := row.repeats.banned():
                scores[place, list(banned)] = float("-inf")
        return scores

    def _step(self, rows: Sequence[_Row], cache: Cache) -> None:
        """Read the token that each row has just drawn."""
        import torch

        missing = [0] * (self._filled_up(len(rows)) - len(rows))
        tokens = torch.tensor([*(row.answer[-1] for row in rows), *missing])
        lengths = torch.tensor([*(row.length for row in rows), *missing])
        hidden = self._decoder.step(tokens, lengths, cache)
        for place, row in enumerate(rows):
            row.length += 1
            row.hidden = hidden[place]

    def _leave(self, rows: list[_Row], place: int, cache: Cache) -> None:
        """The last row takes the place of one that has ended."""
        last = rows.pop()
        if place < len(rows):
            rows[place] = last
            cache.move(len(rows), place, last.length)

    def _filled_up(self, count: int) -> int:
        return next((rows for rows in self._rows if rows >= count), count)
