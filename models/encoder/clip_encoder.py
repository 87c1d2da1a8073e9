"""The starter encoder behind the ports: photos and words in one space of 256 dimensions, by open_clip's towers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.encoder import encoder_net
from models.facets import facet_features
from models.images import checked, letterbox, stacked
from models.measured import kept_for
from models.parts import Parts
from models.weights.hashes import check_weights, fingerprint
from processors.errors import Code, Fatal, Poison
from processors.values import MAX_QUERY_TEXT, Pixels, Vector

if TYPE_CHECKING:
    from models.packed import Precision

VERSION = "1"
"""Part of the space's fingerprint: raise it when preprocessing or the network's code changes what comes out."""
GPU_PART = 16
"""Views at once on a GPU, always so many: more are hardly faster there, and a single one is not slower."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class ClipImageEncoder:
    """Pixels → a unit vector of 256 dimensions; see `models.ports.ImageEncoder`. Make one with `load`.

    Args:
        tower: (n, 3, side, side) → (n, 256) unit vectors and (n, `facet_features.LENGTH`): `models.encoder.encoder_forward.ServedTower`.
        device: see `models.device.choose`.
        maker: the fingerprint of the space.
        weights: the fingerprint of the space of the same weights in float32: what facets are read from differs less between
            the two than heads can tell, so heads that were fitted in one read the other as well.
        choices: folder where the answer of a CPU's trial is kept; None: nowhere.
    """

    dimension = encoder_net.DIMENSION

    def __init__(self, tower: Any, *, device: str, maker: str, weights: str, choices: Path | None = None) -> None:
        self._tower = tower
        self._device = device
        self._fingerprint = maker
        self._weights = weights
        self._parts: Parts[NDArray[np.float32], tuple[Vector, Vector]] = (
            Parts.tried(self._at_once, _views, _numbers, kept=kept_for(choices, maker), name="encoder-part")
            if device == "cpu"
            else Parts(self._at_once, part=GPU_PART, filled=True)
        )

    @classmethod
    def load(
        cls,
        weights: Path,
        trunk: Path,
        *,
        device: str = "cpu",
        precision: Precision = "float32",
        choices: Path | None = None,
    ) -> ClipImageEncoder:
        """Build the tower; fill it from `encoder.safetensors`, and what that leaves out (the frozen first blocks) from the
        base; on a CPU, find out how many views at once are fastest.

        Args:
            weights: `encoder.safetensors`.
            trunk: `model.safetensors` of EfficientNet-lite0 under timm's names.
            device: see `models.device.choose`.
            precision: of the convolutions; each makes a space of its own (`space_fingerprint`).
            choices: folder where what was measured on this machine is kept; None: it is measured each time.

        Raises:
            Fatal: the file is missing, damaged, or does not fit the network.
        """
        from models.encoder.encoder_forward import ServedTower

        digest = check_weights(weights)
        check_weights(trunk)
        tower = encoder_net.served_image_tower()
        base = {name: tensor for name, tensor in _tensors(trunk, "").items() if not name.startswith("classifier.")}
        ours = _tensors(weights, "visual.")
        _fill(tower, {f"trunk.net.{name}": tensor for name, tensor in base.items()} | ours, weights)
        tower = tower.float().eval().requires_grad_(requires_grad=False)
        served = ServedTower(tower, device=device, precision=precision)
        maker, plain = space_fingerprint(digest, precision), space_fingerprint(digest)
        return cls(served, device=device, maker=maker, weights=plain, choices=choices)

    @property
    def fingerprint(self) -> str:
        """The maker of the space: equal for both towers of one family."""
        return self._fingerprint

    def prepare(self, item: Pixels, /) -> NDArray[np.float32]:
        """Letterbox to (3, 224, 224). Raises `Poison` when `item` is no (height, width, 3) uint8 array."""
        return letterbox(checked(item), encoder_net.SIDE)

    def forward(self, batch: Sequence[NDArray[np.float32]], /) -> list[tuple[Vector, Vector]]:
        """Of each photo its vector, and what facets are read from: one pass for both, in parts that suit the processor's
        caches. A view gets the same bytes whatever it shares a batch with.
        """
        return self._parts(batch)

    def _at_once(self, views: Sequence[NDArray[np.float32]]) -> list[tuple[Vector, Vector]]:
        import torch

        with torch.inference_mode():
            vectors, facets = self._tower(stacked(views, self._device))
        return list(zip(vectors.cpu().numpy(), facets.cpu().numpy(), strict=True))

    def finish(self, _item: Pixels, raw: tuple[Vector, Vector], /) -> Vector:
        return raw[0]

    def features(self, raw: tuple[Vector, Vector], /) -> Vector:
        return raw[1]

    @property
    def features_maker(self) -> str:
        """The facets' heads are fitted for one maker of features: `sha256:…`."""
        return features_maker_of(self._weights)

    def example(self) -> Pixels:
        """A red rectangle on white."""
        pixels = np.full((96, 64, 3), 245, np.uint8)
        pixels[16:80, 16:48] = (200, 32, 47)
        return pixels


