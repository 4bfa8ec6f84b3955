"""Where data lies already: names of inputs, and how much of a job's inputs a node holds. Pure.

A node tells in its report what it keeps: the names of inputs, a word of 16 hex digits each, with their sizes, the
largest first and at most `MOST` of them. Whoever has a job can compute the names of its inputs and compare.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from bacalhau_nats.domain.spec import SpecConfig, Task

MOST = 256
"""Inputs in a report; some 8 kB."""
SMALL = 64 * 1024
"""Bytes below which an input is not worth telling: fetching it costs less than waiting for a node."""

CARRIED = frozenset({"inline"})
"""Kinds of inputs that come along with the job."""
LENT = frozenset({"local", "localdirectory"})
"""Kinds of inputs that are on the node or nowhere: a node without them declines."""

_NAMED_BY = {"urldownload": "url", "ipfs": "cid"}


def input_digest(source: SpecConfig) -> str:
    """Name an input by what it is fetched from: 64 hex digits.

    By its URL or CID, and for other kinds by all its parameters; keys are matched without regard to case.
    """
    named_by = _NAMED_BY.get(source.kind)
    params = {key.lower(): value for key, value in source.params.items() if value is not None}
    identity = {named_by: source.param(named_by)} if named_by else params
    text = json.dumps([source.kind, identity], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def input_key(source: SpecConfig) -> str:
    """Give the short name of an input, as it is in reports."""
    return input_digest(source)[:16]


def wanted_keys(task: Task) -> tuple[str, ...]:
    """Name the inputs of a task that one node may hold and another not."""
    kinds = CARRIED | LENT
    return tuple(input_key(one.source) for one in task.input_sources if one.source.kind not in kinds)


def held_bytes(wanted: Iterable[str], holds: Mapping[str, int]) -> int:
    """Add up what a node holds of the inputs ``wanted``."""
    return sum(holds.get(key, 0) for key in set(wanted))


def told(held: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Choose what goes into a report: the largest, in an order that does not depend on that of ``held``."""
    sizes: dict[str, int] = {}
    for key, size in held:
        if size >= SMALL:
            sizes[key] = max(size, sizes.get(key, 0))
    largest = sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
    return dict(sorted(largest))
