"""The rules that close the holes, one by one, with the real requesters and nodes in a world without dice.

What a rule asks of the broker itself is tested with a real server in `tests/integration`: delayed nudges
that do not hold up fresh ones and a queue that is made again (rule 1, `messaging/test_nudges.py`), one process
per node id (9, `roles/test_identity.py`), the reaper (10, `roles/test_docker_killed.py`), logs (12,
`messaging/test_logs.py`; the simulated world has none), catching up by direct gets (14,
`messaging/test_follower.py`). Here is what the roles make of it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from bacalhau_nats.domain.execution import TERMINAL, Desired, ExecutionState, Observed, Reason, Wish
from bacalhau_nats.domain.facts import Kind, desired_key, spec_key, waiting_key
from bacalhau_nats.domain.ids import JobID, NodeID, execution_id, named_job_id
from bacalhau_nats.domain.job import Conclusion, JobState, Waiting
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.node import Heartbeat
from bacalhau_nats.domain.retry import RetryPolicy
from bacalhau_nats.domain.scheduling.plan import Policy
from bacalhau_nats.domain.spec import (
    Cause,
    JobSpec,
    ResourcesConfig,
    SpecConfig,
    StopRequest,
    Task,
    Timeouts,
)
from bacalhau_nats.domain.view import View
from bacalhau_nats.messages import Nudge, WhatShouldIDo
from tests.support.gateway_world import GatewayWorld
from tests.support.invariants import Watch, fold, last_of_each, states
from tests.support.roles import virtually
from tests.support.unkind import QUIET, Fate, Process
from tests.support.world import World

NEVER = 1e6  # seconds: no sweep helps out
WORLDS: list[World] = []


def rule(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in virtual time; no role may have crashed in it, and nothing impossible been stored."""

    @functools.wraps(test)
    async def lived(*args: Any, **kwargs: Any) -> None:
        WORLDS.clear()
        await test(*args, **kwargs)
        assert [w.crashes for w in WORLDS] == [[]] * len(WORLDS)

    return virtually(lived)


async def a_world(requesters: int = 1, nodes: int = 1, *, takes: float = 1.0, **fields: Any) -> World:
    """Make a quiet world in which work takes ``takes`` seconds, and wait until everybody knows everybody."""
    world = World(0, QUIET, **fields)
    WORLDS.append(world)
    world.on_purge.append(Watch(world.stream).forget)
    work(world, takes)
    world.populate(requesters, nodes)
    await asyncio.sleep(0.5)
    return world


def work(world: World, takes: float, *, outlives: bool = False) -> None:
    world.takes = lambda _: (takes, outlives)  # type: ignore[method-assign] - dice off


def a_job(
    world: World, job: str = "j-1", cpu: str = "100m", queue: float = 3600, name: str = "", **fields: Any
) -> JobSpec:
    now = int(world.now() * 1e9)
    task = Task(
        engine=SpecConfig(type="noop"),
        resources=ResourcesConfig(cpu=cpu, memory="1kb"),
        timeouts=Timeouts(queue_timeout=queue),
    )
    return JobSpec(
        id=JobID(job), name=name or job, count=1, tasks=(task,), created=now, submitted=now,
        nonce=f"nonce of {job}", **fields,
    )  # fmt: skip


def the_next_version(spec: JobSpec) -> JobSpec:
    return spec.but(version=spec.version + 1, cause=Cause.UPDATED, stop=None)


def stopped(spec: JobSpec) -> JobSpec:
    return spec.but(stop=StopRequest(reason="enough"))


def wishes(world: World, job: str = "j-1") -> list[Desired]:
    return [f.record for f in world.stream.facts if isinstance(f.record, Desired) and f.record.job_id == job]


def reports(world: World, job: str = "j-1") -> list[Observed]:
    return [f.record for f in world.stream.facts if isinstance(f.record, Observed) and f.record.job_id == job]


def conclusions(world: World, job: str = "j-1") -> list[Conclusion]:
    found = [f.record for f in world.stream.facts if isinstance(f.record, Conclusion)]
    return [c for c in found if c.job_id == job]


def is_(state: JobState, job: str = "j-1") -> Callable[[View], bool]:
    def holds(view: View) -> bool:
        found = view.job(job)
        return found is not None and found.state is state

    return holds


