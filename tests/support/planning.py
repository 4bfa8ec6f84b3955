"""Random jobs to plan for, and an applier that turns a plan into facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from bacalhau_nats.domain.execution import Desired, ExecutionState, Reason, RunOutput, Wish, may_wish
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.job import Conclusion, JobState
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.node import Scheduling
from bacalhau_nats.domain.retry import RetryPolicy
from bacalhau_nats.domain.scheduling.plan import NodeNow, Plan, Policy
from bacalhau_nats.domain.scheduling.reconcile import reconcile
from bacalhau_nats.domain.spec import JobSpec, JobType, StopRequest, Timeouts
from tests.support.builders import NOW, SECOND, Story, a_job, a_node, a_task, an_execution

POLICY = Policy(RetryPolicy(max_attempts=3, max_losses=5))
NODES = tuple(NodeID(f"n{i}") for i in range(5))

_S = ExecutionState
_LIVES: dict[str, tuple[tuple[Wish | _S, dict[str, Any]], ...]] = {
    "assigned": (),
    "running": ((_S.RUNNING, {}),),
    "publishing": ((_S.RUNNING, {}), (_S.PUBLISHING, {})),
    "completed": ((_S.RUNNING, {}), (_S.COMPLETED, {})),
    "failed": ((_S.RUNNING, {}), (_S.FAILED, {"retryable": True, "message": "it broke"})),
    "hopeless": ((_S.FAILED, {"retryable": False, "reason": Reason.INVALID, "message": "no such image"}),),
    "restarted": ((_S.RUNNING, {}), (_S.FAILED, {"retryable": True, "reason": Reason.LOST_AT_RESTART})),
    "declined": ((_S.DECLINED, {"reason": Reason.NO_ROOM}),),
    "stopping": ((_S.RUNNING, {}), (Wish.STOP, {})),
    "cancelled": ((_S.RUNNING, {}), (Wish.STOP, {}), (_S.CANCELLED, {})),
    "lost": ((Wish.ABANDONED, {}),),
    "lost, then heard of": ((_S.RUNNING, {}), (Wish.ABANDONED, {}), (_S.COMPLETED, {})),
}
_ENDED = frozenset({"completed", "failed", "hopeless", "restarted", "declined", "cancelled"}) | {
    life for life in _LIVES if life.startswith("lost")
}


@dataclass
class Case:
    """One job among nodes, at a moment."""

    story: Story
    nodes: dict[NodeID, NodeNow]
    now: float = NOW
    policy: Policy = POLICY

    @property
    def job(self) -> JobView:
        return self.story.job()

    def plan(self) -> Plan:
        return reconcile(self.job, self.nodes, self.now, self.policy)

    def carry_out(self, plan: Plan) -> bool:
        """Turn a plan into facts; say whether there was anything to do."""
        spec, tell = self.job.spec, self.story.tell
        for wish, endings in ((Wish.ABANDONED, plan.abandon), (Wish.STOP, plan.stop)):
            for ending in endings:
                assert may_wish(ending.execution.wish, wish), f"{ending} cannot become {wish}"
                tell(ending.execution.desired.but(wish=wish, message=ending.message))
        suitable = [n for n in self.nodes if n not in plan.unsuitable]
        for placement in plan.place:
            node = placement.node or suitable[placement.partition % len(suitable)]
            made = an_execution(spec, node, partition=placement.partition, attempt=placement.attempt)
            assert made.execution_id == placement.execution_id
            tell(made)
        if plan.conclude is not None:
            tell(plan.conclude)
        return bool(plan.abandon or plan.stop or plan.place or plan.conclude)

    def settle(self) -> int:
        """Plan and carry out until nothing is asked for; give how many plans that took."""
        for rounds in range(8):
            if not self.carry_out(self.plan()):
                return rounds
        raise AssertionError(f"no end of plans: {self.plan()}")

    def end(self, how: Callable[[Desired], str]) -> None:
        """Let every execution that should run come to an end."""
        for execution in list(self.job.executions.values()):
            if execution.wanted:
                live(self.story, execution.desired, how(execution.desired))


def live(story: Story, desired: Desired, life: str) -> None:
    """Let an execution live so far; what each life is, says the table above."""
    for step, fields in _LIVES[life]:
        if isinstance(step, Wish):
            story.wish(desired.execution_id, step)
        else:
            output = RunOutput(exit_code=0)
            story.observe(desired.execution_id, step, output=output, **fields)


@st.composite
def node_maps(draw: st.DrawFn) -> dict[NodeID, NodeNow]:
    """Nodes that are live, dead, rejected, leaving, cordoned, drained, unsuitable, or have refused the job."""
    bad = ["dead", "rejected", "leaving", "cordoned", "draining", "unsuitable", "refused"]
    kinds = st.sampled_from(["good", "good", "good", *bad])
    nodes: dict[NodeID, NodeNow] = {}
    for name in draw(st.lists(st.sampled_from(NODES), unique=True)):
        kind = draw(kinds)
        report = a_node(name, draining=kind == "leaving", engines=() if kind == "unsuitable" else ("noop",))
        nodes[name] = NodeNow(
            report,
            live=kind != "dead",
            approved=kind != "rejected",
            scheduling=Scheduling(kind) if kind in set(Scheduling) else Scheduling.OPEN,
            refused="never liked it" if kind == "refused" else "",
        )
    return nodes


timeouts = st.builds(
    Timeouts,
    queue_timeout=st.sampled_from([0, 0, 5, 100]),
    total_timeout=st.sampled_from([0, 0, 0, 5, 100]),
)


@st.composite
def cases(draw: st.DrawFn, types: tuple[JobType, ...] = tuple(JobType), *, fresh: bool = False) -> Case:
    """Any job of up to three versions with any executions; ``fresh``: only just submitted."""
    story = Story(NOW - 20)
    kind = draw(st.sampled_from(types))
    spec = a_job(
        type=kind,
        count=0 if kind.everywhere else draw(st.integers(0, 8)),
        task=a_task(timeouts=draw(timeouts)),
        submitted=int((NOW - draw(st.integers(0, 20))) * SECOND),
    )
    story.tell(spec)
    for version in range(1, 1 if fresh else draw(st.integers(1, 3)) + 1):
        if version > 1:
            spec = spec.but(version=version, count=spec.count and draw(st.integers(0, 8)))
            story.tell(spec)
        _past(draw, story, spec)
        if draw(st.integers(0, 5)) == 0:
            ended = draw(st.sampled_from([JobState.FAILED, JobState.STOPPED, JobState.COMPLETED]))
            story.tell(Conclusion(job_id=spec.id, version=version, state=ended))
    if draw(st.integers(0, 4)) == 0:
        story.tell(spec.but(stop=StopRequest(reason="enough", at=1)))
    return Case(story, draw(node_maps()))


def _past(draw: st.DrawFn, story: Story, spec: JobSpec) -> None:
    slots = NODES if spec.type.everywhere else tuple(range(spec.count + 1))
    lives = st.lists(st.sampled_from(sorted(_LIVES)), max_size=4)
    for slot in draw(st.lists(st.sampled_from(slots), unique=True, max_size=4)):
        for attempt, life in enumerate(_coherent(spec, draw(lives))):
            node = slot if spec.type.everywhere else draw(st.sampled_from(NODES))
            partition = 0 if isinstance(slot, str) else slot
            desired = an_execution(spec, str(node), partition=partition, attempt=attempt)
            story.now = NOW - draw(st.sampled_from([0.0, 0.5, 3.0, 15.0]))
            story.tell(desired)
            live(story, desired, life)


def _coherent(spec: JobSpec, lives: list[str]) -> list[str]:
    """On a node of an ops or daemon job the next attempt is only made when the last one has ended."""
    if not spec.type.everywhere:
        return lives
    ended = [life for life in lives if life in _ENDED]
    return ended + [life for life in lives if life not in _ENDED][:1]
