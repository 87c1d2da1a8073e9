"""What makes a photo's pixels is told from what lies around them: the first is enough to decode, the rest is not stored."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from processors.containers import orientation
from processors.decode import DecodeLimits, decode
from processors.errors import Poison
from processors.image_header import is_web_page, read_header
from processors.image_parts import bare, clean
from tests.fixtures import hostile

OWNER, PLACE = b"Jane Q. Owner", b"52.5200N"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6" dc:creator="Jane Q. Owner" exif:GPSLatitude="52.5200N"/></x:xmpmeta>'


def picture(width: int = 40, height: int = 24) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 6, y * 10, (x + y) * 3], axis=2).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(turn: int = 6) -> bytes:
    """EXIF as a phone writes it: orientation, owner, place."""
    tags = Image.Exif()
    tags[0x0112] = turn
    tags[0x013B] = OWNER.decode()
    tags.get_ifd(0x8825)[1] = "N"
    tags.get_ifd(0x8825)[29] = PLACE.decode()
    return tags.tobytes()


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def photographed(kind: str, turn: int = 6) -> bytes:
    """A photo with everything in it that tells who took it, and where."""
    if kind == "JPEG":
        data = encoded(picture(), "JPEG", exif=exif(turn), icc_profile=PROFILE, comment=OWNER, xmp=XMP)
        iptc = segment(0xED, b"Photoshop 3.0\x008BIM" + OWNER)
        multi = segment(0xE2, b"MPF\0" + PLACE)
        return data[:2] + iptc + multi + data[2:] + hostile.video() + OWNER + PLACE
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", OWNER.decode())
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        return encoded(picture(), "PNG", exif=exif(turn), icc_profile=PROFILE, pnginfo=text) + OWNER
    if kind == "WEBP":
        return encoded(picture(), "WEBP", exif=exif(turn), icc_profile=PROFILE, xmp=XMP, lossless=True) + OWNER
    return encoded(picture(), "GIF", comment=OWNER)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_clean_photo_tells_nobody(kind: str) -> None:
    """Owner and place are gone, wherever they were; the pixels, the way up and the colour profile are those of before."""
    data = photographed(kind)
    cleaned = clean(data)
    for secret in (OWNER, PLACE, b"xmpmeta", b"8BIM"):
        assert secret not in cleaned
    assert np.array_equal(decode(cleaned).pixels, decode(data).pixels)
    image = Image.open(io.BytesIO(cleaned))
    image.load()
    if kind != "GIF":
        assert dict(image.getexif()) == {0x0112: 6}
        assert image.info["icc_profile"] == PROFILE
    assert read_header(cleaned) == read_header(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_twice_is_once_and_a_clean_photo_stays_as_it_is(kind: str) -> None:
    """The store's address is the hash of what is stored: every delivery has to give the same."""
    cleaned = clean(photographed(kind))
    assert clean(cleaned) == cleaned
    plain = encoded(picture(), kind)
    assert clean(plain) == plain


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_survives(kind: str, turn: int) -> None:
    """Eight ways to hold a camera; an upright photo gets no EXIF at all."""
    data = encoded(picture(), kind, exif=exif(turn))
    cleaned = clean(data)
    assert np.array_equal(decode(cleaned).pixels, decode(data).pixels)
    assert bare(cleaned).orientation == turn
    assert (b"Exif" in cleaned or b"eXIf" in cleaned or b"EXIF" in cleaned) == (turn != 1)


SECRET = b"4 Privet Drive"


def blocks(label: int, *contents: bytes) -> bytes:
    """An extension of a GIF."""
    return bytes([0x21, label]) + b"".join(bytes([len(one)]) + one for one in contents) + b"\0"


def packed_profile(name: bytes, behind: bytes = b"") -> bytes:
    return hostile.chunk(b"iCCP", name + b"\0\0" + zlib.compress(PROFILE) + behind)


