"""The sections `JobDefaults` and `JobAdmissionControl`: what a job gets when it is silent, what a node takes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ValidationInfo, field_validator

from bacalhau_nats.settings.section import Section, key, part
from bacalhau_nats.settings.values import Duration, Lower, Text, check_amount


class ResourceDefaults(Section):
    """Resources of a task that does not say."""

    cpu: Text = key("500m", "CPU of a task that does not say: cores such as 0.5 or 500m.")
    memory: Text = key("512Mb", "Memory of a task that does not say.")
    disk: Text = key("", "Disk of a task that does not say.")
    gpu: Text = key("", "GPUs of a task that does not say.")

    @field_validator("cpu", "memory", "disk", "gpu")
    @classmethod
    def _readable(cls, text: str, info: ValidationInfo) -> str:
        check_amount(info.field_name or "", text)
        return text


class PublisherDefaults(Section):
    """The publisher of a task that does not say."""

    type: Text = key("", "Publisher of a task that does not say.")
    params: dict[str, str] = key(dict, "Parameters of that publisher.")


class TimeoutDefaults(Section):
    """Time limits of a task that does not say."""

    total_timeout: Duration = key(0.0, "Limit of a job from submission to end; 0 means none.", ge=0)
    execution_timeout: Duration = key(0.0, "Limit of one execution; 0 means none.", ge=0)


class FiniteTaskDefaults(Section):
    """Defaults of a task that ends."""

    resources: ResourceDefaults = part(ResourceDefaults)
    publisher: PublisherDefaults = part(PublisherDefaults)
    timeouts: TimeoutDefaults = part(TimeoutDefaults)


class EndlessTaskDefaults(Section):
    """Defaults of a task that runs until it is stopped."""

    resources: ResourceDefaults = part(ResourceDefaults)


class FiniteJobDefaults(Section):
    """Defaults of batch or ops jobs."""

    priority: int = key(0, "Priority of a job that does not say.")
    task: FiniteTaskDefaults = part(FiniteTaskDefaults)


class EndlessJobDefaults(Section):
    """Defaults of service or daemon jobs."""

    priority: int = key(0, "Priority of a job that does not say.")
    task: EndlessTaskDefaults = part(EndlessTaskDefaults)


class JobDefaultsSettings(Section):
    """What a gateway fills in where a job is silent, by type of job."""

    batch: FiniteJobDefaults = part(FiniteJobDefaults)
    ops: FiniteJobDefaults = part(FiniteJobDefaults)
    daemon: EndlessJobDefaults = part(EndlessJobDefaults)
    service: EndlessJobDefaults = part(EndlessJobDefaults)


class JobAdmissionControlSettings(Section):
    """Which jobs a compute node takes."""

    locality: Annotated[Literal["anywhere", "local"], Lower] = key(
        "anywhere", "Whether inputs must be local to this node (local) or not (anywhere)."
    )
    reject_stateless_jobs: bool = key(False, "Whether to decline jobs without inputs.")
    reject_networked_jobs: bool = key(False, "Whether to decline jobs that want a network.")
    probe_http: Text = key("", "URL that is asked whether to take a job.")
    probe_exec: Text = key("", "Command that is asked whether to take a job.")
