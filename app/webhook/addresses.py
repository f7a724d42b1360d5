"""Whom webhooks may be sent to: whoever may ask this service for one must not reach with it what only this machine can reach."""

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are an IPv4 address."""


class AddressRefusedError(Exception):
    """All addresses of a host are private ones."""


@dataclass(frozen=True, kw_only=True)
class AddressRules:
    """Public addresses are always allowed."""

    allowed_hosts: Sequence[str]
    """Names, addresses and networks of private hosts that may be sent to."""
    allows_loopback: bool

    def allows(self, host: str, address: Address) -> bool:
        """Whether ``host``, which is found at ``address``, may be sent to."""
        meant = _meant(address)
        if _is_public(meant):
            return True
        if meant.is_loopback and self.allows_loopback:
            return True
        return host.lower().rstrip(".") in self._names() or any(meant in network for network in self._networks())

    def _names(self) -> set[str]:
        return {name.lower() for name in self.allowed_hosts}

    def _networks(self) -> Iterable[Network]:
        for name in self.allowed_hosts:
            try:
                network: Network = ipaddress.ip_network(name, strict=False)
            except ValueError:
                continue  # it is a name
            yield network


def resolve(host: str, port: int, *, rules: AddressRules) -> list[Address]:
    """The addresses of ``host`` that may be sent to, in the resolver's order.

    Raises AddressRefusedError if there are only others, and OSError if the name is not known.
    """
    found = [
        ipaddress.ip_address(str(place[0]).partition("%")[0])
        for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ]
    allowed = [address for address in found if rules.allows(host, address)]
    if not allowed:
        raise AddressRefusedError(f"{host} is at {', '.join(map(str, dict.fromkeys(found)))}, a private address")
    return allowed


def literal(host: str) -> Address | None:
    """The address that ``host`` is, if it is one, or ``localhost``."""
    if host.lower().rstrip(".") == "localhost":
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    """Python calls some global that are not: groups, what is reserved, and the old private networks of IPv6."""
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _meant(address: Address) -> Address:
    """The IPv4 address that is reached by an IPv6 one, where one is written in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
