"""A connection to NATS, as the rest of this room uses it.

``connect`` refuses a server that is too old, reconnects for ever, and drains at the end. Requests share
one subscription (a dictionary of waiting replies). When the connection breaks they fail at once instead
of at their deadline: whoever asked can find out what became of it as soon as the bus is back.

Long work does not belong in a handler: nats-py runs the callbacks of one subscription one after the
other. Bulky traffic gets a connection of its own, by connecting another Bus.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.micro import add_service

from bacalhau_nats.domain.model import Model
from bacalhau_nats.errors import (
    BusTimeout,
    Forbidden,
    InternalError,
    NoResponders,
    Unavailable,
)
from bacalhau_nats.messaging import codec
from bacalhau_nats.messaging.link import DirectClient, Link
from bacalhau_nats.messaging.services import Endpoint, answering
from bacalhau_nats.messaging.subjects import Cell, encode

__all__ = ["Bus", "Endpoint", "Msg", "Subscription", "connect"]

log = logging.getLogger(__name__)
M = TypeVar("M", bound=Model)
T = TypeVar("T")

_NO_RESPONDERS = "503"

Handler = Callable[[M], Awaitable[None] | None]
MsgHandler = Callable[[Msg], Awaitable[None] | None]


class Bus:
    """One connection. Made by `connect`."""

    def __init__(self, client: DirectClient, cell: Cell) -> None:
        self.cell = cell
        self.client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=5)
        self._inbox = client.new_inbox() + "."
        self._tokens = itertools.count()
        self._waiting: dict[str, Callable[[Msg], None]] = {}
        self._futures: dict[asyncio.Future[Any], str] = {}  # with the subject asked
        self._reconnected: list[Callable[[], None]] = []

    @property
    def connected(self) -> bool:
        """Say whether the connection is up."""
        return self.client.is_connected

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` after each reconnect; give a function that takes it off again."""
        self._reconnected.append(callback)
        return lambda: self._reconnected.remove(callback)

    # --- say and ask ------------------------------------------------------------------------------

    async def publish(self, subject: str, model: Model) -> None:
        """Say something, unheard or not. While disconnected it is dropped: beats and nudges are repeated."""
        if not self.client.is_connected:
            log.debug("not connected, dropped a message to %s", subject)
            return
        payload, headers = codec.encode(model)
        with suppress(nats.errors.ConnectionClosedError, nats.errors.OutboundBufferLimitError):
            await self.client.publish(subject, payload, headers=headers)

    async def ask(self, subject: str, question: Model, answer: type[M], *, timeout: float) -> M:  # noqa: ASYNC109 - part of the question
        """Ask, and wait at most ``timeout`` seconds.

        Raises NoResponders at once when nobody serves the subject, BusTimeout, or the error that the
        other side answered with.
        """
        payload, headers = codec.encode(question)
        reply = await self.request(subject, payload, headers, within=timeout)
        error = codec.error_of(reply.headers)
        if error is not None:
            raise error
        try:
            return codec.decode(reply.data, reply.headers, codec.by_name(answer))
        except codec.MalformedMessage as malformed:
            raise InternalError(f"The answer from {subject} cannot be read: {malformed}") from malformed

    async def request(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None, *, within: float
    ) -> Msg:
        """Send bytes and wait for one reply. Raises NoResponders, BusTimeout, Forbidden, Unavailable (not sent)."""
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

        def receive(msg: Msg) -> None:
            if not future.done():
                future.set_result(msg)

        reply = await self._await_reply(subject, payload, headers, receive, future, within=within)
        if not reply.data and reply.headers and reply.headers.get("Status") == _NO_RESPONDERS:
            raise NoResponders(f"Nobody serves {subject} right now.")
        return reply

    async def request_batch(self, subject: str, payload: bytes, *, within: float) -> list[Msg]:
        """Send bytes and collect replies up to and including the one that carries a status."""
        future: asyncio.Future[list[Msg]] = asyncio.get_running_loop().create_future()
        replies: list[Msg] = []

        def receive(msg: Msg) -> None:
            replies.append(msg)
            if not msg.data and msg.headers and "Status" in msg.headers and not future.done():
                future.set_result(replies)

        return await self._await_reply(subject, payload, None, receive, future, within=within)

    async def _await_reply(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None,
        receive: Callable[[Msg], None],
        future: asyncio.Future[T],
        *,
        within: float,
    ) -> T:
        # Not nats-py's own request(): that leaves whoever waits to their deadline when the connection breaks.
        if not self.client.is_connected:
            raise Unavailable(f"Not connected to NATS; nothing was sent to {subject}.")
        token = str(next(self._tokens))
        self._waiting[token] = receive
        self._futures[future] = subject
        timer = asyncio.get_running_loop().call_later(within, _expire, future, subject, within)
        try:
            await self.client.publish(subject, payload, reply=self._inbox + token, headers=headers)
            return await future
        except (nats.errors.ConnectionClosedError, nats.errors.OutboundBufferLimitError) as error:
            raise Unavailable(f"Not connected to NATS; nothing was sent to {subject}.") from error
        finally:
            timer.cancel()
            del self._waiting[token]
            del self._futures[future]

    async def flush(self) -> None:
        """Wait until the server has seen everything sent so far (subscriptions too)."""
        try:
            await self.client.flush(timeout=5)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"The NATS server did not take what was sent: {error}") from error

    # --- hear and answer --------------------------------------------------------------------------

    async def subscribe(self, subject: str, types: Iterable[type[M]], handler: Handler[M]) -> Subscription:
        """Hear models, as `listen` hears messages. What cannot be read is logged and dropped."""
        allowed = codec.by_name(*types)

        async def receive(msg: Msg) -> None:
            model = codec.read(msg.subject, msg.data, msg.headers, allowed)
            if model is not None:
                await cast("Awaitable[None]", handler(model))

        def receive_now(msg: Msg) -> None:
            model = codec.read(msg.subject, msg.data, msg.headers, allowed)
            if model is not None:
                handler(model)

        return await self.listen(subject, receive if inspect.iscoroutinefunction(handler) else receive_now)

    async def listen(self, subject: str, handler: MsgHandler) -> Subscription:
        """Hear raw messages, one at a time. A plain function is called as each is read, so it must be quick."""

        async def receive(msg: Msg) -> None:
            pending = handler(msg)
            if pending is not None:
                await pending

        subscription = await self.client.subscribe(subject, cb=receive)
        if not inspect.iscoroutinefunction(handler):
            self.client.direct[subscription._id] = handler  # noqa: SLF001 - nats-py has no public name for it
        return subscription

    @asynccontextmanager
    async def service(
        self, name: str, version: str, description: str, endpoints: Sequence[Endpoint]
    ) -> AsyncIterator[None]:
        """Answer questions while the context is open; `nats micro ls` finds the service by ``name``."""
        service = await add_service(self.client, name=name, version=version, description=description)
        try:
            for endpoint in endpoints:
                await service.add_endpoint(
                    name=endpoint.name, subject=endpoint.subject, handler=answering(endpoint)
                )
            await self.flush()
            yield
        finally:
            with suppress(nats.errors.Error):
                await service.stop()

    # --- what the connection tells us -----------------------------------------------------------------

    async def start(self) -> None:
        """Open the shared reply subscription."""
        await self.listen(self._inbox + "*", self._on_reply)

    def _on_reply(self, msg: Msg) -> None:
        receive = self._waiting.get(msg.subject.rpartition(".")[2])
        if receive is not None:
            receive(msg)

    def lost(self) -> None:
        """Fail whatever waits for a reply: the connection is gone, and the reply with it."""
        for future in self._futures:
            if not future.done():
                future.set_exception(
                    BusTimeout("The connection to NATS broke before the answer came; it may have happened.")
                )

    def refused(self, error: str) -> None:
        """Fail the requests that this permissions error is about; the server does not answer them."""
        for future, subject in self._futures.items():
            if f'publish to "{subject.lower()}"' in error and not future.done():
                future.set_exception(
                    Forbidden(
                        f"The NATS server does not let this user publish to {subject}.",
                        hint="Check the user's permissions in nats.conf.",
                    )
                )

    def back(self) -> None:
        """Tell everybody who follows something that the connection is up again."""
        for callback in tuple(self._reconnected):
            callback()


