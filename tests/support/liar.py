"""A compute node that lies: ``python -m tests.support.liar serve …`` changes what work made before it is sealed.

Everything else of it is real: its manifest fits what it publishes, and so does its report.
"""

from __future__ import annotations

from collections.abc import Callable

from bacalhau_cli.main import main

from bacalhau_nats.compute.folders import ExecutionFolder
from bacalhau_nats.domain.manifest import Origin, Summary
from bacalhau_nats.domain.spec import Task

LIE = "what was never made"
_honest = ExecutionFolder.assemble


def _lie(
    self: ExecutionFolder,
    task: Task,
    exit_code: int,
    origin: Origin,
    stopped: Callable[[], bool] = lambda: False,
) -> Summary:
    for result in task.result_paths:
        for path in (self.outputs / result.name).iterdir():
            path.write_text(LIE)
    return _honest(self, task, exit_code, origin, stopped)


if __name__ == "__main__":
    ExecutionFolder.assemble = _lie  # type: ignore[method-assign]
    main()
