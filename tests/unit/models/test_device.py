"""The choice of device."""

from __future__ import annotations

import pytest
import torch

from models.device import OneThread, choose, use_threads
from models.fakes import FakeTextEncoder
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


class CountingTexts(FakeTextEncoder):
    """Notes how many threads torch may use."""

    def forward(self, batch, /):
        self.threads = torch.get_num_threads()
        if not batch:
            raise RuntimeError("empty")
        return super().forward(batch)


def test_words_are_embedded_on_one_thread() -> None:
    """Also after a failure everything else computes on as many as before; and the vectors are those of the encoder inside."""
    inside = CountingTexts()
    one, before = OneThread(inside), torch.get_num_threads()
    try:
        use_threads(2)
        [raw] = one.forward([one.prepare(one.example())])
        assert inside.threads == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError):
            one.forward([])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    plain = FakeTextEncoder()
    [alone] = plain.forward([plain.prepare(plain.example())])
    assert (one.finish("", raw) == plain.finish("", alone)).all()
    assert (one.fingerprint, one.dimension) == (plain.fingerprint, plain.dimension)
