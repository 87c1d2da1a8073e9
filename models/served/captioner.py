"""A vision-language model behind a server as a `Captioner`: it is sent the photo as a data URL."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from models.images import checked
from models.ports import CaptionRequest
from models.served.answers import request
from models.served.client import Server
from models.served.failures import Unanswered
from models.served.options import ServerOptions
from models.served.reply import Reply, reply_of, waited
from models.served.watch import Watch
from models.weights.hashes import fingerprint
from processors.captions import DEFAULT_TONE, template_caption
from processors.errors import BadSetting, Poison
from processors.triplets import CAPTION_PROMPT
from processors.values import Evidence, Garment, Pixels

VERSION = "1"
JPEG_QUALITY = 90
MOST_CHARACTERS = 1500
"""Of a description: what is longer is cut at a word."""
TRIAL_TOKENS = 16


class ServedCaptioner:
    """A photo → a description; implements `models.ports.Captioner` and `models.ports.Remote`.

    Where the server gives none, the description is by rule, of what is known of the garment.

    Args:
        options: see there.
        watch: told of requests.
    """

    looks = True

    def __init__(self, options: ServerOptions, *, watch: Watch | None = None) -> None:
        if options.guided != "none":
            raise BadSetting("guided: a description of a photo is held to no form; say none")
        self.options = options
        self.server = Server(options, self._trial, watch=watch)
        self.fingerprint = fingerprint("served captioner", VERSION, options.output, CAPTION_PROMPT, str(JPEG_QUALITY))

    @property
    def concurrency(self) -> int:
        """How many requests are out at once."""
        return self.options.concurrency

    @property
    def trouble(self) -> str:
        """Why the server is not asked now; "" while it is."""
        return self.server.trouble

    def telling(self, watch: Watch) -> ServedCaptioner:
        """The same, of which others are told; before it is asked for the first time."""
        return ServedCaptioner(self.options, watch=watch)

    def warm_up(self) -> None:
        """Begin to try the server; it is not waited for."""
        self.server.start()

    def close(self) -> None:
        """End the thread that asks."""
        self.server.close()

    def prepare(self, item: CaptionRequest, /) -> bytes:
        """The body of a request. Raises `Poison` where there is no photo."""
        return self._body(item)

    def forward(self, batch: Sequence[bytes], /) -> list[Reply]:
        """See `models.served.writer.ServedWriter.forward`."""
        asked = [self.server.ask(body) for body in batch]
        return [waited(future) for future in asked]

    async def answer(self, ready: bytes, /) -> Reply:
        """See `models.ports.Remote`."""
        return await reply_of(self.server.ask(ready))

    def finish(self, item: CaptionRequest, raw: Reply, /) -> str:
        """One line of printable text."""
        try:
            text = raw.text()
        except Unanswered:
            return template_caption(item.evidence, DEFAULT_TONE, item.seed).caption
        line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
        return line if len(line) <= MOST_CHARACTERS else line[:MOST_CHARACTERS].rpartition(" ")[0]

    def example(self) -> CaptionRequest:
        pixels = np.full((96, 64, 3), 245, np.uint8)
        pixels[16:80, 16:48] = (200, 32, 47)
        return CaptionRequest(Evidence((Garment("g0", "dress", (16.0, 16.0, 48.0, 80.0), 0.9),)), 0, pixels)

    def _body(self, item: CaptionRequest, longest: int = 0) -> bytes:
        if item.pixels is None:
            raise Poison("this captioner looks at the photo, which is not at hand", field="image")
        image = {"type": "image_url", "image_url": {"url": data_url(item.pixels)}}
        asked = [{"role": "user", "content": [image, {"type": "text", "text": CAPTION_PROMPT}]}]
        return request(self.options, asked, seed=item.seed, held={}, longest=longest)

    def _trial(self) -> bytes:
        return self._body(self.example(), TRIAL_TOKENS)


def data_url(pixels: Pixels) -> str:
    """A photo as a JPEG in a data URL (RFC 2397)."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(checked(pixels))).save(file, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
