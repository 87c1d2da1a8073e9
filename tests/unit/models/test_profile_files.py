"""Profiles as files: what is read, what is refused with line and column, how they extend one another, and how a part is added."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.settings import Settings
from models.profiles import kinds
from models.profiles.adding import Asked, add
from models.profiles.held import verify
from models.profiles.kinds import KINDS
from models.profiles.profile import PART_NAMES, Profile
from models.profiles.reading import BUILT_IN, canonical, file_of, find, names, parse
from models.recipes import blip_tiny
from models.weights.hashes import MARKER, list_folder, sha256_of
from models.weights.starter import BASES, shipped_path
from processors.errors import BadSetting, Fatal
from processors.plain_yaml import YamlProblem
from streams.ops.profile_show import shown
from streams.wiring.models import PartsLoader, shipped_heads, words_of
from tests.fixtures import tiny_llama

SHA = "a" * 64
STARTER = find("starter", Path("/nowhere"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A model cache in which the starter's bases have folders."""
    for name in BASES:
        (tmp_path / "cache" / name).mkdir(parents=True)
    return tmp_path / "cache"


def written(folder: Path, text: str) -> str:
    """A profile's file; gives its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "profile.yaml").write_text(text)
    return str(folder / "profile.yaml")


def _kinds(profile: Profile) -> list[str]:
    """Of the parts that this file is about."""
    return [profile.parts[name].kind for name in ("detector", "encoder", "facets", "writer", "captioner")]


def own_detector(folder: Path, name: str = "detector") -> str:
    """A folder of weights with its list; gives the list's hash."""
    (folder / name).mkdir(parents=True)
    (folder / name / "model.safetensors").write_bytes(b"weights")
    list_folder(folder / name, name, "own")
    return sha256_of(folder / name / MARKER)


def test_the_old_names_are_profiles_with_every_part() -> None:
    """Names, kinds and artefacts of what ran before there were files."""
    found = {name: find(name, Path("/nowhere")) for name in BUILT_IN}
    assert all(tuple(profile.parts) == PART_NAMES for profile in found.values())
    kinds_of = {name: _kinds(profile) for name, profile in found.items()}
    assert kinds_of == {
        "starter": ["starter", "starter", "starter", "starter", "rules"],
        "starter-bf16": ["starter", "starter-bf16", "starter", "starter", "rules"],
        "full": ["yolo", "open_clip", "none", "transformers", "transformers"],
    }
    starter = {one.name for one in found["starter"].artefacts}
    assert {one.name for one in found["starter-bf16"].artefacts} == starter
    assert starter == {*BASES, "detector", "encoder", "facets", "writer"}
    before = {
        "fashion-siglip",
        "qwen2.5-1.5b-instruct",
        "yolo11-garments",
        "fashion-blip2",
        "vision-captioner",
        "detector",
    }
    assert before <= {one.name for one in found["full"].artefacts}


def test_an_optional_part_gives_way_to_the_one_below(cache: Path) -> None:
    """Without a YOLO11 of one's own the starter's detector serves, without a vision model the rules."""
    full = find("full", cache)
    assert [full.part(name, cache).kind for name in ("detector", "captioner")] == ["starter", "rules"]
    (cache / "yolo11-garments").mkdir()
    assert full.part("detector", cache).kind == "yolo"


