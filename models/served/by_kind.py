"""Writers and captioners of the kind `openai` in a profile (`models.profiles.kinds`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from models.served.failures import Unanswered
from models.served.options import options_of
from processors.errors import BadSetting

if TYPE_CHECKING:
    from models.profiles.kinds import Place
    from models.profiles.profile import Part
    from models.served.captioner import ServedCaptioner
    from models.served.client import Server
    from models.served.writer import ServedWriter


def writer(part: Part, place: Place) -> ServedWriter:
    """Asks nobody yet. Raises `BadSetting`: an option is wrong, or the settings want a grammar that the server is not told."""
    from models.served.writer import ServedWriter

    made = ServedWriter(options_of(part.options))
    if place.grounded and not made.grounded:
        raise BadSetting(
            "WEFT_WRITER=grounded: the writer's server is to be told the grammar by the option guided (docs/models/servers.md)"
        )
    return made


def captioner(part: Part, _place: Place) -> ServedCaptioner:
    """Asks nobody yet. Raises `BadSetting`."""
    from models.served.captioner import ServedCaptioner

    return ServedCaptioner(options_of(part.options))


def examine_writer(part: Part, place: Place) -> tuple[str, ...]:
    """What is wrong with the server of a writer, for `weft doctor` and `weft models add`; it is asked for its models, and for a few words."""
    return _examined(lambda: writer(part, place).server)


def examine_captioner(part: Part, place: Place) -> tuple[str, ...]:
    """The same of a captioner: it is sent a small photo."""
    return _examined(lambda: captioner(part, place).server)


def _examined(make: Callable[[], Server]) -> tuple[str, ...]:
    try:
        server = make()
    except BadSetting as error:
        return (str(error),)
    try:
        return examined(server)
    finally:
        server.close()


def examined(server: Server) -> tuple[str, ...]:
    """Sentences about what is wrong with a server; () where it writes. Blocks, for a minute or two at most."""
    options = server.options
    place = f"{options.base_url}, model {options.model!r}"
    try:
        server.try_out().result()
    except Unanswered as why:
        return (f"{place}: {why.cause}, {why.said}{_advice(server, why)}",)
    return ()


def _advice(server: Server, why: Unanswered) -> str:
    """What a person may do about it."""
    if why.cause == "key":
        return "; look at key_file, and whether the server knows that key"
    if why.cause not in {"model", "refused"}:
        return ""
    try:
        known = server.models().result()
    except Unanswered:
        return "; it does not tell which models it has"
    if server.options.model in known:
        return "; it has this model, so look at what it says of the request (guided, extra)"
    return f"; it has {', '.join(known[:10]) or 'no models'}"
