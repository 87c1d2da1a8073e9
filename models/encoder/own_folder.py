"""What the encoders of one's own share: their folder is checked before a library reads it, and what goes wrong is one sentence."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.images import checked
from models.weights.hashes import MARKER, check_folder, fingerprint, read_marker
from processors.errors import Code, Fatal, Poison
from processors.values import MAX_QUERY_TEXT, Pixels, Vector

MOST_CONFIGURATION = 4 * 2**20
"""Bytes of a configuration: what is longer is none."""
ROOM = 1.5
"""A network may have so many times the numbers of its weights (buffers, tables that are not saved), and no more."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
Arrays = dict[str, NDArray[Any]]


def configuration(path: Path) -> dict[str, Any]:
    """A JSON object. Raises `Fatal` where it is none."""
    try:
        if path.stat().st_size > MOST_CONFIGURATION:
            raise Fatal(f"{path} is longer than {MOST_CONFIGURATION} bytes: it is no configuration")
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Fatal(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise Fatal(f"{path} is no configuration: {first_line(error)}") from error
    if not isinstance(found, dict):
        raise Fatal(f"{path} is no configuration: expected an object")
    return found


def first_line(error: BaseException) -> str:
    """The beginning of what a library says: torch's first line only announces the second."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else type(error).__name__


@contextmanager
def fits(path: Path, config: str = "its configuration") -> Iterator[None]:
    """What a library raises over a checkpoint becomes `Fatal` with one sentence: weights that are cut short, of other shapes, of no
    network that it knows.
    """
    try:
        yield
    except Fatal:
        raise
    except MemoryError as error:
        raise Fatal(f"{path}: its network does not fit the memory") from error
    except Exception as error:  # what a library raises over a broken file is in no list of its own
        kind = type(error).__name__
        if kind == "SafetensorError":
            raise Fatal(f"{path} holds no whole safetensors file: {first_line(error)}") from error
        raise Fatal(f"{path} does not fit {config}: {first_line(error)}") from error


def tensors_of(folder: Path) -> list[Path]:
    """The safetensors of a folder, compared with its list. Raises `Fatal` where there are none."""
    check_folder(folder)
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise Fatal(f"{folder} holds no safetensors")
    return found


def numbers_in(paths: Sequence[Path]) -> int:
    """How many numbers safetensors files hold, by their headers. Raises `Fatal` for one that is cut short."""
    from safetensors import safe_open

    count = 0
    for path in paths:
        with fits(path), safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - no dict, only keys()
                count += int(np.prod(file.get_slice(name).get_shape(), dtype=np.int64))
    return count


def check_size(folder: Path, weights: Sequence[Path], build: Callable[[], Any]) -> Any:
    """Build a network without memory, and refuse one that has far more numbers than its weights: a configuration of a few bytes
    could ask for any amount. Returns it, on the device "meta".

    Raises:
        Fatal: it is refused, or cannot be built.
    """
    import torch

    held = numbers_in(weights)
    _check_depth(folder, weights)
    with fits(folder), torch.device("meta"):
        network = build()
    wanted = sum(one.numel() for one in (*network.parameters(), *network.buffers()))
    if wanted > ROOM * held + 2**20:
        raise Fatal(f"{folder}: its configuration asks for {wanted:,} numbers, its weights hold {held:,}")
    return network


def _check_depth(folder: Path, weights: Sequence[Path]) -> None:
    """Refuse a configuration that asks for more layers than the weights have tensors: even without memory, building a hundred
    thousand of them takes minutes.
    """
    from safetensors import safe_open

    count = 0
    for path in weights:
        with fits(path), safe_open(path, framework="np") as file:
            count += len(file.keys())
    for path in sorted(folder.glob("*.json")):
        if path.name not in {"config.json", "open_clip_config.json"}:
            continue
        for name, wanted in _numbers_of(configuration(path)):
            if re.search(r"layers|depth", name) and wanted > max(count, 64):
                raise Fatal(f"{path}: its configuration asks for {wanted:,} ({name}), its weights are {count} tensors")


def _numbers_of(said: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """Each whole number of a configuration, with its name."""
    if isinstance(said, dict):
        for key, value in said.items():
            yield from _numbers_of(value, str(key))
    elif isinstance(said, list):
        for value in said:
            yield from _numbers_of(value, name)
    elif isinstance(said, int) and not isinstance(said, bool):
        yield name, said


def maker_of(kind: str, version: str, folder: Path) -> str:
    """Fingerprint of a space: every file of the folder (weights, configuration, preprocessing, tokenizer) and our code."""
    listed = read_marker(folder).files
    return fingerprint(
        kind, version, *(f"{name} {digest}" for name, digest in sorted(listed.items()) if name != MARKER)
    )


class OwnImages:
    """Pixels → a unit vector; see `models.ports.ImageEncoder`.

    Args:
        tower: arrays of a batch, by name → (n, dimension).
        transform: a PIL image → arrays of one, by name.
        dimension: of the space.
        maker: the fingerprint of the space.
    """

    def __init__(
        self,
        tower: Callable[[Mapping[str, Any]], Any],
        transform: Callable[[Any], Arrays],
        *,
        dimension: int,
        maker: str,
    ) -> None:
        self._tower, self._transform = tower, transform
        self.dimension = dimension
        self._fingerprint = maker

    @property
    def fingerprint(self) -> str:
        """The maker of the space: equal for both towers of one folder."""
        return self._fingerprint

    def prepare(self, item: Pixels, /) -> Arrays:
        """As the checkpoint was trained. Raises `Poison` when `item` is no (height, width, 3) uint8 array."""
        from PIL import Image

        return self._transform(Image.fromarray(np.ascontiguousarray(checked(item))))

    def forward(self, batch: Sequence[Arrays], /) -> list[Vector]:
        return _unit(self._tower(_stacked(batch)))

    def finish(self, _item: Pixels, raw: Vector, /) -> Vector:
        return raw

    def features(self, raw: Vector, /) -> Vector:
        """The vector itself: a linear probe on a large tower's embedding is what such models are judged by."""
        return raw

    @property
    def features_maker(self) -> str:
        return self._fingerprint

    def example(self) -> Pixels:
        """A red rectangle on white."""
        pixels = np.full((96, 64, 3), 245, np.uint8)
        pixels[16:80, 16:48] = (200, 32, 47)
        return pixels


class OwnTexts:
    """Text → a unit vector; see `models.ports.TextEncoder`.

    Args:
        tower: arrays of a batch, by name → (n, dimension).
        tokenize: a text → arrays of one, by name; called by one thread at a time: padding is state of a tokenizer.
        dimension: of the space.
        maker: the fingerprint of the space.
    """

    def __init__(
        self,
        tower: Callable[[Mapping[str, Any]], Any],
        tokenize: Callable[[str], Arrays],
        *,
        dimension: int,
        maker: str,
    ) -> None:
        self._tower, self._tokenize = tower, tokenize
        self._one_at_a_time = threading.Lock()
        self.dimension = dimension
        self._fingerprint = maker

    @property
    def fingerprint(self) -> str:
        """The maker of the space: equal for both towers of one folder."""
        return self._fingerprint

    def prepare(self, item: str, /) -> Arrays:
        """Token ids, padded to the context. Raises `Poison` when the text is blank or longer than 2,000 characters."""
        text = wording(item)
        with self._one_at_a_time:
            return self._tokenize(text)

    def forward(self, batch: Sequence[Arrays], /) -> list[Vector]:
        return _unit(self._tower(_stacked(batch)))

    def finish(self, _item: str, raw: Vector, /) -> Vector:
        return raw

    def example(self) -> str:
        return "a red dress"


class NoTexts:
    """In the place of a text encoder where the image tower has none beside it: every text is refused, and says so."""

    refuses = "the encoder of this profile has no text tower: ask by photo or by product, and with filters"

    def __init__(self, *, dimension: int, maker: str) -> None:
        self.dimension = dimension
        self._fingerprint = maker

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def prepare(self, item: str, /) -> Arrays:
        """Raises `Poison` for every text."""
        wording(item)
        raise Poison(self.refuses, field="text", code=Code.INVALID)

    def forward(self, batch: Sequence[Arrays], /) -> list[Vector]:
        if batch:
            raise Poison(self.refuses, field="text", code=Code.INVALID)
        return []

    def finish(self, _item: str, raw: Vector, /) -> Vector:
        return raw

    def example(self) -> str:
        return "a red dress"


def wording(item: str) -> str:
    """A text without control characters. Raises `Poison` when it is blank or longer than 2,000 characters."""
    text = _CONTROL.sub(" ", item).strip()
    if not text:
        raise Poison("the text is empty", field="text")
    if len(text) > MAX_QUERY_TEXT:
        raise Poison(
            f"the text has {len(text)} characters; at most {MAX_QUERY_TEXT} are read",
            field="text",
            code=Code.OUT_OF_RANGE,
        )
    return text


def _stacked(batch: Sequence[Arrays]) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.stack([one[name] for one in batch])) for name in batch[0]} if batch else {}


def _unit(features: Any) -> list[Vector]:
    import torch

    return list(torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy())
