"""How WASM modules run, end, fail and stop."""

import asyncio
import hashlib
import time

import pytest
from wasmtime import wat2wasm

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.errors import InvalidSettings, StorageFull
from bacalhau_nats.executors import wasm_lane
from bacalhau_nats.ports import Stream, Volume, WorkFailed
from bacalhau_nats.testing.engine import RecordingSink
from tests.support.waiting import eventually

from .guests import BUILT, engine, work

MIB = 1024 * 1024


@pytest.fixture
async def executor(tmp_path):
    async with engine(tmp_path) as opened:
        yield opened


async def failure_of(executor, work):
    with pytest.raises(WorkFailed) as caught:
        await executor.run(work, RecordingSink())
    assert not caught.value.failure.retryable
    return caught.value.failure


def module(folder, text):
    path = folder / "module.wasm"
    path.write_bytes(wat2wasm(text))
    return path


async def test_returning_from_the_entry_function_is_exit_code_0(executor, tmp_path):
    assert (await executor.run(work(tmp_path, "noop"), RecordingSink())).exit_code == 0


async def test_it_tells_the_digest_of_the_module_that_ran(executor, tmp_path):
    for path in (module(tmp_path, '(module (func (export "_start")))'), BUILT / "exit.wasm"):
        outcome = await executor.run(work(tmp_path, path), RecordingSink())
        assert outcome.program == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


async def test_output_that_ends_with_a_large_exit_code_is_complete(executor, tmp_path):
    text = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 8) "last words\\n") (data (i32.const 0) "\\08\\00\\00\\00\\0b")
      (func (export "_start") i32.const 1 i32.const 0 i32.const 1 i32.const 64 call $write drop
        i32.const 200 call $exit))"""
    logs = RecordingSink()
    outcome = await executor.run(work(tmp_path, module(tmp_path, text)), logs)
    assert (outcome.exit_code, logs.stdout) == (200, b"last words\n")


async def test_a_trap_fails_with_its_reason_and_a_backtrace_on_stderr(executor, tmp_path):
    logs = RecordingSink()
    outcome = await executor.run(work(tmp_path, "trap"), logs)
    assert (outcome.exit_code, outcome.failure.retryable) == (1, False)
    assert outcome.failure.message == "the module trapped: wasm `unreachable` instruction executed"
    assert b"`unreachable` instruction executed" in logs.stderr


async def test_a_stack_that_overflows_is_a_trap(executor, tmp_path):
    logs = RecordingSink()
    text = '(module (memory (export "memory") 1) (func $deep (export "_start") call $deep))'
    outcome = await executor.run(work(tmp_path, module(tmp_path, text)), logs)
    assert outcome.exit_code == 1
    assert b"call stack exhausted" in logs.stderr


async def test_another_entry_point_can_be_called(executor, tmp_path):
    assert (
        await executor.run(work(tmp_path, "nostart", Entrypoint="answer"), RecordingSink())
    ).exit_code == 42


async def test_a_library_is_initialised_before_its_function_is_called(executor, tmp_path):
    text = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1) (global $ready (mut i32) (i32.const 1))
      (func (export "_initialize") i32.const 7 global.set $ready)
      (func (export "run") global.get $ready call $exit))"""
    job = work(tmp_path, module(tmp_path, text), Entrypoint="run")
    assert (await executor.run(job, RecordingSink())).exit_code == 7


async def test_a_missing_entry_point_is_refused_naming_those_there_are(executor, tmp_path):
    failure = await failure_of(executor, work(tmp_path, "nostart"))
    assert failure.reason is Reason.INVALID
    assert failure.message == "module /programs/main.wasm has no function '_start'"
    assert failure.hint.endswith(": answer")


