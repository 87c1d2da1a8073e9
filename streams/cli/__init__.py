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
    # Read when torch is loaded: threads that spin while they wait for each other cost a busy machine four fifths of its time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a tool says itself what was wrong; roles `configure`
    # Boxes around a help text cost more than all the rest of it: the library that draws them reads Markdown too.
    os.environ.setdefault("TYPER_USE_RICH", "0")
    from streams.cli.app import only
    from streams.cli.exits import Exit, told

    try:
        only()()  # its commands come when they are called
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:
        found = told(error)
        if found is None:
            raise
        from streams.cli.output import say

        code, sentence = found
        say(f"weft: {sentence}")
        sys.exit(code)
