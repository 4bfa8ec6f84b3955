"""Ports of this machine that executions have taken."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.spec import NetworkConfig
from bacalhau_nats.ports import WorkFailed


@dataclass(slots=True)
class PortBook:
    """Gives out ports of a range; a static port is given as asked, or not at all."""

    first: int = 20000
    last: int = 32000
    _next: int = 0
    _taken: dict[int, ExecutionID] = field(default_factory=dict)

    def take(self, execution: ExecutionID, network: NetworkConfig) -> dict[str, int]:
        """Take a port of this machine for each named port. Raises WorkFailed (reason ENGINE), taking none."""
        given: dict[str, int] = {}
        try:
            # Those that ask for one certain port come first, lest another is given it.
            for port in sorted(network.ports, key=lambda port: port.static == 0):
                given[port.name] = self._static(port.static) if port.static else self._dynamic()
                self._taken[given[port.name]] = execution
        except WorkFailed:
            self.give_back(execution)
            raise
        return given

    def give_back(self, execution: ExecutionID) -> None:
        """Release what an execution took."""
        for port in [p for p, holder in self._taken.items() if holder == execution]:
            del self._taken[port]

    def _static(self, port: int) -> int:
        if port in self._taken or not _bindable(port):
            raise WorkFailed(
                f"port {port} is in use on this node",
                reason=Reason.ENGINE,
                hint="leave Static out to get any free port",
            )
        return port

    def _dynamic(self) -> int:
        size = self.last - self.first + 1
        for step in range(size):
            port = self.first + (self._next + step) % size
            if port not in self._taken and _bindable(port):
                self._next = (self._next + step + 1) % size
                return port
        raise WorkFailed(f"no port between {self.first} and {self.last} is free on this node")


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