def with_secret(where: str) -> bytes:
    """A photo with a text where a viewer finds none: in parts that are kept for the picture's sake."""
    gif, png, jfif = encoded(picture(), "GIF"), encoded(picture(), "PNG"), encoded(picture(), "JPEG")
    screen = 13 + (3 << (gif[10] & 7) + 1)
    at = png.index(b"IDAT") - 4
    preview = b"\0\2\2" + SECRET[:12]
    return {
        "plain text": gif[:screen] + blocks(0x01, bytes(12), SECRET) + gif[screen:],
        "unknown label": gif[:screen] + blocks(0x42, SECRET) + gif[screen:],
        "behind the time": gif[:screen] + blocks(0xF9, b"\0\x05\0\0", SECRET) + gif[screen:],
        "behind the loop": gif[:screen] + blocks(0xFF, b"NETSCAPE2.0", b"\1\7\0", SECRET) + gif[screen:],
        "in place of a loop": gif[:screen] + blocks(0xFF, b"NETSCAPE2.0", SECRET) + gif[screen:],
        "a profile's name": png[:at] + packed_profile(SECRET) + png[at:],
        "behind a profile": png[:at] + packed_profile(b"icc", SECRET) + png[at:],
        "a resolution too long": png[:at] + hostile.chunk(b"pHYs", bytes(9) + SECRET) + png[at:],
        "behind Adobe's marker": jfif[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\1" + SECRET) + jfif[2:],
        "a preview": jfif[:2] + segment(0xE0, b"JFIF\0\1\1\0\0\1\0" + preview) + jfif[20:],
    }[where]


@pytest.mark.parametrize(
    "where",
    [
        "plain text",
        "unknown label",
        "behind the time",
        "behind the loop",
        "in place of a loop",
        "a profile's name",
        "behind a profile",
        "a resolution too long",
        "behind Adobe's marker",
        "a preview",
    ],
)
def test_parts_that_make_the_look_carry_no_texts(where: str) -> None:
    """Nor previews. The picture is the same, its profile and its loop are, and twice is once."""
    data = with_secret(where)
    assert SECRET[:12] in data
    cleaned = clean(data)
    assert SECRET[:12] not in cleaned
    assert np.array_equal(decode(cleaned).pixels, decode(data).pixels)
    assert clean(cleaned) == cleaned
    before, after = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(cleaned))
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    assert after.info.get("loop") == before.info.get("loop")
    assert (b"Adobe" in cleaned) == (b"Adobe" in data)


