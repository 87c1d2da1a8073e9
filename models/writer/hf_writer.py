"""A causal language model as a `Writer`: NF4 weights, LoRA merged, seeded sampling row by row.

QLoRA, arXiv 2305.14314; sampling by the Gumbel-max trick (arXiv 1611.01144, section 2). A small model of a known
architecture is computed by `models.writer.decoder_net`, everything else by `transformers` (`models.writer.generating`).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from models.measured import Choice, Kept, fastest, processor
from models.ports import WriterRequest
from models.weights import four_bits
from models.weights.hashes import check_weights, fingerprint, listed_hash
from models.writer.attention import ATTENTIONS
from models.writer.chat_tokens import CONFIG, TEMPLATE, ChatTokens
from models.writer.decoder_net import Decoder, Linear, Shape, shape_of
from models.writer.decoder_on_gpu import DecoderOnGpu
from models.writer.decoder_weights import Weights, decoder_of, layer_of
from models.writer.decoding import MOST_ROWS, Decoding, Prompt
from models.writer.guiding import Guide, Guides
from models.writer.linears import LINEARS, available
from models.writer.seeded_sampling import Sampler
from models.writer.steadiness import Steady, is_steady, steady_rows
from processors.captions import PROMPT_FINGERPRINT, TONES, prompt
from processors.errors import Fatal
from processors.evidence import build
from processors.grounded import GRAMMAR, grammar
from processors.slots import lark
from processors.values import Attribute, Colour, Evidence, Garment

if TYPE_CHECKING:
    import torch
    from torch import Tensor

REPEATED_RUN = 10
"""No run of so many tokens is written twice: the guard against loops that small models fall into."""
MOST_UNPACKED = 2**30
"""Bytes that linear layers may take unpacked: as much as merging and rounding them took at each start before they were
kept. Larger models stay packed, and are unpacked layer by layer in every step."""
GROUNDED_TOKENS = 280
"""Longest answer that is held to a grammar: four garments with all their facts, and twelve hashtags."""
WARM_TOKENS = 6
"""A warm-up writes so many tokens: after them every kernel has run, and a whole caption teaches nothing more."""
TRIAL_WIDTH, TRIAL_HEAD = 128, 8192
"""Positions that a row has in the middle of a caption; and words of the head that a trial computes."""


class Engine(Protocol):
    """What writes answers."""

    def answers(self, prompts: Sequence[Prompt], /) -> list[tuple[int, ...]]:
        """The answers' ids, in order, each up to and with the end of turn, or `longest` of them."""
        ...


class Built(NamedTuple):
    """An engine, and what its fingerprint says of how it computes."""

    engine: Engine
    how: str