def placed(view: View) -> bool:
    return bool(the_job(view).executions)


def running(view: View) -> bool:
    return any(e.state is ExecutionState.RUNNING for e in the_job(view).executions.values())


def the_job(view: View, job: str = "j-1") -> JobView:
    found = view.job(job)
    assert found is not None
    return found


def now_and_then(world: World) -> View:
    return fold(world.stream.stored)


class Once:
    """Decides the fate of the first write that ``matters``; all others are stored."""

    def __init__(self, fate: Fate, matters: Callable[[Any], bool]) -> None:
        self.it, self.matters, self.met = fate, matters, False

    def __call__(self, process: Process, key: Any, record: Any) -> Fate:
        if self.met or not self.matters(record):
            return Fate.STORED
        self.met = True
        return self.it


# --- 1: nudges ----------------------------------------------------------------------------------------------


@rule
async def test_rule_1_when_the_queue_is_lost_everything_unfinished_is_nudged():
    world = await a_world(takes=60, sweep_every=NEVER)
    for number in range(3):
        await world.submit(a_job(world, f"j-{number}"))
    await world.until(5, lambda _: len(world.starts) == 3)
    await asyncio.sleep(3)
    world.nudges.pushed.clear()
    await world.restart_bus(3)
    await asyncio.sleep(0.5)
    assert {job for _, job in world.nudges.pushed} == {"j-0", "j-1", "j-2"}


@rule
async def test_rule_1_a_timer_that_was_lost_with_the_queue_is_set_again():
    policy = Policy(RetryPolicy(max_attempts=2, backoff=20))
    world = await a_world(takes=0.1, sweep_every=NEVER, policy=policy)
    world.trouble = replace(QUIET, fail=1.0)
    await world.submit(a_job(world))
    await world.until(5, lambda v: any(e.terminal for e in the_job(v).executions.values()))
    world.trouble = QUIET
    await asyncio.sleep(2)
    await world.restart_bus(1)
    await world.until(25, is_(JobState.COMPLETED))


# --- 2: no lost wake-up -------------------------------------------------------------------------------------


@rule
async def test_rule_2_a_nudge_waits_for_the_fact_that_it_speaks_of():
    world = await a_world(sweep_every=NEVER, drops=lambda m: isinstance(m, Nudge))
    requester = world.requesters["r0"]
    requester.blind = True
    await world.submit(a_job(world))
    await asyncio.sleep(3)
    requester.blind = False
    requester.news.set()
    await world.until(0.5, placed)


@rule
async def test_rule_2_a_wish_whose_nudge_was_lost_is_found_by_who_reads_it():
    world = await a_world(sweep_every=NEVER, drops=lambda m: m == "gateway's nudge")
    await world.submit(a_job(world))
    await world.until(3, placed)


@rule
async def test_rule_2_another_requester_finds_what_the_one_that_took_the_nudge_left():
    world = await a_world(requesters=2, sweep_every=NEVER)
    world.fate = Once(Fate.DIES_BEFORE, lambda r: isinstance(r, Desired))  # type: ignore[method-assign]
    await world.submit(a_job(world))
    await world.until(4, placed)
    assert sum(r.process.dead for r in world.requesters.values()) == 1


@rule
async def test_rule_2_the_end_of_an_execution_is_acted_on_when_its_requester_is_dead():
    world = await a_world(requesters=2, sweep_every=NEVER)
    await world.submit(a_job(world))
    await world.until(3, running)
    world.requesters[wishes(world)[0].requester].process.kill()
    await world.until(5, is_(JobState.COMPLETED))


# --- 3: nobody is lost because I was asleep -------------------------------------------------------------------


def nobody_was_given_up(world: World) -> bool:
    return all(w.wish is Wish.RUN for w in wishes(world)) and len(wishes(world)) == 1


@pytest.mark.parametrize("first", ["the clock", "a nudge"])
@rule
async def test_rule_3_who_was_stopped_for_a_minute_calls_nobody_lost(first):
    world = await a_world(takes=120)
    await world.submit(a_job(world))
    await world.until(3, running)
    await asyncio.sleep(2)
    requester = world.requesters["r0"]
    world.drops = lambda m: isinstance(m, Heartbeat) and requester.process.asleep_until > world.time()
    requester.process.stall(60)
    await asyncio.sleep(59.9)
    if first == "a nudge":  # comes to life before anything else does
        await requester.desk.on_nudge(Nudge(job_id=JobID("j-1")))
    await asyncio.sleep(40)
    assert nobody_was_given_up(world)


