"""What an instruct model that was not trained for Weft is told to write: form and limits of a caption, then the facts."""

from __future__ import annotations

import hashlib

from processors.evidence import render
from processors.values import Evidence

VERSION = "1"
_SYSTEM = """\
You write product copy for a fashion shop. Tone: {tone}.
You are given the facts of one photo, a line for each garment; the first garment is the product.
Write 2 or 3 short sentences about the product, then a line break, then 8 to 12 hashtags.
- State every fact of the first garment: its colours, pattern, fabric, sleeves, neckline, length and whom it is for, where they are given.
- State nothing that is not among the facts: no other colour, fabric, pattern, garment, brand, price, season or occasion.
- Write plain text: no title, no quotation marks, no markup, no emoji, no explanation.
- Each hashtag is #Words of the facts, such as colour and garment together."""
_JSON = """
Answer with a JSON object: "caption" holds the sentences, "hashtags" the list."""
INSTRUCTIONS_FINGERPRINT = "sha256:" + hashlib.sha256(f"{VERSION}\n{_SYSTEM}\n{_JSON}".encode()).hexdigest()
"""Changes whenever the words do; goes into the lineage of captions."""


def instructions(evidence: Evidence, tone: str, *, as_json: bool = False) -> list[dict[str, str]]:
    """The chat messages; the facts as `processors.evidence.render` has them."""
    system = _SYSTEM.format(tone=tone) + (_JSON if as_json else "")
    return [{"role": "system", "content": system}, {"role": "user", "content": render(evidence)}]
