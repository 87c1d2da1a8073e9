"""Type on the contact sheet: fonts, measuring, wrapping, marks under words. Sizes in pixels."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

INK = "#22242a"
SOFT = "#6d717b"
FAINT = "#a2a6ae"
LINE = "#e4e2dd"
PAPER = "#f4f2ee"
CARD = "#ffffff"
LINK = "#2f5f9e"
ALARM = "#b3261e"
LEADING = 1.42
"""Line height over type size."""


@dataclass(frozen=True, slots=True)
class Style:
    """How text looks. `bold` thickens the strokes: Pillow bundles a single weight."""

    size: int
    colour: str = INK
    bold: bool = False

    @property
    def line(self) -> int:
        """Height of one line."""
        return round(self.size * LEADING)


@dataclass(frozen=True, slots=True)
class Mark:
    """text[start:end] is underlined in `colour`."""

    start: int
    end: int
    colour: str


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a wrapped line: where it stands in the text, and its left edge in the line."""

    text: str
    start: int
    x: float


def width_of(text: str, style: Style) -> float:
    """The advance of a text in pixels."""
    shown = _showable(text)
    return float(_font(shown, style.size).getlength(shown))


def wrap(text: str, style: Style, width: float) -> list[list[Word]]:
    """Lines of words no wider than `width`; a single word that is wider is cut."""
    space = width_of(" ", style)
    lines: list[list[Word]] = [[]]
    x = 0.0
    for match in re.finditer(r"\S+", text):
        for start, part in _fitting(match.group(), match.start(), style, width):
            advance = width_of(part, style)
            if lines[-1] and x + advance > width:
                lines.append([])
                x = 0.0
            lines[-1].append(Word(part, start, x))
            x += advance + space
    return lines if lines[0] else []


def shorten(text: str, style: Style, width: float) -> str:
    """The text, or as much of it as fits followed by "…"."""
    if width_of(text, style) <= width:
        return text
    while text and width_of(text + "…", style) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def write(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, style: Style, anchor: str = "ls") -> None:
    """One line of text; `at` is its left baseline unless `anchor` (Pillow's) says otherwise."""
    shown = _showable(text)
    stroke: Any = style.size / 48 if style.bold else 0
    draw.text(at, shown, fill=style.colour, font=_font(shown, style.size), anchor=anchor, stroke_width=stroke)


def write_lines(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    lines: Sequence[Sequence[Word]],
    style: Style,
    marks: Sequence[Mark] = (),
) -> float:
    """Wrapped lines from a top left corner, with their marks; returns the y below them."""
    x, y = at
    for line in lines:
        baseline = y + round(style.size * 1.08)
        for word, following in zip(line, [*line[1:], None], strict=True):
            write(draw, (x + word.x, baseline), word.text, style)
            for mark in marks:
                _underline(draw, (x, baseline + round(style.size * 0.22)), word, following, mark, style)
        y += style.line
    return y


def rounded(size: tuple[int, int], radius: int) -> Image.Image:
    """A mask of a rectangle with smooth round corners (Pillow's own are jagged): drawn four times as large."""
    return _rounded(size, radius).copy()


@cache
def _rounded(size: tuple[int, int], radius: int) -> Image.Image:
    large = Image.new("L", (size[0] * 4, size[1] * 4), 0)
    ImageDraw.Draw(large).rounded_rectangle((0, 0, size[0] * 4 - 1, size[1] * 4 - 1), radius * 4, fill=255)
    return large.resize(size, Image.Resampling.BOX)


def _underline(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], word: Word, following: Word | None, mark: Mark, style: Style
) -> None:
    start, end = max(mark.start, word.start), min(mark.end, word.start + len(word.text))
    if start >= end:
        return
    left = word.x + width_of(word.text[: start - word.start], style)
    right = word.x + width_of(word.text[: end - word.start], style)
    if following is not None and mark.end > following.start:
        right = following.x  # one line under the words of one phrase
    draw.rectangle((at[0] + left, at[1], at[0] + right - 1, at[1] + 1), fill=mark.colour)


def _fitting(word: str, start: int, style: Style, width: float) -> list[tuple[int, str]]:
    parts = []
    while width_of(word, style) > width and len(word) > 1:
        cut = len(word) - 1
        while cut > 1 and width_of(word[:cut], style) > width:
            cut -= 1
        parts.append((start, word[:cut]))
        word, start = word[cut:], start + cut
    return [*parts, (start, word)]


def _showable(text: str) -> str:
    """The text in glyphs that a font at hand has: accents fall away where only the bundled font is there."""
    if _bundled_has(text) or _wide_font() is not None:
        return text
    plain = unicodedata.normalize("NFKD", text.replace("–", "-").replace("—", "-"))
    return "".join(c if _bundled_has(c) else "?" for c in plain if not unicodedata.combining(c))


def _bundled_has(text: str) -> bool:
    """Pillow's bundled Aileron is a subset: ASCII, "…" and curly quotes; everything else would be an empty box."""
    return all(" " <= c <= "~" or c in "…·“”’" for c in text)


@cache
def _wide_font() -> str | None:
    """DejaVu Sans, which comes with matplotlib, which comes with ultralytics: for accents and other alphabets."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return str(file) if file.is_file() else None


def _font(text: str, size: int) -> Any:
    return _loaded(size, wide=not _bundled_has(text))


@cache
def _loaded(size: int, *, wide: bool) -> Any:
    file = _wide_font() if wide else None
    # DejaVu is drawn larger than Aileron at the same size.
    return ImageFont.load_default(size=size) if file is None else ImageFont.truetype(file, round(size * 0.93))
