"""Log streams: frames, errors as frames, and a close with code 1000 whatever happens."""

import asyncio
import base64
import contextlib
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.execution import ExecutionState
from bacalhau_nats.gateway.http.log_query import moment, positions
from bacalhau_nats.gateway.refusals import Refusal
from bacalhau_nats.messages import LogChunk
from bacalhau_nats.ports import LogEntry
from tests.support.gateway_world import JOBS, GatewayWorld
from tests.support.waiting import eventually
from tests.unit.domain.drafts import a_draft


class Websocket:
    """A client of one websocket of an ASGI application."""

    def __init__(self, app, path, headers=(), **query):
        self.sent = []
        self.incoming = asyncio.Queue()
        self.incoming.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": urlencode(query).encode(),
            "headers": [(b"host", b"gateway"), *headers],
            "subprotocols": [],
            "client": ("127.0.0.1", 1),
            "server": ("gateway", 1234),
            "extensions": {"websocket.http.response": {}},
        }
        self.task = asyncio.create_task(app(scope, self.incoming.get, self._send))

    async def _send(self, message):
        self.sent.append(message)

    async def run(self):
        await asyncio.wait_for(self.task, 5)
        return self

    @property
    def frames(self):
        return [json.loads(message["text"]) for message in self.sent if message["type"] == "websocket.send"]

    @property
    def lines(self):
        return [(frame["value"]["Type"], frame["value"]["Line"]) for frame in self.frames]

    @property
    def error(self):
        (frame,) = self.frames
        assert frame["value"] == {"Type": 0, "Line": ""}
        return frame["error"]

    @property
    def closed(self):
        return [message["code"] for message in self.sent if message["type"] == "websocket.close"]


async def a_job_with_output(*chunks):
    world = GatewayWorld()
    world.idle = True
    job_id = (await world.put(a_draft())).json()["JobID"]
    one = world.start(job_id)
    offset = 0
    for stream, data in chunks:
        text = {"text": data} if isinstance(data, str) else {"base64": base64.b64encode(data).decode()}
        world.chunks.append(LogChunk(execution_id=one.id, stream=stream, offset=offset, time=1, **text))
        offset += len(data)
    return world, job_id, one


async def logs(world, job, headers=(), **query):
    return await Websocket(world.app, f"{JOBS}/{job}/logs", headers, **query).run()


async def test_all_output_comes_in_order_and_then_a_normal_close():
    world, job_id, one = await a_job_with_output(
        ("stdout", "one\n"), ("stderr", "two\n"), ("event", "pulling")
    )
    for job, query in (("a", {}), (job_id, {"execution_id": one.id}), (job_id[:10], {"job_version": 1})):
        seen = await logs(world, job, **query)
        assert seen.lines == [(1, "one\n"), (2, "two\n")]
        assert seen.closed == [1000]


async def test_a_character_cut_in_two_is_put_together_and_bytes_that_are_no_text_are_replaced():
    pieces = "✓".encode()
    world, _, _ = await a_job_with_output(
        ("stdout", pieces[:1]), ("stdout", pieces[1:]), ("stdout", b"\xff\n")
    )
    assert "".join(line for _, line in (await logs(world, "a")).lines) == "✓\ufffd\n"


async def test_tail_of_what_has_ended_is_empty():
    world, job_id, _ = await a_job_with_output(("stdout", "old\n"))
    world.finish(job_id)
    seen = await logs(world, "a", tail="true", follow="true")
    assert (seen.frames, seen.closed) == ([], [1000])


async def test_tail_of_what_runs_leaves_out_what_was_printed_before():
    world, _, one = await a_job_with_output(("stdout", "old\n"))
    world.chunks.append(LogChunk(execution_id=one.id, stream="stdout", text="new\n", time=2**62))
    assert (await logs(world, "a", tail="1", follow="1")).lines == [(1, "new\n")]


@pytest.mark.parametrize(
    ("job", "query", "error"),
    [
        ("nobody", {}, "job not found: nobody"),
        ("a", {"follow": "maybe"}, 'parsing "maybe": invalid syntax'),
        ("a", {"execution_id": "e-1"}, "unable to find execution e-1 in job {id} and job version 1"),
        ("a", {"job_version": 7}, "no executions found for job a with ID {id}, and version 7"),
    ],
)
async def test_a_problem_is_a_frame_and_a_normal_close(job, query, error):
    world, job_id, _ = await a_job_with_output(("stdout", "x"))
    seen = await logs(world, job, **query)
    assert error.format(id=job_id) in seen.error
    assert seen.closed == [1000]


