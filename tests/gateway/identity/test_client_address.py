"""The address of a client: what it writes into X-Forwarded-For itself does not count."""

import pytest
from fastapi import Request

from gateway.identity.client_address import client_address

PEER = "192.0.2.1"


def address(hops: int, *forwarded: str, peer: str | None = PEER) -> str:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    client = (peer, 1234) if peer else None
    return client_address(Request({"type": "http", "headers": headers, "client": client}), hops)


@pytest.mark.parametrize(
    ("hops", "forwarded", "expected"),
    [
        (0, [], PEER),
        (0, ["198.51.100.7"], PEER),
        (1, [], PEER),
        (1, ["198.51.100.7"], "198.51.100.7"),
        (1, ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (1, ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        (2, ["203.0.113.9, 198.51.100.7,10.0.0.2"], "198.51.100.7"),
        (2, ["198.51.100.7"], PEER),
        (1, ["203.0.113.9, unknown"], PEER),
        (1, [""], PEER),
    ],
)
def test_one_entry_from_the_right_is_trusted_for_each_proxy(
    hops: int, forwarded: list[str], expected: str
):
    assert address(hops, *forwarded) == expected


def test_an_ipv6_address_counts_as_its_network():
    assert address(0, peer="2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert address(0, peer="2001:db8:1:2::7") == address(0, peer="2001:db8:1:2::8")
    assert address(0, peer="2001:db8:1:3::7") != address(0, peer="2001:db8:1:2::7")


def test_an_ipv4_address_in_ipv6_notation_is_the_ipv4_address():
    assert address(0, peer=f"::ffff:{PEER}") == PEER


def test_requests_without_a_peer_share_one_address():
    assert address(0, peer=None) == "unknown"
