"""One execution from its assignment to how it ended: with the real noop engine and real folders."""

import asyncio
import errno
import socket

import pytest

from bacalhau_nats.compute import disk
from bacalhau_nats.compute.disk import DiskReserve
from bacalhau_nats.compute.port_book import PortBook
from bacalhau_nats.compute.reports import Reporter
from bacalhau_nats.compute.results import Stored
from bacalhau_nats.compute.runner import Plugins, WorkRunner
from bacalhau_nats.domain.execution import ExecutionState, Reason, ResultDigest
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.manifest import Origin, decode, encode, summary
from bacalhau_nats.domain.spec import (
    InputSource,
    NetworkConfig,
    Port,
    ResourcesConfig,
    ResultPath,
    SpecConfig,
    Timeouts,
)
from bacalhau_nats.executors.noop import NoopExecutor
from bacalhau_nats.ports import Failure, Health, Outcome, Stream, Volume, WorkFailed
from bacalhau_nats.testing.storage import RecordedLog
from tests.support.builders import Story, a_job, a_task, an_execution
from tests.support.roles import LoopClock, TroubledRecords
from tests.support.waiting import eventually

_S = ExecutionState


class Told(NoopExecutor):
    """The noop engine, telling what it was given; it can be told to go wrong in ways noop cannot."""

    def __init__(self, steps):
        self.steps, self.work = steps, None
        self.wrong = None
        self.writes = 0
        self.there = False
        self.ok = True
        self.kept = None

    async def check(self):
        return Health(ok=self.ok)

    async def run(self, work, logs):
        self.steps.append("run")
        self.work = work
        if isinstance(self.wrong, Outcome):
            return self.wrong
        if self.wrong is not None:
            raise self.wrong
        for volume in work.outputs:
            (volume.source / "made").write_text(volume.target + "x" * self.writes)
        return await super().run(work, logs)

    async def attach(self, work, logs, *, seen):
        self.steps.append(f"attach after {seen.get(Stream.STDOUT, 0)}")
        if self.wrong is not None:
            raise self.wrong
        if not self.there:
            return None
        await logs.write(Stream.STDOUT, b" and after")
        return Outcome(exit_code=0)

    async def sweep(self, keep):
        self.kept = keep
        return 3


class Files:
    """A storage that writes one file."""

    def __init__(self, steps):
        self.steps = steps

    async def fetch(self, source, target, into, logs):
        self.steps.append(f"fetch {target}")
        if source.param("Fail"):
            raise WorkFailed("no such file", reason=Reason.INPUT, hint="look again")
        into.mkdir(parents=True)
        (into / "file").write_text("data")
        return Volume(into / "file", target)


class Shelf:
    """A publisher that remembers what it was given."""

    def __init__(self, steps):
        self.steps, self.found, self.wrong = steps, {}, None

    async def publish(self, work, results, spec):
        self.steps.append("publish")
        if self.wrong is not None:
            raise self.wrong
        self.found = {
            str(p.relative_to(results)): p.read_text() for p in sorted(results.rglob("*")) if p.is_file()
        }
        return SpecConfig(type="shelf", params={"Name": work.execution_id})


class Log(RecordedLog):
    closed = False

    async def close(self):
        self.closed = True


class Logs:
    """A logbook that remembers; ``before`` is what an earlier life stored."""

    def __init__(self):
        self.before, self.log = Stored({}, {}), Log()

    def open(self, job, execution, stored=None):
        self.log = Log()
        return self.log

    async def stored(self, job, execution):
        return self.before


class Bench:
    def __init__(self, folder):
        self.folder, self.steps = folder, []
        self.engine, self.shelf, self.logs = Told(self.steps), Shelf(self.steps), Logs()
        reporter = Reporter(NodeID("n1"), "n1#1", TroubledRecords(Story().stream), LoopClock())
        plugins = Plugins({"noop": self.engine}, {"files": Files(self.steps)}, {"shelf": self.shelf})
        self.ports = PortBook(42_000, 42_100)
        self.room = 10**9
        reserve = DiskReserve(folder, 1000, lambda _: self.room)
        self.runner = WorkRunner(folder, plugins, self.logs, reporter, self.ports, reserve)

    def desired(self, params=None, **changes):
        task = a_task(**changes).but(engine=SpecConfig(type="noop", params=params or {}))
        return an_execution(a_job(task=task))

    async def step(self, state):
        self.steps.append(state.value)

    async def run(self, params=None, **changes):
        return await self.runner.run(self.desired(params, **changes), self.step)

    async def attach(self, **changes):
        return await self.runner.attach(self.desired(**changes), self.step)

    def left(self):
        """Give everything that lies below the data folder, empty folders of ours aside."""
        return [p for p in self.folder.rglob("*") if p != self.folder / "executions"]


