"""The set-ups of servers that recorded exchanges need, made of real nodes; see ``tests/exchanges/README.md``."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.acceptance.program import Node, settings
from tests.support.replay import FOLDER, key_set, provider_settings
from tests.unit.client.fake_api import Answer, serving

_PORTS = ("API__Port", "Orchestrator__Port", "Publishers__Types__Local__Port")
_BOTH = ("--orchestrator", "--compute")
_ALONE = {"WebUI__Enabled": "false", "DisableAnalytics": "true", "API__Host": "127.0.0.1"}
_RECORDED = {"Compute__Env__AllowList": "REC_*"}
_BATCH = "JobDefaults__Batch__"
_TASK = f"{_BATCH}Task__"
SETTINGS: dict[str, dict[str, object]] = {
    "solo": _RECORDED,
    "quick": _RECORDED
    | {
        "Orchestrator__Scheduler__QueueBackoff": "1s",
        "Orchestrator__Scheduler__HousekeepingInterval": "1s",
        "Orchestrator__Scheduler__HousekeepingTimeout": "1s",
    },
    "guard": {
        "JobAdmissionControl__RejectNetworkedJobs": "true",
        "Engines__Disabled": "wasm",
        "InputSources__Disabled": "urldownload",
        "Publishers__Disabled": "local",
    },
    "defaults": {
        f"{_BATCH}Priority": 7,
        f"{_TASK}Publisher__Type": "local",
        f"{_TASK}Resources__CPU": "200m",
        f"{_TASK}Resources__Memory": "64Mb",
        f"{_TASK}Timeouts__TotalTimeout": "10m",
        f"{_TASK}Timeouts__ExecutionTimeout": "5m",
        "JobDefaults__Service__Priority": 3,
        "JobDefaults__Daemon__Priority": 4,
        "JobDefaults__Ops__Priority": 5,
        "JobDefaults__Ops__Task__Timeouts__TotalTimeout": "20m",
        "Labels": "env=test,team=blue",
    },
    "secrets": {
        "Orchestrator__Auth__Token": "s3cr3t-token-value",
        "Compute__Auth__Token": "s3cr3t-token-value",
    },
}


def free_port() -> int:
    """Find a port that nobody listens on, below those that the system gives to outgoing connections."""
    for port in random.sample(range(10_000, 20_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@dataclass(frozen=True)
class Setup:
    """The servers of a profile that run."""

    server: str
    bases: Mapping[str, str]
    names: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    """What a request to this server needs that is none of the recorded ones."""


class Profiles:
    """Runs one profile at a time: it stays until another is asked for, or until the end."""

    def __init__(self, command: Path, folder: Path) -> None:
        self._command, self._folder = command, folder
        self._stack = ExitStack()
        self._running: tuple[str, Setup] | None = None
        self._inputs = folder / "inputs"
        (self._inputs / "sub").mkdir(parents=True)
        (self._inputs / "note.txt").write_text("hello from disk\n")
        (self._inputs / "sub" / "deep.txt").write_text("hello from below\n")

    def setup(self, profile: str) -> Setup:
        """Give the servers of a profile, which are started if need be."""
        profile = "solo" if profile == "spoiled" else profile
        if self._running is None or self._running[0] != profile:
            self.close()
            make = {
                "duo": self._duo,
                "manual": self._manual,
                "bare": self._bare,
                "users": self._users,
                "sso": self._sso,
            }.get(profile)
            self._running = profile, make() if make else self._single(profile)
        return self._running[1]

    def close(self) -> None:
        """End what runs."""
        self._running = None
        self._stack.close()

    def _node(self, name: str, *args: str, **more: object) -> Node:
        ports = {key: free_port() for key in _PORTS}
        more = ports | more
        node = Node(
            self._command, self._folder / name, *args, *settings(**more), REC_HOST_VALUE="from-the-host"
        ).start()
        self._stack.callback(node.stop)
        return node

    def _single(self, profile: str) -> Setup:
        more = dict(SETTINGS[profile])
        if profile in ("solo", "quick"):
            more["Compute__AllowListedLocalPaths"] = f"{self._inputs}/**"
        return self._setup(self._node(profile, *_BOTH, **_ALONE, **more).ready())

    def _users(self) -> Setup:
        file = self._folder / "users.yaml"  # JSON is YAML
        file.write_bytes((FOLDER / "users.json").read_bytes())
        found = self._setup(self._node("users", *_BOTH, "-c", str(file), **_ALONE).ready())
        return replace(found, headers={"Authorization": "Bearer ADMIN-KEY-0123456789abcdef"})

    def _sso(self) -> Setup:
        files = self._stack.enter_context(serving())
        files.on("GET /jwks.json", Answer(key_set()))
        provider = [part for one in provider_settings(files.url) for part in ("-c", one)]
        found = self._setup(self._node("sso", *_BOTH, *provider, **_ALONE).ready())
        return replace(found, names={**found.names, "files.url": files.url})

    def _bare(self) -> Setup:
        more = {"Orchestrator__Scheduler__QueueBackoff": "1s"}
        return self._setup(self._node("bare", "--orchestrator", **_ALONE, **more).ready())

    def _manual(self) -> Setup:
        more = {"Orchestrator__NodeManager__ManualApproval": "true"}
        control = self._node("manual", "--orchestrator", **_ALONE, **more).ready()
        compute = self._node("unapproved", "--compute", Compute__Orchestrators=control.nats)
        return self._setup(control, compute.ready())

    def _duo(self) -> Setup:
        control = self._node("control", "--orchestrator", **_ALONE, Labels="role=control").ready()
        amounts = (("zone=a,rack=1", 1, "2gb"), ("zone=b,rack=5", 2, "1gb"))
        computes = [
            self._node(
                f"compute{number}",
                "--compute",
                Compute__Orchestrators=control.nats,
                Labels=labels,
                Compute__AllocatedCapacity__CPU=cpu,
                Compute__AllocatedCapacity__Memory=memory,
            )
            for number, (labels, cpu, memory) in enumerate(amounts, start=1)
        ]
        return self._setup(control, *(node.ready() for node in computes))

    def _setup(self, server: Node, *computes: Node) -> Setup:
        bases, names = {"": server.api}, {"inputs.dir": str(self._inputs)}
        for number, node in enumerate(computes, start=1):
            bases[f"compute{number}"] = node.api
            names[f"compute{number}.id"] = node.node_id
        return Setup(server.node_id, bases, names)