@rule
async def test_rule_3_a_starting_requester_waits_one_window_before_it_calls_a_node_lost():
    world = await a_world(takes=200)
    await world.submit(a_job(world))
    await world.until(3, running)
    world.requesters["r0"].process.kill()
    world.drops = lambda m: isinstance(m, Heartbeat)
    await asyncio.sleep(30)
    world.requesters["r0"].begin()
    await asyncio.sleep(world.window - 1)
    assert nobody_was_given_up(world)
    await world.until(5, lambda _: wishes(world)[-1].wish is Wish.ABANDONED)


@rule
async def test_rule_3_a_bus_that_was_away_for_longer_than_a_window_loses_nobody():
    world = await a_world(takes=120)
    await world.submit(a_job(world))
    await world.until(3, running)
    await asyncio.sleep(2)
    await world.restart_bus(world.window * 3)
    await asyncio.sleep(30)
    assert nobody_was_given_up(world)


@rule
async def test_rule_3_a_starting_requester_asks_all_nodes_to_report_at_once():
    world = await a_world(nodes=1)
    world.requesters["r0"].process.kill()
    await world.submit(a_job(world))
    beats: list[float] = []
    world.drops = lambda m: isinstance(m, Heartbeat) and bool(beats.append(world.time()))
    await world.until(10, lambda _: bool(beats))
    await asyncio.sleep(0.2)  # the next one comes by itself in 2.8 s
    world.requesters["r0"].begin()
    await world.until(0.5, placed)


@rule
async def test_rule_3_with_no_node_known_a_job_fails_at_once():
    world = await a_world(nodes=0)
    await world.submit(a_job(world, queue=0))
    view = await world.until(1, is_(JobState.FAILED))
    assert "not enough nodes to run job" in the_job(view).conclusions[1].message


@rule
async def test_rule_3_a_stored_report_counts_for_one_window_even_if_its_node_is_silent():
    world = await a_world(sweep_every=5)
    world.nodes["n0"].process.kill()
    world.requesters["r0"].process.kill()
    await asyncio.sleep(30)
    world.requesters["r0"].begin()
    await world.submit(a_job(world, queue=0))
    await asyncio.sleep(world.window - 2)
    assert not conclusions(world)
    view = await world.until(10, is_(JobState.FAILED))
    assert "is not connected" in the_job(view).conclusions[1].message


# --- 4: conclusions belong to a version -----------------------------------------------------------------------


@rule
async def test_rule_4_an_update_makes_the_conclusion_void():
    world = await a_world()
    await world.submit(a_job(world))
    await world.until(5, is_(JobState.COMPLETED))
    await world.change("j-1", the_next_version)
    assert not is_(JobState.COMPLETED)(now_and_then(world))
    await world.until(5, is_(JobState.COMPLETED))
    assert [c.version for c in conclusions(world)] == [1, 2]
    assert len(world.starts) == 2


@pytest.mark.parametrize("restarted", [False, True])
@rule
async def test_rule_4_what_runs_of_a_concluded_job_is_swept(restarted):
    world = await a_world(requesters=1, sweep_every=NEVER)
    await world.submit(a_job(world))
    await world.until(5, is_(JobState.COMPLETED))
    await asyncio.sleep(3)
    if restarted:
        world.requesters["r0"].process.kill()
    work(world, NEVER)
    late = wishes(world)[0].but(
        execution_id="e-late", attempt=7, requester="r9", nonce="late", job=spec_of(world)
    )
    world.stream.write(desired_key("e-late", "n0"), late, 0)
    if restarted:
        await asyncio.sleep(30)
        world.requesters["r0"].begin()
    await world.until(4, lambda v: the_job(v).settled)
    assert [w.wish for w in wishes(world) if w.execution_id == "e-late"] == [Wish.RUN, Wish.STOP]


def spec_of(world: World, job: str = "j-1") -> JobSpec:
    spec = world.stream.last[spec_key(job)].record
    assert isinstance(spec, JobSpec)
    return spec


# --- 5: what is wanted only moves on ----------------------------------------------------------------------------