@pytest.fixture
async def bench(tmp_path):
    return Bench(tmp_path)


WITH_RESULTS = {
    "publisher": SpecConfig(type="shelf"),
    "result_paths": (ResultPath(name="out", path="/outputs"),),
    "input_sources": (InputSource(source=SpecConfig(type="files"), target="/in"),),
}


async def test_work_without_results_is_completed_and_touches_no_disk(bench):
    ended = await bench.run({"Output": "hello", "ExitCode": 3})
    assert (ended.state, ended.output.stdout, ended.output.exit_code) == (_S.COMPLETED, "hello", 3)
    assert (ended.execution_id, ended.node_id) == (bench.desired().execution_id, "n1")
    assert bench.steps == ["run"]
    assert list(bench.folder.iterdir()) == []
    assert bench.logs.log.pieces == {Stream.STDOUT: b"hello"}
    assert bench.logs.log.closed


async def test_everything_happens_in_its_order_and_nothing_is_left(bench):
    ended = await bench.run({"Output": "hello"}, **WITH_RESULTS)
    assert bench.steps == ["fetch /in", "run", "publishing", "publish"]
    manifest = decode(bench.shelf.found.pop("manifest.json").encode())
    assert bench.shelf.found == {"exitCode": "0", "out/made": "/outputs", "stderr": "", "stdout": "hello"}
    assert [entry.path for entry in manifest.files] == ["exitCode", "out/made", "stderr", "stdout"]
    assert manifest.origin == Origin("j-1", ended.execution_id, "n1", engine="noop")
    assert ended.digest == ResultDigest.of(summary(manifest, encode(manifest)))
    assert ended.state is _S.COMPLETED
    assert ended.result == SpecConfig(type="shelf", params={"Name": ended.execution_id})
    assert bench.left() == []


async def test_the_work_knows_its_job_its_inputs_and_its_surroundings(bench):
    await bench.run(env={"COLOUR": "red"}, resources=ResourcesConfig(cpu="0.5", disk="1MB"), **WITH_RESULTS)
    work = bench.engine.work
    assert work.resources.milli_cpu == 500
    assert work.env["COLOUR"] == "red"
    assert work.env["BACALHAU_JOB_ID"] == "j-1"
    assert [v.target for v in work.inputs] == ["/in"]
    assert [v.target for v in work.outputs] == ["/outputs"]


async def test_ports_are_taken_for_the_work_and_given_back(bench):
    network = NetworkConfig(ports=(Port(name="http", target=80),))
    for _ in range(2):
        await bench.run(network=network)
        (port,) = bench.engine.work.ports.values()
        assert 42_000 <= port <= 42_100
        assert bench.engine.work.env["BACALHAU_PORT_http"] == "80"
    assert bench.ports._taken == {}


async def test_a_port_that_cannot_be_had_fails_the_work(bench):
    bench.ports.last = bench.ports.first - 1
    ended = await bench.run(network=NetworkConfig(ports=(Port(name="http"),)))
    assert (ended.state, ended.reason, bench.steps) == (_S.FAILED, Reason.ENGINE, [])


@pytest.mark.parametrize(
    ("wrong", "reason", "retryable", "message"),
    [
        (WorkFailed("no memory", reason=Reason.MEMORY, hint="ask for more"), Reason.MEMORY, True, "no memory"),
        (WorkFailed("no such image", reason=Reason.INVALID, retryable=False), Reason.INVALID, False, "no such image"),
        (Outcome(9, Failure("killed", Reason.MEMORY, retryable=False)), Reason.MEMORY, False, "killed"),
    ],
)  # fmt: skip
async def test_a_failure_is_reported_as_the_engine_said_it(bench, wrong, reason, retryable, message):
    bench.engine.wrong = wrong
    ended = await bench.run(**WITH_RESULTS)
    assert (ended.state, ended.reason, ended.retryable, ended.message) == (
        _S.FAILED, reason, retryable, message,
    )  # fmt: skip
    assert ended.topic == "Running Execution"
    assert bench.steps == ["fetch /in", "run"]
    assert bench.left() == []
    assert bench.logs.log.closed


async def test_a_hint_comes_along(bench):
    bench.engine.wrong = WorkFailed("no memory", hint="ask for more")
    assert (await bench.run()).hint == "ask for more"


async def test_an_input_that_cannot_be_had_ends_it_before_the_engine_starts(bench):
    bad = InputSource(source=SpecConfig(type="files", params={"Fail": 1}), target="/in")
    ended = await bench.run(input_sources=(bad,))
    assert (ended.reason, ended.message, ended.hint) == (Reason.INPUT, "no such file", "look again")
    assert bench.steps == ["fetch /in"]
    assert bench.left() == []


