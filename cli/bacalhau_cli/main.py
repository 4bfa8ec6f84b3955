"""The program ``bacalhau``: the tree of commands, and what an error turns into.

Exit codes are listed in `exits`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from bacalhau_cli import exits, notices
from bacalhau_cli.context import Caller
from bacalhau_cli.groups import Group
from bacalhau_cli.suggestions import Unknown
from bacalhau_nats.errors import BacalhauError, WrongArgument

PROGRAM = "bacalhau"
VARIABLE = "_BACALHAU_COMPLETE"
"""The variable with which a shell asks for completions."""

root = Group(
    "bacalhau",
    help="Run jobs where the data is: a compute-over-data orchestrator on NATS.",
    epilog="\b\nTo begin:\n"
    "  bacalhau serve --orchestrator --compute          # a node that is everything\n"
    "  bacalhau docker run busybox:1.37 -- echo hello  # in another terminal\n"
    "  bacalhau job list\n\n"
    "Exit codes: 0 done, 1 the command failed, 2 wrong command line, 3 the job failed, 4 it was stopped, "
    "5 not over in time, 130 interrupted, 141 nobody reads the output any more.",
    lazy={
        "agent": ("agent:agent", "Ask the server about itself."),
        "auth": ("auth:auth", "Log in, log out, and see which credential is used."),
        "completion": ("completion:completion", "Make a shell complete commands, options and ids."),
        "config": ("config:config", "Show and change the configuration."),
        "devstack": ("devstack:devstack", "Start a whole cluster on this machine, to try things."),
        "docker": ("docker:docker", "Run docker images."),
        "help": ("help:help_", "Show the help of a command."),
        "job": ("job:job", "Submit, look at and stop jobs, and fetch their results."),
        "node": ("node:node", "Look at the nodes of the cluster, and decide about them."),
        "profile": ("profile:profile", "Keep servers by name, and switch between them."),
        "serve": ("serve:serve", "Start a node: orchestrator, compute or both."),
        "version": ("version:version", "Show the versions of this client and of the server."),
        "wasm": ("wasm:wasm", "Run WebAssembly modules."),
    },
)


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit."""
    # httpx has a command line of its own, which it imports where rich is there, and a transport for another event
    # loop, where that is there: a third of our start, for nothing.
    for unused in ("httpx._main", "trio"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type] # "there is none", as import reads it
    if Path(".env").is_file():
        _read_dotenv()
    environ = dict(os.environ)  # noqa: TID251 - the one place where the CLI reads it
    sys.exit(run(sys.argv[1:] if args is None else args, Caller(environ)))


def _read_dotenv() -> None:
    """Set what ``.env`` in this folder sets, as Bacalhau does; what is set already stays."""
    from dotenv import load_dotenv  # noqa: PLC0415 - seldom there

    try:
        load_dotenv(".env", override=False)
    except (OSError, UnicodeDecodeError) as error:
        notices.warn(f"the file .env cannot be read: {error}")


def run(args: list[str], caller: Caller) -> int:
    """Run one command line and give its exit code; every error becomes one line on stderr and a hint."""
    notices.set_up(caller.environ)
    if instruction := caller.environ.get(VARIABLE):
        from bacalhau_cli.shells import answer  # noqa: PLC0415 - only to complete

        return answer(root, caller, instruction)
    debug = caller.environ.get("DEBUG", "").lower() in ("1", "true")
    try:
        code = root.main(args, prog_name=PROGRAM, standalone_mode=False, obj=caller)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "bacalhau"
        hint = error.hint if isinstance(error, Unknown) else f"'{path} --help' shows how it is used"
        notices.error(error.format_message().rstrip("."), hint=hint)
        return exits.USAGE
    except click.ClickException as error:
        notices.error(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        notices.error("interrupted")
        return exits.INTERRUPTED
    except (BrokenPipeError, SystemExit):
        # Whoever read our output has seen enough (`| head`); click, too, ends the program for that, and only for that.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return exits.READER_GONE
    except Exception as error:
        if debug:
            raise
        _tell(error)
        return exits.USAGE if isinstance(error, WrongArgument) else exits.FAILED
    return code if isinstance(code, int) else exits.OK


def _tell(error: BaseException) -> None:
    """Say every failure that an error holds, each once."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            _tell(inner)
    elif isinstance(error, BacalhauError):
        notices.error(error.message, hint=error.hint)
    else:
        notices.error(f"{type(error).__name__}: {error}", hint="run it again with DEBUG=true to see where")
