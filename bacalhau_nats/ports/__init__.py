"""The seams: what a plugin must be, and what the logic of a role asks of the world.

A plugin author imports this package and nothing else.
"""

from bacalhau_nats.ports.logs import LogEntry, LogStart
from bacalhau_nats.ports.plugins import (
    WHOLE,
    Blobs,
    Choosy,
    Divisible,
    Executor,
    Failure,
    Health,
    Holder,
    LogSink,
    Outcome,
    PluginContext,
    Publisher,
    Share,
    Storage,
    Stream,
    UploadURL,
    Volume,
    Work,
    WorkFailed,
)
from bacalhau_nats.ports.roles import Clock, ComputeBus, Records, RequesterBus, Sight

__all__ = [
    "WHOLE",
    "Blobs",
    "Choosy",
    "Clock",
    "ComputeBus",
    "Divisible",
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
    "Share",
    "Sight",
    "Storage",
    "Stream",
    "UploadURL",
    "Volume",
    "Work",
    "WorkFailed",
]
