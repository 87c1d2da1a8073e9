"""A language model behind a server as a `Writer`: what it writes is parsed and verified as every draft is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future

import msgspec

from models.guard import Observe, ignore
from models.ports import WriterRequest
from models.served.answers import Answer, caption_in, held_to, request
from models.served.client import Server, awaited
from models.served.failures import Unanswered
from models.served.options import ServerOptions
from models.served.watch import Watch
from models.weights.hashes import fingerprint
from processors.captions import PROMPT_FINGERPRINT, TONES, prompt
from processors.evidence import build
from processors.gbnf import gbnf
from processors.grounded import GRAMMAR, grammar
from processors.instructions import INSTRUCTIONS_FINGERPRINT, instructions
from processors.slots import expression
from processors.values import Colour, Garment

VERSION = "1"
TRIAL_TOKENS = 16
"""A trial writes so many: whether the server works is seen by then."""
_GROUNDED = frozenset({"vllm", "vllm-guided", "llama.cpp"})


class Reply(msgspec.Struct, frozen=True):
    """What came of a request: an answer, or why there is none."""

    answer: Answer | None = None
    cause: Unanswered | None = None


class ServedWriter:
    """Evidence → raw text of a model behind a server; implements `models.ports.Writer` and `models.ports.Remote`.

    `forward` and `answer` give a `Reply` each, of which `finish` raises `Unanswered` where the server failed: one that is away is no
    reason to ask for a smaller batch, or for the model's own example.

    Args:
        options: see there. The file of the key is read with each request.
        watch: told of requests.
        observe: told of timings, as by `models.guard.Guarded`.
    """

    def __init__(self, options: ServerOptions, *, watch: Watch | None = None, observe: Observe = ignore) -> None:
        self.options = options
        self._observe = observe
        self.server = Server(options, self._trial, watch=watch)
        prompted = INSTRUCTIONS_FINGERPRINT if options.prompt == "instruct" else PROMPT_FINGERPRINT
        held = f" grammar {GRAMMAR}" if self.grounded else ""
        self.prompt_fingerprint = prompted
        self.fingerprint = fingerprint("served writer", VERSION, options.output + held, prompted)

    @property
    def grounded(self) -> bool:
        """Whether the server holds answers to the grammar of their evidence."""
        return self.options.guided in _GROUNDED

    @property
    def concurrency(self) -> int:
        """How many requests are out at once."""
        return self.options.concurrency

    @property
    def trouble(self) -> str:
        """Why the server is not asked now; "" while it is."""
        why = self.server.breaker.why
        return "" if why is None else f"{self.options.base_url}, model {self.options.model!r}: {why.cause}, {why.said}"

    def telling(self, watch: Watch, observe: Observe) -> ServedWriter:
        """The same, of which others are told; before it is asked for the first time."""
        return ServedWriter(self.options, watch=watch, observe=observe)

    def warm_up(self) -> None:
        """Begin to try the server. It is not waited for: one that is away makes no role wait."""
        self.server.start()

    def close(self) -> None:
        """End the thread that asks."""
        self.server.close()

    def prepare(self, item: WriterRequest, /) -> bytes:
        """The body of a request."""
        started = time.perf_counter()
        body = self._body(item)
        self._observe("prepare", 1, time.perf_counter() - started)
        return body

    def forward(self, batch: Sequence[bytes], /) -> list[Reply]:
        """All at once, as far as the server is to be asked at once. Blocks; never raises for what the server does."""
        asked = [self.server.ask(body) for body in batch]
        return [self._waited(future) for future in asked]

    async def answer(self, ready: bytes, /) -> Reply:
        """See `models.ports.Remote`."""
        started = time.perf_counter()
        try:
            found = await awaited(self.server.ask(ready))
        except Unanswered as cause:
            return Reply(cause=cause)
        self._observe("forward", 1, time.perf_counter() - started)
        return Reply(found)

    def finish(self, _item: WriterRequest, raw: Reply, /) -> str:
        """The text. One that was cut off loses its last word, which may be half a hashtag.

        Raises:
            Unanswered: there is none.
        """
        if raw.answer is None:
            raise raw.cause or Unanswered("broken", "no answer")
        text = raw.answer.text if raw.answer.ended else raw.answer.text.rpartition(" ")[0]
        return caption_in(text) if self.options.guided == "json" else text

    def example(self) -> WriterRequest:
        return _EXAMPLE

    def _waited(self, future: Future[Answer]) -> Reply:
        started = time.perf_counter()
        try:
            found = future.result()
        except Unanswered as cause:
            return Reply(cause=cause)
        except CancelledError:
            return Reply(cause=Unanswered("broken", "the client was closed"))
        self._observe("forward", 1, time.perf_counter() - started)
        return Reply(found)

    def _body(self, item: WriterRequest, longest: int = 0) -> bytes:
        guided = self.options.guided
        if self.options.prompt == "instruct":
            messages = instructions(item.evidence, item.tone, as_json=guided == "json")
        else:
            messages = prompt(item.evidence, item.tone, styled=self.grounded)
        node = grammar(item.evidence, item.tone) if self.grounded else ""
        held = held_to(guided, expression(node), gbnf(node) if guided == "llama.cpp" else "")
        return request(self.options, messages, seed=item.seed, held=held, longest=longest)

    def _trial(self) -> bytes:
        return self._body(_EXAMPLE, TRIAL_TOKENS)


_EXAMPLE = WriterRequest(
    evidence=build((Garment("g0", "dress", (0.0, 0.0, 100.0, 200.0), 0.9, (Colour("navy", "#1c2747", 0.8),)),)),
    tone=TONES[0],
    seed=1,
)