def _expire(future: asyncio.Future[Any], subject: str, within: float) -> None:
    if not future.done():
        future.set_exception(
            BusTimeout(f"No answer from {subject} within {within:g} s; it may have happened.")
        )


@asynccontextmanager
async def connect(
    urls: str | Sequence[str],
    *,
    cell: Cell,
    name: str,
    token: str | None = None,
    user: str | None = None,
    password: str | None = None,
    creds: str | Path | None = None,
    tls: ssl.SSLContext | None = None,
    timeout: float = 5.0,  # noqa: ASYNC109 - ends with an error text of ours
    drain_timeout: float = 5.0,
) -> AsyncIterator[Bus]:
    """Connect, and drain at the end (at most ``drain_timeout`` seconds).

    ``name`` is what `nats server report connections` shows. Raises Unavailable when no server answers
    within ``timeout`` seconds, Forbidden when it refuses us, and UnsupportedServer when it is too old.
    """
    link = Link([urls] if isinstance(urls, str) else list(urls))
    if creds is not None:
        link.check_credentials(str(creds))
    named = user or link.user
    options: dict[str, Any] = {
        "token": token,
        "user": user,
        "password": password,
        # Under the user's own name, so that permissions can keep others from hearing the replies.
        "inbox_prefix": f"_INBOX.{encode(named)}" if named else None,
        "user_credentials": str(creds) if creds else None,
        "tls": tls,
        "drain_timeout": drain_timeout,
    }
    given = {key: value for key, value in options.items() if value is not None}
    try:
        await link.open(name, timeout, given)
        bus = Bus(link.client, cell)
        await bus.start()
        link.on_lost, link.on_back, link.on_refused = bus.lost, bus.back, bus.refused
        yield bus
    finally:
        await link.close(drain_timeout)