@rule
async def test_rule_5_a_stopped_execution_whose_node_dies_is_abandoned():
    world = await a_world(takes=NEVER)
    await world.submit(a_job(world))
    await world.until(3, running)
    world.nodes["n0"].process.kill()
    await world.change("j-1", stopped)
    view = await world.until(30, lambda v: the_job(v).settled)
    assert [w.wish for w in wishes(world)] == [Wish.RUN, Wish.STOP, Wish.ABANDONED]
    assert the_job(view).state is JobState.STOPPED


@rule
async def test_rule_5_a_replacement_is_placed_after_the_abandon_is_seen():
    world = await a_world(nodes=2, takes=NEVER)
    await world.submit(a_job(world))
    await world.until(3, running)
    requester = world.requesters["r0"]
    first = wishes(world)[0]

    def goes_blind(process: Process, key: Any, record: Any) -> Fate:
        requester.blind = requester.blind or getattr(record, "wish", None) is Wish.ABANDONED
        return Fate.STORED

    world.fate = goes_blind  # type: ignore[method-assign]
    world.nodes[first.node_id].process.kill()
    await world.until(30, lambda _: wishes(world)[-1].wish is Wish.ABANDONED)
    await asyncio.sleep(20)
    assert len(wishes(world)) == 2, "it placed without having seen its own abandon"
    world.fate = lambda *_: Fate.STORED  # type: ignore[method-assign]
    requester.blind = False
    requester.news.set()
    await world.until(5, lambda _: len(wishes(world)) == 3)
    assert wishes(world)[-1].node_id != first.node_id


@rule
async def test_rule_5_a_late_report_revives_nothing_and_all_ways_to_read_agree():
    world = await a_world(nodes=2, takes=40)
    await world.submit(a_job(world))
    await world.until(3, running)
    first = wishes(world)[0]
    world.drops = lambda m: getattr(m, "wish", None) is Wish.ABANDONED or isinstance(m, WhatShouldIDo)
    world.nodes[first.node_id].process.stall(30)
    await world.until(100, lambda v: the_job(v).settled)
    await asyncio.sleep(60)
    view = now_and_then(world)
    assert the_job(view).executions[first.execution_id].state is ExecutionState.LOST
    said = [r.state for r in reports(world) if r.execution_id == first.execution_id]
    assert said[-1] is ExecutionState.COMPLETED
    assert states(fold(last_of_each(world.stream.stored))) == states(view)
    assert states(world.requesters["r0"].view) == states(view)


# --- 6: what should I be doing? ---------------------------------------------------------------------------------


@rule
async def test_rule_6_an_answer_older_than_the_assignment_stops_nothing():
    world = await a_world(requesters=2, takes=60)
    world.requesters["r1"].blind = True
    await world.submit(a_job(world))
    await world.until(100, is_(JobState.COMPLETED))
    assert len(world.starts) == 1
    assert reports(world)[-1].state is ExecutionState.COMPLETED


@rule
async def test_rule_6_what_a_newer_answer_does_not_name_is_stopped():
    world = await a_world(takes=NEVER)
    work(world, NEVER, outlives=True)
    world.drops = lambda m: getattr(m, "wish", None) is Wish.ABANDONED
    await world.submit(a_job(world))
    await world.until(3, running)
    [fact] = [f for f in world.stream.facts if f.key.kind is Kind.DESIRED]
    assert isinstance(fact.record, Desired)
    abandoned = fact.record.but(wish=Wish.ABANDONED, requester="r0", nonce="given up", job=None)
    world.stream.write(fact.key, abandoned, fact.seq)
    await asyncio.sleep(6)
    assert fact.record.execution_id not in world.containers
    assert fact.record.execution_id not in world.nodes["n0"].agent.executions


@rule
async def test_rule_6_a_node_refuses_an_assignment_of_a_version_that_is_over():
    world = await a_world(takes=60)
    world.drops = lambda m: isinstance(m, WhatShouldIDo) or getattr(m, "version", 0) == 1
    await world.submit(a_job(world))
    await world.until(3, placed)
    await world.change("j-1", the_next_version)
    await world.until(5, running)
    old = next(f for f in world.stream.facts if f.key.kind is Kind.DESIRED)
    assert isinstance(old.record, Desired)
    assert old.record.version == 1
    world.nodes["n0"].agent.on_desired(old.record, old.seq)
    await asyncio.sleep(1)
    said = [r for r in reports(world) if r.execution_id == old.record.execution_id]
    assert [(r.state, r.reason) for r in said] == [(ExecutionState.DECLINED, Reason.OLD_VERSION)]
    assert old.record.execution_id not in world.starts


