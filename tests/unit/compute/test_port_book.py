"""Ports of this machine: each is given to one execution, and only when it can be bound."""

import socket

import pytest

from bacalhau_nats.compute.port_book import PortBook
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.spec import NetworkConfig, Port
from bacalhau_nats.ports import WorkFailed

E1, E2 = ExecutionID("e-1"), ExecutionID("e-2")


def wants(*ports):
    return NetworkConfig(ports=tuple(Port(name=f"p{i}", static=port) for i, port in enumerate(ports)))


@pytest.fixture
def three():
    """The first of three neighbouring ports that are free, as far as one can know."""
    for first in range(20_000, 60_000, 7):
        probes = [socket.socket() for _ in range(3)]
        try:
            for offset, probe in enumerate(probes):
                probe.bind(("0.0.0.0", first + offset))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return first
    raise AssertionError("no free ports")


def test_free_ports_are_given_by_name_and_not_twice(three):
    book = PortBook(three, three + 2)
    given = book.take(E1, wants(0, 0))
    assert given == {"p0": three, "p1": three + 1}
    assert book.take(E2, wants(0)) == {"p0": three + 2}


def test_when_all_are_taken_it_says_so_and_takes_none(three):
    book = PortBook(three, three + 2)
    with pytest.raises(WorkFailed) as caught:
        book.take(E1, wants(0, 0, 0, 0))
    assert str(caught.value) == f"no port between {three} and {three + 2} is free on this node"
    assert len(book.take(E2, wants(0, 0, 0))) == 3


def test_a_port_that_is_given_back_comes_round_again(three):
    book = PortBook(three, three + 1)
    book.take(E1, wants(0))
    book.give_back(E1)
    book.give_back(E1)
    assert book.take(E2, wants(0, 0)) == {"p0": three + 1, "p1": three}


def test_a_static_port_is_given_as_asked_or_not_at_all(three):
    book = PortBook(three, three)
    assert book.take(E1, wants(three + 2)) == {"p0": three + 2}
    with pytest.raises(WorkFailed) as caught:
        book.take(E2, wants(three + 2))
    assert caught.value.failure.message == f"port {three + 2} is in use on this node"
    assert caught.value.failure.reason is Reason.ENGINE
    assert "leave Static out" in caught.value.failure.hint


def test_a_port_that_somebody_else_listens_on_is_passed_over(three):
    book = PortBook(three, three + 1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", three))
        other.listen()
        assert book.take(E1, wants(0)) == {"p0": three + 1}
        with pytest.raises(WorkFailed, match="is in use"):
            book.take(E2, wants(three))
