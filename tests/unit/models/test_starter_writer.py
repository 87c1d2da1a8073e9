"""The shipped adapter on its real base: it fits, it writes captions that hold, and it writes them whatever the batch."""

from pathlib import Path

import pytest

from infra.settings import Settings
from models.decoding import Decoding
from models.hf_writer import HfWriter
from models.ports import WriterRequest
from models.recipes.writer_data import unseen
from models.weights.profiles import SMOLLM2, STARTER_FOLDER
from processors.captions import judge
from processors.values import CaptionText

ADAPTER = STARTER_FOLDER / "writer.safetensors"
COUNT = 16


@pytest.fixture(scope="module")
def writer() -> HfWriter:
    base = Settings().model_cache / SMOLLM2.name
    if not (base / "weft-artefact.json").is_file():
        pytest.skip(f"{base} is not fetched: run `weft models pull starter`")
    return HfWriter.load(Path(base), ADAPTER)


@pytest.mark.slow
def test_most_first_drafts_hold_on_unseen_packs(writer: HfWriter) -> None:
    """Colours and garments in pairings that training never showed; drafts come out alike in one batch and alone."""
    tests = unseen(COUNT)
    requests = [WriterRequest(example.evidence, example.tone, seed) for seed, example in enumerate(tests)]
    raws = writer.forward([writer.prepare(request) for request in requests])
    texts = [writer.finish(request, raw) for request, raw in zip(requests, raws, strict=True)]
    held = sum(isinstance(judge(text, e.evidence), CaptionText) for text, e in zip(texts, tests, strict=True))
    assert held >= COUNT // 2, texts


@pytest.mark.slow
def test_the_same_request_gives_the_same_text(writer: HfWriter) -> None:
    """Twice the same batch, to the letter."""
    request = WriterRequest(writer.example().evidence, "warm", 3)
    first, second = (writer.forward([writer.prepare(request)])[0] for _ in range(2))
    assert first == second
    assert writer.finish(request, first)


@pytest.mark.slow
def test_a_caption_has_the_same_bytes_whatever_its_batch(writer: HfWriter) -> None:
    """Alone, among three, among many in another order: the shipped weights, to the letter."""
    requests = [WriterRequest(example.evidence, example.tone, seed) for seed, example in enumerate(unseen(9))]
    assert isinstance(writer.engine, Decoding)
    ready = [writer.prepare(request) for request in requests]
    together = writer.forward(ready)
    assert writer.forward(ready[::-1])[::-1] == together
    assert writer.forward(ready[2:5]) == together[2:5]
    assert writer.forward(ready[7:8]) == together[7:8]
