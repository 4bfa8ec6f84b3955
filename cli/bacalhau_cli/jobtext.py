"""Where the text of a job comes from: a file or stdin, its template filled in with what the user gives."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bacalhau_cli import notices
from bacalhau_cli.exits import WrongFlags
from bacalhau_cli.groups import switch
from bacalhau_cli.options import Decorator, collected, together
from bacalhau_nats.client import jobfile, shorthand
from bacalhau_nats.errors import UserError

_STDIN = "-"
_ANY = "*"


@dataclass(frozen=True)
class Templating:
    """What a job's text is filled in with; ``envs`` is a pattern for the names of environment variables."""

    wanted: bool = True
    variables: tuple[str, ...] = ()
    envs: str = ""

    def fill_in(self, text: str, name: str, environ: Mapping[str, str]) -> str:
        """Fill a text in; variables win over the environment. Raises InvalidSpec, WrongFlags."""
        values = self._values(environ)  # wrong flags are wrong whatever the text is
        if not self.wanted or "{{" not in text:
            return text
        from bacalhau_cli.gotemplate import fill_in  # noqa: PLC0415 - most job files are no templates

        return fill_in(text, values, name)

    def _values(self, environ: Mapping[str, str]) -> dict[str, str]:
        values: dict[str, str] = {}
        if self.envs:
            try:
                pattern = re.compile(".*" if self.envs == _ANY else self.envs)
            except re.error as error:
                raise WrongFlags(
                    f"--template-envs {self.envs!r} is not a regular expression: {error}",
                    hint="write it as 'JOB_.*'; '*' is every variable",
                ) from None
            values.update((key, value) for key, value in environ.items() if pattern.search(key))
        for part in shorthand.split(self.variables):
            name, equals, value = part.partition("=")
            if not equals or not name:
                raise WrongFlags(
                    f"--template-vars: {part!r} is not NAME=VALUE", hint="write --template-vars a=1,b=2"
                )
            values[name] = value
        return values


def template_options() -> Decorator:
    """What ``{{ }}`` in a job file is filled in with; given as one `Templating` named ``templating``."""
    flags = together(
        click.option(
            "-V",
            "--template-vars",
            multiple=True,
            metavar="NAME=VALUE",
            help="Value of {{.NAME}} in the job file. Repeatable, or with commas.",
        ),
        click.option(
            "-E",
            "--template-envs",
            default="",
            metavar="REGEX",
            help="Take values from the environment variables whose name matches; '*' is all.",
        ),
        switch("--no-template", help="Leave {{ }} in the job file as it is."),
    )

    def make(template_vars: tuple[str, ...], template_envs: str, no_template: bool) -> Templating:
        return Templating(not no_template, template_vars, template_envs)

    return collected(flags, ("template_vars", "template_envs", "no_template"), "templating", make)


def read(files: Sequence[str], templating: Templating, environ: Mapping[str, str]) -> jobfile.JobFile:
    """Read the job from the first file, or from stdin (none, or ``-``). Raises InvalidSpec, UserError."""
    file, *others = files or (_STDIN,)
    if others:
        notices.warn(f"only {file} is read; ignored: {', '.join(others)}")
    name = "stdin" if file == _STDIN else file
    text = _text(file, name)
    return jobfile.read(templating.fill_in(text, name, environ), name)


def _text(file: str, name: str) -> str:
    if file == _STDIN and sys.stdin.isatty():
        notices.say("Reading the job from the terminal; end it with Ctrl-D.")
    try:
        if file == _STDIN:
            return sys.stdin.read().removeprefix("\ufeff")
        return Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}", hint=_hint(file)) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not a text file: {error.reason} at byte {error.start}") from error
    except ValueError as error:  # a NUL in the name
        raise UserError(f"{name!r} is not the name of a file: {error}") from error


def _hint(file: str) -> str:
    if file.startswith(("http://", "https://")):
        return f"fetch it first: curl -fsS {file} | bacalhau job run -"
    return ""
