"""Models and errors on the wire."""

import pytest

from bacalhau_nats import errors
from bacalhau_nats.domain.facts import report_key, spec_key
from bacalhau_nats.domain.job import Alias
from bacalhau_nats.domain.node import Heartbeat, NodeReport
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.messages import Bid, Decline, Nudge
from bacalhau_nats.messaging import codec

ALL_ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.BacalhauError)
]


def test_a_model_carries_its_type_and_version():
    payload, headers = codec.encode(Nudge(job_id="j", seq=3))
    assert payload == b'{"JobID":"j","Seq":3}'
    assert headers == {"Bacalhau-Type": "Nudge", "Bacalhau-Version": "1"}


@pytest.mark.parametrize("model", [Bid(bid_id="b"), Decline(reason="r")])
def test_the_type_header_chooses_among_the_allowed(model):
    assert codec.decode(*codec.encode(model), codec.by_name(Bid, Decline)) == model


def test_a_single_type_needs_no_header_and_no_payload():
    assert codec.decode(b"", None, codec.by_name(Nudge)) == Nudge()
    assert codec.decode(b'{"Seq": 3, "Unknown": 1}', {}, codec.by_name(Nudge)) == Nudge(seq=3)


@pytest.mark.parametrize(
    ("payload", "headers", "says"),
    [
        (b"{}", None, "type '(none)' where Bid or Decline is expected"),
        (b"{}", {"Bacalhau-Type": "Nudge"}, "type 'Nudge' where Bid or Decline is expected"),
        (b"{}", {"Bacalhau-Type": "Bid", "Bacalhau-Version": "9"}, "Bid of schema version '9'"),
        (b"{", {"Bacalhau-Type": "Bid"}, "Bid: Invalid JSON"),
        (b'{"Tick": "x"}', {"Bacalhau-Type": "Bid"}, "Bid.Tick: Input should be a valid integer"),
    ],
)
def test_what_cannot_be_read_is_one_error_that_says_why(payload, headers, says):
    with pytest.raises(codec.MalformedMessage) as malformed:
        codec.decode(payload, headers, codec.by_name(Bid, Decline))
    assert says in str(malformed.value)


@pytest.mark.parametrize("kind", ALL_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_comes_back_as_itself(kind):
    error = kind("What, where, why.", hint="Do this.", job="j-1")
    back = codec.error_of(codec.error_headers(error))
    assert type(back) is kind
    assert (back.message, back.hint, back.details) == ("What, where, why.", "Do this.", {"job": "j-1"})


def test_an_error_of_somebody_else_is_a_bug_there():
    back = codec.error_of({"Nats-Service-Error": "oops", "Nats-Service-Error-Code": "500"})
    assert type(back) is errors.InternalError
    assert back.message == "oops"


@pytest.mark.parametrize("details", ["{", "[]", '{"message": "x", "self": 1, "hint": 2}'])
def test_details_that_cannot_be_read_do_not_hide_the_error(details):
    headers = codec.error_headers(errors.NotFound("gone")) | {codec.DETAILS: details}
    back = codec.error_of(headers)
    assert type(back) is errors.NotFound
    assert (back.message, back.details) == ("gone", {})


def test_an_answer_is_not_an_error():
    assert codec.error_of(None) is None
    assert codec.error_of({"Bacalhau-Type": "Bid"}) is None


def test_a_fact_has_key_sequence_time_and_record():
    payload, headers = codec.encode(Alias(alias_of="j-2"))
    fact = codec.decode_fact(spec_key("j"), payload, headers, seq=7, time="2026-11-24T08:18:44.35751746Z")
    assert (fact.key, fact.seq, fact.record) == (spec_key("j"), 7, Alias(alias_of="j-2"))
    assert fact.time == 1_795_508_324_357_517_460


def test_an_empty_fact_is_a_purge():
    fact = codec.decode_fact(spec_key("j"), b"", None, seq=7, time="2026-11-24T08:18:44Z")
    assert fact.record is None
    assert fact.time == 1_795_508_324_000_000_000


def test_a_record_of_another_kind_is_malformed():
    with pytest.raises(codec.MalformedMessage, match="'JobSpec' where NodeReport is expected"):
        codec.decode_fact(report_key("n"), *codec.encode(JobSpec()), seq=1, time="2026-11-24T08:18:44Z")


@pytest.mark.parametrize("time", ["", "yesterday", "2026-11-24T08:18:44.xZ"])
def test_a_fact_without_a_time_is_malformed(time):
    with pytest.raises(codec.MalformedMessage, match="no time"):
        codec.decode_fact(report_key("n"), *codec.encode(NodeReport()), seq=1, time=time)


def test_a_beat_is_small():
    payload, _ = codec.encode(Heartbeat(node_id="n", tick=1))
    assert len(payload) < 40
