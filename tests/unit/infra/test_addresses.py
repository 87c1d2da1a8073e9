"""Which addresses are public."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.addresses import is_public_address, literal_address


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "fe80::1%eth0",
        "not an address",
        "",
    ],
)
def test_inside_addresses_are_refused(address: str) -> None:
    """Loopback, private, link-local, shared, multicast, reserved, and all of them wrapped in IPv6."""
    assert not is_public_address(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses_are_allowed(address: str) -> None:
    """Ordinary hosts of the internet."""
    assert is_public_address(address)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("images.example.com", None),
        ("", None),
    ],
)
def test_old_spellings_of_addresses_are_seen_through(host: str, address: str | None) -> None:
    """What the operating system would take for an address is one for us."""
    assert literal_address(host) == address


@given(st.ip_addresses(v=4))
def test_wrapping_never_makes_an_address_public(address: ipaddress.IPv4Address) -> None:
    """The IPv4-mapped and NAT64 forms are no more public than what they wrap."""
    public = is_public_address(str(address))
    assert is_public_address(f"::ffff:{address}") <= public
    assert is_public_address(str(ipaddress.IPv6Address((0x64FF9B << 96) | int(address)))) <= public
