"""Each role's own slice, cut from the one tree of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bacalhau_nats import plugins
from bacalhau_nats.clients.s3 import Place
from bacalhau_nats.clients.s3_signing import DEFAULT_EXPIRATION, ManagedBucket, SigningSettings
from bacalhau_nats.compute.bidder import Rule
from bacalhau_nats.compute.environment import refuses_env
from bacalhau_nats.domain.intake import JobDefaults, TypeDefaults
from bacalhau_nats.domain.locality import CARRIED, LENT, input_digest
from bacalhau_nats.domain.retry import RetryPolicy
from bacalhau_nats.domain.scheduling.plan import Policy
from bacalhau_nats.domain.spec import JobSpec, NetworkType, ResourcesConfig, SpecConfig
from bacalhau_nats.messaging.topology import Topology
from bacalhau_nats.ports import Choosy, Holder, Publisher, Storage
from bacalhau_nats.requester.desk import DeskSettings
from bacalhau_nats.requester.service import RequesterSettings
from bacalhau_nats.settings import Settings
from bacalhau_nats.settings.jobs import EndlessJobDefaults, FiniteJobDefaults

_WORKERS = 64


def requester_settings(settings: Settings) -> RequesterSettings:
    """What a requester needs to know."""
    section = settings.orchestrator
    retry = RetryPolicy(max_attempts=section.scheduler.max_attempts, backoff=section.scheduler.retry_backoff)
    desk = DeskSettings(
        policy=Policy(retry),
        sweep_every=section.scheduler.housekeeping_interval,
        manual_approval=section.node_manager.manual_approval,
    )
    return RequesterSettings(desk, workers=_WORKERS, keep=section.job_retention)


def topology(settings: Settings, *, clustered: bool) -> Topology:
    """The streams of this cell."""
    section = settings.orchestrator
    return Topology(
        replicas=section.replicas or (3 if clustered else 1),
        logs_max_bytes=section.logs.max_bytes,
        logs_max_age=section.logs.max_age,
    )


def job_defaults(settings: Settings) -> JobDefaults:
    """What a job gets where it says nothing."""
    section = settings.job_defaults
    return JobDefaults(
        batch=_finite(section.batch),
        ops=_finite(section.ops),
        service=_endless(section.service),
        daemon=_endless(section.daemon),
    )


def _resources(section: FiniteJobDefaults | EndlessJobDefaults) -> ResourcesConfig:
    given = section.task.resources
    return ResourcesConfig(cpu=given.cpu, memory=given.memory, disk=given.disk, gpu=given.gpu)


def _finite(section: FiniteJobDefaults) -> TypeDefaults:
    publisher, timeouts = section.task.publisher, section.task.timeouts
    return TypeDefaults(
        priority=section.priority,
        resources=_resources(section),
        publisher=SpecConfig(type=publisher.type, params=dict(publisher.params)),
        execution_timeout=int(timeouts.execution_timeout),
        total_timeout=int(timeouts.total_timeout),
    )


def _endless(section: EndlessJobDefaults) -> TypeDefaults:
    return TypeDefaults(priority=section.priority, resources=_resources(section))


def disabled(settings: Settings, group: str) -> frozenset[str]:
    """Name the plugins of a group that this node does not offer: switched off, or nowhere to go."""
    section = {
        plugins.EXECUTORS: settings.engines.disabled,
        plugins.STORAGE: settings.input_sources.disabled,
        plugins.PUBLISHERS: settings.publishers.disabled,
    }[group]
    off = frozenset(name.lower() for name in section)
    ipfs = {
        plugins.STORAGE: settings.input_sources.types.ipfs,
        plugins.PUBLISHERS: settings.publishers.types.ipfs,
    }.get(group)
    return off | {"ipfs"} if ipfs is not None and not ipfs.endpoint else off


def plugin_section(settings: Settings, group: str, name: str) -> Mapping[str, Any]:
    """Give one plugin its own section, with what concerns it from elsewhere in the tree."""
    match group, name:
        case plugins.EXECUTORS, "docker":
            section = settings.engines.types.of(name)
            rejected = settings.job_admission_control.reject_networked_jobs
            window = settings.orchestrator.node_manager.disconnect_timeout
            return section | {"RejectNetworked": rejected, "LostWindow": window}
        case plugins.EXECUTORS, _:
            return settings.engines.types.of(name)
        case plugins.STORAGE, _:
            return _storage_section(settings, name)
        case plugins.PUBLISHERS, "local":
            section = settings.publishers.types.of(name)
            if settings.source("Publishers.Types.Local.Port") == "default":
                section.pop("Port", None)  # not asked for: any free one will do when it is taken
            return section
        case plugins.PUBLISHERS, "s3" | "s3managed":
            return {"DeniedNetworks": settings.input_sources.types.url.denied_networks}
        case _:
            return settings.publishers.types.of(name)


def _storage_section(settings: Settings, name: str) -> Mapping[str, Any]:
    inputs = settings.input_sources
    patience = {"ReadTimeout": inputs.read_timeout, "MaxRetryCount": inputs.max_retry_count}
    match name:
        case "urldownload":
            return inputs.types.of("url") | patience
        case "ipfs":
            return inputs.types.of(name) | patience
        case "s3":
            return inputs.types.of(name) | patience | {"DeniedNetworks": inputs.types.url.denied_networks}
        case "local" | "localdirectory":
            return {"AllowListedLocalPaths": settings.compute.allow_listed_local_paths}
        case _:
            return inputs.types.of(name)


def signing(settings: Settings) -> SigningSettings:
    """What an orchestrator signs for others, and with which bucket of its own."""
    shared, managed = settings.publishers.types.s3, settings.publishers.types.s3_managed
    return SigningSettings(
        shared=not shared.pre_signed_url_disabled,
        expiration=shared.pre_signed_url_expiration,
        managed=ManagedBucket(
            bucket=managed.bucket,
            prefix=managed.key_,
            place=Place(managed.endpoint, managed.region),
            expiration=managed.pre_signed_url_expiration or DEFAULT_EXPIRATION,
        ),
    )


def policy_rules(
    settings: Settings, storages: Mapping[str, Storage], publishers: Mapping[str, Publisher]
) -> tuple[Rule, ...]:
    """This node's own reasons to refuse a job for good."""
    admission, allowed = settings.job_admission_control, settings.compute.env.allow_list

    def networked(job: JobSpec) -> str:
        wants = job.task.network.type not in (NetworkType.DEFAULT, NetworkType.NONE)
        return "does not take jobs that want a network" if wants and admission.reject_networked_jobs else ""

    def stateless(job: JobSpec) -> str:
        bare = admission.reject_stateless_jobs and not job.task.input_sources
        return "does not take jobs without inputs" if bare else ""

    def variables(job: JobSpec) -> str:
        return refuses_env(job.task, allowed)

    def sources(job: JobSpec) -> str:
        reasons = (
            storages[i.source.kind].refuses(i.source)
            for i in job.task.input_sources
            if i.source.kind in storages
        )
        return "; ".join(reason for reason in reasons if reason)

    def held(job: JobSpec) -> str:
        if admission.locality != "local":
            return ""
        missing = [one.target for one in job.task.input_sources if not _is_here(one.source, storages)]
        targets = ", ".join(missing)
        return f"takes only jobs whose inputs it holds, and does not hold {targets}" if missing else ""

    def publishing(job: JobSpec) -> str:
        wanted = job.task.effective_publisher
        publisher = publishers.get(wanted.kind)
        return publisher.refuses(wanted) if isinstance(publisher, Choosy) else ""

    return networked, stateless, variables, sources, held, publishing


def _is_here(source: SpecConfig, storages: Mapping[str, Storage]) -> bool:
    """Say whether an input need not be fetched; of one that is lent, `Storage.refuses` says whether it is here."""
    if source.kind in CARRIED | LENT:
        return True
    storage = storages.get(source.kind)
    return isinstance(storage, Holder) and input_digest(source) in storage.held()