# --- 7: capacity ------------------------------------------------------------------------------------------------


@rule
async def test_rule_7_a_full_node_declines_a_late_assignment_and_that_is_no_attempt():
    world = await a_world(takes=10, policy=Policy(RetryPolicy(max_attempts=1)))
    await world.submit(a_job(world, "j-0", cpu="2000m"))
    await world.until(3, lambda _: len(world.starts) == 1)
    spec = a_job(world, cpu="2000m")
    await world.submit(spec)
    await asyncio.sleep(1)
    first = execution_id(spec.id, spec.nonce, 1, "0", 0)
    late = Desired(
        execution_id=first, job_id=spec.id, node_id=NodeID("n0"), version=1, wish=Wish.RUN,
        requester="r9", nonce="late", job=spec,
    )  # fmt: skip
    world.stream.write(desired_key(first, "n0"), late, 0)
    view = await world.until(40, is_(JobState.COMPLETED))
    assert the_job(view).executions[first].state is ExecutionState.DECLINED
    assert reports(world)[0].reason is Reason.NO_ROOM
    assert first not in world.starts


@rule
async def test_rule_7_room_is_free_before_the_end_is_told():
    world = await a_world()
    ledger = world.nodes["n0"].agent.ledger
    free: list[int] = []

    def looks(process: Process, key: Any, record: Any) -> Fate:
        if isinstance(record, Observed) and record.state in TERMINAL:
            free.append(ledger.free.milli_cpu)
        return Fate.STORED

    world.fate = looks  # type: ignore[method-assign]
    await world.submit(a_job(world, cpu="2000m"))
    await world.until(5, is_(JobState.COMPLETED))
    assert free == [2000]


@rule
async def test_rule_7_room_that_grows_wakes_the_head_of_the_line_at_once_and_nobody_else():
    world = await a_world(takes=5, sweep_every=NEVER)
    jobs = [f"j-{n}" for n in range(8)]
    for job in jobs:
        await world.submit(a_job(world, job, cpu="2000m"))
        await asyncio.sleep(0.1)
    await asyncio.sleep(3)
    looks: list[tuple[float, str]] = []
    desk = world.requesters["r0"].desk
    look = desk._evaluator.look

    def noted(job: JobView, *rest: Any) -> Any:
        looks.append((world.time(), job.id))
        return look(job, *rest)

    desk._evaluator.look = noted  # type: ignore[method-assign]
    await world.until(60, is_(JobState.COMPLETED, jobs[-1]))
    first = {job: min(at for at, looked in looks if looked == job) for job in jobs[1:]}
    assert sorted(first, key=lambda job: first[job]) == jobs[1:]
    assert all(4.9 < later - sooner < 5.2 for sooner, later in pairwise(first.values()))


# --- 8: ambiguous answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.UNANSWERED], ids=lambda f: f.name.lower())
@pytest.mark.parametrize("state", ["assigned", "running", "ended", "concluded"])
@rule
async def test_rule_8_a_write_without_an_answer_happens_once(state, fate):
    matters: dict[str, Callable[[Any], bool]] = {
        "assigned": lambda r: isinstance(r, Desired),
        "running": lambda r: isinstance(r, Observed),
        "ended": lambda r: isinstance(r, Observed) and r.state in TERMINAL,
        "concluded": lambda r: isinstance(r, Conclusion),
    }
    world = await a_world(requesters=2)
    world.fate = Once(fate, matters[state])  # type: ignore[method-assign]
    await world.submit(a_job(world))
    await world.until(60, is_(JobState.COMPLETED))
    assert world.fate.met
    await asyncio.sleep(30)
    assert len(conclusions(world)) == 1
    assert sum(r.state in TERMINAL for r in reports(world)) == len({w.execution_id for w in wishes(world)})
    assert all(len(nodes) == 1 for nodes in world.starts.values())


