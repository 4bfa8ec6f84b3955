"""Who is alive and how much is free: heartbeats, judged by the listener's own clock.

Nobody is lost because the listener slept: windows start anew at start, on reconnect and after a stall
(`restart_windows`), and a node that is silent since then still counts for one whole window. Of two
amounts of free capacity the one with the higher tick of the same instance is newer; what was offered
and not answered yet is taken off until the answer comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bacalhau_nats.domain.ids import ExecutionID, NodeID
from bacalhau_nats.domain.node import Heartbeat, is_live
from bacalhau_nats.domain.resources import NOTHING, Resources


@dataclass(slots=True)
class Attendance:
    """What is known of one node since this process listens; times are monotonic seconds."""

    beat: Heartbeat
    heard: float
    since: float  # when this stretch of being heard began
    free: Resources = NOTHING
    tick: int = 0
    offered: dict[ExecutionID, Resources] = field(default_factory=dict)


@dataclass(slots=True)
class Roster:
    """Heartbeats of all nodes. ``window`` is seconds of silence after which a node counts as lost."""

    window: float
    started: float = 0.0
    nodes: dict[NodeID, Attendance] = field(default_factory=dict)

    def restart_windows(self, now: float) -> None:
        """Forgive silence up to now."""
        self.started = now

    def hear(self, beat: Heartbeat, now: float) -> bool:
        """Take a heartbeat; say whether this node has more room than was known (or is new)."""
        known = self.nodes.get(beat.node_id)
        if known is None or known.beat.instance != beat.instance:
            self.nodes[beat.node_id] = Attendance(beat, now, now, beat.free, beat.tick)
            return True
        back = not is_live(known.heard, now, self.window)
        known.since = now if back else known.since
        known.heard = now
        if beat.tick <= known.tick:
            return back
        grown = back or not beat.free.fits_in(known.free)
        known.beat, known.free, known.tick = beat, beat.free, beat.tick
        return grown

    def offer(self, node_id: NodeID, execution: ExecutionID, needs: Resources) -> None:
        """Note that ``needs`` was offered to a node and not answered yet."""
        known = self.nodes.get(node_id)
        if known is not None:
            known.offered[execution] = needs

    def settle(self, node_id: NodeID, execution: ExecutionID) -> None:
        """Forget an offer: it was answered or given up."""
        known = self.nodes.get(node_id)
        if known is not None:
            known.offered.pop(execution, None)

    def amount(self, node_id: NodeID, free: Resources, tick: int) -> None:
        """Take the free capacity that came with an answer, if it is newer."""
        known = self.nodes.get(node_id)
        if known is not None and tick > known.tick:
            known.free, known.tick = free, tick

    def live(self, node_id: NodeID, now: float) -> bool:
        """Say whether the node counts as alive: heard within the window, or not yet given one."""
        known = self.nodes.get(node_id)
        last = max(known.heard, self.started) if known else self.started
        return is_live(last, now, self.window)

    def heard(self, node_id: NodeID, now: float) -> bool:
        """Say whether the node was really heard within the window."""
        known = self.nodes.get(node_id)
        return known is not None and is_live(known.heard, now, self.window)

    def free(self, node_id: NodeID) -> Resources:
        """Give what a node has free as far as known, less what it was offered."""
        known = self.nodes.get(node_id)
        if known is None:
            return NOTHING
        room = known.free
        for needs in known.offered.values():
            room = room - needs
        return room
