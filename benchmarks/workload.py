"""The jobs that are submitted, as the public API takes them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import wasmtime

Job = dict[str, Any]

MODULES = Path(__file__).resolve().parent.parent / "wasm" / "built"
TICKER = Path(__file__).resolve().parent / "ticker.wat"
IMAGE = "busybox:1.37"
_TARGET = "/main.wasm"


def noop() -> Job:
    """Do nothing, in the engine that does nothing."""
    return _job({"Type": "noop", "Params": {}})


def wasm_noop() -> Job:
    """Run an 81-byte module that returns at once."""
    return wasm((MODULES / "noop.wasm").read_bytes())


def wasm_sleep(seconds: float, *, cpu: str = "") -> Job:
    """Sleep in a WASM module, silently but for its first and last lines."""
    interval = str(int(seconds * 1000))
    return wasm((MODULES / "sleep.wasm").read_bytes(), str(seconds), interval, cpu=cpu)


def wasm_ticker() -> Job:
    """Print the clock (nanoseconds since 1970) 200 times, every 20 ms."""
    return wasm(bytes(wasmtime.wat2wasm(TICKER.read_text())))


def docker(*command: str) -> Job:
    """Run ``command`` in a container without a network."""
    job = _job({"Type": "docker", "Params": {"Image": IMAGE, "Parameters": list(command)}})
    job["Tasks"][0]["Network"] = {"Type": "None"}
    return job


def wasm(module: bytes, *parameters: str, cpu: str = "") -> Job:
    """Run a module that the job carries with it."""
    job = _job(
        {
            "Type": "wasm",
            "Params": {"EntryModule": _TARGET, "Entrypoint": "_start", "Parameters": list(parameters)},
        }
    )
    url = "data:application/wasm;base64," + base64.b64encode(module).decode()
    task = job["Tasks"][0]
    task["InputSources"] = [{"Target": _TARGET, "Source": {"Type": "inline", "Params": {"URL": url}}}]
    if cpu:
        task["Resources"] = {"CPU": cpu}
    return job


def _job(engine: dict[str, Any]) -> Job:
    return {"Type": "batch", "Tasks": [{"Name": "main", "Engine": engine}]}
