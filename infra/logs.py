"""Logs: structlog to stderr, console or JSON, with secrets taken out; the standard library's logs go the same way."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TextIO

from infra.secrets import MASK, names_a_secret, redacted

if TYPE_CHECKING:
    import structlog


class _Logger:
    """structlog's logger of a name, asked for with the first line that is written."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        import structlog

        if not structlog.is_configured():
            _plain()
        return getattr(structlog.get_logger(self._name), attribute)


def _plain() -> None:
    """To stderr, for a process that nobody set up (`configure`): structlog's own default is stdout, where the
    answer of a tool stands, which other programs read.
    """
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.dev.ConsoleRenderer(colors=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def logger(name: str) -> Any:
    """As `structlog.get_logger`, for modules that tools import too: structlog is not imported before something is written."""
    return _Logger(name)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor: values under telling names are masked, all other text is searched."""
    for name, value in event.items():
        event[name] = _masked(name, value)
    return event


def _masked(name: str, value: Any) -> Any:
    if name.startswith("_"):  # structlog's own: the record and the exception
        return value
    if names_a_secret(name) and value not in (None, "", True, False):
        return MASK
    if isinstance(value, BaseException):
        value = f"{type(value).__name__}: {value}"
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: _masked(str(key), inner) for key, inner in value.items()}
    return [_masked("", inner) for inner in value] if isinstance(value, list | tuple) else value


def configure(level: str = "info", form: str = "auto", *, stream: TextIO | None = None) -> None:
    """Set up logging of the whole process. Entry points call this once.

    Args:
        level: debug, info, warning or error.
        form: console, json, or auto: console on a terminal.
        stream: where to; default stderr, so that stdout is left to the command's answer.
    """
    import structlog

    stream = stream or sys.stderr
    as_json = form == "json" or (form == "auto" and not stream.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # to text first, so that tracebacks are searched as well
        redact,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Their debug messages show whole requests, and their informative ones one line for each partition.
    for name in ("urllib3", "aiokafka", "asyncio", "PIL", "faust", "mode"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        cache_logger_on_first_use=False,
    )
