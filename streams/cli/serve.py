"""`weft worker`, `up`, `demo`: what runs the engine."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.settings import Settings
from processors.errors import BadSetting, Retryable
from streams.cli.app import AsJson, DataDir, app, run, settings
from streams.cli.exits import Exit
from streams.contract.topics import EVERY, OPTIONAL

if TYPE_CHECKING:
    from rich.progress import Progress

    from streams.ops.demo import Demo


@app.command()
def worker(
    roles: Annotated[list[str], typer.Argument(help=f"Any of: {', '.join(EVERY)}.")],
    announce: Annotated[Path | None, typer.Option(help="Write pid and metrics address here once ready.")] = None,
    broker: Annotated[
        Path | None, typer.Option(hidden=True, help="Wait for this file of `weft up`: it says where the broker is.")
    ] = None,
) -> None:
    """Run roles against the Kafka and the store of the settings, until SIGTERM (drains; a second one aborts)."""
    from infra.logs import configure
    from streams.cli.output import say

    if unknown := sorted(set(roles) - set(EVERY)):
        say(f"there is no role {', '.join(unknown)}; there are {', '.join(EVERY)}")
        raise typer.Exit(Exit.USAGE)
    chosen = settings()
    configure(chosen.log_level, chosen.log_format)
    if KEEPING.issuperset(roles):
        from infra.allocator import keep_freed_memory

        keep_freed_memory()  # before the first thread
    from streams.worker import work

    run(work(roles, chosen, announce, broker, _leave_for_sure))


KEEPING = frozenset({"enrich"})
"""Roles that compute photos all day, for whose networks it pays to keep freed memory. What a language model frees is better given
back: its batches differ in size."""
LEAVE_S = 20.0
"""How long a process whose roles have ended may take to close its connections."""


def _leave_for_sure(cause: BaseException | None) -> None:
    from infra.ending import leave_for_sure

    code = Exit.OK if cause is None else Exit.UNAVAILABLE if isinstance(cause, Retryable) else Exit.FAILED
    leave_for_sure(code, LEAVE_S)


@app.command()
def up(
    data_dir: DataDir = None,
    single_process: Annotated[
        bool, typer.Option("--single-process", help="All roles in one process: less memory, less overlap.")
    ] = False,
    also: Annotated[
        list[str] | None, typer.Option("--with", help=f"Start this role as well, repeatable: {', '.join(OPTIONAL)}.")
    ] = None,
) -> None:
    """Run broker, store and all roles until Ctrl-C or SIGTERM; go on where it was; restart what dies or hangs."""
    from infra.logs import configure
    from streams.ops import stack_file

    further = tuple(dict.fromkeys(also or ()))
    if unknown := sorted(set(further) - set(OPTIONAL)):
        raise BadSetting(
            f"--with: there is no such role as {', '.join(unknown)} to start; there is {', '.join(OPTIONAL)}"
        )
    chosen = settings(data_dir)
    if chosen.shadow_profile:
        further = tuple(dict.fromkeys((*further, "shadow")))
    elif "shadow" in further:
        raise BadSetting("WEFT_SHADOW_PROFILE names no profile: the role shadow has nothing to compare with")
    with stack_file.at_work(chosen.data_dir):
        configure(chosen.log_level, chosen.log_format)
        run(_up(chosen, single_process=single_process, also=further))


async def _up(chosen: Settings, *, single_process: bool, also: tuple[str, ...] = ()) -> None:
    from streams.cli.output import say
    from streams.ops.stack import Stack

    task = asyncio.current_task()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if not stopped and task is not None:
            stopped = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        async with Stack(chosen, single_process=single_process, also=also, progress=say) as stack:
            say("running until Ctrl-C")
            await stack.watch()
    except asyncio.CancelledError:
        if not stopped:
            raise
    say("stopped")


@app.command()
def demo(
    images: Annotated[Path | None, typer.Option(help="Folder of photos; without it, a drawn catalogue.")] = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Where the results go.")] = Path(".weft/demo"),
    count: Annotated[int, typer.Option(min=1, help="How many drawn products.")] = 36,
    as_json: AsJson = False,
) -> None:
    """Start a stack, send photos, show captions and three composed queries, stop."""
    from infra.logs import configure
    from streams.cli.output import print_json, say
    from streams.ops import demo as demos
    from streams.ops.demo import DemoProgress
    from streams.ops.ingest import Outcome, RefusedProduct

    chosen = settings()
    configure(chosen.log_level, chosen.log_format)
    # Early, so that a folder without images is refused before anything is started.
    photos, refused = demos.photos_in(images, out_dir, count)
    with _progress() as progress:
        bar = progress.add_task("captions", total=len(photos))

        def told(outcome: Outcome, _done: int, _of: int) -> None:
            progress.advance(bar)
            if isinstance(outcome, RefusedProduct):
                say(f"refused: {outcome.product_id} at {outcome.stage}: {outcome.cause}")

        done = run(demos.run(photos, refused, out_dir.absolute(), chosen, DemoProgress(say, told)))
    demos.write(done, out_dir)
    sheet = demos.draw_sheet(done, out_dir)
    if as_json:
        print_json(done.report)
    else:
        _show(done)
    say(f"report: {out_dir / 'report.json'}")
    say(f"contact sheet: {sheet}")
    if done.report.captioned == 0 or done.report.answered < done.report.queries:
        raise typer.Exit(Exit.REJECTED)


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from streams.cli.output import err

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, transient=False)


def _show(done: Demo) -> None:
    import msgspec

    from streams.cli.output import captions_table, out, print_table, result_table

    print_table(captions_table(done.captions))
    for answer in done.answers:
        out.print(f"\n[bold]{answer.ask.product_id}[/]: {answer.ask.text}")
        print_table(result_table(answer.result))
    out.print_json(msgspec.json.encode(done.report).decode())
