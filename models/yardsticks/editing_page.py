"""The page of `weft eval edit --html`: photo, retrieved garment and edit side by side, those farthest from their look first."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np

from models.yardsticks.editing import Case, EditReport
from processors.errors import Poison
from processors.values import Pixels

SIDE = 300
_QUALITY = 82
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:24px;color:#222;background:#fff;max-width:1180px}
h1{font-size:22px}table{border-collapse:collapse}td{padding:2px 16px 2px 0;font-variant-numeric:tabular-nums}
article{display:flex;gap:12px;border-top:1px solid #ddd;padding:12px 0;align-items:flex-start}.said{max-width:230px;font-size:13px;color:#555}
.said b{color:#222;font-size:15px}
"""


def write(file: Path, report: EditReport, cases: Sequence[Case]) -> None:
    """Write the page; it needs no other file. Raises `Poison` when it cannot be written."""
    try:
        with file.open("w", encoding="utf-8") as page:
            page.write(
                f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Edits</title><style>{_STYLE}</style>'
            )
            page.write(f"<h1>{report.edits} edits by {html.escape(report.method)}</h1><table>")
            page.writelines(_figures(report))
            page.write("</table><p>Photo, the garment that was retrieved for the words, edit.</p>")
            for one in sorted(cases, key=lambda case: -case.colour[1]):
                page.writelines(_article(one))
            page.write("</html>\n")
    except OSError as error:
        raise Poison(f"{file} cannot be written: {error.strerror}") from error


def _figures(report: EditReport) -> Iterator[str]:
    for name, value in msgspec.structs.asdict(report).items():
        if isinstance(value, (int, float, str)):
            shown = f"{value:.4f}" if isinstance(value, float) else html.escape(str(value))
            yield f"<tr><td>{name.replace('_', ' ')}</td><td>{shown}</td></tr>"


def _article(one: Case) -> Iterator[str]:
    yield f"<article>{_image(one.worn.pixels)}{_image(one.look.crop)}{_image(one.edited)}<div class='said'>"
    yield f"<b>{html.escape(one.words)}</b><br>{html.escape(one.worn.path)}<br>look of {html.escape(one.look.whose)}<br>"
    yield f"ΔE {one.colour[0]:.1f} → {one.colour[1]:.1f}<br>words {one.text[0]:.2f} → {one.text[1]:.2f}<br>"
    yield f"garment {one.garment[0]:.2f} → {one.garment[1]:.2f}</div></article>"


def _image(pixels: Pixels) -> str:
    factor = SIDE / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    data = base64.b64encode(np.asarray(encoded).tobytes()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" width="{size[0]}" height="{size[1]}" alt="">'
