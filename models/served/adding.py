"""`weft models add writer http://host:8000/v1 --model NAME --key-file F`, and the same of a captioner: the server is tried before it is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import yaml

from models.profiles.adding import Asked
from models.profiles.kinds import Place, examine, kind_of
from models.profiles.profile import Part
from models.served.options import options_of
from processors.errors import BadSetting, Fatal

KIND = "openai"


def take(asked: Asked, progress: Callable[[str], None]) -> Part:
    """Ask the server for a few words, and take it if they come.

    Raises:
        Fatal: it does not answer, refuses us, or lacks the model; the sentence says which models it has.
        BadSetting: the command line is wrong.
    """
    if asked.kind not in {"", KIND}:
        raise BadSetting(f"--kind: {asked.kind} is not behind an address")
    if not asked.model:
        raise BadSetting("--model: say which model of the server")
    known = kind_of(asked.part, KIND).options
    if strange := sorted(asked.options.keys() - known.keys()):
        raise BadSetting(f"--option: there is no option {', '.join(strange)}; there are {', '.join(known)}")
    said: dict[str, Any] = {name: _typed(value, known[name].type) for name, value in asked.options.items()}
    said |= {"base_url": asked.source, "model": asked.model}
    if asked.key_file is not None:
        said["key_file"] = str(Path(asked.key_file).expanduser().absolute())
    options = options_of(said)
    said |= {name: value for name in ("base_url", "key_file", "ca_file") if (value := getattr(options, name))}
    part = Part(kind=KIND, options=said, source=options.base_url)
    progress(f"{options.base_url}: asking model {options.model!r} for a few words")
    if wrong := examine(asked.part, part, Place(Path())):
        raise Fatal("; ".join(wrong))
    return msgspec.structs.replace(part, licence=asked.licence)


def _typed(value: str, kind: str) -> Any:
    """A text of the command line as the profile's file has it; what is of another type is refused there, by name."""
    if kind == "text":
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value
