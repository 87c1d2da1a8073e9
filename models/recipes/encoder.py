"""Train and export the starter encoder: `python -m models.recipes.encoder DATA RUN [--minutes 30]`.

    views → (once) the frozen blocks of EfficientNet-lite0 and the colour cells, kept on disk → train the rest → export

The frozen part is computed once for every augmented view; then only the last blocks, the colour branch and both
projections are trained, against texts whose truth is known facet by facet (`encoder_facets`). Everything is resumable:
finished chunks and the last checkpoint in RUN are kept.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from models import encoder_net
from models.recipes import encoder_data
from models.recipes.encoder_facets import Claim, Claims, encode_claims, truth
from models.recipes.encoder_frozen import Views, deepen, extract, load_views
from models.recipes.encoder_texts import canonical_claims, phrase, random_text

TEXTS_A_VIEW = 2
BATCH = 256
CANONICAL = 384
"""How many of the canonical texts stand in each batch, beside one text of each picture."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Unique texts: MiniLM's mean vectors (m, 384), what each claims, and which belong to each picture."""

    vectors: torch.Tensor
    claims: Claims
    of_view: NDArray[np.int64]
    canonical: NDArray[np.int64]


def make_texts(views: Views, run: Path, tower: Any, tokenizer: Any) -> Texts:
    """Phrase every picture `TEXTS_A_VIEW` times and every canonical claim twice; embed each unique text once."""
    rng = np.random.default_rng(9)
    numbers: dict[str, int] = {}
    claims: list[Claim] = []

    def add(text: str, claim: Claim) -> int:
        if text not in numbers:
            numbers[text] = len(claims)
            claims.append(claim)
        return numbers[text]

    canonical = [add(phrase(claim, rng), claim) for claim in canonical_claims() for _ in range(2)]
    of_view = []
    for garments in views.known:
        chosen = [garments[int(rng.integers(len(garments)))] for _ in range(TEXTS_A_VIEW)]
        of_view.append([add(*random_text(known, rng)) for known in chosen])
    path = run / f"texts-{len(claims)}.npy"
    if not path.exists():
        np.save(path, embed_texts(list(numbers), tower, tokenizer).numpy())
    vectors = torch.from_numpy(np.load(path))
    return Texts(vectors, encode_claims(claims), np.array(of_view), np.unique(canonical))


