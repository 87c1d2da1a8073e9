"""What a training step sees: pictures, the texts they are compared with, and what is true of which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.images import letterbox
from models.recipes import encoder_augment, encoder_fast
from models.recipes.encoder_augment import LABELLED
from models.recipes.encoder_facets import Claim, Claims, Pictures, encode_claims, encode_pictures
from models.recipes.encoder_pictures import Album
from models.recipes.encoder_texts import canonical_claims, phrase, random_text
from processors.values import Pixels

TEXTS_A_PICTURE = 2


@dataclass(frozen=True, slots=True)
class Texts:
    """Unique texts: MiniLM's mean vectors (m, 384), what each claims, and which belong to each picture."""

    vectors: torch.Tensor
    claims: Claims
    of_picture: NDArray[np.int64]
    canonical: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Truths:
    """What is known of each picture, in the order of the album."""

    pictures: Pictures
    labels: NDArray[np.str_]
    origins: NDArray[np.str_]
    classes: tuple[str, ...]
    """The labels of photos of single garments: of `phone`, and the shop's own."""


def truths(album: Album) -> Truths:
    """Gather what is known."""
    labels, origins = [row.label for row in album.rows], [row.origin for row in album.rows]
    found = {label for label, origin in zip(labels, origins, strict=True) if origin in LABELLED}
    known = encode_pictures([album.known(row) for row in range(len(album.rows))])
    return Truths(known, np.array(labels), np.array(origins), tuple(sorted(found)))


def make_texts(album: Album, run: Path, tower: Any, tokenizer: Any) -> Texts:
    """Phrase every picture `TEXTS_A_PICTURE` times and every canonical claim twice; embed each unique text once."""
    rng = np.random.default_rng(9)
    numbers: dict[str, int] = {}
    claims: list[Claim] = []

    def add(text: str, claim: Claim) -> int:
        if text not in numbers:
            numbers[text] = len(claims)
            claims.append(claim)
        return numbers[text]

    canonical = [add(phrase(claim, rng), claim) for claim in canonical_claims() for _ in range(2)]
    of_picture = []
    for row in range(len(album.rows)):
        garments = album.known(row)
        chosen = [garments[int(rng.integers(len(garments)))] for _ in range(TEXTS_A_PICTURE)]
        of_picture.append([add(*random_text(known, rng)) for known in chosen])
    path = run / f"texts-{len(claims)}.npy"
    if not path.exists():
        np.save(path, embed_texts(list(numbers), tower, tokenizer).numpy())
    vectors = torch.from_numpy(np.load(path))
    return Texts(vectors, encode_claims(claims), np.array(of_picture), np.unique(canonical))


def embed_texts(texts: list[str], tower: Any, tokenizer: Any) -> torch.Tensor:
    """MiniLM's mean-pooled vectors (m, 384), before the projection; sorted by length, so that batches waste little.

    In bfloat16 where the processor has it, twice as fast: the rounding is a little noise to the projection, which is served in float32.
    """
    half = encoder_fast.training_dtype() == torch.bfloat16
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = torch.zeros(len(texts), 384)
    with torch.inference_mode():
        for start in range(0, len(order), 128):
            part = order[start : start + 128]
            tokens = tokenizer([texts[i] for i in part], padding=True, return_tensors="pt")
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                out = tower.transformer(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
            vectors[part] = tower.pooler(out, tokens["attention_mask"]).float()
    return vectors


def plain_view(album: Album, row: int, side: int) -> NDArray[np.float32]:
    """The picture as serving sees it, a crop cut at its box: (3, side, side)."""
    x0, y0, x1, y1 = (round(v) for v in album.rows[row].inner)
    return letterbox(album.pixels(row)[y0 : max(y1, y0 + 8), x0 : max(x1, x0 + 8)], side)


def changed_views(
    album: Album, row: int, side: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two pictures (3, side, side) of one new crop: in false colours for the trunk, in true ones for the colour branch."""
    found = album.rows[row]
    crop = _fit(encoder_augment.crop_of(album.pixels(row), found.inner, found.origin, rng), side)
    true = encoder_augment.true_hues(crop, rng)
    return letterbox(encoder_augment.false_colours(true, rng), side), letterbox(true, side)


def _fit(pixels: Pixels, side: int) -> Pixels:
    """At its final size before it is changed: fewer pixels to work on."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how), np.uint8)


def draw_rows(known: Truths, shares: dict[str, int], rng: np.random.Generator) -> NDArray[np.int64]:
    """`shares[origin]` pictures of each origin; a rare label of phone photos comes up more often than its share."""
    rows = []
    for origin, count in shares.items():
        there = np.flatnonzero(known.origins == origin)
        if not len(there):
            continue  # a shop's data come without street photos
        names, number, counts = np.unique(known.labels[there], return_inverse=True, return_counts=True)
        weights = 1 / np.sqrt(counts[number]) if len(names) > 1 else np.ones(len(there))
        rows.append(rng.choice(there, min(count, len(there)), replace=False, p=weights / weights.sum()))
    return np.concatenate(rows)
