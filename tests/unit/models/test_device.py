"""The choice of device."""

from __future__ import annotations

import pytest
import torch

from models.device import choose, use_threads
from processors.errors import Fatal


def test_cpu_is_taken_at_its_word() -> None:
    """Asked for the CPU, Weft never touches a GPU."""
    assert choose("cpu") == "cpu"


def test_auto_takes_cuda_only_where_it_is() -> None:
    """`auto` names a device that this machine has."""
    assert choose("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("setting", ["gpu", "CUDA", "cuda:", "cuda:x", "", "mps"])
def test_an_unknown_device_is_fatal(setting: str) -> None:
    """A typing error stops the start, with the setting's name and the choices."""
    with pytest.raises(Fatal, match=r"WEFT_DEVICE.*auto, cpu"):
        choose(setting)


def test_a_missing_cuda_device_is_fatal() -> None:
    """Asked for a GPU that is not there, Weft says so instead of running slowly on the CPU."""
    with pytest.raises(Fatal, match="torch sees"):
        choose("cuda:99")


def test_threads_are_set() -> None:
    """The number asked for is the number in force."""
    before = torch.get_num_threads()
    try:
        assert use_threads(1) == 1
        assert use_threads(0) >= 1
    finally:
        torch.set_num_threads(before)
