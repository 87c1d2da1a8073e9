"""Reading a recipe's `progress.jsonl`: how far a training is, and the picture of its loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from models.yardsticks import charts

PROGRESS = "progress.jsonl"
SMOOTHING = 0.95


class Step(msgspec.Struct, frozen=True):
    """One line: after `step` steps and `seconds` of training over all calls, `images` examples were seen."""

    step: int
    seconds: float
    images: int
    loss: float


def read_progress(run: Path) -> list[Step]:
    """The lines so far, in order of steps; a half-written last line is left for the next look.

    A run that was killed does some steps again: the later line of a step counts.
    """
    path = run / PROGRESS
    if not path.is_file():
        return []
    found: list[Step] = []
    for line in path.read_bytes().splitlines():
        try:
            step = msgspec.json.decode(line, type=Step)
        except msgspec.DecodeError:
            continue
        while found and found[-1].step >= step.step:
            found.pop()
        found.append(step)
    return found


def loss_plot(steps: list[Step], title: str, path: Path) -> Path:
    """Loss over steps, each faintly and smoothed; the minutes above."""
    smoothed: list[float] = []
    for step in steps:
        smoothed.append(step.loss if not smoothed else SMOOTHING * smoothed[-1] + (1 - SMOOTHING) * step.loss)
    along = [step.step for step in steps]

    def figure(sheet: Any) -> None:
        axes = sheet.subplots()
        marker = {"marker": "o", "markersize": 3} if len(steps) < 3 else {}
        axes.plot(along, [step.loss for step in steps], color=charts.PALE, linewidth=0.8, label="each line", **marker)
        axes.plot(along, smoothed, color=charts.LINES[0], linewidth=2, label="smoothed")
        axes.set(xlabel="steps", ylabel="loss")
        axes.grid(color="#eeeeee")
        axes.legend()
        last = steps[-1]
        axes.set_title(f"{title}: {last.step} steps, {last.images} examples, {last.seconds / 60:.1f} minutes")

    return charts.picture(path, (8.0, 4.5), figure)
