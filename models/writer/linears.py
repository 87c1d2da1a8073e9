"""Ways of computing a linear layer on a processor: equal up to rounding, and not equally fast everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from models.writer.decoder_net import Linear

Form: TypeAlias = "Callable[[Tensor, Tensor | None], Linear]"
"""(weight (out, in), bias) → what computes it. May keep another copy of the weight than the one it is given."""


def packed(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """oneDNN, with the weight laid out for its kernels once instead of in every call; the plain copy may go.

    Raises:
        Exception: of this torch or processor: there is no such kernel here.
    """
    import torch

    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 16)  # noqa: SLF001
    linear = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001

    def compute(x: Tensor) -> Tensor:
        found: Tensor = linear(x, laid_out, bias, "none", [], "")
        return found

    return compute


def plain(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """Whatever product torch chooses."""
    from torch.nn.functional import linear

    def compute(x: Tensor) -> Tensor:
        return linear(x, weight, bias)

    return compute


LINEARS: Mapping[str, Form] = {"packed": packed, "plain": plain}
"""By name; the first that this machine has is taken where nothing was measured."""


def available(dtype: object) -> dict[str, Form]:
    """The forms that work on this machine in a precision."""
    import torch

    found: dict[str, Form] = {}
    for name, form in LINEARS.items():
        try:
            form(torch.zeros(16, 16, dtype=dtype), None)(torch.zeros(1, 16, dtype=dtype))  # type: ignore[call-overload]
        except Exception:  # noqa: BLE001, S112 - whatever a kernel that is not there raises
            continue
        found[name] = form
    return found
