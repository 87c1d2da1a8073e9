"""How a server is asked: the `options` of a profile's writer or captioner of kind `openai`."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from processors.errors import BadSetting

Guided: TypeAlias = Literal["none", "vllm", "vllm-guided", "llama.cpp", "json"]
"""How an answer is held to a form: by the regular expression of its evidence (vLLM: `structured_outputs`, before 0.11 `guided_regex`), the
same as a GBNF grammar (llama.cpp), or a JSON schema of caption and hashtags (`response_format`), which says nothing of the facts."""

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=3600)]
Price: TypeAlias = Annotated[float, Meta(ge=0, le=1e6)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=300, pattern=r"\S")]

_PLAIN = re.compile(r"""[^\s\\<>"^`{|}]+""")
MOST_KEY_BYTES = 8192
_OURS = frozenset({"model", "messages", "stream", "n", "temperature", "top_p", "max_tokens", "seed"})
"""Fields of a request that `extra` must not name: they have options of their own, or would change what is read."""


class ServerOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """See docs/models/servers.md.

    Args:
        base_url: where `/chat/completions` and `/models` lie, e.g. `http://llm:8000/v1`. Nothing else is ever asked.
        model: its name on the server.
        key_file: a file with the key, read again whenever it changes; "": no key is sent.
        ca_file: certificates (PEM) that the server is checked against; "": the public ones.
        concurrency: requests at once.
        connect_seconds: longest until a connection stands.
        answer_seconds: longest until an answer is there, whole.
        deadline_seconds: the same of a caption, with all further attempts.
        retries: further attempts.
        temperature, top_p, max_tokens: of the sampling.
        seeded: whether a seed is sent.
        guided: see `Guided`.
        prompt: `instruct` says what a caption is like, `short` is what the starter's adapter was trained with.
        revision: names the weights that the server has now: change it, and captions are written again.
        extra: more fields of each request, e.g. `{"chat_template_kwargs": {"enable_thinking": false}}`.
        input_price, output_price: of a million tokens, in whatever currency.
        rewrites_per_minute: most captions a minute that are asked for again once the server is back.
    """

    base_url: str
    model: Name
    key_file: str = ""
    ca_file: str = ""
    concurrency: Annotated[int, Meta(ge=1, le=256)] = 4
    connect_seconds: Seconds = 5.0
    answer_seconds: Seconds = 60.0
    deadline_seconds: Seconds = 120.0
    retries: Annotated[int, Meta(ge=0, le=10)] = 2
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.7
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, Meta(ge=16, le=4096)] = 320
    seeded: bool = True
    guided: Guided = "none"
    prompt: Literal["instruct", "short"] = "instruct"
    revision: Annotated[str, Meta(max_length=200)] = ""
    extra: dict[str, Any] = {}
    input_price: Price = 0.0
    output_price: Price = 0.0
    rewrites_per_minute: Annotated[float, Meta(gt=0, le=60_000)] = 300.0

    @property
    def output(self) -> str:
        """All that changes a text, but the prompt: for fingerprints. Where the server lies does not."""
        said = [
            self.model,
            self.revision,
            self.temperature,
            self.top_p,
            self.max_tokens,
            self.seeded,
            self.guided,
            self.extra,
        ]
        return msgspec.json.encode(said, order="sorted").decode()


def options_of(found: Mapping[str, Any]) -> ServerOptions:
    """Check options as they stand in a profile. `extra` may be JSON in a text.

    Raises:
        BadSetting: names the option.
    """
    said = dict(found)
    try:
        if isinstance(said.get("extra"), str):
            said["extra"] = msgspec.json.decode(said["extra"])
        options = msgspec.convert(said, ServerOptions)
    except msgspec.ValidationError as error:
        raise BadSetting(f"options of a server: {error}".replace("`$.", "`")) from None
    except msgspec.DecodeError as error:
        raise BadSetting(f"extra: no JSON: {error}") from None
    if clash := sorted(_OURS & options.extra.keys()):
        raise BadSetting(f"extra: {', '.join(clash)} has an option of its own, or is not to be changed")
    if options.answer_seconds > options.deadline_seconds:
        raise BadSetting("deadline_seconds: less than answer_seconds, the time of one attempt")
    paths = {name: _path(name, value) for name in ("key_file", "ca_file") if (value := getattr(options, name))}
    return msgspec.structs.replace(options, base_url=_address(options.base_url), **paths)


