"""`weft models add writer` and `captioner`: a model of transformers from a folder, or one behind a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.profiles.adding import Asked
from models.profiles.checkpoints import copy_checkpoint
from models.profiles.profile import Part
from models.served import adding as served
from processors.errors import BadSetting, Fatal


def take(asked: Asked, ready: Path, progress: Callable[[str], None]) -> Part:
    """Copy the folder of an instruct model (writer) or of a vision-language model (captioner); of a server, look whether it writes.

    Raises:
        Fatal: it is no checkpoint; or the server does not answer, refuses us, or lacks the model.
        BadSetting: the command line is wrong.
    """
    if asked.kind == "openai" or asked.source.lower().startswith(("http://", "https://")):
        return served.take(asked, progress)
    if asked.kind not in {"", "transformers"}:
        raise BadSetting(f"--kind: {asked.kind} is not taken from a folder")
    source = Path(asked.source).expanduser()
    copy_checkpoint(source, ready, progress)
    for needed in ("config.json", "tokenizer.json"):
        if not (ready / needed).is_file():
            raise Fatal(f"{source} has no {needed}: it is no checkpoint of transformers")
    return Part(kind="transformers", source=source.name)
