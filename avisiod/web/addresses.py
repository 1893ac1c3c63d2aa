"""Who is asking: the peer's address, or the one that a trusted proxy forwards for."""

import ipaddress
from collections.abc import Collection, Iterable


def client_address(peer: str, forwarded_for: Iterable[str], trusted: Collection[str]) -> str:
    """The relative's IP address: `peer`, unless it is trusted; then the last forwarded one that is not.

    `forwarded_for` holds the values of X-Forwarded-For in their order. What lies left of the first address that
    is not trusted was written by a stranger and is ignored; so is a value that is no address.
    """
    address = plain(peer)
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    while address in trusted and hops:
        hop = plain(hops.pop())
        if not hop:
            break
        address = hop
    return address


def neighbourhood(address: str) -> str:
    """Whom an address stands for where places are counted: itself, in IPv6 its /64, of which one person has all."""
    known = plain(address)
    if ":" not in known:
        return known
    return str(ipaddress.ip_network((known, 64), strict=False))


def plain(address: str) -> str:
    """One spelling for each address (IPv4 in IPv6 unwrapped, zone dropped); empty where it is none."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
