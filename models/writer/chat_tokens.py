"""Chat messages → token ids and back, by the tokenizer and the chat template of a base.

With `tokenizers` and `jinja2` alone, which `transformers` uses for the same: importing its tokenizers takes ten times as
long as the rest of the writer's start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from processors.errors import Fatal

END_OF_TURN = "<|im_end|>"
TEMPLATE = "chat_template.jinja"
CONFIG = "tokenizer_config.json"


class ChatTokens:
    """The tokenizer of an instruct model.

    Args:
        base: folder with `tokenizer.json` and, in `chat_template.jinja` or `tokenizer_config.json`, a chat template.

    Raises:
        Fatal: a file is missing or none, there is no chat template, or no end of a turn.
    """

    def __init__(self, base: Path) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        except Exception as error:  # tokenizers raises bare Exceptions
            raise Fatal(f"{base / 'tokenizer.json'} is no tokenizer: {error}") from error
        config = _config_of(base)
        self._specials = {
            name: _text(config[name])
            for name in ("bos_token", "eos_token", "unk_token", "pad_token")
            if config.get(name)
        }
        self._template = _compiled(_template_of(base, config), base)
        self.end = self._end_of_turn(base)

    def encode(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """The ids of a conversation that goes on with the assistant's answer."""
        return self.ids(self.render(messages))

    def ids(self, text: str) -> tuple[int, ...]:
        """The ids of a text as it is."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The conversation as the template writes it. Raises jinja2's `TemplateError` where the template refuses it."""
        return str(self._template.render(messages=messages, add_generation_prompt=True, **self._specials))

    def decode(self, ids: Sequence[int]) -> str:
        """The text, without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def takes_system_role(self) -> bool:
        """Some templates (Gemma's) refuse a system message: there it goes before the user's."""
        from jinja2.exceptions import TemplateError

        try:
            self.render([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a dress"}])
        except TemplateError:
            return False
        return True

    def _end_of_turn(self, base: Path) -> int:
        """ChatML's end of turn where the vocabulary has it; else what the tokenizer ends with, as other templates do."""
        for token in (END_OF_TURN, self._specials.get("eos_token", "")):
            found = self._tokenizer.token_to_id(token)
            if found is not None:
                return int(found)
        raise Fatal(f"{base}: its tokenizer knows no end of a turn")


def _config_of(base: Path) -> dict[str, Any]:
    path = base / CONFIG
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        raise Fatal(f"{path} is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _text(token: Any) -> str:
    """A special token stands there as its text, or as an object that describes it."""
    return str(token["content"]) if isinstance(token, dict) else str(token)


def _template_of(base: Path, config: Mapping[str, Any]) -> str:
    path = base / TEMPLATE
    template = path.read_text(encoding="utf-8") if path.is_file() else config.get("chat_template")
    if isinstance(template, list):  # several, by name
        template = {str(one["name"]): one["template"] for one in template}.get("default")
    if not template:
        raise Fatal(f"{base}: its tokenizer has no chat template; the writer needs an instruct model")
    return str(template)


def _compiled(template: str, base: Path) -> Any:
    """In jinja2's sandbox, with the settings and names that templates are written for (transformers' documentation).

    But `strftime_now`: a prompt with today's date would write another caption tomorrow. Templates ask whether it is there.
    """
    import jinja2
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = lambda value, **kind: json.dumps(value, ensure_ascii=False, **kind)
    try:
        return environment.from_string(template)
    except jinja2.exceptions.TemplateError as error:
        raise Fatal(f"{base}: its chat template cannot be read: {error}") from error
