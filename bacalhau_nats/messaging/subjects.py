"""Every subject, in exactly one place: one template builds, matches and parses it.

A token holds any text: what NATS would misread (``.``, ``*``, ``>``, blanks and ``%``) is written as
``%XX``, so a node named ``host.example.com`` is encoded, not refused, and no user text can smuggle a
wildcard in. The catalogue in ``docs/subjects.md`` is generated from here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from bacalhau_nats.domain.facts import Key, Kind

_FIELD = re.compile(r"\{(\w+)\}")
_UNSAFE = re.compile(r"[\s.*>%]|^$|[^\x21-\x7e]")
_ESCAPED = re.compile(r"(?:%[0-9A-F]{2})+")


def encode(token: str) -> str:
    """Write any text as one subject token."""
    if not token:
        return "%"
    return _UNSAFE.sub(lambda m: "".join(f"%{byte:02X}" for byte in m.group().encode()), token)


def decode(token: str) -> str:
    """Read back what `encode` wrote."""
    if token == "%":  # noqa: S105 - a token of a subject, no secret
        return ""
    if "%" not in token:
        return token
    return _ESCAPED.sub(lambda m: bytes.fromhex(m.group().replace("%", "")).decode(), token)


@dataclass(frozen=True, slots=True)
class Subject:
    """One address on the bus. ``kind`` is question, answer, fact, nudge, bytes or beat."""

    template: str
    kind: str
    writer: str
    reader: str
    meaning: str
    message: str  # the model's name, for the catalogue and the tap test

    def __call__(self, **tokens: str) -> str:
        """Build the subject to publish to."""
        return _FIELD.sub(lambda m: encode(tokens[m.group(1)]), self.template)

    def any(self, **tokens: str) -> str:
        """Build the wildcard to subscribe to: tokens not given match everything."""
        return _FIELD.sub(
            lambda m: encode(tokens[m.group(1)]) if m.group(1) in tokens else "*", self.template
        )

    def parse(self, subject: str) -> dict[str, str] | None:
        """Read the tokens back; None when the subject is not of this form."""
        pattern, given = self.template.split("."), subject.split(".")
        if len(pattern) != len(given):
            return None
        found: dict[str, str] = {}
        for want, token in zip(pattern, given, strict=True):
            if want[0] == "{":
                found[want[1:-1]] = decode(token)
            elif want != token:
                return None
        return found


ROOT = "bacalhau"

SPEC = Subject(
    "bacalhau.{cell}.job.{job}.spec",
    "fact",
    "gateway",
    "requester, gateway",
    "what a user wishes for",
    "JobSpec, Alias",
)
WAITING = Subject(
    "bacalhau.{cell}.job.{job}.waiting.{version}",
    "fact",
    "requester",
    "requester, gateway",
    "this version had to queue, and why",
    "Waiting",
)
CONCLUSION = Subject(
    "bacalhau.{cell}.job.{job}.conclusion.{version}",
    "fact",
    "requester",
    "requester, gateway",
    "how this version ended",
    "Conclusion",
)
DESIRED = Subject(
    "bacalhau.{cell}.execution.{execution}.desired.{node}",
    "fact",
    "requester",
    "that node, requester, gateway",
    "run it, stop it, or abandoned; the fence",
    "Desired",
)
OBSERVED = Subject(
    "bacalhau.{cell}.execution.{execution}.observed.{node}",
    "fact",
    "that node",
    "requester, gateway",
    "what became of it there",
    "Observed",
)
REPORT = Subject(
    "bacalhau.{cell}.node.{node}.report",
    "fact",
    "that node",
    "requester, gateway",
    "what a node can do, when that changes",
    "NodeReport",
)
MEMBERSHIP = Subject(
    "bacalhau.{cell}.node.{node}.membership",
    "fact",
    "gateway",
    "requester, gateway",
    "may it take work",
    "Membership",
)

FACT = Subject(
    "bacalhau.{cell}.fact.>",
    "fact",
    "the state stream",
    "everybody",
    "what was accepted, republished: follow this, never the writes",
    "any fact",
)

HEARTBEAT = Subject(
    "bacalhau.{cell}.node.{node}.heartbeat",
    "beat",
    "that node",
    "requester",
    "I am here, this much is free",
    "Heartbeat",
)
OFFER = Subject(
    "bacalhau.{cell}.offer.{node}.{execution}",
    "question",
    "requester",
    "that node",
    "would you run this",
    "Offer",
)
BID = Subject(
    "bacalhau.{cell}.bid.{requester}.{execution}.{node}",
    "answer",
    "that node",
    "that requester; gateway, to explain",
    "yes, held for you; or no, because",
    "Bid, Decline",
)
WANTED = Subject(
    "bacalhau.{cell}.ask.requester.wanted",
    "question",
    "compute node",
    "any requester",
    "what should I be doing",
    "WhatShouldIDo",
)
UPLOAD = Subject(
    "bacalhau.{cell}.ask.requester.upload",
    "question",
    "compute node",
    "any requester that has a bucket",
    "where may these results go",
    "WhereToUpload",
)
NODE_STATUS = Subject(
    "bacalhau.{cell}.ask.node.{node}.status",
    "question",
    "anybody",
    "that node",
    "what are you doing",
    "NodeStatus",
)
REQUESTER_STATUS = Subject(
    "bacalhau.{cell}.ask.requester.{node}.status",
    "question",
    "anybody",
    "that requester",
    "what are you doing",
    "NodeStatus",
)
GATEWAY_STATUS = Subject(
    "bacalhau.{cell}.ask.gateway.{node}.status",
    "question",
    "anybody",
    "that gateway",
    "what are you doing",
    "NodeStatus",
)
ROLL_CALL = Subject(
    "bacalhau.{cell}.roll.call", "question", "requester", "every node", "send a heartbeat now", "RollCall"
)

EVALUATE = Subject(
    "bacalhau.{cell}.evaluate.{job}",
    "nudge",
    "gateway, requester",
    "any requester",
    "look at this job again",
    "Nudge",
)

LOG = Subject(
    "bacalhau.{cell}.log.{job}.{execution}.{stream}",
    "bytes",
    "compute node",
    "whoever listens",
    "a chunk of output",
    "LogChunk",
)

CATALOGUE = (
    SPEC, WAITING, CONCLUSION, DESIRED, OBSERVED, REPORT, MEMBERSHIP, FACT,
    HEARTBEAT, OFFER, BID, WANTED, UPLOAD, NODE_STATUS, REQUESTER_STATUS, GATEWAY_STATUS, ROLL_CALL, EVALUATE, LOG,
)  # fmt: skip

_BY_KIND: dict[Kind, tuple[Subject, str, str]] = {
    Kind.SPEC: (SPEC, "job", ""),
    Kind.WAITING: (WAITING, "job", "version"),
    Kind.CONCLUSION: (CONCLUSION, "job", "version"),
    Kind.DESIRED: (DESIRED, "execution", "node"),
    Kind.OBSERVED: (OBSERVED, "execution", "node"),
    Kind.REPORT: (REPORT, "node", ""),
    Kind.MEMBERSHIP: (MEMBERSHIP, "node", ""),
}
_KINDS = {kind.value: kind for kind in Kind}


class Cell(NamedTuple):
    """One deployment (or one test): the second token of every subject, and its streams' names."""

    name: str

    def of_key(self, key: Key) -> str:
        """Give the subject on which the record is written."""
        subject, owner, part = _BY_KIND[key.kind]
        tokens = {"cell": self.name, owner: key.owner}
        if part:
            tokens[part] = key.part
        return subject(**tokens)

    def fence_of(self, execution: str) -> str:
        """Give the wildcard over which the first desired record of an execution must be the only one."""
        return DESIRED.any(cell=self.name, execution=execution)

    def facts(self) -> list[str]:
        """Give the wildcards of all records: what the state stream takes."""
        return [subject.any(cell=self.name) for subject, _, _ in _BY_KIND.values()]

    def republished(self, subject: str) -> str:
        """Give the subject on which an accepted write to ``subject`` is heard."""
        head = f"{ROOT}.{encode(self.name)}."
        return f"{head}fact.{subject.removeprefix(head)}"

    def key_of(self, subject: str) -> Key | None:
        """Read the key from a written or republished subject; None for any other subject."""
        tokens = subject.split(".")[2:]
        if tokens[:1] == ["fact"]:
            del tokens[0]
        if len(tokens) < 3:  # noqa: PLR2004 - noun, owner, kind
            return None
        kind = _KINDS.get(tokens[2])
        if kind is None:
            return None
        return Key(kind, decode(tokens[1]), decode(tokens[3]) if len(tokens) > 3 else "")  # noqa: PLR2004

    def stream(self, name: str) -> str:
        """Give the name of one of this cell's streams: STATE, NUDGES, LOGS or BIDS."""
        return f"BACALHAU_{encode(self.name).replace('%', '_')}_{name}"

    def bucket(self, name: str) -> str:
        """Give the name of one of this cell's object stores: blobs or results."""
        return f"bacalhau-{encode(self.name).replace('%', '_')}-{name}"
