"""An address that was shown opens its one thing for some minutes, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.gateway.links import SECONDS, Links

PATH = "/api/v1/orchestrator/jobs/j-1/results/e-1.tar.gz"


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


def test_a_signed_path_is_good_until_its_time_is_over():
    clock = Clock()
    links = Links(clock)
    query = links.sign(PATH).removeprefix("?").encode()
    assert links.good(PATH, query)
    clock.now += SECONDS - 1
    assert links.good(PATH, query)
    clock.now += 1
    assert not links.good(PATH, query)


def test_a_signature_is_for_one_path_one_time_and_one_process():
    links = Links(Clock())
    query = links.sign(PATH).removeprefix("?")
    assert not links.good(f"{PATH}x", query.encode())
    assert not links.good("/api/v1/orchestrator/jobs", query.encode())
    later = query.replace("expires=1", "expires=2")
    assert not links.good(PATH, later.encode())
    assert not Links(Clock()).good(PATH, query.encode())


@pytest.mark.parametrize(
    "query",
    [b"", b"signature=", b"signature=a&expires=", b"signature=a&expires=x", b"signature=\xff&expires=9999999999",
     b"signature=a&expires=%D9%A1", b"signature=a&expires=" + b"9" * 5000, b"expires=9999999999"],
)  # fmt: skip
def test_what_is_no_signature_opens_nothing(query):
    assert not Links(Clock()).good(PATH, query)


@given(st.binary(), st.text())
def test_nobody_guesses_one(query, path):
    assert not Links(Clock()).good(path, b"signature=" + query)
