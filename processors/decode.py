"""Hostile bytes → RGB pixels. Everything that can be refused is refused from the header, before a decoder allocates.

A decoder cannot be interrupted, so its time is bounded by what it is given: bytes, pixels, and the scans of a
progressive JPEG (a small file with thousands of scans keeps libjpeg busy for minutes).
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from processors import image_parts
from processors.errors import Code, Poison, Retryable
from processors.image_header import ImageHeader, read_header
from processors.values import Pixels

_ROWS = 256
_ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-fA-F]+>")


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What is decoded at all. The defaults are those of `infra.settings`.

    Args:
        max_bytes: largest encoded image.
        max_pixels: largest width × height by the header. Above about 179 million Pillow's own guard refuses too.
        min_side: shortest side, in pixels, in which a garment could still be seen.
        max_aspect: longest side ÷ shortest side; beyond it, scaling to a model's size would leave no pixels.
        max_scans: scans of a progressive JPEG (cameras and encoders write about ten).
    """

    max_bytes: int = 32 * 2**20
    max_pixels: int = 64_000_000
    min_side: int = 16
    max_aspect: float = 20.0
    max_scans: int = 100


DEFAULT_LIMITS = DecodeLimits()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image.

    `width` and `height` are those of the original after EXIF rotation; `pixels` may be smaller (`max_side`), and
    `scale` = pixels of `pixels` per pixel of the original (≤ 1), so `x_original = x / scale`.
    """

    pixels: Pixels
    width: int
    height: int
    scale: float


def check_header(data: bytes, limits: DecodeLimits = DEFAULT_LIMITS) -> ImageHeader:
    """Read the header and hold it against the limits; allocates nothing. Microseconds, but for a JPEG of many megabytes.

    Raises:
        Poison: too large, too small, too long, not an image, or a header that is cut off.
    """
    if len(data) > limits.max_bytes:
        raise Poison(
            f"the image has {len(data):,} bytes, more than the limit of {limits.max_bytes:,}",
            field="image",
            code=Code.OUT_OF_RANGE,
        )
    header = read_header(data)
    size = f"{header.width}x{header.height}"
    if header.width * header.height > limits.max_pixels:
        raise Poison(
            f"{size} is more than the limit of {limits.max_pixels:,} pixels", field="image", code=Code.OUT_OF_RANGE
        )
    short, long = sorted((header.width, header.height))
    if short < limits.min_side:
        raise Poison(
            f"{size} is too small: at least {limits.min_side} pixels a side", field="image", code=Code.OUT_OF_RANGE
        )
    if long > limits.max_aspect * short:
        raise Poison(
            f"{size} is too narrow: one side is more than {limits.max_aspect:g} times the other",
            field="image",
            code=Code.OUT_OF_RANGE,
        )
    if header.format == "jpeg" and image_parts.scans(data) > limits.max_scans:
        raise Poison(f"the JPEG has more than {limits.max_scans} scans", field="image", code=Code.OUT_OF_RANGE)
    return header


def decode(data: bytes, limits: DecodeLimits = DEFAULT_LIMITS, *, max_side: int | None = None) -> Decoded:
    """Decode the (first frame of the) image to RGB, EXIF rotation applied, transparency laid on white.

    Only what makes the pixels is decoded: what is wrong around it (texts, previews, a video behind the photo, a missing
    end marker) does not cost a photo whose pixels are all there.

    Args:
        data: the encoded image (JPEG, PNG, WebP, GIF).
        limits: what is refused.
        max_side: longest side of the returned pixels; larger images are scaled down (never up), a JPEG already
            while it is decoded (DCT scaling, 3 to 5 times faster for 12 megapixels). None: full size.

    Returns:
        The pixels, uint8 of shape (height, width, 3), and the original size.

    Raises:
        Poison: refused by `check_header`, truncated, or undecodable.
        Retryable: no memory for the pixels now.
    """
    header = check_header(data, limits)
    try:
        file = image_parts.bare(data)
        pixels, turn = _whole_pixels(file, header, max_side), file.orientation
    except MemoryError as error:
        raise Retryable(f"no memory to decode {header.width}x{header.height} pixels") from error
    except Poison:
        raise
    except Exception as error:  # a hostile file makes decoders raise anything; none of it may end the process
        raise Poison(
            f"the {header.format.upper()} cannot be decoded: {_cause(error)}", field="image", code=Code.BAD_IMAGE
        ) from error
    pixels = _turned(_fitted(pixels, max_side), turn)
    width, height = (header.height, header.width) if turn >= 5 else (header.width, header.height)
    return Decoded(pixels, width, height, pixels.shape[1] / width if pixels.shape[1] != width else 1.0)


def kept_bytes(data: bytes, max_side: int) -> int:
    """Bytes of the pixels that `decode` is going to return; 0 for what is no image. Reads the header only."""
    try:
        header = read_header(data)
    except Poison:
        return 0
    scale = min(1.0, max_side / max(header.width, header.height, 1))
    return math.ceil(header.width * scale) * math.ceil(header.height * scale) * 3


def unfolded_pixels(data: bytes, max_side: int) -> int:
    """Pixels that `decode` holds at once before it scales them down; 0 for what is no image. Reads the header only.

    A decoder and its copy cost about seven bytes for each.
    """
    try:
        header = read_header(data)
    except Poison:
        return 0
    pixels = header.width * header.height
    if header.format != "jpeg":
        return pixels
    whole = max(header.width, header.height) // max_side
    factor = next((n for n in (8, 4, 2) if n <= whole), 1)  # as libjpeg scales while it decodes
    return pixels // factor**2


def encode_jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """RGB pixels → JPEG bytes. Equal pixels give equal bytes on one version of Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def shrink(pixels: Pixels, max_side: int) -> Pixels:
    """Scale down by area averaging so that the longest side is at most `max_side`; smaller images are returned as is."""
    return _fitted(pixels, max_side)