def _path(name: str, value: str) -> str:
    if "\0" in value:
        raise BadSetting(f"{name}: no path holds a zero byte")
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise BadSetting(f"{name}: {value!r} depends on where the process is started: write the whole path")
    return str(path)


def _address(text: str) -> str:
    """The base of all addresses. Raises `BadSetting`."""
    text = text.strip()
    if not text.isprintable() or not _PLAIN.fullmatch(text):
        # urlsplit drops tabs and line ends, and a request with a space in its first line is another request.
        raise BadSetting(
            'base_url: no address: it holds a space, a sign that is not printed, or one of \\ < > " ^ ` { | }'
        )
    try:
        found = urlsplit(text)
        port = found.port
    except ValueError as error:
        raise BadSetting(f"base_url: no address: {error}") from None
    if found.username is not None or found.password is not None:
        raise BadSetting("base_url: no user or password in it; put the key into a file, and name that in key_file")
    if found.scheme not in {"http", "https"} or not found.hostname:
        raise BadSetting(f"base_url: {text[:200]!r} is no http:// or https:// address")
    if port == 0 or not _is_host(found.hostname):
        raise BadSetting(f"base_url: no address: {found.netloc[:200]!r} is no host that could be asked")
    if found.query or found.fragment:
        raise BadSetting("base_url: nothing behind ? or # is kept; it ends with the path, usually /v1")
    host = f"[{found.hostname}]" if ":" in found.hostname else found.hostname
    place = host if port is None else f"{host}:{port}"
    return f"{found.scheme}://{place}{found.path.rstrip('/')}"


def _is_host(host: str) -> bool:
    """Whether a name could be looked up at all; an address in brackets was checked by `urlsplit`."""
    labels = host.removesuffix(".").split(".")
    return ":" in host or (len(host) <= 253 and "%" not in host and all(0 < len(label) <= 63 for label in labels))


class KeyFile:
    """A key in a file that may be changed at any time. Shows it to nobody but `header`.

    Args:
        path: of the file; "": there is none.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._key = ""

    def __repr__(self) -> str:
        return f"KeyFile({self._path!r})"

    def header(self) -> dict[str, str]:
        """What to send; {} without a key. Blocks for a moment.

        Raises:
            BadSetting: the file cannot be read, or holds no key.
        """
        if not self._path:
            return {}
        try:
            now = Path(self._path).stat()
            seen = (now.st_ino, now.st_size, now.st_mtime_ns)
            if seen != self._seen:
                self._key = _key_in(self._path)
                self._seen = seen
        except BadSetting:
            if not self._key:
                raise  # else it is being written: the one of before holds until it is whole
        except OSError as error:
            raise BadSetting(f"key_file: {self._path} cannot be read: {error.strerror}") from None
        return {"Authorization": f"Bearer {self._key}"}

    def hidden(self, text: str) -> str:
        """The text without the key, whoever repeated it."""
        return text.replace(self._key, "***") if self._key else text


def _key_in(path: str) -> str:
    with Path(path).open("rb") as file:
        data = file.read(MOST_KEY_BYTES + 1)
    key = data.decode("ascii", "replace").strip()
    if not key or len(data) > MOST_KEY_BYTES or not all("!" <= sign <= "~" for sign in key):
        raise BadSetting(f"key_file: {path} does not hold one key: a line of printable characters")
    return key


def tls_of(options: ServerOptions) -> ssl.SSLContext | bool:
    """What the server's certificate is checked with. Raises `BadSetting`."""
    if not options.ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise BadSetting(f"ca_file: {options.ca_file} holds no certificates: {error}") from None
