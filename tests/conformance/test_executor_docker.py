"""The docker engine does what every executor must do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.testing.executors import EngineCase, Program, checks_for
from tests.support.docker import IMAGE, Bench

pytestmark = pytest.mark.docker


def docker(*command: str) -> Program:
    return Program(SpecConfig(type="docker", params={"Image": IMAGE, "Parameters": list(command)}))


def show(arguments: Sequence[str]) -> Program:
    return docker("sh", "-c", 'for a; do printf "%s\\n" "$a"; done; env; echo done >&2', "sh", *arguments)


CASE = EngineCase(
    say=lambda text: docker("echo", text),
    exit_with=lambda code: docker("sh", "-c", f"exit {code}"),
    sleep=lambda seconds: docker("sleep", str(seconds)),
    cannot_start=docker("no-such-program"),
    cat=lambda path: docker("cat", path),
    show=show,
    write=lambda path, text: docker("sh", "-c", 'printf %s "$1" > "$2"', "sh", text, path),
    spin=docker("sh", "-c", "while :; do :; done"),
)


@pytest.mark.parametrize("name", checks_for(CASE))
async def test_docker(name, tmp_path):
    bench = Bench(tmp_path)

    async def leftovers() -> Sequence[str]:
        return [item["Names"][0] for item in bench.containers()]

    try:
        async with bench.open() as executor:
            await checks_for(CASE)[name](executor, replace(CASE, leftovers=leftovers), tmp_path)
        assert not bench.containers()
    finally:
        bench.close()
