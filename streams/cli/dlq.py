"""`weft dlq`: what was given up, why, and what is done about it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import msgspec
import typer

from processors.errors import Poison
from streams.cli.app import AsJson, DataDir, app, client_settings, run
from streams.cli.exits import Exit
from streams.cli.output import print_json, print_table, printable, rows_table, say
from streams.ops.dlq import MAX_REDRIVES, DeadLetterAdmin, Handled, Terms, open_dead_letter_admin
from streams.ops.dlq_letters import Filter, Letter, WholeLetter, seconds_of

dlq_app = typer.Typer(help="Dead letters: what could not be done, and why.", no_args_is_help=True)
app.add_typer(dlq_app, name="dlq")

Stage = Annotated[str, typer.Option(help="Given up by this stage: read, decode, index …")]
Cause = Annotated[str, typer.Option(help="These words occur in the cause.")]
Code = Annotated[str, typer.Option(help="A code (bad_image …), or the class of the exception.")]
OlderThan = Annotated[str, typer.Option(help="At least this old: 90s, 15m, 2h, 7d.")]
NewerThan = Annotated[str, typer.Option(help="At most this old.")]
Product = Annotated[list[str] | None, typer.Option(help="Of this product; repeatable.")]
Id = Annotated[list[str] | None, typer.Option("--id", help="This letter; repeatable.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Letters, by id.", show_default=False)]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many, the oldest first.")]
Everything = Annotated[bool, typer.Option("--all", help="Every letter; needed where no filter is given.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dlq_app.command("list")
def dlq_list(
    stage: Stage = "",
    cause: Cause = "",
    code: Code = "",
    older_than: OlderThan = "",
    newer_than: NewerThan = "",
    product: Product = None,
    letter_id: Id = None,
    limit: Limit = None,
    with_done: Annotated[bool, typer.Option("--done", help="Also those that were redriven or dropped.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show the letters that are open. With --json one letter a line."""
    wanted = _filter(letter_id, product, stage, cause, code, older_than, newer_than)

    async def work() -> list[Letter]:
        async with open_dead_letter_admin(client_settings(data_dir)) as admin:
            return await admin.letters(wanted, limit=limit, with_done=with_done)

    found = run(work())
    if as_json:
        for letter in found:
            print_json(letter)
    elif found:
        rows = [
            (x.id, x.product, x.at, x.code, x.cause, x.done.resolution if x.done else x.redrives or "") for x in found
        ]
        print_table(
            rows_table(("letter", "product", "since", "code", "cause", "redriven"), rows, ids=("letter", "product"))
        )
    say(f"{len(found)} dead letters")


@dlq_app.command("show")
def dlq_show(
    letter_id: Annotated[str, typer.Argument(help="The letter's id, as list shows it.")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show one letter whole, decoded, and what to do about it."""

    async def work() -> WholeLetter:
        async with open_dead_letter_admin(client_settings(data_dir)) as admin:
            return await admin.show(letter_id)

    found = run(work())
    if as_json:
        print_json(found)
        return
    letter = found.letter
    parts = [(name, value) for name, value in msgspec.structs.asdict(letter).items() if name != "done"]
    if letter.done is not None:
        parts.append(("done", f"{letter.done.resolution} at {letter.done.at} {letter.done.place}"))
    parts += [(f"header {name}", value) for name, value in found.headers.items()]
    # No table: an address that is broken over two lines cannot be copied.
    lines = [f"{name}: {printable(str(value))}" for name, value in parts]
    lines.append(printable(msgspec.json.format(msgspec.json.encode(found.value)).decode()))
    sys.stdout.write("\n".join(lines) + "\n")
    say(f"what to do: {found.advice}")


@dlq_app.command("redrive")
def dlq_redrive(
    ids: Ids = None,
    stage: Stage = "",
    cause: Cause = "",
    code: Code = "",
    older_than: OlderThan = "",
    newer_than: NewerThan = "",
    product: Product = None,
    letter_id: Id = None,
    limit: Limit = None,
    everything: Everything = False,
    max_attempts: Annotated[int, typer.Option(min=1, help="Put one record back at most so often.")] = MAX_REDRIVES,
    as_new: Annotated[bool, typer.Option("--as-new", help="Let it replace a newer upload of its product.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Put the original records back on their topics: same key, id and headers, in their old place in the order."""
    wanted = _filter([*(ids or ()), *(letter_id or ())], product, stage, cause, code, older_than, newer_than)
    terms = Terms(max_redrives=max_attempts, as_new=as_new, dry_run=dry_run)
    question = None if yes or dry_run else "put back"
    _settle(wanted, limit, lambda admin, found: admin.redrive(found, terms), question, everything, as_json, data_dir)


@dlq_app.command("drop")
def dlq_drop(
    ids: Ids = None,
    stage: Stage = "",
    cause: Cause = "",
    code: Code = "",
    older_than: OlderThan = "",
    newer_than: NewerThan = "",
    product: Product = None,
    letter_id: Id = None,
    limit: Limit = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Let letters go: they are not shown any more."""
    wanted = _filter([*(ids or ()), *(letter_id or ())], product, stage, cause, code, older_than, newer_than)
    question = None if yes or dry_run else "drop"
    _settle(wanted, limit, lambda admin, x: admin.drop(x, dry_run=dry_run), question, everything, as_json, data_dir)


# ---------------------------------------------------------------- inside


def _settle(
    wanted: Filter,
    limit: int | None,
    work: Callable[[DeadLetterAdmin, list[Letter]], AsyncIterator[Handled]],
    question: str | None,
    everything: bool,
    as_json: bool,
    data_dir: DataDir,
) -> None:
    """Find the letters that are meant, ask, do, and say what became of each."""
    if wanted.is_empty and not everything:
        say("say which letters: by id, by a filter, or --all")
        raise typer.Exit(Exit.USAGE)

    async def all_of_them() -> tuple[list[Handled], set[str]]:
        handled: list[Handled] = []
        async with open_dead_letter_admin(client_settings(data_dir)) as admin:
            found = await admin.letters(wanted, limit=limit)
            asks = question is not None and found and sys.stdin.isatty()
            if asks and not typer.confirm(f"{question} {len(found)} dead letters?", err=True):
                return [], set(wanted.ids)
            async for one in work(admin, found):
                handled.append(one)
                if as_json:
                    print_json(one)
                say(f"{one.outcome}: {one.id} {one.place}{': ' if one.cause else ''}{one.cause}")
        return handled, {letter.id for letter in found}

    handled, found = run(all_of_them())
    missing = sorted(wanted.ids - found) if limit is None else []
    for letter_id in missing:
        say(f"there is no open dead letter {letter_id} that these filters match")
    refused = sum(one.outcome == "refused" for one in handled)
    say(f"{len(handled) - refused} of {len(handled)} dead letters")
    if refused or missing:
        raise typer.Exit(Exit.REJECTED)


def _filter(
    ids: list[str] | None,
    products: list[str] | None,
    stage: str,
    cause: str,
    code: str,
    older_than: str,
    newer_than: str,
) -> Filter:
    try:
        return Filter(
            ids=frozenset(ids or ()),
            products=frozenset(products or ()),
            stage=stage,
            code=code,
            cause=cause,
            older_than_s=seconds_of(older_than) if older_than else None,
            newer_than_s=seconds_of(newer_than) if newer_than else None,
        )
    except Poison as error:
        say(str(error))
        raise typer.Exit(Exit.USAGE) from None
