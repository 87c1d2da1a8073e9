"""Whatever the bytes, `decode` returns pixels or raises `Poison`: nothing else escapes to end the process."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from processors.decode import DecodeLimits, decode
from processors.errors import Poison

LIMITS = DecodeLimits(max_pixels=200_000)


def seed_file(kind: str) -> bytes:
    noise = np.random.default_rng(1).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


SEEDS = {kind: seed_file(kind) for kind in ("JPEG", "PNG", "WEBP", "GIF")}


def survives(data: bytes) -> None:
    try:
        decoded = decode(data, LIMITS, max_side=64)
    except Poison:
        return
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.ndim == 3
    assert max(decoded.pixels.shape[:2]) <= 64
    assert decoded.width * decoded.height <= LIMITS.max_pixels


@given(st.binary(max_size=400))
def test_arbitrary_bytes(data: bytes) -> None:
    """Random bytes, also behind each format's magic."""
    survives(data)
    for magic in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x00\x01\x00\x00WEBPVP8X"):
        survives(magic + data)


@pytest.mark.filterwarnings("ignore")  # Pillow warns about what it repairs; here only the outcome counts
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(sorted(SEEDS)),
    edits=st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), min_size=1, max_size=12),
    keep=st.floats(0.1, 1.0),
)
def test_damaged_files(kind: str, edits: list[tuple[int, int]], keep: float) -> None:
    """Real files with flipped bytes and lost tails."""
    data = bytearray(SEEDS[kind])
    for at, value in edits:
        data[at % len(data)] = value
    survives(bytes(data[: max(1, int(len(data) * keep))]))