def _whole_pixels(file: image_parts.Bare, header: ImageHeader, max_side: int | None) -> Pixels:
    """The pixels, of a JPEG without its end marker only if none is missing: libjpeg fills up what is, and says nothing.

    What is missing is filled from the bits that follow: with other bits behind the last scan it becomes other pixels.
    """
    cut = Poison(
        "the JPEG cannot be decoded: it is cut off, and pixels are missing", field="image", code=Code.BAD_IMAGE
    )
    if not file.every_scan:
        raise cut
    other = _digest(_decode_pixels(file.endless, header, max_side)) if file.endless else b""
    pixels = _decode_pixels(file.data, header, max_side)
    if file.endless and _digest(pixels) != other:
        raise cut
    return pixels


def _digest(pixels: Pixels) -> bytes:
    return hashlib.sha256(pixels.data).digest()


def _decode_pixels(data: bytes, header: ImageHeader, max_side: int | None) -> Pixels:
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP", "GIF")) as image:
        # A second start-of-frame could smuggle in a size that the header check has not seen.
        if image.size != (header.width, header.height):
            raise Poison(
                f"two sizes in one file: {header.width}x{header.height} and {image.size}",
                field="image",
                code=Code.BAD_IMAGE,
            )
        if header.format == "jpeg" and max_side is not None and max(image.size) > max_side:
            factor = max_side / max(image.size)
            image.draft(None, (max(1, int(image.width * factor)), max(1, int(image.height * factor))))
        image.load()
        return _rgb_on_white(image)


def _cause(error: Exception) -> str:
    """A decoder's own words, without what only a debugger understands."""
    if isinstance(error, UnidentifiedImageError):
        return "what follows its first bytes is no image"
    return _ADDRESS.sub("the data", str(error)) or type(error).__name__


def _rgb_on_white(image: Any) -> Pixels:
    """Any Pillow mode → uint8 RGB, some rows at a time: at once, 64 megapixels would take gigabytes in between."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _ROWS):
        bottom = min(top + _ROWS, image.height)
        pixels[top:bottom] = _rows_on_white(image.crop((0, top, image.width, bottom)))
    return pixels


def _rows_on_white(image: Any) -> Any:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips at 255 instead of scaling
        grey = (np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)
        return grey[:, :, None]
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA")).astype(np.uint16)
        alpha = rgba[:, :, 3:]
        return (rgba[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _fitted(pixels: Pixels, max_side: int | None) -> Pixels:
    height, width = pixels.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return pixels
    factor = max_side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (Exif 2.32, 4.6.4 A): 1 as stored, 3 upside down, 6 a quarter turn clockwise …"""
    if orientation in (2, 4, 5, 7):  # the mirrored four
        pixels = pixels[:, ::-1]
    quarters = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}[orientation]
    return np.ascontiguousarray(np.rot90(pixels, quarters))
