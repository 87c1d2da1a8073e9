"""A device's memory that does not suffice."""

from __future__ import annotations

import gc
import sys

from processors.errors import WeftError


def is_out_of_memory(error: BaseException) -> bool:
    """`torch.OutOfMemoryError` on a GPU; on the CPU torch raises a bare RuntimeError from its allocator."""
    if isinstance(error, WeftError):
        return False
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator" in str(error)
    )


def release_memory() -> None:
    """Give cached blocks back, so that the smaller batch does not fail on the fragments of the larger one."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
