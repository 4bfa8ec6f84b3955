"""Works for the tests of the wasm engine, from the committed example modules."""

from contextlib import asynccontextmanager
from pathlib import Path

from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.executors.wasm import open_wasm
from bacalhau_nats.ports import PluginContext, Volume
from bacalhau_nats.testing.engine import Extras, Program, make_work

BUILT = Path(__file__).parents[3] / "wasm" / "built"
TARGET = "/programs/main.wasm"


@asynccontextmanager
async def engine(folder, **settings):
    async with open_wasm(PluginContext("test", NodeID("n-test"), folder / "data", settings)) as executor:
        yield executor


def work(folder, module, *parameters, memory=0, env=None, inputs=(), outputs=(), **params):
    """A run of wasm/built/<module>.wasm, or of the file ``module``."""
    source = module if isinstance(module, Path) else BUILT / f"{module}.wasm"
    spec = SpecConfig(type="wasm", params={"EntryModule": TARGET, "Parameters": list(parameters)} | params)
    extras = Extras(env or {}, tuple(inputs), tuple(outputs), Resources(memory=memory))
    return make_work(Program(spec, (Volume(source, TARGET),)), folder, extras)
