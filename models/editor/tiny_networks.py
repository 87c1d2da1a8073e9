"""The same networks in a size that a test trains in seconds, with random weights: `weft train edit-adapter` with `base: tiny`."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from models.editor.diffusion_editor import ADAPTER, SETTINGS, diffusers
from models.editor.inversion import InversionAdapter
from models.weights.hashes import list_folder

WIDTH = 32
HEIGHT_OF_IMAGE, WIDTH_OF_IMAGE = 32, 24
CONTEXT = 77


def write_tiny(folder: Path, seed: int = 0, *, channels: int = 9, adapter: bool = True) -> None:
    """A folder that `DiffusionEditor.load` takes. `channels`: of the UNet's input: 9 as published, 27 as trained.

    Raises:
        Fatal: the extra `edit` is not installed.
    """
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

    found = diffusers()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        unet = found.UNet2DConditionModel(
            sample_size=16,
            in_channels=channels,
            out_channels=4,
            layers_per_block=1,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=WIDTH,
            attention_head_dim=4,
            norm_num_groups=8,
        )
        vae = found.AutoencoderKL(
            block_out_channels=(16, 32),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=8,
            sample_size=HEIGHT_OF_IMAGE,
        )
        words = _vocabulary(folder / "tokenizer")
        sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 4, "num_hidden_layers": 2}
        text = CLIPTextModel(
            CLIPTextConfig(
                **sizes,
                vocab_size=words,
                max_position_embeddings=CONTEXT,
                bos_token_id=words - 2,
                eos_token_id=words - 1,
                pad_token_id=words - 1,
            )
        )
        vision = CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=32, patch_size=8))
        inversion = InversionAdapter(vision.config, WIDTH)
    scheduler = found.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    parts = {"unet": unet, "vae": vae, "text_encoder": text, "image_encoder": vision, "scheduler": scheduler}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    if adapter:
        save_file(inversion.state_dict(), folder / ADAPTER)
    (folder / SETTINGS).write_text(json.dumps({"height": HEIGHT_OF_IMAGE, "width": WIDTH_OF_IMAGE, "guidance": 3.0}))
    list_folder(folder, "fashion-rag")


def _vocabulary(folder: Path) -> int:
    """CLIP's byte pairs without any merge: each character a token, and another one where it ends a word."""
    letters = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
    letters += [chr(256 + n) for n in range(256 - len(letters))]
    names = [*letters, *(f"{one}</w>" for one in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({name: at for at, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    specials = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(specials))
    return len(names)
