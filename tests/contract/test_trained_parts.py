"""Weights of a run of `weft train` as parts of a profile: taken, loaded over the starter's bases, and refused where they do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from infra.settings import Settings
from models.guard import ignore
from models.profiles.adding import Asked, add
from models.weights.starter import BASES, shipped_path
from processors.errors import Fatal
from streams.wiring.models import Models


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A model cache of its own, with the starter's bases."""
    found = tmp_path / "cache"
    found.mkdir()
    for name in BASES:
        (found / name).symlink_to(Settings().model_cache / name)
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a run leaves: here the weights that ship, one of them changed, so that it is another space."""
    folder = tmp_path / "run"
    folder.mkdir()
    tensors = load_file(shipped_path("encoder.safetensors"))
    tensors["text.proj.2.weight"] = -tensors["text.proj.2.weight"]
    with safe_open(shipped_path("encoder.safetensors"), framework="np") as file:
        save_file(tensors, folder / "encoder.safetensors", metadata=file.metadata())
    (folder / "last.safetensors").write_bytes(b"a checkpoint to go on from")
    shutil.copyfile(shipped_path("writer.safetensors"), folder / "writer.safetensors")
    return folder


def take(cache: Path, part: str, source: Path, **asked: str) -> str:
    """The kind that it was taken as."""
    return add(Asked(part, str(source), profile="ours", **asked), cache, progress=lambda _: None).kind  # type: ignore[arg-type]


def test_an_encoder_that_was_trained_is_served(cache: Path, run: Path) -> None:
    """Photos as before, for their tower is; words the other way round, and a fingerprint of their own."""
    assert take(cache, "encoder", run) == "trained"
    own, starter = (
        Models(Settings(profile=name, model_cache=cache, device="cpu"), lambda _: ignore)
        for name in ("ours", "starter")
    )
    assert own.image_encoder.fingerprint != starter.image_encoder.fingerprint
    photo = own.image_encoder.example()

    def vectors(models: Models) -> tuple[np.ndarray, np.ndarray]:
        images, texts = models.image_encoder, models.text_encoder
        [seen] = images.forward([images.prepare(photo)])
        [read] = texts.forward([texts.prepare("a red dress")])
        return images.finish(photo, seen), texts.finish("a red dress", read)

    for mine, theirs, sign in zip(vectors(own), vectors(starter), (1, -1), strict=True):
        np.testing.assert_allclose(mine, sign * theirs, atol=1e-6)


def test_an_adapter_is_taken_for_its_base_only(cache: Path, run: Path) -> None:
    """As a file or in its folder; a damaged one, one for another base, and none are refused, and leave the profile as it was."""
    assert take(cache, "writer", run) == take(cache, "writer", run / "writer.safetensors") == "trained"
    before = (cache / "profiles" / "ours" / "profile.yaml").read_text()
    with safe_open(run / "writer.safetensors", framework="np") as file:
        metadata = file.metadata()
    tensors = load_file(run / "writer.safetensors")
    name = next(name for name in tensors if name.endswith("lora_B"))
    save_file({**tensors, name: tensors[name][:-1]}, run / "writer.safetensors", metadata=metadata)
    with pytest.raises(Fatal, match="does not fit this base"):
        take(cache, "writer", run)
    (run / "writer.safetensors").write_bytes((run / "writer.safetensors").read_bytes()[:5000])
    with pytest.raises(Fatal, match="damaged"):
        take(cache, "writer", run)
    with pytest.raises(Fatal, match="no adapter"):
        take(cache, "writer", shipped_path("encoder.safetensors"))
    with pytest.raises(Fatal, match="no kind of captioner"):
        take(cache, "captioner", run, kind="trained")
    assert (cache / "profiles" / "ours" / "profile.yaml").read_text() == before


def test_weights_that_do_not_fit_are_refused(cache: Path, run: Path) -> None:
    """A tensor of another shape; a folder without weights."""
    tensors = load_file(run / "encoder.safetensors")
    save_file({**tensors, "text.proj.2.weight": tensors["text.proj.2.weight"][:-1]}, run / "encoder.safetensors")
    with pytest.raises(Fatal, match=r"text\.proj|does not fit"):
        take(cache, "encoder", run)
    (run / "encoder.safetensors").unlink()
    with pytest.raises(Fatal, match="holds none"):
        take(cache, "encoder", run, kind="trained")
