"""A trained composer over the encoder's vectors behind the port `Composer`; see `models.composers.networks`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.composers import composer_file
from models.composers.composer_file import ComposerCard
from models.ports import Composition
from models.weights.hashes import check_weights, fingerprint
from processors.errors import Fatal, Poison
from processors.values import Vector

VERSION = "1"
"""Raise it when the networks' code changes what comes out."""


class _Tokens(NamedTuple):
    image: Vector
    text: Vector
    caption: Vector
    known: bool


class VectorComposer:
    """Image, words and caption → a vector in the same space. Make one with `load`.

    Args:
        network: one of `networks.NETWORKS`, in eval mode on `device`.
        name: of the composer.
        dimension: of the space.
        device: see `models.device.choose`.
        target: fingerprint of the space.
        maker: of weights and code.
        card: what is known of it.
    """

    def __init__(
        self, network: Any, *, name: str, dimension: int, device: str, target: str, maker: str, card: ComposerCard
    ) -> None:
        self._network, self._device = network, device
        self.name, self.dimension, self.target, self.card = name, dimension, target, card
        self._fingerprint = maker

    @classmethod
    def load(cls, path: Path, *, device: str = "cpu") -> VectorComposer:
        """From a file that is listed beside it.

        Raises:
            Fatal: the file is missing, damaged, not listed, or does not fit its network.
        """
        import torch

        from models.composers import networks

        digest = check_weights(path)
        try:
            header, tensors = composer_file.decode(path.read_bytes(), name=str(path))
            found = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
            network = networks.filled(header.network, header.shape, found)
        except (Poison, KeyError, RuntimeError) as error:
            raise Fatal(f"{path} holds no composer that this Weft can build: {error}") from error
        network = network.float().eval().requires_grad_(requires_grad=False).to(torch.device(device))
        return cls(
            network,
            name=header.network,
            dimension=header.shape["dimension"],
            device=device,
            target=header.encoder,
            maker=fingerprint("composer", VERSION, digest),
            card=header.card,
        )

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def prepare(self, item: Composition, /) -> _Tokens:
        """Raises `Poison` when a vector is not of the space."""
        caption = np.zeros(self.dimension, np.float32) if item.caption is None else item.caption
        for name, vector in (("image", item.image), ("text", item.text), ("caption", caption)):
            if np.shape(vector) != (self.dimension,) or not np.isfinite(vector).all():
                raise Poison(
                    f"the vector of the {name} has the shape {np.shape(vector)}; {self.dimension} finite numbers are needed",
                    field=name,
                )
        return _Tokens(item.image, item.text, caption, item.caption is not None)

    def forward(self, batch: Sequence[_Tokens], /) -> list[Vector]:
        import torch

        columns = [torch.from_numpy(np.stack(one).astype(np.float32)) for one in list(zip(*batch, strict=True))[:3]]
        known = torch.tensor([one.known for one in batch])
        with torch.inference_mode():
            found = self._network(*(one.to(self._device) for one in (*columns, known)))
        return list(found.float().cpu().numpy())

    def finish(self, _item: Composition, raw: Vector, /) -> Vector:
        return raw

    def example(self) -> Composition:
        axes = np.eye(self.dimension, dtype=np.float32)
        return Composition(axes[0], axes[1], axes[2])
