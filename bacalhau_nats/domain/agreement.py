"""Do runs of the same work agree? Pure: what a rerun is, and who differs from whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

VERIFIES = "bacalhau-verify/job"
"""Label of a rerun: the id of the job whose results it is compared with."""
RUN = "bacalhau-verify/run"
"""Label of a rerun: which one it is, from 1."""
NODE_NAME = "name"
"""The label that every node gives itself."""

_ON_THE_BUS = "nats"  # the publisher (`spec.BUS_PUBLISHER`; the models take 60 ms to load)
_KEPT = ("Namespace", "Priority", "Count", "Constraints", "Meta", "Labels", "Tasks")


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a partition; ``outputs`` names what it made, equal exactly when the outputs are."""

    execution: str
    node: str
    outputs: str
    exit_code: int = 0
    job: str = ""
    partition: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What comparing the runs of a partition came to.

    ``odd`` are the executions whose outputs are not those of the majority. Without a majority it is all of
    them, and ``decided`` is false: somebody is wrong, and it cannot be said who.
    """

    odd: tuple[str, ...] = ()
    decided: bool = True

    @property
    def agrees(self) -> bool:
        """Say whether all runs made the same."""
        return not self.odd


def judge(runs: Sequence[Run]) -> Judgement:
    """Find the runs that differ from what most of them made."""
    count = Counter(run.outputs for run in runs)
    if len(count) < 2:  # noqa: PLR2004 - nothing to compare, or nothing that differs
        return Judgement()
    (first, most), (_, second) = count.most_common(2)
    if most == second:
        return Judgement(tuple(run.execution for run in runs), decided=False)
    return Judgement(tuple(run.execution for run in runs if run.outputs != first))


def rerun_of(job: Mapping[str, Any], *, number: int, avoid: Sequence[str], name: str) -> dict[str, Any]:
    """Write the job that does the same work again on nodes that are not named in ``avoid``.

    ``job`` is as the API shows it. The rerun is a job of its own, with labels that say what it is. Where the
    job publishes results, those of the rerun stay on the bus: nothing is written where the job's own lie.
    """
    copy: dict[str, Any] = {key: job[key] for key in _KEPT if job.get(key) is not None}
    elsewhere = {"Key": NODE_NAME, "Operator": "notin", "Values": sorted(avoid)}
    publishes = {"Type": _ON_THE_BUS}
    copy["Name"], copy["Type"] = name, "batch"
    copy["Constraints"] = [*(job.get("Constraints") or ()), elsewhere]
    copy["Labels"] = {**(job.get("Labels") or {}), VERIFIES: str(job.get("ID", "")), RUN: str(number)}
    copy["Tasks"] = [
        {**task, "Publisher": publishes} if _publishes(task) else dict(task)
        for task in job.get("Tasks") or ()
    ]
    return copy


def _publishes(task: Mapping[str, Any]) -> bool:
    kind = str((task.get("Publisher") or {}).get("Type", "")).strip().lower()
    return bool(task.get("ResultPaths")) or kind not in ("", "noop")
