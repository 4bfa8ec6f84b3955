"""The seams: what a plugin must be, and what the logic of a role asks of the world.

A plugin author imports this package and nothing else.
"""

from bacalhau_nats.ports.logs import LogEntry, LogStart
from bacalhau_nats.ports.plugins import (
    Blobs,
    Executor,
    Failure,
    Health,
    Holder,
    LogSink,
    Outcome,
    PluginContext,
    Publisher,
    Storage,
    Stream,
    Volume,
    Work,
    WorkFailed,
)
from bacalhau_nats.ports.roles import Clock, ComputeBus, Records, RequesterBus, Sight

__all__ = [
    "Blobs",
    "Clock",
    "ComputeBus",
    "Executor",
    "Failure",
    "Health",
    "Holder",
    "LogEntry",
    "LogSink",
    "LogStart",
    "Outcome",
    "PluginContext",
    "Publisher",
    "Records",
    "RequesterBus",
    "Sight",
    "Storage",
    "Stream",
    "Volume",
    "Work",
    "WorkFailed",
]
