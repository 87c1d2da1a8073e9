"""A causal language model of `transformers` as a `Writer`: bitsandbytes NF4, LoRA, seeded sampling row by row.

QLoRA, arXiv 2305.14314; sampling by the Gumbel-max trick (arXiv 1611.01144, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from models.ports import WriterRequest
from models.seeded_sampling import SeededSampling
from models.weights.hashes import check_weights, fingerprint
from processors.captions import PROMPT_FINGERPRINT, TONES, prompt
from processors.errors import Fatal
from processors.evidence import build
from processors.values import Attribute, Colour, Garment

if TYPE_CHECKING:
    import torch

END_OF_TURN = "<|im_end|>"
REPEATED_RUN = 10
"""No run of so many tokens is written twice: the guard against loops that small models fall into."""
ADAPTER_FORMAT = "weft-lora-1"


class LoraHeader(msgspec.Struct, frozen=True):
    """What the adapter's file says of itself, in its safetensors metadata."""

    rank: int
    alpha: int
    modules: tuple[str, ...]
    licence: str
    provenance: str
    steps: int


class Prepared(NamedTuple):
    """A prompt as token ids, and the seed of its sampling."""

    ids: tuple[int, ...]
    seed: int


class HfWriter:
    """Evidence → raw text, in batches; implements `models.ports.Writer`.

    The text of a request depends on its own seed and not on its neighbours in the batch. Two batches may still differ
    in the last bits of their logits (other shapes, other kernels), which rarely, but now and then, tips a choice.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, identity: str, max_new_tokens: int = 160, temperature: float = 0.7
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._max_new_tokens = max_new_tokens
        self._temperature = temperature
        self._end = _end_of_turn(tokenizer)
        self._system_role = _takes_system_role(tokenizer)
        settings = f"{max_new_tokens} {temperature} {REPEATED_RUN} {SeededSampling.VERSION}"
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
    ) -> HfWriter:
        """Load a checked base, merge the adapter, and quantise the linear layers to NF4 (computing as `compute_dtype` says).

        Args:
            base: folder of safetensors, config and tokenizer with its `weft-artefact.json`.
            adapter: LoRA weights written by `save_adapter`, listed in a manifest; None: the base as it is.
            device: "cpu" or "cuda:<n>".
            quantised: False keeps the compute precision.
            max_new_tokens: longest answer.
            temperature: 0 takes the likeliest token each time.

        Raises:
            Fatal: weights missing, damaged, or not of this shape.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        identity = [check_weights(path) for path in sorted(base.glob("*.safetensors"))]
        if not identity:
            raise Fatal(f"{base} holds no safetensors")
        identity += [check_weights(base / name) for name in ("config.json", "tokenizer.json")]
        dtype = compute_dtype(device)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, local_files_only=True)
        if adapter is not None:
            identity.append(check_weights(adapter))
            merge_adapter(model, adapter)
        if quantised:
            quantise(model, device)  # layer by layer, so that a GPU never holds the whole model unquantised
        model.to(device)
        model.eval()
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
        identity += ["nf4" if quantised else "bf16", *(["float32"] if dtype == torch.float32 else [])]
        return cls(
            model, tokenizer, identity=" ".join(identity), max_new_tokens=max_new_tokens, temperature=temperature
        )

    @property
    def fingerprint(self) -> str:
        """Over the hashes of base, tokenizer and adapter, the quantisation, the sampling and the prompt."""
        return self._fingerprint

    @property
    def prompt_fingerprint(self) -> str:
        return PROMPT_FINGERPRINT

    def prepare(self, item: WriterRequest, /) -> Prepared:
        """The prompt as ids, about 40 to 100 of them."""
        messages = prompt(item.evidence, item.tone)
        if not self._system_role:
            messages = [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]
        text = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return Prepared(tuple(self._tokenizer(text, add_special_tokens=False).input_ids), item.seed)

    def forward(self, batch: Sequence[Prepared], /) -> list[tuple[int, ...]]:
        """The answers' token ids, up to and with the end of turn."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        longest = max(len(item.ids) for item in batch)
        ids = torch.full((len(batch), longest), self._end, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, item in enumerate(batch):  # padded on the left: generation goes on at the right
            ids[row, longest - len(item.ids) :] = torch.tensor(item.ids)
            mask[row, longest - len(item.ids) :] = 1
        device = self._model.device
        sampling = SeededSampling([item.seed for item in batch], prompt_length=longest, temperature=self._temperature)
        settings = GenerationConfig(
            max_new_tokens=self._max_new_tokens,
            do_sample=False,  # the processor has already thrown the dice
            no_repeat_ngram_size=REPEATED_RUN,
            eos_token_id=self._end,
            pad_token_id=self._end,
            use_cache=True,
        )
        with torch.inference_mode():
            out = self._model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                generation_config=settings,
                logits_processor=LogitsProcessorList([sampling]),
            )
        return [self._until_end(row) for row in out[:, longest:].tolist()]

    def finish(self, _item: WriterRequest, raw: tuple[int, ...], /) -> str:
        """The text. An answer cut off by `max_new_tokens` loses its last word, which may be half a hashtag."""
        ended = bool(raw) and raw[-1] == self._end
        text = str(self._tokenizer.decode(raw[:-1] if ended else raw, skip_special_tokens=True)).strip()
        return text if ended else text.rpartition(" ")[0]

    def example(self) -> WriterRequest:
        return _EXAMPLE

    def _until_end(self, row: list[int]) -> tuple[int, ...]:
        return tuple(row[: row.index(self._end) + 1] if self._end in row else row)


def save_adapter(path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Write LoRA factors ("model.layers.0.mlp.up_proj.lora_A" (rank, in), "….lora_B" (out, rank)) with their header."""
    from safetensors.torch import save_file

    checked = msgspec.convert(dict(header), LoraHeader)
    metadata = {"format": ADAPTER_FORMAT, "header": msgspec.json.encode(checked).decode()}
    save_file(dict(tensors), path, metadata=metadata)