class HfWriter:
    """Evidence → raw text, in batches; implements `models.ports.Writer`.

    Args:
        engine: writes the answers.
        tokens: of the same base.
        identity: everything about the two that changes a text.
        max_new_tokens: longest answer.
        temperature: of the engine's sampling; part of the fingerprint.
        guides: holds every answer to the grammar of its evidence (`processors.grounded`); None: answers are free.
    """

    def __init__(
        self,
        engine: Engine,
        tokens: ChatTokens,
        *,
        identity: str,
        max_new_tokens: int = 160,
        temperature: float = 0.7,
        guides: Guides | None = None,
    ) -> None:
        self.engine = engine
        self._tokens = tokens
        self._max_new_tokens = max_new_tokens
        self._system_role = tokens.takes_system_role()
        self._shared: dict[str, tuple[int, ...]] = {}
        self._guides = guides
        held = "" if guides is None else f" grammar {GRAMMAR}"
        settings = f"{max_new_tokens} {temperature} {REPEATED_RUN} {Sampler.VERSION}{held}"
        self._fingerprint = fingerprint("hf-writer", identity, settings, PROMPT_FINGERPRINT)

    @classmethod
    def load(
        cls,
        base: Path,
        adapter: Path | None,
        *,
        device: str = "cpu",
        quantised: bool = True,
        max_new_tokens: int = 160,
        temperature: float = 0.7,
        batch: int = 16,
        choices: Path | None = None,
        most_unpacked: int = MOST_UNPACKED,
        make: four_bits.Make | None = None,
        grounded: bool = False,
    ) -> HfWriter:
        """Load a checked base with its adapter, its linear layers in NF4 (computing as `compute_dtype` says).

        Args:
            base: folder of safetensors, config and tokenizer with its `weft-artefact.json`.
            adapter: LoRA weights written by `save_adapter`, listed in a manifest; None: the base as it is.
            device: "cpu" or "cuda:<n>".
            quantised: False keeps the weights of the base.
            max_new_tokens: longest answer.
            temperature: 0 takes the likeliest token each time.
            batch: how many captions are usually written at once: the ways of computing are compared at it.
            choices: folder where what was measured on this machine is kept; None: nothing is measured, and the usual
                ways are taken.
            most_unpacked: bytes that the linear layers may take unpacked in memory.
            make: rounds the weights, as for `four_bits.served`.
            grounded: hold every answer to the grammar of its evidence; it may then be `GROUNDED_TOKENS` long at least,
                because an answer that is cut would not be of the grammar.

        Raises:
            Fatal: weights missing, damaged, or not of this shape.
        """
        tokens = ChatTokens(base)
        plan = _Plan(base, adapter, device, quantised, compute_dtype(device), batch, temperature, tokens.end, make)
        files = [base / name for name in ("config.json", "tokenizer.json")]
        files += [path for path in (base / TEMPLATE, base / CONFIG) if path.is_file()]
        identity = [check_weights(path) for path in files]
        weights = [listed_hash(path) for path in sorted(base.glob("*.safetensors"))]
        weights += [check_weights(adapter)] if adapter is not None else []
        about = {"processor": processor(), "torch": _torch_version(), "weights": " ".join(weights)}
        kept = Kept(choices, about | {"dtype": str(plan.dtype), "device": device, "batch": str(batch)})
        shape = _known_shape(plan, most_unpacked)
        built = _generating(plan, kept) if shape is None else _decoding(plan, shape, kept)
        form = "nf4" if quantised else "as in the base"
        how = f"{' '.join([*identity, *weights])} {form} {plan.dtype} {built.how}"
        longest = max(GROUNDED_TOKENS, max_new_tokens) if grounded else max_new_tokens
        guides = guides_of(base, tokens.end) if grounded else None
        return cls(built.engine, tokens, identity=how, max_new_tokens=longest, temperature=temperature, guides=guides)

    @property
    def fingerprint(self) -> str:
        """Over the hashes of base, tokenizer and adapter, the way of computing, the sampling and the prompt."""
        return self._fingerprint

    @property
    def prompt_fingerprint(self) -> str:
        return PROMPT_FINGERPRINT

    @property
    def grounded(self) -> bool:
        return self._guides is not None

    def prepare(self, item: WriterRequest, /) -> Prompt:
        """The prompt as ids, about 40 to 100 of them."""
        ids = self._encoded(item.evidence, item.tone)
        longest = min(WARM_TOKENS, self._max_new_tokens) if item is _EXAMPLE else self._max_new_tokens
        return Prompt(ids, item.seed, _common(ids, self._beginning(item.tone)), longest, self._guide(item))

    def _guide(self, item: WriterRequest) -> Guide | None:
        if self._guides is None:
            return None
        return self._guides.compiled(lark(grammar(item.evidence, item.tone)))

    def forward(self, batch: Sequence[Prompt], /) -> list[tuple[int, ...]]:
        """The answers' token ids, up to and with the end of turn."""
        return self.engine.answers(batch)

    def give_way_to(self, urgent: Callable[[], None]) -> bool:
        """See `models.ports.GivesWay`: the own decoder does, `transformers` does not."""
        if not isinstance(self.engine, Decoding):
            return False
        self.engine.between_steps = urgent
        return True

    def finish(self, _item: WriterRequest, raw: tuple[int, ...], /) -> str:
        """The text. An answer cut off by `max_new_tokens` loses its last word, which may be half a hashtag."""
        return self.text_of(raw)

    def text_of(self, raw: Sequence[int]) -> str:
        """The words of an answer's ids."""
        ended = bool(raw) and raw[-1] == self._tokens.end
        text = self._tokens.decode(raw[:-1] if ended else raw).strip()
        return text if ended else text.rpartition(" ")[0]

    def example(self) -> WriterRequest:
        """Drives warm-up: `WARM_TOKENS` of its caption."""
        return _EXAMPLE

    def _encoded(self, evidence: Evidence, tone: str) -> tuple[int, ...]:
        return self.encoded(prompt(evidence, tone, styled=self.grounded))

    def encoded(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """A conversation as ids, the system's part before the user's where the template knows no system."""
        if not self._system_role:
            messages = [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]
        return self._tokens.encode(messages)

    def _beginning(self, tone: str) -> tuple[int, ...]:
        """The ids that all prompts of a tone begin with: what two of them have in common that say different things."""
        if tone not in self._shared:
            one, other = self._encoded(_EXAMPLE.evidence, tone), self._encoded(Evidence(garments=()), tone)
            self._shared[tone] = one[: _common(one, other)]
        return self._shared[tone]


def guides_of(base: Path, end: int) -> Guides:
    vocabulary = _config(base).get("vocab_size")
    if not isinstance(vocabulary, int):
        raise Fatal(f"{base / 'config.json'} does not say how large the vocabulary is (vocab_size)")
    return Guides(base / "tokenizer.json", vocabulary, end)


class _Plan(NamedTuple):
    """What is to be loaded, and how."""

    base: Path
    adapter: Path | None
    device: str
    quantised: bool
    dtype: torch.dtype
    batch: int
    temperature: float
    end: int
    make: four_bits.Make | None


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two prompts begin with alike; at most all but one of the first, which must be read for itself."""
    same = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return min(same, len(one) - 1)


def _known_shape(plan: _Plan, most_unpacked: int) -> Shape | None:
    """The shape of a base that `models.writer.decoder_net` is to compute; None: `transformers` is."""
    shape = shape_of(_config(plan.base))
    fits = shape is not None and shape.linear_weights * plan.dtype.itemsize <= most_unpacked
    return shape if fits and (plan.base / four_bits.SOURCE).is_file() else None


def _decoding(plan: _Plan, shape: Shape, kept: Kept) -> Built:
    """The engine of `models.writer.decoder_net`, with the linear layers and the attention that are fastest here."""
    import torch

    with contextlib.ExitStack() as stack, torch.inference_mode():
        if plan.quantised:
            tensors = stack.enter_context(four_bits.served(plan.base, plan.adapter, make=plan.make))
        else:
            check_weights(plan.base / four_bits.SOURCE)
            tensors = dict(four_bits.merged(plan.base / four_bits.SOURCE, plan.adapter))
        weights = Weights(tensors, shape, plan.dtype, plan.device)
        if plan.device != "cpu":
            usual = DecoderOnGpu.of(decoder_of(weights, shape, LINEARS["plain"], ATTENTIONS["grouped"]))
            return Built(_written_by(usual, plan, (MOST_ROWS,)), "decoder/1 on a GPU")
        linear = kept.recall("linear", Choice, lambda: _linear_trial(weights, shape, plan.batch, kept)).chosen
        attend = kept.recall("attention", Choice, lambda: _attention_trial(shape, plan, kept), engine="decoder").chosen
        decoder = decoder_of(weights, shape, LINEARS[linear], ATTENTIONS[attend])
        how = f"{linear} {attend}"
        threads = str(torch.get_num_threads())
        rows = kept.recall("rows", Steady, lambda: steady_rows(decoder), how=how, threads=threads).rows
    return Built(_written_by(decoder, plan, rows), f"decoder/1 {how}")


def _written_by(decoder: Decoder, plan: _Plan, rows: Sequence[int]) -> Decoding:
    return Decoding(decoder, Sampler(plan.temperature), end=plan.end, repeated_run=REPEATED_RUN, rows=rows)


def _linear_trial(weights: Weights, shape: Shape, batch: int, kept: Kept) -> Choice:
    """Gate and up of one block and a part of the head: the widest products of a step."""
    import torch

    forms = available(weights.dtype)
    if len(forms) == 1 or not kept.lasting:
        return Choice(next(iter(forms)), {})
    x = torch.randn(batch, shape.hidden).to(weights.dtype)
    head = weights.head()[:TRIAL_HEAD]
    pairs = {name: (layer_of(weights, 0, form).gate, form(head, None)) for name, form in forms.items()}
    return fastest({name: partial(_apply, pair, x) for name, pair in pairs.items()})


def _apply(linears: Sequence[Linear], x: Tensor) -> None:
    for linear in linears:
        linear(x)


def _attention_trial(shape: Shape, plan: _Plan, kept: Kept) -> Choice:
    """A step in the middle of a caption, by each way that gives a row the same bits in any company."""
    import torch

    steady = {name: way for name, way in ATTENTIONS.items() if is_steady(way, shape, plan.dtype)} or ATTENTIONS
    if not kept.lasting:
        return Choice(next(iter(steady)), {})
    heads = shape.heads // shape.groups
    queries = torch.randn(plan.batch, shape.groups, heads, shape.dimension).to(plan.dtype)
    keys, values = torch.randn(2, plan.batch, shape.groups, TRIAL_WIDTH, shape.dimension).to(plan.dtype)
    mask = torch.zeros(plan.batch, TRIAL_WIDTH, dtype=plan.dtype)
    return fastest({name: partial(way, queries, keys, values, mask) for name, way in steady.items()})


def _generating(plan: _Plan, kept: Kept) -> Built:
    """The engine of `transformers`, with the attention that is faster here."""
    from models.writer import generating

    paths = sorted(plan.base.glob("*.safetensors"))
    if not paths:
        raise Fatal(f"{plan.base} holds no safetensors")
    for path in paths:
        check_weights(path)
    model = generating.load(plan.base, plan.adapter, plan.device, plan.dtype, quantised=plan.quantised)
    how = generating.choose_attention(model, kept, plan.batch)
    engine = generating.Generating(model, temperature=plan.temperature, end=plan.end, repeated_run=REPEATED_RUN)
    return Built(engine, f"transformers {how}")


def _config(base: Path) -> Mapping[str, Any]:
    path = base / "config.json"
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Fatal(f"{path} is no configuration of a model: {error}") from error
    if not isinstance(found, dict):
        raise Fatal(f"{path} is no configuration of a model")
    return found


def _torch_version() -> str:
    import torch

    return str(torch.__version__)


def compute_dtype(device: str) -> torch.dtype:
    """The precision in which the writer computes: bfloat16, but float32 on a processor that has no bfloat16 products.

    There torch emulates them: 8.4 tokens a processor second in bfloat16 against 19.8 in float32 (batches of 8, AVX2).
    """
    import torch

    emulated = device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001
    return torch.float32 if emulated else torch.bfloat16


_EXAMPLE = WriterRequest(
    evidence=build(
        (
            Garment(
                id="g0",
                category="dress",
                box=(0.0, 0.0, 100.0, 200.0),
                confidence=0.9,
                colours=(Colour(name="navy", hex="#1c2747", share=0.8),),
                attributes={
                    "fabric": Attribute(value="linen", confidence=0.9),
                    "gender": Attribute(value="women", confidence=0.9),
                },
            ),
            Garment(id="g1", category="shoe", box=(0.0, 200.0, 100.0, 240.0), confidence=0.8),
        )
    ),
    tone=TONES[0],
    seed=1,
)
