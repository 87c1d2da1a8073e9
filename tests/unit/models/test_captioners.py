"""Captioners of triplets: by rule, by the writer, and a tiny LLaVA with random weights as its owner would give it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.captioner.by_evidence import RuleCaptioner, WriterCaptioner
from models.captioner.vision import InstructChat, VisionCaptioner
from models.fakes import FakeWriter
from models.ports import CaptionRequest
from models.weights.hashes import list_folder
from processors.errors import Fatal
from processors.triplets import CAPTION_PROMPT
from processors.values import Attribute, Colour, Evidence, Garment
from tests.contract.model_contract import ModelContract
from tests.fixtures import full_profile

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
)


def request(colour: str, value: int = 0) -> CaptionRequest:
    """A dress of this colour, and a photo."""
    garment = Garment("g0", "dress", (0, 0, 1, 1), 1.0, (Colour(colour, "", 1.0),), {"sleeve": Attribute("long", 1.0)})
    pixels = np.random.default_rng(value).integers(0, 255, (40, 30 + value, 3)).astype(np.uint8)
    return CaptionRequest(Evidence((garment,)), 7, pixels)


def llava(folder: Path) -> None:
    """A vision tower and a language model of two layers each, saved with their processor."""
    import torch
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    words = full_profile.tokenizer(folder)
    words.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", "<image>"]})
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    text = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    image = words.convert_tokens_to_ids("<image>")
    torch.manual_seed(4)
    model = LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_index=image, image_seq_length=16)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    model.save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = LlavaProcessor(
        pictures,
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved once, and listed."""
    found = tmp_path_factory.mktemp("vision-captioner")
    llava(found)
    list_folder(found, "vision-captioner")
    return found


@pytest.fixture(scope="module")
def vision(folder: Path) -> VisionCaptioner:
    """Loaded once."""
    return VisionCaptioner.load(folder, tokens=6)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> InstructChat:
    """Loaded once."""
    found = tmp_path_factory.mktemp("chat")
    full_profile.qwen(found)
    list_folder(found, "chat")
    return InstructChat.load(found, tokens=6)


class TestRules(ModelContract):
    """By rule."""

    @pytest.fixture
    def model(self) -> RuleCaptioner:
        return RuleCaptioner()

    @pytest.fixture
    def items(self) -> Sequence[Any]:
        return [request("red"), request("navy")]

    @pytest.fixture
    def bad(self) -> Sequence[Any]:
        return []


class TestWriter(TestRules):
    """By the writer."""

    @pytest.fixture
    def model(self) -> WriterCaptioner:
        return WriterCaptioner(FakeWriter())


class TestVision(ModelContract):
    """By a vision-language model."""

    @pytest.fixture
    def model(self, vision: VisionCaptioner) -> VisionCaptioner:
        return vision

    @pytest.fixture
    def items(self) -> Sequence[Any]:
        return [request("red", 1), request("navy", 9)]

    @pytest.fixture
    def bad(self) -> Sequence[Any]:
        return [CaptionRequest(Evidence(()), 0, None), CaptionRequest(Evidence(()), 0, np.zeros((0, 0, 3), np.uint8))]

    def test_it_asks_as_the_paper_does(self, model: VisionCaptioner) -> None:
        """The photo, then the words, in the model's own template."""
        asked = model.prepare(request("red", 1))
        text = model._processor.decode(asked["input_ids"][0])
        assert CAPTION_PROMPT in text
        assert text.count("<image>") == 16


class TestChat(ModelContract):
    """The instruct model that words changes."""

    @pytest.fixture
    def model(self, chat: InstructChat) -> InstructChat:
        return chat

    @pytest.fixture
    def items(self) -> Sequence[Any]:
        return ["Say yes.", "What is the colour of the sky over the sea?"]

    @pytest.fixture
    def bad(self) -> Sequence[Any]:
        return ["", "  "]


def test_a_folder_that_is_not_whole_is_refused(folder: Path, tmp_path: Path) -> None:
    """Nothing that is not listed is loaded, and nothing is asked of a hub."""
    with pytest.raises(Fatal):
        VisionCaptioner.load(tmp_path)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    list_folder(tmp_path, "vision-captioner")
    with pytest.raises(Fatal, match="holds no model"):
        VisionCaptioner.load(tmp_path)