def test_a_mixed_profile_takes_what_it_does_not_name_from_below(cache: Path, tmp_path: Path) -> None:
    """A detector of one's own with the starter's encoder and a writer by rule."""
    sha = own_detector(tmp_path / "shop")
    file = written(
        tmp_path / "shop",
        f"name: our-shop\nextends: starter\nparts:\n  detector:\n    kind: yolo\n    path: detector\n    sha256: {sha}\n"
        "    options: {confidence: 0.25, size: 640}\n  writer: {kind: rules}\n",
    )
    found = find(file, cache)
    assert _kinds(found) == ["yolo", "starter", "starter", "rules", "rules"]
    assert [name for name, part in found.parts.items() if part.profile == "our-shop"] == ["detector", "writer"]
    assert found.parts["detector"].path == str(tmp_path / "shop" / "detector")
    assert found.parts["detector"].options == {"confidence": 0.25, "size": 640}
    # What it needs is fetched by `weft models pull`, and nothing else.
    assert {one.name for one in found.artefacts} == {"encoder", "all-minilm-l6-v2", "efficientnet-lite0", "facets"}
    settings = Settings(profile=file, model_cache=cache, device="cpu")
    assert type(PartsLoader(settings).writer()).__name__ == "RuleWriter"
    assert shipped_heads(settings) is not None
    assert type(words_of(settings, object())).__name__ == "OneThread"  # type: ignore[arg-type]
    with pytest.raises(Fatal, match="no detector of ours: its header lacks"):
        PartsLoader(settings).detector()


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("", (1, 1), "is empty"),
        ("parts: {}", (1, 1), "name is missing"),
        ("name: a b", (1, 7), "a name has at most"),
        ("name: x\nextend: starter", (2, 1), "there is no field 'extend'"),
        ("name: x", (1, 1), "names no detector, no encoder, no facets, no writer, no captioner"),
        ("name: x\nextends: starter\nparts:\n  detektor: {kind: yolo}", (4, 3), "there is no field 'detektor'"),
        ("name: x\nextends: starter\nparts:\n  detector: {kind: yolov}", (4, 20), "no kind of detector 'yolov' (did you mean yolo?)"),
        ("name: x\nextends: starter\nparts:\n  detector: {}", (4, 13), "kind is missing"),
        ("name: x\nextends: starter\nparts:\n  detector: {kind: yolo}", (4, 13), "path is missing"),
        ("name: x\nextends: starter\nparts:\n  detector: {kind: yolo, path: d}", (4, 13), "sha256 is missing"),
        (f"name: x\nextends: starter\nparts:\n  detector: {{kind: yolo, path: d, sha256: {SHA[1:]}}}", (4, 43), "has 64 digits"),
        (f"name: x\nextends: starter\nparts:\n  writer: {{kind: rules, path: d, sha256: {SHA}}}", (4, 31), "rules takes no path"),
        ("name: x\nextends: starter\nparts:\n  detector: {kind: starter, options: {confidence: 1.5}}", (4, 51), "a number from 0 to 1"),
        ("name: x\nextends: starter\nparts:\n  detector: {kind: starter, options: {confidance: 1}}", (4, 39), "no field 'confidance'"),
        ("name: x\nextends: starter\nparts:\n  writer: {kind: rules, options: {a: 1}}", (4, 34), "rules takes no options"),
        ("name: x\nname: y", (2, 1), "a second time"),
        ("name: &a x\nabout: *a", (2, 8), "aliases are not read"),
        ("name: [x", (1, 9), "is no YAML"),
        ("name: x\nextends: starter\nartefacts: [{name: ../x, kind: hub, source: a, licence: b, why: c}]", (3, 20), "a name has"),
        (
            "name: x\nextends: starter\nartefacts: [{name: x, kind: hub, source: a, licence: b, why: c, files: [{path: ../../x}]}]",
            (3, 80),
            "a path below",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_has_a_line_and_a_column(text: str, place: tuple[int, int], told: str) -> None:
    """And the nearest word that is known."""
    with pytest.raises(YamlProblem) as error:
        parse(text, Path("/x/profile.yaml"))
    assert told in str(error.value)
    assert (error.value.line, error.value.column) == place


@pytest.mark.parametrize("part", ["writer", "captioner"])
@pytest.mark.parametrize(
    ("options", "wrong", "told"),
    [
        ('base_url: "ftp://llm", model: m', "base_url", "no http:// or https://"),
        ('model: m, base_url: "file:///etc/passwd"', "base_url", "no http:// or https://"),
        ('base_url: "http:///v1", model: m', "base_url", "no http:// or https://"),
        ('base_url: "http://my host/v1", model: m', "base_url", "holds a space"),
        ('base_url: "http://me:pw@llm/v1", model: m', "base_url", "no user or password"),
        ('base_url: "http://llm:99999/v1", model: m', "base_url", "out of range"),
        ('base_url: "http://llm:0/v1", model: m', "base_url", "no host that could be asked"),
        ('base_url: "http://llm..shop/v1", model: m', "base_url", "no host that could be asked"),
        ('base_url: "http://llm/v1"', "", "`model`"),
        ("model: m", "", "`base_url`"),
        ('base_url: "http://llm/v1", model: m, answer_seconds: 0', "answer_seconds", "`answer_seconds`"),
        ('base_url: "http://llm/v1", model: m, answer_seconds: .nan', "answer_seconds", "a number from"),
        ('base_url: "http://llm/v1", model: m, concurrency: -1', "concurrency", "a whole number from 1"),
        ('base_url: "http://llm/v1", model: m, key_file: key', "key_file", "write the whole path"),
        ('base_url: "http://llm/v1", model: m, extra: "{"', "extra", "no JSON"),
    ],
)
def test_options_of_a_server_are_checked_when_they_are_read(part: str, options: str, wrong: str, told: str) -> None:
    """A profile that is written by hand passed `show` and `verify`, and ended a role. The place is that of the option, or of all that lack one."""
    line = f"    {{kind: openai, options: {{{options}}}}}"
    text = f"name: x\nextends: starter\nparts:\n  {part}:\n{line}"
    before = f"{wrong}: " if wrong else "options: "
    column = line.index(before) + len(before) + 1
    with pytest.raises(YamlProblem) as error:
        parse(text, Path("/x/profile.yaml"))
    assert told in str(error.value)
    assert "pw" not in error.value.problem
    assert (error.value.line, error.value.column) == (5, column)


@pytest.mark.parametrize("part", ["writer", "captioner"])
def test_a_server_without_options_is_refused_in_its_place(part: str) -> None:
    """It has no address."""
    with pytest.raises(YamlProblem, match=r"line 4.*base_url"):
        parse(f"name: x\nextends: starter\nparts:\n  {part}: {{kind: openai}}", Path("/x/profile.yaml"))


def test_a_good_server_in_a_file_is_read() -> None:
    """As `weft models add` writes it."""
    said = {"base_url": "http://[::1]:8000/v1", "model": "a/b", "answer_seconds": 300, "deadline_seconds": 600}
    text = yaml.safe_dump({"name": "x", "extends": "starter", "parts": {"writer": {"kind": "openai", "options": said}}})
    assert parse(text, Path("/x/profile.yaml")).parts["writer"].options == said


def problems_of(part: str, kind: str, path: str, sha256: str, cache: Path) -> list[str]:
    """What `weft models verify` says of a part of a profile that is written by hand."""
    said = {"name": "shop", "extends": "starter", "parts": {part: {"kind": kind, "path": path, "sha256": sha256}}}
    file = written(cache.parent / "hand", yaml.safe_dump(said))
    return [one.message for one in verify(find(file, cache), cache) if str(one.path) == path]


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ("detector", "yolo"),
        ("detector", "onnx"),
        ("encoder", "open_clip"),
        ("encoder", "transformers"),
        ("encoder", "timm"),
        ("encoder", "trained"),
        ("writer", "transformers"),
        ("writer", "trained"),
        ("captioner", "transformers"),
    ],
)
def test_verify_says_what_is_no_model_of_its_kind(part: str, kind: str, cache: Path, tmp_path: Path) -> None:
    """Its hash is right, and it is any file: that was "as recorded", and the first role ended on it."""
    sha256 = own_detector(tmp_path, "folder")
    (tmp_path / "file").write_bytes(b"no weights")
    for path, digest in ((tmp_path / "folder", sha256), (tmp_path / "file", sha256_of(tmp_path / "file"))):
        (found,) = problems_of(part, kind, str(path), digest, cache)
        assert f"it is no {part} of the kind {kind}: " in found


