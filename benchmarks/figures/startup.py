"""How long a command of the CLI takes from its start to its end, and how many bare Pythons that is."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence

from benchmarks.figures.scale import Scale
from benchmarks.measure import Measure, percentile
from benchmarks.stand import ROOT, BenchmarkFailed, Node, Stand

_BARE = ("-c", "pass")
_CLI = ("-c", "from bacalhau_cli.main import main; main()")  # what the installed script does
_HELP_MS, _LIST_MS = 120.0, 250.0
_COMMANDS: Mapping[str, tuple[tuple[str, ...], float | None]] = {
    "--help": (("--help",), _HELP_MS),
    "job list --help": (("job", "list", "--help"), _HELP_MS),
    "completion bash": (("completion", "bash"), None),
    "agent alive": (("agent", "alive"), None),
    "job list": (("job", "list"), _LIST_MS),
    "node list": (("node", "list"), None),
    "config list": (("config", "list"), None),
}


async def measure(scale: Scale) -> list[Measure]:
    """Run each command in turn, round by round, so that what else the machine does hits all of them."""
    rounds = scale.of(20, 3)
    async with Stand() as stand:
        node = await stand.hybrid()
        await _took(node, (*_CLI, "job", "list"))  # the server has answered once
        took: dict[str, list[float]] = {}
        for _ in range(rounds):
            took.setdefault("", []).append(await _took(node, _BARE))
            for name, (args, _aim) in _COMMANDS.items():
                took.setdefault(name, []).append(await _took(node, (*_CLI, *args)))
    bare = percentile(took.pop(""), 0.5)
    note = f"median of {rounds}"
    return [
        Measure("python -c pass", bare * 1000, "ms", note=note),
        *_measures(took, bare, note),
    ]


def _measures(took: Mapping[str, Sequence[float]], bare: float, note: str) -> list[Measure]:
    found = []
    for name, seconds in took.items():
        median = percentile(seconds, 0.5)
        told = f"{note}; {median / bare:.1f} bare Pythons"
        found.append(Measure(f"bacalhau {name}", median * 1000, "ms", at_most=_COMMANDS[name][1], note=told))
    return found


async def _took(node: Node, arguments: Sequence[str]) -> float:
    environ = {"BACALHAU_API_PORT": str(node.api_port), "HOME": str(node.folder)}
    begin = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env=environ, cwd=ROOT,
    )  # fmt: skip
    _, errors = await process.communicate()
    took = time.perf_counter() - begin
    if process.returncode:
        raise BenchmarkFailed(f"{' '.join(arguments)} ended with {process.returncode}: {errors.decode()}")
    return took
