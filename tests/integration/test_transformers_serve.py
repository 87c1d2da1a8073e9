"""A writer behind `transformers serve` with the starter's model, where somebody has installed what that needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from benchmarks.transformers_serve import Serving, can_serve, merged_writer, serving
from infra.settings import Settings
from models.ports import WriterRequest
from models.recipes.writer_data import cases
from models.served.by_kind import examined
from models.served.options import options_of
from models.served.writer import ServedWriter
from processors import captions
from processors.errors import Fatal
from processors.values import CaptionText

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

PYTHON = os.environ.get("WEFT_TEST_SERVE_PYTHON", sys.executable)
"""An interpreter with `transformers[serving]`: fastapi, uvicorn and openai are no part of Weft's environment."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The starter's writer, its adapter in it."""
    if not can_serve(PYTHON):
        pytest.skip(f"{PYTHON} has no transformers[serving]; WEFT_TEST_SERVE_PYTHON names an interpreter that has")
    folder = tmp_path_factory.mktemp("serve")
    try:
        merged_writer(folder / "writer", Settings())
    except Fatal as trouble:
        pytest.skip(str(trouble))
    with serving(PYTHON, folder / "writer", folder / "log") as found:
        yield found


def test_the_starters_model_writes_behind_a_server(server: Serving) -> None:
    """It is found well, writes the same for the same seed, and most of its drafts hold, as in process."""
    options = {"base_url": server.base_url, "model": server.model, "prompt": "short", "concurrency": 1}
    writer = ServedWriter(options_of({**options, "answer_seconds": 300.0, "deadline_seconds": 600.0}))
    try:
        assert examined(writer.server) == ()
        requests = [WriterRequest(case.evidence, case.tone, 100 + n) for n, case in enumerate(cases(5))]
        requests.append(requests[0])
        raws = writer.forward([writer.prepare(one) for one in requests])
        texts = [writer.finish(one, raw) for one, raw in zip(requests, raws, strict=True)]
    finally:
        writer.close()
    assert texts[0] == texts[-1]
    assert all(raw.answer is not None and raw.answer.completion_tokens > 10 for raw in raws)
    verdicts = [captions.judge(text, one.evidence) for text, one in zip(texts, requests, strict=True)]
    assert sum(isinstance(verdict, CaptionText) for verdict in verdicts) >= 3
