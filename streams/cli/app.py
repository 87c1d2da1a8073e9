"""The parts that all commands share: the typer app, settings, and how errors become exit codes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from infra.settings import Settings
from streams.cli.exits import Exit
from streams.cli.output import say
from streams.ops import stack_file

T = TypeVar("T")

app = typer.Typer(
    name="weft",
    help="A streaming engine for fashion catalogues: photos in on Kafka; captions, hashtags and search answers out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, in the shapes of docs/events.md.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of a stack run by `weft up`.", show_default="WEFT_DATA_DIR")
]


def settings(data_dir: Path | None = None) -> Settings:
    """The settings of the environment; exits with USAGE and the name of the variable when one is wrong."""
    try:
        base = Settings() if data_dir is None else Settings(data_dir=data_dir)
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(["WEFT", *(str(part).upper() for part in problem["loc"])])
            say(f"{name}: {problem['msg']}")
        raise typer.Exit(Exit.USAGE) from None
    return base


def client_settings(data_dir: Path | None = None) -> Settings:
    """The settings of a client: those of the environment, or those of the stack that is up in the data dir."""
    return stack_file.locate(settings(data_dir))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    return asyncio.run(work)
