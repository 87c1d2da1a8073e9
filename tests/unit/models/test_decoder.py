"""Our decoder against `transformers`, its batches, its attention; NF4 and chat templates against their own libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models.weights import four_bits
from models.weights.hashes import MARKER
from models.writer.attention import ATTENTIONS
from models.writer.chat_tokens import ChatTokens
from models.writer.decoder_net import Decoder, Shape, shape_of
from models.writer.decoder_on_gpu import DecoderOnGpu
from models.writer.decoder_weights import Weights, decoder_of
from models.writer.decoding import MOST_ROWS, Decoding, Prompt, Repeats
from models.writer.linears import LINEARS, available, plain
from models.writer.seeded_sampling import Sampler
from models.writer.steadiness import COUNTS, is_steady, steady_rows
from processors.errors import Fatal
from tests.fixtures import tiny_llama

END = 1
LONGEST = 9


def tiny(kind: str) -> Any:
    """A random Llama, or a Qwen2, whose queries, keys and values have biases."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    sizes = {"vocab_size": 99, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": kind == "llama"}
    torch.manual_seed(3)
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**sizes, **heads, rope_theta=5000.0)).float().eval()
    model = Qwen2ForCausalLM(Qwen2Config(**sizes, **heads)).float().eval()
    for layer in model.model.layers:
        for name in ("q_proj", "k_proj", "v_proj"):
            torch.nn.init.normal_(getattr(layer.self_attn, name).bias)
    return model


def ours(model: Any, linear: str = "plain", attention: str = "grouped") -> Decoder:
    shape = shape_of(model.config.to_dict())
    assert shape is not None
    return decoder_of(Weights(model.state_dict(), shape, torch.float32), shape, LINEARS[linear], ATTENTIONS[attention])


def decoding(decoder: Decoder, *, temperature: float = 0.7, end: int = END) -> Decoding:
    with torch.inference_mode():
        rows = steady_rows(decoder).rows
    return Decoding(decoder, Sampler(temperature), end=end, repeated_run=10, rows=rows)


def prompts(count: int, shared: int = 0) -> list[Prompt]:
    """Of 5 to 44 tokens, the first four alike."""
    made = []
    for seed in range(count):
        own = torch.randint(2, 99, (1 + (seed * 7) % 40,), generator=torch.Generator().manual_seed(seed)).tolist()
        made.append(Prompt((7, 8, 9, 10, *own), seed, shared, LONGEST))
    return made


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("attention", list(ATTENTIONS))
@pytest.mark.parametrize("linear", list(LINEARS))
def test_it_computes_what_transformers_computes(kind: str, attention: str, linear: str) -> None:
    """Logits of a prompt, and of two steps after it in a batch of rows of different lengths, within rounding."""
    if linear not in available(torch.float32):
        pytest.skip(f"this torch has no {linear} linear layers on this processor")
    model = tiny(kind)
    decoder = ours(model, linear, attention)
    texts = [[5, 6, 7, 8, 9, 10, 11], [40, 41, 42]]
    with torch.inference_mode():
        cache = decoder.cache(2, 40)
        for row, text in enumerate(texts):
            hidden, known = decoder.begin(text)
            cache.put(row, known)
            assert torch.allclose(decoder.logits(hidden), model(torch.tensor([text])).logits[:, -1], atol=1e-4)
        for token in (50, 51):
            lengths = torch.tensor([len(text) for text in texts])
            logits = decoder.logits(decoder.step(torch.tensor([token, token]), lengths, cache))
            texts = [[*text, token] for text in texts]
            for row, text in enumerate(texts):
                assert torch.allclose(logits[row], model(torch.tensor([text])).logits[0, -1], atol=1e-4)


def test_a_beginning_that_is_shared_changes_nothing() -> None:
    """Read once for many or with each prompt: the same logits within rounding, so the same likeliest tokens."""
    engine = decoding(ours(tiny("llama")), temperature=0.0)
    assert engine.answers(prompts(6, shared=4)) == engine.answers(prompts(6))


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_an_answer_is_the_same_in_any_company(kind: str) -> None:
    """Alone, in the middle, in another order, and in a batch of which some wait until others have ended."""
    decoder = ours(tiny(kind), next(iter(available(torch.float32))))
    asked = prompts(MOST_ROWS + 5, shared=4)
    end = decoding(decoder).answers(asked[:1])[0][5]
    engine = decoding(decoder, end=end)
    together = engine.answers(asked)
    assert engine.answers(asked[::-1])[::-1] == together
    assert [engine.answers([one])[0] for one in asked[:6]] == together[:6]
    assert engine.answers(asked[3:8]) == together[3:8]
    assert len({len(answer) for answer in together}) > 1  # some ended early, and left
    assert all(answer.index(end) == len(answer) - 1 for answer in together if end in answer)
    assert max(map(len, together)) == LONGEST