async def test_an_entry_point_that_needs_arguments_is_refused(executor, tmp_path):
    failure = await failure_of(executor, work(tmp_path, "nostart", Entrypoint="add"))
    assert "needs arguments" in failure.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#!/bin/sh\n", "is not a WASM module"),
        (b"", "is not a WASM module"),
        (b"\0asm\x0d\0\x01\0", "is a WASM component"),
        (b"\0asm\x01\0\0\0junk", "is not a valid WASM module"),
    ],
)
async def test_what_is_no_module_is_refused(executor, tmp_path, content, words):
    (tmp_path / "module.wasm").write_bytes(content)
    failure = await failure_of(executor, work(tmp_path, tmp_path / "module.wasm"))
    assert failure.reason is Reason.INVALID
    assert f"/programs/main.wasm {words}" in failure.message


async def test_a_missing_import_is_refused_by_name(executor, tmp_path):
    failure = await failure_of(executor, work(tmp_path, "linked"))
    assert failure.reason is Reason.INVALID
    assert "`nostart.wasm::add`" in failure.message
    assert "ImportModules" in failure.hint


async def test_a_module_is_linked_to_those_it_imports(executor, tmp_path):
    library = Volume(BUILT / "nostart.wasm", "/lib/nostart.wasm")
    job = work(tmp_path, "linked", inputs=[library], ImportModules=["/lib/nostart.wasm"])
    for _ in range(2):
        assert (await executor.run(job, RecordingSink())).exit_code == 42


async def test_an_imported_module_that_is_none_is_refused(executor, tmp_path):
    (tmp_path / "bad").write_text("not wasm")
    library = Volume(tmp_path / "bad", "/lib/nostart.wasm")
    failure = await failure_of(
        executor, work(tmp_path, "linked", inputs=[library], ImportModules=["/lib/nostart.wasm"])
    )
    assert "/lib/nostart.wasm is not a WASM module" in failure.message


async def test_more_initial_memory_than_the_limit_is_refused_with_both_numbers(executor, tmp_path):
    failure = await failure_of(executor, work(tmp_path, "greedy", memory=16 * MIB))
    assert failure.reason is Reason.MEMORY
    assert "needs 67.1 MB of memory to start, the job may have 16.8 MB" in failure.message


async def test_memory_beyond_the_limit_is_a_failed_malloc(executor, tmp_path):
    logs = RecordingSink()
    assert (await executor.run(work(tmp_path, "alloc", "64", memory=16 * MIB), logs)).exit_code == 1
    assert logs.stdout == b"15 MiB\n"
    assert (await executor.run(work(tmp_path, "alloc", "64", memory=128 * MIB), logs)).exit_code == 0


async def test_a_link_out_of_an_input_folder_leads_nowhere(executor, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    for path in ("/in/link", "/in/../secret", "/etc/passwd"):
        logs = RecordingSink()
        outcome = await executor.run(work(tmp_path, "cat", path, inputs=[Volume(folder, "/in")]), logs)
        assert (outcome.exit_code, logs.stdout) == (1, b"")


async def test_an_output_is_written_under_its_name_as_well(executor, tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    outputs = [Volume(folder, "/some/where", read_only=False)]
    await executor.run(work(tmp_path, "write", "/report/a", "named", outputs=outputs), RecordingSink())
    await executor.run(work(tmp_path, "write", "/some/where/b", "path", outputs=outputs), RecordingSink())
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "named", "b": "path"}


async def test_a_line_arrives_while_the_guest_runs(executor, tmp_path):
    logs = RecordingSink()
    running = asyncio.create_task(executor.run(work(tmp_path, "sleep", "30", "30000"), logs))
    await eventually(lambda: logs.stdout == b"tick 0\n")
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})


async def test_a_guest_waits_for_a_log_that_does_not_keep_up(executor, tmp_path):
    """What was not taken is not read: a guest that floods holds 64 KiB in its pipe and no more."""
    taken, go_on = 0, asyncio.Event()

    class Slow(RecordingSink):
        async def write(self, stream, data):
            nonlocal taken
            taken += len(data)
            await go_on.wait()

    running = asyncio.create_task(executor.run(work(tmp_path, "fill", str(4 * MIB)), Slow()))
    await eventually(lambda: taken)
    await asyncio.sleep(0.05)
    assert taken <= 65536
    assert not running.done()
    go_on.set()
    await running
    assert taken == 4 * MIB