async def test_results_that_cannot_be_published_fail_it_and_keep_its_output(bench):
    bench.shelf.wrong = WorkFailed("no space", reason=Reason.PUBLISH)
    ended = await bench.run({"Output": "hello"}, **WITH_RESULTS)
    assert (ended.state, ended.reason, ended.topic) == (_S.FAILED, Reason.PUBLISH, "Publishing Results")
    assert ended.output.stdout == "hello"
    assert bench.left() == []


async def test_a_result_path_cannot_take_the_name_of_the_manifest(bench):
    paths = (ResultPath(name="manifest.json", path="/outputs"),)
    ended = await bench.run(publisher=SpecConfig(type="shelf"), result_paths=paths)
    assert (ended.reason, ended.retryable) == (Reason.INVALID, False)
    assert "manifest.json" in ended.hint
    assert bench.steps == []


async def test_work_that_takes_more_disk_than_it_may_is_ended_and_all_is_removed(bench, monkeypatch):
    monkeypatch.setattr(disk, "_LOOK_EVERY", 0.01)
    bench.engine.writes = 5000
    async with asyncio.timeout(10):  # it would sleep for a minute
        ended = await bench.run({"Sleep": 60}, resources=ResourcesConfig(disk="4kB"), **WITH_RESULTS)
    assert (ended.state, ended.reason, ended.retryable) == (_S.FAILED, Reason.QUOTA, False)
    assert ended.message == "disk quota: the execution takes 5.0 kB of disk and may take 4.0 kB"
    assert ended.hint == "ask for more with Resources.Disk"
    assert bench.steps == ["fetch /in", "run"]
    assert bench.left() == []


async def test_inputs_count_towards_the_quota(bench):
    ended = await bench.run(resources=ResourcesConfig(disk="11"), **WITH_RESULTS)  # "data" and "/outputs"
    assert (ended.state, ended.reason) == (_S.FAILED, Reason.QUOTA)
    assert (await bench.run(resources=ResourcesConfig(disk="12"), **WITH_RESULTS)).state is _S.COMPLETED


async def test_work_that_writes_on_a_full_disk_fails_with_that_reason_whatever_it_says(bench):
    bench.room = 999
    ended = await bench.run(**WITH_RESULTS)
    assert (ended.reason, ended.retryable) == (Reason.DISK, True)
    assert ended.message.startswith("disk full: the node has no disk to spare: less than the 1.0 kB it keeps")
    assert bench.left() == []
    ended = await bench.run({"Output": "hello"})  # it writes no file
    assert ended.state is _S.COMPLETED


@pytest.mark.parametrize("place", ["engine", "shelf"])
async def test_a_full_disk_is_the_reason_wherever_it_is_met(bench, place):
    failed = WorkFailed("could not be written", reason=Reason.PUBLISH)
    failed.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    getattr(bench, place).wrong = failed
    ended = await bench.run(**WITH_RESULTS)
    assert (ended.reason, ended.message) == (Reason.DISK, "could not be written")


async def test_work_that_takes_too_long_is_timed_out(bench):
    ended = await bench.run({"Sleep": 60}, timeouts=Timeouts(execution_timeout=1), **WITH_RESULTS)
    assert (ended.state, ended.reason, ended.retryable) == (_S.FAILED, Reason.TIMEOUT, False)
    assert (ended.message, ended.topic) == ("Execution timed out after 1s", "Exec Timeout")
    assert ended.hint == "Increase the task timeout or allocate more resources"
    assert bench.left() == []


async def test_a_timeout_inside_the_engine_is_not_the_jobs(bench):
    bench.engine.wrong = TimeoutError("the socket was slow")
    ended = await bench.run(timeouts=Timeouts(execution_timeout=60))
    assert ended.reason is not Reason.TIMEOUT
    assert ended.retryable


async def test_a_bug_is_reported_with_an_id_that_is_in_the_log(bench, caplog):
    bench.engine.wrong = ZeroDivisionError("a bug")
    ended = await bench.run(**WITH_RESULTS)
    assert (ended.state, ended.reason, ended.retryable) == (_S.FAILED, Reason.ENGINE, True)
    error_id = ended.message.removeprefix("internal error on the node, id ").removesuffix(" in its log")
    assert error_id in caplog.text
    assert "ZeroDivisionError: a bug" in caplog.text
    assert bench.left() == []


async def test_an_engine_that_has_gone_since_the_bid_fails_it(bench):
    bench.runner.plugins.executors.clear()
    ended = await bench.run()
    assert ended.message == "engine noop is not available on this node any more"
    assert ended.retryable


