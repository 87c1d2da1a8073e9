"""The writer's other way: a model of `transformers` with bitsandbytes NF4 layers and its own `generate`.

For GPUs, for architectures that `models.writer.decoder_net` does not know, and for models whose weights are not to lie unpacked
in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.measured import Choice, Kept, fastest
from models.writer.adapters import linear_layers, merge_adapter
from models.writer.decoding import Prompt
from models.writer.guiding import GuidedScores
from models.writer.seeded_sampling import SeededSampling

if TYPE_CHECKING:
    import torch

ATTENTIONS = ("sdpa", "eager")
TRIAL_PROMPT, TRIAL_TOKENS = 64, 16


def load(base: Path, adapter: Path | None, device: str, dtype: torch.dtype, *, quantised: bool) -> Any:
    """The model, its adapter merged, and its linear layers in NF4 if `quantised`."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, local_files_only=True, trust_remote_code=False)
    if adapter is not None:
        merge_adapter(model, adapter)
    if quantised:
        quantise(model, device)  # layer by layer, so that a GPU never holds the whole model unquantised
    model.to(device)
    model.eval()
    return model


def quantise(model: Any, device: str = "cpu") -> None:
    """Replace every linear layer but the head by bitsandbytes NF4 (blocks of 64, double quantisation, the model's precision).

    Done here and not by `from_pretrained`, because the adapter is merged first.
    """
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, layer in linear_layers(model).items():
        four = Linear4bit(
            layer.in_features, layer.out_features, bias=layer.bias is not None, compute_dtype=layer.weight.dtype,
            compress_statistics=True, quant_type="nf4", device="meta",
        )  # fmt: skip
        four.weight = Params4bit(
            layer.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4", module=four
        )
        four.bias = layer.bias
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, four.to(device))


def choose_attention(model: Any, kept: Kept, batch: int) -> str:
    """Set the model's attention to the faster one here; what it is called."""

    def trial() -> Choice:
        if not kept.lasting:
            return Choice(ATTENTIONS[0], {})
        with _first_block(model) as block:
            return fastest({name: partial(_attended, model, block, name, batch) for name in ATTENTIONS})

    chosen = kept.recall("attention", Choice, trial, engine="transformers").chosen
    model.set_attn_implementation(chosen)
    return chosen


@contextmanager
def _first_block(model: Any) -> Iterator[Any]:
    """The network with its first block only, so that a trial takes milliseconds whatever the model's size."""
    inner = model.base_model
    blocks = inner.layers
    inner.layers = blocks[:1]
    try:
        yield inner
    finally:
        inner.layers = blocks


def _attended(model: Any, block: Any, name: str, batch: int) -> None:
    import torch

    model.set_attn_implementation(name)
    ids = torch.ones(batch, TRIAL_PROMPT, dtype=torch.long, device=model.device)
    with torch.inference_mode():
        read = block(input_ids=ids, use_cache=True)
        for _ in range(TRIAL_TOKENS):
            block(input_ids=ids[:, :1], past_key_values=read.past_key_values, use_cache=True)
    if model.device.type == "cuda":
        torch.cuda.synchronize()


class Generating:
    """Answers prompts by `generate`.

    The text of a request depends on its own seed and not on its neighbours in the batch. Two batches may still differ in the
    last bits of their logits (other shapes, other kernels), which rarely, but now and then, tips a choice.
    """

    def __init__(self, model: Any, *, temperature: float, end: int, repeated_run: int) -> None:
        self.model = model
        self._temperature = temperature
        self._end = end
        self._repeated_run = repeated_run

    def answers(self, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
        """The answers' ids, in order, each up to and with the end, or `longest` of them."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        longest = max(len(prompt.ids) for prompt in prompts)
        ids = torch.full((len(prompts), longest), self._end, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):  # padded on the left: generation goes on at the right
            ids[row, longest - len(prompt.ids) :] = torch.tensor(prompt.ids)
            mask[row, longest - len(prompt.ids) :] = 1
        device = self.model.device
        seeds = [prompt.seed for prompt in prompts]
        sampling = SeededSampling(seeds, prompt_length=longest, temperature=self._temperature)
        steps = [None if prompt.guide is None else prompt.guide.begin() for prompt in prompts]
        guided = GuidedScores(steps, prompt_length=longest, end=self._end)
        settings = GenerationConfig(
            max_new_tokens=max(prompt.longest for prompt in prompts),
            do_sample=False,  # the processor has already thrown the dice
            # A grammar needs no guard against loops, which could leave it no token.
            no_repeat_ngram_size=self._repeated_run if None in steps else 0,
            eos_token_id=self._end,
            pad_token_id=self._end,
            use_cache=True,
        )
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                generation_config=settings,
                logits_processor=LogitsProcessorList([guided, sampling]),
            )
        rows = out[:, longest:].tolist()
        return [self._until_end(row)[: prompt.longest] for row, prompt in zip(rows, prompts, strict=True)]

    def _until_end(self, row: list[int]) -> tuple[int, ...]:
        return tuple(row[: row.index(self._end) + 1] if self._end in row else row)
