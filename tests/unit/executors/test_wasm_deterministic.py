"""A deterministic guest does the same each time, whatever the time, the chance and the run."""

import struct

import pytest
from wasmtime import wat2wasm

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.executors.wasm_wasi import FixedWorld, GuestState, _wait
from bacalhau_nats.ports import WorkFailed
from bacalhau_nats.testing.engine import RecordingSink

from .guests import engine, work
from .test_wasm_wasi import MS, clock

# Prints both clocks, 16 random bytes, and the clock again after a sleep of 20 ms.
LOOK = """(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\40\\00\\00\\00\\28\\00\\00\\00")
  (func (export "_start")
    (drop (call $time (i32.const 0) (i64.const 1) (i32.const 64)))
    (drop (call $time (i32.const 1) (i64.const 1) (i32.const 72)))
    (drop (call $random (i32.const 80) (i32.const 16)))
    (i32.store (i32.const 272) (i32.const 1))
    (i64.store (i32.const 280) (i64.const 20000000))
    (drop (call $poll (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 600)))
    (drop (call $time (i32.const 1) (i64.const 1) (i32.const 96)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 700)))))"""


@pytest.fixture
def look(tmp_path):
    path = tmp_path / "look.wasm"
    path.write_bytes(wat2wasm(LOOK))
    return path


async def printed(executor, tmp_path, module, **params):
    logs = RecordingSink()
    await executor.run(work(tmp_path, module, **params), logs)
    return logs.stdout


async def test_time_and_chance_are_the_same_each_time_also_on_another_node(tmp_path, look):
    seen = []
    for node in ("one", "two"):
        async with engine(tmp_path / node) as executor:
            seen += [await printed(executor, tmp_path, look, Deterministic=True) for _ in range(3)]
    assert len(set(seen)) == 1
    wall, before, random, after = struct.unpack("<QQ16sQ", seen[0])
    assert wall // 10**9 == 946_684_800
    assert after - before >= 20 * MS  # a sleep takes time on this clock, too
    assert random != bytes(16)


async def test_without_the_switch_they_are_the_real_ones_beside_a_deterministic_guest(tmp_path, look):
    async with engine(tmp_path) as executor:
        fixed = await printed(executor, tmp_path, look, Deterministic=True)
        real = [await printed(executor, tmp_path, look) for _ in range(2)]
        assert await printed(executor, tmp_path, look, Deterministic="true") == fixed
    assert len({fixed, *real}) == 3
    assert struct.unpack_from("<Q", real[0])[0] > 1_700_000_000 * 10**9


async def test_ids_of_the_run_are_not_in_its_environment(tmp_path):
    env = {
        "BACALHAU_EXECUTION_ID": "e-1",
        "BACALHAU_JOB_ID": "j-1",
        "BACALHAU_PARTITION_INDEX": "0",
        "A": "b",
    }
    text = """(module
      (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (call $exit (i32.load (i32.const 0)))))"""
    path = tmp_path / "count.wasm"
    path.write_bytes(wat2wasm(text))
    async with engine(tmp_path) as executor:
        fixed = await executor.run(work(tmp_path, path, env=env, Deterministic=True), RecordingSink())
        plain = await executor.run(work(tmp_path, path, env=env), RecordingSink())
    assert (fixed.exit_code, plain.exit_code) == (2, 4)


async def test_a_switch_that_is_neither_is_refused(tmp_path, look):
    async with engine(tmp_path) as executor:
        with pytest.raises(WorkFailed) as caught:
            await executor.run(work(tmp_path, look, Deterministic="perhaps"), RecordingSink())
    assert caught.value.failure.reason is Reason.INVALID
    assert "Deterministic" in str(caught.value)


def test_partitions_have_chances_of_their_own():
    assert FixedWorld("partition 0").chance(8) != FixedWorld("partition 1").chance(8)


def test_an_absolute_sleep_is_measured_on_the_fixed_clock():
    state = GuestState()
    state.fixed = FixedWorld("x")
    until = state.fixed.now(1) + 10 * MS
    assert len(_wait(clock(1, until, absolute=True), state)) == 1
    assert state.fixed.now(1) >= until
