"""The registry of kinds: by which name a part of a profile is loaded how. It imports nothing that a kind needs.

A kind is one line here and one function elsewhere: `load` names it as "module:function", and it takes the part and the `Place`:

    detector   → models.ports.Detector
    encoder    → Towers
    facets     → processors.facets.Heads, or None
    writer     → models.ports.Writer
    captioner  → models.ports.Captioner
    editor     → models.ports.Inpainter, or None where garments are edited without a model

`check`, likewise "module:function" of part and place, is asked by `weft doctor` and gives sentences of what is wrong. `settle` is given the options
when a profile is read, and refuses what their types do not tell. `look` is called by `weft models verify` and says whether a part's own weights are its kind's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from models.profiles.profile import Part, Profile
from processors.errors import Fatal

if TYPE_CHECKING:
    from models.ports import ImageEncoder, TextEncoder, Writer


class Option(NamedTuple):
    """What a kind takes as an option. `least` and `most` bound a number; of `one_of`, where there are any, a text is one."""

    type: Literal["text", "whole", "number", "flag", "words"]
    least: float = 0
    most: float = 1e9
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """How a part is loaded.

    Args:
        about: a sentence for `weft models show`.
        load: "module:function".
        options: that it takes.
        needs: whether a part of this kind has weights: "path" (its own or those of its artefacts), an "address" among
            its options, or "nothing" of its own.
        check: "module:function", or "".
        settle: "module:function" of the options alone, which raises `BadSetting`, or "". It asks nobody and reads no file.
        look: "module:function" of part and place, which raises where the weights are not this kind's, or "": they are not looked into.
    """

    about: str
    load: str
    options: Mapping[str, Option] = field(default_factory=dict)
    needs: Literal["path", "address", "nothing"] = "path"
    check: str = ""
    settle: str = ""
    look: str = ""


class Towers(Protocol):
    """An encoder's models: each is loaded when it is asked for. Text encoders that have no tower refuse each text (`Poison`)."""

    def images(self) -> ImageEncoder: ...
    def texts(self) -> TextEncoder: ...
    def sentences(self) -> TextEncoder:
        """How alike two texts are: for passages of articles."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where models are loaded, and how the process wants them.

    Args:
        cache: the model cache.
        device: see `models.device.choose`.
        batch: how many items are usually done at once.
        grounded: writers that can hold their answers to the evidence do so.
        measured: folder that keeps what was measured on this machine; None: nothing is kept.
        writer: loads the profile's writer, for captioners that use it.
    """

    cache: Path
    device: str = "cpu"
    batch: int = 16
    grounded: bool = False
    measured: Path | None = None
    writer: Callable[[], Writer] | None = None

    def path(self, part: Part) -> Path:
        """The file or folder of a part: as its profile says, or that of its first artefact.

        Raises:
            Fatal: it has neither.
        """
        if part.path:
            return Path(part.path)
        if not part.needs:
            raise Fatal(f"profile {part.profile!r}: a part of the kind {part.kind!r} has no path")
        return self.cache / part.needs[0]


STARTERS = ("starter", "starter-bf16")
"""Kinds of the encoder that ships with Weft."""

_SUPPRESSION = {
    "confidence": Option("number", 0, 1),
    "iou": Option("number", 0, 1),
    "duplicate_iou": Option("number", 0, 1),
}
_SIZE = {"size": Option("whole", 32, 4096)}
_BLIP = {"view": Option("text", one_of=("photo", "garment")), "temperature": Option("number", 0, 2)}
_SERVER = {
    "base_url": Option("text"),
    "model": Option("text"),
    "key_file": Option("text"),
    "ca_file": Option("text"),
    "concurrency": Option("whole", 1, 256),
    "connect_seconds": Option("number", 0, 3600),
    "answer_seconds": Option("number", 0, 3600),
    "deadline_seconds": Option("number", 0, 3600),
    "retries": Option("whole", 0, 10),
    "temperature": Option("number", 0, 2),
    "top_p": Option("number", 0, 1),
    "max_tokens": Option("whole", 16, 4096),
    "seeded": Option("flag"),
    "revision": Option("text"),
    "extra": Option("text"),
    "input_price": Option("number", 0, 1e6),
    "output_price": Option("number", 0, 1e6),
}
"""Of `models.served.options.ServerOptions`, which checks them once more."""
_SETTLE = "models.served.options:options_of"
_LOOK_DETECTOR = "models.detector.by_kind:look"
_LOOK_ENCODER = "models.encoder.by_kind:look"
_LOOK_WRITER = "models.writer.adding:look"
_LOOK_CAPTIONER = "models.writer.adding:look_captioner"
_SERVED_WRITER = _SERVER | {
    "guided": Option("text", one_of=("none", "vllm", "vllm-guided", "llama.cpp", "json")),
    "prompt": Option("text", one_of=("instruct", "short")),
    "rewrites_per_minute": Option("number", 0, 60_000),
}

