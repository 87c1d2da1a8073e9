"""A language model behind a server as a `Writer`: what it writes is parsed and verified as every draft is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from models.guard import Observe, ignore
from models.ports import WriterRequest
from models.served.answers import caption_in, held_to, request
from models.served.client import Server
from models.served.options import ServerOptions
from models.served.reply import Reply, reply_of, waited
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
        return self.server.trouble

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
        started = time.perf_counter()
        asked = [self.server.ask(body) for body in batch]
        found = [waited(future) for future in asked]
        self._observe("forward", len(batch), time.perf_counter() - started)
        return found

    async def answer(self, ready: bytes, /) -> Reply:
        """See `models.ports.Remote`."""
        started = time.perf_counter()
        found = await reply_of(self.server.ask(ready))
        if found.answer is not None:
            self._observe("forward", 1, time.perf_counter() - started)
        return found

    def finish(self, _item: WriterRequest, raw: Reply, /) -> str:
        """The text. One that was cut off loses its last word, which may be half a hashtag.

        Raises:
            Unanswered: there is none.
        """
        text = raw.text()
        return caption_in(text) if self.options.guided == "json" else text

    def example(self) -> WriterRequest:
        return _EXAMPLE

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