@rule
async def test_rule_8_a_placement_without_an_answer_is_not_made_twice():
    world = await a_world(nodes=3, takes=20)
    world.fate = Once(Fate.UNANSWERED, lambda r: isinstance(r, Desired))  # type: ignore[method-assign]
    await world.submit(a_job(world))
    await world.until(60, is_(JobState.COMPLETED))
    assert len(wishes(world)) == 1


# --- 9: one process per node id ---------------------------------------------------------------------------------------


@rule
async def test_rule_9_what_was_begun_is_never_begun_again():
    world = await a_world()
    world.fate = Once(Fate.DIES_AFTER, lambda r: isinstance(r, Observed))  # type: ignore[method-assign]
    await world.submit(a_job(world))
    await world.until(5, lambda _: world.nodes["n0"].process.dead)
    world.nodes["n0"].begin()
    await world.until(20, is_(JobState.COMPLETED))
    first, second = dict.fromkeys(w.execution_id for w in wishes(world))
    assert first not in world.starts
    assert world.starts[second] == ["n0"]


@rule
async def test_rule_9_a_late_assignment_of_what_an_earlier_life_began_starts_nothing():
    world = await a_world()
    world.fate = Once(Fate.DIES_AFTER, lambda r: isinstance(r, Observed))  # type: ignore[method-assign]
    await world.submit(a_job(world))
    await world.until(5, lambda _: world.nodes["n0"].process.dead)
    world.drops = lambda m: isinstance(m, WhatShouldIDo)
    world.nodes["n0"].begin()
    late = next(f for f in world.stream.facts if isinstance(f.record, Desired))
    world.to_node("n0", lambda n: n.agent.on_desired(late.record, late.seq))
    await asyncio.sleep(3)
    assert not world.starts
    world.drops = lambda _: False
    await world.until(20, is_(JobState.COMPLETED))
    assert reports(world)[1].reason is Reason.LOST_AT_RESTART


@rule
async def test_rule_9_the_first_report_is_stored_before_anything_starts():
    world = await a_world()
    world.fate = Once(Fate.DIES_BEFORE, lambda r: isinstance(r, Observed))  # type: ignore[method-assign]
    await world.submit(a_job(world))
    await world.until(5, lambda _: world.nodes["n0"].process.dead)
    assert not world.starts
    world.nodes["n0"].begin()
    await world.until(20, is_(JobState.COMPLETED))
    assert len(wishes(world)) == len(world.starts) == 1


@rule
async def test_rule_9_an_earlier_life_that_wakes_up_has_no_say_any_more():
    world = await a_world(takes=20)
    await world.submit(a_job(world))
    await world.until(3, running)
    first = wishes(world)[0].execution_id
    zombie = world.nodes["n0"].process
    zombie.stall(25)
    world.nodes["n0"].begin()
    await asyncio.sleep(60)
    zombie.kill()
    said = [(r.state, r.instance) for r in reports(world) if r.execution_id == first]
    assert said == [(ExecutionState.RUNNING, "n0#1"), (ExecutionState.FAILED, "n0#2")]
    assert is_(JobState.COMPLETED)(now_and_then(world))


# --- 10: no orphans -----------------------------------------------------------------------------------------------------


@rule
async def test_rule_10_a_node_that_comes_back_goes_on_with_its_container():
    world = await a_world(takes=10)
    work(world, 10, outlives=True)
    await world.submit(a_job(world))
    await world.until(3, running)
    world.nodes["n0"].kill()
    await asyncio.sleep(3)
    world.nodes["n0"].begin()
    await world.until(20, is_(JobState.COMPLETED))
    assert len(wishes(world)) == len(world.starts) == 1
    assert not world.containers


@pytest.mark.parametrize("away", [3, 40], ids=["stopped", "abandoned"])
@rule
async def test_rule_10_a_container_nobody_wants_any_more_is_removed_by_the_next_life(away):
    world = await a_world(takes=NEVER)
    work(world, NEVER, outlives=True)
    await world.submit(a_job(world))
    await world.until(3, running)
    world.nodes["n0"].process.kill()  # and its reaper with it
    await world.change("j-1", stopped)
    await asyncio.sleep(away)
    assert world.containers
    world.nodes["n0"].begin()
    view = await world.until(5, lambda _: not world.containers)
    view = await world.until(5, lambda v: the_job(v).settled)
    assert the_job(view).state is JobState.STOPPED


