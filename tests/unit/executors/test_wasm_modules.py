"""Compiled modules are kept, trusted only when they are ours, and replaced when they do not fit."""

import os

import pytest
from wasmtime import Engine, Module

from bacalhau_nats.executors.wasm_modules import ModuleStore, digest_of

from .guests import BUILT

NOOP = (BUILT / "noop.wasm").read_bytes()
EXIT = (BUILT / "exit.wasm").read_bytes()


@pytest.fixture
def compiled(monkeypatch):
    """How often a module was compiled."""
    counted = []
    original = Module.__init__

    def counting(self, engine, wasm):
        counted.append(len(wasm))
        original(self, engine, wasm)

    monkeypatch.setattr(Module, "__init__", counting)
    return counted


def load(store, wasm=NOOP):
    return store.load(Engine(), wasm, digest_of(wasm), "main.wasm")


def test_a_module_is_compiled_once_even_for_the_next_process(tmp_path, compiled):
    load(ModuleStore(tmp_path, 10**9))
    load(ModuleStore(tmp_path, 10**9))
    assert len(compiled) == 1
    (kept,) = tmp_path.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_file_others_can_change_is_not_run(tmp_path, compiled):
    store = ModuleStore(tmp_path, 10**9)
    load(store)
    next(tmp_path.iterdir()).chmod(0o666)
    load(store)
    assert len(compiled) == 2


def test_a_link_to_somebody_elses_file_is_not_run(tmp_path, compiled):
    store = ModuleStore(tmp_path / "store", 10**9)
    load(store)
    kept = next((tmp_path / "store").iterdir())
    kept.rename(tmp_path / "elsewhere")
    kept.symlink_to(tmp_path / "elsewhere")
    load(store)
    assert len(compiled) == 2
    assert not kept.is_symlink()


def test_a_file_of_another_wasmtime_is_compiled_again(tmp_path, compiled):
    store = ModuleStore(tmp_path, 10**9)
    load(store)
    kept = next(tmp_path.iterdir())
    kept.write_bytes(b"what another version wrote")
    load(store)
    load(store)
    assert len(compiled) == 2


def test_the_least_recently_used_leave_when_the_disk_limit_is_reached(tmp_path, compiled):
    store = ModuleStore(tmp_path, 1)
    load(store, NOOP)
    old = next(tmp_path.iterdir())
    os.utime(old, (1, 1))
    load(store, EXIT)
    assert [path.stem for path in tmp_path.iterdir()] == [digest_of(EXIT)]


def test_half_a_file_of_a_killed_process_is_removed(tmp_path):
    (tmp_path / "x.tmp").write_text("half")
    ModuleStore(tmp_path, 1)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_only_costs_the_next_compile(tmp_path, monkeypatch, caplog):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    assert load(ModuleStore(tmp_path, 1)).exports
    assert "No space left" in caplog.text