def test_verify_has_nothing_to_say_of_a_model_of_its_kind(cache: Path, tmp_path: Path) -> None:
    """A writer by its shapes, and the shipped detector under another name by loading it; changed, its hash is told and no more."""
    (tmp_path / "model").mkdir()
    model = tiny_llama.build(tmp_path / "model")
    assert problems_of("writer", "transformers", str(model), sha256_of(model / MARKER), cache) == []
    (tmp_path / "ours").mkdir()
    shutil.copyfile(shipped_path("detector.safetensors"), tmp_path / "ours" / "model.safetensors")
    list_folder(tmp_path / "ours", "detector", "own")
    digest = sha256_of(tmp_path / "ours" / MARKER)
    assert problems_of("detector", "yolo", str(tmp_path / "ours"), digest, cache) == []
    (found,) = problems_of("detector", "yolo", str(tmp_path / "ours" / MARKER), SHA, cache)
    assert "SHA-256" in found


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("name", ["best.pt", "best.onnx"])
def test_a_folder_that_is_called_like_a_file(name: str, classes: bool, cache: Path, tmp_path: Path) -> None:
    """As an unpacked checkpoint is: it was told that its classes are Weft's already."""
    (tmp_path / name).mkdir()
    (tmp_path / "map.yaml").write_text("a: dress\n")
    asked = Asked("detector", str(tmp_path / name), "shop", classes=tmp_path / "map.yaml" if classes else None)
    with pytest.raises(Fatal, match=r"is one file, and this is a folder") as refused:
        add(asked, cache, progress=lambda _: None)
    assert "--classes" not in str(refused.value)


