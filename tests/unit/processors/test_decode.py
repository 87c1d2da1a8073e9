"""Hostile bytes become pixels or a `Poison` that names the cause."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from processors.decode import Decoded, DecodeLimits, check_header, decode, encode_jpeg, shrink
from processors.errors import Poison
from processors.image_header import read_header, sniff


def picture(width: int = 40, height: int = 24) -> np.ndarray:
    """A smooth picture whose four corners differ."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = x * 255 // (width - 1), y * 255 // (height - 1)
    return np.stack([red, green, np.full_like(red, 90)], axis=2).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_every_format_keeps_size_and_colour(kind: str) -> None:
    """Each accepted format decodes to the size and roughly the colours that were stored."""
    pixels = picture()
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    data = encoded(Image.fromarray(pixels), kind, **options)
    decoded = decode(data)
    assert sniff(data) == kind.lower()
    assert (decoded.width, decoded.height, decoded.scale) == (40, 24, 1.0)
    assert decoded.pixels.shape == (24, 40, 3)
    assert np.abs(decoded.pixels.astype(int) - pixels).mean() < (12 if kind == "GIF" else 4)


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_header_in_each_flavour(mode: str, *, lossless: bool) -> None:
    """VP8, VP8L and VP8X containers all state their size."""
    header = read_header(encoded(Image.fromarray(picture(333, 77)).convert(mode), "WEBP", lossless=lossless))
    assert (header.width, header.height) == (333, 77)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    """All eight orientations come out as Pillow's own reference transposition makes them."""
    image = Image.fromarray(picture())
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, "PNG", exif=exif.tobytes())
    decoded = decode(data)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert (decoded.height, decoded.width) == expected.shape[:2]
    assert np.array_equal(decoded.pixels, expected)


