"""How commands are found and how their command line is read.

Commands are loaded when they are called, so that ``--help`` imports none of them. The command line follows
Go's habits where people know them from Bacalhau: global options may stand anywhere, a switch may be written
``--wait=false``, a short option ``-p=local``, and lists may be separated with commas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from bacalhau_cli import completers, notices
from bacalhau_cli.context import Caller
from bacalhau_cli.suggestions import Unknown, did_you_mean, near

_TRUE = frozenset({"1", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "f", "false", "n", "no"})
_GLOBAL = "global_"  # begins the names of the options that every command takes
HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class Switch(click.Option):
    """A yes-or-no option that also takes ``=true`` and ``=false``; ``--no-NAME`` works but is not listed."""

    def __init__(self, names: list[str], **settings: Any) -> None:
        long = next(name for name in names if name.startswith("--"))
        settings.setdefault("default", False)
        variable = long.removeprefix("--").replace("-", "_")
        super().__init__(
            [variable, *(n for n in names if n != long), f"{long}/--no-{long[2:]}"], is_flag=True, **settings
        )

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:  # noqa: ARG002 - click's signature
        """List it without its negative; say ``(default true)`` where that is so."""
        names = ", ".join(sorted(self.opts, key=len))
        note = "  [default: true; --x=false turns it off]".replace("--x", max(self.opts, key=len))
        return None if self.hidden else (names, (self.help or "") + (note if self.default is True else ""))


def switch(*names: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a `Switch`."""
    return click.option(*names, cls=Switch, **settings)


class _Helpful(click.Command):
    """What commands and groups share: unknown options are answered with what was perhaps meant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse. Raises Unknown for an option that is not there."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            meant = near(error.option_name, _listed(self.params))
            hint = did_you_mean(meant) or f"'{ctx.command_path} --help' lists the options"
            raise Unknown(f"'{ctx.command_path}' has no option {error.option_name}", ctx, hint) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the command's own options first, then those that every command takes."""
        records: dict[str, list[tuple[str, str]]] = {"Options": [], "Global options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            # An argument without a text says no more than the line of usage does.
            if record is not None and (record[1] or isinstance(param, click.Option)):
                everywhere = param.name is not None and param.name.startswith(_GLOBAL)
                records["Global options" if everywhere else "Options"].append(record)
        for title, rows in records.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        if isinstance(self, Group):
            self.format_commands(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete options; the negative of a switch is understood, but not offered."""
        found = super().shell_complete(ctx, incomplete)
        unlisted = {name for param in self.params for name in param.secondary_opts}
        return [item for item in found if item.value not in unlisted]


def _listed(params: Iterable[click.Parameter]) -> list[str]:
    """Name the options that people are told of."""
    return [
        name
        for param in params
        if isinstance(param, click.Option) and not param.hidden
        for name in param.opts
        if name.startswith("--")
    ] + ["--help"]


class Command(_Helpful):
    """A command that takes the global options too; ``examples`` are command lines that its help shows."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        settings.setdefault("context_settings", HELP_NAMES)
        own = list(settings.get("params") or [])
        for param in own:
            completers.attach(param)
        taken = {name for param in own for name in param.opts}
        # A command's own option of the same name (`config set --config`) wins.
        settings["params"] = [*own, *(o for o in global_options() if taken.isdisjoint(o.opts))]
        super().__init__(*args, **settings)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the examples, each on a line of its own."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        super().format_epilog(ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite what click does not know, then parse."""
        ctx.meta["given arguments"] = list(args)  # for a hint that repeats them
        return super().parse_args(ctx, list(rewrite(args, self.params)))


def rewrite(args: Iterable[str], params: Iterable[click.Parameter]) -> Iterable[str]:
    """Turn ``--switch=false`` into ``--no-switch`` and ``-x=value`` into ``-xvalue``; stop at ``--``."""
    switches = {name for p in params if isinstance(p, Switch) for name in p.opts}
    shorts = {
        name
        for p in params
        if isinstance(p, click.Option)
        for name in p.opts
        if len(name) == 2  # noqa: PLR2004 - as in -x
    }
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            yield arg
            yield from rest
            return
        name, equals, value = arg.partition("=")
        if equals and name in switches and value.lower() in _TRUE | _FALSE:
            long = name if name.startswith("--") else _long(name, params)
            yield long if value.lower() in _TRUE else f"--no-{long[2:]}"
        elif equals and name in shorts:
            yield name + value
        else:
            yield arg


def _long(short: str, params: Iterable[click.Parameter]) -> str:
    opts = next(p.opts for p in params if short in p.opts)
    return max(opts, key=len)


class Group(_Helpful, click.Group):
    """Commands by name, each loaded from ``module:attribute`` when it is needed.

    With ``profile`` the group and all below it take ``--profile``.
    """

    def __init__(
        self, name: str, *, lazy: Mapping[str, tuple[str, str]], profile: bool = False, **settings: Any
    ) -> None:
        settings.setdefault("context_settings", HELP_NAMES)
        settings["params"] = [*(settings.get("params") or []), *global_options()]
        settings.setdefault("subcommand_metavar", "COMMAND [ARGS]...")
        settings.update(no_args_is_help=False, invoke_without_command=True)
        super().__init__(name, **settings)
        self._lazy = dict(lazy)
        self._profile = profile
        if profile:
            self.params.append(profile_option())

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the commands in the order of the table."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load a command."""
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"bacalhau_cli.commands.{module}"), attribute)
        if self._profile and not any("--profile" in param.opts for param in command.params):
            command.params.append(profile_option())
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; show the help when none is named."""
        if not ctx._protected_args and not ctx.args:  # noqa: SLF001 - click has no public name for it
            click.echo(ctx.get_help())
            return None
        return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was perhaps meant."""
        if args[0] not in self._lazy and not args[0].startswith("-"):
            meant = [f"'bacalhau {path}'" for path in elsewhere(ctx.find_root(), args[0])]
            meant += [f"'{ctx.command_path} {name}'" for name in near(args[0], self._lazy)]
            hint = did_you_mean(meant) or f"'{ctx.command_path} --help' lists the commands"
            raise Unknown(f"'{ctx.command_path}' has no command {args[0]!r}", ctx, hint)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete commands from the table, and options: nothing is imported."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only to complete

        commands = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in self._lazy.items()
            if name.startswith(incomplete)
        ]
        own = {item.value for item in commands}
        return [*commands, *(i for i in _Helpful.shell_complete(self, ctx, incomplete) if i.value not in own)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands from the table: nothing is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self._lazy.items()])


