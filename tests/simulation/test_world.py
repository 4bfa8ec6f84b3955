"""Seeded runs of the real requester and compute logic in an unkind world.

A failing seed is reproduced by `SEEDS=<seed> pytest tests/simulation/test_world.py`: the same seed gives
the same run, in any process. Seeds are run in groups, so that workers have something to share.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from random import Random

import pytest

from bacalhau_nats.domain.spec import (
    Cause,
    JobSpec,
    JobType,
    ResourcesConfig,
    SpecConfig,
    StopRequest,
    Task,
    Timeouts,
)
from tests.support.invariants import Watch, at_peace, check_end, fold, last_of_each, states
from tests.support.loop import run_virtually
from tests.support.unkind import QUIET, Trouble
from tests.support.world import World

_ASKED = os.environ  # noqa: TID251 - which seeds to try is about the tests, not the product
SEEDS = [int(s) for s in _ASKED.get("SEEDS", "").split(",") if s] or list(
    range(int(_ASKED.get("SEED_COUNT", "300")))
)
_GROUP = 15
GROUPS = [SEEDS[n : n + _GROUP] for n in range(0, len(SEEDS), _GROUP)]


def a_job(rng: Random, number: int, now: float) -> JobSpec:
    kind = rng.choices(list(JobType), weights=(8, 1, 2, 1))[0]
    # Endless jobs are small: what they take, nobody gets back.
    cpu = "20m" if kind.endless else rng.choice(("100m", "500m", "900m", "1500m"))
    return JobSpec(
        id=f"j-{number}",
        name=f"job {number}",
        type=kind,
        count=0 if kind.everywhere else rng.choice((1, 1, 1, 2, 5)),
        priority=rng.choice((0, 0, 0, 5)),
        tasks=(
            Task(
                engine=SpecConfig(type="noop"),
                resources=ResourcesConfig(cpu=cpu, memory="1kb"),
                timeouts=Timeouts(queue_timeout=3600),
            ),
        ),
        created=int(now * 1e9),
        submitted=int(now * 1e9),
        nonce=f"n{number}",
    )


async def live(seed: int, trouble: Trouble, jobs: int = 15) -> None:
    """Live through one seed: submit, change and stop jobs in the middle of trouble, then ask for peace."""
    rng = Random(seed + 1)
    keep = rng.choice((0.0, 0.0, 20.0))
    if keep:  # the fences of a job leave with it: who is asleep for longer than that may act on what is gone
        trouble = replace(trouble, pauses=(1.0, 5.0))
    world = World(seed, trouble, keep=keep)
    watch = Watch(world.stream)
    world.on_purge.append(watch.forget)
    world.populate(requesters=rng.choice((1, 2, 3)), nodes=rng.choice((1, 2, 3, 5)))
    fate = asyncio.create_task(world.misfortune(60)) if trouble.crash_every else None
    for number in range(jobs):
        await asyncio.sleep(rng.uniform(0, 2.0))
        await world.submit(a_job(rng, number, world.now()))
        if number and rng.random() < 0.15:
            await change_something(world, f"j-{rng.randrange(number)}", rng)
    if fate is not None:
        await fate
    await stop_half_of_what_is_endless(world)
    check_end(await world.settle(1200, at_peace), world.starts)
    all_agree(world, watch)
    await asyncio.sleep(70)  # the longest stall is over
    assert not world.crashes, world.crashes
    await world.until(5, lambda _: all(r.at == world.stream.seq for r in world.requesters.values()))
    all_agree(world, watch)
    check_end(fold(world.stream.stored), world.starts)
    world.end()
    await asyncio.sleep(0.1)


def all_agree(world: World, watch: Watch) -> None:
    """Check that whoever followed, reads now, or reads only the last of each record sees the same."""
    truth = states(fold(world.stream.stored))
    assert states(watch.view) == truth
    assert states(fold(last_of_each(world.stream.stored))) == truth
    for requester in world.requesters.values():
        if requester.at == world.stream.seq:
            assert states(requester.view) == truth, requester.process.instance


async def stop_half_of_what_is_endless(world: World) -> None:
    specs = [f.record for f in world.stream.last.values() if isinstance(f.record, JobSpec)]
    for spec in [s for s in specs if s.type.endless][::2]:
        if spec.stop is None:
            await world.change(spec.id, lambda s: s.but(stop=StopRequest(reason="enough")))


async def change_something(world: World, job: str, rng: Random) -> None:
    if rng.random() < 0.5:
        await world.change(job, lambda s: s.but(stop=s.stop or StopRequest(reason="asked to")))
    else:
        await world.change(
            job,
            lambda s: s.but(
                version=s.version + 1, cause=Cause.UPDATED, stop=None, submitted=int(world.now() * 1e9)
            ),
        )


def run_seeds(seeds: list[int], trouble: Trouble) -> None:
    for seed in seeds:
        try:
            run_virtually(live(seed, trouble))
        except AssertionError as error:
            error.add_note(f"reproduce: SEEDS={seed} pytest tests/simulation/test_world.py")
            raise


@pytest.mark.parametrize("seeds", GROUPS, ids=lambda g: f"{g[0]}-{g[-1]}")
def test_an_unkind_world_loses_nothing_and_runs_nothing_twice(seeds: list[int]) -> None:
    run_seeds(seeds, Trouble())


def test_a_kind_world_ends_every_job() -> None:
    run_seeds(SEEDS[:15], QUIET)
