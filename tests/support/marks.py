"""Jobs that leave a mark outside our records when they start, so that starts are counted and not believed.

``wasm/mark.c`` and the container add one line, the node's name, to ``<folder>/<execution id>``. A file with
two lines was started twice; two names in it, on two nodes. A node needs `mark_settings` and `MARK_NODE` in
its environment to tell its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from bacalhau_nats.client import Job

MODULE = Path(__file__).parents[2] / "wasm" / "built" / "mark.wasm"
IMAGE = "busybox:1.37"
NODE_VARIABLE = "MARK_NODE"


def mark_settings(folder: Path) -> list[str]:
    """Give the settings with which a node lends the module, and the folder for writing."""
    folder.mkdir(exist_ok=True)
    return [
        f"Compute.AllowListedLocalPaths={MODULE},{folder}/**:rw",
        f"Compute.Env.AllowList={NODE_VARIABLE}",
    ]


def marking(folder: Path, seconds: float = 0, **more: Any) -> Job:
    """Build a WASM job that marks its start, runs for so long, and says done."""
    engine = {
        "Type": "wasm",
        "Params": {"EntryModule": "/mark.wasm", "Parameters": ["/marks", str(seconds)]},
    }
    module = _local(MODULE, "/mark.wasm", write=False)
    return _job(engine, [module, _local(folder, "/marks", write=True)], **more)


def marking_container(folder: Path, seconds: float = 0, lines: int = 1, **more: Any) -> Job:
    """Build the same as a container; it says ``line 0`` and so on while it waits, then done."""
    script = (
        'echo "${MARK_NODE:-?}" >> "/marks/$BACALHAU_EXECUTION_ID"; i=0; '
        f'while [ $i -lt {lines} ]; do echo "line $i"; i=$((i+1)); sleep {seconds / lines:g}; done; echo done'
    )
    engine = {
        "Type": "docker",
        "Params": {"Image": IMAGE, "Entrypoint": ["/bin/sh"], "Parameters": ["-c", script]},
    }
    return _job(engine, [_local(folder, "/marks", write=True)], **more)


def noop(seconds: float = 0, **more: Any) -> Job:
    """Build a job of the engine that only waits."""
    job = _job({"Type": "noop", "Params": {"Sleep": seconds}}, [], **more)
    job["Tasks"][0]["Env"] = {}
    return job


def _job(
    engine: dict[str, Any],
    inputs: Sequence[dict[str, Any]],
    *,
    cpu: str = "10m",
    memory: str = "20Mb",
    type: str = "batch",  # noqa: A002 - the field's name
    node_name: bool = False,
    **more: Any,
) -> Job:
    task = {
        "Name": "main",
        "Engine": engine,
        "InputSources": list(inputs),
        "Resources": {"CPU": cpu, "Memory": memory},
        "Env": {NODE_VARIABLE: f"env:{NODE_VARIABLE}"} if node_name else {},
    }
    job: dict[str, Any] = {"Type": type, "Count": 1, "Tasks": [task], **more}
    return cast("Job", job)


def _local(source: Path, target: str, *, write: bool) -> dict[str, Any]:
    params: dict[str, Any] = {"SourcePath": str(source)}
    if write:
        params["ReadWrite"] = True
    return {"Source": {"Type": "local", "Params": params}, "Target": target}


def read_marks(folder: Path) -> dict[str, list[str]]:
    """Give by execution id the nodes on which it started, in order."""
    return {file.name: file.read_text().split() for file in folder.iterdir()}


def started_twice(folder: Path) -> dict[str, list[str]]:
    """Give what of `read_marks` started more than once; empty when all is well."""
    return {execution: nodes for execution, nodes in read_marks(folder).items() if len(nodes) > 1}
