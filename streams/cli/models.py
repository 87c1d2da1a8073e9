"""`weft models`: profiles, what they are made of, and models of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processors.errors import Fatal
from streams.cli.app import AsJson, app, settings
from streams.cli.exits import Exit
from streams.cli.output import print_json, print_table, rows_table, say

if TYPE_CHECKING:
    from models.profiles.profile import Profile

models_app = typer.Typer(
    help="The models: profiles, what they are made of, and models of your own.", no_args_is_help=True
)
app.add_typer(models_app, name="models")

ProfileName = Annotated[
    str, typer.Argument(help="starter, starter-bf16, full, a profile of your own, or the path of its file.")
]
Given = Annotated[
    Path | None,
    typer.Option("--from", help="Folder with sub-folders named after artefacts (see docs/models/full.md): no network."),
]


def _profile(name: str) -> Profile:
    from models.profiles.reading import find

    return find(name, settings().model_cache)


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """Show the profiles and what they are made of: source, licence, and why it is there."""
    from models.profiles.reading import names
    from processors.errors import BadSetting

    found, broken = [], []
    for name in names(settings().model_cache):
        try:
            found.append(_profile(name))
        except BadSetting as error:  # the others are listed all the same
            broken.append(str(error))
    if as_json:
        print_json(found)
    else:
        rows = [(p.called, a.name, str(a.kind), a.source, a.licence, a.why) for p in found for a in p.artefacts]
        rows += [
            (p.called, name, one.kind, one.source, one.licence, one.why)
            for p in found
            for name, one in p.parts.items()
            if one.profile == p.name and one.path
        ]
        print_table(rows_table(("profile", "artefact", "kind", "source", "licence", "why"), rows, ids=("artefact",)))
    for sentence in broken:
        say(sentence)
    if broken:
        raise typer.Exit(Exit.USAGE)


@models_app.command("show")
def models_show(profile: ProfileName, as_json: AsJson = False) -> None:
    """Show each part of a profile: its kind, where it comes from, its hash and its options."""
    from streams.ops.profile_show import shown

    found = shown(_profile(profile), settings().model_cache)
    if as_json:
        print_json(found)
        return
    say(f"{found.called}: {found.about}" if found.about else found.called)
    rows = [
        (one.part, one.kind, one.profile, one.where, one.sha256[:12], " ".join(f"{k}={v}" for k, v in one.options.items()), one.about)
        for one in found.parts
    ]  # fmt: skip
    print_table(rows_table(("part", "kind", "profile", "where", "sha256", "options", "what"), rows, ids=("part",)))
    for note in found.notes:
        say(note)


@models_app.command("add")
def models_add(
    part: Annotated[str, typer.Argument(help="detector, encoder, facets, writer or captioner.")],
    source: Annotated[str, typer.Argument(help="A file, a folder, an address, or a kind without weights (rules).")],
    profile: Annotated[str, typer.Option("--profile", help="The profile that it is added to; made where it is not there.")] = "own",
    kind: Annotated[str, typer.Option("--kind", help="How it is loaded; by default what the files say.")] = "",
    classes: Annotated[Path | None, typer.Option("--classes", help="Of a detector: a map of its classes to Weft's.")] = None,
    model: Annotated[str, typer.Option("--model", help="Of a server: the name of the model.")] = "",
    key_file: Annotated[Path | None, typer.Option("--key-file", help="Of a server: the file that holds its key.")] = None,
    licence: Annotated[str, typer.Option("--licence", help="In your words, for `weft models list`.")] = "",
    option: Annotated[list[str] | None, typer.Option("--option", help="An option of the kind: name=value.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an encoder whose vectors no generation holds.")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Take a model of your own into a profile: it is checked, converted where needed, and copied into the model cache."""
    from models.profiles.adding import Asked, add
    from processors.errors import BadSetting

    options = {}
    for one in option or ():
        name, equals, value = one.partition("=")
        if not equals:
            raise BadSetting(f"--option: {one!r} is not name=value")
        options[name] = value
    asked = Asked(part, source, profile, kind, model, key_file, classes, licence, options, replace)
    found = add(asked, settings().model_cache, progress=say)
    if as_json:
        print_json(found)
        return
    say(f"{found.profile}: {found.part} is {found.kind} now (was {found.was})")
    if found.path:
        say(f"{found.path}, sha256 {found.sha256}")
    say(f"written: {found.file}")
    for change in found.changes:
        say(change)


@models_app.command("pull")
def models_pull(profile: ProfileName = "starter", given: Given = None) -> None:
    """Fetch, check and convert the weights of a profile. Safe to interrupt and to repeat."""
    from models.profiles import held
    from models.weights import face_model

    found = _profile(profile)
    try:
        held.pull(found, settings().model_cache, progress=say, given=given)
        face_model.fetch(settings().model_cache, progress=say)
        held.round_writer(found, settings().model_cache, progress=say)
    except Fatal as error:
        say(f"weft: {error}")
        raise typer.Exit(Exit.UNAVAILABLE) from None


@models_app.command("verify")
def models_verify(profile: ProfileName = "starter", as_json: AsJson = False) -> None:
    """Read every byte of a profile's weights and compare it with the recorded hashes."""
    from models.profiles.held import verify
    from models.weights import face_model

    problems = verify(_profile(profile), settings().model_cache)
    problems += face_model.problems(settings().model_cache)
    if as_json:
        print_json([{"path": str(problem.path), "problem": problem.message} for problem in problems])
    for problem in problems:
        say(str(problem))
    if problems:
        raise typer.Exit(Exit.FAILED)
    say(f"{profile}: every byte is as recorded")


from streams.cli import compare  # noqa: E402, F401 - of `models_app`
