"""Logs of a node: one line per record on stderr, for people or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_LEVELS = {"trace": "DEBUG", "warn": "WARNING", "fatal": "CRITICAL", "panic": "CRITICAL"}


def set_up(level: str, mode: str) -> None:
    """Send every record of ``level`` and above to stderr; ``mode`` ``json`` writes JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if mode == "json" else _Line())
    name = _LEVELS.get(level.lower(), level.upper())
    least = logging.getLevelNamesMapping().get(name, logging.INFO)
    logging.basicConfig(level=least, handlers=[handler])
    if least > logging.DEBUG:
        # It tells of every connection at INFO.
        logging.getLogger("uvicorn").setLevel(max(least, logging.WARNING))
    # It writes whole URLs, and those of inputs may hold passwords and signatures.
    logging.getLogger("httpx").setLevel(max(least, logging.WARNING))


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _OWN}


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        extra = "".join(f" {key}={value}" for key, value in _extra(record).items())
        text = f"{moment} {record.levelname:<7} {record.name.removeprefix('bacalhau_nats.')}: {record.getMessage()}{extra}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, default=str)
