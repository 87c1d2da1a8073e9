"""Numbers of the command line."""

from __future__ import annotations

import math

import typer


def finite(value: float | None) -> float | None:
    """For `callback` of an option: `nan` passes every bound, and whoever waits so long, or paces itself so, never ends.

    Raises:
        BadParameter: it is no number, or has no end.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number that ends")
    return value
