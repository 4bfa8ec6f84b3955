"""What recorded exchanges may show otherwise with real nodes, and why: the table behind ``docs/compatibility.md``.

Run ``python -m tests.support.differences > docs/compatibility.md`` after a change.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tests.support import quirks
from tests.support.comparing import Instead

FOLDER = Path(__file__).parent.parent / "exchanges"
PROFILES = (
    "spoiled",
    "solo",
    "secrets",
    "quick",
    "duo",
    "bare",
    "guard",
    "defaults",
    "manual",
    "users",
    "sso",
)
"""The set-ups of servers that are replayed, in the order in which they are started."""


@dataclass(frozen=True)
class Known:
    """A difference that is meant: ``steps`` are patterns of ids, ``places`` say what may differ there.

    ``comes``: false where it depends on the timing of a run.
    """

    title: str
    why: str
    steps: tuple[str, ...]
    places: str = ".*"
    comes: bool = True

    def covers(self, step: str, difference: str) -> bool:
        return self.concerns(step) and re.match(self.places, difference) is not None

    def concerns(self, step: str) -> bool:
        return any(fnmatch(step, pattern) for pattern in self.steps)


INSTEAD = (Instead("**/RunOutput/ExitCode", -1, 0),)
"""A WASM module that returns from its entry function has exit code 0, not -1."""

ADDED = ("**/ResultDigest", "/Items/*/ExecutionID", "**/ComputeState/Details")
"""Keys of ours beside Bacalhau's; clients that do not know them do not see them."""

KNOWN = (
    Known(
        "`agent/config` has keys of our own, and no default wait of a minute for a silent node",
        "It shows the settings there are. A silent node is taken for lost after 15 s, since heartbeats cost "
        "nothing and come every few seconds.",
        (
            "agent/open-endpoints/04",
            "agent/orchestrator-only/02",
            "agent/config-redaction/01",
            "auth-users/config-of-users/01",
            "cli-wire/node-and-agent/10",
        ),
        r"/config/\S+ is too much|/config/Orchestrator/NodeManager/DisconnectTimeout|/config/Compute/Heartbeat",
    ),
    Known(
        "A body in chunks, without a length, is accepted",
        "Bacalhau's own authorizer fails on it with 500.",
        ("errors-and-routing/body-size/03",),
    ),
    Known(
        "A job with outputs and no publisher is accepted",
        "Its results are kept on the bus and downloaded through the gateway. Bacalhau refuses it.",
        ("jobs-validation/inputs-and-results/13", "jobs-validation/inputs-and-results/14"),
    ),
    Known(
        "A node that declines gets no execution",
        "Nodes are asked before an execution is made, and their reasons are in the job's message. Bacalhau makes "
        "one for each node that then refuses its bid, twice for a refusal that it takes for a failure.",
        (
            "jobs-placement/bid-rejections/02",
            "jobs-placement/bid-rejections/10",
            "jobs-submit/docker-local-input-not-allowed/02",
            "results/failed-queued-noop/08",
        ),
        "/History/Items: |/Executions/Items: |/Job/Revision: ",
    ),
    Known(
        "An ops job that every node declines has failed",
        "Bacalhau calls it completed although nothing ran.",
        ("jobs-placement/bid-rejections/12",),
    ),
    Known(
        "What would fail again is not run again",
        "A command that is not in the image, a module that cannot be loaded or traps, an execution that took too "
        "long: one attempt, and the job's message names its cause. Bacalhau runs it once more on each node and "
        "then says that there are not enough nodes.",
        (
            "jobs-submit/docker-bad-command/02",
            "jobs-submit/wasm-trap/02",
            "jobs-submit/wasm-not-a-module/02",
            "jobs-submit/wasm-entry-module-not-an-input/02",
            "jobs-timeouts/execution-timeout/02",
        ),
        "/History/Items: |/Executions/Items: ",
    ),
    Known(
        "What may succeed later is tried three times, with a growing pause",
        "A registry that does not answer, for example. Bacalhau tries twice at once. "
        "`Orchestrator.Scheduler.MaxAttempts` sets how often.",
        ("jobs-submit/docker-bad-image/02",),
        "/History/Items: |/Executions/Items: |/Job/Revision: ",
    ),
    Known(
        "A service that ends is started again as long as it is wanted",
        "Bacalhau gives it up after two exits on each node.",
        ("jobs-submit/service-that-ends/02",),
    ),
    Known(
        "`Count` may exceed the number of nodes",
        "Partitions share nodes as far as there is room, and wait for room otherwise.",
        ("jobs-submit/count-rules/08", "jobs-placement/count-three-on-two-nodes/0[23]"),
    ),
    Known(
        "A daemon that no node suits is queued, and says why",
        "Bacalhau leaves it pending without a word.",
        ("jobs-submit/daemon-no-match/02",),
        "/Job/State|/Job/Revision|/History/Items: ",
        comes=False,
    ),
    Known(
        "The version is our own",
        "It is that of this package.",
        ("logs-websocket/errors/07",),
        "/ServerVersion",
    ),
    Known(
        "Errors carry a hint, and a job that failed is marked as an error in its history",
        "People and programs can tell what to do, and what is an error.",
        ("jobs-submit/ops-failing/02",),
        "/History/Items/[34]/Event/Details",
    ),
    Known(
        "Jobs have the variable `BACALHAU_JOB_NAME`, too",
        "Scripts ask for it.",
        ("jobs-submit/docker-env-meta-labels-priority/02",),
        "/Executions/Items/0/RunOutput/Stdout",
    ),
    Known(
        "A job that is out of time says so before its executions are stopped",
        "The requester decides it and then has them stopped; with Bacalhau the node's own clock is first.",
        ("jobs-timeouts/total-timeout/02",),
        "/History/Items|/Executions/Items|/Job/Revision",
    ),
    Known(
        "A job waits in line while what ran before it still ends",
        "Its room is free when the container is gone, not when it is told to go; the history says so.",
        ("update-diff-rerun/rerun-of-a-running-and-a-stopped-job/08",),
        "/History/Items: 5 items instead of 4",
        comes=False,
    ),
    Known(
        "Executions of one job are placed side by side",
        "One may run before another has its node; the order of their steps is free.",
        ("jobs-placement/count-two/04",),
        "/Items/./SeqNum",
        comes=False,
    ),
)

