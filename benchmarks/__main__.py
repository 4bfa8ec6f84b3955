"""`python -m benchmarks all`, or one figure by its name; `--help` lists them."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import uvloop
from rich.console import Console

from benchmarks import machine, profile, report
from benchmarks.figures import FIGURES, MINUTES, MOST_MINUTES
from benchmarks.figures.scale import Scale
from benchmarks.measure import Measure
from benchmarks.stand import BenchmarkFailed

_NAMES = [*FIGURES, "all"]


@click.group(help=__doc__, invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Run every figure when none is named."""
    if context.invoked_subcommand is None:
        sys.exit(_run(list(FIGURES), "table", None, quick=False, strict=False))


def _command(name: str, text: str) -> click.Command:
    @click.option("--output", type=click.Choice(["table", "json"]), default="table", help="How to print.")
    @click.option(
        "--markdown",
        type=click.Path(path_type=Path),
        help="Also write into this file, such as docs/benchmarks.md.",
    )
    @click.option("--quick", is_flag=True, help="Small numbers: shows that it works, not how fast it is.")
    @click.option("--strict", is_flag=True, help="Exit with 1 when an aim is missed.")
    def run(output: str, markdown: Path | None, quick: bool, strict: bool) -> None:
        names = list(FIGURES) if name == "all" else [name]
        sys.exit(_run(names, output, markdown, quick=quick, strict=strict))

    return click.command(name, help=text)(run)


for _name in _NAMES:
    _doc = "Run every figure." if _name == "all" else (sys.modules[FIGURES[_name].__module__].__doc__ or "")
    main.add_command(_command(_name, _doc))


@main.command("profile", help=profile.__doc__)
@click.option("--jobs", default=500, show_default=True, help="Jobs to run.")
@click.option("--top", default=30, show_default=True, help="Functions to show.")
@click.option("--split", is_flag=True, help="Orchestrator and compute node in a process each.")
def profile_command(jobs: int, top: int, split: bool) -> None:
    """Show where the time of a job goes."""
    console = Console()
    report.show_machine(console, machine.facts())
    for name, functions in uvloop.run(profile.hottest(jobs, top, split=split)).items():
        report.show_hot(console, name, functions)


def _run(names: Sequence[str], output: str, markdown: Path | None, *, quick: bool, strict: bool) -> int:
    console = Console(stderr=output == "json")
    facts = machine.facts()
    report.show_machine(console, facts)
    results: dict[str, list[Measure]] = {}
    failed: dict[str, str] = {}
    for name in names:
        try:
            results[name] = uvloop.run(_bounded(name, Scale(quick=quick)))
        except asyncio.CancelledError:
            console.print("stopped")
            return 130
        except (BenchmarkFailed, TimeoutError, ValueError, OSError) as error:
            failed[name] = f"{type(error).__name__}: {error}"
            console.print(f"[red]{name} failed:[/] {failed[name]}", markup=True, highlight=False)
        else:
            report.show(console, name, results[name])
    if output == "json":
        print(report.to_json(facts, results, failed))
    if markdown is not None:
        command = " ".join(
            ["python -m benchmarks", "all" if len(names) > 1 else names[0], *(["--quick"] if quick else [])]
        )
        report.write_markdown(markdown, facts, results, command)
    missed = [one for measures in results.values() for one in measures if one.met is False]
    return 1 if failed or (strict and missed) else 0


async def _bounded(name: str, scale: Scale) -> list[Measure]:
    task = asyncio.current_task()
    assert task is not None
    # Ended by `timeout` or a CI runner, it still ends its nodes and removes their data.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with asyncio.timeout(60 * MINUTES.get(name, MOST_MINUTES)):
        return await FIGURES[name](scale)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