def test_animations_stay_animated() -> None:
    """All frames, their times and the loop."""
    frames = [Image.new("RGB", (20, 20), (n * 80, 0, 0)) for n in range(3)]
    for kind, options in (("GIF", {"comment": OWNER}), ("WEBP", {"exif": exif(1)}), ("PNG", {"exif": exif(1)})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, loop=0, **options)
        image = Image.open(io.BytesIO(clean(data)))
        assert (image.n_frames, image.info.get("loop")) == (3, 0)
        assert OWNER not in clean(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_what_is_cut_off_stays_cut_off(kind: str) -> None:
    """Cleaning completes nothing: a truncated photo is refused before and after."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    options = {} if kind == "GIF" else {"exif": exif()}
    data = encoded(noise, kind, **options)
    for cut in (data[: len(data) // 2], data[: -len(data) // 8]):
        for half in (cut, clean(cut)):
            with pytest.raises(Poison, match="cannot be decoded"):
                decode(half)


CASES = [case for case in hostile.image_cases() if case.fate is None]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_photo_that_is_used_is_the_same_when_clean(case: hostile.ImageCase) -> None:
    """Of all odd photos of the table, the cleaned one has the pixels of the original, for us and for Pillow."""
    cleaned = clean(case.data)
    assert np.array_equal(decode(cleaned).pixels, decode(case.data).pixels)
    assert clean(cleaned) == cleaned


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(CASES),
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=8),
    st.integers(0, 9),
)
def test_damage_never_makes_it_grow_or_change_twice(
    case: hostile.ImageCase, hits: list[tuple[int, int]], cut: int
) -> None:
    """Whatever is broken, cleaning gives bytes whose cleaning gives the same, or refuses."""
    data = bytearray(case.data)
    for at, value in hits:
        data[at % len(data)] = value
    damaged = bytes(data[: len(data) - len(data) * cut // 10])
    try:
        cleaned = clean(damaged)
    except Poison:
        return
    assert clean(cleaned) == cleaned
    assert len(cleaned) <= len(damaged) + 64


# ---------------------------------------------------------------- good photos in odd files


def same_pixels(odd: bytes, plain: bytes) -> None:
    assert np.array_equal(decode(odd).pixels, decode(plain).pixels)


def test_a_video_behind_the_photo_counts_for_nothing() -> None:
    """A motion photo: what looks like scans in its video is none; nor is it stored with the photo."""
    plain = encoded(picture(), "JPEG")
    same_pixels(plain + hostile.video(), plain)
    assert clean(plain + hostile.video()) == plain


def test_more_pictures_behind_the_first() -> None:
    """An MPO (two lenses) is its first picture."""
    buffer = io.BytesIO()
    first = picture()
    first.save(buffer, "MPO", save_all=True, append_images=[picture(30, 30)], quality=90)
    decoded = decode(buffer.getvalue())
    assert (decoded.width, decoded.height) == (40, 24)
    assert np.abs(decoded.pixels.astype(int) - np.asarray(first)).mean() < 6


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 95, "optimize": True}, {"restart_marker_rows": 1}],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(40, 24), (161, 97)])
def test_a_jpeg_that_lacks_only_its_end_marker(mode: str, options: dict[str, object], size: tuple[int, int]) -> None:
    """All pixels are there and are used, whatever the coding; the same file less a hundredth is refused."""
    plain = encoded(picture(*size).convert(mode), "JPEG", **options)
    same_pixels(plain[:-2], plain)
    same_pixels(plain[:-1], plain)
    with pytest.raises(Poison, match=r"pixels are missing|cannot be decoded"):
        decode(plain[: -2 - max(3, len(plain) // 100)])


def test_a_jpeg_cut_between_two_scans_is_refused() -> None:
    """Each scan that is there is whole, and the finest ones are missing: only the headers of the scans tell."""
    plain = encoded(picture(160, 96), "JPEG", progressive=True)
    at = plain.index(b"\xff\xc4", plain.index(b"\xff\xda"))
    cuts = 0
    while at > 0:
        with pytest.raises(Poison, match="pixels are missing"):
            decode(plain[:at])
        cuts += 1
        at = plain.find(b"\xff\xc4", at + 1)
    assert cuts > 3


def large_text(kind: bytes, megabytes: int) -> bytes:
    head = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\x01\0\0\0"}[kind]
    return hostile.chunk(kind, head + hostile.zeros(megabytes))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
@pytest.mark.parametrize("behind", [False, True])
def test_a_long_compressed_text_costs_no_photo(kind: bytes, *, behind: bool) -> None:
    """Editors keep their history in there. Before or behind the pixels; not one byte of it is unfolded."""
    plain = encoded(picture(), "PNG")
    at = plain.index(b"IEND") - 4 if behind else plain.index(b"IDAT") - 4
    same_pixels(plain[:at] + large_text(kind, 2) + plain[at:], plain)


@pytest.mark.parametrize("kind", [b"tEXt", b"gAMA", b"pHYs", b"iCCP", b"eXIf", b"prVt"])
def test_a_wrong_checksum_in_a_chunk_that_is_not_needed(kind: bytes) -> None:
    """It is dropped, as other readers do; in a chunk that is needed it is refused, with a true cause."""
    plain = encoded(picture(), "PNG")
    wrong = bytearray(hostile.chunk(kind, b"something"))
    wrong[-1] ^= 0xFF
    at = plain.index(b"IDAT") - 4
    same_pixels(plain[:at] + bytes(wrong) + plain[at:], plain)
    head = bytearray(plain)
    head[29] ^= 0xFF  # the checksum of IHDR
    with pytest.raises(Poison, match="the PNG cannot be decoded") as refused:
        decode(bytes(head))
    assert "0x" not in str(refused.value)
    assert "pi_heif" not in str(refused.value)


@pytest.mark.parametrize(("mode", "length"), [("RGB", 0), ("RGB", 5), ("L", 1), ("P", 0)])
def test_a_transparency_that_is_cut_short_costs_no_photo(mode: str, length: int) -> None:
    """Its checksum is right, its bytes are too few for the PNG's colours: decoders refuse the whole photo for it."""
    plain = encoded(picture().convert(mode), "PNG")
    at = plain.index(b"IDAT") - 4
    same_pixels(plain[:at] + hostile.chunk(b"tRNS", bytes(length)) + plain[at:], plain)


def test_a_png_that_lacks_its_end() -> None:
    """Without IEND, without the last checksum, or with anything behind: the pixels are there."""
    plain = encoded(picture(), "PNG")
    for odd in (plain[:-12], plain[:-16], plain + b"trailing", plain[:-12] + b"\0\0\xff\xfftEXtcut"):
        same_pixels(odd, plain)


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_with_a_wrong_length_or_more_behind_it(*, lossless: bool) -> None:
    """Writers to pipes state no length; copies get more bytes; a cut EXIF chunk is not needed."""
    plain = encoded(picture(), "WEBP", lossless=lossless)
    for length in (0, 0xFFFFFFFF, len(plain) - 7):
        same_pixels(b"RIFF" + struct.pack("<I", length) + plain[8:], plain)
    same_pixels(plain + b"trailing" * 3, plain)
    with_exif = encoded(picture(), "WEBP", lossless=lossless, exif=exif(1))
    same_pixels(with_exif[:-20], plain)


@pytest.mark.parametrize("padding", [b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b"\0\0"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_blanks_before_the_first_byte(kind: str, padding: bytes) -> None:
    """A script printed them; the stored photo begins with its first byte."""
    plain = encoded(picture(), kind)
    same_pixels(padding + plain, plain)
    assert clean(padding + plain) == plain


@pytest.mark.parametrize("where", ["xmp", "raw profile"])
def test_orientation_outside_of_exif(where: str) -> None:
    """Some programs say it in XMP only, ImageMagick in a text of hexadecimal digits."""
    text = PngImagePlugin.PngInfo()
    if where == "xmp":
        text.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    else:
        block = b"Exif\0\0" + orientation.as_exif(6)
        text.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    assert bare(encoded(picture(), "PNG", pnginfo=text)).orientation == 6
    assert bare(clean(encoded(picture(), "PNG", pnginfo=text))).orientation == 6


@pytest.mark.parametrize("profile", [b"", b"profile"])
@pytest.mark.parametrize("orientations", [(None, 6), (6, None), (3, 6)])
def test_the_flags_of_a_clean_webp_name_what_it_holds(
    orientations: tuple[int | None, int | None], profile: bytes
) -> None:
    """A reader that goes by the flags (Pillow, browsers) shows the photo the right way up; the canvas keeps its size."""
    in_exif, in_xmp = orientations
    options: dict[str, object] = {"icc_profile": profile} if profile else {}
    if in_exif:
        options["exif"] = b"Exif\0\0" + orientation.as_exif(in_exif)
    if in_xmp:
        options["xmp"] = XMP
    before = encoded(picture(), "WEBP", **options)
    after = clean(before)
    assert after[20] == (0x20 if profile else 0) | 0x08
    assert after[24:30] == before[24:30]
    assert Image.open(io.BytesIO(after)).getexif().get(0x0112) == (in_exif or in_xmp)
    assert clean(after) == after


@pytest.mark.parametrize(
    "packet",
    [b"tiff:Orientation='6'", b'tiff:Orientation = "6"', b'<tiff:Orientation rdf:datatype="x"> 6 </tiff:Orientation>'],
)
def test_orientation_in_every_form_of_xmp(packet: bytes) -> None:
    """Attributes with blanks around "=", and elements with attributes of their own."""
    assert orientation.of_xmp(packet) == 6
    assert orientation.of_xmp(packet.replace(b"6", b"9")) is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "form"), [(1, "Bxxx"), (3, "Hxx"), (4, "I")])
def test_exif_in_both_byte_orders(order: str, kind: int, form: str) -> None:
    """The orientation as a byte, a short or a long; values that are none are no orientation."""
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entry = struct.pack(f"{order}HHI", 0x0112, kind, 1)

    def block(value: int) -> bytes:
        return magic + struct.pack(f"{order}IH", 8, 1) + entry + struct.pack(order + form, value) + bytes(4)

    assert [orientation.of_exif(block(value)) for value in (0, 1, 8, 9)] == [None, 1, 8, None]


@given(st.binary(max_size=60))
def test_any_bytes_as_exif(data: bytes) -> None:
    """An orientation or none; never an error."""
    assert orientation.of_exif(b"MM\0*" + data) in {None, *range(1, 9)}


# ---------------------------------------------------------------- limits and causes


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xfe\x00\x02" * 200_000 + encoded(picture(), "JPEG")[2:],
        b"\x89PNG\r\n\x1a\n" + encoded(picture(), "PNG")[8:33] + hostile.chunk(b"prVt", b"") * 200_000,
        encoded(picture(), "WEBP", lossless=True)[:12] + b"JUNK\0\0\0\0" * 200_000,
        encoded(picture(), "GIF")[:13] + b"\x21\xfe\0" * 200_000,
    ],
    ids=["jpeg", "png", "webp", "gif"],
)
def test_a_file_of_nothing_but_parts_is_refused(data: bytes) -> None:
    """A walk over millions of empty parts would take a processor for seconds."""
    with pytest.raises(Poison, match=r"more than 100,000 (segments|chunks|blocks)"):
        clean(data)


