"""The shipped adapter on its real base: it fits, it writes captions that hold, and it writes them whatever the batch."""

from pathlib import Path

import pytest

from infra.settings import Settings
from models.guard import Guarded
from models.ports import Raw, WriterRequest
from models.recipes.writer_data import unseen
from models.weights.starter import STARTER_FOLDER, WRITER_BASE
from models.writer.decoding import Decoding
from models.writer.hf_writer import HfWriter
from processors.captions import judge
from processors.values import CaptionText

ADAPTER = STARTER_FOLDER / "writer.safetensors"
COUNT = 8


@pytest.fixture(scope="module")
def writer() -> HfWriter:
    base = Settings().model_cache / WRITER_BASE
    if not (base / "weft-artefact.json").is_file():
        pytest.skip(f"{base} is not fetched: run `weft models pull starter`")
    return HfWriter.load(Path(base), ADAPTER)


@pytest.fixture(scope="module")
def requests() -> list[WriterRequest]:
    """Colours and garments in pairings that training never showed."""
    return [WriterRequest(example.evidence, example.tone, seed) for seed, example in enumerate(unseen(COUNT))]


@pytest.fixture(scope="module")
def drafts(writer: HfWriter, requests: list[WriterRequest]) -> list[Raw]:
    """All of them in one batch: half a minute of two cores, once."""
    return writer.forward([writer.prepare(request) for request in requests])


@pytest.mark.slow
def test_most_first_drafts_hold_on_unseen_packs(
    writer: HfWriter, requests: list[WriterRequest], drafts: list[Raw]
) -> None:
    """What the shipped weights write is mostly true of packs that they never saw."""
    texts = [writer.finish(request, raw) for request, raw in zip(requests, drafts, strict=True)]
    judged = [judge(text, request.evidence) for text, request in zip(texts, requests, strict=True)]
    assert sum(isinstance(one, CaptionText) for one in judged) >= COUNT // 2, texts


@pytest.mark.slow
def test_a_caption_has_the_same_bytes_whatever_its_batch(
    writer: HfWriter, requests: list[WriterRequest], drafts: list[Raw]
) -> None:
    """Alone, among three in another order, among many: the shipped weights, to the letter."""
    assert isinstance(writer.engine, Decoding)
    ready = [writer.prepare(request) for request in requests]
    texts = [writer.finish(request, raw) for request, raw in zip(requests, drafts, strict=True)]
    assert all(texts)
    order = (4, 2, 3)
    assert Guarded(writer, name="writer").run([requests[place] for place in order]) == [texts[place] for place in order]
    assert writer.forward([ready[7]]) == [drafts[7]]
