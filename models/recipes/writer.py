"""Train the starter writer's LoRA adapter: QLoRA (arXiv 2305.14314) on SmolLM2-135M-Instruct.

    weft train writer --recipe models/recipes/writer-second.yaml --run runs/writer
    weft eval writer --base

`python -m torch.distributed.run --nproc_per_node 2 -m models.recipes.writer RECIPE RUN` shares each step out to
processes, which on a busy machine beats threads. The base is taken from the model cache. A run that was stopped goes
on from its last save. The frozen base is quantised to NF4 and, because a CPU gains nothing from unpacking it anew in
every step, dequantised once: the adapter learns on exactly the weights it will be served with.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple, TypeAlias

import torch
import yaml
from torch import Tensor, distributed, nn

from models.device import choose
from models.recipes import blip, ship, writer_card
from models.recipes import shop as shop_data
from models.recipes.writer_context import StoryExample, stories
from models.recipes.writer_data import Example, examples
from models.recipes.writer_shop import mixed, shop_examples
from models.weights.starter import WRITER_BASE
from models.writer.adapters import save_adapter
from models.writer.hf_writer import compute_dtype
from processors.captions import TONES, prompt
from processors.context.telling import prompt as story_prompt
from processors.errors import Fatal

Config = dict[str, Any]
Encoded: TypeAlias = tuple[list[int], int]
"""Token ids of prompt and answer, and how many of them are the prompt's."""
IGNORED = -100
PROGRESS = "progress.jsonl"
WEIGHTS = "writer.safetensors"
CACHE = "WEFT_MODEL_CACHE"
CAPTIONS, STORIES = "captions", "context"
"""What a recipe teaches (`task`): captions of packs, or a sentence of an article (`processors.context.telling`)."""


class Batch(NamedTuple):
    """Token ids (n, length), padded on the right; `labels` are ids to predict, -100 where there is no loss."""

    ids: Tensor
    mask: Tensor
    labels: Tensor


def train(
    recipe: Path, run: Path, data: Path, minutes: float | None = None, shop: shop_data.Shop = shop_data.NO_SHOP
) -> Path:
    """Run until `steps` are done (or `minutes` over), saving every `save_every`; a second call goes on from there.

    Args:
        recipe: a YAML file as `writer.yaml`.
        run: folder of `last.pt` (the checkpoint), `progress.jsonl` (a line a step) and the exported weights.
        data: folder of BLIP, where the recipe is one for it; else not read: without a shop the writer learns from generated packs only.
        minutes: end after so many, over all calls of the run; the learning rate then falls by whichever is further,
            steps or time. Without it the same recipe takes the same steps on any machine.
        shop: products whose facts, as the shop says them, are packs beside the generated ones (`shop` of the recipe: their share).

    Returns:
        `run/writer.safetensors`, the adapter in fp16.

    Raises:
        Fatal: the recipe lacks a field, or the base is not in the model cache.
    """
    config = read_recipe(recipe)
    if config.get("network") == blip.NETWORK:
        return blip.train(recipe, run, data, minutes, shop)
    return _train(config, recipe, run, minutes, shop)


def _train(config: Config, recipe: Path, run: Path, minutes: float | None, shop: shop_data.Shop) -> Path:
    """The adapter of a language model."""
    if config["task"] == STORIES and shop.given:
        raise Fatal(f"{recipe}: stories are learnt of generated articles only: leave --products and --labels out")
    torch.manual_seed(config["seed"])
    torch.set_num_threads(config["threads"])
    run.mkdir(parents=True, exist_ok=True)
    items = shop_data.read(shop, need_photos=False) if shop.given else None
    rank, ranks = _join()
    model, tokenizer = adapted(_base(), config, choose(config.get("device", "auto")))
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    masters = {name: nn.Parameter(weight.data.float()) for name, weight in weights.items()}
    optimiser = torch.optim.AdamW(masters.values(), lr=config["rate"], weight_decay=0.0)
    start = (
        Path(shop.start) if shop.start else (recipe.parent / config["start"]).resolve() if config.get("start") else None
    )
    if start is not None:
        _start_from(start, masters)
    held = [] if items is None or rank else writer_card.held_out(items, config["seed"])
    begun = writer_card.losses(model, tokenizer, held, weights, masters)
    done, before = _resume(run, masters, optimiser)
    _cut_progress(run, done)
    step, started, smoothed = done, time.perf_counter(), float("nan")
    mine = islice(_batches(tokenizer, config, items), done * ranks + rank, None, ranks)
    with (run / PROGRESS).open("a") as progress:
        for batch in mine:
            seconds = _agreed(before + time.perf_counter() - started)
            along = max(step / config["steps"], 0.0 if minutes is None else seconds / 60 / minutes)
            if along >= 1.0:
                break
            for group in optimiser.param_groups:
                group["lr"] = config["rate"] * _schedule(step, along, config)
            loss = _step(model, _moved(batch, model.device), weights, masters, optimiser, config["clip"])
            smoothed = loss if math.isnan(smoothed) else 0.9 * smoothed + 0.1 * loss
            step += 1
            if rank == 0:
                line = {
                    "step": step,
                    "seconds": round(_since(before, started), 1),
                    "images": step * ranks * len(batch.ids),
                }
                line |= {"loss": round(loss, 4), "smoothed": round(smoothed, 4), "along": round(along, 4)}
                progress.write(json.dumps(line) + "\n")
                progress.flush()
            if rank == 0 and step % config["save_every"] == 0:
                _save(run, step, _since(before, started), masters, optimiser)
    if rank == 0:
        _save(run, step, _since(before, started), masters, optimiser)
        export(config, run, run / WEIGHTS)
        ship.list_run(run / WEIGHTS)
        if items is not None:
            ended = writer_card.losses(model, tokenizer, held, weights, masters)
            writer_card.write(run, items, config | {"steps taken": step}, start, held, begun, ended)
    return run / WEIGHTS


