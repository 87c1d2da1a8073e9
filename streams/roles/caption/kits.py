"""Brand kits from files: YAML, checked with line and column, one file a kit and a folder of them a worker."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from processors import kit as kits
from processors import plain_yaml
from processors.caption_phrases import TONES
from processors.channels import LIMITS, MIN_CHARACTERS
from processors.errors import BadSetting
from processors.kit import Kit
from processors.languages.grammar import ORDERED
from processors.plain_yaml import YamlProblem, at, mapping, one_of, sequence, whole
from processors.plain_yaml import text as plain_text
from processors.values import Metadata
from processors.verify import MAX_HASHTAGS
from processors.vocabulary import clean

SUFFIXES = (".yaml", ".yml")
MAX_PHRASES, MAX_PHRASE = 200, 200
_ALIASES = {"color": "colour", "category": "kind", "gender": "audience"}
_FIELDS = ("tone", "locale", "required", "banned", "max_chars", "hashtags", "emoji", "order")


KitProblem = YamlProblem
"""What is wrong with a kit, with line and column."""


@dataclass(frozen=True, slots=True)
class Kits:
    """The kits of a worker, by name."""

    by_name: Mapping[str, Kit] = field(default_factory=dict)

    def of(self, metadata: Metadata) -> tuple[Kit, tuple[str, ...]]:
        """The kit that an upload chooses, and why its caption has to wait: it chose one that nobody has."""
        default = self.by_name.get(kits.DEFAULT, kits.PLAIN)
        chosen = next((value for name, value in metadata.facets.items() if clean(name) == kits.NAME), "")
        chosen = unicodedata.normalize("NFC", chosen.strip())
        if (
            not chosen or not self.by_name
        ):  # where nobody keeps kits, the word is a shop's own: the kit of a football club
            return default, ()
        found = self.by_name.get(chosen) or self._in_other_case(chosen)
        return (default, (kits.UNKNOWN,)) if found is None else (found, ())

    def _in_other_case(self, chosen: str) -> Kit | None:
        """The only kit that is called so but for its case; an exact name goes first, and of two none is meant."""
        found = [kit for name, kit in self.by_name.items() if name.casefold() == chosen.casefold()]
        return found[0] if len(found) == 1 else None


NO_KITS = Kits()


def load(folder: Path | None) -> Kits:
    """All kits of a folder: `acme.yaml` is the kit "acme", `default.yaml` is for uploads that choose none.

    Raises:
        BadSetting: there is no such folder, or a file of it is no kit; names file, line and column.
    """
    if folder is None:
        return NO_KITS
    try:
        if not folder.is_dir():
            raise BadSetting(f"WEFT_KITS: {folder} is no folder")
        return Kits(_read_all(sorted(folder.iterdir())))
    except OSError as error:  # a folder that only others may enter
        raise BadSetting(f"WEFT_KITS: {folder} cannot be read: {error.strerror}") from error


def _read_all(paths: Sequence[Path]) -> dict[str, Kit]:
    found: dict[str, Kit] = {}
    for path in paths:
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        name = _name_of(path)
        if name in found:
            raise BadSetting(f"WEFT_KITS: {path}: there is another kit of the name {name!r}")
        if fault := _no_name(name):
            raise BadSetting(f"WEFT_KITS: {str(path)!r}: {fault}: no upload could choose this kit")
        if not path.is_file():  # a pipe would be waited for, and a device has no end
            raise BadSetting(f"WEFT_KITS: {path} is no file, nor a link to one")
        try:
            found[name] = read(path)
        except KitProblem as error:
            raise BadSetting(f"WEFT_KITS: {path}, {error}") from error
    return found


def _name_of(path: Path) -> str:
    """The name by which uploads choose a file's kit: some file systems take the accents of names apart."""
    return unicodedata.normalize("NFC", path.stem)


def _no_name(name: str) -> str:
    """Why nothing can be called so, or ""."""
    if name != name.strip():
        return "its name begins or ends with a blank"
    return "" if name.isprintable() else "its name holds what cannot be printed"


def read(path: Path) -> Kit:
    """The kit of one file. Raises `KitProblem` with the place of what is wrong."""
    return parse(plain_yaml.read(path), _name_of(path))


def parse(text: str, name: str) -> Kit:
    """A kit from YAML: plain values only, no anchors, no tags, no field twice. Raises `KitProblem`."""
    root = plain_yaml.compose(text)
    if root is None:
        raise KitProblem(1, 1, f"is empty: a kit has some of {', '.join(_FIELDS)}")
    fields = mapping(root, _FIELDS)
    tags = mapping(fields["hashtags"], ("max", "banned")) if "hashtags" in fields else {}
    made = Kit(
        name=name,
        tone=plain_text(fields["tone"]) if "tone" in fields else Kit().tone,
        locale=plain_text(fields["locale"]) if "locale" in fields else Kit().locale,
        required=_phrases(fields.get("required")),
        banned=_phrases(fields.get("banned")),
        max_chars=_limits(fields.get("max_chars")),
        max_hashtags=whole(tags["max"], 0, MAX_HASHTAGS) if "max" in tags else None,
        banned_hashtags=_phrases(tags.get("banned")),
        emoji=one_of(fields["emoji"], ("never", "some")) if "emoji" in fields else "never",
        order=_order(fields.get("order")),
    )
    where, problem = kits.problem_of(made, TONES)
    if problem:
        raise at(_node(fields, where), problem)
    return made


def _node(fields: Mapping[str, yaml.Node], where: str) -> yaml.Node:
    name, _, n = where.partition(".")
    node = fields[name]
    return node.value[int(n)] if n and isinstance(node, yaml.SequenceNode) else node


def _phrases(node: yaml.Node | None) -> tuple[str, ...]:
    found: list[str] = []
    for one in sequence(node):
        phrase = " ".join(plain_text(one).split())
        if len(phrase) > MAX_PHRASE or not phrase.isprintable() or not any(c.isalnum() for c in phrase):
            raise at(one, f"expected words, at most {MAX_PHRASE} characters of them")
        found.append(phrase)
    if len(found) > MAX_PHRASES and node is not None:
        raise at(node, f"has more than {MAX_PHRASES} entries")
    return tuple(dict.fromkeys(found))


def _limits(node: yaml.Node | None) -> dict[str, int]:
    if node is None:
        return {}
    most = {name: max(limit, 5000) for name, limit in LIMITS.items()}
    return {name: whole(value, MIN_CHARACTERS, most[name]) for name, value in mapping(node, tuple(LIMITS)).items()}


def _order(node: yaml.Node | None) -> tuple[str, ...]:
    found: list[str] = []
    for one in sequence(node):
        name = _ALIASES.get(plain_text(one).lower(), plain_text(one).lower())
        if name not in ORDERED:
            raise at(one, f"there is no fact {name!r}; there are {', '.join(ORDERED)}")
        if name in found:
            raise at(one, f"{name} stands here a second time")
        found.append(name)
    return tuple(found)
