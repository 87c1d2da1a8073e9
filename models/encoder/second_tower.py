"""A second opinion on which photos are alike: ImageNet's EfficientNet-lite0 as it was published (Tan and Le, arXiv 1905.11946).

Our own tower began with its weights and was taught what garments are called, so that it calls two prints of one kind the same; this one was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encoder.encoder_net import SIDE
from models.images import checked, letterbox
from models.weights.hashes import check_weights, fingerprint
from processors.errors import Fatal
from processors.values import Pixels, Vector

VERSION = "second/1"
DIMENSION = 1280
CLASSIFIER = "classifier."


class ImageNetEncoder:
    """A `models.ports.ImageEncoder`: pixels → the trunk's features as a unit vector. Build it with `load`."""

    dimension = DIMENSION

    def __init__(self, network: Any, *, device: str, made_of: str) -> None:
        self._network, self._device, self._fingerprint = network, device, made_of

    @classmethod
    def load(cls, trunk: Path, *, device: str = "cpu") -> ImageNetEncoder:
        """Build the network and fill it.

        Args:
            trunk: `model.safetensors` of EfficientNet-lite0 under timm's names.
            device: see `models.device.choose`.

        Raises:
            Fatal: the file is missing, damaged, or of another network.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from models.encoder.lite0 import Lite0

        digest = check_weights(trunk)
        network = Lite0()
        try:
            tensors = {name: one for name, one in load_file(trunk).items() if not name.startswith(CLASSIFIER)}
            network.load_state_dict(tensors, strict=True)
        except (SafetensorError, RuntimeError) as error:
            raise Fatal(f"{trunk} does not fit EfficientNet-lite0: {str(error)[:200]}") from error
        network = network.float().eval().requires_grad_(requires_grad=False).to(torch.device(device))
        return cls(network, device=device, made_of=fingerprint("second-tower", VERSION, digest))

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def features_maker(self) -> str:
        """No heads are fitted for it."""
        return self._fingerprint

    def prepare(self, item: Pixels, /) -> NDArray[np.float32]:
        """Letterbox to (3, 224, 224), -1 to 1 as the network was taught. Raises `Poison` where it is no picture."""
        return letterbox(checked(item), SIDE)

    def forward(self, batch: Sequence[NDArray[np.float32]], /) -> list[Vector]:
        import torch

        with torch.inference_mode():
            features = self._network(torch.from_numpy(np.stack(batch)).to(self._device))
            return list(torch.nn.functional.normalize(features, dim=1).float().cpu().numpy())

    def finish(self, _item: Pixels, raw: Vector, /) -> Vector:
        return raw

    def features(self, raw: Vector, /) -> Vector:
        return raw

    def example(self) -> Pixels:
        """A blue rectangle on white."""
        pixels = np.full((96, 64, 3), 245, np.uint8)
        pixels[16:80, 16:48] = (32, 47, 200)
        return pixels
