"""Whether nodes speak, as people see it: the roster's monotonic times turned into wall-clock ones."""

from __future__ import annotations

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.roster import Roster
from bacalhau_nats.gateway.core import Presence
from bacalhau_nats.ports import Clock


class RosterPresence:
    """Reads one process' roster of heartbeats; callable as `Gateway.presence`."""

    def __init__(self, roster: Roster, clock: Clock) -> None:
        self._roster = roster
        self._clock = clock

    def __call__(self, node_id: NodeID) -> Presence | None:
        """Say what was heard of a node; a silent one gets a whole window before it counts as lost."""
        monotonic = self._clock.monotonic()
        connected = self._roster.live(node_id, monotonic)
        known = self._roster.nodes.get(node_id)
        if known is None:
            return Presence(connected=connected)
        shift = self._clock.now() - monotonic
        lost = 0.0 if connected else known.heard + self._roster.window + shift
        return Presence(connected, known.heard + shift, known.since + shift, lost, known.beat)
