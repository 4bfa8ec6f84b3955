"""Who is calling: global options and environment become a client, or settings; and how async code is run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bacalhau_nats.errors import Forbidden

if TYPE_CHECKING:
    from bacalhau_cli.connection import Connection, Server
    from bacalhau_nats.client import Client
    from bacalhau_nats.settings import Settings

T = TypeVar("T")

_ENDPOINT = ("BACALHAU_API_HOST", "BACALHAU_API_PORT")
_TLS = "BACALHAU_API_TLS_"
_DOWNLOADERS = "BACALHAU_RESULTDOWNLOADERS_"


@dataclass
class Caller:
    """What the command line and the environment say before a command begins."""

    environ: Mapping[str, str] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)

    def settings(self, flags: Mapping[str, Any] | None = None) -> Settings:
        """Load all settings. Raises InvalidSettings."""
        from bacalhau_nats.settings import Settings  # noqa: PLC0415 - 130 keys; most commands need two

        return Settings.load(
            environ=self.environ,
            overrides=self.given.get("config", ()),
            flags={
                "API.Host": self.given.get("api_host"),
                "API.Port": self.given.get("api_port"),
                "DataDir": self.given.get("data_dir"),
                "Logging.Level": self.given.get("log_level"),
                **(flags or {}),
            },
            cwd=Path.cwd(),
        )

    def endpoint(self) -> str:
        """Give the address of the server: flags, environment, config file, profile, or the default."""
        return self.connection().url

    def server(self) -> Server:
        """Give the server that flags, then environment, then configuration name, and what to trust of it.

        The settings as a whole are only loaded when a file or ``-c`` takes part, which takes 100 ms.
        """
        from bacalhau_cli.connection import DEFAULT, Server  # noqa: PLC0415 - not for --help
        from bacalhau_nats.client import environment  # noqa: PLC0415 - not for --help

        if self._needs_settings():
            settings = self.settings()
            api = settings.api
            sources = {settings.source(key) for key in ("API.Host", "API.Port")} - {"default"}
            # A node's own file says where it listens, which is no wish of a client.
            said = any(source.startswith(("-c", "the ")) for source in sources)
            verify = False if api.tls.insecure else api.tls.ca_file or True
            return Server(api.url, said or (bool(sources) and api.url != DEFAULT), verify)
        host, port = (str(self.given.get(name) or "") for name in ("api_host", "api_port"))
        named = bool(host or port or any(self.environ.get(name) for name in _ENDPOINT))
        return Server(environment.address(self.environ, host, port), named)

    def connection(self) -> Connection:
        """Find out which server is asked and with which credential. Raises UserError."""
        from bacalhau_cli.connection import connection  # noqa: PLC0415 - not for --help

        return connection(self)

    def client(self, to: Connection | None = None) -> Client:
        """Make a client of that server, with the credential that there is for it."""
        from bacalhau_cli.login import SignedClient  # noqa: PLC0415 - not for --help

        return SignedClient(to or self.connection(), self.data_dir())

    def ipfs_endpoint(self) -> str:
        """Give the address of the IPFS node that results are fetched through; empty when none is named."""
        if self._needs_settings() or any(name.startswith(_DOWNLOADERS) for name in self.environ):
            return str(self.settings().result_downloaders.types.ipfs.endpoint)
        return ""

    def data_dir(self) -> Path:
        """Give the data folder as the flag or the environment names it, without loading settings."""
        named = self.given.get("data_dir") or self.environ.get("BACALHAU_DIR") or "~/.bacalhau"
        home = self.environ.get("HOME") or "~"
        return Path(home + str(named)[1:] if str(named).startswith("~/") else named).expanduser()

    def call(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """Run ``work`` with a client that is closed at the end."""
        import asyncio  # noqa: PLC0415 - not for --help

        from bacalhau_cli.connection import explained  # noqa: PLC0415 - not for --help

        to = self.connection()

        async def run() -> T:
            async with self.client(to) as client:
                return await work(client)

        try:
            return asyncio.run(run())
        except Forbidden as error:
            raise explained(error, to) from error

    def _needs_settings(self) -> bool:
        return (
            bool(self.given.get("config"))
            or any(name.startswith(_TLS) for name in self.environ)
            or (self.data_dir() / "config.yaml").is_file()
        )
