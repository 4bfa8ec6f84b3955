"""Everything that can be set: one model per section, defaults and help text, read once at start.

The tree mirrors the keys of Bacalhau 1.9 and adds few of its own. The CLI loads it and `node` hands each
role its own section; nothing else reads files or the environment.
"""

from bacalhau_nats.settings.compute import AllocatedCapacity, ComputeSettings, allocate
from bacalhau_nats.settings.edit import set_key
from bacalhau_nats.settings.orchestrator import OrchestratorSettings
from bacalhau_nats.settings.tree import Described, Settings, all_keys
from bacalhau_nats.settings.values import format_duration, format_size, parse_duration, parse_size

__all__ = [
    "AllocatedCapacity",
    "ComputeSettings",
    "Described",
    "OrchestratorSettings",
    "Settings",
    "all_keys",
    "allocate",
    "format_duration",
    "format_size",
    "parse_duration",
    "parse_size",
    "set_key",
]
