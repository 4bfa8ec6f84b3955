"""The values that can be completed: ids from the server, keys, names, files. Importing this is cheap."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from bacalhau_cli.context import Caller
    from bacalhau_nats.client import Client

_SECONDS = 1.0  # for the server: somebody waits with a finger on the key
_MOST = 100
_Found = Iterable[tuple[str, str]]


def attach(param: click.Parameter) -> None:
    """Let a parameter be completed by its name; what has a completion of its own keeps it."""
    if param.name in _BY_NAME and param._custom_shell_complete is None:  # noqa: SLF001 - click only takes it when made
        param._custom_shell_complete = _BY_NAME[param.name]  # noqa: SLF001


def _items(found: _Found, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem as Item  # noqa: PLC0415 - only to complete

    begun = incomplete.lower()
    return [Item(value, help=text or None) for value, text in found if value.lower().startswith(begun)]


def _words(*words: str) -> Any:
    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return _items(((word, "") for word in words), incomplete)

    return complete


def _listed(*words: str) -> Any:
    """Complete the last item of a list with commas."""

    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        return _items(
            ((f"{before}{comma}{word}", "") for word in words if word not in before), before + comma + last
        )

    return complete


def _path(kind: str) -> Any:
    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem as Item  # noqa: PLC0415 - only to complete

        return [Item(incomplete, type=kind)]

    return complete


def _keys(_ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from bacalhau_nats.settings.tree import all_keys  # noqa: PLC0415 - the settings take 200 ms to load

    found = _items(((f"{key.name}=", key.description) for key in all_keys().all), incomplete)
    return found if found or param.name == "assignment" else _path("file")(_ctx, param, incomplete)


def _asked(question: Callable[[click.Context, Client], Coroutine[Any, Any, _Found]]) -> Any:
    """Complete with what the server answers; nothing when it does not, or not soon."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        import asyncio  # noqa: PLC0415 - only to complete

        async def ask(client: Client) -> _Found:
            async with asyncio.timeout(_SECONDS):
                return await question(ctx, client)

        caller: Caller = ctx.obj
        try:
            found = caller.call(ask)
        except Exception:  # noqa: BLE001 - no server, no right, no answer: there is nobody to tell
            return []
        return _items(((value, text) for value, text in found if value and not value.split()[1:]), incomplete)

    return complete


async def _jobs(ctx: click.Context, client: Client) -> _Found:
    from bacalhau_nats.client.wire import TERMINAL_JOB_STATES, job_state  # noqa: PLC0415 - only to complete

    page = await client.list_jobs(limit=_MOST, reverse=True)
    jobs = [(job, job_state(job)) for job in page["Items"]]
    if ctx.info_name == "stop":
        jobs = [(job, state) for job, state in jobs if state not in TERMINAL_JOB_STATES]
    ids = [(job.get("ID", ""), f"{job.get('Name', '')} {state}") for job, state in jobs]
    names = {job.get("Name", ""): f"{job.get('Type', '')} {state}" for job, state in reversed(jobs)}
    return [*ids, *((name, text) for name, text in names.items() if name not in dict(ids))]


async def _executions(ctx: click.Context, client: Client) -> _Found:
    from bacalhau_nats.client.wire import compute_state  # noqa: PLC0415 - only to complete

    # An option without its value yet ends the reading of a command line: the job may be on either side of it.
    given = ctx.meta.get("given arguments") or []
    job = ctx.params.get("job") or next((word for word in given if not word.startswith("-")), "")
    items = (await client.executions(job))["Items"] if job else []
    return [(e.get("ID", ""), f"{compute_state(e)} on {e.get('NodeID', '')}") for e in items]


async def _nodes(_ctx: click.Context, client: Client) -> _Found:
    return [
        (node.get("Info", {}).get("NodeID", ""), f"{node.get('Membership', '')} {node.get('Connection', '')}")
        for node in await client.nodes()
    ]


def _profiles(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from bacalhau_cli.profiles import Profiles  # noqa: PLC0415 - only to complete
    from bacalhau_nats.errors import UserError  # noqa: PLC0415

    try:
        names = Profiles(ctx.obj.data_dir()).names()
    except UserError:
        return []
    return _items(((name, "") for name in names), incomplete)


_BY_NAME: dict[str | None, Any] = {
    "job": _asked(_jobs),
    "node_id": _asked(_nodes),
    "execution_id": _asked(_executions),
    "assignment": _keys,
    "global_config": _keys,
    "global_profile": _profiles,
    "file": _path("file"),
    "files": _path("file"),
    "global_data_dir": _path("dir"),
    "output_dir": _path("dir"),
    "module": _path("file"),
    "network": _words("Default", "None", "Host", "HTTP", "Bridge"),
    "publisher": _words("local", "nats", "ipfs", "s3managed", "noop", "s3://"),
    "show": _listed("labels", "version", "features", "capacity"),
}
