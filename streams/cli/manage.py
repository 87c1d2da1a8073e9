"""`weft topics`, `doctor`: what an operator does before and beside the roles."""

from __future__ import annotations

import typer

from streams.cli.app import AsJson, DataDir, app, client_settings, run
from streams.cli.exits import Exit
from streams.cli.output import print_json, print_table, rows_table, say

topics_app = typer.Typer(help="The topics on the broker.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")


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


@app.command()
def doctor(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Look at broker, topics, store, models, versions and disk, and say what to do about each."""
    from streams.ops.doctor import Diagnosis, examine

    findings = run(examine(client_settings(data_dir, wait=False)))  # it is asked why a start hangs
    healthy = all(finding.ok for finding in findings)
    if as_json:
        print_json(Diagnosis(healthy, findings))
    else:
        rows = [("ok" if f.ok else "WRONG", f.part, f.found, f.advice) for f in findings]
        print_table(rows_table(("", "part", "found", "what to do"), rows))
    if not healthy:
        raise typer.Exit(Exit.UNAVAILABLE)
