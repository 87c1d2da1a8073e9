"""Which device the models run on. Chosen once, by the composition root, and handed down as a plain string."""

from __future__ import annotations

import os
import re

from processors.errors import BadSetting


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


def use_threads(count: int) -> int:
    """Let torch use `count` CPU threads (0: all cores this process may run on); returns the number in force."""
    import torch

    torch.set_num_threads(count if count > 0 else len(os.sched_getaffinity(0)))
    return torch.get_num_threads()