GPUS = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")),
]
"""The form for a GPU runs on a processor too, where it records nothing."""


def on_gpu(model: Any, device: str) -> Decoder:
    shape = shape_of(model.config.to_dict())
    assert shape is not None
    weights = Weights(model.state_dict(), shape, torch.float32, device)
    return DecoderOnGpu.of(decoder_of(weights, shape, plain, ATTENTIONS["grouped"]))


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("device", GPUS)
def test_the_form_for_a_gpu_answers_the_same(kind: str, device: str) -> None:
    """More prompts than rows, of several lengths, twice: what a cache holds of earlier answers changes nothing."""
    model = tiny(kind)
    asked = prompts(MOST_ROWS + 5, shared=4)
    wanted = decoding(ours(model), temperature=0.0).answers(asked)
    engine = Decoding(on_gpu(model, device), Sampler(0.0), end=END, repeated_run=10)
    assert engine.answers(asked) == wanted
    assert engine.answers(asked[:3]) == wanted[:3]
    assert engine.answers(asked) == wanted


@pytest.mark.parametrize("device", GPUS)
def test_answers_between_the_steps_of_others_are_written_beside_them(device: str) -> None:
    """What is urgent has a cache of its own: neither batch reads the other's keys."""
    model = tiny("llama")
    engine = Decoding(on_gpu(model, device), Sampler(0.7), end=END, repeated_run=10)
    asked = prompts(6)
    wanted, urgent = engine.answers(asked), engine.answers(asked[:2])
    seen: list[Any] = []

    def ask() -> None:
        if len(seen) < 2:
            engine.between_steps = lambda: None
            seen.append(engine.answers(asked[:2]))
            engine.between_steps = ask

    engine.between_steps = ask
    assert engine.answers(asked) == wanted
    assert seen == [urgent, urgent]


def test_each_prompt_has_its_own_length_of_answer() -> None:
    """A warm-up of two tokens beside captions."""
    engine = decoding(ours(tiny("llama")))
    one, other = prompts(2)
    assert len(engine.answers([one._replace(longest=2), other])[0]) <= 2


def test_attention_that_depends_on_its_company_is_found_out() -> None:
    """One that sums over the whole width in one order for wide and another for narrow ones is not steady."""
    shape = Shape(layers=1, heads=4, groups=2, dimension=16, hidden=64, inner=128, eps=1e-5, theta=1e4)

    def unsteady(queries: Any, keys: Any, values: Any, mask: Any) -> Any:
        found = ATTENTIONS["grouped"](queries, keys, values, mask)
        return found * (1 + 1e-6 * keys.shape[2])

    assert is_steady(ATTENTIONS["grouped"], shape, torch.float32)
    assert not is_steady(unsteady, shape, torch.float32)


def test_counts_of_rows_that_sum_otherwise_are_filled_up() -> None:
    """A product that rounds otherwise below eight rows: seven rows are then computed as eight."""

    def unsteady(weight: Any, bias: Any = None) -> Any:
        inner = plain(weight, bias)
        return lambda x: inner(x) * (1 if len(x) >= 8 else 1 + 1e-6)

    model = tiny("llama")
    shape = shape_of(model.config.to_dict())
    assert shape is not None
    weights = Weights(model.state_dict(), shape, torch.float64)  # torch's own products are steady in none but this
    decoder = decoder_of(weights, shape, unsteady, ATTENTIONS["grouped"])
    rows = steady_rows(decoder).rows
    assert min(rows) >= 8
    assert max(rows) == COUNTS[-1]


def test_no_run_is_written_twice() -> None:
    """The same tokens are banned as by `transformers`, at each place of a text full of repetitions."""
    from transformers import NoRepeatNGramLogitsProcessor

    text = torch.randint(0, 3, (60,), generator=torch.Generator().manual_seed(2)).tolist()
    theirs, mine = NoRepeatNGramLogitsProcessor(4), Repeats(text[:1], 4)
    for at in range(1, len(text)):
        scores = theirs(torch.tensor([text[:at]]), torch.zeros(1, 3))
        assert list(mine.banned()) == torch.isinf(scores[0]).nonzero()[:, 0].tolist()
        mine.add(text[at])


