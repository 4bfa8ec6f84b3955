"""The rules for the network that a task wants: type, domains and ports."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from bacalhau_nats.domain.faults import Fault
from bacalhau_nats.domain.spec import NetworkType

_PORT_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_LONGEST_PORT_NAME = 237
_DOMAIN = re.compile(r"\b(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,}\b", re.ASCII)
"""What a domain must contain somewhere: the public server accepts ``*.example.com`` and whole addresses."""
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
    found += [
        Fault(f"{where}.Domains[{index}]", f'invalid domain "{domain}"')
        for index, domain in enumerate(domains)
        if not (_DOMAIN.search(domain) or _is_address(domain))
    ]
    if ports and kind not in _PORT_NETWORKS:
        found.append(Fault(f"{where}.Ports", "ports can only be set for Host or Bridge network modes"))
        return found
    seen: dict[str, set[Any]] = {"name": set(), "static port": set(), "target port": set()}
    for index, port in enumerate(ports):
        found += [Fault(f"{where}.Ports[{index}]", wrong) for wrong in _port(port, kind, seen)]
    return found


def _port(port: Mapping[str, Any], kind: NetworkType, seen: dict[str, set[Any]]) -> list[str]:
    name, static, target = port.get("Name", ""), port.get("Static", 0), port.get("Target", 0)
    wrong = _port_name(name)
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


def _port_name(name: str) -> list[str]:
    if not name:
        return ["port mapping name is required"]
    if not _PORT_NAME.match(name):
        wanted = "start with letter/underscore and contain only letters, numbers, and underscores"
        return [f"port name must be a valid environment variable name: {wanted}"]
    if len(name) > _LONGEST_PORT_NAME:
        return [f"port name too long (max {_LONGEST_PORT_NAME} characters)"]
    return []


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not getattr(address, "scope_id", None)  # Go reads no zones here
