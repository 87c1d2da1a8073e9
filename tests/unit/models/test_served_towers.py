"""What serves is what was trained: our lean networks against those of timm, open_clip, transformers and torchvision."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.detector import box_suppression
from models.encoder import encoder_net, minilm_packed
from models.encoder.lite0 import Lite0
from models.encoder.minilm import MiniLm, load_text_tower
from models.encoder.minilm_packed import PackedMiniLm, packed_rows
from processors.errors import Fatal

ROOT = Path(__file__).parents[3]
BERT = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 48,
    "intermediate_size": 96,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 100,
}


def _stirred(module):
    """Weights and statistics as training leaves them: none is 0 or 1 by default."""
    generator = torch.Generator().manual_seed(3)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(noise.abs() + 0.5 if name.endswith(("running_var", "bn1.weight")) else noise * 0.2)
    return module.eval()


def test_the_trunk_is_timms_to_the_bit():
    """Every tensor under timm's name, and the same maps after each stage, on odd sides too."""
    import timm

    theirs = _stirred(timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0))
    ours = Lite0().eval()
    assert {n: t.shape for n, t in ours.state_dict().items()} == {n: t.shape for n, t in theirs.state_dict().items()}
    ours.load_state_dict(theirs.state_dict())
    generator = torch.Generator().manual_seed(1)
    for side in (224, 192, 97):
        images = torch.rand(2, 3, side, side, generator=generator) * 2 - 1
        with torch.inference_mode():
            one, other = theirs.bn1(theirs.conv_stem(images)), ours.bn1(ours.conv_stem(images))
            for left, right in zip(theirs.blocks, ours.blocks, strict=True):
                assert torch.equal(one, other)
                one, other = left(one), right(other)
            assert torch.equal(theirs.bn2(theirs.conv_head(one)), ours.bn2(ours.conv_head(other)))
    for left, right in zip(theirs.blocks.children(), ours.blocks.children(), strict=True):
        assert [block.has_skip for block in left] == [block.has_skip for block in right]


def test_the_image_tower_is_open_clips_to_the_bit():
    """With the colour branch and both layers of the head."""
    theirs = _stirred(encoder_net.image_tower())
    ours = encoder_net.served_image_tower().eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(3, 3, encoder_net.SIDE, encoder_net.SIDE, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(theirs(images), ours(images))


def test_the_text_tower_is_open_clips(tmp_path):
    """The same vectors up to rounding, padded and not, and for one text alone."""
    from open_clip.hf_model import HFTextEncoder
    from safetensors.torch import save_file
    from transformers import BertConfig

    config = BertConfig(**{name: value for name, value in BERT.items() if name != "model_type"})
    theirs = _stirred(HFTextEncoder("bert", 32, config=config, pooler_type="mean_pooler", proj_type="mlp"))
    save_file({n: t.contiguous() for n, t in theirs.transformer.state_dict().items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(config.to_json_string())
    ours = load_text_tower(tmp_path, 32).eval()
    assert not [name for name, tensor in ours.named_parameters() if tensor.is_meta]
    ours.proj.load_state_dict(theirs.proj.state_dict())
    ids = torch.randint(1, 100, (5, 20), generator=torch.Generator().manual_seed(4))
    ids[1, 7:], ids[3, 1:] = 0, 0
    with torch.inference_mode():
        for batch in (ids, ids[:1], ids[3:4], ids[[0, 2]]):
            torch.testing.assert_close(ours(batch), theirs(batch), rtol=1e-5, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=24))
@example([7])
@example([12, 12, 12, 12])
@example([60, 1])
def test_texts_packed_into_rows_have_the_vectors_of_texts_alone(lengths):
    """A text that saw its neighbour's tokens, or its own at another's places, would be ranked by them."""
    plain = _stirred(MiniLm(BERT))
    generator = torch.Generator().manual_seed(len(lengths))
    ids = torch.randint(1, 100, (len(lengths), max(lengths)), generator=generator)
    for text, length in enumerate(lengths):
        ids[text, length:] = 0
    with torch.inference_mode():
        alone = torch.cat([plain(ids[[text], :length]) for text, length in enumerate(lengths)])
        packed = PackedMiniLm(plain)
        torch.testing.assert_close(packed(ids), alone, rtol=1e-4, atol=2e-5)
    assert packed.width == 48


@given(st.lists(st.integers(1, 48), min_size=1, max_size=40))
def test_rows_hold_every_text_once_and_are_nearly_full(lengths):
    rows = packed_rows(lengths, 48)
    assert sorted(text for row in rows for text in row) == list(range(len(lengths)))
    assert len(rows) == math.ceil(sum(lengths) / 48)
    # The text that overfills the emptiest row is its last: what it had before is no more than the mean.
    assert max(sum(lengths[text] for text in row) for row in rows) <= sum(lengths) / len(rows) + max(lengths)


def test_words_are_computed_wide_where_the_processor_is(monkeypatch):
    """With AVX2 both take as long; a GPU has no layout of oneDNN's."""
    monkeypatch.setattr(minilm_packed, "packs", lambda device: device == "cpu")
    found = {}
    for capability in ("AVX512", "AVX2", "DEFAULT"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda told=capability: told)
        for device in ("cpu", "cuda:0"):
            found[capability, device] = type(minilm_packed.widely_computed(_stirred(MiniLm(BERT)), device))
    assert {where for where, kind in found.items() if kind is PackedMiniLm} == {("AVX512", "cpu")}
    assert set(found.values()) == {PackedMiniLm, MiniLm}


def test_another_network_in_the_folder_is_named(tmp_path):
    """A text tower of another kind would load without its own layers and rank at random."""
    (tmp_path / "config.json").write_text('{"model_type": "roberta", "hidden_act": "gelu"}')
    with pytest.raises(Fatal, match=r"config\.json: the text tower is a BERT"):
        load_text_tower(tmp_path, 32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 2**16))
def test_suppression_is_torchvisions(count, seed):
    """The same boxes in the same order, within classes and across them."""
    from torchvision import ops

    generator = torch.Generator().manual_seed(seed)
    corners, sides = (torch.rand(count, 2, generator=generator) * 100 for _ in range(2))
    boxes = torch.cat([corners, corners + sides], 1)
    confidences = torch.rand(count, generator=generator)
    classes = torch.randint(0, 3, (count,), generator=generator)
    for iou in (0.3, 0.7):
        assert torch.equal(
            box_suppression.batched_nms(boxes, confidences, classes, iou),
            ops.batched_nms(boxes, confidences, classes, iou),
        )
        assert torch.equal(box_suppression.nms(boxes, confidences, iou), ops.nms(boxes, confidences, iou))


def test_torchvision_may_be_imported_after_its_kernel_was_loaded():
    """A recipe may: the operators are registered once, whoever came first."""
    code = (
        "import sys, torch\nfrom models.detector.box_suppression import nms\n"
        "boxes, sure = torch.tensor([[0., 0, 9, 9], [0, 0, 9, 8]]), torch.tensor([.5, .9])\n"
        "assert nms(boxes, sure, .5).tolist() == [1]\nassert 'torchvision' not in sys.modules\n"
        "import torchvision.ops\nassert torchvision.ops.nms(boxes, sure, .5).tolist() == [1]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