@pytest.mark.parametrize(
    "odd",
    [
        {"model_type": "gemma2"},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}},
        {"use_sliding_window": True},
        {"mlp_bias": True},
    ],
)
def test_other_architectures_are_left_to_transformers(odd: dict[str, Any]) -> None:
    """A variant that would be computed wrongly is not computed."""
    config = tiny("llama").config.to_dict()
    assert shape_of(config) is not None
    assert shape_of(config | odd) is None


def test_nf4_is_unpacked_as_bitsandbytes_does(tmp_path: Path) -> None:
    """Codes, the order of halves in a byte, scales: equal to the library's own."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit
    from safetensors.torch import load_file, save_file

    name = "model.layers.0.mlp.up_proj.weight"
    weight = torch.randn(96, 64, generator=torch.Generator().manual_seed(1))
    save_file({name: weight}, tmp_path / "base.safetensors")
    path = four_bits.write_rounded(tmp_path / "base.safetensors", None, tmp_path)
    kept = load_file(path)
    found = four_bits.unpacked(kept[name + four_bits.CODES], kept[name + four_bits.SCALES], 96, torch.float32)
    codes, state = quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
    assert torch.equal(found, dequantize_4bit(codes, state))


def test_rounded_weights_are_kept_and_made_again_when_damaged(tmp_path: Path) -> None:
    """Once for a base; a changed byte is noticed; another adapter has a file of its own."""
    base = tmp_path / "tiny"
    base.mkdir()
    tiny_llama.build(base)
    made = []

    def make(source: Path, adapter: Path | None, folder: Path) -> Path:
        made.append(source)
        return four_bits.write_rounded(source, adapter, folder)

    first = four_bits.keep(base, None, make=make)
    assert four_bits.keep(base, None, make=make) == first
    assert len(made) == 1
    assert first is not None
    assert (first.parent / MARKER).is_file()
    whole = first.read_bytes()
    first.write_bytes(whole[:-1] + b"?")
    assert four_bits.keep(base, None, make=make) == first
    assert len(made) == 2
    assert first.read_bytes() == whole
    assert not list(tmp_path.glob(".*.partial"))


def test_only_a_few_kept_folders_of_a_base_stay(tmp_path: Path) -> None:
    """Each version leaves its weights behind; the oldest go. Other bases' stay."""
    base = tmp_path / "tiny"
    base.mkdir()
    tiny_llama.build(base)
    for old in ("tiny.nf4-1", "tiny.nf4-2", "tiny.nf4-3", "other.nf4-1"):
        (tmp_path / old).mkdir()
    path = four_bits.keep(base, None, make=four_bits.write_rounded)
    assert path is not None
    left = {folder.name for folder in tmp_path.glob("[!.]*.nf4-*")}
    assert len(left) == four_bits.KEPT + 1
    assert {path.parent.name, "other.nf4-1"} <= left


@pytest.mark.slow
def test_rounding_in_a_child_gives_the_same_file(tmp_path: Path) -> None:
    """The default way: another process, so that its memory is gone."""
    base = tmp_path / "tiny"
    base.mkdir()
    tiny_llama.build(base)
    source = base / four_bits.SOURCE
    (tmp_path / "here").mkdir()
    here = four_bits.write_rounded(source, None, tmp_path / "here")
    assert four_bits.in_child(source, None, tmp_path / "there").read_bytes() == here.read_bytes()


def test_prompts_are_tokenised_as_transformers_does(tmp_path: Path) -> None:
    """Chat template and tokenizer, read from the same files; decoding leaves special tokens out."""
    from transformers import AutoTokenizer

    tiny_llama.build(tmp_path)
    tokens, theirs = ChatTokens(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "dress: navy, für Damen"}]
    text = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert tokens.render(messages) == text
    assert list(tokens.encode(messages)) == theirs(text, add_special_tokens=False).input_ids
    assert tokens.decode(tokens.encode(messages)) == theirs.decode(tokens.encode(messages), skip_special_tokens=True)
    assert tokens.end == theirs.convert_tokens_to_ids("<|im_end|>")
    assert tokens.takes_system_role()


def test_a_template_that_refuses_a_system_message_is_told(tmp_path: Path) -> None:
    """Gemma's does; and one that cannot be read, or is missing, is fatal."""
    tiny_llama.build(tmp_path)
    template = tmp_path / "chat_template.jinja"
    template.write_text("{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}hello")
    assert not ChatTokens(tmp_path).takes_system_role()
    template.write_text("{% if %}")
    with pytest.raises(Fatal, match="cannot be read"):
        ChatTokens(tmp_path)
    template.unlink()
    with pytest.raises(Fatal, match="no chat template"):
        ChatTokens(tmp_path)
