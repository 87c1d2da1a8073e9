"""The writer on a tiny random Llama, by both of its engines: batching, seeding, stopping, adapters, quantisation."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.ports import WriterRequest
from models.weights.four_bits import write_rounded
from models.weights.hashes import sha256_of
from models.writer import hf_writer
from models.writer.adapters import LoraHeader, read_adapter, save_adapter
from models.writer.generating import Generating
from models.writer.hf_writer import WARM_TOKENS, HfWriter, compute_dtype
from models.writer.story_writer import MAX_TOKENS, StoryWriter
from processors.captions import PROMPT_FINGERPRINT, judge
from processors.context.telling import StoryRequest
from processors.errors import Fatal
from processors.evidence import build
from processors.values import CaptionText, Evidence, Garment
from tests.fixtures import tiny_llama

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


OWN, TRANSFORMERS = 2**30, 0
"""Bytes that may lie unpacked: with none, `transformers` computes."""
ENGINES = pytest.mark.parametrize("most_unpacked", [OWN, TRANSFORMERS])


def load(base: Path, adapter: Path | None = None, **how: Any) -> HfWriter:
    return HfWriter.load(base, adapter, make=write_rounded, **how)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 2 layers with random weights and a byte-level tokenizer."""
    return tiny_llama.build(tmp_path_factory.mktemp("base"))


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    """A random adapter that changes the tiny model's words, and is small enough that rounding does not (bitsandbytes rounds
    what is multiplied to bfloat16 wherever the processor has it)."""
    return random_adapter(base, tmp_path, rank=4)