def merge_adapter(model: Any, path: Path) -> None:
    """Add (alpha / rank) · B·A to every linear weight that the adapter was trained for.

    Merged rather than attached: 210 small products more a token cost a third of the speed on a CPU (docs/models/LOG.md).

    Raises:
        Fatal: the file is no adapter of ours, or was trained for another architecture.
    """
    import torch
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no mapping
    if metadata.get("format") != ADAPTER_FORMAT:
        raise Fatal(f"{path} is no adapter of this version ({ADAPTER_FORMAT})")
    header = msgspec.json.decode(metadata["header"], type=LoraHeader)
    layers = {name: layer for name, layer in _linear_layers(model).items() if name.split(".")[-1] in header.modules}
    odd = {f"{name}.{factor}" for name in layers for factor in ("lora_A", "lora_B")} ^ set(tensors)
    if odd:
        raise Fatal(f"{path} does not fit this base: {len(odd)} factors differ")
    with torch.no_grad():
        for name, layer in layers.items():
            change = tensors[f"{name}.lora_B"] @ tensors[f"{name}.lora_A"] * (header.alpha / header.rank)
            if change.shape != layer.weight.shape:
                raise Fatal(f"{path} does not fit this base: {name} is {tuple(layer.weight.shape)}")
            layer.weight.copy_(layer.weight.float() + change)


def compute_dtype(device: str) -> torch.dtype:
    """The precision in which the writer computes: bfloat16, but float32 on a processor that has no bfloat16 products.

    There torch emulates them: 8.4 tokens a processor second in bfloat16 against 19.8 in float32 (batches of 8, AVX2).
    """
    import torch

    emulated = device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001
    return torch.float32 if emulated else torch.bfloat16


def quantise(model: Any, device: str = "cpu") -> None:
    """Replace every linear layer but the head by bitsandbytes NF4 (blocks of 64, double quantisation, the model's precision).

    Done here and not by `from_pretrained`, because the adapter is merged first.
    """
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, layer in _linear_layers(model).items():
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


def _linear_layers(model: Any) -> dict[str, Any]:
    from torch import nn

    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.split(".")[-1] != "lm_head"}


def _end_of_turn(tokenizer: Any) -> int:
    """ChatML's end of turn where the vocabulary has it; else what the tokenizer ends with, as other templates do."""
    if END_OF_TURN in tokenizer.get_vocab():
        return int(tokenizer.convert_tokens_to_ids(END_OF_TURN))
    if tokenizer.eos_token_id is None:
        raise Fatal(f"{tokenizer.name_or_path}: its tokenizer knows no end of a turn")
    return int(tokenizer.eos_token_id)


def _takes_system_role(tokenizer: Any) -> bool:
    """Some templates (Gemma's) refuse a system message: there it goes before the user's.

    Raises:
        Fatal: there is no chat template at all, so this is no instruct model.
    """
    if not tokenizer.chat_template:
        raise Fatal(f"{tokenizer.name_or_path}: its tokenizer has no chat template; the writer needs an instruct model")
    from jinja2.exceptions import TemplateError

    try:
        tokenizer.apply_chat_template(prompt(_EXAMPLE.evidence, _EXAMPLE.tone), tokenize=False)
    except TemplateError:
        return False
    return True


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
