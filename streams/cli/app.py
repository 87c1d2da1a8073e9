"""The parts that all commands share: the typer app, settings, and how errors become exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import typer.core
from pydantic import ValidationError
from pydantic_settings import SettingsError

from infra.settings import Settings
from infra.stores import check_store_url
from streams.cli.exits import Exit
from streams.cli.output import out, say
from streams.contract.version import VERSION
from streams.kafka.names import names_of
from streams.kafka.options import servers
from streams.ops import stack_file

T = TypeVar("T")


class _Group(typer.core.TyperGroup):
    """Remembers whether help is asked for: a callback does not see the arguments of its commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_HELP] = bool({"-h", "--help"} & {*args})
        return super().parse_args(ctx, args)


_HELP = "weft.help"

app = typer.Typer(
    name="weft",
    cls=_Group,
    help="A streaming engine for fashion catalogues: photos in on Kafka; captions, hashtags and search answers out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        out.print(f"weft {VERSION}")
        raise typer.Exit


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, in the shapes of docs/events.md.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of a stack run by `weft up`.", show_default="WEFT_DATA_DIR")
]


@app.callback()
def weft(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback ends the command
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """A streaming engine for fashion catalogues: photos in on Kafka; captions, hashtags and search answers out."""
    # Every command refuses a wrong setting, also the one that would not have needed it: an operator finds it at once.
    if not context.resilient_parsing and not context.meta[_HELP]:
        settings()


def settings(data_dir: Path | None = None) -> Settings:
    """The settings of the environment; exits with USAGE and the name of the variable when one is wrong."""
    try:
        base = Settings() if data_dir is None else Settings(data_dir=data_dir)
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(["WEFT", *(str(part).upper() for part in problem["loc"][:1])])
            say(f"{name}: {problem['msg']}")
        raise typer.Exit(Exit.USAGE) from None
    except SettingsError as error:
        say(_no_json(str(error)))
        raise typer.Exit(Exit.USAGE) from None
    check_store_url(base)
    servers(base)
    names_of(base)
    return base


def _no_json(problem: str) -> str:
    """The sentence for a list or a table that is no JSON: which variable, what is in it, and how it is written."""
    found = re.search(r'field "(\w+)"', problem)
    if found is None:
        return problem
    name = f"WEFT_{found[1].upper()}"
    given = os.environ.get(name, "")
    parts = [part.strip() for part in given.split(",")]
    listed = Settings.model_fields[found[1]].annotation != dict[str, str]
    form = json.dumps(parts) if listed else '{"name": "value"}'
    return f"{name}: {given!r} is no JSON {'list' if listed else 'object'}: write it as {form}"


def client_settings(data_dir: Path | None = None) -> Settings:
    """The settings of a client: those of the environment, or those of the stack that is up in the data dir."""
    return stack_file.locate(settings(data_dir))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    return asyncio.run(work)
