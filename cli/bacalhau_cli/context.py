"""Who is calling: global options and environment become a client, or settings; and how async code is run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from bacalhau_nats.client import Client
    from bacalhau_nats.settings import Settings

T = TypeVar("T")

_TLS = "BACALHAU_API_TLS_"


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
        """Give the address of the server: flags, then environment, then config file, then the default.

        The settings as a whole are only loaded when a file or ``-c`` takes part, which takes 100 ms.
        """
        return self._server()[0]

    def _server(self) -> tuple[str, bool | str]:
        """Give the server's address, and what to trust when it speaks https."""
        if self._needs_settings():
            api = self.settings().api
            return api.url, False if api.tls.insecure else api.tls.ca_file or True
        from bacalhau_nats.client import environment  # noqa: PLC0415 - not for --help

        host, port = (str(self.given.get(name) or "") for name in ("api_host", "api_port"))
        return environment.address(self.environ, host, port), True

    def client(self) -> Client:
        """Make a client of that server, with the credentials of the environment."""
        from bacalhau_nats.client import Client, environment  # noqa: PLC0415 - not for --help

        token, basic = environment.credentials(self.environ)
        url, verify = self._server()
        return Client(url, token=token, basic=basic, verify=verify)

    def data_dir(self) -> Path:
        """Give the data folder as the flag or the environment names it, without loading settings."""
        named = self.given.get("data_dir") or self.environ.get("BACALHAU_DIR") or "~/.bacalhau"
        home = self.environ.get("HOME") or "~"
        return Path(home + str(named)[1:] if str(named).startswith("~/") else named).expanduser()

    def call(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """Run ``work`` with a client that is closed at the end."""
        import asyncio  # noqa: PLC0415 - not for --help

        async def run() -> T:
            async with self.client() as client:
                return await work(client)

        return asyncio.run(run())

    def _needs_settings(self) -> bool:
        return (
            bool(self.given.get("config"))
            or any(name.startswith(_TLS) for name in self.environ)
            or (self.data_dir() / "config.yaml").is_file()
        )