def random_adapter(base: Path, folder: Path, *, rank: int) -> Path:
    import torch
    from safetensors import safe_open

    torch.manual_seed(5)
    tensors = {}
    with safe_open(base / "model.safetensors", framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            layer = name.removesuffix(".weight")
            if layer.split(".")[-1] in MODULES:
                out, into = file.get_slice(name).get_shape()
                tensors[f"{layer}.lora_A"] = (torch.randn(rank, into) / 8).half()
                tensors[f"{layer}.lora_B"] = (torch.randn(out, rank) / 8).half()
    path = folder / "writer.safetensors"
    header = {"rank": rank, "alpha": 8, "modules": MODULES, "licence": "test", "provenance": "test", "steps": 1}
    save_adapter(path, tensors, header)
    manifest = {"files": {path.name: {"sha256": sha256_of(path), "bytes": 1, "licence": "", "recipe": ""}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return path


def request(seed: int, *categories: str) -> WriterRequest:
    garments = [
        Garment(id="", category=c, box=(0, 20.0 * n, 9, 20.0 * n + 9), confidence=0.9) for n, c in enumerate(categories)
    ]
    return WriterRequest(evidence=build(garments), tone="plain", seed=seed)


def drafts(writer: HfWriter, *requests: WriterRequest) -> list[tuple[int, ...]]:
    """Token ids: a random model's bytes are rarely text."""
    raws = writer.forward([writer.prepare(r) for r in requests])
    assert len(raws) == len(requests)
    return raws


@ENGINES
def test_a_request_writes_the_same_in_any_batch(base: Path, most_unpacked: int) -> None:
    """Neighbours of other lengths, padding and place in the batch change nothing; another seed does."""
    writer = load(base, quantised=False, max_new_tokens=12, most_unpacked=most_unpacked)
    mine = request(1, "dress")
    alone = drafts(writer, mine)[0]
    among = drafts(writer, request(2, "hat", "bag", "shoe"), mine, request(3))
    other = drafts(writer, request(4, "dress"))[0]
    assert len(alone) == 12
    assert among[1] == alone
    assert other != alone


BYTES = 1200
"""The tiny tokenizer writes byte by byte."""


@ENGINES
def test_a_random_model_writes_grounded_captions(base: Path, most_unpacked: int) -> None:
    """Held to grammars of their own, the rows of a batch state all that is known of each product, and nothing else."""
    writer = load(base, quantised=False, max_new_tokens=BYTES, most_unpacked=most_unpacked, grounded=True)
    free = load(base, quantised=False, max_new_tokens=BYTES, most_unpacked=most_unpacked)
    assert writer.grounded
    assert not free.grounded
    assert writer.fingerprint != free.fingerprint
    asked = [request(1, "dress"), request(2, "hat", "bag"), request(3)]
    texts = [writer.finish(r, raw) for r, raw in zip(asked, drafts(writer, *asked), strict=True)]
    for one, text in zip(asked, texts, strict=True):
        verdict = judge(text, one.evidence, one.tone)
        assert isinstance(verdict, CaptionText), (text, verdict)
        assert {span.garment for span in verdict.spans} == {garment.id for garment in one.evidence.garments}


@ENGINES
def test_a_grounded_request_writes_the_same_in_any_batch(base: Path, most_unpacked: int) -> None:
    """What a grammar forces on one row moves no other row."""
    writer = load(base, quantised=False, max_new_tokens=BYTES, most_unpacked=most_unpacked, grounded=True)
    mine = request(1, "dress", "shoe")
    alone = drafts(writer, mine)[0]
    among = drafts(writer, request(2, "hat", "bag", "shoe"), mine, request(3))
    assert among[1] == alone
    assert drafts(writer, request(9, "dress", "shoe"))[0] != alone


def test_a_pack_without_a_grammar_is_its_own_problem(base: Path) -> None:
    """It fails when it is prepared, before it is in a batch with others."""
    writer = load(base, quantised=False, grounded=True)
    with pytest.raises(KeyError):
        writer.prepare(WriterRequest(evidence=Evidence(()), tone="no such tone", seed=1))


@ENGINES
def test_greedy_at_temperature_zero(base: Path, most_unpacked: int) -> None:
    """Temperature 0 ignores the seed."""
    writer = load(base, quantised=False, max_new_tokens=8, temperature=0.0, most_unpacked=most_unpacked)
    first, second = drafts(writer, request(1, "dress"), request(2, "dress"))
    assert first == second


@pytest.mark.parametrize("adapted", [True, False])
@pytest.mark.parametrize("quantised", [True, False])
def test_both_engines_write_the_same(
    base: Path, adapter: Path, quantised: bool, adapted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours computes what `transformers` computes: the likeliest tokens are the same, whatever the weights.

    In float32 on every processor. In bfloat16, where a processor has that, an adapter is rounded with the weights that it was
    merged into by ours, and by itself by theirs: a random model's likeliest tokens are too near to each other for that.
    """
    monkeypatch.setattr(hf_writer, "compute_dtype", lambda _device: torch.float32)
    how = {"quantised": quantised, "max_new_tokens": 10, "temperature": 0.0}
    asked = [request(1, "dress"), request(2, "hat", "bag", "shoe")]
    ours = load(base, adapter if adapted else None, **how, most_unpacked=OWN)
    theirs = load(base, adapter if adapted else None, **how, most_unpacked=TRANSFORMERS)
    assert isinstance(theirs.engine, Generating)
    assert drafts(ours, *asked) == drafts(theirs, *asked)
    assert ours.fingerprint != theirs.fingerprint


def test_nf4_quantises_the_linear_layers(base: Path) -> None:
    """With `transformers` the weights really are four-bit codes, and the model still writes."""
    from bitsandbytes.nn import Linear4bit

    writer = load(base, max_new_tokens=4, most_unpacked=TRANSFORMERS)
    assert isinstance(writer.engine, Generating)
    layer = writer.engine.model.model.layers[0].mlp.up_proj
    assert isinstance(layer, Linear4bit)
    assert layer.weight.quant_state.quant_type == "nf4"
    assert layer.weight.element_size() == 1
    assert layer.compute_dtype is compute_dtype("cpu")
    assert len(drafts(writer, request(1, "dress"))) == 1


def test_a_storyteller_writes_the_same_in_any_batch(base: Path, adapter: Path) -> None:
    """Of sentences and a pack; the base of its adapter, and another fingerprint than the writer of captions."""
    teller = StoryWriter(load(base, adapter=adapter, max_new_tokens=MAX_TOKENS, temperature=0.0))
    evidence = request(1, "dress").evidence
    mine = StoryRequest(("It was cut by Ada Moreau in Porto.",), evidence, 1)
    others = [
        StoryRequest(("Sewn by Otto Lang.", "In Fez."), evidence, 2),
        StoryRequest(("Woven in Como.",), evidence, 3, ratio=False),
    ]
    alone = teller.forward([teller.prepare(mine)])[0]
    among = teller.forward([teller.prepare(one) for one in (others[0], mine, others[1])])
    assert among[1] == alone
    assert isinstance(teller.finish(mine, alone), str)
    assert teller.fingerprint != load(base, adapter=adapter).fingerprint


@ENGINES
@pytest.mark.parametrize("quantised", [True, False])
def test_an_adapter_changes_the_words(base: Path, adapter: Path, quantised: bool, most_unpacked: int) -> None:
    """LoRA factors from our file reach every layer, on four-bit weights and on those of the base."""
    how: dict[str, Any] = {"quantised": quantised, "max_new_tokens": 12, "most_unpacked": most_unpacked}
    plain, adapted = load(base, **how), load(base, adapter, **how)
    assert drafts(plain, request(1, "dress")) != drafts(adapted, request(1, "dress"))
    assert plain.fingerprint != adapted.fingerprint


def test_the_adapter_adds_scaled_b_times_a(base: Path, adapter: Path) -> None:
    """Each weight moves by (alpha / rank) · B·A, exactly what the recipe trained."""
    import torch
    from safetensors import safe_open

    name = "model.layers.0.mlp.up_proj"
    with safe_open(adapter, framework="pt") as file:
        a, b = file.get_tensor(f"{name}.lora_A").float(), file.get_tensor(f"{name}.lora_B").float()
    moved = read_adapter(adapter).added(name, torch.zeros(b.shape[0], a.shape[1]))
    assert torch.allclose(moved, 2.0 * b @ a)


def test_a_processor_without_bfloat16_products_computes_in_float32() -> None:
    """Emulated bfloat16 is less than half as fast; a GPU has its own."""
    import torch

    native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert compute_dtype("cpu") is (torch.bfloat16 if native else torch.float32)
    assert compute_dtype("cuda:0") is torch.bfloat16


def test_fingerprint_covers_what_changes_the_text(base: Path) -> None:
    """Quantisation, length and temperature are part of a writer's name; the same settings give the same name."""
    names = [
        load(base, quantised=False).fingerprint,
        load(base, quantised=True).fingerprint,
        load(base, quantised=False, max_new_tokens=9).fingerprint,
        load(base, quantised=False, temperature=0.1).fingerprint,
    ]
    assert len(set(names)) == 4
    again = load(base, quantised=False)
    assert again.fingerprint == names[0]
    assert again.prompt_fingerprint == PROMPT_FINGERPRINT


def test_an_answer_ends_at_the_end_of_turn(base: Path) -> None:
    """Nothing after <|im_end|> comes out; a cut-off answer loses its last, perhaps half, word."""
    writer = load(base, quantised=False, max_new_tokens=6)
    item = request(1, "dress")
    ids = writer._tokens.ids("Nice dress. #Red #Dre")
    assert writer.finish(item, (*ids, writer._tokens.end)) == "Nice dress. #Red #Dre"
    assert writer.finish(item, ids) == "Nice dress. #Red"


def test_damaged_or_foreign_weights_are_fatal(base: Path, adapter: Path, tmp_path: Path) -> None:
    """A changed byte, an unlisted file, and an adapter of another shape are all refused at load."""
    adapter.write_bytes(adapter.read_bytes() + b" ")
    with pytest.raises(Fatal):
        load(base, adapter, quantised=False)
    with pytest.raises(Fatal):
        load(tmp_path)
    import torch

    folder = tmp_path / "partial"
    folder.mkdir()
    header = {"rank": 4, "alpha": 8, "modules": ["q_proj"], "licence": "", "provenance": "", "steps": 1}
    path = folder / "writer.safetensors"
    save_adapter(path, {"model.layers.0.self_attn.q_proj.lora_A": torch.zeros(4, 64)}, header)
    manifest = {"files": {path.name: {"sha256": sha256_of(path), "bytes": 1, "licence": "", "recipe": ""}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Fatal, match="does not fit"):
        load(base, path, quantised=False)


def test_the_header_travels_with_the_adapter(adapter: Path) -> None:
    """Rank, scale, modules and provenance are read from the file itself."""
    import msgspec
    from safetensors import safe_open

    with safe_open(adapter, framework="pt") as file:
        header = msgspec.json.decode(file.metadata()["header"], type=LoraHeader)
    assert (header.rank, header.alpha, header.modules) == (4, 8, MODULES)


def test_example_can_be_written(base: Path) -> None:
    """Warm-up drives the example through all three steps, and writes a few tokens of it."""
    writer = load(base, quantised=False, max_new_tokens=30)
    raw = drafts(writer, writer.example())[0]
    assert len(raw) <= WARM_TOKENS
    assert isinstance(writer.finish(writer.example(), raw), str)
    assert isinstance(writer.example().evidence, Evidence)