async def test_an_assignment_without_its_job_can_never_be_run(bench):
    ended = await bench.runner.run(bench.desired().but(job=None), bench.step)
    assert (ended.reason, ended.message) == (Reason.INVALID, "the assignment came without its job")


async def test_when_it_is_stopped_nothing_is_left(bench):
    running = asyncio.create_task(bench.run({"Sleep": 60}, **WITH_RESULTS))
    await eventually(lambda: "run" in bench.steps)
    assert bench.left() != []
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.left() == []
    assert bench.logs.log.closed
    assert bench.ports._taken == {}


# --- going on with what an earlier life began ------------------------------------------------------------


async def test_what_still_runs_is_gone_on_with_after_what_is_stored(bench):
    bench.engine.there = True
    bench.logs.before = Stored({Stream.STDOUT: 6}, {Stream.STDOUT: b"before"})
    ended = await bench.attach()
    assert (ended.state, ended.output.stdout) == (_S.COMPLETED, "before and after")
    assert bench.steps == ["attach after 6"]


async def test_what_is_not_there_is_none(bench):
    assert await bench.attach(**WITH_RESULTS) is None
    assert bench.left() == []


@pytest.mark.parametrize("wrong", [WorkFailed("engine is away"), ZeroDivisionError("a bug")])
async def test_what_cannot_be_found_out_counts_as_not_there(bench, wrong):
    bench.engine.wrong = wrong
    assert await bench.attach() is None


async def test_results_of_what_went_on_are_published(bench):
    bench.engine.there = True
    ended = await bench.attach(**WITH_RESULTS)
    assert ended.result.type == "shelf"
    assert bench.steps == ["attach after 0", "publishing", "publish"]
    assert bench.left() == []


async def test_a_port_that_is_bound_by_what_runs_does_not_hinder_it(bench):
    bench.engine.there = True
    with socket.socket() as held:
        held.bind(("0.0.0.0", 0))
        held.listen()
        network = NetworkConfig(ports=(Port(name="http", static=held.getsockname()[1]),))
        assert (await bench.attach(network=network)).state is _S.COMPLETED


async def test_without_its_engine_nothing_can_be_gone_on_with(bench):
    bench.runner.plugins.executors.clear()
    assert await bench.attach() is None


async def test_without_its_job_nothing_can_be_gone_on_with(bench):
    """A requester that knows only the newest version answers like this for an older one."""
    assert await bench.runner.attach(bench.desired().but(job=None), bench.step) is None


# --- sweeping -------------------------------------------------------------------------------------------------


async def test_what_nobody_wants_is_removed(bench, caplog):
    keep, gone = bench.desired().execution_id, "e-gone"
    for execution in (keep, gone):
        (bench.folder / "executions" / execution / "results").mkdir(parents=True)
    await bench.runner.sweep([keep])
    assert [p.name for p in (bench.folder / "executions").iterdir()] == [keep]
    assert bench.engine.kept == [keep]
    assert "removed 3 leftovers of engine noop" in caplog.text


async def test_an_engine_that_is_away_is_not_swept(bench):
    bench.engine.ok = False
    await bench.runner.sweep([])
    assert bench.engine.kept is None


@pytest.fixture
def stuck(monkeypatch):
    """Work has left what this node may not remove."""

    def remove(folder):
        raise PermissionError(13, "Operation not permitted", str(folder.root))

    monkeypatch.setattr("bacalhau_nats.compute.folders.ExecutionFolder.remove", remove)


async def test_a_folder_that_cannot_be_removed_does_not_change_how_work_ended(bench, stuck, caplog):
    assert (await bench.run(**WITH_RESULTS)).state is ExecutionState.COMPLETED
    assert "cannot remove" in caplog.text


async def test_a_folder_that_cannot_be_removed_does_not_end_the_node_that_starts(bench, stuck, caplog):
    (bench.folder / "executions" / "e-gone").mkdir(parents=True)
    await bench.runner.sweep([])
    assert "cannot remove" in caplog.text


async def test_work_that_begins_while_leftovers_are_looked_for_keeps_its_folder(bench):
    sweeping = asyncio.Event()

    async def sweep(keep):
        sweeping.set()
        await eventually(lambda: bench.steps.count("publishing") == 1)
        return 0

    async def step(state):
        bench.steps.append(state.value)
        await bench.runner_swept.wait()

    bench.runner_swept = asyncio.Event()
    bench.engine.sweep = sweep
    tidying = asyncio.create_task(bench.runner.sweep([]))
    await sweeping.wait()
    work = asyncio.create_task(bench.runner.run(bench.desired(**WITH_RESULTS), step))
    await tidying
    assert (bench.folder / "executions" / bench.desired().execution_id).exists()
    bench.runner_swept.set()
    assert (await work).state is ExecutionState.COMPLETED
