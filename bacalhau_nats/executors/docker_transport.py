"""HTTP over the engine's Unix socket, as the Docker SDK does it, less two faults.

The SDK keeps a pool of connections per *URL*, so no two containers ever share one and each call connects anew;
and a socket that cannot connect is left open until the garbage collector finds it.
"""

from __future__ import annotations

import socket
from typing import Any

from docker import APIClient
from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool


class _Connection(UnixHTTPConnection):
    """Closes its socket when it cannot connect."""

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self.unix_socket)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class _Pool(UnixHTTPConnectionPool):
    """Makes such connections."""

    def __init__(self, socket_path: str, timeout: int, connections: int) -> None:
        super().__init__(socket_path, socket_path, timeout, maxsize=connections)
        self._seconds = timeout

    def _new_conn(self) -> Any:
        return _Connection(self.base_url, self.socket_path, self._seconds)


class UnixTransport(UnixHTTPAdapter):
    """Mounts on an APIClient in place of the SDK's adapter; one pool for all of the engine's URLs."""

    def __init__(self, socket_path: str, timeout: int, connections: int) -> None:
        super().__init__(socket_path, timeout, max_pool_size=connections)
        self._pool = _Pool(self.socket_path, timeout, connections)

    def get_connection(self, url: str | bytes, proxies: Any = None) -> _Pool:  # noqa: ARG002 - the base's signature
        """Give the pool, whatever the URL."""
        return self._pool

    def close(self) -> None:
        """Close the idle connections."""
        super().close()
        self._pool.close()


def mend(api: APIClient, connections: int) -> None:
    """Put a `UnixTransport` in the place of the SDK's, when ``api`` speaks over a Unix socket."""
    present = api.get_adapter(api.base_url)
    if isinstance(present, UnixHTTPAdapter):
        api.mount(api.base_url, UnixTransport(present.socket_path, api.timeout, connections))
