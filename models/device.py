"""Which device the models run on. Chosen once, by the composition root, and handed down as a plain string."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from models.ports import Raw, Ready, TextEncoder
from processors.errors import BadSetting
from processors.values import Vector


def choose(setting: str) -> str:
    """Turn the setting `device` into what torch calls a device.

    Args:
        setting: "auto" (CUDA when torch sees it, else the CPU), "cpu", "cuda" or "cuda:<number>".

    Returns:
        "cpu" or "cuda:<number>"; always a single device.

    Raises:
        BadSetting: the setting is none of these, or it asks for a CUDA device that torch does not see.
    """
    if setting == "cpu":
        return "cpu"
    if setting != "auto" and not re.fullmatch(r"cuda(:\d+)?", setting):
        raise BadSetting(f"WEFT_DEVICE is {setting!r}: say auto, cpu, cuda or cuda:<number>")
    import torch

    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if setting == "auto":
        return "cuda:0" if seen else "cpu"
    number = int(setting.partition(":")[2] or 0)
    if number >= seen:
        raise BadSetting(f"WEFT_DEVICE is {setting!r}, but torch sees {seen} CUDA device(s): say auto or cpu")
    return f"cuda:{number}"


def compute_exactly(device: str) -> None:
    """Let a GPU compute float32 in float32.

    Torch lets convolutions round to TensorFloat-32 (10 bits) by default: vectors were .9999993 of those of a processor and other bytes in every
    batch, and no photo was faster for it on an H100, where launching these networks' kernels takes longer than running them.
    """
    if device == "cpu":
        return
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def use_threads(count: int) -> int:
    """Let torch use `count` CPU threads (0: all cores this process may run on); returns the number in force."""
    import torch

    torch.set_num_threads(count if count > 0 else len(os.sched_getaffinity(0)))
    return torch.get_num_threads()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep what torch computes inside on the calling thread; only from the device's thread, which nobody computes beside."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class OneThread:
    """A text encoder that computes on one thread; otherwise it is the one inside.

    A shopper's words take a small network a few milliseconds of one core. Shared between two, each of its many small
    products ends with a wait for the slower half, and a wait burns its core: with other processes on the same two cores
    one text took 250 ms of processor time instead of 16, and 980 ms instead of 65.
    """

    def __init__(self, inside: TextEncoder) -> None:
        self._inside = inside

    @property
    def fingerprint(self) -> str:
        return self._inside.fingerprint

    @property
    def dimension(self) -> int:
        return self._inside.dimension

    def prepare(self, item: str, /) -> Ready:
        return self._inside.prepare(item)

    def forward(self, batch: Sequence[Ready], /) -> list[Raw]:
        with one_thread():
            return self._inside.forward(batch)

    def finish(self, item: str, raw: Raw, /) -> Vector:
        return self._inside.finish(item, raw)

    def example(self) -> str:
        return self._inside.example()


def stay_offline() -> None:
    """Forbid every library, before its import, to fetch anything behind the user's back."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
