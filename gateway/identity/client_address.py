"""Finds the client address of a request, in a way that clients cannot forge."""

from ipaddress import IPv6Address, ip_address, ip_network

from fastapi import Request

IPV6_PREFIX_BITS = 64
"""A client with one IPv6 address has all addresses with this prefix (RFC 4291, 2.5.4)."""
UNKNOWN = "unknown"


def client_address(request: Request, trusted_hops: int) -> str:
    """Return the address of the client, for IPv6 its network.

    Each proxy appends its peer to X-Forwarded-For. With `trusted_hops` proxies of the deployment
    in front, that many entries from the right are authentic. The client may have forged the others.
    """
    peer = request.client.host if request.client else UNKNOWN
    if trusted_hops:
        entries = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        if len(entries) >= trusted_hops:
            return _network(entries[-trusted_hops].strip()) or _network(peer) or UNKNOWN
    return _network(peer) or UNKNOWN


def _network(text: str) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(ip_network((int(address), IPV6_PREFIX_BITS), strict=False))
        address = address.ipv4_mapped
    return str(address)
