"""`python -m streams.cli`: the same as `weft`."""

import contextlib
import sys
from pathlib import Path


def leave_folder() -> None:
    """Take the folder in which the user stands off the path, where `python -m` has put it, unless we are run from it.

    A shop's own `models/` or `torch.py` there would be imported instead of ours.
    """
    if sys.flags.safe_path or not sys.path:
        return
    with contextlib.suppress(OSError):  # the folder was removed: nothing can be imported from it
        here, ours = Path.cwd().resolve(), Path(__file__).resolve().parents[2]
        if Path(sys.path[0]).resolve() == here != ours:
            del sys.path[0]


if __name__ == "__main__":
    leave_folder()
    from streams.cli import main

    main()
