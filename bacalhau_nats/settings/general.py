"""The small sections: `Logging`, `WebUI`, `UpdateConfig`, `FeatureFlags`."""

from __future__ import annotations

from typing import Annotated, Literal

from bacalhau_nats.settings.section import Section, key
from bacalhau_nats.settings.values import Duration, Lower, Text


class LoggingSettings(Section):
    """What a node logs, and how."""

    level: Annotated[
        Literal["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"], Lower
    ] = key("info", "Least severe level that is logged.")
    mode: Annotated[Literal["default", "json", "cmd"], Lower] = key("default", "Form of a log line.")
    log_debug_info_interval: Duration = key(30.0, "Time between dumps of internals.", unused=True)


class WebUISettings(Section):
    """The web user interface of the original; there is none here."""

    enabled: bool = key(False, "Whether to serve the web interface.", unused=True)
    listen: Text = key("0.0.0.0:8438", "Address of the web interface.", unused=True)
    backend: Text = key("", "API the web interface uses.", unused=True)


class UpdateSettings(Section):
    """The check for newer versions of the original; there is none here."""

    interval: Duration = key(86400.0, "Time between checks for a newer version.", unused=True)


class FeatureFlags(Section):
    """Switches for features under trial; there are none."""