NOT_REPLAYED = (
    ("Logs of WASM jobs arrive", "Bacalhau's log stream hangs for a minute and ends with an error."),
    ("All that a WASM module writes is kept", "Bacalhau's inline output has only the first write."),
    ("Results of a job without publisher are kept on the bus", "`job get` works without any set-up."),
    (
        "The message of a failed job names the cause",
        "The attempt that decided, its node and its own words; Bacalhau says that there are not enough nodes.",
    ),
    (
        "A rerun of an unknown job or version is refused, and that is all",
        "Bacalhau's server accepts no write after it.",
    ),
    (
        "A body that nests deeper than 100 levels or holds more than 20,000 values is refused with 400",
        (
            "The whole cluster would work on it: it costs its sender nothing, and what nests deeper cannot be "
            "read back."
        ),
    ),
    (
        "A job has at most 10,000 executions (`Count`) and an id of at most 255 bytes",
        (
            "Each execution has records; an id is part of subjects, and NATS ends the connection of whoever sends "
            "a subject of 4 kB."
        ),
    ),
    (
        "A user whose action grants nothing, such as `read:jobs`, is refused at the start of a node",
        "It is a slip of the pen. Bacalhau takes it, and the user can do nothing.",
    ),
    (
        "Half an identity provider (`API.Auth.Oauth2` without its `ProviderID`, say) is refused at the start of a node",
        "Bacalhau ignores it, and the API stays open.",
    ),
    (
        "A token that cannot be judged, since the provider's keys could never be fetched, is answered with 503",
        "The token may be good, and trying again helps. Bacalhau answers 401.",
    ),
    (
        "A token may be 10 s older, or younger, than the node's clock allows",
        "Clocks differ. Bacalhau refuses a token that was issued a moment ago by a faster clock.",
    ),
    (
        "Nodes can be cordoned, opened and drained (`Action` `cordon`, `uncordon`, `drain`)",
        (
            "As with kubectl: for repairs and upgrades. `Scheduling` in a node's state says so, and is not there otherwise. "
            "A job that only a cordoned node could run waits for it."
        ),
    ),
    (
        "An S3 input of an ops or daemon job works",
        "Every node gets all of it. Bacalhau refuses it, since such jobs have no count.",
    ),
    (
        "`ChecksumSHA256` of an S3 input is compared with the content",
        "Bacalhau compares it with what the service says, so it fails with services that keep no checksums.",
    ),
    (
        "`ChecksumSHA256` of an archive in S3 is always that of the whole archive",
        "Bacalhau gives that of the parts when it was sent in several; nobody can check that later.",
    ),
    (
        "`Partition.DateFormat` has no time zone, day of the year or fraction of a second",
        "Keys are dates.",
    ),
    (
        "`s3managed` is offered by nodes only while an orchestrator has a bucket for it",
        "A job then fails before it runs. Bacalhau's fails when its work is done.",
    ),
    (
        "A job cannot name an S3 endpoint at a link-local or metadata address",
        "It could read the credentials of the machine.",
    ),
    ("A queued job starts as soon as a node has room or joins", "Bacalhau looks once a minute."),
    (
        "Inputs are mounted read-only, except local paths that say otherwise",
        "Bacalhau mounts those from URLs, IPFS and the job itself writable.",
    ),
    (
        "A URL input needs no server that answers HEAD with a length",
        "The size is counted while it arrives. Bacalhau refuses such a URL.",
    ),
    (
        "A published result has a `manifest.json` beside stdout, stderr and exitCode",
        (
            "It lists size and SHA-256 of each file, and its digest is on the bus: `job get` proves what it fetched. No "
            "result path can have that name."
        ),
    ),
    (
        "Results on IPFS have no links",
        "Symbolic links, pipes and devices are left out of what is published; `job get` writes none anyway.",
    ),
    (
        "A `null` in a list of inputs, results, constraints or ports is refused with 400 and what is missing in it",
        "Bacalhau fails on it with 500, as on a task that is `null`, for which the recorded answer is kept.",
    ),
    (
        "Of two objects under one key of a body the last one counts, as for any other value",
        "Bacalhau adds the keys of the second to those of the first.",
    ),
    ("Bodies as forms or XML are refused with 400", "Bacalhau reads them as empty; no client sends them."),
    (
        "`/openapi.json` and `/docs` describe the API, and `…/jobs/{id}/results/{execution}.tar.gz` gives results",
        "Bacalhau answers 404 there: it has no such document, and no results on the bus.",
    ),
    (
        "A log stream may be asked for in any case of `Upgrade: WebSocket`, and is opened",
        "Bacalhau answers 200 and nothing to any other than lower case.",
    ),
)