async def test_a_job_whose_executions_were_all_discarded_has_no_log():
    world, job_id, one = await a_job_with_output(("stdout", "x"))
    world.report(one, ExecutionState.CANCELLED)
    expected = f"failed to open log stream for job {job_id}: unable to find execution  in job {job_id} and job version 1"
    assert (await logs(world, "a")).error == expected


async def test_a_client_that_leaves_ends_the_stream():
    world, _, one = await a_job_with_output()
    ended = asyncio.Event()

    async def endless(job_id, execution_ids, *, follow, start):
        assert follow
        try:
            yield LogEntry(1, LogChunk(execution_id=one.id, stream="stdout", text="first\n"))
            await asyncio.sleep(60)
        finally:
            ended.set()

    world.gateway.logs = endless
    socket = Websocket(world.app, f"{JOBS}/a/logs", follow="true")
    await eventually(lambda: socket.frames)
    socket.incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await socket.run()
    assert ended.is_set()
    assert socket.lines == [(1, "first\n")]


async def test_an_old_client_is_refused_before_the_upgrade():
    world, _, _ = await a_job_with_output()
    socket = await logs(world, "a", headers=[(b"x-bacalhau-git-version", b"v1.3.0")])
    assert socket.sent[0]["type"] == "websocket.http.response.start"
    assert socket.sent[0]["status"] == 403
    assert json.loads(socket.sent[1]["body"])["MinVersion"] == "1.4.0"


async def test_details_say_where_a_piece_comes_from_and_how_far_it_reaches():
    world, _, one = await a_job_with_output(("stdout", "ab"), ("stdout", "\u2713".encode()[:2]))
    first, second = (await logs(world, "a", details="true")).frames
    assert first == {"value": {"Type": 0, "Line": ""}, "Since": 0, "ExecutionID": one.id}
    assert second == {
        "value": {"Type": 1, "Line": "ab"},
        "ExecutionID": one.id,
        "Time": 1,
        "Next": 2,
        "Seq": 1,
    }


async def test_who_resumes_says_how_far_he_got_and_gets_the_rest():
    world, _, one = await a_job_with_output(("stdout", "one\n"), ("stderr", "two\n"))
    socket = Websocket(world.app, f"{JOBS}/a/logs", resume="true")
    socket.incoming.put_nowait({"type": "websocket.receive", "text": json.dumps({one.id: {"stdout": 4}})})
    assert (await socket.run()).lines == [(2, "two\n")]


@pytest.mark.parametrize("message", ["", "[]", '{"e": 1}', '{"e": {"stdout": "x"}}', "[" * 100_000])
async def test_positions_that_cannot_be_read_are_a_frame(message):
    world, _, _ = await a_job_with_output(("stdout", "one\n"))
    socket = Websocket(world.app, f"{JOBS}/a/logs", resume="true")
    socket.incoming.put_nowait({"type": "websocket.receive", "text": message})
    assert "positions to resume from cannot be read" in (await socket.run()).error


async def test_all_executions_of_the_latest_version_are_read_together():
    world, job_id, one = await a_job_with_output(("stdout", "old\n"))
    world.report(one, ExecutionState.CANCELLED)
    await world.put(a_draft(Priority=1))
    for attempt in (0, 1):
        new = world.start(job_id, attempt)
        world.chunks.append(LogChunk(execution_id=new.id, stream="stdout", text=f"{attempt}\n", offset=0))
    assert (await logs(world, "a", all_executions="1")).lines == [(1, "0\n"), (1, "1\n")]
    assert (await logs(world, "a", all_executions="1", job_version=1)).lines == [(1, "old\n")]
    error = (await logs(world, "a", all_executions="1", job_version=9)).lines
    assert error == []


async def test_a_time_leaves_out_what_was_printed_before():
    world, _, one = await a_job_with_output(("stdout", "old\n"))
    world.chunks.append(LogChunk(execution_id=one.id, stream="stdout", text="new\n", offset=4, time=2**62))
    for since in ("1s", "2026-01-31T10:20:30Z", "1700000000", str(10**18)):
        assert (await logs(world, "a", from_time=since)).lines == [(1, "new\n")]
    assert "is not a time" in (await logs(world, "a", from_time="yesterday")).error


@given(st.text(max_size=60), st.integers(0, 2**63))
def test_any_text_is_a_time_or_is_refused(text, now):
    with contextlib.suppress(Refusal):
        assert moment(text, now) >= 0


@given(st.text(max_size=60))
def test_any_message_is_positions_or_is_refused(text):
    with contextlib.suppress(Refusal):
        assert isinstance(positions(text), dict)
