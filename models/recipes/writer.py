"""Train, export and evaluate the starter writer's LoRA adapter: QLoRA (arXiv 2305.14314) on SmolLM2-135M-Instruct.

    python -m models.recipes.writer train --base DIR --state runs/writer
    python -m models.recipes.writer export --state runs/writer --out models/starter/writer.safetensors
    python -m models.recipes.writer evaluate --base DIR --adapter models/starter/writer.safetensors

`python -m torch.distributed.run --nproc_per_node 2 -m models.recipes.writer train …` shares each step out to processes, which
on a busy machine beats threads. DIR is the unpacked base of the model cache. `train` goes on where a run stopped. The frozen base is quantised to NF4
and, because a CPU gains nothing from unpacking it anew in every step, dequantised once: the adapter learns on exactly
the weights it will be served with.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor, distributed, nn

from models.hf_writer import save_adapter
from models.recipes.writer_data import Example, examples
from models.recipes.writer_evaluate import evaluate
from processors.captions import prompt

Config = dict[str, Any]
CONFIG = Path(__file__).with_suffix(".yaml")
IGNORED = -100


class Batch(NamedTuple):
    """Token ids (n, length), padded on the right; `labels` are ids to predict, -100 where there is no loss."""

    ids: Tensor
    mask: Tensor
    labels: Tensor


def train(config: Config, base: Path, run: Path) -> None:
    """Run until `steps` are done or `minutes` are over, saving every `save_every`; a second call goes on from there."""
    torch.manual_seed(config["seed"])
    torch.set_num_threads(config["threads"])
    run.mkdir(parents=True, exist_ok=True)
    rank, ranks = _join()
    model, tokenizer = adapted(base, config)
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    masters = {name: nn.Parameter(weight.data.float()) for name, weight in weights.items()}
    optimiser = torch.optim.AdamW(masters.values(), lr=config["rate"], weight_decay=0.0)
    done, before = _resume(run, masters, optimiser)
    started, smoothed = time.perf_counter(), float("nan")
    mine = islice(_batches(tokenizer, config), done * ranks + rank, None, ranks)
    for step, batch in enumerate(mine, start=done):
        seconds = _agreed(before + time.perf_counter() - started)
        along = max(step / config["steps"], seconds / 60 / config["minutes"])
        if along >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = config["rate"] * _schedule(step, along, config)
        loss = _step(model, batch, weights, masters, optimiser, config["clip"])
        smoothed = loss if math.isnan(smoothed) else 0.9 * smoothed + 0.1 * loss
        print(
            f"{step} loss {loss:.3f} ({smoothed:.3f}) {tuple(batch.ids.shape)} {seconds:.0f} s {along:.2f}", flush=True
        )
        if rank == 0 and (step + 1) % config["save_every"] == 0:
            _save(run, step + 1, seconds, masters, optimiser)
    if rank == 0:
        _save(run, step, before + time.perf_counter() - started, masters, optimiser)


def _step(
    model: nn.Module,
    batch: Batch,
    weights: dict[str, nn.Parameter],
    masters: dict[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    clip: float,
) -> float:
    """One update. The adapter runs in bf16 (twice as fast here), its sums are kept in fp32, or late steps round away."""
    for name, weight in weights.items():
        weight.data.copy_(masters[name].data)
        weight.grad = None
    loss = _loss(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    for name, weight in weights.items():
        masters[name].grad = None if weight.grad is None else weight.grad.float()
    _average([master.grad for master in masters.values() if master.grad is not None])
    nn.utils.clip_grad_norm_(masters.values(), clip)
    optimiser.step()
    return loss.item()


def _join() -> tuple[int, int]:
    """This process's rank and how many there are; one, unless torch.distributed.run started us."""
    if "WORLD_SIZE" not in os.environ:
        return 0, 1
    distributed.init_process_group("gloo")
    return distributed.get_rank(), distributed.get_world_size()


def _average(gradients: list[Tensor]) -> None:
    """In place, over all processes: one message, not one a tensor."""
    if not distributed.is_initialized():
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients]) / distributed.get_world_size()
    distributed.all_reduce(flat)
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, parts, strict=True):
        gradient.copy_(mean.view_as(gradient))


def _agreed(seconds: float) -> float:
    """The first process's clock, so that all end with the same step."""
    if not distributed.is_initialized():
        return seconds
    clock = torch.tensor(seconds, dtype=torch.float64)
    distributed.broadcast(clock, src=0)
    return float(clock)