KINDS: Mapping[str, Mapping[str, Kind]] = {
    "detector": {
        "starter": Kind("ours, shipped with Weft", "models.detector.by_kind:starter", _SUPPRESSION | _SIZE, "nothing"),
        "yolo": Kind("an ultralytics network as safetensors", "models.detector.by_kind:yolo", _SUPPRESSION | _SIZE, look=_LOOK_DETECTOR),
        "onnx": Kind("an ONNX export of a YOLO, through onnxruntime", "models.detector.by_kind:onnx", _SUPPRESSION, look=_LOOK_DETECTOR),
    },
    "encoder": {
        "starter": Kind("ours, shipped with Weft", "models.encoder.by_kind:starter", {}, "nothing"),
        "starter-bf16": Kind("ours, computed in bfloat16", "models.encoder.by_kind:starter_bf16", {}, "nothing"),
        "trained": Kind("our networks, weights of `weft train encoder`", "models.encoder.by_kind:trained", look=_LOOK_ENCODER),
        "open_clip": Kind("a folder in open_clip's layout", "models.encoder.by_kind:open_clip", look=_LOOK_ENCODER),
        "transformers": Kind("a vision-text model of transformers in a folder", "models.encoder.by_kind:transformers", look=_LOOK_ENCODER),
        "timm": Kind("an image tower of timm in a folder: texts are refused", "models.encoder.by_kind:timm", look=_LOOK_ENCODER),
    },
    "facets": {
        "starter": Kind("heads for the starter's encoder, shipped with Weft", "models.facets.by_kind:starter", {}, "nothing"),
        "none": Kind("none: `weft facets fit` makes some", "models.facets.by_kind:none", {}, "nothing"),
    },
    "writer": {
        "starter": Kind("a small language model with our adapter", "models.writer.by_kind:starter", {}, "nothing"),
        "trained": Kind("our small language model, adapter of `weft train writer`", "models.writer.by_kind:trained", look=_LOOK_WRITER),
        "transformers": Kind("an instruct model of transformers", "models.writer.by_kind:transformers", look=_LOOK_WRITER),
        "blip": Kind("BLIP in a folder: it writes from pixels, a baseline", "models.writer.by_kind:blip", _BLIP),
        "openai": Kind(
            "a model behind a server (vLLM, llama.cpp, Ollama …)",
            "models.served.by_kind:writer",
            _SERVED_WRITER,
            "address",
            "models.served.by_kind:examine_writer",
            _SETTLE,
        ),
        "rules": Kind("no model: sentences by rule", "models.writer.by_kind:rules", {}, "nothing"),
    },
    "captioner": {
        "rules": Kind("no model: what is known, by rule", "models.captioner.by_kind:rules", {}, "nothing"),
        "writer": Kind("the profile's writer", "models.captioner.by_kind:writer", {}, "nothing"),
        "transformers": Kind("a vision-language model of transformers", "models.captioner.by_kind:transformers", look=_LOOK_CAPTIONER),
        "openai": Kind(
            "a vision-language model behind a server",
            "models.served.by_kind:captioner",
            _SERVER,
            "address",
            "models.served.by_kind:examine_captioner",
            _SETTLE,
        ),
    },
    "editor": {
        "transfer": Kind("no model: one garment's look is laid onto another", "models.editor.by_kind:transfer", {}, "nothing"),
        "diffusion": Kind("Fashion-RAG on Stable Diffusion 2 inpainting (the extra `edit`)", "models.editor.by_kind:diffusion"),
    },
}  # fmt: skip


def kind_of(name: str, kind: str) -> Kind:
    """Raises `Fatal` with the nearest name where there is none of this name."""
    found = KINDS[name].get(kind)
    if found is None:
        raise Fatal(unknown(f"kind of {name}", kind, tuple(KINDS[name])))
    return found


def unknown(what: str, name: str, known: tuple[str, ...]) -> str:
    """A sentence: there is none of this name; the nearest one, and all."""
    near = get_close_matches(name, known, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"there is no {what} {name!r}{hint}; there are {', '.join(known)}"


def load(name: str, part: Part, place: Place) -> Any:
    """The model of a part (of the type that the head of this module says), its bytes compared with the profile's before.

    Raises:
        Fatal: weights are missing or damaged, or do not fit.
    """
    from models.profiles.held import check

    kind = kind_of(name, part.kind)
    if kind.needs == "path":
        check(place.path(part), part)
    return _function(kind.load)(part, place)


def examine(name: str, part: Part, place: Place) -> tuple[str, ...]:
    """What the kind itself finds wrong, for `weft doctor`; each a sentence."""
    kind = kind_of(name, part.kind)
    return tuple(_function(kind.check)(part, place)) if kind.check else ()


def settle(kind: Kind, options: Mapping[str, Any]) -> None:
    """Raise `BadSetting`, which names the option, where options of the right types are wrong all the same. Asks nobody, reads no file."""
    if kind.settle:
        _function(kind.settle)(options)


def look(name: str, part: Part, place: Place) -> None:
    """See whether a part's own weights, whose bytes are as recorded, are such as its kind loads. Large language models are not loaded for it.

    Raises:
        Fatal, Poison: they are not.
    """
    kind = kind_of(name, part.kind)
    if kind.look:
        _function(kind.look)(part, place)


def notes(profile: Profile, cache: Path) -> tuple[str, ...]:
    """What follows from the company of a profile's parts, and whoever runs it should know; each a sentence."""
    kinds = {name: profile.part(name, cache).kind for name in profile.parts}
    found = []
    if kinds["facets"] == "starter" and kinds["encoder"] not in STARTERS:
        found.append(
            "facets: the heads that ship are for the starter's encoder; unknown until `weft facets fit` makes some"
        )
    if kinds["encoder"] == "timm":
        found.append(
            "queries: the encoder has no text tower: words alone are refused, photos and products are searched by"
        )
    return tuple(found)


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found
