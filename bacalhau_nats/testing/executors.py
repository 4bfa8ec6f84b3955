"""What every executor must do, as checks that any engine can run.

Describe your engine once as an `EngineCase`: which program of *its* kind prints a file, sleeps, fails to
start. Then run the checks, one by one in a test::

    @pytest.mark.parametrize("name", checks_for(CASE))
    async def test_conforms(name, tmp_path):
        async with open_mine(context) as executor:
            await checks_for(CASE)[name](executor, CASE, tmp_path)

or all of them with ``await check_executor(executor, CASE, tmp_path)``. A check raises AssertionError saying
what it wanted and what it got. Programs an engine cannot have are None, and their checks are left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from bacalhau_nats.ports import Executor, Volume, Work, WorkFailed
from bacalhau_nats.testing.engine import (
    EngineCase,
    Extras,
    Program,
    RecordingSink,
    make_work,
    require,
    run,
    sooner_than,
    stop,
)

__all__ = [
    "STOP_WITHIN",
    "Check",
    "EngineCase",
    "Extras",
    "Program",
    "RecordingSink",
    "check_executor",
    "checks_for",
    "make_work",
]

STOP_WITHIN = 2.0
"""Seconds a cancelled run may take to end; the port promises it. The engine's own sleep is the measure."""

_FLOOD = 8 * 1024 * 1024

Check = Callable[[Executor, EngineCase, Path], Awaitable[None]]


async def check_executor(executor: Executor, case: EngineCase, folder: Path) -> None:
    """Run every check that ``case`` has the programs for."""
    for name, check in checks_for(case).items():
        await check(executor, case, folder / name)


def checks_for(case: EngineCase) -> dict[str, Check]:
    """Give the checks that apply to an engine, by name."""
    return {
        name: check
        for name, (check, needed) in _CHECKS.items()
        if all(getattr(case, program) is not None for program in needed)
    }


# --- the checks -------------------------------------------------------------------------------------


async def _is_healthy(executor: Executor, _case: EngineCase, _folder: Path) -> None:
    health = await executor.check()
    require(health.ok, f"check() must say ok where the engine is there, it says: {health.why}")


async def _prints(executor: Executor, case: EngineCase, folder: Path) -> None:
    logs = RecordingSink()
    outcome = await run(executor, make_work(case.say("good morning"), folder), logs)
    require(outcome.exit_code == 0, f"exit code must be 0, it is {outcome.exit_code}")
    require(logs.stdout.rstrip() == b"good morning", f"stdout is {logs.stdout!r}")


async def _exit_code(executor: Executor, case: EngineCase, folder: Path) -> None:
    for code in (0, 1, 42, 127, 255):
        outcome = await run(executor, make_work(case.exit_with(code), folder))
        require(
            outcome.exit_code == code and outcome.failure is None,
            f"an exit code of {code} is an outcome, not a failure: {outcome}",
        )


async def _cannot_start(executor: Executor, case: EngineCase, folder: Path) -> None:
    try:
        outcome = await run(executor, make_work(case.cannot_start, folder))
    except WorkFailed as failed:
        require(bool(failed.failure.message), "a failure must say what is wrong")
    else:
        raise AssertionError(f"a program that cannot start must raise WorkFailed, not give {outcome}")
    left = await case.leftovers()
    require(not left, f"left behind after a failed start: {left}")


async def _cancel_sleeping(executor: Executor, case: EngineCase, folder: Path) -> None:
    await _cancelled(executor, case, make_work(case.sleep(60), folder))


async def _cancel_spinning(executor: Executor, case: EngineCase, folder: Path) -> None:
    require(case.spin is not None, "needs `spin`")
    await _cancelled(executor, case, make_work(case.spin or case.sleep(60), folder))


async def _cancelled(executor: Executor, case: EngineCase, work: Work) -> None:
    for wait in (0.0, 0.001, 0.3):  # before it starts, while it starts, in its midst
        running = asyncio.ensure_future(
            run(executor, make_work(Program(work.task.engine, work.inputs), work.scratch))
        )
        await asyncio.sleep(wait)
        late = f"a run cancelled after {wait} s took longer to end than a sleep of {STOP_WITHIN} s"
        measure = make_work(case.sleep(STOP_WITHIN), work.scratch / "measure")
        async with sooner_than(run(executor, measure), late):
            await stop(running)
        left = await case.leftovers()
        require(not left, f"left behind by a run cancelled after {wait} s: {left}")


async def _several_at_once(executor: Executor, case: EngineCase, folder: Path) -> None:
    sinks = [RecordingSink() for _ in range(6)]
    texts = [f"number {index}" for index in range(len(sinks))]
    measure = make_work(case.sleep(len(sinks)), folder)
    late = f"{len(sinks)} sleeps of 1 s at once took as long as one of {len(sinks)} s"
    async with sooner_than(run(executor, measure), late), asyncio.TaskGroup() as group:
        for text, logs in zip(texts, sinks, strict=True):
            group.create_task(run(executor, make_work(case.say(text), folder), logs))
            group.create_task(run(executor, make_work(case.sleep(1), folder)))
    for text, logs in zip(texts, sinks, strict=True):
        require(logs.stdout.rstrip() == text.encode(), f"{text!r} printed {logs.stdout!r}")


