"""The command line. Each command only translates: parse, wire, call."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point of `weft`: runs a command and turns every error into a sentence and a stable exit code."""
    # Set before any library is imported: none of them may call home or install anything.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    from processors.errors import Missing, Poison, Retryable, WeftError
    from streams.cli import client, dlq, evaluate, manage, serve, train
    from streams.cli.app import app
    from streams.cli.exits import Exit
    from streams.cli.output import say

    del client, dlq, evaluate, manage, serve, train  # imported for their commands
    try:
        app()
    except TimeoutError as error:
        say(f"weft: {error or 'no answer in time'}")
        sys.exit(Exit.TIMEOUT)
    except (Retryable, Missing) as error:
        say(f"weft: {error}")
        sys.exit(Exit.UNAVAILABLE)
    except Poison as error:
        say(f"weft: {error}")
        sys.exit(Exit.REJECTED)
    except WeftError as error:
        say(f"weft: {error}")
        sys.exit(Exit.FAILED)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
