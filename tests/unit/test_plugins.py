"""Plugins are found by name, loaded only when used, and may be missing without taking a node down."""

from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bacalhau_nats import plugins
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.errors import UnknownPlugin
from bacalhau_nats.executors.noop import NoopExecutor, open_noop
from bacalhau_nats.ports import PluginContext

closed: list[str] = []


@asynccontextmanager
async def open_good(context):
    yield context.settings["name"]
    closed.append(context.settings["name"])


@asynccontextmanager
async def open_bad(context):
    msg = "the daemon is not there"
    raise RuntimeError(msg)
    yield


@pytest.fixture
def group(monkeypatch):
    """An entry-point group of our own, without installing a distribution."""
    here = __name__
    entries = [
        EntryPoint("Good", f"{here}:open_good", "test.things"),
        EntryPoint("second", f"{here}:open_good", "test.things"),
        EntryPoint("bad", f"{here}:open_bad", "test.things"),
        EntryPoint("absent", "no_such_module_anywhere:open", "test.things"),
    ]
    plugins._scan.cache_clear()
    monkeypatch.setattr(plugins, "entry_points", lambda **_: entries)
    yield "test.things"
    plugins._scan.cache_clear()


def context_for(name):
    return PluginContext("test", NodeID("n-1"), Path(), {"name": name})


def test_the_installed_engines_are_known_by_name():
    assert {"docker", "noop", "wasm"} <= set(plugins.known(plugins.EXECUTORS))


def test_a_name_is_matched_without_regard_to_case():
    assert plugins.find(plugins.EXECUTORS, " NoOp") is open_noop


def test_an_unknown_name_is_refused_and_the_hint_names_what_is_installed():
    with pytest.raises(UnknownPlugin, match="no executor plugin is called 'firecracker'") as caught:
        plugins.find(plugins.EXECUTORS, "firecracker")
    assert "noop" in caught.value.hint


async def test_opened_plugins_are_closed_last_first(group):
    closed.clear()
    async with plugins.open_plugins(group, ["GOOD", "second"], context_for) as opened:
        assert dict(opened) == {"good": "good", "second": "second"}
        assert opened["Good"] == "good"
        assert closed == []
    assert closed == ["second", "good"]


async def test_a_plugin_that_cannot_open_or_load_is_left_out_with_its_reason(group, caplog):
    async with plugins.open_plugins(group, ["bad", "absent", "good"], context_for) as opened:
        assert list(opened) == ["good"]
        assert opened.unavailable["bad"] == "the daemon is not there"
        assert "no_such_module_anywhere" in opened.unavailable["absent"]
    assert "thing plugin bad cannot be used: the daemon is not there" in caplog.text


async def test_a_mistyped_name_stops_before_anything_is_opened(group):
    closed.clear()
    with pytest.raises(UnknownPlugin):
        async with plugins.open_plugins(group, ["good", "goood"], context_for):
            pass
    assert closed == []


async def test_the_real_noop_engine_opens():
    async with plugins.open_plugins(plugins.EXECUTORS, ["noop"], context_for) as opened:
        assert isinstance(opened["noop"], NoopExecutor)
