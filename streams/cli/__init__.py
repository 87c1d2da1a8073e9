"""The command line. Each command only translates: parse, wire, call."""

from __future__ import annotations

import logging
import os
import sys


def main() -> None:
    """Entry point of `weft`: runs a command and turns every error into a sentence and a stable exit code."""
    # Set before any library is imported: none of them may call home or install anything.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a tool says itself what was wrong; roles `configure`
    from streams.cli import client, dlq, evaluate, manage, serve, store, train
    from streams.cli.app import app
    from streams.cli.exits import Exit, told
    from streams.cli.output import say

    del client, dlq, evaluate, manage, serve, store, train  # imported for their commands
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:
        found = told(error)
        if found is None:
            raise
        code, sentence = found
        say(f"weft: {sentence}")
        sys.exit(code)