@rule
async def test_rule_10_a_container_given_up_in_the_moment_it_is_found_again_is_removed():
    world = await a_world(takes=NEVER)
    work(world, NEVER, outlives=True)
    await world.submit(a_job(world))
    await world.until(3, running)
    node = world.nodes["n0"]
    node.process.kill()
    world.drops = lambda m: isinstance(m, WhatShouldIDo)
    node.begin()
    await asyncio.sleep(1)
    world.drops = lambda _: False
    await node.agent.settle_in()
    given_up = wishes(world)[0].but(wish=Wish.ABANDONED, nonce="given up", job=None)
    seq = world.stream.write(desired_key(given_up.execution_id, "n0"), given_up, the_seq_of_the_wish(world))
    node.agent.on_desired(given_up, seq)
    await asyncio.sleep(1)
    assert given_up.execution_id not in world.containers


def the_seq_of_the_wish(world: World) -> int:
    return next(f.seq for f in world.stream.facts if isinstance(f.record, Desired))


# --- 11: purges are facts -------------------------------------------------------------------------------------------------


def records_of(world: World, job: str) -> set[Kind]:
    return {k.kind for k, f in world.stream.last.items() if k.owner == job or job in repr(f.record)}


@pytest.mark.parametrize("where", ["after the tombstone", "before the rest"])
@pytest.mark.parametrize("requesters", [1, 2])
@rule
async def test_rule_11_all_views_drop_a_purged_job_whoever_dies_over_it(where, requesters):
    world = await a_world(requesters, keep=20)
    if where == "after the tombstone":
        world.fate = Once(Fate.DIES_AFTER, lambda r: r is None)  # type: ignore[method-assign]
    else:
        world.dies_in_rest = True
    await world.submit(a_job(world))
    await world.until(5, is_(JobState.COMPLETED))
    await world.until(60, lambda v: v.job("j-1") is None)
    await asyncio.sleep(1)
    alive = [r for r in world.requesters.values() if not r.process.dead]
    [dead] = [r for r in world.requesters.values() if r.process.dead]
    assert Kind.CONCLUSION in records_of(world, "j-1"), "it died before the rest was removed"
    for _ in range(2):
        dead.begin()
        # When the tombstone is forgotten, what it covered may come up once more, and is purged again.
        await world.until(10, lambda _: dead.view.seq > 0 and dead.view.job("j-1") is None)
        assert all(r.view.job("j-1") is None for r in alive)
        assert dead.view.wanted_of(NodeID("n0")) == []
        await asyncio.sleep(3700)
        dead.process.kill()
        await asyncio.sleep(1)
    assert records_of(world, "j-1") == set()


@rule
async def test_rule_11_what_a_purge_left_is_removed_by_others_before_the_name_can_come_back():
    world = await a_world(2, keep=1)
    world.dies_in_rest = True
    await world.submit(a_job(world))
    await world.until(5, is_(JobState.COMPLETED))
    await world.until(60, lambda v: v.job("j-1") is None)
    assert Kind.CONCLUSION in records_of(world, "j-1")
    await asyncio.sleep(1500)
    assert records_of(world, "j-1") == {Kind.SPEC}, "its tombstone lies for an hour"


@rule
async def test_rule_11_a_purge_whose_answer_was_lost_is_finished():
    world = await a_world(requesters=1, keep=20)
    world.fate = Once(Fate.UNANSWERED, lambda r: r is None)  # type: ignore[method-assign]
    await world.submit(a_job(world))
    await world.until(60, lambda v: v.job("j-1") is None and world.time() > 1010)
    await asyncio.sleep(60)
    assert records_of(world, "j-1") == {Kind.SPEC}, "more is left than the tombstone"


@rule
async def test_rule_11_a_word_about_a_purged_job_is_passed_over():
    world = await a_world(keep=20)
    await world.submit(a_job(world))
    await world.until(60, lambda v: v.job("j-1") is None and world.time() > 1010)
    world.stream.write(waiting_key("j-1", 1), Waiting(job_id=JobID("j-1"), requester="r9", nonce="late"), 0)
    await world.submit(a_job(world, "j-2"))
    await world.until(5, is_(JobState.COMPLETED, "j-2"))
    assert world.crashes == []


