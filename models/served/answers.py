"""What is asked of a server, and what is read of its answers. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from models.served.failures import Unanswered
from models.served.options import Guided, ServerOptions

MOST_BYTES = 2**20
"""Of an answer: a caption has a thousand."""
MOST_SAID = 300
"""Characters of what a server says of an error that are shown."""
MOST_MODELS = 1000
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_THOUGHTS = re.compile(r"^\s*<think>.*?(?:</think>|\Z)", re.DOTALL)

CAPTION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "caption": {"type": "string"},
        "hashtags": {"type": "array", "items": {"type": "string"}, "minItems": 8, "maxItems": 12},
    },
    "required": ["caption", "hashtags"],
    "additionalProperties": False,
}

Count = Annotated[int, Meta(ge=0, le=10**9)]


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Count = 0
    completion_tokens: Count = 0


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: Any = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class Answer(msgspec.Struct, frozen=True):
    """What a server wrote. `ended`: it was not cut off by the limit of tokens."""

    text: str
    ended: bool = True
    prompt_tokens: int = 0
    completion_tokens: int = 0


def request(
    options: ServerOptions,
    messages: Sequence[Mapping[str, Any]],
    *,
    seed: int,
    held: Mapping[str, Any],
    longest: int = 0,
) -> bytes:
    """The body of a request for a completion. `held`: of `held_to`; `longest`: fewer tokens than the options say."""
    asked: dict[str, Any] = {
        "model": options.model,
        "messages": list(messages),
        "temperature": options.temperature,
        "top_p": options.top_p,
        "max_tokens": min(longest or options.max_tokens, options.max_tokens),
        "stream": False,
    }
    if options.seeded:
        asked["seed"] = seed
    return msgspec.json.encode({**options.extra, **held, **asked})


def held_to(guided: Guided, expression: str, gbnf: str) -> dict[str, Any]:
    """The fields that hold an answer to a form, as the server calls them."""
    if guided == "vllm":
        return {"structured_outputs": {"regex": _plain(expression)}}
    if guided == "vllm-guided":
        return {"guided_regex": _plain(expression)}
    if guided == "llama.cpp":
        return {"grammar": gbnf}
    if guided == "json":
        schema = {"name": "caption", "strict": True, "schema": CAPTION_SCHEMA}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return {}


def _plain(expression: str) -> str:
    """Without the escapes that mean nothing outside a class of signs: xgrammar warns of each of them, in each request."""
    return _ESCAPE.sub(lambda found: found[1] if found[1] in "#&~-" else found[0], expression)


def answer_in(body: bytes) -> Answer:
    """What a completion says. Raises `Unanswered`: it is none."""
    try:
        found = msgspec.json.decode(body, type=_Completion)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unanswered("rubbish", f"no completion: {error} ({excerpt(body)})") from None
    if not found.choices:
        raise Unanswered("rubbish", "a completion without choices")
    first = found.choices[0]
    text = _THOUGHTS.sub("", first.message.content or "", count=1).strip()
    if not text:
        raise Unanswered("rubbish", "a completion without text")
    try:
        usage = msgspec.convert(found.usage or {}, _Usage)
    except msgspec.ValidationError:
        usage = _Usage()  # counts that are none cost no caption
    return Answer(text, first.finish_reason != "length", usage.prompt_tokens, usage.completion_tokens)


def models_in(body: bytes) -> tuple[str, ...]:
    """The models that a server has. Raises `Unanswered`."""
    try:
        found = msgspec.json.decode(body, type=_Models)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unanswered("rubbish", f"no list of models: {error} ({excerpt(body)})") from None
    return tuple(model.id[:300] for model in found.data[:MOST_MODELS])


def caption_in(text: str) -> str:
    """Sentences and hashtags of an answer by `CAPTION_SCHEMA`; any other as it is: whoever reads it refuses it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(found, dict) or not isinstance(found.get("caption"), str):
        return text
    tags = found.get("hashtags")
    words = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    return f"{found['caption']}\n{' '.join('#' + ''.join(word.split()).lstrip('#') for word in words)}"


def refusal(status: int, body: bytes, retry_after: str | None, now: float) -> Unanswered:
    """What a status other than 200 means. `now`: seconds since the epoch."""
    said = f"HTTP {status}: {excerpt(body)}" if body.strip() else f"HTTP {status}"
    if 300 <= status < 400:
        return Unanswered(
            "redirect", f"HTTP {status}: it names another address, which is not asked; put that one into base_url"
        )
    if status in (401, 403):
        return Unanswered("key", said)
    if status in (404, 405):
        return Unanswered("model", said)
    if status in (429, 503):
        return Unanswered("busy" if status == 429 else "server_error", said, seconds_of(retry_after, now))
    if status in (408, 425) or status >= 500 or status < 300:
        return Unanswered("server_error", said)
    return Unanswered("refused", said)


def seconds_of(retry_after: str | None, now: float) -> float | None:
    """What a `Retry-After` asks for (RFC 9110, 10.2.3): seconds, or a date; None where it says nothing."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def excerpt(body: bytes) -> str:
    """The message of an error, or its beginning, on one line."""
    text = body[:4000].decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    shown = found if isinstance(found, str) else text
    return "".join(sign if sign.isprintable() else " " for sign in " ".join(shown.split()))[:MOST_SAID]
