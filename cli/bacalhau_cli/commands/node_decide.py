"""``bacalhau node`` approve, reject, delete, cordon, uncordon, drain: decide about a node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from bacalhau_cli import exits, notices, options, render
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Command, switch
from bacalhau_nats.domain.ids import short
from bacalhau_nats.errors import Conflict

if TYPE_CHECKING:
    from bacalhau_nats.client import Client

_LOOK_EVERY = 0.5  # seconds
_MANY = 5

_message = click.option("-m", "--message", default="", help="Why, for those who look at the node.")


def _decision(action: str, text: str, *examples: str) -> Any:
    """Make the command that does ``action`` to a node."""

    def decide(caller: Caller, /, *, node_id: str, message: str) -> None:
        caller.call(lambda client: client.decide(node_id, action, message=message))
        render.line("Ok")

    command: Callable[..., Any] = click.command(action, cls=Command, help=text, examples=examples)
    return command(click.argument("node_id", metavar="ID")(_message(click.pass_obj(decide))))


approve = _decision("approve", "Let a node take work.", "bacalhau node approve n-1a2b3c4d")
reject = _decision(
    "reject",
    "Let a node take no work; what runs there is stopped and placed elsewhere.",
    "bacalhau node reject n-1a2b3c4d -m 'not one of ours'",
)
delete = _decision(
    "delete",
    "Forget a node, until it reports again.",
    "bacalhau node delete n-1a2b3c4d",
)
cordon = _decision(
    "cordon",
    "Give a node nothing new; what runs there goes on. Jobs that only this node could run wait.",
    "bacalhau node cordon n-1a2b3c4d -m 'new disk tomorrow'",
)
uncordon = _decision(
    "uncordon",
    "Give a node work again, after cordon or drain.",
    "bacalhau node uncordon n-1a2b3c4d",
)


@click.command(
    cls=Command,
    help="Empty a node: it gets nothing new, and what runs there is stopped and placed elsewhere. An execution "
    "of an ops job runs to its end first; one of a daemon job belongs to the node and stays. The node remains "
    "cordoned until 'bacalhau node uncordon'.",
    examples=(
        "bacalhau node drain n-1a2b3c4d -m 'new kernel'",
        "bacalhau node drain --ignore-daemons --timeout 5m0s n-1a2b3c4d",
    ),
)
@click.argument("node_id", metavar="ID")
@_message
@switch("--ignore-daemons", help="Drain it although it runs daemons: they stay.")
@switch("--wait", default=True, help="Wait until it is empty.")
@click.option(
    "--timeout",
    type=options.Duration(),
    default="0s",
    help="How long to wait at most, as 300s or 5m0s; 0 is for ever. It is drained all the same.",
)
@click.pass_obj
def drain(
    caller: Caller, /, *, node_id: str, message: str, ignore_daemons: bool, wait: bool, timeout: float
) -> int:
    progress = _Progress(node_id)

    async def work(client: Client) -> None:
        await _begin(client, node_id, message, ignore_daemons=ignore_daemons)
        until = time.monotonic() + (timeout or float("inf"))
        while wait and not progress.over(await client.node(node_id)):
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            await asyncio.sleep(min(left, _LOOK_EVERY))

    try:
        caller.call(work)
    except TimeoutError:
        notices.error(
            f"node {node_id} is not empty after {timeout:g} s: {progress.left()}",
            hint=f"it goes on; run it again to wait longer, or stop it: bacalhau node uncordon {node_id}",
        )
        return exits.WAITED_TOO_LONG
    except KeyboardInterrupt:
        notices.warn(f"no longer watching; node {node_id} goes on draining")
        return exits.INTERRUPTED
    render.line("Ok")
    return exits.OK


async def _begin(client: Client, node_id: str, message: str, *, ignore_daemons: bool) -> None:
    """Start the drain; one that was started before is watched."""
    if _scheduling(await client.node(node_id)).get("State") in ("DRAINING", "DRAINED"):
        notices.say(f"Node {node_id} is drained already.")
        return
    await client.decide(node_id, "drain", message=message, ignore_daemons=ignore_daemons)
    notices.say(f"Node {node_id} is cordoned; Ctrl-C stops watching, not the drain.")


def _scheduling(node: Mapping[str, Any]) -> dict[str, Any]:
    return node.get("Scheduling") or {}


class _Progress:
    """Says which executions have left the node since it was last looked at."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._left: list[str] | None = None

    def over(self, node: Mapping[str, Any]) -> bool:
        """Take how the node is now; say whether nothing is left to wait for."""
        state = _scheduling(node)
        if state.get("State") not in ("DRAINING", "DRAINED"):
            raise Conflict(
                f"somebody has opened node {self._node_id} again", hint="its work may stay there now"
            )
        left: list[str] = list(state.get("Remaining") or [])
        if self._left is None and left:
            notices.say(f"{len(left)} to go: {_some(left)}")
        gone = [one for one in self._left or () if one not in left]
        if gone:
            notices.say(f"{_some(gone)} left, {len(left)} to go")
        self._left = left
        if not left and state.get("Daemons"):
            notices.say(f"Daemons stay: {_some(state['Daemons'])}")
        return not left

    def left(self) -> str:
        """Name what has not left yet."""
        return _some(self._left or [])


def _some(ids: list[str]) -> str:
    shown = ", ".join(short(one) for one in ids[:_MANY])
    return f"{shown} and {len(ids) - _MANY} more" if len(ids) > _MANY else shown