_HEAD = """# Compatibility

The HTTP API is that of Bacalhau 1.9. `tests/exchanges` holds what a server of 1.9.3 answered to some 1,100 requests; the
tests replay them, on the gateway alone in its words and on real nodes field by field, where texts for people need only be
there. This page lists every difference that is accepted; any other one fails the tests.

It is generated from `tests/support/differences.py`: `python -m tests.support.differences > docs/compatibility.md`.

## Seen in recorded exchanges

| What differs | Why | Where |
|---|---|---|
"""
_OTHERS = """
## Outside clients

The gate runs the command line of Bacalhau 1.9.3, built from the Go module, and the Python packages `bacalhau-sdk` 1.4.2
and `bacalhau-apiclient` 1.4.1 against real nodes. `bacalhau-airflow` 1.3.2 works with no server of 1.9: it imports a part
of the SDK that 1.4 no longer has, and with an SDK of its time it submits to `/api/v1/requester/submit`, which is a 404
here as there.

## Not in the recordings

| What differs | Why |
|---|---|
"""


_TABLE = """
## In numbers

Exchanges by file: how many there are, how many real nodes answer as recorded, how many differ on purpose
and why (the number of a row above), how many need a set-up that is not replayed. The tests fail when an exchange moves
from one column to another.

| File | Exchanges | As recorded | On purpose | Not replayed | Why |
|---|---|---|---|---|---|
"""


def document() -> str:
    """Write the page."""
    code = "| A WASM module that returns from its entry function has exit code 0 | Bacalhau says -1. | all WASM jobs |\n"
    code += (
        "| What was published has a `ResultDigest`, in executions and results, and a result its `ExecutionID` | "
        "`job get` and `job verify` compare with it; other clients do not see it. | all published results |\n"
        "| An execution of an ops or daemon job tells in `ComputeState.Details.State` that it runs | "
        "Its `StateType` stays New, as Bacalhau's does; the command line shows Running. | all ops and daemon jobs |\n"
    )
    rows = "".join(
        f"| {number}. {k.title} | {k.why} | {_steps(k.steps)} |\n" for number, k in enumerate(KNOWN, 1)
    )
    others = "".join(f"| {title} | {why} |\n" for title, why in NOT_REPLAYED)
    return _HEAD + code + rows + _TABLE + "".join(_counts()) + _OTHERS + others + quirks.table()


def _counts() -> Iterator[str]:
    """Give a line for each file of exchanges, and one for all."""
    total = [0, 0, 0, 0]
    for path in sorted(FOLDER.glob("*.jsonl")):
        steps = [json.loads(line) for line in path.read_text().splitlines()]
        replayed = [step["id"] for step in steps if step["profile"] in PROFILES]
        reasons = {
            number: [one for one in replayed if known.concerns(one)] for number, known in enumerate(KNOWN, 1)
        }
        differ = len({one for found in reasons.values() for one in found})
        numbers = [len(steps), len(replayed) - differ, differ, len(steps) - len(replayed)]
        total = [one + more for one, more in zip(total, numbers, strict=True)]
        why = ", ".join(f"{number}: {len(found)}" for number, found in reasons.items() if found)
        yield _line(f"`{path.stem}`", numbers, why)
    yield _line("all", total, "")


def _line(first: str, numbers: Sequence[int], last: str) -> str:
    return "| " + " | ".join((first, *map(str, numbers), last)) + " |\n"


def _steps(steps: Sequence[str]) -> str:
    return ", ".join(f"`{step}`" for step in steps)


if __name__ == "__main__":
    sys.stdout.write(document())