@pytest.mark.parametrize("when", ["blocked in a write", "sleeping", "spinning"])
async def test_a_guest_ends_soon_after_cancellation(executor, tmp_path, when):
    class Stuck(RecordingSink):
        async def write(self, stream, data):
            await super().write(stream, data)
            await asyncio.Event().wait()

    blocked = when == "blocked in a write"
    logs = Stuck() if blocked else RecordingSink()
    program = {"sleeping": ("sleep", "60", "60000"), "spinning": ("spin",)}
    running = asyncio.create_task(
        executor.run(work(tmp_path, *program.get(when, ("fill", str(4 * MIB)))), logs)
    )
    await (logs.arrival() if when != "spinning" else asyncio.sleep(0.1))
    began = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - began < 0.5
    assert not executor._lanes._busy


async def test_a_log_that_fails_ends_the_guest_and_is_what_is_raised(executor, tmp_path):
    class Full(RecordingSink):
        async def write(self, stream, data):
            raise StorageFull("the log stream is full")

    with pytest.raises(StorageFull):
        async with asyncio.timeout(5):
            await executor.run(work(tmp_path, "fill", str(10**12)), Full())
    assert (await executor.run(work(tmp_path, "noop"), RecordingSink())).exit_code == 0


async def test_stray_output_of_a_cancelled_run_never_reaches_the_next(executor, tmp_path):
    for _ in range(20):
        running = asyncio.create_task(executor.run(work(tmp_path, "fill", str(10**9)), RecordingSink()))
        await asyncio.sleep(0.002)
        running.cancel()
        await asyncio.wait({running})
        logs = RecordingSink()
        await executor.run(work(tmp_path, "echo", "mine"), logs)
        assert logs.output == {Stream.STDOUT: b"mine\n", Stream.STDERR: b""}


async def test_a_guest_that_cannot_be_interrupted_is_left_behind_in_time(
    executor, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(wasm_lane, "_GRACE", 0.1)
    job = work(tmp_path, "noop")
    machine_busy = asyncio.Event()
    loop = asyncio.get_running_loop()

    def compiling(self, *_args):
        loop.call_soon_threadsafe(machine_busy.set)
        time.sleep(0.5)

    monkeypatch.setattr("bacalhau_nats.executors.wasm_machine.Machine.execute", compiling)
    running = asyncio.create_task(executor.run(job, RecordingSink()))
    await machine_busy.wait()
    running.cancel()
    began = time.monotonic()
    await asyncio.wait({running})
    assert time.monotonic() - began < 0.4
    assert "left behind" in caplog.text
    await eventually(lambda: not executor._lanes._busy)


async def test_closing_the_engine_stops_what_runs(tmp_path):
    async with engine(tmp_path) as executor:
        running = asyncio.create_task(executor.run(work(tmp_path, "spin"), RecordingSink()))
        await asyncio.sleep(0.1)
    with pytest.raises(WorkFailed, match="shutting down") as caught:
        await running
    assert caught.value.failure.retryable


async def test_more_guests_than_the_limit_wait_for_their_turn(tmp_path):
    async with engine(tmp_path, MaxInstances=2) as executor:
        runs = [executor.run(work(tmp_path, "sleep", "0.1", "100"), RecordingSink()) for _ in range(6)]
        began = time.monotonic()
        await asyncio.gather(*runs)
        assert time.monotonic() - began > 0.3


async def test_a_setting_that_cannot_be_used_is_named(tmp_path):
    with pytest.raises(InvalidSettings, match="MaxInstances"):
        async with engine(tmp_path, MaxInstances=0):
            pass
