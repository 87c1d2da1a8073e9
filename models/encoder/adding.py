"""`weft models add encoder FOLDER`: whose layout it is, whether it loads, and what space it makes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from models.device import stay_offline
from models.encoder import by_kind
from models.encoder.full_encoder import CONFIG as OPEN_CLIP
from models.encoder.full_encoder import WEIGHTS as OPEN_CLIP_WEIGHTS
from models.encoder.own_folder import NoTexts, configuration
from models.guard import GuardedImageEncoder, GuardedTextEncoder
from models.profiles.adding import Asked
from models.profiles.checkpoints import copy_checkpoint, copy_run
from models.profiles.kinds import Place
from models.profiles.profile import Part
from models.weights.hashes import OWN, list_folder
from models.weights.starter import IMAGE_TRUNK, TEXT_TOWER
from processors.errors import BadSetting, Fatal
from processors.values import Vector

KINDS = {
    "trained": by_kind.trained,
    "open_clip": by_kind.open_clip,
    "transformers": by_kind.transformers,
    "timm": by_kind.timm,
}


def take(asked: Asked, ready: Path, progress: Callable[[str], None]) -> Part:
    """Copy it, load it and try it.

    Raises:
        BadSetting: it is no encoder's kind.
        Fatal: it is refused; says why.
    """
    if asked.kind and asked.kind not in KINDS:
        raise BadSetting(f"--kind: an encoder from a folder is {' or '.join(KINDS)}")
    source = Path(asked.source).expanduser()
    kind = asked.kind
    if kind in {"", "trained"} and copy_run(source, by_kind.WEIGHTS, ready):
        kind = "trained"
    elif kind == "trained":
        raise Fatal(f"{source} is no {by_kind.WEIGHTS}, and holds none")
    else:
        copy_checkpoint(source, ready, progress)
        kind = kind or kind_of(ready)
    if kind == "open_clip":
        _only_open_clip(ready)
    list_folder(ready, "encoder", OWN)
    # Words of articles are compared by a tower that was made for sentences, whatever the encoder is.
    needs = (TEXT_TOWER, IMAGE_TRUNK) if kind == "trained" else (TEXT_TOWER,)
    part = Part(kind=kind, path=str(ready), needs=needs, source=source.resolve().name)
    stay_offline()
    progress(f"{kind}: loading it")
    said = _tried(part, asked.cache)
    return msgspec.structs.replace(part, path="", why=said)


def kind_of(folder: Path) -> str:
    """Whose layout a folder has. Raises `Fatal` where it is nobody's."""
    if (folder / OPEN_CLIP).is_file():
        return "open_clip"
    if not (folder / "config.json").is_file():
        raise Fatal(f"{folder}: neither {OPEN_CLIP} nor config.json lies there: it is no checkpoint of an encoder")
    said = configuration(folder / "config.json")
    if "architecture" in said and "model_type" not in said:
        return "timm"
    if "model_type" in said:
        return "transformers"
    raise Fatal("config.json names neither model_type (transformers) nor architecture (timm)")


def _only_open_clip(ready: Path) -> None:
    """One file of weights under open_clip's name; a second copy for another library is left out."""
    wanted = ready / OPEN_CLIP_WEIGHTS
    others = [path for path in ready.glob("*.safetensors") if path != wanted]
    if not wanted.is_file():
        named = [path for path in others if path.name.startswith("open_clip")] or others
        if len(named) != 1:
            raise Fatal(f"{OPEN_CLIP_WEIGHTS} is missing")
        named[0].rename(wanted)
    for path in others:
        path.unlink(missing_ok=True)


def _tried(part: Part, cache: Path) -> str:
    """A sentence: what it is like. Raises `Fatal` where it does not do what an encoder must."""
    towers = KINDS[part.kind](part, Place(cache))
    images, texts = GuardedImageEncoder(towers.images()), towers.texts()
    # Before they are compared with one another: no number is not itself, which looks like another order.
    light, dark = images.run([images.example(), 255 - images.example()])
    _check_pair("photos", light, dark)
    images.warm_up([images.example(), images.example()[:, ::-1].copy()])
    if not isinstance(texts, NoTexts):
        guarded = GuardedTextEncoder(texts)
        _check_pair("texts", *guarded.run([texts.example(), "black leather shoes"]))
        guarded.warm_up()
    started = time.perf_counter()
    vector = images.run([images.example()])[0]
    seconds = time.perf_counter() - started
    if not np.isfinite(vector).all() or texts.dimension != images.dimension:
        raise Fatal("its towers make no vectors of one space: not finite, or of two lengths")
    words = "no text tower: queries by photo and product only" if isinstance(texts, NoTexts) else "photos and texts"
    return f"{images.dimension} dimensions, {words}, {seconds * 1000:.0f} ms a photo when it was added"


def _check_pair(what: str, one: Vector, other: Vector) -> None:
    """Raise `Fatal` where two things that differ are no two vectors of length one: everything would be found for everything."""
    lengths = [float(np.linalg.norm(vector)) for vector in (one, other)]
    if not all(np.isfinite(length) and abs(length - 1) < 0.01 for length in lengths):
        raise Fatal(
            f"it makes no vectors of {what}: not finite, or nothing but zeros (weights, mean or deviation are wrong)"
        )
    if np.array_equal(one, other):
        raise Fatal(f"it makes the same vector of two {what} that differ: its weights or its preprocessing are wrong")
