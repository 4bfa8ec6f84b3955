"""What a request needs, what it brings, and what is granted: plain functions."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.gateway.access import OPEN, Key, Password, Principal, Token, check, may, needed, proof_of
from bacalhau_nats.gateway.refusals import Refusal
from bacalhau_nats.settings.users import ACTIONS

METHODS = st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"])
CAPABILITIES = [f"{kind}:{what}" for kind in ("read", "write") for what in ("job", "node", "agent")]
actions = st.frozensets(st.sampled_from(ACTIONS))


@pytest.mark.parametrize(
    ("method", "path", "capability"),
    [
        ("GET", "/api/v1/orchestrator/jobs", "read:job"),
        ("PUT", "/api/v1/orchestrator/jobs", "write:job"),
        ("GET", "/api/v1/orchestrator/jobs/j-1/logs", "read:job"),
        ("PUT", "/api/v1/orchestrator/jobs/diff", "write:job"),
        ("HEAD", "/api/v1/orchestrator/jobs", "write:job"),
        ("DELETE", "/api/v1/orchestrator/nodes/n-1", "write:node"),
        ("GET", "/api/v1/agent/config", "read:agent"),
        ("GET", "/api/v1/agent/alive", OPEN),
        ("GET", "/api/v1/agent/versions-of-others", OPEN),
        ("POST", "/api/v1/auth/clientkey", OPEN),
        ("GET", "/api/v1/authors", OPEN),
        ("GET", "/", "write:node"),
        ("GET", "/openapi.json", "write:node"),
        ("GET", "/API/v1/auth", "write:node"),
        ("GET", "//api/v1/auth", "write:node"),
    ],
)
def test_a_resource_is_found_by_the_longest_prefix_of_the_path(method, path, capability):
    assert needed(method, path) == capability


@given(METHODS, st.text())
def test_a_path_that_is_nobodys_needs_the_highest_right(method, path):
    assert needed(method, f"/x{path}") == "write:node"


@given(METHODS, st.sampled_from(["job", "node"]), st.text())
def test_nothing_below_a_resource_escapes_it(method, resource, rest):
    capability = needed(method, f"/api/v1/orchestrator/{resource}s{rest}")
    assert capability == f"{'read' if method == 'GET' else 'write'}:{resource}"


@given(actions, st.sampled_from(CAPABILITIES))
def test_a_capability_is_had_by_name_by_kind_or_with_everything_and_in_no_other_way(given_actions, wanted):
    kind = wanted.partition(":")[0]
    granted = bool(given_actions & {"*", wanted, f"{kind}:*"})
    assert may(Principal("ada", given_actions), wanted) is granted


@given(actions, actions, st.sampled_from([OPEN, *CAPABILITIES]))
def test_more_actions_never_take_anything_away(some, more, wanted):
    assert not may(Principal("ada", some), wanted) or may(Principal("ada", some | more), wanted)


@given(st.sampled_from(CAPABILITIES))
def test_writing_is_no_reading_and_nobody_has_anything_for_nothing(wanted):
    assert not may(Principal("ada"), wanted)
    other = "write:*" if wanted.startswith("read") else "read:*"
    assert not may(Principal("ada", frozenset({other})), wanted)
    with pytest.raises(Refusal) as caught:
        check(Principal("ada"), wanted)
    assert caught.value.status == 403
    assert caught.value.details["reason"] == f"user 'ada' does not have the required capability '{wanted}'"


@given(st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"])), st.text())
def test_a_name_and_a_password_are_read_as_they_were_sent(user, password):
    raw = f"{user}:{password}".encode("utf-8", "surrogatepass")
    header = "Basic " + base64.b64encode(raw).decode()
    found = proof_of(header)
    assert isinstance(found, Password)
    assert f"{found.user}:{found.password}".encode("utf-8", "surrogateescape") == raw


def base64url(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(st.text(), st.text())
def test_any_header_is_a_proof_or_refused_with_401(scheme, value):
    for header in (f"{scheme}{value}", f"Basic {value}", f"Bearer {value}"):
        try:
            found = proof_of(header)
        except Refusal as error:
            found = error.status
        assert found == 401 or isinstance(found, Password | Key | Token)


@pytest.mark.parametrize(
    ("value", "is_token"),
    [
        (f"{base64url({})}.{base64url({})}.sig", True),
        (f"{base64url({'alg': 'none'})}.{base64url({'sub': 'x'})}.", True),
        (f"{base64url([])}.{base64url({})}.sig", False),
        (f"{base64url({})}.{base64url(1)}.sig", False),
        (f"{base64url({})}.{base64url({})}", False),
        (f"{base64url({})}.{base64url({})}.a.b", False),
        ("a.b.c", False),
        ("ä.ö.ü", False),
        (base64.urlsafe_b64encode(b"[" * 100_000).decode().rstrip("=") + f".{base64url({})}.x", False),
    ],
)
def test_a_bearer_is_a_token_by_its_form_and_else_a_key(value, is_token):
    assert proof_of(f"Bearer {value}") == (Token(value) if is_token else Key(value))
