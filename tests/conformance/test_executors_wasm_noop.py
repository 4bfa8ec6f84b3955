"""The noop and wasm engines do what every executor must do."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.executors.noop import open_noop
from bacalhau_nats.executors.wasm import open_wasm
from bacalhau_nats.ports import PluginContext, Volume
from bacalhau_nats.testing.executors import EngineCase, Program, check_executor, checks_for

BUILT = Path(__file__).parents[2] / "wasm" / "built"


def noop(**params):
    return Program(SpecConfig(type="noop", params=params))


def wasm(module, *parameters, **params):
    target = f"/programs/{module}.wasm"
    engine = SpecConfig(type="wasm", params={"EntryModule": target, "Parameters": list(parameters), **params})
    return Program(engine, (Volume(BUILT / f"{module}.wasm", target),))


NOOP = EngineCase(
    say=lambda text: noop(Output=text),
    exit_with=lambda code: noop(ExitCode=code),
    sleep=lambda seconds: noop(Sleep=seconds),
    cannot_start=noop(Fail="no such thing"),
)


WASM = EngineCase(
    say=lambda text: wasm("echo", text),
    exit_with=lambda code: wasm("exit", str(code)),
    sleep=lambda seconds: wasm("sleep", str(seconds), str(int(seconds * 1000))),
    cannot_start=wasm("nostart"),
    cat=lambda path: wasm("cat", path),
    show=lambda args: wasm("hello", *args),
    write=lambda path, text: wasm("write", path, text),
    spin=wasm("spin"),
)


@pytest.mark.parametrize("name", checks_for(NOOP))
async def test_noop(name, tmp_path):
    async with open_noop(PluginContext("test", NodeID("n-test"), tmp_path)) as executor:
        await checks_for(NOOP)[name](executor, NOOP, tmp_path)


@pytest.mark.parametrize("name", checks_for(WASM))
async def test_wasm(name, tmp_path):
    async with open_wasm(PluginContext("test", NodeID("n-test"), tmp_path)) as executor:

        async def busy():
            return [repr(lane) for lane in executor._lanes._busy]

        await checks_for(WASM)[name](executor, replace(WASM, leftovers=busy), tmp_path)


async def test_the_whole_suite_runs_in_one_call(tmp_path):
    async with open_noop(PluginContext("test", NodeID("n-test"), tmp_path)) as executor:
        await check_executor(executor, NOOP, tmp_path)


async def test_the_suite_fails_an_engine_that_misbehaves(tmp_path):
    """A check that cannot fail proves nothing: an engine that loses its exit code is caught."""
    broken = EngineCase(NOOP.say, lambda _: noop(ExitCode=9), NOOP.sleep, NOOP.cannot_start)
    async with open_noop(PluginContext("test", NodeID("n-test"), tmp_path)) as executor:
        with pytest.raises(AssertionError, match="an exit code of 0 is an outcome"):
            await check_executor(executor, broken, tmp_path)


class OneAtATime:
    """An engine that runs one work after the other."""

    def __init__(self, executor):
        self._executor, self._turn = executor, asyncio.Lock()

    async def run(self, work, logs):
        async with self._turn:
            return await self._executor.run(work, logs)


class Tardy(OneAtATime):
    """An engine that takes its time to end what is cancelled."""

    async def run(self, work, logs):
        try:
            return await self._executor.run(work, logs)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)
            raise


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (OneAtATime, "several_run_at_once", "6 sleeps of 1 s at once took as long as one of 6 s"),
        (Tardy, "a_sleeping_run_can_be_cancelled", "took longer to end than a sleep of 2.0 s"),
    ],
)
async def test_the_suite_fails_an_engine_that_takes_too_long(tmp_path, kind, name, words):
    quick = replace(NOOP, sleep=lambda seconds: noop(Sleep=seconds / 20))
    async with open_noop(PluginContext("test", NodeID("n-test"), tmp_path)) as executor:
        with pytest.raises(AssertionError, match=words):
            await checks_for(quick)[name](kind(executor), quick, tmp_path)
