"""The parts that all commands share: the typer app, settings, and how errors become exit codes."""

from __future__ import annotations

import os
import re
from collections.abc import Coroutine
from copy import copy
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
import typer.core
import typer.main

from streams.cli.exits import Exit

if TYPE_CHECKING:
    from infra.settings import Settings

T = TypeVar("T")

COMMANDS: dict[str, tuple[str, str]] = {
    "ingest": (
        "ingest",
        "Send photos. With --json: one Upload a line as they are sent, or with --wait one Caption a line; with --full the counts.",
    ),
    "delete": ("client", "Delete products: from the items, the captions and the index."),
    "forget": (
        "forget",
        "Forget products, or (--shop alone) a whole shop: list each place with its state, and until when it keeps what.",
    ),
    "query": ("client", 'Ask for products: by photo, by product, by words, or by both ("this, but navy").'),
    "edit": (
        "edit",
        "Give a garment the colour, texture and print of one of the catalogue; its folds and its light stay.",
    ),
    "standing": ("standing", "Queries that stand: save, list and remove them, and see what meets them."),
    "captions": (
        "captions",
        "Show the captions as they stand; with --follow, every one from the first on, until Ctrl-C.",
    ),
    "caption": ("caption", "Brand kits: what one would make of a product."),
    "explain": (
        "caption",
        "Why a product's caption says what it says: input, evidence by source, prompt, drafts, verdicts; written once more with the same seed.",
    ),
    "articles": (
        "articles",
        "A brand's own texts, which captions draw on: send a folder of them, list, show and take them back.",
    ),
    "duplicates": (
        "duplicates",
        "Which products show the same photo, as the role `duplicates` found them. With --json: one Duplicates a line.",
    ),
    "claims": ("captions", "List every live text that rests on a source, with what it states because of it."),
    "doctor": ("manage", "Look at broker, topics, store, models, versions and disk, and say what to do about each."),
    "worker": (
        "serve",
        "Run roles against the Kafka and the store of the settings, until SIGTERM (drains; a second one aborts).",
    ),
    "up": (
        "serve",
        "Run broker, store and all roles until Ctrl-C or SIGTERM; go on where it was; restart what dies or hangs.",
    ),
    "demo": ("serve", "Start a stack, send photos, show captions and three composed queries, stop."),
    "train": (
        "train",
        "Train by a recipe; goes on where a run was stopped. Weights, progress.jsonl and loss.png lie in the run's folder.",
    ),
    "dlq": ("dlq", "Dead letters: what could not be done, and why."),
    "eval": ("evaluate", "Measure a profile's models on your own data."),
    "shelf": (
        "shelf",
        "Labelled products whose facts and words captions may learn from: build, list, show, use, rollback.",
    ),
    "facets": ("facets", "Heads that read facets from the pixels: fit, list, show, use, rollback."),
    "index": ("index", "The generations of the index: list, verify, compare, swap, roll back."),
    "replay": ("replay", "Build a generation of the index from a topic; goes on where it was killed."),
    "topics": ("manage", "The topics on the broker."),
    "models": ("models", "The models: profiles, what they are made of, and models of your own."),
    "triplets": ("triplets", "Triplets that the role `triplets` made of the catalogue: for training composers."),
    "store": ("store", "The object store: its id, and where it lay."),
}
"""Every command: the module of this package that has it, and the first line of its help.

A module is imported when its command is called. `weft --help` and completion know the commands from here: the modules
together import half of what Weft consists of.
"""


class _Group(typer.core.TyperGroup):
    """The commands of `COMMANDS`; remembers whether help is asked for, as a callback does not see the arguments of its commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_HELP] = bool({"-h", "--help"} & {*args})
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command to be listed: its name and its help. What it does comes with `resolve_command`."""
        if cmd_name in self.commands or cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        return typer.core.TyperCommand(cmd_name, help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, its module imported now."""
        name = args[0] if args else ""
        if name in COMMANDS:
            import_module(f"streams.cli.{COMMANDS[name][0]}")
            self.commands = typer.main.get_group(only(name)).commands
        else:  # the names among which the one that was meant is looked for
            self.commands = {known: self.get_command(ctx, known) for known in COMMANDS}
        return super().resolve_command(ctx, args)


_HELP = "weft.help"

app = typer.Typer(
    name="weft",
    cls=_Group,
    help="A streaming engine for fashion catalogues: photos in on Kafka; captions, hashtags and search answers out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def only(*names: str) -> typer.Typer:
    """The application with these commands alone, of those whose modules were imported: to build all that a process has ever imported
    takes half a second of a test, for each call.
    """
    found = copy(app)
    found.registered_commands = [
        one
        for one in app.registered_commands
        if (one.name or typer.main.get_command_name(_name_of(one.callback))) in names
    ]
    found.registered_groups = [one for one in app.registered_groups if one.name in names]
    return found


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", ""))


def _tell_version(wanted: bool) -> None:
    if wanted:
        from streams.contract.version import VERSION

        typer.echo(f"weft {VERSION}")
        raise typer.Exit


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, in the shapes of docs/events.md.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of a stack run by `weft up`.", show_default="WEFT_DATA_DIR")
]
OfShop = Annotated[str | None, typer.Option("--shop", help="Of this shop's products; without it, of those of no shop.")]


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
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from infra.settings import Settings
    from infra.stores import check_store_url
    from processors.policies import policies_of
    from streams.cli.output import say
    from streams.kafka.names import names_of
    from streams.kafka.options import servers

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
    policies_of(base.facet_policy)
    return base


def _no_json(problem: str) -> str:
    """The sentence for a list or a table that is no JSON: which variable, what is in it, and how it is written."""
    import json

    from infra.settings import Settings

    found = re.search(r'field "(\w+)"', problem)
    if found is None:
        return problem
    name = f"WEFT_{found[1].upper()}"
    given = os.environ.get(name, "")
    parts = [part.strip() for part in given.split(",")]
    listed = Settings.model_fields[found[1]].annotation != dict[str, str]
    form = json.dumps(parts) if listed else '{"name": "value"}'
    return f"{name}: {given!r} is no JSON {'list' if listed else 'object'}: write it as {form}"


def client_settings(data_dir: Path | None = None, *, wait: bool = True) -> Settings:
    """The settings of a client: those of the environment, or those of the stack that is up in the data dir.

    `wait`: for one that is still starting there, as after `weft up &`.
    """
    from streams.cli.output import say
    from streams.ops import stack_file

    chosen = settings(data_dir)
    if wait:
        stack_file.wait_for_start(chosen, say)
    return stack_file.locate(chosen)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    import asyncio

    return asyncio.run(work)