class ClipTextEncoder:
    """Text → a unit vector of 256 dimensions; see `models.ports.TextEncoder`. Make one with `load`.

    Args:
        tower: open_clip's `HFTextEncoder` in eval mode on `device`.
        tokenizer: of the `tokenizers` library, cutting at `encoder_net.CONTEXT` tokens.
        device: see `models.device.choose`.
        maker: the fingerprint of the space.
    """

    dimension = encoder_net.DIMENSION

    def __init__(self, tower: Any, tokenizer: Any, *, device: str, maker: str) -> None:
        self._tower = tower
        self._tokenizer = tokenizer
        self._device = device
        self._fingerprint = maker

    @classmethod
    def load(
        cls, weights: Path, text_tower: Path, *, device: str = "cpu", precision: Precision = "float32"
    ) -> ClipTextEncoder:
        """Build MiniLM from the folder `text_tower` and put the projection of `encoder.safetensors` on it.

        Args:
            weights: `encoder.safetensors`.
            text_tower: a folder of `transformers`.
            device: see `models.device.choose`.
            precision: of the image tower whose space this is; words are computed in float32.

        Raises:
            Fatal: a file is missing, damaged, or does not fit the network.
        """
        import torch
        from tokenizers import Tokenizer

        from models.encoder.minilm import load_text_tower
        from models.encoder.minilm_packed import widely_computed

        digest = check_weights(weights)
        for name in ("model.safetensors", "config.json", "tokenizer.json"):
            check_weights(text_tower / name)
        tower = load_text_tower(text_tower, encoder_net.DIMENSION)
        _fill(tower.proj, _tensors(weights, "text.proj."), weights)
        tower = tower.float().eval().requires_grad_(requires_grad=False)
        tower.transformer = widely_computed(tower.transformer, device)
        tokenizer = Tokenizer.from_file(str(text_tower / "tokenizer.json"))
        tokenizer.enable_truncation(encoder_net.CONTEXT)
        tokenizer.no_padding()
        return cls(tower.to(torch.device(device)), tokenizer, device=device, maker=space_fingerprint(digest, precision))

    @property
    def fingerprint(self) -> str:
        """The maker of the space: equal for both towers of one family."""
        return self._fingerprint

    def prepare(self, item: str, /) -> list[int]:
        """Token ids, at most 48. Raises `Poison` when the text is blank or longer than 2,000 characters."""
        text = _CONTROL.sub(" ", item).strip()
        if not text:
            raise Poison("the text is empty", field="text")
        if len(text) > MAX_QUERY_TEXT:
            raise Poison(
                f"the text has {len(text)} characters; at most {MAX_QUERY_TEXT} are read",
                field="text",
                code=Code.OUT_OF_RANGE,
            )
        return list(self._tokenizer.encode(text).ids)

    def forward(self, batch: Sequence[list[int]], /) -> list[Vector]:
        import torch

        ids = torch.zeros((len(batch), max(map(len, batch))), dtype=torch.long)  # 0 is MiniLM's padding
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        with torch.inference_mode():
            features = torch.nn.functional.normalize(self._tower(ids.to(self._device)), dim=1)
        return list(features.float().cpu().numpy())

    def finish(self, _item: str, raw: Vector, /) -> Vector:
        return raw

    def example(self) -> str:
        return "a red dress"


def space_fingerprint(weights_digest: str, precision: Precision = "float32") -> str:
    """Of the space: our weights, and everything else that changes where a thing lies in it.

    The two bases are pinned by the profile, and their bytes are checked when they are loaded. A network that is computed
    another way in float32 makes the same space: vectors differ by 1e-6, as between two processors.
    """
    how = () if precision == "float32" else (precision,)
    return fingerprint("clip-encoder", VERSION, weights_digest, str(encoder_net.SIDE), str(encoder_net.CONTEXT), *how)


def features_maker_of(space: str) -> str:
    """Of the features that facets are read from, in the encoder whose space has this fingerprint."""
    return fingerprint("facet-features", facet_features.VERSION, space)


def _views(count: int) -> list[NDArray[np.float32]]:
    """Views that differ, to try the tower on."""
    rng = np.random.default_rng(7)
    return [rng.uniform(-1, 1, (3, encoder_net.SIDE, encoder_net.SIDE)).astype(np.float32) for _ in range(count)]


def _numbers(found: tuple[Vector, Vector]) -> NDArray[np.float32]:
    return np.concatenate(found)


def _tensors(weights: Path, prefix: str) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - no dict, only keys()
            return {
                name.removeprefix(prefix): file.get_tensor(name).float() for name in names if "num_batches" not in name
            }
    except SafetensorError as error:
        raise Fatal(f"{weights} is no safetensors file: {error}") from error


def _fill(module: Any, tensors: dict[str, Any], weights: Path) -> None:
    """Load by name; batch norm's counters are not shipped, everything else must be there."""
    try:
        missing, unexpected = module.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise Fatal(f"{weights} does not fit the encoder's network: {error}") from error
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise Fatal(
            f"{weights} does not fit the encoder's network: {len(missing)} missing, {len(unexpected)} unexpected"
        )
