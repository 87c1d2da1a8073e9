"""Writers and captioners behind a server: what they ask, what they make of answers, and whose captions they are."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from llguidance import LLMatcher, LLTokenizer
from llguidance.gbnf_to_lark import any_to_lark
from PIL import Image

from models.captioner.by_evidence import captioner_by
from models.ports import CaptionRequest, Remote, WriterRequest
from models.served.answers import Answer, caption_in, held_to, seconds_of
from models.served.by_kind import examined
from models.served.captioner import ServedCaptioner
from models.served.failures import Unanswered
from models.served.options import options_of
from models.served.reply import Reply
from models.served.writer import ServedWriter
from processors import captions
from processors.gbnf import gbnf
from processors.grounded import grammar
from processors.slots import Choice, Seq, expression
from processors.values import Attribute, CaptionText, Colour, Evidence, Garment
from tests.fakes import llm_server as llm
from tests.fakes.llm_server import LlmServer, completion, good_caption
from tests.fixtures.grammars import walk

BOX = (0.0, 0.0, 60.0, 90.0)
NAVY = Colour("navy", "#1c2747", 0.8)
DRESS = Evidence((Garment("g0", "dress", BOX, 0.9, (NAVY,), {"fabric": Attribute("linen", 0.9)}),))
REQUEST = WriterRequest(DRESS, "plain", 7)


@contextmanager
def writer(base_url: str = "http://127.0.0.1:9/v1", **options: Any) -> Iterator[ServedWriter]:
    made = ServedWriter(options_of({"base_url": base_url, "model": llm.MODEL, "retries": 0, **options}))
    try:
        yield made
    finally:
        made.close()


def body_of(made: ServedWriter, request: WriterRequest = REQUEST) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(made.prepare(request))
    return found


def test_a_request_says_facts_sampling_and_seed() -> None:
    """As the options have it, and nothing else."""
    with writer(temperature=0.3, top_p=0.9, max_tokens=99, extra={"top_k": 20}) as made:
        asked = body_of(made)
    messages = asked.pop("messages")
    assert asked == {
        "model": llm.MODEL,
        "temperature": 0.3,
        "top_p": 0.9,
        "max_tokens": 99,
        "seed": 7,
        "stream": False,
        "top_k": 20,
    }
    assert messages[1] == {"role": "user", "content": "dress: navy, linen"}
    assert "plain" in messages[0]["content"]


def test_the_short_prompt_is_the_one_of_the_shipped_writer() -> None:
    """Whoever serves the starter's adapter asks it as it was trained."""
    with writer(prompt="short") as made:
        assert body_of(made)["messages"] == captions.prompt(DRESS, "plain")
        assert made.prompt_fingerprint == captions.PROMPT_FINGERPRINT


def test_prompt_sampling_and_model_make_the_fingerprint() -> None:
    """Captions of another model, prompt or sampling are not taken for those of this one; of another address they are."""
    with writer() as base:
        for change in ({"prompt": "short"}, {"temperature": 0.1}, {"model": "other"}, {"guided": "vllm"}):
            with writer(**change) as other:
                assert other.fingerprint != base.fingerprint
        with writer("https://elsewhere/v1", concurrency=9) as same:
            assert same.fingerprint == base.fingerprint


@pytest.mark.parametrize(
    ("guided", "field"),
    [
        ("vllm", "structured_outputs"),
        ("vllm-guided", "guided_regex"),
        ("llama.cpp", "grammar"),
        ("json", "response_format"),
    ],
)
def test_each_server_is_told_the_form_in_its_words(guided: str, field: str) -> None:
    """One field more; answers that are held to the facts are read as such."""
    with writer(guided=guided) as made:
        assert field in body_of(made)
        assert made.grounded is (guided != "json")


def test_an_answer_in_json_is_a_caption() -> None:
    """Hashtags get their sign; what is no such object is left to the parser."""
    said = {"caption": "A navy linen dress.", "hashtags": ["NavyDress", "#Linen dress"]}
    assert caption_in(json.dumps(said)) == "A navy linen dress.\n#NavyDress #Linendress"
    for text in ("no JSON", "[1]", '{"caption": 3}', "[" * 100_000):
        assert caption_in(text) == text


def test_an_answer_that_was_cut_loses_its_last_word() -> None:
    """Half a hashtag is none."""
    with writer() as made:
        assert made.finish(REQUEST, Reply(Answer("A dress.\n#navy #dre", ended=False))) == "A dress.\n#navy"
        with pytest.raises(Unanswered):
            made.finish(REQUEST, Reply(cause=Unanswered("busy", "later")))


def test_thoughts_are_no_caption() -> None:
    """What a reasoning model says to itself is not published."""
    with (
        LlmServer(lambda _: completion("<think>A coat?</think>\n" + good_caption(DRESS))) as fake,
        writer(fake.base_url) as made,
    ):
        [raw] = made.forward([made.prepare(REQUEST)])
        assert made.finish(REQUEST, raw) == good_caption(DRESS)


def test_a_claim_without_evidence_is_refused_as_every_draft_is() -> None:
    """A server is believed no more than a model of ours."""
    lie = "A red silk coat.\n#coat #red #silk #a #b #c #d #e"
    with LlmServer(lambda _: completion(lie)) as fake, writer(fake.base_url) as made:
        [raw] = made.forward([made.prepare(REQUEST)])
        assert isinstance(captions.judge(made.finish(REQUEST, raw), DRESS), captions.Rejected)


