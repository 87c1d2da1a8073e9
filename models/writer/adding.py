"""`weft models add writer` and `captioner`: a model of transformers from a folder, or one behind a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import yaml

from models.device import stay_offline
from models.encoder.own_folder import check_size, numbers_in
from models.guard import GuardedWriter
from models.profiles.adding import Asked
from models.profiles.checkpoints import copy_checkpoint, copy_run
from models.profiles.kinds import Place
from models.profiles.profile import Part
from models.served import adding as served
from models.weights.hashes import OWN, list_folder
from models.weights.starter import WRITER_BASE, resolve
from models.writer import by_kind
from models.writer.adapters import read_adapter
from models.writer.blip_writer import MODEL_TYPE, model_type
from processors.errors import BadSetting, Fatal


def take(asked: Asked, ready: Path, progress: Callable[[str], None]) -> Part:
    """Copy the folder of an instruct model (writer) or of a vision-language model (captioner); of a server, look whether it writes.

    Raises:
        Fatal: it is no checkpoint; or the server does not answer, refuses us, or lacks the model.
        BadSetting: the command line is wrong.
    """
    if asked.kind == "openai" or asked.source.lower().startswith(("http://", "https://")):
        return served.take(asked, progress)
    if asked.kind not in {"", "transformers", *(("trained", "blip") if asked.part == "writer" else ())}:
        raise BadSetting(f"--kind: {asked.kind} is not taken from a folder")
    source = Path(asked.source).expanduser()
    if asked.part == "writer" and asked.kind != "transformers" and copy_run(source, by_kind.ADAPTER, ready):
        _require_adapter(ready / by_kind.ADAPTER, asked.cache)
        return Part(kind="trained", needs=(WRITER_BASE,), source=source.resolve().name)
    if asked.kind == "trained":
        raise Fatal(f"{source} is no {by_kind.ADAPTER}, and holds none")
    copy_checkpoint(source, ready, progress)
    for needed in ("config.json", "tokenizer.json"):
        if not (ready / needed).is_file():
            raise Fatal(f"{source} has no {needed}: it is no checkpoint of transformers")
    if asked.part == "writer" and (asked.kind == "blip" or model_type(ready) == MODEL_TYPE):
        list_folder(ready, "writer", OWN)
        options = {name: yaml.safe_load(value) for name, value in asked.options.items()}
        stay_offline()
        progress("blip: loading it")
        part = Part(kind="blip", path=str(ready), options=options, source=source.name)
        GuardedWriter(by_kind.blip(part, Place(asked.cache))).warm_up()
        return msgspec.structs.replace(part, path="")
    _require_model(ready, source, asked.part)
    return Part(kind="transformers", source=source.name)


def look(part: Part, place: Place) -> None:
    """See whether a profile's own writer is one, by its configuration and the shapes of its weights. Raises `Fatal`."""
    path = place.path(part)
    if part.kind == "trained":
        _require_adapter(path / by_kind.ADAPTER, place.cache)
    else:
        _require_model(path, path, "writer")


def look_captioner(part: Part, place: Place) -> None:
    """The same of a captioner. Raises `Fatal`."""
    path = place.path(part)
    _require_model(path, path, "captioner")


def _require_model(ready: Path, source: Path, part: str) -> None:
    """Raise `Fatal` where `transformers` has no such model, or the configuration asks for more than the weights hold. Nothing is loaded."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    auto = AutoModelForCausalLM if part == "writer" else AutoModelForImageTextToText
    stay_offline()
    try:
        config = AutoConfig.from_pretrained(ready, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever a configuration of somebody else's makes of it
        raise Fatal(f"{source}: config.json: {str(error).splitlines()[0]}") from error
    weights = sorted(ready.glob("*.safetensors"))
    if getattr(config, "quantization_config", None) is None:  # packed numbers count otherwise
        check_size(ready, weights, lambda: auto.from_config(config, trust_remote_code=False))
    elif not numbers_in(weights):
        raise Fatal(f"{source}: its weights hold no numbers")


def _require_adapter(file: Path, cache: Path) -> None:
    """Raise `Fatal` where it is no adapter of ours, or one for another base."""
    import msgspec
    from safetensors import SafetensorError, safe_open

    from models.weights.four_bits import SOURCE, is_linear

    base = resolve(cache, (WRITER_BASE,)).writer_base / SOURCE
    try:
        changes = read_adapter(file)
    except (SafetensorError, KeyError, msgspec.MsgspecError) as error:
        raise Fatal(f"{by_kind.ADAPTER} is damaged, or none that `weft train writer` has made: {error}") from error
    with safe_open(base, framework="pt") as weights:
        shapes = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys() if is_linear(name)}  # noqa: SIM118
    layers = {name.removesuffix(".weight"): shape for name, shape in shapes.items()}
    changes.require(list(layers))
    for layer, shape in layers.items():
        changes.require_shape(layer, shape)
