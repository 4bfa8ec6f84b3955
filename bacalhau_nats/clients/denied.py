"""Which network addresses a node never downloads from, whoever asks.

A job names the URL, the node's network position does the fetching: without a rule here any user could read
the credentials that clouds hand out on link-local addresses. The rule looks at the address that is really
connected to, in whatever notation it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

_NAT64 = ip_network("64:ff9b::/96")

ALWAYS: tuple[tuple[str, str], ...] = (
    ("169.254.0.0/16", "link-local, where clouds hand out credentials"),
    ("fe80::/10", "link-local"),
    ("fd00:ec2::254/128", "the metadata service of AWS"),
    ("100.100.100.200/32", "the metadata service of Alibaba Cloud"),
    ("168.63.129.16/32", "the host service of Azure"),
    ("192.0.0.192/32", "the metadata service of Oracle Cloud"),
    ("0.0.0.0/8", "this host by another name"),
    ("::/128", "this host by another name"),
    ("224.0.0.0/4", "multicast"),
    ("ff00::/8", "multicast"),
    ("255.255.255.255/32", "broadcast"),
)
"""Never allowed, each with its reason; there is no setting."""


class DeniedNetworks:
    """`ALWAYS`, and what the operator added."""

    def __init__(self, more: Sequence[str] = ()) -> None:
        """Take networks as CIDR, ``10.0.0.0/8``. Raises ValueError naming what is none."""
        self._rules = [(ip_network(network), reason) for network, reason in ALWAYS]
        self._rules += [(ip_network(network), f"in {network}, denied on this node") for network in more]

    def why(self, address: str) -> str:
        """Say why ``address`` is denied; empty when it is not. Raises ValueError when it is no IP address."""
        for form in _forms(ip_address(address.partition("%")[0])):
            for network, reason in self._rules:
                if form.version == network.version and form in network:
                    return reason
        return ""


def _forms(address: Address) -> list[Address]:
    """Give the address and, where an IPv4 address rides in an IPv6 one, that too."""
    if isinstance(address, IPv4Address):
        return [address]
    inner = [address.ipv4_mapped, address.sixtofour]
    if address in _NAT64:
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [address, *(form for form in inner if form is not None)]
