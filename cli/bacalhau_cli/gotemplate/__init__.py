"""Go's text/template over a flat map of strings, as ``job run`` fills in a job file.

::

    text ──lexer──> tokens ──parser──> nodes ──evaluate──> text

What is here behaves as the original does: trim markers, comments, variables, if, with, range, break and
continue, pipelines, parentheses and the predefined functions. Named templates (define, block, template) are
refused by name. One thing is stricter: where Go's printf would put ``%!d(string=x)`` into the job, it is an
error. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from bacalhau_cli.gotemplate.evaluate import evaluate
from bacalhau_cli.gotemplate.parser import parse
from bacalhau_nats.errors import InvalidSpec


def fill_in(text: str, values: Mapping[str, str], name: str = "the job") -> str:
    """Fill a template in; ``name`` is how errors call it.

    Raises InvalidSpec, its message beginning with ``name:line:column``, for what cannot be read, a name that
    has no value, or a function that is given what it cannot take.
    """
    try:
        return evaluate(parse(text, name), dict(values), name)
    except RecursionError:
        raise InvalidSpec(f"{name}: the template nests too deep", hint="write it flatter") from None
