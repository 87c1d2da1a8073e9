"""Holding an answer to a grammar: which tokens may come next, and which have to (llguidance 1.9).

A guide is compiled once for each product, in a CPU thread; what it keeps of one answer (`Steps`) is the answer's own, so the rows of
a batch have grammars of their own, and a batch that is written again begins anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from processors.errors import Fatal

if TYPE_CHECKING:
    from torch import Tensor


KEPT = 128
"""Compiled grammars that are remembered: products of which the same is known have the same one."""


class GrammarError(ValueError):
    """A grammar that cannot be compiled, or an answer that left it."""


class Guides:
    """Compiles grammars for one tokenizer.

    Args:
        tokenizer: path of its `tokenizer.json`.
        vocabulary: width of the model's scores.
        end: the token that ends an answer.

    Raises:
        Fatal: the tokenizer cannot be read.
    """

    def __init__(self, tokenizer: Path, vocabulary: int, end: int) -> None:
        from llguidance import LLTokenizer

        try:
            text = _byte_level(tokenizer.read_text(encoding="utf-8"))
            self._tokenizer = LLTokenizer(text, n_vocab=vocabulary, eos_token=end, slices=[])
            probe = self._tokenizer.decode_str(self._tokenizer.tokenize_str(_PROBE))
        except Exception as error:  # llguidance raises bare exceptions
            raise Fatal(f"{tokenizer} cannot be used for grammars: {error}") from error
        if probe != _PROBE:
            raise Fatal(f"{tokenizer} cannot be used for grammars: its tokens read {probe!r} for {_PROBE!r}")
        self._words = -(-vocabulary // 32)
        self._end = end
        self._compiled = lru_cache(maxsize=KEPT)(self._compile)

    def compiled(self, grammar: str) -> Guide:
        """A guide of a grammar in Lark's syntax that the whole answer has to match; the same one for the same grammar. Raises `GrammarError`."""
        return self._compiled(grammar)

    def _compile(self, grammar: str) -> Guide:
        from llguidance import LLMatcher

        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise GrammarError(matcher.get_error())
        return Guide(matcher, self._words, self._end)


_PROBE = "A navy bouclé dress, with V-neckline.\n#NavyDress"
"""What a caption consists of: tokens whose bytes are understood otherwise would never fit a grammar."""


def _byte_level(tokenizer: str) -> str:
    """A tokenizer of bytes with nothing but that as its decoder.

    Of one that was converted from GGUF the decoder is a sequence, which llguidance takes for another kind by its first step.
    """
    found = json.loads(tokenizer)
    decoder = found.get("decoder") or {}
    if any(step.get("type") == "ByteLevel" for step in decoder.get("decoders", ())):
        found["decoder"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return json.dumps(found)


class Guide:
    """A compiled grammar; `begin` it for each answer."""

    def __init__(self, matcher: Any, words: int, end: int) -> None:
        self._matcher = matcher
        self._words = words
        self._end = end

    def begin(self) -> Steps:
        """At the beginning of an answer."""
        return Steps(self._matcher.deep_copy(), self._words, self._end)


class Steps:
    """How far one answer has come in its grammar."""

    def __init__(self, matcher: Any, words: int, end: int) -> None:
        self._matcher = matcher
        self._mask = np.zeros((1, words), dtype=np.int32)
        self._end = end

    def forced(self) -> list[int]:
        """The tokens that have to come next, taken; with the end of the answer where nothing may follow."""
        tokens = [int(token) for token in self._matcher.compute_ff_tokens()]
        if tokens:
            self._matcher.consume_tokens(tokens)
        self._check()
        return [*tokens, self._end] if self._matcher.is_stopped() else tokens

    def restrict(self, scores: Tensor) -> None:
        """Put what may not come next to minus infinity: scores (vocabulary,), in place."""
        import torch

        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        self._check()
        bits = np.unpackbits(self._mask.view(np.uint8)[0], bitorder="little", count=scores.shape[-1])
        allowed = torch.from_numpy(bits.view(np.bool_)).to(scores.device)
        scores.masked_fill_(~allowed, float("-inf"))

    def take(self, token: int) -> None:
        """Go on with a token that was drawn."""
        if token != self._end:
            self._matcher.consume_token(token)
            self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarError(self._matcher.get_error())


class GuidedScores:
    """The grammars of a batch as a logits processor of `transformers`; rows without one are left alone.

    Args:
        steps: one a row.
        prompt_length: tokens before the answers, padding included.
        end: the token that ends an answer.
    """

    def __init__(self, steps: Sequence[Steps | None], *, prompt_length: int, end: int) -> None:
        self._steps = list(steps)
        self._prompt_length = prompt_length
        self._end = end
        self._ended = [False] * len(steps)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (rows, vocabulary) → the same with everything that a row's grammar does not allow at minus infinity."""
        for row, steps in enumerate(self._steps):
            if steps is None or self._ended[row]:
                continue
            if input_ids.shape[-1] > self._prompt_length:
                last = int(input_ids[row, -1])
                self._ended[row] = last == self._end
                steps.take(last)
            if not self._ended[row]:
                steps.restrict(scores[row])
        return scores
