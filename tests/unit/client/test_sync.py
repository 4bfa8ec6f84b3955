"""The client without ``await``, and handles of jobs, against a server that answers as told."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bacalhau_nats.client import Client, JobHandle, LogLine, SyncClient, SyncJob
from bacalhau_nats.client.thread import LoopThread
from bacalhau_nats.errors import BusTimeout, JobFailed, NotFound, UserError
from tests.unit.client.fake_api import Answer, Asked, FakeApi

JOBS = "/api/v1/orchestrator/jobs"


def job(state: str, **more: object) -> object:
    return {"Job": {"ID": "j-1", "State": {"StateType": state}, **more}}


def living() -> int:
    return sum(thread.name == "bacalhau client" for thread in threading.enumerate())


@pytest.mark.parametrize(("face", "whole"), [(SyncClient, Client), (SyncJob, JobHandle)])
def test_the_face_without_await_has_every_method(face: type, whole: type) -> None:
    low_level = {"aclose", "put_job", "put_rerun", "job_id", "evaluation_id"}
    missing = {n for n in dir(whole) if not n.startswith("_")} - set(dir(face)) - low_level
    assert missing == set()
    for name, method in inspect.getmembers(face, inspect.isfunction):
        if not name.startswith("_") and name != "close":
            wanted, given = (inspect.signature(one).parameters for one in (getattr(whole, name), method))
            assert list(wanted) == list(given), name


async def test_it_works_where_a_loop_runs_already_as_in_a_notebook(api: FakeApi) -> None:
    assert asyncio.get_running_loop()
    api.on(f"PUT {JOBS}", {"JobID": "j-1", "EvaluationID": "v"})
    api.on(f"GET {JOBS}/j-1", job("Completed"))
    api.on(f"GET {JOBS}/j-1/logs", Answer(frames=['{"value":{"Type":1,"Line":"out\\n"}}']))
    with SyncClient(api.url) as client:
        sent = client.submit({"Type": "batch"})
        assert sent.wait(timeout=5).state == "Completed"
        assert repr(sent) == "<Job j-1 Completed>"
        assert list(sent.logs(follow=True)) == [LogLine("stdout", "out\n")]


def test_threads_share_one_client_and_one_loop(api: FakeApi) -> None:
    arrived = threading.Barrier(4)

    def answer(asked: Asked) -> object:
        arrived.wait(10)  # all four are on their way at once
        return {"Status": "OK"}

    api.on("GET /api/v1/agent/alive", answer)
    with SyncClient(api.url) as client, ThreadPoolExecutor(4) as pool:
        assert [f.result() for f in [pool.submit(client.alive) for _ in range(4)]] == [{"Status": "OK"}] * 4
        assert living() == 1
    assert living() == 0


def test_an_iterator_that_is_left_early_closes_what_it_reads(api: FakeApi) -> None:
    closed = threading.Event()

    async def numbers():
        try:
            for number in range(10):
                yield number
        finally:
            closed.set()

    loop = LoopThread()
    for number in loop.each(numbers()):
        if number == 2:
            break
    gc.collect()
    assert closed.wait(5)
    loop.close()


def test_an_interrupted_call_is_cancelled_and_the_client_goes_on() -> None:
    loop, started, cancelled = LoopThread(), threading.Event(), threading.Event()

    async def endless() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def waits() -> bool:
        return sys._current_frames()[main].f_code.co_qualname == "Condition.wait"

    def interrupt() -> None:
        started.wait(5)
        while not waits():  # a Ctrl-C elsewhere is not this test's
            threading.Event().wait(0.001)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        loop.run(endless())
    assert cancelled.wait(5)
    assert loop.run(asyncio.sleep(0, "still there")) == "still there"
    loop.close()


def test_a_client_that_nobody_closed_ends_with_its_last_reference_and_a_closed_one_can_be_used_again() -> (
    None
):
    loop = LoopThread()
    loop.run(asyncio.sleep(0))
    loop.close()
    loop.close()
    assert living() == 0
    assert loop.run(asyncio.sleep(0, 1)) == 1
    assert living() == 1
    del loop
    gc.collect()
    assert living() == 0


def test_it_refuses_to_wait_for_itself() -> None:
    loop = LoopThread()

    async def inner() -> None:
        loop.run(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="its own event loop"):
        loop.run(inner())
    loop.close()


def test_errors_come_through_as_they_are(api: FakeApi) -> None:
    with SyncClient(api.url) as client, pytest.raises(NotFound) as caught:
        client.job("nobody").status()
    assert caught.value.code == "NotFound"


def test_a_job_is_verified_by_running_it_again_elsewhere(api: FakeApi) -> None:
    def ran(job_id: str, node: str, text: str) -> object:
        output = {"ExitCode": 0, "Stdout": text}
        state = {"StateType": 9}
        one = {"ID": f"e-{node}", "JobID": job_id, "NodeID": node, "ComputeState": state, "RunOutput": output}
        return {"Items": [one]}

    api.on(f"GET {JOBS}/mine", job("Completed", Type="batch", Name="mine", Tasks=[{"Name": "main"}]))
    api.on(f"GET {JOBS}/j-1/executions", ran("j-1", "n-1", "same"))
    api.on("GET /api/v1/orchestrator/nodes", {"Nodes": [{"Info": {"NodeID": "n-1"}}]})
    api.on(f"PUT {JOBS}", {"JobID": "j-2"})
    api.on(f"GET {JOBS}/j-2", job("Completed"))
    api.on(f"GET {JOBS}/j-2/executions", [ran("j-2", "n-2", "same"), ran("j-2", "n-2", "other")])
    told: list[str] = []
    with SyncClient(api.url) as client:
        assert client.verify("mine", tell=told.append).agrees
        assert not client.verify("mine").agrees
    assert told == ["Run 1 of 1, not on n-1"]
    assert "n-1" in str(api.of(f"PUT {JOBS}")[0].body["Job"]["Constraints"])


def test_a_handle_reads_all_that_the_client_can_read_of_logs_and_goes_on_after_a_break(api: FakeApi) -> None:
    def frame(line: str, **more: object) -> str:
        return json.dumps({"value": {"Type": 1, "Line": line}, **more})

    begin = frame("", Since=17)
    first = Answer(frames=[begin, frame("a\n", ExecutionID="e-1", Next=2, Seq=9)], close=0)
    rest = Answer(frames=[begin, frame("b\n", ExecutionID="e-2", Next=1, Seq=10)])
    api.on(f"GET {JOBS}/j-1/logs", [first, Answer({"Message": "starting"}, 503), rest])
    with SyncClient(api.url) as client:
        found = list(client.job("j-1", version=2).logs(every=True, since="5m", from_seq=9, follow=True))
    assert [(line.execution_id, line.text, line.seq) for line in found] == [
        ("e-1", "a\n", 9),
        ("e-2", "b\n", 10),
    ]
    query = api.asked[0].query
    wanted = {
        "all_executions": "true",
        "from_time": "5m",
        "from_seq": "9",
        "follow": "true",
        "job_version": "2",
    }
    assert {name: query.get(name) for name in wanted} == wanted
    assert api.asked[-1].query["resume"] == "true"
    assert api.asked[-1].body == {"e-1": {"stdout": 2}}


async def test_wait_raises_for_a_job_that_failed_and_says_why(api: FakeApi) -> None:
    failed = {"ID": "e", "ComputeState": {"StateType": 10, "Message": "no such image"}}
    api.on(f"GET {JOBS}/j-1", job("Failed"))
    api.on(f"GET {JOBS}/j-1/executions", {"Items": [failed]})
    api.on(f"GET {JOBS}/j-2", job("Running"))
    async with Client(api.url) as client:
        with pytest.raises(JobFailed, match="job j-1 failed: no such image") as caught:
            await client.job("j-1").wait()
        assert caught.value.details == {"JobID": "j-1", "State": "Failed"}
        assert (await client.job("j-1").wait(check=False)).over
        with pytest.raises(BusTimeout, match="not over"):
            await client.job("j-2").wait(timeout=0.05)


async def test_a_handle_looks_at_the_version_it_was_given_for(api: FakeApi) -> None:
    api.on(f"PUT {JOBS}/n/rerun", {"JobID": "j-1", "EvaluationID": "v", "JobVersion": 4})
    api.on(f"GET {JOBS}/j-1", job("Completed"))
    async with Client(api.url) as client:
        again = await client.rerun("n", version=2)
        await again.wait()
    assert [asked.query["job_version"] for asked in api.of(f"GET {JOBS}/j-1")] == ["4"]


async def test_all_jobs_are_read_page_by_page_as_they_are_taken(api: FakeApi) -> None:
    def page(asked: Asked) -> object:
        assert asked.query["labels"] == "a=b,c=d"
        first = "next_token" not in asked.query
        ids = ["1", "2"] if first else ["3"]
        items = [{"ID": id_, "Namespace": "ns", "State": {"StateType": "Running"}} for id_ in ids]
        return {"NextToken": "more" if first else "", "Items": items}

    api.on(f"GET {JOBS}", page)
    async with Client(api.url) as client:
        found = client.jobs(labels={"a": "b", "c": "d"})
        assert repr(await anext(found)) == "<Job 1 Running>"
        assert len(api.asked) == 1
        assert [one.id async for one in found] == ["2", "3"]
    with SyncClient(api.url) as sync:
        assert [one.id for one in sync.jobs(labels={"a": "b", "c": "d"})] == ["1", "2", "3"]


def test_without_an_address_the_environment_says_which_server_and_who_asks(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    api.on("GET /api/v1/agent/alive", {"Status": "OK"})
    monkeypatch.setenv("BACALHAU_API_HOST", host)
    monkeypatch.setenv("BACALHAU_API_PORT", port)
    monkeypatch.setenv("BACALHAU_API_KEY", "secret")
    with SyncClient() as client, SyncClient(api.url) as explicit:
        assert repr(client) == f"<SyncClient {api.url}>"
        client.alive()
        explicit.alive()
    assert [asked.headers.get("authorization") for asked in api.asked] == ["Bearer secret", None]
    monkeypatch.setenv("BACALHAU_API_USERNAME", "u")
    with pytest.raises(UserError, match="both set"):
        SyncClient()