def test_a_wrong_file_is_named_and_the_others_are_listed(cache: Path) -> None:
    """`WEFT_PROFILE` names it; `weft models list` shows the rest."""
    file = written(cache / "profiles" / "shop", "name: shop\nextends: starter\nparts: {writer: {kind: rool}}")
    assert names(cache) == (*BUILT_IN, "shop")
    with pytest.raises(BadSetting, match=rf"{file}, line 3, column 24: there is no kind of writer 'rool'"):
        find("shop", cache)


def test_profiles_that_extend_one_another_for_ever(cache: Path) -> None:
    """Refused with the circle; one that extends what is not there names it."""
    written(cache / "profiles" / "a", "name: a\nextends: b")
    written(cache / "profiles" / "b", "name: b\nextends: a")
    with pytest.raises(BadSetting, match="it extends itself"):
        find("a", cache)
    written(cache / "profiles" / "c", "name: c\nextends: startr")
    with pytest.raises(BadSetting, match=r"no profile 'startr' \(did you mean starter\?\)"):
        find("c", cache)


@pytest.mark.parametrize("name", ["..", "../x", "nothing", "x/profile.yaml", ""])
def test_a_profile_that_is_not_there(name: str, cache: Path) -> None:
    """No name leads out of the cache."""
    with pytest.raises(BadSetting):
        find(name, cache)