def test_large_jpeg_is_scaled_while_decoded() -> None:
    """`max_side` bounds the pixels; the original size and the scale lead back to it, also when rotated."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(picture(1600, 1200)), "JPEG", quality=92, exif=exif.tobytes())
    decoded = decode(data, max_side=400)
    assert (decoded.width, decoded.height) == (1200, 1600)
    assert decoded.pixels.shape == (400, 300, 3)
    assert decoded.scale == pytest.approx(0.25)
    full = decode(data)
    assert full.pixels.shape == (1600, 1200, 3)
    assert np.abs(shrink(full.pixels, 400).astype(int) - decoded.pixels).mean() < 2


def test_small_images_are_never_enlarged() -> None:
    """A photo below `max_side` keeps its pixels."""
    assert decode(encoded(Image.fromarray(picture()), "PNG"), max_side=640).scale == 1.0


def test_transparency_is_laid_on_white() -> None:
    """A cut-out product has a white ground, not the black that hides under transparent pixels."""
    rgba = np.zeros((20, 20, 4), np.uint8)
    rgba[5:15, 5:15] = (200, 0, 0, 255)
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        pixels = decode(encoded(Image.fromarray(rgba), kind, **options)).pixels
        assert tuple(pixels[0, 0]) == (255, 255, 255)
        assert tuple(pixels[10, 10]) == (200, 0, 0)


def test_palette_with_transparent_entry() -> None:
    """A palette image whose transparent index is black becomes white there."""
    image = Image.new("P", (20, 20), 0)
    image.putpalette([0, 0, 0, 10, 200, 10] + [0] * 762)
    image.paste(1, (5, 5, 15, 15))
    pixels = decode(encoded(image, "PNG", transparency=0)).pixels
    assert tuple(pixels[0, 0]) == (255, 255, 255)
    assert tuple(pixels[10, 10]) == (10, 200, 10)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    """A 16-bit grey ramp keeps its mid tones (a plain conversion makes it all white)."""
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(32, axis=0)
    pixels = decode(encoded(Image.fromarray(ramp), "PNG")).pixels
    assert abs(int(pixels[0, 128, 0]) - 128) <= 1


@pytest.mark.parametrize("mode", ["L", "1", "LA", "CMYK"])
def test_other_modes_become_rgb(mode: str) -> None:
    """Grey, bilevel and CMYK images come out as three channels."""
    image = Image.new("RGB", (24, 24), (200, 30, 30)).convert(mode)
    decoded = decode(encoded(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert decoded.pixels.shape == (24, 24, 3)
    if mode == "CMYK":
        assert np.abs(decoded.pixels[12, 12].astype(int) - (200, 30, 30)).max() < 12


def test_first_frame_of_an_animation() -> None:
    """Animated GIF and WebP give their first frame."""
    frames = [Image.new("RGB", (20, 20), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    for kind in ("GIF", "WEBP"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
        assert decode(data).pixels[10, 10, 0] > 200


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.jpg", b"x" * 100)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "0 bytes"),
        (zipped(), "a zip archive"),
        (b"%PDF-1.7 ...", "a PDF"),
        (b"\x00\x00\x00\x18ftypheic", "HEIC"),
        (b"<!doctype html><html>404</html>", "HTML"),
        (b"II*\x00aaaaaaaaaaaa", "TIFF"),
        (b"\x00\x00\x01\x00\x01\x00 ", "an icon"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS\x00\x01", "Photoshop"),
        (b"\x89PNG\n\x1a\n\x00\x00\x00\rIHDR", "damaged on its way"),
        (b"HTTP/1.1 200 OK\r\n\r\n\xff\xd8\xff", "web server"),
        (b"\x01\x02\x03\x04", "01 02 03 04"),
        (b"\xff\xd8\xff\xe0", "cut off"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "states no size"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\x04CgBI\x50\x00\x20\x02", "Apple's own form"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8X", "cut off"),
        (b"GIF89a\x00", "cut off"),
    ],
)
def test_rubbish_is_named(data: bytes, cause: str) -> None:
    """What is not an image is refused, and the message says what it is."""
    with pytest.raises(Poison, match=cause) as caught:
        decode(data)
    assert caught.value.field == "image"


def test_decompression_bomb_is_refused_from_the_header() -> None:
    """A PNG of a few hundred bytes that claims 50,000 × 50,000 pixels never reaches the decoder."""
    body = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + body
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(Poison, match="50000x50000 is more than the limit"):
        check_header(data)


@pytest.mark.parametrize(
    ("size", "limits", "cause"),
    [
        ((8, 8), DecodeLimits(), "too small"),
        ((1000, 20), DecodeLimits(), "too narrow"),
        ((64, 64), DecodeLimits(max_pixels=4000), "limit of 4,000 pixels"),
        ((64, 64), DecodeLimits(max_bytes=100), "limit of 100"),
    ],
)
def test_limits(size: tuple[int, int], limits: DecodeLimits, cause: str) -> None:
    """Each limit refuses with its own words."""
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    with pytest.raises(Poison, match=cause):
        decode(encoded(Image.fromarray(noise), "PNG"), limits)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_photo_is_poison(kind: str) -> None:
    """Half a file is refused, never shown half grey."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(Poison):
        decode(data[: len(data) // 2])


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    """The scan bomb (a progressive JPEG whose last scan is repeated) is refused before libjpeg sees it."""
    data = encoded(Image.fromarray(picture()), "JPEG", progressive=True)
    assert isinstance(decode(data), Decoded)
    scan = data.rindex(b"\xff\xda")
    with pytest.raises(Poison, match="scans"):
        decode(data[:scan] + data[scan:-2] * 101 + data[-2:])


def test_a_second_size_in_the_file_is_refused() -> None:
    """A JPEG with two frame headers cannot smuggle in a size that the limits have not seen."""
    data = encoded(Image.fromarray(picture()), "JPEG")
    at = data.index(b"\xff\xc0")
    length = struct.unpack_from(">H", data, at + 2)[0] + 2
    second = bytearray(data[at : at + length])
    second[5:9] = struct.pack(">HH", 9000, 9000)
    with pytest.raises(Poison):
        decode(data[: at + length] + bytes(second) + data[at + length :])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_cost_the_photo() -> None:
    """Rubbish in EXIF is ignored."""
    data = encoded(Image.fromarray(picture()), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xffrubbish")
    assert decode(data).pixels.shape == (24, 40, 3)


def test_encode_jpeg_round_trip() -> None:
    """Encoded pixels decode to nearly themselves, and twice to the same bytes."""
    pixels = picture(64, 64)
    data = encode_jpeg(pixels, quality=95)
    assert np.abs(decode(data).pixels.astype(int) - pixels).mean() < 3
    assert encode_jpeg(pixels, quality=95) == data
