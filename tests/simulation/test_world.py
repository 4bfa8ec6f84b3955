"""Seeded runs of the real requester and compute logic in an unkind world.

A failing seed is reproduced by `SEEDS=<seed> pytest tests/simulation/test_world.py`.
"""

from __future__ import annotations

import asyncio
import os
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
from tests.support.world import QUIET, Trouble, World

_ASKED = os.environ  # noqa: TID251 - which seeds to try is about the tests, not the product
SEEDS = [int(s) for s in _ASKED.get("SEEDS", "").split(",") if s] or list(
    range(int(_ASKED.get("SEED_COUNT", "300")))
)


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
    world = World(seed, trouble)
    watch = Watch(world.stream)
    rng = Random(seed + 1)
    world.populate(requesters=rng.choice((1, 2, 3)), nodes=rng.choice((1, 2, 3, 5)))
    fate = asyncio.create_task(world.misfortune(60)) if trouble.crash_every else None
    for number in range(jobs):
        await asyncio.sleep(rng.uniform(0, 2.0))
        await world.submit(a_job(rng, number, world.time() + 1_700_000_000))
        if number and rng.random() < 0.15:
            await change_something(world, f"j-{rng.randrange(number)}", rng)
    if fate is not None:
        await fate
    endless = [
        f.record
        for f in world.stream.last.values()
        if isinstance(f.record, JobSpec) and f.record.type.endless
    ]
    for spec in endless[::2]:
        if spec.stop is None:
            await world.change(spec.id, lambda s: s.but(stop=StopRequest(reason="enough")))
    view = await world.settle(1200, at_peace)
    check_end(view, world.starts)
    assert states(watch.view) == states(view)
    assert states(fold(last_of_each(world.stream.facts))) == states(view)
    await asyncio.sleep(70)  # the longest stall is over
    for requester in world.requesters.values():
        requester.view.tidy()
        assert states(requester.view) == states(fold(world.stream.facts))
    assert not world.crashes, world.crashes
    world.end()
    await asyncio.sleep(0.1)


async def change_something(world: World, job: str, rng: Random) -> None:
    if rng.random() < 0.5:
        await world.change(job, lambda s: s.but(stop=s.stop or StopRequest(reason="asked to")))
    else:
        await world.change(
            job,
            lambda s: s.but(
                version=s.version + 1,
                cause=Cause.UPDATED,
                stop=None,
                submitted=int((world.time() + 1_700_000_000) * 1e9),
            ),
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_an_unkind_world_loses_nothing_and_runs_nothing_twice(seed: int) -> None:
    run_virtually(live(seed, Trouble()))


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_a_kind_world_ends_every_job(seed: int) -> None:
    run_virtually(live(seed, QUIET))
