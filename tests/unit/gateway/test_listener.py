"""The socket of the API."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from bacalhau_nats.gateway.listener import Listener


def test_a_connection_whose_other_side_vanished_ends_after_two_minutes() -> None:
    listener = Listener("127.0.0.1", 0)
    address = urlsplit(listener.url)
    with listener._socket, socket.create_connection((address.hostname, address.port)):
        accepted, _ = listener._socket.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            idle, every, tries = (
                accepted.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + every * tries == 120
