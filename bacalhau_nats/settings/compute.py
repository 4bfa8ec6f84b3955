"""The section `Compute`: a node that does the work, and what of its machine it gives."""

from __future__ import annotations

from typing import Self

from pydantic import ValidationInfo, field_validator, model_validator

from bacalhau_nats.domain.resources import Resources, normalise, parse_bytes, parse_cpu, parse_gpu
from bacalhau_nats.settings.orchestrator import TokenSettings
from bacalhau_nats.settings.section import Section, key, part
from bacalhau_nats.settings.values import Duration, ServerURL, Size, Text, check_amount


class ComputeTLSSettings(Section):
    """TLS towards the NATS server."""

    ca_cert: Text = key("", "Authorities (PEM) trusted on the bus instead of the system's.")
    require_tls: bool = key(False, "Whether to refuse a NATS server without TLS.")


class HeartbeatSettings(Section):
    """How often a node speaks."""

    info_update_interval: Duration = key(60.0, "Time between looks at what this node can do.", gt=0)
    interval: Duration = key(3.0, "Time between heartbeats.", gt=0)
    resource_update_interval: Duration = key(
        0.0, "Time between reports of free resources; they ride on heartbeats.", unused=True, ge=0
    )


class AllocatedCapacity(Section):
    """How much of the machine work may use: a share (``80%``) or an amount (``4``, ``16GiB``)."""

    cpu: Text = key("80%", "CPU given to work: a share such as 80%, or cores such as 4 or 500m.")
    memory: Text = key("80%", "Memory given to work: a share such as 80%, or a size such as 16GiB.")
    disk: Text = key("80%", "Free disk given to work: a share such as 80%, or a size such as 100GB.")
    gpu: Text = key("100%", "GPUs given to work: a share such as 100%, or a number.")

    @field_validator("cpu", "memory", "disk", "gpu")
    @classmethod
    def _readable(cls, text: str, info: ValidationInfo) -> str:
        if percent(text) is None:
            check_amount(info.field_name or "", text)
        return text


class EnvSettings(Section):
    """What of this node's environment a job may see."""

    allow_list: tuple[str, ...] = key((), "Names, with * as wildcard, a job may read with env:NAME.")


class NetworkSettings(Section):
    """Ports that work on this node may open."""

    advertised_address: Text = key("", "Address under which open ports are reached; empty means to find it.")
    port_range_start: int = key(20000, "First port given to work.", ge=1, le=65535)
    port_range_end: int = key(32000, "Last port given to work.", ge=1, le=65535)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.port_range_start > self.port_range_end:
            raise ValueError("PortRangeStart must not be above PortRangeEnd")
        return self


class ComputeLogSettings(Section):
    """How much output one execution may send over the bus."""

    quota: Size = key(64 * 1024**2, "Output of one execution kept on the bus; what follows is cut off.", gt=0)
    rate: Size = key(0, "Bytes of output a second one execution may send; 0 means no limit.", ge=0)


class ComputeSettings(Section):
    """The doing side of a node."""

    enabled: bool = key(False, "Whether this node runs work.")
    orchestrators: tuple[ServerURL, ...] = key(
        ("nats://127.0.0.1:4222",), "NATS servers through which orchestrators are reached.", min_length=1
    )
    auth: TokenSettings = part(TokenSettings)
    tls: ComputeTLSSettings = part(ComputeTLSSettings)
    heartbeat: HeartbeatSettings = part(HeartbeatSettings)
    allocated_capacity: AllocatedCapacity = part(AllocatedCapacity)
    allow_listed_local_paths: tuple[str, ...] = key(
        (), "Local paths jobs may use: globs, each with :ro (the default) or :rw at its end."
    )
    env: EnvSettings = part(EnvSettings)
    network: NetworkSettings = part(NetworkSettings)
    disk_reserve: Size = key(
        100_000_000,
        "Free disk below which this node takes no work, and fails work that still writes; 0 for any.",
        ge=0,
    )
    hold_time: Duration = key(3.0, "How long the room promised in a bid is held.", gt=0)
    shutdown_grace: Duration = key(
        5.0, "How long running work may go on when the node is told to stop.", ge=0
    )
    logs: ComputeLogSettings = part(ComputeLogSettings)


def percent(text: str) -> float | None:
    """Read ``80%`` as 0.8; None when the text is an amount. Raises ValueError outside 0-100 %."""
    cleaned = normalise(text)
    if not cleaned.endswith("%"):
        return None
    try:
        share = float(cleaned[:-1])
    except ValueError:
        share = -1.0
    if not 0 <= share <= 100:  # noqa: PLR2004 - per cent
        raise ValueError("expected a share from 0% to 100% or an amount")
    return share / 100


def allocate(total: Resources, capacity: AllocatedCapacity) -> Resources:
    """Give what a node offers of a machine that has ``total``.

    An amount is taken as said, even beyond ``total``: overcommitting CPU is its owner's right. A share
    of GPUs above 0 % never rounds down to none where there is one. Raises InvalidSpec for an amount
    that does not parse.
    """
    cpu, memory, disk, gpu = (
        percent(text) for text in (capacity.cpu, capacity.memory, capacity.disk, capacity.gpu)
    )
    return Resources(
        milli_cpu=parse_cpu(capacity.cpu) if cpu is None else int(total.milli_cpu * cpu),
        memory=parse_bytes(capacity.memory, "memory") if memory is None else int(total.memory * memory),
        disk=parse_bytes(capacity.disk, "disk") if disk is None else int(total.disk * disk),
        gpu=parse_gpu(capacity.gpu) if gpu is None else _gpus(total.gpu, gpu),
    )


def _gpus(total: int, share: float) -> int:
    return max(1, int(total * share)) if total and share else 0