def embed_texts(texts: list[str], tower: Any, tokenizer: Any) -> torch.Tensor:
    """MiniLM's mean-pooled vectors (m, 384), before the projection; sorted by length, so that batches waste little.

    In bfloat16, twice as fast: the rounding is a little noise to the projection, which is served in float32.
    """
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = torch.zeros(len(texts), 384)
    with torch.inference_mode():
        for start in range(0, len(order), 256):
            part = order[start : start + 256]
            tokens = tokenizer([texts[i] for i in part], padding=True, return_tensors="pt")
            with torch.autocast("cpu", torch.bfloat16):
                out = tower.transformer(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
            vectors[part] = tower.pooler(out, tokens["attention_mask"]).float()
    return vectors


def contrast(similar: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Multi-positive InfoNCE over rows, leaving out open pairs (−1) and rows without a true one.

    Each true pair is compared with the false ones and itself, not with the other true ones (Khosla et al. 2020, "out").
    """
    false = similar.masked_fill(true != 0, -torch.inf).logsumexp(1, keepdim=True)
    loss = torch.logaddexp(similar, false) - similar
    positive = (true == 1).to(similar.dtype)
    counts = positive.sum(1)
    rows = (loss.masked_fill(true != 1, 0)).sum(1) / counts.clamp(min=1)
    return rows[counts > 0].mean()


class Trainer:
    """The trainable part and one step of it."""

    def __init__(self, views: Views, texts: Texts, image: Any, text: Any, minutes: float) -> None:
        self.views, self.texts, self.image, self.text = views, texts, image, text
        self.rng = np.random.default_rng(17)
        self.scale = torch.nn.Parameter(torch.tensor(math.log(20.0)))
        self.train_rows = views.rows(held_out=False)
        self.seconds = minutes * 60
        trunk = image.trunk
        deep = [p for part in (trunk.net.blocks[6], trunk.net.conv_head, trunk.net.bn2) for p in part.parameters()]
        fresh = [
            *trunk.attention.parameters(),
            *trunk.colour.parameters(),
            *image.head.parameters(),
            *text.proj.parameters(),
        ]
        self.optimizer = torch.optim.AdamW(
            [{"params": deep, "lr": 2e-4, "top": 2e-4}, {"params": [*fresh, self.scale], "lr": 1e-3, "top": 1e-3}],
            weight_decay=0.02,
        )
        self.deep = deep
        for parameter in image.parameters():
            parameter.requires_grad_(False)
        for parameter in fresh:
            parameter.requires_grad_(True)

    def encode_images(self, rows: NDArray[np.int64], *, training: bool = False) -> torch.Tensor:
        """(len(rows), 256), normalised. In training with cells erased and features dropped: the views are few."""
        maps = torch.from_numpy(self.views.maps[rows]).float().contiguous(memory_format=torch.channels_last)
        middle = torch.from_numpy(self.views.middle[rows]).float().contiguous(memory_format=torch.channels_last)
        cells = torch.from_numpy(self.views.cells[rows]).float() / 255
        with torch.autocast("cpu", torch.bfloat16):  # twice as fast here
            deep = self.image.trunk.deep(self._erased(middle) if training else middle)
        joined = self.image.trunk.joined(deep.float(), maps, cells)
        return F.normalize(self.image.head(F.dropout(joined, 0.15) if training else joined), dim=1)

    def _erased(self, middle: torch.Tensor) -> torch.Tensor:
        """Mirror half of the maps, and silence a random sixth of the cells of each."""
        mirrored = torch.rand(len(middle), 1, 1, 1) < 0.5
        seen = torch.where(mirrored, middle.flip(3), middle)
        return seen * (torch.rand(len(middle), 1, *middle.shape[2:]) > 1 / 6)

    def encode_texts(self, rows: NDArray[np.int64]) -> torch.Tensor:
        return F.normalize(self.text.proj(self.texts.vectors[rows]), dim=1)

    def step(self, progress: float) -> dict[str, float]:
        """One batch. `progress` 0..1 sets the learning rate (cosine after a short warm-up)."""
        for group in self.optimizer.param_groups:
            group["lr"] = (
                group["top"] * min(1.0, progress / 0.03 + 0.02) * (0.02 + 0.98 * math.cos(progress * math.pi / 2) ** 2)
            )
        rows = self.rng.choice(self.train_rows, BATCH, replace=False)
        own = self.texts.of_view[rows, self.rng.integers(TEXTS_A_VIEW, size=BATCH)]
        chosen = np.unique(np.concatenate([own, self.rng.choice(self.texts.canonical, CANONICAL, replace=False)]))
        images, words = self.encode_images(rows, training=True), self.encode_texts(chosen)
        pictures, claims = self.views.pictures.take(rows), self.texts.claims.take(chosen)
        true = torch.from_numpy(truth(pictures, claims))
        similar = images @ words.T * self.scale.exp().clamp(max=60)
        losses = {"i2t": contrast(similar, true), "t2i": contrast(similar.T, true.T)}
        losses["edit"] = self.edit_loss(rows, images, words, chosen, true)
        losses["kind"] = self.kind_loss(rows, images)
        loss = losses["i2t"] + losses["t2i"] + 0.5 * losses["edit"] + 0.5 * losses["kind"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for g in self.optimizer.param_groups for p in g["params"]], 1.0)
        self.optimizer.step()
        return {name: value.item() for name, value in losses.items()}

    def edit_loss(
        self,
        rows: NDArray[np.int64],
        images: torch.Tensor,
        words: torch.Tensor,
        chosen: NDArray[np.int64],
        true: torch.Tensor,
    ) -> torch.Tensor:
        """The composed query as it is served: image + words of what is wanted − words of what is seen, by colour.

        For a picture that "a red dress" is true of, "a blue dress" is asked for; the pictures of blue dresses answer.
        """
        facets, colours = self.texts.claims.facets[chosen], self.texts.claims.colours[chosen]
        plain = np.flatnonzero(
            (facets[:, 0] >= 0) & (facets[:, 1:] < 0).all(1) & (colours[:, 0] >= 0) & (colours[:, 1] < 0)
        )
        if not len(plain):
            return images.new_zeros(())
        pairs = []
        for row in range(len(rows)):
            seen = plain[(true[row, plain] == 1).numpy()]
            if len(seen):
                wanted = plain[(facets[plain, 0] == facets[seen[0], 0]) & (colours[plain, 0] != colours[seen[0], 0])]
                wanted = wanted[(true[:, wanted] == 1).any(0).numpy()] if len(wanted) else wanted
                if len(wanted):
                    pairs.append((row, seen[0], self.rng.choice(wanted)))
        if not pairs:
            return images.new_zeros(())
        of, seen_text, wanted_text = np.array(pairs).T
        query = F.normalize(images[of] + words[wanted_text] - words[seen_text], dim=1)
        return contrast(query @ images.T * self.scale.exp().clamp(max=60), true.T[wanted_text])

    def kind_loss(self, rows: NDArray[np.int64], images: torch.Tensor) -> torch.Tensor:
        """Photos of one label ("longsleeve") lie together whatever their colour: neighbours vote by kind, too."""
        labels, origin = self.views.label[rows], self.views.origin[rows]
        same = (labels[:, None] == labels[None]) & (labels != "")[:, None]
        true = np.where(origin[:, None] == origin[None], same.astype(np.int8), -1)  # labels of two sets do not compare
        np.fill_diagonal(true, -1)
        return contrast(images @ images.T * 12, torch.from_numpy(true))

    def train(self, run: Path) -> None:
        """Train for the given minutes of wall time, first the new layers alone, then the last blocks with them."""
        started = time.monotonic()
        spent = self._resume(run)
        step = 0
        while (progress := (spent + time.monotonic() - started) / self.seconds) < 1:
            if progress > 0.12 and not self.deep[0].requires_grad:
                for parameter in self.deep:
                    parameter.requires_grad_(True)
                print("the last blocks join in", flush=True)
            losses = self.step(progress)
            step += 1
            if step % 25 == 0:
                shown = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
                print(f"step {step} {progress:.2f} {shown} scale {self.scale.exp().item():.1f}", flush=True)
            if step % 200 == 0:
                self._save(run, spent + time.monotonic() - started)
        self._save(run, self.seconds)

    def continue_from(self, run: Path) -> None:
        """Start from another run's end, all layers at once, at six tenths of the rates and with other batches."""
        self._resume(run)
        self.rng = np.random.default_rng(23)
        for parameter in self.deep:
            parameter.requires_grad_(True)
        for group in self.optimizer.param_groups:
            group["top"] *= 0.6

    def _save(self, run: Path, spent: float) -> None:
        tensors = trainable(self.image, self.text) | {"scale": self.scale.detach(), "spent": torch.tensor(spent)}
        save_file(tensors, run / "checkpoint.partial")
        (run / "checkpoint.partial").rename(run / "checkpoint.safetensors")

    def _resume(self, run: Path) -> float:
        path = run / "checkpoint.safetensors"
        if not path.exists():
            return 0.0
        tensors = load_file(path)
        self.scale.data.copy_(tensors.pop("scale"))
        spent = float(tensors.pop("spent"))
        apply(tensors, self.image, self.text)
        print(f"resumed after {spent:.0f} s", flush=True)
        return spent


def trainable(image: Any, text: Any) -> dict[str, torch.Tensor]:
    """What is exported: the image tower but for the frozen first blocks of its base, and the text projection."""
    tensors = {f"visual.{name}": tensor for name, tensor in image.state_dict().items()}
    tensors = {n: t for n, t in tensors.items() if not encoder_net.is_frozen(n.removeprefix("visual.trunk.net."))}
    tensors |= {f"text.proj.{name}": tensor for name, tensor in text.proj.state_dict().items()}
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items() if "num_batches" not in name}


def apply(tensors: dict[str, torch.Tensor], image: Any, text: Any) -> None:
    """The inverse of `trainable`."""
    image.load_state_dict(
        {n.removeprefix("visual."): t for n, t in tensors.items() if n.startswith("visual.")}, strict=False
    )
    text.proj.load_state_dict(
        {n.removeprefix("text.proj."): t for n, t in tensors.items() if n.startswith("text.proj.")}
    )


def export(runs: list[Path], target: Path) -> None:
    """The mean of the runs' last checkpoints, in fp16 (the palette's anchors stay fp32: they are compared with colours).

    A run and its continuation lie in one valley; their mean (a "model soup", Wortsman et al. 2022) kept the first's
    text search and the second's neighbours.
    """
    loaded = [load_file(run / "checkpoint.safetensors") for run in runs]
    tensors = {name: torch.stack([tensors[name].float() for tensors in loaded]).mean(0) for name in loaded[0]}
    kept = {
        name: tensor.float() if name.endswith("anchors") else tensor.half()
        for name, tensor in tensors.items()
        if name not in {"scale", "spent"}
    }
    save_file(kept, target, metadata={"recipe": "models/recipes/encoder.py", "licence": "Apache-2.0"})
    print(f"{target}: {target.stat().st_size:,} bytes")


def towers(cache: Path) -> tuple[Any, Any, Any]:
    """The image tower with ImageNet's weights in its trunk, MiniLM with a fresh projection, MiniLM's tokenizer."""
    from transformers import AutoTokenizer

    image: Any = encoder_net.image_tower().eval()
    base = load_file(cache / "efficientnet-lite0" / "model.safetensors")
    image.trunk.net.load_state_dict({n: t for n, t in base.items() if not n.startswith("classifier.")})
    folder = cache / "all-minilm-l6-v2"
    return (
        image.to(memory_format=torch.channels_last),
        encoder_net.text_tower(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/weft/models").expanduser())
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--drawn", type=int, default=2200)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--after", type=Path, help="continue from this run's checkpoint, and export the mean of both")
    parser.add_argument("--export", type=Path, default=Path("models/starter/encoder.safetensors"))
    chosen = parser.parse_args()
    torch.manual_seed(3)
    image, text, tokenizer = towers(chosen.cache)
    if not (chosen.run / "extracted").exists():
        extract(
            encoder_data.training_views(chosen.data, drawn=chosen.drawn, epochs=chosen.epochs), chosen.run, image.trunk
        )
    deepen(chosen.run, image.trunk)
    views = load_views(chosen.run)
    texts = make_texts(views, chosen.run, text, tokenizer)
    print(f"{len(views.known)} views, {len(texts.vectors)} texts", flush=True)
    trainer = Trainer(views, texts, image, text, chosen.minutes)
    if chosen.after:
        trainer.continue_from(chosen.after)
    trainer.train(chosen.run)
    export([chosen.after, chosen.run] if chosen.after else [chosen.run], chosen.export)


if __name__ == "__main__":
    main()
