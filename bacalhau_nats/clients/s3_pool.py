"""HTTP connections of one piece of S3 work: to permitted addresses only, and ended from outside at once.

The client library blocks, so it runs in threads, and a thread that waits for a silent server cannot be
cancelled. What can be done is to take its connection away. So the pool knows its connections: `Pool.stop`
shuts them, refuses further requests, and lets only DELETE through, by which the library takes back an upload
that it has not finished.

The address that a connection has really reached is looked at before anything is said on it: a name that
changes its address between a check and its use gains nothing.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakSet

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection

from bacalhau_nats.clients.s3_errors import AddressDenied

CONNECT_SECONDS = 10.0
_PARTING_SECONDS = 5.0
_TRANSIENT = (500, 502, 503, 504)


class Stopped(Exception):
    """The work that this connection belongs to was stopped."""


class Pool(PoolManager):
    """Connections for one piece of work. ``why_denied`` says of an IP address why it may not be used.

    ``retries`` is how often one request is repeated by itself when the service is in trouble.
    """

    def __init__(
        self,
        why_denied: Callable[[str], str],
        *,
        size: int,
        read_timeout: float,
        retries: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        patience: dict[str, Any] = {"timeout": Timeout(connect=CONNECT_SECONDS, read=read_timeout)}
        retry = Retry(
            total=retries,
            redirect=0,
            backoff_factor=0.5,
            status_forcelist=_TRANSIENT,
            allowed_methods=None,
            raise_on_status=False,
            raise_on_redirect=False,
        )
        super().__init__(maxsize=size, block=False, retries=retry, ssl_context=tls, **patience)
        self._why_denied = why_denied
        self._lock = threading.Lock()
        self._open: WeakSet[socket.socket] = WeakSet()
        self.stopped = False
        pool = self

        class Plain(_Watched, HTTPConnection):
            owner = pool

        class Secure(_Watched, HTTPSConnection):
            owner = pool

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

    def stop(self) -> None:
        """End what goes on. Any thread may call this, any number of times."""
        with self._lock:
            self.stopped = True
            sockets = list(self._open)
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it was closed already

    def permit(self, method: str) -> None:
        """Raise Stopped unless ``method`` may still be sent."""
        if self.stopped and method != "DELETE":
            raise Stopped

    def watch(self, connected: socket.socket) -> None:
        """Look where a new connection leads, and remember it. Raises AddressDenied when it must not lead there."""
        address = str(connected.getpeername()[0])
        if why := self._why_denied(address):
            raise AddressDenied(f"it leads to {address}, which is not allowed: {why}")
        with self._lock:
            if self.stopped:
                connected.settimeout(_PARTING_SECONDS)
            else:
                self._open.add(connected)


class _Watched:
    """A connection that its pool knows; mixed into those of the library."""

    owner: ClassVar[Pool]

    def connect(self: Any) -> None:
        """Connect, and let the pool look at it."""
        super().connect()  # type: ignore[misc]
        try:
            self.owner.watch(self.sock)
        except BaseException:
            self.close()
            raise

    def request(self: Any, method: str, *args: Any, **kwargs: Any) -> None:
        """Send a request unless the work was stopped."""
        self.owner.permit(method)
        super().request(method, *args, **kwargs)  # type: ignore[misc]
