"""A process that gives way to every other one on the machine: for work that nobody waits for."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NICE = 19


def give_way() -> None:
    """Let this process have only what no other wants of the processor, and let it be the first to go where memory runs out.

    Linux: the scheduling class SCHED_IDLE for every thread there is (later ones begin with that of their maker), and `oom_score_adj`.
    Elsewhere the lowest nice value. What the system refuses is left as it is. A device is shared as before: it knows no priorities.
    """
    threads = _threads()
    idle = getattr(os, "SCHED_IDLE", None)
    for thread in threads or [0]:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, NICE)
        if idle is not None and threads:
            with suppress(OSError):  # a thread that has just ended, a sandbox
                os.sched_setscheduler(thread, idle, os.sched_param(0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _threads() -> list[int]:
    """The ids of this process's threads; none where the system does not tell."""
    try:
        return [int(entry.name) for entry in Path("/proc/self/task").iterdir()]
    except OSError:
        return []
