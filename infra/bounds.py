"""What numbers and addresses of settings may be.

A number that is none (`nan`), has no end (`inf`, `1e400`) or is beyond what the clocks, timers and brokers behind it hold would be taken at
the start, and be met by a role hours later: in a timer that never fires, or an overflow at the first record.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import Field

MOST_SECONDS = 1_000_000
"""Eleven days. Kafka's times are milliseconds in 32 bits, which end at 24 days."""

Seconds = Annotated[float, Field(gt=0, le=MOST_SECONDS, allow_inf_nan=False)]
SecondsOrNone = Annotated[float, Field(ge=0, le=MOST_SECONDS, allow_inf_nan=False)]
"""0: not at all."""
Milliseconds = Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)]
Hours = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
"""Up to a hundred years, which dates still hold."""
Days = Annotated[float, Field(le=1_000_000, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Bytes = Annotated[int, Field(ge=1, le=2**40)]
Replicas = Annotated[int, Field(le=32_767)]
"""16 bits in Kafka's protocol."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_.])?", re.ASCII)


def is_host(text: str) -> bool:
    """Whether this may be the name or the address of a host; an address of IPv6 without brackets."""
    return bool(_NAME.fullmatch(text)) or _is_ipv6(text)


def is_host_and_port(text: str) -> bool:
    """Whether this is `host`, `host:port`, `[IPv6]` or `[IPv6]:port`: no `http://` before it, no path behind it."""
    bracketed = re.fullmatch(r"\[(?P<host>[^\]]*)\](:(?P<port>.*))?", text, re.DOTALL)
    if bracketed:
        return _is_ipv6(bracketed["host"]) and _is_port(bracketed["port"])
    host, colon, port = text.partition(":")
    return bool(_NAME.fullmatch(host)) and _is_port(port if colon else None)


def is_allowed_host(text: str) -> bool:
    """Whether this is `host`, `host:port` or `*.domain`, of any script, and no address with a scheme or a path."""
    return bool(re.fullmatch(r"(\*\.)?[^\s/@?#*]+", text))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_port(text: str | None) -> bool:
    return text is None or bool(re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) and 0 < int(text) < 2**16)
