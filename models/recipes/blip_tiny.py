"""BLIP at a tiny size with random weights, and the words of some captions as its vocabulary: the same classes, in seconds on a CPU."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from models.weights.hashes import list_folder

SIDE = 64
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]")
_WORD = re.compile(r"\w+|[^\w\s]")


def write(folder: Path, captions: Iterable[str], seed: int = 7) -> None:
    """Fill `folder` with configuration, weights, tokenizer and preprocessing, listed.

    Args:
        folder: made where it is missing.
        captions: whose words are known.
        seed: of the weights.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BlipConfig, BlipForConditionalGeneration

    folder.mkdir(parents=True, exist_ok=True)
    words = sorted({word for text in captions for word in _WORD.findall(text.lower())})
    known = {word: number for number, word in enumerate((*SPECIALS, *words))}
    tokens = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))  # noqa: S106 - no password
    tokens.normalizer = normalizers.Lowercase()
    tokens.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokens.decoder = decoders.WordPiece()
    tokens.add_special_tokens(list(SPECIALS))
    ends = [(name, known[name]) for name in ("[CLS]", "[SEP]")]
    tokens.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokens.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text("{}\n")
    # Without dropout, or a step would depend on more than its number; the published default would give every photo the same tokens.
    small = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = {**small, "image_size": SIDE, "patch_size": 8, "attention_dropout": 0.0, "initializer_range": 0.05}
    text = {
        **small,
        "encoder_hidden_size": 64,
        "vocab_size": len(known),
        "max_position_embeddings": 96,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "bos_token_id": known["[DEC]"],
        "pad_token_id": known["[PAD]"],
        "sep_token_id": known["[SEP]"],
        "eos_token_id": known["[SEP]"],
        "initializer_range": 0.05,
    }
    torch.manual_seed(seed)
    made = BlipForConditionalGeneration(BlipConfig(vision_config=vision, text_config=text, projection_dim=32))
    made.save_pretrained(folder)
    list_folder(folder, "blip-image-captioning-base")
