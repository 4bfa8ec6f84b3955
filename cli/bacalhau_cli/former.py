"""Flags of Bacalhau's `get` up to 1.6 and of its `devstack`, which pages and scripts carry: taken, and said what they are.

Bacalhau had an IPFS node inside until 1.4; its flags have nothing to act on. `--ipfs-connect` has: it names the
IPFS node to fetch results from, today's `ResultDownloaders.Types.IPFS.Endpoint`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from bacalhau_cli import notices
from bacalhau_cli.context import Caller
from bacalhau_cli.exits import WrongFlags
from bacalhau_cli.groups import switch
from bacalhau_cli.options import WHOLE, Decorator, former, together

ENDPOINT = "ResultDownloaders.Types.IPFS.Endpoint"
_GONE = {
    "--ipfs-serve-path": "the folder",
    "--ipfs-swarm-addr": "the peers",
    "--ipfs-swarm-addrs": "the peers",
    "--ipfs-swarm-key": "the key",
    "--ipfs-profile": "the profile",
    "--ipfs-swarm-listen-addresses": "an address",
    "--ipfs-gateway-listen-addresses": "an address",
    "--ipfs-api-listen-addresses": "an address",
}
_PRIVATE = "the privacy"


def ipfs_flags() -> Decorator:
    """Take the IPFS flags of old; the command itself sees none of them."""
    connect = click.option(
        "--ipfs-connect",
        default=None,
        metavar="ADDRESS",
        expose_value=False,
        callback=_connect,
        help=f"IPFS node to fetch results from, as /ip4/HOST/tcp/PORT or a URL; the same as -c {ENDPOINT}=.",
    )
    dead = [
        click.option(flag, multiple=True, hidden=True, expose_value=False, callback=_dead(flag, what))
        for flag, what in _GONE.items()
    ]
    private = switch(
        "--private-internal-ipfs",
        default=None,
        hidden=True,
        expose_value=False,
        callback=_dead("--private-internal-ipfs", _PRIVATE),
    )
    return together(connect, *dead, private)


def _connect(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    caller = ctx.find_object(Caller)
    if value is None or caller is None:
        return
    if not value.startswith(("/", "http://", "https://")):
        raise WrongFlags(
            f"--ipfs-connect: {value!r} is no address of an IPFS node",
            hint="write it as /ip4/127.0.0.1/tcp/5001 or http://127.0.0.1:5001",
        )
    caller.given["config"] = (*caller.given.get("config", ()), f"{ENDPOINT}={value}")


def _dead(flag: str, what: str) -> Any:
    def say(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value not in (None, ()) and not ctx.resilient_parsing:
            notices.warn(
                f"{flag} has no effect: it set {what} of the IPFS node that the client had inside; "
                "--ipfs-connect names one to fetch from"
            )

    return say


# --- devstack -----------------------------------------------------------------------------------------

_NUMBERS = {"computes": "--compute-nodes", "orchestrators": "--requester-nodes", "hybrids": "--hybrid-nodes"}
_WITHOUT_MEANING = {
    "--bad-computes": "no node here fails on purpose",
    "--bad-compute-actors": "no node here fails on purpose",
    "--cpu-profiling-file": "profile a node with py-spy, for example",
    "--memory-profiling-file": "profile a node with memray, for example",
}


def devstack_flags() -> Decorator:
    """Take the flags that Bacalhau's devstack has besides; `devstack_counts` reads those that are handed on."""
    numbers = [former(flag, instead=name, type=WHOLE) for name, flag in _NUMBERS.items()]
    dead = [
        click.option(
            flag,
            default=None,
            hidden=True,
            expose_value=False,
            callback=partial(_say_without_meaning, why=why),
        )
        for flag, why in _WITHOUT_MEANING.items()
    ]
    return together(*numbers, *dead)


def devstack_counts(others: Mapping[str, int | None], **given: int) -> tuple[int, int, int]:
    """Give how many orchestrators, hybrids and computes are wanted, by either name of their flags."""
    for name, flag in _NUMBERS.items():
        asked = others[flag[2:].replace("-", "_")]
        given[name] = given[name] if asked is None else asked
    return given["orchestrators"], given["hybrids"], given["computes"]


def _say_without_meaning(ctx: click.Context, param: click.Parameter, value: str | None, *, why: str) -> None:
    if value not in (None, "", "0") and not ctx.resilient_parsing:
        notices.warn(f"{param.opts[0]} has no effect: {why}")