_FORMER = {"cancel": "job stop", "create": "job run", "id": "agent node"}
"""Commands that Bacalhau had before 1.4 under other names."""


def elsewhere(root: click.Context, name: str) -> list[str]:
    """Find the commands of other groups with this name."""
    if name in _FORMER:
        return [_FORMER[name]]
    found = []
    groups = root.command.list_commands(root) if isinstance(root.command, Group) else []
    for path in groups:
        command = root.command.get_command(root, path)  # type: ignore[attr-defined]
        if isinstance(command, Group) and name in command.list_commands(root):
            found.append(f"{path} {name}")
    return found


def global_options() -> list[click.Option]:
    """Give the options that every command takes; what they say ends up in the `Caller`."""
    return [
        _global(
            "config",
            ["-c", "--config"],
            multiple=True,
            metavar="KEY=VALUE|FILE",
            help="Set a configuration key, or read a .yaml file. Repeatable.",
        ),
        _global("api_host", ["--api-host"], metavar="HOST", help="Server to talk to: a host or a whole URL."),
        _global("api_port", ["--api-port"], type=int, metavar="PORT", help="Its port."),
        _global("data_dir", ["--data-dir"], metavar="DIR", help="Folder of this node's or user's data."),
        _global("log_level", ["--log-level"], hidden=True, help="Use -c Logging.Level= instead."),
        _global("quiet", ["--quiet"], is_flag=True, help="Say nothing but data and errors."),
    ]


def profile_option() -> click.Option:
    """Give the option of commands that ask a server."""
    return _global(
        "profile",
        ["--profile"],
        metavar="NAME",
        help="Profile to use: a server with its token and time limit.",
    )


def _global(name: str, names: list[str], **settings: Any) -> click.Option:
    def keep(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        caller = ctx.find_object(Caller)
        if name == "quiet":
            notices.hush(wanted=bool(value))
        elif caller is not None and value not in (None, ()):
            caller.given[name] = (*caller.given.get(name, ()), *value) if name == "config" else value

    # A prefix keeps them apart from a command's own options of that name (`config set --config`).
    option = click.Option([f"{_GLOBAL}{name}", *names], expose_value=False, callback=keep, **settings)
    completers.attach(option)
    return option