@rule
async def test_rule_11_a_name_that_is_used_again_is_another_job():
    world = await a_world(requesters=1, keep=20)
    world.fate = Once(Fate.DIES_AFTER, lambda r: r is None)  # type: ignore[method-assign]
    first = named_job_id("default", "again")
    await world.submit(a_job(world, first, name="again", namespace="default"))
    await world.until(60, lambda v: v.job(first) is None and len(v.nodes) == 1 and world.time() > 1030)
    world.requesters["r0"].begin()
    gateway = GatewayWorld(stream=world.stream)
    gateway.idle = True
    answer = await gateway.put(
        {"Name": "again", "Type": "batch", "Count": 1, "Tasks": [{"Name": "t", "Engine": {"Type": "noop"}}]}
    )
    assert answer.status_code == 200, answer.text
    second = answer.json()["JobID"]
    assert second != first
    await world.until(10, is_(JobState.COMPLETED, second))
    assert len(world.starts) == 2


# --- 13: restart of a node ------------------------------------------------------------------------------------------------


@rule
async def test_rule_13_what_did_not_survive_a_restart_is_lost_at_restart_and_tried_again():
    world = await a_world(takes=10, policy=Policy(RetryPolicy(max_attempts=1)))
    await world.submit(a_job(world))
    await world.until(3, running)
    world.nodes["n0"].kill()
    await asyncio.sleep(1)
    world.nodes["n0"].begin()
    await world.until(20, is_(JobState.COMPLETED))
    said = [(r.state, r.reason) for r in reports(world)]
    assert said[1] == (ExecutionState.FAILED, Reason.LOST_AT_RESTART)


@rule
async def test_rule_13_only_a_requester_says_lost():
    world = await a_world(nodes=2, takes=30)
    await world.submit(a_job(world))
    await world.until(3, running)
    first = wishes(world)[0]
    world.nodes[first.node_id].kill()
    view = await world.until(60, is_(JobState.COMPLETED))
    assert the_job(view).executions[first.execution_id].state is ExecutionState.LOST
    assert ExecutionState.LOST not in {r.state for r in reports(world)}
    assert wishes(world)[1].wish is Wish.ABANDONED


# --- 14: decisions rest on compare-and-set ----------------------------------------------------------------------------------


@rule
async def test_rule_14_who_decides_from_an_old_view_is_refused():
    world = await a_world(requesters=2, nodes=3)
    old = world.requesters["r1"]
    spec = a_job(world)
    await world.submit(spec)
    await world.until(1, lambda _: old.view.job("j-1") is not None)
    old.blind = True
    await world.until(30, is_(JobState.COMPLETED))
    told = len(wishes(world))
    looking = asyncio.create_task(old.desk.on_nudge(Nudge(job_id=spec.id)))
    await asyncio.sleep(4)
    looking.cancel()
    assert len(wishes(world)) == told == 1
    assert len(world.starts) == 1


@rule
async def test_rule_14_a_conclusion_from_an_old_view_is_refused():
    world = await a_world(requesters=2)
    blind = []

    def blinds_the_other(process: Process, key: Any, record: Any) -> Fate:
        if isinstance(record, Conclusion) and not blind:
            blind.extend(r for r in world.requesters.values() if r.process is not process)
            blind[0].blind = True
        return Fate.STORED

    world.fate = blinds_the_other  # type: ignore[method-assign]
    await world.submit(a_job(world))
    await world.until(30, is_(JobState.COMPLETED))
    looking = asyncio.create_task(blind[0].desk.on_nudge(Nudge(job_id=JobID("j-1"))))
    await asyncio.sleep(4)
    looking.cancel()
    assert blind[0].view.unfinished[JobID("j-1")].conclusion is None
    assert len(conclusions(world)) == 1


@rule
async def test_rule_14_two_requesters_that_decide_at_once_give_the_job_to_one_node():
    world = await a_world(requesters=2, nodes=5, drops=lambda m: m == "gateway's nudge")
    spec = a_job(world)
    await world.submit(spec)
    await asyncio.sleep(0.1)
    await asyncio.gather(*(r.desk.on_nudge(Nudge(job_id=spec.id)) for r in world.requesters.values()))
    await world.until(5, is_(JobState.COMPLETED))
    assert len(wishes(world)) == 1