async def test_it_is_asked_from_an_event_loop() -> None:
    """The same answer, and no exception for a server that fails."""
    with LlmServer(lambda _: completion(good_caption(DRESS))) as fake, writer(fake.base_url) as made:
        assert isinstance(made, Remote)
        found = await made.answer(made.prepare(REQUEST))
        assert found.text() == good_caption(DRESS)
        fake.answer = lambda _: llm.Reply(400)
        assert (await made.answer(made.prepare(REQUEST))).cause is not None


# ------------------------------------------------------------------ grammars


@pytest.fixture(scope="module")
def accepts() -> Any:
    """Whether a grammar of llguidance takes a whole text, byte by byte."""
    tokenizer = LLTokenizer("byte")

    def test(compiled: str, text: str) -> bool:
        matcher = LLMatcher(tokenizer, compiled, log_level=0)
        assert not matcher.is_error(), matcher.get_error()
        tokens = tokenizer.tokenize_str(text)
        return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()

    return test


def test_gbnf_allows_the_texts_of_the_grammar_and_no_others(accepts: Any) -> None:
    """The form for llama.cpp says what the expression for vLLM says: read back by another reader of GBNF."""
    node = grammar(DRESS, "plain")
    as_gbnf = LLMatcher.grammar_from_lark(any_to_lark(gbnf(node)))
    sent = held_to("vllm", expression(node), "")["structured_outputs"]["regex"]
    assert "\\#" not in sent
    as_expression = LLMatcher.grammar_from_regex(sent)
    rng = random.Random(5)
    for _ in range(25):
        text = walk(node, rng)
        assert accepts(as_gbnf, text)
        assert accepts(as_expression, text)
        for wrong in (text.replace("navy", "red"), text.replace("dress", "coat"), text + " #x", text[:-1] + "!"):
            assert not accepts(as_gbnf, wrong)
    assert isinstance(captions.judge(walk(node, rng), DRESS, "plain"), CaptionText)


def test_gbnf_of_signs_that_mean_something_in_it(accepts: Any) -> None:
    """A quotation mark or a backslash of a shop's word ends no literal."""
    node = Seq(('5" "tall"', Choice(("\\", "a|b (c)", "é")), "xyy\n#t"))
    compiled = LLMatcher.grammar_from_lark(any_to_lark(gbnf(node)))
    for middle in ("\\", "a|b (c)", "é"):
        assert accepts(compiled, f'5" "tall"{middle}xyy\n#t')
    assert not accepts(compiled, '5" "tall"bx\n#t')


# ------------------------------------------------------------------ captioners


def described(answer: Any) -> tuple[str, list[llm.Asked]]:
    with LlmServer(answer) as fake:
        made = ServedCaptioner(options_of({"base_url": fake.base_url, "model": llm.MODEL, "retries": 0}))
        item = CaptionRequest(DRESS, 3, np.full((40, 30, 3), (200, 30, 40), np.uint8))
        [raw] = made.forward([made.prepare(item)])
        text = made.finish(item, raw)
        made.close()
        return text, [one for one in fake.completions if one.body["max_tokens"] > 16]


def test_a_photo_is_sent_as_a_data_url() -> None:
    """The pixels, as a JPEG, and the question of the paper."""
    text, [asked] = described(lambda _: completion("A red\n\x07 square."))
    assert text == "A red square."
    image, question = asked.body["messages"][0]["content"]
    kind, _, data = image["image_url"]["url"].partition(",")
    photo = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (kind, photo.format, photo.size) == ("data:image/jpeg;base64", "JPEG", (30, 40))
    assert question["text"].startswith("Describe this fashion item")


def test_a_photo_that_nobody_describes_is_described_by_rule() -> None:
    """A triplet needs its words; what is known for sure is said."""
    text, _ = described(lambda _: llm.Reply(500))
    assert "navy" in text


def test_the_writer_describes_triplets_from_its_server() -> None:
    """It is asked on the loop, checked, and replaced by rule where the server fails."""
    with LlmServer(lambda _: completion(good_caption(DRESS))) as fake, writer(fake.base_url) as made:
        captioner = captioner_by(made)
        assert isinstance(captioner, Remote)
        item = CaptionRequest(DRESS, 7)
        [raw] = captioner.forward([captioner.prepare(item)])
        assert captioner.finish(item, raw) == good_caption(DRESS).partition("\n")[0]
        assert "navy" in captioner.finish(item, Reply(cause=Unanswered("timeout", "")))


# ------------------------------------------------------------------ what is told of a server


def found_of(answer: Any, *, models: tuple[str, ...] = (llm.MODEL,), key: str = "", **options: Any) -> str:
    with (
        LlmServer(answer, models=models, key=key) as fake,
        writer(fake.base_url, answer_seconds=30.0, **options) as made,
    ):
        return " ".join(examined(made.server))


def test_what_is_wrong_with_a_server_is_told() -> None:
    """Nothing, of one that writes; else why, and what to do."""
    good = lambda _: completion("yes")  # noqa: E731
    assert found_of(good) == ""
    assert "it has big, small" in found_of(good, models=("big", "small"))
    assert "look at key_file" in found_of(good, key="sk-right")
    assert "unknown field guided" in found_of(lambda _: llm.Reply(422, b'{"detail": "unknown field guided"}'))
    assert "rubbish" in found_of(lambda _: llm.Reply(body=b"<html>It works!</html>"))
    with writer() as nobody:
        assert "cannot be reached" in " ".join(examined(nobody.server))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("9" * 40, None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str | None, seconds: float | None) -> None:
    """RFC 9110; what is neither says nothing."""
    assert seconds_of(said, 10.0) == seconds