def adapted(base: Path, config: Config) -> tuple[nn.Module, Any]:
    """The base with NF4-rounded linear layers, frozen, a fresh adapter on it, and its tokenizer."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16, local_files_only=True)
    round_to_nf4(model, config["modules"])
    lora = LoraConfig(
        r=config["rank"],
        lora_alpha=config["alpha"],
        lora_dropout=config["dropout"],
        target_modules=list(config["modules"]),
        task_type="CAUSAL_LM",
    )
    adapted_model = get_peft_model(model, lora, autocast_adapter_dtype=False).train()
    return adapted_model, AutoTokenizer.from_pretrained(base, local_files_only=True)


def round_to_nf4(model: nn.Module, modules: list[str]) -> None:
    """Replace each linear weight by the value that its NF4 code stands for (block size 64, double quantisation)."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    for name, module in model.named_modules():
        if name.split(".")[-1] in modules:
            codes, state = quantize_4bit(module.weight.data, quant_type="nf4", compress_statistics=True)
            module.weight.data = dequantize_4bit(codes, state).to(module.weight.dtype)


def encode(tokenizer: Any, example: Example) -> tuple[list[int], int]:
    """Token ids of prompt and answer with its end-of-turn, and the length of the prompt."""
    asked = tokenizer.apply_chat_template(
        prompt(example.evidence, example.tone), add_generation_prompt=True, tokenize=False
    )
    before = tokenizer(asked, add_special_tokens=False).input_ids
    after = tokenizer(example.text + "<|im_end|>", add_special_tokens=False).input_ids
    return before + after, len(before)


def _batches(tokenizer: Any, config: Config) -> Iterator[Batch]:
    """Endless batches, the same for the same seed: examples of similar length together, in shuffled order."""
    rng = random.Random(config["seed"])
    source = examples(config["seed"])
    size = config["batch"]
    while True:
        drawn = [encode(tokenizer, example) for example in islice(source, size * config["bucket"])]
        drawn.sort(key=lambda item: len(item[0]))
        groups = [drawn[n : n + size] for n in range(0, len(drawn), size)]
        rng.shuffle(groups)
        for group in groups:
            yield _collate(group)


def _collate(group: list[tuple[list[int], int]]) -> Batch:
    longest = max(len(ids) for ids, _ in group)
    ids = torch.zeros(len(group), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    for row, (tokens, asked) in enumerate(group):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        # Position t predicts token t + 1; only the answer counts.
        labels[row, asked - 1 : len(tokens) - 1] = torch.tensor(tokens[asked:])
    return Batch(ids, mask, labels)


def _loss(model: Any, batch: Batch) -> Tensor:
    """Mean cross-entropy of the answers' tokens; logits are made for those positions only (the head is a fifth)."""
    language_model = model.get_base_model()
    hidden = language_model.model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).last_hidden_state
    wanted = batch.labels != IGNORED
    logits = language_model.lm_head(hidden[wanted])
    return nn.functional.cross_entropy(logits.float(), batch.labels[wanted])


def _schedule(step: int, along: float, config: Config) -> float:
    """Linear warm-up by steps, then a cosine to a twentieth over the run (`along`, 0..1)."""
    warm = min(1.0, (step + 1) / config["warm_up_steps"])
    return float(warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * along))))


def _save(
    run: Path, step: int, seconds: float, masters: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer
) -> None:
    weights = {name: weight.data for name, weight in masters.items()}
    state = {"step": step, "seconds": seconds, "weights": weights, "optimiser": optimiser.state_dict()}
    aside = run / "last.pt.partial"
    torch.save(state, aside)
    aside.replace(run / "last.pt")


def _resume(run: Path, masters: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer) -> tuple[int, float]:
    path = run / "last.pt"
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    for name, weight in masters.items():
        weight.data.copy_(state["weights"][name])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), float(state["seconds"])


def export(config: Config, run: Path, out: Path) -> None:
    """The last save as one fp16 safetensors file with its LoRA settings in the metadata."""
    state = torch.load(run / "last.pt", weights_only=True)
    tensors = {_plain(name): value.half().contiguous() for name, value in state["weights"].items()}
    kept = ("rank", "alpha", "modules", "licence", "provenance")
    save_adapter(out, tensors, {**{key: config[key] for key in kept}, "steps": state["step"]})
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB after {state['step']} steps")


def _plain(name: str) -> str:
    """Peft's in-memory name -> "model.layers.0.mlp.up_proj.lora_A"."""
    return name.removeprefix("base_model.model.").replace(".default.weight", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "export", "evaluate"))
    parser.add_argument("--base", type=Path)
    parser.add_argument("--state", type=Path, default=Path("runs/writer"))
    parser.add_argument("--out", type=Path, default=Path("models/starter/writer.safetensors"))
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", type=int, default=30)
    asked = parser.parse_args()
    config: Config = yaml.safe_load(CONFIG.read_text())
    if asked.action == "train":
        train(config, asked.base, asked.state)
    elif asked.action == "export":
        export(config, asked.state, asked.out)
    else:
        torch.set_num_threads(asked.threads)
        found = evaluate(asked.base, asked.adapter, count=asked.count, batch=asked.batch, show=asked.show)
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
