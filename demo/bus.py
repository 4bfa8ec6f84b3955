"""A look at the bus: a plain subscriber, as ``nats sub`` is one, and the messages of one execution."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import nats
from nats.aio.msg import Msg

_UUID = re.compile(r"([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SAID = frozenset({"ExecutionID", "JobID", "NodeID", "Instance", "Nonce"})
_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Heard:
    """One message: when (seconds since the tap was opened), where, and its JSON."""

    at: float
    subject: str
    payload: str

    def brief(self) -> tuple[str, str]:
        """Subject and payload so that a line holds them: ids cut to eight digits, and not said twice."""
        message = {k: v for k, v in json.loads(self.payload).items() if k not in _SAID}
        if "Job" in message:
            message["Job"] = "…"
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":")).replace('"…"', "{…}")
        return _UUID.sub(r"\1", self.subject), _UUID.sub(r"\1", text)


class Tap:
    """Hears everything of a cell but the echoes of stored facts, while the ``async with`` block runs."""

    def __init__(self, url: str, cell: str) -> None:
        self.subject = f"bacalhau.{cell}.>"
        self._url = url
        self._echo = f"bacalhau.{cell}.fact."
        self._heard: list[Heard] = []
        self._since = 0.0

    async def __aenter__(self) -> Self:
        self._connection = await nats.connect(self._url, name="demo tap", allow_reconnect=False)
        self._since = time.monotonic()
        await self._connection.subscribe(self.subject, cb=self._hear)
        await self._connection.flush()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def _hear(self, message: Msg) -> None:
        if not message.subject.startswith(self._echo) and len(self._heard) < _KEPT:
            payload = message.data.decode(errors="replace")
            self._heard.append(Heard(time.monotonic() - self._since, message.subject, payload))

    def story(self, execution: str, node: str) -> list[tuple[str, Heard]]:
        """Give one message of each kind around an execution on ``node``, in the order they were heard."""
        kinds = {
            "heartbeat": f".node.{node}.heartbeat",
            "offer": f".offer.{node}.{execution}",
            "bid": f".{execution}.{node}",
            "desired": f".execution.{execution}.desired.{node}",
            "log": f".{execution}.stdout",
            "observed": f".execution.{execution}.observed.{node}",
        }
        found = []
        for kind, end in kinds.items():
            matching = [h for h in self._heard if h.subject.endswith(end) and _tells(h)]
            if matching:
                found.append((kind, matching[-1] if kind == "observed" else matching[0]))
        return sorted(found, key=lambda item: item[1].at)


def _tells(heard: Heard) -> bool:
    """Leave out the withdrawal of an offer and the empty chunk that ends a log."""
    try:
        message = json.loads(heard.payload or "{}")
    except ValueError:
        return False
    return not message.get("Withdrawn") and not message.get("End")
