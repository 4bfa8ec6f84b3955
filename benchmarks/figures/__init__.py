"""The figures, by name. Each is a coroutine function that takes a `Scale` and gives its measures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from benchmarks.figures import (
    docker,
    failover,
    follower,
    heartbeats,
    latency,
    lists,
    memory,
    nodes,
    restart,
    s3,
    startup,
    throughput,
)
from benchmarks.figures.scale import Scale
from benchmarks.measure import Measure

Figure = Callable[[Scale], Awaitable[list[Measure]]]

FIGURES: Mapping[str, Figure] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "nodes": nodes.measure,
    "docker": docker.measure,
    "lists": lists.measure,
    "follower": follower.measure,
    "heartbeats": heartbeats.measure,
    "memory": memory.measure,
    "failover": failover.measure,
    "restart": restart.measure,
    "startup": startup.measure,
    "s3": s3.measure,
}

MINUTES: Mapping[str, float] = {"lists": 5, "memory": 5, "s3": 10}
"""How long a figure may take; the others have `MOST_MINUTES`."""
MOST_MINUTES = 4.0