async def _args_and_env(executor: Executor, case: EngineCase, folder: Path) -> None:
    arguments = ["plain", "two words", "quote'\"s", "größe", "$HOME", ""]
    env = {"COLOUR": "blue green", "SIZE": "größe", "EMPTY": ""}
    logs = RecordingSink()
    program = case.show(arguments) if case.show else case.say("")
    await run(executor, make_work(program, folder, Extras(env=env)), logs)
    text = logs.stdout.decode()
    for wanted in (*arguments, *(f"{name}={value}" for name, value in env.items())):
        require(wanted in text, f"{wanted!r} does not arrive in: {text}")
    require(bool(logs.stderr), "stderr must arrive as stderr")


async def _any_bytes(executor: Executor, case: EngineCase, folder: Path) -> None:
    content = bytes(range(256)) * 3 + b"\xff\xfe no line end"
    await _prints_file(executor, case, folder, content)


async def _huge_line(executor: Executor, case: EngineCase, folder: Path) -> None:
    await _prints_file(executor, case, folder, b"x" * (2 * 1024 * 1024))


async def _flood(executor: Executor, case: EngineCase, folder: Path) -> None:
    await _prints_file(executor, case, folder, b"".join(b"line %d\n" % n for n in range(_FLOOD // 12)))


async def _slow_log(executor: Executor, case: EngineCase, folder: Path) -> None:
    content = b"".join(b"line %d\n" % number for number in range(100_000))
    await _prints_file(executor, case, folder, content, RecordingSink(pause=0.01))


async def _prints_file(
    executor: Executor, case: EngineCase, folder: Path, content: bytes, logs: RecordingSink | None = None
) -> None:
    source = _file(folder, content)
    logs = logs or RecordingSink()
    program = case.cat("/data/content.txt") if case.cat else case.say("")
    extras = Extras(inputs=(Volume(source, "/data/content.txt"),))
    outcome = await run(executor, make_work(program, folder, extras), logs)
    require(outcome.exit_code == 0, f"exit code {outcome.exit_code}: {logs.stderr!r}")
    size = len(logs.stdout)
    require(size == len(content), f"{len(content)} bytes went in, {size} came out")
    require(logs.stdout == content, "output is not in order")


def _file(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "content"
    source.write_bytes(content)
    return source


async def _outputs(executor: Executor, case: EngineCase, folder: Path) -> None:
    result = folder / "results" / "report"
    result.mkdir(parents=True)
    result.chmod(0o777)  # an engine may run its work as another user; the runner does the same
    extras = Extras(outputs=(Volume(result, "/outputs/report", read_only=False),))
    program = case.write("/outputs/report/a.txt", "done") if case.write else case.say("")
    logs = RecordingSink()
    outcome = await run(executor, make_work(program, folder, extras), logs)
    require(outcome.exit_code == 0, f"exit code {outcome.exit_code}: {logs.stderr!r}")
    found = {path.name: path.read_text() for path in result.iterdir()}
    require(found == {"a.txt": "done"}, f"the output folder holds {found}")


async def _read_only_inputs(executor: Executor, case: EngineCase, folder: Path) -> None:
    source = folder / "inputs"
    source.mkdir(parents=True)
    (source / "a.txt").write_text("kept")
    single = folder / "single.txt"
    single.write_text("kept")
    inputs = (Volume(source, "/in"), Volume(single, "/one/single.txt"))
    for target in ("/in/a.txt", "/in/new.txt", "/one/single.txt"):
        program = case.write(target, "changed") if case.write else case.say("")
        outcome = await run(executor, make_work(program, folder, Extras(inputs=inputs)))
        require(outcome.exit_code != 0, f"writing to the read-only input {target} must fail")
    found = {path.name: path.read_text() for path in (*source.iterdir(), single)}
    require(found == {"a.txt": "kept", "single.txt": "kept"}, f"the inputs hold {found}")


_CHECKS: Mapping[str, tuple[Check, tuple[str, ...]]] = {
    "it_is_healthy": (_is_healthy, ()),
    "it_prints": (_prints, ()),
    "an_exit_code_is_an_outcome": (_exit_code, ()),
    "what_cannot_start_is_a_failure": (_cannot_start, ()),
    "a_sleeping_run_can_be_cancelled": (_cancel_sleeping, ()),
    "a_spinning_run_can_be_cancelled": (_cancel_spinning, ("spin",)),
    "several_run_at_once": (_several_at_once, ()),
    "arguments_and_environment_arrive": (_args_and_env, ("show",)),
    "any_bytes_are_printed": (_any_bytes, ("cat",)),
    "a_huge_line_is_printed": (_huge_line, ("cat",)),
    "a_flood_is_printed_in_order": (_flood, ("cat",)),
    "a_slow_log_loses_nothing": (_slow_log, ("cat",)),
    "outputs_are_writable": (_outputs, ("write",)),
    "inputs_are_read_only": (_read_only_inputs, ("write",)),
}
