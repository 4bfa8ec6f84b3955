"""The ``local`` publisher: results stay on the node, which serves them over HTTP.

The result is ``{"Type": "urlDownload", "Params": {"URL": "http://<address>:<port>/<execution id>.tar.gz"}}``.
Anyone who can reach that address can read it: the execution id is the only secret. So it listens on the one
address it names, unlike the original, which listens on all of them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from pydantic import Field

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.ports import Health, PluginContext, Work, WorkFailed
from bacalhau_nats.publishers.archive import DRAFT_SUFFIX, pack
from bacalhau_nats.publishers.expiry import remove_expired
from bacalhau_nats.publishers.fileserver import serve_files

DEFAULT_PORT = 6001
_TRIES = 100
_ARCHIVES = "*.tar.gz"
_CLEAN_EVERY = 60.0
_HEALTHY = Health(ok=True)
_log = logging.getLogger(__name__)


class LocalSettings(Model):
    """`Publishers.Types.Local`.

    A ``port`` that is not given is 6001 or the next free one above it; a given one is taken as it is, 0 for any.
    """

    address: str = Field(
        "127.0.0.1",
        description="IP address or host name to listen on and to put into the URLs of results; or loopback, "
        "private or public for this machine's main address of that class, or any to listen on all",
    )
    port: int = Field(DEFAULT_PORT, ge=0, le=65535, description="TCP port of the file server")
    max_age: float = Field(14 * 86400.0, ge=0, description="Seconds an archive is kept; 0 is for ever")
    max_size: int = Field(0, ge=0, description="Bytes that all archives may take; 0 is any number")


class LocalPublisher:
    """Keeps archives in a folder and serves it, from when a port could be had."""

    def __init__(self, folder: Path, settings: LocalSettings, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._listen, self._advertise = _addresses(settings.address)
        self._port = settings.port
        self._exact = "port" in settings.model_fields_set
        self._stack = stack
        self._limits = (settings.max_age, settings.max_size)
        self._serving = 0
        self._opening = asyncio.Lock()

    async def check(self) -> Health:
        """Say whether results can be served; when the port was taken, try again to have it."""
        async with self._opening:
            if self._serving:
                return _HEALTHY
            try:
                self._serving = await self._open()
            except OSError as error:
                return Health(
                    ok=False,
                    why=f"the local publisher cannot listen on {self._listen} port {self._port}: "
                    f"{error.strerror or error}; set Publishers.Types.Local.Port to a free one",
                )
            return _HEALTHY

    async def publish(self, work: Work, results: Path, spec: SpecConfig) -> SpecConfig:  # noqa: ARG002 - no parameters
        """Pack the folder and give its URL. Publishing an execution again replaces what was there."""
        health = await self.check()
        if not health.ok:
            raise WorkFailed(health.why, reason=Reason.PUBLISH)
        name = f"{work.execution_id}.tar.gz"
        try:
            await pack(results, self._folder / name)
        except OSError as error:
            raise WorkFailed(
                f"results of {work.execution_id} could not be packed: {error}", reason=Reason.PUBLISH
            ) from error
        url = f"http://{self._advertise}:{self._serving}/{name}"
        return SpecConfig(type="urlDownload", params={"URL": url})

    async def clean(self) -> None:
        """Remove archives beyond the limits, now and then; runs for ever."""
        max_age, max_size = self._limits
        while max_age or max_size:
            try:
                gone = await asyncio.to_thread(
                    remove_expired, self._folder, _ARCHIVES, time.time(), max_age=max_age, max_size=max_size
                )
            except OSError as error:
                _log.warning("old results cannot be removed: %s", error, extra={"action": "clean_up_failed"})
            else:
                if gone:
                    _log.info("removed %d old results", len(gone), extra={"action": "results_removed"})
            await asyncio.sleep(_CLEAN_EVERY)

    async def _open(self) -> int:
        ports = [self._port] if self._exact else range(self._port, self._port + _TRIES)
        taken: OSError | None = None
        for port in ports:
            try:
                return await self._stack.enter_async_context(serve_files(self._folder, self._listen, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                taken = taken or error
        raise taken or OSError("no port to try")


@asynccontextmanager
async def open_local(context: PluginContext) -> AsyncIterator[LocalPublisher]:
    """Open the publisher with `LocalSettings`.

    A port that is taken makes it unhealthy, not dead. What an earlier process left half-packed is removed, and
    archives that are beyond the limits of the settings are, as long as it is open.
    """
    settings = context.read(LocalSettings)
    folder = context.data_dir / "results"
    await asyncio.to_thread(_prepare, folder)
    async with AsyncExitStack() as stack:
        publisher = LocalPublisher(folder, settings, stack)
        await publisher.check()
        cleaning = asyncio.create_task(publisher.clean(), name="clean local results")
        stack.push_async_callback(_ended, cleaning)
        yield publisher


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for draft in folder.glob(f"*{DRAFT_SUFFIX}"):
        draft.unlink()


def _addresses(address: str) -> tuple[str, str]:
    """Give the address to listen on and the one to put into URLs."""
    word = address.strip().lower()
    if word == "loopback":
        return "127.0.0.1", "127.0.0.1"
    if word in ("any", "0.0.0.0", "::"):
        return ("::" if word == "::" else "0.0.0.0"), _main_address()
    if word in ("private", "public"):
        main = _main_address()
        if ip_address(main).is_private != (word == "private"):
            raise InvalidSettings(
                f"this machine's main address {main} is not {word}",
                hint="set Publishers.Types.Local.Address to the address that clients reach",
            )
        return main, main
    if word in ("", "linklocal", "multicast"):
        raise InvalidSettings(
            f"Publishers.Types.Local.Address cannot be {address!r}",
            hint="set it to an address that clients reach",
        )
    return address, _in_url(address)


def _main_address() -> str:
    """Find the address this machine speaks from. Nothing is sent: connecting UDP only asks for a route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _in_url(address: str) -> str:
    try:
        return f"[{address}]" if isinstance(ip_address(address), IPv6Address) else address
    except ValueError:
        return address
