"""Flags of Bacalhau's `get` up to 1.6 that pages and scripts still carry: taken, and said what became of them.

Bacalhau had an IPFS node inside until 1.4; its flags have nothing to act on. `--ipfs-connect` has: it names the
IPFS node to fetch results from, today's `ResultDownloaders.Types.IPFS.Endpoint`.
"""

from __future__ import annotations

from typing import Any

import click

from bacalhau_cli import notices
from bacalhau_cli.context import Caller
from bacalhau_cli.exits import WrongFlags
from bacalhau_cli.groups import switch
from bacalhau_cli.options import Decorator, together

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
