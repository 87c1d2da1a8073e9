"""Which IP addresses an image may be fetched from, DNS whose answers are checked, and URLs that stay as they are written."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from urllib.parse import quote

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in ("fec0::/10", "3fff::/20", "64:ff9b:1::/48", "192.88.99.0/24", "192.0.0.0/24")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_PARTS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*:)?(?P<authority>//[^/?#]*)?(?P<rest>.*)", re.ASCII | re.IGNORECASE | re.DOTALL
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
# Sent as they stand. Anything else (blanks, quotes, other scripts) may not stand in a request, and is escaped.
_SENT_AS_WRITTEN = "%!#$&'()*+,/:;=?@[]~^{|}"


class ForbiddenAddress(Exception):
    """The host leads to an address inside: private, loopback, link-local or otherwise not public."""

    def __init__(self, host: str) -> None:
        super().__init__(f"the host {host[:100]!r} leads to an address that is not public")


def literal_address(host: str) -> str | None:
    """The canonical form of an IP address written as a host name, the old forms of IPv4 included; None for a name.

    `127.1`, `2130706433` and `0x7f000001` are 127.0.0.1 to the operating system (inet_aton), hence also to us.
    """
    host = host.strip("[]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def is_public_address(address: str) -> bool:
    """Whether an IP address is globally reachable; IPv4 addresses wrapped in IPv6 are judged by what they wrap."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified:
        return False
    # The standard library calls these global: the private addresses that IPv6 had before fc00::/7, ranges of examples.
    if any(parsed in network for network in _NOT_PUBLIC if network.version == parsed.version):
        return False
    return all(wrapped.is_global and not wrapped.is_multicast for wrapped in _wrapped(parsed))


def _wrapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return [wrapped for wrapped in found if wrapped is not None]


class CheckedResolver(AbstractResolver):
    """Looks a host up and refuses it if *any* of its addresses is not allowed.

    aiohttp connects to the addresses that this returns, so a second look-up with another answer cannot happen.
    """

    def __init__(self, is_allowed: Callable[[str], bool], inner: AbstractResolver) -> None:
        self._is_allowed = is_allowed
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not all(self._is_allowed(result["host"]) for result in found):
            raise ForbiddenAddress(host)
        return found

    async def close(self) -> None:
        await self._inner.close()


def url_as_written(text: str) -> URL:
    """An address, or a relative one of a redirect, of which nothing is rewritten: a signature covers each `%2F` and `+`.

    Raises:
        ValueError: it is none, or holds control characters.
    """
    text = text.strip()
    parts = _PARTS.match(text)
    if parts is None or _CONTROLS.search(text):
        raise ValueError("not an address")
    rest = quote(parts["rest"], safe=_SENT_AS_WRITTEN)
    if parts["authority"] is None:
        return URL(rest, encoded=True) if parts["scheme"] is None else URL(text)
    # Not by `URL`: it takes the beginning of a path like "//a//b" for a host.
    path, _, query = rest.partition("#")[0].partition("?")
    base = URL((parts["scheme"] or "https:") + parts["authority"])  # a host's name in ASCII, a port as a number
    return URL.build(
        scheme=base.scheme if parts["scheme"] else "",
        authority=base.raw_authority,
        path=path or "/",
        query_string=query,
        encoded=True,
    )