def test_scans_are_counted_up_to_the_end_of_the_image_only() -> None:
    """As many as a decoder may take for scans; those behind the end are never shown to it."""
    plain = encoded(picture(), "JPEG", progressive=True)
    limits = DecodeLimits(max_scans=12)
    assert decode(plain + plain[plain.index(b"\xff\xda") :] * 20, limits).width == 40
    with pytest.raises(Poison, match="more than 3 scans"):
        decode(plain, DecodeLimits(max_scans=3))


@pytest.mark.parametrize("case", [c for c in hostile.image_cases() if c.fate], ids=lambda case: case.name)
def test_causes_hold_no_addresses_of_memory(case: hostile.ImageCase) -> None:
    """A letter's cause is for a person."""
    with pytest.raises(Poison) as refused:
        decode(case.data)
    assert " at 0x" not in str(refused.value)
    assert "BytesIO" not in str(refused.value)


def test_a_file_that_only_begins_like_an_image() -> None:
    """Pillow's own words show an object of the program; ours say what is wrong."""
    with pytest.raises(Poison, match="the WEBP cannot be decoded") as refused:
        decode(b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x30\0\0\x30\0\0" + bytes(40))
    assert "BytesIO" not in str(refused.value)


@pytest.mark.parametrize(
    ("data", "page"),
    [
        (b"<!DOCTYPE html><p>404", True),
        (b"\xef\xbb\xbf\r\n <!-- cached --> <HTML lang=de>", True),
        (b"<script>location=1</script>", True),
        (b"<svg/>", False),
        (b"<htmlx>", False),
        (zlib.compress(b"<html>"), False),
    ],
)
def test_web_pages_are_told_from_other_things(data: bytes, *, page: bool) -> None:
    """By their first tag, blanks and comments before it passed over."""
    assert is_web_page(data) == page
