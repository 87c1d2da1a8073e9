"""What an edited image says of itself: a manifest after the vocabulary of C2PA, beside the image and inside it, and an XMP packet.

The manifest is not signed (nobody has a certificate here), so it is no C2PA manifest that a validator accepts: it uses the same terms, so
that a signer downstream can take it over. It holds nothing of the person who asked, and no time: the same edit has the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

import numpy as np
from PIL import Image, PngImagePlugin

from processors.values import Mask, Pixels

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic"
"""IPTC: a photo that was changed by an algorithm, with elements of other photos."""
KEY = "weft:manifest"
LEVEL = 3
"""Of zlib: photographs are a few hundredths larger than at 6, in half the time."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made an edit. Hashes are SHA-256, hexadecimal."""

    photo: str
    mask: str
    words: str
    method: str
    seed: int
    references: tuple[tuple[str, str], ...]
    """Product and hash of its photo, of those whose look is on the garment."""
    from_words: tuple[str, ...]
    version: str
    marked: bool
    product: str = ""
    """Whose photo was edited, where it is of the catalogue."""
    shop: str = ""
    """Whose products these are."""

    def manifest(self, pixels: str) -> bytes:
        """As JSON; the same values give the same bytes. `pixels`: the hash of the image's pixels (its file holds the manifest)."""
        shop = {"shop": self.shop} if self.shop else {}
        photo = {"relationship": "parentOf", "hash": self.photo, "alg": "sha256"}
        ingredients = [{"title": self.product, **photo, **shop} if self.product else photo]
        ingredients += [
            {"title": product, "relationship": "componentOf", "hash": digest, "alg": "sha256", **shop}
            for product, digest in self.references
        ]
        action = {
            "action": "c2pa.edited",
            "digitalSourceType": SOURCE_TYPE,
            "softwareAgent": f"weft/{self.version}",
            "parameters": {
                "method": self.method,
                "description": self.words,
                "seed": self.seed,
                "from_words": list(self.from_words),
                "visible_mark": self.marked,
            },
        }
        found = {
            "claim_generator": f"weft/{self.version}",
            "signature": None,
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
                {"label": "c2pa.ingredient.v3", "data": ingredients},
                {"label": "weft.pixels", "data": {"alg": "sha256", "hash": pixels, "of": "RGB, 8 bits, row by row"}},
                {"label": "weft.mask", "data": {"alg": "sha256", "hash": self.mask}},
            ],
        }
        return json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def png(pixels: Pixels, provenance: Provenance) -> tuple[bytes, bytes]:
    """The image as a PNG that holds its manifest and an XMP packet; and the manifest. Equal input gives equal bytes."""
    manifest = provenance.manifest(hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest())
    info = PngImagePlugin.PngInfo()
    info.add_itxt(KEY, manifest.decode())
    info.add_itxt("XML:com.adobe.xmp", _xmp(provenance))
    return _written(Image.fromarray(pixels), info), manifest


def mask_png(mask: Mask) -> bytes:
    """A mask as a PNG of one channel: 255 inside."""
    return _written(Image.fromarray(mask.astype(np.uint8) * 255), None)


def _written(image: Image.Image, info: PngImagePlugin.PngInfo | None) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=LEVEL, pnginfo=info)
    return buffer.getvalue()


def _xmp(provenance: Provenance) -> str:
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        f"Iptc4xmpExt:DigitalSourceType={quoteattr(SOURCE_TYPE)} xmp:CreatorTool={quoteattr('weft/' + provenance.version)}/>"
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )
