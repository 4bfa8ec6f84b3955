"""What every implementation of `ports.Records` must do, as checks anybody can run.

Each check takes one Records and may share it with others: it draws its own ids. So they can be run all at
once (``await check_records(records)``) or one per test::

    @pytest.mark.parametrize("check", RECORDS_CHECKS, ids=lambda check: check.__name__)
    async def test_records(check, records):
        await check(records)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

from bacalhau_nats.domain.execution import Desired, ExecutionState, Observed, Wish
from bacalhau_nats.domain.facts import (
    Fact,
    Key,
    Record,
    conclusion_key,
    desired_key,
    observed_key,
    report_key,
    spec_key,
)
from bacalhau_nats.domain.ids import ExecutionID, JobID, NodeID
from bacalhau_nats.domain.job import Alias, Conclusion, JobState
from bacalhau_nats.domain.node import NodeReport
from bacalhau_nats.domain.spec import JobSpec
from bacalhau_nats.errors import Conflict
from bacalhau_nats.ports import Records

Check = Callable[[Records], Awaitable[None]]


async def check_records(records: Records) -> None:
    """Run every check. Raises AssertionError saying what is wrong."""
    for check in RECORDS_CHECKS:
        await check(records)


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _new() -> str:
    return uuid4().hex


def _spec(**fields: object) -> JobSpec:
    return JobSpec.model_validate({"name": "n", "nonce": _new(), **fields})


def _desired(execution: str, node: str, wish: Wish = Wish.RUN) -> Desired:
    return Desired(
        execution_id=ExecutionID(execution),
        job_id=JobID("j"),
        node_id=NodeID(node),
        wish=wish,
        nonce=_new(),
        job=_spec(),
    )


async def _refused(write: Awaitable[int], what: str) -> None:
    try:
        await write
    except Conflict:
        return
    raise AssertionError(what)


async def _present(records: Records, key: Key) -> Fact:
    fact = await records.get(key)
    if fact is None:
        raise AssertionError(f"{key} is there and was not read")
    return fact


async def reads_what_was_written(records: Records) -> None:
    """A record is read as it was written, under its revision, with a time."""
    written: list[tuple[Key, Record]] = [
        (spec_key(_new()), _spec(labels={"note": "ünïcode ✓ \r\n"})),
        (spec_key(_new()), Alias(alias_of=JobID("other"), nonce=_new())),
        (observed_key(_new(), "host.example.com"), Observed(state=ExecutionState.FAILED, nonce=_new())),
        (conclusion_key(_new(), 3), Conclusion(version=3, state=JobState.FAILED, nonce=_new())),
    ]
    for key, record in written:
        revision = await records.create(key, record)
        fact = await _present(records, key)
        _expect(fact.key == key, f"{key} was read as {fact.key}")
        _expect(fact.record == record, f"{record!r} was read as {fact.record!r}")
        _expect(fact.seq == revision, f"revision {revision} was read as {fact.seq}")
        _expect(fact.time > 0, f"{key} has no time")


async def reads_nothing_where_nothing_is(records: Records) -> None:
    """A record that was never written is None."""
    _expect(await records.get(spec_key(_new())) is None, "something was read where nothing is")


async def creates_once(records: Records) -> None:
    """A second create of the same record is refused, and the first value stays."""
    key, first = spec_key(_new()), _spec()
    revision = await records.create(key, first)
    await _refused(records.create(key, _spec()), "a record was created twice")
    fact = await _present(records, key)
    _expect(fact.record == first and fact.seq == revision, "a refused create changed the record")


async def updates_by_revision(records: Records) -> None:
    """An update names the revision it replaces; each gives a higher one."""
    key = spec_key(_new())
    first = await records.create(key, _spec())
    newer = _spec(priority=5)
    second = await records.update(key, newer, first)
    _expect(second > first, f"revision went from {first} to {second}")
    fact = await _present(records, key)
    _expect(fact.record == newer and fact.seq == second, "an update is not what is read")


async def refuses_a_stale_update(records: Records) -> None:
    """An update of an old revision, or of what is not there, is refused."""
    key = spec_key(_new())
    first = await records.create(key, _spec())
    await records.update(key, _spec(), first)
    await _refused(records.update(key, _spec(), first), "a stale update was accepted")
    await _refused(records.update(spec_key(_new()), _spec(), first), "an update created a record")


async def puts_whatever_was_there(records: Records) -> None:
    """A put writes first and later values alike."""
    key = report_key(_new())
    for engine in ("noop", "wasm"):
        report = NodeReport(node_id=NodeID(key.owner), engines=(engine,))
        revision = await records.put(key, report)
        fact = await _present(records, key)
        _expect(fact.record == report and fact.seq == revision, "a put is not what is read")


async def places_an_execution_on_one_node(records: Records) -> None:
    """Of three racing placements on three nodes exactly one is accepted: the fence."""
    execution = _new()
    nodes = ("a.example", "b", "c")
    answers = await asyncio.gather(
        *(records.create(desired_key(execution, node), _desired(execution, node)) for node in nodes),
        return_exceptions=True,
    )
    accepted = [node for node, answer in zip(nodes, answers, strict=True) if isinstance(answer, int)]
    refused = [answer for answer in answers if isinstance(answer, Conflict)]
    _expect(len(accepted) == 1 and len(refused) == len(nodes) - 1, f"three racing placements gave {answers}")
    for node in nodes:
        fact = await records.get(desired_key(execution, node))
        _expect((fact is not None) == (node in accepted), f"the record of {node} is wrong")


async def fences_each_execution_for_itself(records: Records) -> None:
    """One node may have many executions, and a placed one may be stopped."""
    first, second = _new(), _new()
    revision = await records.create(desired_key(first, "a"), _desired(first, "a"))
    await records.create(desired_key(second, "a"), _desired(second, "a"))
    await records.update(desired_key(first, "a"), _desired(first, "a", Wish.STOP), revision)
    await _refused(
        records.create(desired_key(first, "b"), _desired(first, "b")),
        "a stopped execution was placed on another node",
    )


async def counts_up(records: Records) -> None:
    """Every write is newer than all before it, and a refused one counts for nothing."""
    before = await records.last_seq()
    key = spec_key(_new())
    first = await records.create(key, _spec())
    second = await records.put(report_key(_new()), NodeReport(engines=("noop",)))
    _expect(before < first < second, f"sequences {before}, {first}, {second} do not rise")
    await _refused(records.create(key, _spec()), "a record was created twice")
    _expect(await records.last_seq() >= second, "the last sequence is older than a write")


async def accepts_the_same_write_again(records: Records) -> None:
    """A writer that heard no answer writes the same again, nonce and all, and learns that it was its own."""
    execution = _new()
    key, record = desired_key(execution, "a"), _desired(execution, "a")
    first = await records.create(key, record)
    _expect(await records.create(key, record) == first, "a repeated create is another write")


RECORDS_CHECKS: tuple[Check, ...] = (
    reads_what_was_written,
    reads_nothing_where_nothing_is,
    creates_once,
    updates_by_revision,
    refuses_a_stale_update,
    puts_whatever_was_there,
    places_an_execution_on_one_node,
    fences_each_execution_for_itself,
    counts_up,
    accepts_the_same_write_again,
)
