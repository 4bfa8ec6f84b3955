"""The rules for the network that a task wants: type, domains and ports."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from bacalhau_nats.domain.faults import Fault
from bacalhau_nats.domain.spec import NetworkType

_PORT_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,236}$")
_DOMAIN_CHARACTERS = re.compile(r"^[^A-Z\s]+$")
_LAST_PRIVILEGED_PORT = 1023
_LAST_PORT = 65535
_PORT_NETWORKS = (NetworkType.HOST, NetworkType.FULL, NetworkType.BRIDGE)


def network_faults(network: Mapping[str, Any], where: str) -> list[Fault]:
    """List what is wrong with the network that a task wants."""
    kind = NetworkType(network.get("Type", NetworkType.DEFAULT))
    found: list[Fault] = []
    domains, ports = network.get("Domains", ()), network.get("Ports", ())
    if domains and kind is not NetworkType.HTTP:
        found.append(Fault(f"{where}.Domains", "domains can only be set for HTTP network mode"))
    else:
        found += [
            Fault(f"{where}.Domains[{index}]", f'invalid domain "{domain}"')
            for index, domain in enumerate(domains)
            if not _DOMAIN_CHARACTERS.match(domain)
        ]
    if ports and kind not in _PORT_NETWORKS:
        found.append(Fault(f"{where}.Ports", "ports can only be set for Host or Bridge network modes"))
        return found
    seen: dict[str, set[Any]] = {"name": set(), "static port": set(), "target port": set()}
    for index, port in enumerate(ports):
        found += [Fault(f"{where}.Ports[{index}]", wrong) for wrong in _port(port, kind, seen)]
    return found


def _port(port: Mapping[str, Any], kind: NetworkType, seen: dict[str, set[Any]]) -> list[str]:
    wrong = []
    name, static, target = port.get("Name", ""), port.get("Static", 0), port.get("Target", 0)
    if not name:
        wrong.append("port mapping name is required")
    elif not _PORT_NAME.match(name):
        wrong.append(
            "port name must be a valid environment variable name: start with letter/underscore and contain "
            "only letters, numbers, and underscores"
        )
    if 0 < static <= _LAST_PRIVILEGED_PORT or static < 0:
        wrong.append(f"static port {static} is in privileged port range (1-{_LAST_PRIVILEGED_PORT})")
    elif static > _LAST_PORT:
        wrong.append(f"static port {static} is above maximum valid port {_LAST_PORT}")
    if not 0 <= target <= _LAST_PORT:
        wrong.append(f"invalid target port {target}")
    elif target and kind is not NetworkType.BRIDGE:
        wrong.append("target ports cannot be set for Host network mode")
    for what, value in (("name", name), ("static port", static), ("target port", target)):
        if value and value in seen[what]:
            shown = f'"{value}"' if what == "name" else value
            wrong.append(f"duplicate port mapping {what} {shown}")
        seen[what].add(value)
    address = port.get("HostNetwork", "")
    if address and not _is_address(address):
        wrong.append(f"invalid host network IP address: {address}")
    return wrong


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
