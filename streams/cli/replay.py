"""`weft replay`: a range of a topic into a generation of the index."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.app import AsJson, DataDir, app, client_settings, run
from streams.cli.index import opened
from streams.cli.numbers import finite
from streams.cli.output import print_json, say

if TYPE_CHECKING:
    from streams.ops.generations.plan import Plan

NICE = 19
"""Live traffic comes first: on a machine that both share, a replay takes what is left."""


@app.command()
def replay(
    topic: Annotated[str, typer.Option(help="catalog.items or catalog.uploads.")],
    into: Annotated[str, typer.Option(metavar="GENERATION", help="The generation to build.")],
    begin: Annotated[str, typer.Option("--from", metavar="TIME|OFFSET|earliest", help="Where to begin.")] = "earliest",
    stop: Annotated[str, typer.Option("--to", metavar="TIME|OFFSET|end", help="Where to stop.")] = "end",
    profile: Annotated[
        str,
        typer.Option(
            help="Think every product again by the models of this profile: its name, or the path of its file."
        ),
    ] = "",
    rate: Annotated[
        float, typer.Option(min=0, callback=finite, help="Records a second at most; 0: as fast as it goes.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be read and cost, and stop.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Build a generation of the index from a topic; goes on where it was killed."""
    replay_into(
        topic=topic,
        begin=begin,
        stop=stop,
        into=into,
        profile=profile,
        rate=rate,
        dry_run=dry_run,
        as_json=as_json,
        data_dir=data_dir,
    )


def step_aside() -> None:
    """Before anything is imported: the imports alone keep a core busy for a second."""
    with suppress(OSError):
        os.nice(NICE)


def replay_into(
    *,
    topic: str,
    begin: str,
    stop: str,
    into: str,
    rate: float,
    dry_run: bool,
    as_json: bool,
    data_dir: Path | None,
    profile: str = "",
) -> None:
    """What `weft replay` and `weft index build` do."""
    if not dry_run:
        step_aside()
    from infra.logs import configure
    from models.profiles.reading import canonical
    from streams.ops.generations import replay as replaying
    from streams.ops.generations.plan import moment

    settings = client_settings(data_dir)
    configure("warning", settings.log_format)  # what a role would log is told as progress here
    store = opened(settings)
    wanted = replaying.Wanted(topic, moment(begin, "--from"), moment(stop, "--to"), into, canonical(profile), rate)
    if dry_run:
        plan = run(replaying.plan(settings, wanted))
        if as_json:
            print_json(plan)
        else:
            tell_plan(plan)
        return
    done = run(replaying.replay(settings, store, wanted, replaying.Tell(tell_plan, say)))
    if as_json:
        print_json(done)
    if done.thought or done.known or done.lost:
        say(f"{done.thought} products were thought again, {done.known} were remembered, {done.lost} could not be")
    say(f"{into}: {done.live} products from {done.read} records in {done.seconds:.1f} s, digest {done.digest}")


def tell_plan(plan: Plan) -> None:
    """What will be read and what it costs, on stderr."""
    say(f"{plan.topic} into {plan.generation}: up to {plan.records:,} records of {len(plan.ranges)} partitions")
    if plan.kept_since is not None:
        say(f"{plan.topic} holds records since {plan.kept_since}")
    if plan.gone:
        say(f"{plan.gone:,} offsets that were asked for are not kept any more: retention or compaction removed them")
    if plan.memo_looked:
        say(f"{plan.memo_known} of {plan.memo_looked} products looked up are remembered: no model is asked for them")
    if plan.estimated_seconds is not None:
        say(f"about {plan.estimated_seconds:,.0f} s, judging by the first records")
