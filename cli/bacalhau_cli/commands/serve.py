"""``bacalhau serve``: run a node until it is told to stop.

SIGTERM or SIGINT asks the roles to stop in order; a second one cancels what is left. One line on stdout says
that the node is ready and where; logs go to stderr. While it runs, ``bacalhau.run`` in the data folder holds the
shell lines that point a client at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from bacalhau_cli import exits, nodelogs, notices, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, switch

if TYPE_CHECKING:
    from bacalhau_nats.node import Started
    from bacalhau_nats.settings import Settings

_GC = (50_000, 20, 50)
RUN_FILE = "bacalhau.run"
_STDIN = 0


@click.command(
    cls=Command,
    help="Start a node, until Ctrl-C; without a role it is an orchestrator. Everything but its roles and its name is "
    "set with -c or in config.yaml of the data folder: 'bacalhau config list' shows the keys.",
    examples=(
        "bacalhau serve --orchestrator --compute",
        "bacalhau serve --orchestrator -c API.Host=0.0.0.0 -c API.Port=8080",
        "bacalhau serve --compute -c Compute.Orchestrators=nats://host:4222",
    ),
)
@switch("--orchestrator", help="Be an orchestrator: take jobs and place them; serves the API and NATS.")
@switch("--compute", help="Be a compute node: run executions.")
@click.option("--name", default="", help="Name of the node [default: a new one, kept in the data folder].")
@switch("--until-eof", hidden=True, help="Stop when stdin ends, so that no node outlives who started it.")
@click.pass_obj
def serve(caller: Caller, /, *, orchestrator: bool, compute: bool, name: str, until_eof: bool) -> int:
    settings = caller.settings(
        {"Orchestrator.Enabled": orchestrator or None, "Compute.Enabled": compute or None}
    )
    nodelogs.set_up("error" if notices.quiet() else settings.logging.level, settings.logging.mode)
    for line in settings.unused():
        notices.warn(f"{line.key} (from {line.source}) has no meaning here")
    orchestrator, compute = settings.orchestrator.enabled, settings.compute.enabled
    if not orchestrator and not compute:
        notices.warn("neither --orchestrator nor --compute is given; starting an orchestrator")
        orchestrator = True
    import uvloop  # noqa: PLC0415 - only a node needs it

    try:
        uvloop.run(_run(settings, name, orchestrator=orchestrator, compute=compute, until_eof=until_eof))
    except asyncio.CancelledError:
        return exits.INTERRUPTED
    finally:
        with contextlib.suppress(OSError):  # what went wrong with the folder has been told better
            (settings.data_dir / RUN_FILE).unlink()
    return exits.OK


async def _run(settings: Settings, name: str, *, orchestrator: bool, compute: bool, until_eof: bool) -> None:
    from bacalhau_nats import node  # noqa: PLC0415 - loads every role

    # What is loaded now stays, and records refer to nothing that refers back: looking for cycles seldom
    # saves a tenth of the time of a job.
    gc.freeze()
    gc.set_threshold(*_GC)

    stop = asyncio.Event()
    _listen(stop, until_eof=until_eof)
    await node.run(
        settings,
        orchestrator=orchestrator,
        compute=compute,
        name=name or None,
        stop=stop,
        ready=_announcer(settings.data_dir),
    )


def _listen(stop: asyncio.Event, *, until_eof: bool) -> None:
    """Stop on a signal or at the end of stdin; cancel on the second call."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def ask() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    if until_eof:

        def read() -> None:
            if not os.read(_STDIN, 1024):
                loop.remove_reader(_STDIN)
                ask()

        loop.add_reader(_STDIN, read)


def _announcer(data_dir: Path) -> Callable[[Started], None]:
    def announce(started: Started) -> None:
        api = urlsplit(started.api_url)
        exports = (
            f"export BACALHAU_API_HOST={api.scheme}://{api.hostname}\nexport BACALHAU_API_PORT={api.port}\n"
        )
        if api.hostname:
            (data_dir / RUN_FILE).write_text(exports)
        # Without the password that the URL may hold.
        scheme, _, rest = started.nats_url.partition("://")
        nats = f"{scheme}://{rest.rpartition('@')[2]}" if rest else "-"
        render.line(f"Ready: node {started.node_id}  API {started.api_url or '-'}  NATS {nats}")
        sys.stdout.flush()

    return announce