def test_a_path_names_the_same_profile_from_every_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Roles run in other folders, and generations are followed on other machines: names stay, paths become absolute."""
    monkeypatch.chdir(tmp_path)
    assert canonical("shop/profile.yaml") == str(tmp_path / "shop" / "profile.yaml")
    assert canonical("our-shop") == "our-shop"
    (tmp_path / "shop").mkdir()
    assert file_of("./shop", Path("/nowhere")) == tmp_path / "shop" / "profile.yaml"


def test_every_kind_is_loaded_by_a_function_that_is_there() -> None:
    """A name that nothing answers to would be seen only when a role starts."""
    for known in KINDS.values():
        for kind in known.values():
            assert callable(kinds._function(kind.load))
            assert not kind.check or callable(kinds._function(kind.check))


def test_adding_a_part_makes_the_profile_and_leaves_what_else_it_says(cache: Path) -> None:
    """Made with `extends: starter`; a second part joins the first; the file is read back by `find`."""
    first = add(Asked("writer", "rules", profile="shop"), cache, progress=lambda _: None)
    assert (first.profile, first.part, first.kind, first.was) == ("shop", "writer", "rules", "starter")
    second = add(Asked("facets", "none", profile="shop"), cache, progress=lambda _: None)
    assert second.was == "starter"
    said: dict[str, Any] = yaml.safe_load(Path(second.file).read_text())
    assert said == {
        "name": "shop",
        "extends": "starter",
        "parts": {"writer": {"kind": "rules"}, "facets": {"kind": "none"}},
    }
    assert _kinds(find("shop", cache)) == ["starter", "starter", "none", "rules", "rules"]


def test_adding_a_folder_copies_lists_and_hashes_it(cache: Path, tmp_path: Path) -> None:
    """An instruct model: what may be loaded is copied, a second one takes its place, the first is removed."""
    model = tmp_path / "model"
    model.mkdir()
    tiny_llama.build(model)
    for name in ("README.md", "pytorch_model.bin"):
        (model / name).write_text("{}")
    taken = {path.name for path in model.iterdir() if path.suffix in {".json", ".safetensors", ".jinja"}}
    found = add(Asked("writer", str(model), profile="shop", licence="MIT"), cache, progress=lambda _: None)
    folder = Path(found.path)
    assert folder.parent == cache / "profiles" / "shop"
    assert {path.name for path in folder.iterdir()} == taken | {MARKER}
    assert {"config.json", "tokenizer.json", "model.safetensors"} <= taken
    assert found.sha256 == sha256_of(folder / MARKER)
    assert find("shop", cache).parts["writer"].licence == "MIT"
    (model / "config.json").write_text(json.dumps({**json.loads((model / "config.json").read_text()), "a": 1}))
    again = add(Asked("writer", str(model), profile="shop"), cache, progress=lambda _: None)
    assert again.path != found.path
    assert not folder.exists()
    part = next(one for one in shown(find("shop", cache), cache).parts if one.part == "writer")
    assert (part.kind, part.where, part.sha256, part.profile) == ("transformers", again.path, again.sha256, "shop")


@pytest.mark.parametrize("part", ["writer", "captioner"])
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}}, "config.json"),
        ({"hidden_size": 65536, "num_hidden_layers": 1000}, "asks for|Unrecognized"),
        ({"model_type": "siglip"}, "Unrecognized"),
    ],
)
def test_a_model_that_could_not_be_loaded_is_not_taken(
    part: str, changed: dict[str, Any], told: str, cache: Path, tmp_path: Path
) -> None:
    """Nothing of its own code is run: that it is no model, or larger than its weights, is told when it is added, not when a role starts."""
    (tmp_path / "model").mkdir()
    model = tiny_llama.build(tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **changed}))
    (model / "evil.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    with pytest.raises(Fatal, match=told):
        add(Asked(part, str(model), profile="shop"), cache, progress=lambda _: None)
    assert not (tmp_path / "canary").exists()
    assert not (cache / "profiles").exists()


@pytest.mark.parametrize("profile", ["starter", "full", "fake", "../x", "a/b", "x.yaml", ""])
def test_a_name_that_no_own_profile_may_have(profile: str, cache: Path) -> None:
    """The built-in ones are not changed, and nothing is written outside the cache."""
    with pytest.raises(BadSetting, match="--profile"):
        add(Asked("writer", "rules", profile=profile), cache, progress=lambda _: None)


def test_what_is_refused_leaves_the_profile_as_it_was(cache: Path, tmp_path: Path) -> None:
    """A file that is no folder, and a broken file of the profile, which is not written over."""
    add(Asked("writer", "rules", profile="shop"), cache, progress=lambda _: None)
    file = cache / "profiles" / "shop" / "profile.yaml"
    before = file.read_text()
    with pytest.raises(Fatal, match="there is no"):
        add(Asked("writer", str(tmp_path / "nothing"), profile="shop"), cache, progress=lambda _: None)
    assert file.read_text() == before
    file.write_text("name: shop\nparts: [")
    with pytest.raises(BadSetting, match="line 2"):
        add(Asked("writer", "rules", profile="shop"), cache, progress=lambda _: None)
    assert file.read_text() == "name: shop\nparts: ["
    assert not list(file.parent.parent.rglob(".adding*"))


@pytest.mark.parametrize("known", [False, True])
def test_what_is_refused_leaves_nothing_behind(known: bool, cache: Path, tmp_path: Path) -> None:
    """No folder of a new profile, and none of the part: by whoever takes it, by its options, or by its name."""
    if known:
        add(Asked("writer", "rules", profile="shop"), cache, progress=lambda _: None)
    pickles, model, blip = tmp_path / "pickles", tmp_path / "model", tmp_path / "blip"
    for folder in (pickles, model):
        folder.mkdir()
    (pickles / "pytorch_model.bin").write_bytes(b"x")
    (model / "model.safetensors").write_text("{}")
    blip_tiny.write(blip, ["a red dress ."])

    def seen() -> set[tuple[str, bytes]]:
        files = (path for path in cache.rglob("*") if not path.name.endswith(".lock"))
        return {(str(path.relative_to(cache)), path.read_bytes() if path.is_file() else b"") for path in files}

    before = seen()
    wrong = [
        Asked("writer", str(pickles), profile="shop"),
        Asked("writer", str(model), profile="shop"),
        Asked("writer", str(blip), profile="shop", options={"view": "sideways"}),
        Asked("writer", str(blip), profile="shop", options={"colour": "blue"}),
        Asked("encoder", str(model), profile="shop"),
        Asked("detector", str(tmp_path / "none.pt"), profile="shop"),
        Asked("editor", str(model), profile="shop"),
        Asked("writer", str(model), profile="shop", kind="no-such-kind"),
    ]
    for asked in wrong:
        with pytest.raises((Fatal, BadSetting)):
            add(asked, cache, progress=lambda _: None)
        assert seen() == before, asked


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked("detector", "none.pt", options={"confidence": "7"}), "confidence: expected a number from 0 to 1"),
        (Asked("detector", "none.pt", options={"confidense": ".7"}), r"'confidense' \(did you mean confidence\?\)"),
        (Asked("detector", "none.pt", kind="yolo", options={"size": "0"}), "size: expected a whole number from 32"),
        (Asked("detector", "none.pt", options={"iou": "[1"}), "iou: is no YAML"),
        (Asked("encoder", "none", options={"size": "64"}), "an? encoder takes none, not size"),
        (Asked("writer", "http://nobody", options={"tries": "1"}), "no option 'tries'"),
        (Asked("detector", "starter", options={"view": "whole"}), "no option 'view'"),
        (Asked("writer", "rules", options={"view": "whole"}), "of the kind rules takes none, not view"),
        (Asked("writer", "ftp://x/v1", model="m"), "begins with http:// or https://"),
        (Asked("detector", "https://x/best.pt"), "fetch it"),
        (Asked("detector", "none.pt", model="m"), "--model and --key-file"),
        (Asked("writer", "none", key_file=Path("key")), "--model and --key-file"),
        (Asked("encoder", "none", classes=Path("map.yaml")), "--classes"),
    ],
)
def test_a_wrong_word_is_named_before_anything_is_opened(asked: Asked, told: str, cache: Path) -> None:
    """No file of these is there and no server: what is refused is the command line, by the option's name."""
    with pytest.raises(BadSetting, match=told):
        add(asked, cache, progress=lambda _: None)
    assert not (cache / "profiles").exists()


def test_a_pipe_is_no_checkpoint(cache: Path, tmp_path: Path) -> None:
    """It was waited for without end."""
    os.mkfifo(tmp_path / "best.pt")
    with pytest.raises(Fatal, match="no file or folder"):
        add(Asked("detector", str(tmp_path / "best.pt"), profile="shop"), cache, progress=lambda _: None)


def test_options_of_a_kind_without_weights_are_kept(cache: Path) -> None:
    """They were dropped once, without a word."""
    add(Asked("detector", "starter", profile="shop", options={"confidence": "0.4"}), cache, progress=lambda _: None)
    assert find("shop", cache).parts["detector"].options == {"confidence": 0.4}


def test_what_a_killed_command_left_goes_with_the_next(cache: Path) -> None:
    """Its half-filled folder beside the profiles."""
    left = cache / "profiles" / ".adding-dead"
    (left / "ready").mkdir(parents=True)
    add(Asked("writer", "rules", profile="shop"), cache, progress=lambda _: None)
    assert [path.name for path in (cache / "profiles").iterdir()] == ["shop"]
