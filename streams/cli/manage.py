"""`weft topics`, `models`, `doctor`: what an operator does before and beside the roles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processors.errors import Fatal
from streams.cli.app import AsJson, DataDir, app, client_settings, run, settings
from streams.cli.exits import Exit
from streams.cli.output import print_json, print_table, rows_table, say

if TYPE_CHECKING:
    from models.weights import profiles

topics_app = typer.Typer(help="The topics on the broker.", no_args_is_help=True)
models_app = typer.Typer(help="The weights: what they are, and where from.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")
app.add_typer(models_app, name="models")


@topics_app.command("create")
def topics_create(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Make the topics that are missing; a topic that differs from what Weft needs is named, and left alone."""
    from streams.ops import admin

    reports = run(admin.create_topics(client_settings(data_dir)))
    if as_json:
        print_json(reports)
    for report in reports:
        say(f"{report.there}: {'created' if report.created else 'is there already'}")
        for difference in report.differences:
            say(f"{report.there}: {difference}")


@topics_app.command("list")
def topics_list(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show the topics with their partitions and how much is in them."""
    from streams.ops import admin

    found = run(admin.list_topics(client_settings(data_dir)))
    if as_json:
        print_json(found)
    else:
        rows = [(t.there, len(t.partitions), t.configs.get("cleanup.policy", ""), t.messages) for t in found]
        print_table(rows_table(("topic", "partitions", "clean-up", "records"), rows, ids=("topic",)))


ProfileName = Annotated[str, typer.Argument(help="starter, starter-bf16 or full.")]


Given = Annotated[
    Path | None,
    typer.Option("--from", help="Folder with sub-folders named after artefacts (see docs/models/full.md): no network."),
]


def _profile(name: str) -> profiles.Profile:
    from models.weights import profiles

    if name not in profiles.PROFILES:
        say(f"there is no profile {name!r}: say {' or '.join(profiles.PROFILES)}")
        raise typer.Exit(Exit.USAGE)
    return profiles.PROFILES[name]


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """Show what the profiles are made of: source, licence, and why it is there."""
    from models.weights import profiles

    found = list(profiles.PROFILES.values())
    if as_json:
        print_json(found)
        return
    rows = [(p.name, a.name, a.kind, a.source, a.licence, a.why) for p in found for a in p.artefacts]
    print_table(rows_table(("profile", "artefact", "kind", "source", "licence", "why"), rows, ids=("artefact",)))


@models_app.command("pull")
def models_pull(profile: ProfileName = "starter", given: Given = None) -> None:
    """Fetch, check and convert the weights of a profile. Safe to interrupt and to repeat."""
    from models.weights import face_model, profiles

    try:
        profiles.pull(_profile(profile), settings().model_cache, progress=say, given=given)
        face_model.fetch(settings().model_cache, progress=say)
        profiles.round_writer(_profile(profile), settings().model_cache, progress=say)
    except Fatal as error:
        say(f"weft: {error}")
        raise typer.Exit(Exit.UNAVAILABLE) from None


@models_app.command("verify")
def models_verify(profile: ProfileName = "starter", as_json: AsJson = False) -> None:
    """Read every byte of a profile's weights and compare it with the recorded hashes."""
    from models.weights import face_model, profiles

    problems = profiles.verify(_profile(profile), settings().model_cache)
    problems += face_model.problems(settings().model_cache)
    if as_json:
        print_json([{"path": str(problem.path), "problem": problem.message} for problem in problems])
    for problem in problems:
        say(str(problem))
    if problems:
        raise typer.Exit(Exit.FAILED)
    say(f"{profile}: every byte is as recorded")


@app.command()
def doctor(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Look at broker, topics, store, models, versions and disk, and say what to do about each."""
    from streams.ops.doctor import Diagnosis, examine

    findings = run(examine(client_settings(data_dir)))
    healthy = all(finding.ok for finding in findings)
    if as_json:
        print_json(Diagnosis(healthy, findings))
    else:
        rows = [("ok" if f.ok else "WRONG", f.part, f.found, f.advice) for f in findings]
        print_table(rows_table(("", "part", "found", "what to do"), rows))
    if not healthy:
        raise typer.Exit(Exit.UNAVAILABLE)