def read_recipe(recipe: Path) -> Config:
    """The recipe's settings, with the defaults. Raises `Fatal` naming the file and what it lacks."""
    try:
        config = yaml.safe_load(recipe.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Fatal(f"{recipe}: no recipe can be read from it ({error})") from error
    if isinstance(config, dict) and config.get("network") == blip.NETWORK:
        return config
    fields = ("seed", "steps", "batch", "bucket", "rank", "alpha", "modules", "rate", "licence", "provenance")
    missing = [name for name in fields if not isinstance(config, dict) or name not in config]
    if missing:
        raise Fatal(f"{recipe}: a writer's recipe needs {', '.join(missing)}")
    defaults = {
        "task": CAPTIONS,
        "threads": 1,
        "dropout": 0.0,
        "warm_up_steps": 10,
        "clip": 1.0,
        "save_every": 10,
        "worn": 0.0,
        "catalogue": 0.0,
        "tones": list(TONES),
        "loaders": 0,
        "shop": 0.5,
    }
    found: Config = defaults | config
    if found["task"] not in (CAPTIONS, STORIES):
        raise Fatal(f"{recipe}: task: {found['task']!r} is neither {CAPTIONS!r} nor {STORIES!r}")
    return found


def _since(before: float, started: float) -> float:
    return before + time.perf_counter() - started


def _base() -> Path:
    """The unpacked base in the model cache."""
    cache = Path(os.environ.get(CACHE) or "~/.cache/weft/models").expanduser()
    base = cache / WRITER_BASE
    if not (base / "weft-artefact.json").is_file():
        raise Fatal(f"{base} is missing: run `weft models pull starter`")
    return base


def _moved(batch: Batch, device: torch.device) -> Batch:
    return Batch(*(tensor.to(device) for tensor in batch))


def _cut_progress(run: Path, done: int) -> None:
    """Forget the lines of steps after the last save: they will be done, and written, again."""
    path = run / PROGRESS
    if path.is_file():
        kept = [line for line in path.read_text().splitlines() if line and json.loads(line)["step"] <= done]
        path.write_text("".join(line + "\n" for line in kept))


def _start_from(adapter: Path, masters: dict[str, nn.Parameter]) -> None:
    """Begin at another run's adapter instead of at zero."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(adapter)
    except (OSError, SafetensorError) as error:
        raise Fatal(f"{adapter}: the recipe starts from it, and it cannot be read ({error})") from error
    for name, weight in masters.items():
        found = tensors.get(_plain(name))
        if found is None or found.shape != weight.shape:
            what = "lacks it" if found is None else f"has {tuple(found.shape)}"
            raise Fatal(f"{adapter} is no adapter to start from: of {_plain(name)}, {tuple(weight.shape)}, it {what}")
        weight.data.copy_(found)


def _step(
    model: nn.Module,
    batch: Batch,
    weights: dict[str, nn.Parameter],
    masters: dict[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
    clip: float,
) -> float:
    """One update. The adapter runs in the model's precision, its sums are kept in fp32, or late steps round away."""
    for name, weight in weights.items():
        weight.data.copy_(masters[name].data)
        weight.grad = None
    loss = _loss(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    for name, weight in weights.items():
        masters[name].grad = None if weight.grad is None else weight.grad.float().to(masters[name].device)
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


def adapted(base: Path, config: Config, device: str = "cpu") -> tuple[Any, Any]:
    """The base with NF4-rounded linear layers, frozen, a fresh adapter on it, and its tokenizer."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # A processor without bfloat16 products emulates them: the first step took 537 s there.
    dtype = compute_dtype(device)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, local_files_only=True).to(device)
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


def encode(tokenizer: Any, example: Example | StoryExample) -> tuple[list[int], int]:
    """Token ids of prompt and answer with its end-of-turn, and the length of the prompt."""
    messages = (
        story_prompt(example.request) if isinstance(example, StoryExample) else prompt(example.evidence, example.tone)
    )
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    before = tokenizer(asked, add_special_tokens=False).input_ids
    after = tokenizer(example.text + "<|im_end|>", add_special_tokens=False).input_ids
    return before + after, len(before)


def _batches(tokenizer: Any, config: Config, items: shop_data.ShopItems | None = None) -> Iterator[Batch]:
    """Endless batches, the same for the same seed: examples of similar length together, in shuffled order."""
    rng = random.Random(config["seed"])
    size = config["batch"]
    for drawn in _buckets(tokenizer, config, items):
        drawn.sort(key=lambda item: len(item[0]))
        groups = [drawn[n : n + size] for n in range(0, len(drawn), size)]
        rng.shuffle(groups)
        for group in groups:
            yield _collate(group)


def _buckets(tokenizer: Any, config: Config, items: shop_data.ShopItems | None) -> Iterator[list[Encoded]]:
    """Endless lists of batch × bucket examples."""
    size = config["batch"] * config["bucket"]
    if config["loaders"] and items is None and config["task"] != STORIES:
        yield from _loaded(config, size)
    source: Iterator[Example | StoryExample] = (
        stories(config["seed"]) if config["task"] == STORIES else _examples(config, 0, 1)
    )
    if items is not None:
        source = mixed(_examples(config, 0, 1), shop_examples(items, config["seed"]), config["shop"], config["seed"])
    while True:
        yield [encode(tokenizer, example) for example in islice(source, size)]


def _examples(config: Config, start: int, step: int) -> Iterator[Example]:
    shares = {name: config[name] for name in ("worn", "catalogue", "tones")}
    return examples(config["seed"], **shares, start=start, step=step)


def _loaded(config: Config, size: int) -> Iterator[list[Encoded]]:
    """The same from processes beside this one, in turns, each a few lists ahead: a GPU learns faster than one core writes."""
    count = config["loaders"]
    context = multiprocessing.get_context("spawn")
    queues: list[Any] = [context.Queue(2) for _ in range(count)]
    workers = [
        context.Process(target=_load, args=(config, size, _base(), number, queue), daemon=True)
        for number, queue in enumerate(queues)
    ]
    for worker in workers:
        worker.start()
    try:
        while True:
            for number, queue in enumerate(queues):
                while True:
                    try:
                        drawn = queue.get(timeout=5)
                        break
                    except Empty:
                        if not workers[number].is_alive():
                            raise Fatal("a process that makes examples ended") from None
                yield drawn
    finally:
        for worker in workers:
            worker.kill()


def _load(config: Config, size: int, base: Path, number: int, queue: Any) -> None:
    """One of these processes: every `loaders`-th pack of the recipe's seed."""
    from transformers import AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    source = _examples(config, number, config["loaders"])
    while True:
        queue.put([encode(tokenizer, example) for example in islice(source, size)])


def _collate(group: list[Encoded]) -> Batch:
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
    state = torch.load(path, weights_only=True, map_location="cpu")
    for name, weight in masters.items():
        weight.data.copy_(state["weights"][name])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), float(state["seconds"])


def export(config: Config, run: Path, out: Path) -> None:
    """The last save as one fp16 safetensors file with its LoRA settings in the metadata."""
    state = torch.load(run / "last.pt", weights_only=True, map_location="cpu")
    tensors = {_plain(name): value.half().contiguous() for name, value in state["weights"].items()}
    kept = ("rank", "alpha", "modules", "licence", "provenance")
    save_adapter(out, tensors, {**{key: config[key] for key in kept}, "steps": state["step"]})
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB after {state['step']} steps")


def _plain(name: str) -> str:
    """Peft's in-memory name -> "model.layers.0.mlp.up_proj.lora_A"."""
    return name.removeprefix("base_model.model.").replace(".default.weight", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--minutes", type=float)
    asked = parser.parse_args()
    print(train(asked.recipe, asked.run, Path(), asked.minutes))


if __name__ == "__main__":
    main()
