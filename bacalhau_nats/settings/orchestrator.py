"""The section `Orchestrator`: the requester, its gateway and the NATS server they bring along."""

from __future__ import annotations

from os import cpu_count

from bacalhau_nats.settings.section import Section, key, part
from bacalhau_nats.settings.values import Duration, ServerURL, Size, Text


class TokenSettings(Section):
    """The secret with which a node joins the bus."""

    token: str = key("", "Token for the NATS server; empty means none.", secret=True)


class OrchestratorTLSSettings(Section):
    """TLS of the embedded NATS server."""

    server_cert: Text = key("", "Certificate (PEM) of the NATS server.")
    server_key: Text = key("", "Private key (PEM) of the NATS server.")
    ca_cert: Text = key("", "Authorities (PEM) trusted on the bus instead of the system's.")
    server_timeout: int = key(0, "Seconds a TLS handshake may take; 0 means the server's own limit.", ge=0)


class ClusterSettings(Section):
    """How embedded NATS servers of several orchestrators form a cluster."""

    name: Text = key("", "Name of the cluster; all its servers share it.")
    host: Text = key("", "Address other servers connect to; empty means that of Orchestrator.Host.")
    port: int = key(0, "Port other servers connect to; 0 means no cluster.", ge=0, le=65535)
    advertise: Text = key("", "Address told to other servers instead of the one listened on.")
    peers: tuple[str, ...] = key((), "URLs of other servers of the cluster, such as nats://host:6222.")


class NodeManagerSettings(Section):
    """When a node counts as gone, and whether it must be let in."""

    disconnect_timeout: Duration = key(15.0, "Silence after which a node counts as lost.", gt=0)
    manual_approval: bool = key(False, "Whether a new node waits for `node approve` before it gets work.")


class SchedulerSettings(Section):
    """How a requester works through jobs, and how it tries again."""

    worker_count: int = key(
        lambda: cpu_count() or 1,
        "Jobs one requester looks at at the same time; by default one per CPU.",
        ge=1,
    )
    queue_backoff: Duration = key(60.0, "Longest wait before a queued job is looked at again.", gt=0)
    housekeeping_interval: Duration = key(30.0, "Time between sweeps over all unfinished jobs.", gt=0)
    housekeeping_timeout: Duration = key(120.0, "Time one sweep may take.", unused=True, ge=0)
    max_attempts: int = key(3, "Executions tried for one partition before the job fails.", ge=1)
    retry_backoff: Duration = key(1.0, "Wait before the second attempt; doubles each time, up to 1m.", ge=0)


class EvaluationBrokerSettings(Section):
    """How requesters share the work of looking at jobs."""

    visibility_timeout: Duration = key(
        60.0, "Time after which a look that was begun is given to another requester.", gt=0
    )
    max_retry_count: int = key(10, "Looks at a job before it is left to the sweep.", unused=True, ge=0)


class LogStreamSettings(Section):
    """How much output of executions the bus keeps."""

    max_bytes: Size = key(1024**3, "Size of the stream of all logs; the oldest leave first.", gt=0)
    max_age: Duration = key(24 * 3600.0, "Age at which logs leave the stream; 0 means never.", ge=0)


class OrchestratorSettings(Section):
    """The deciding side: requester, gateway and NATS server."""

    enabled: bool = key(False, "Whether this node is an orchestrator.")
    host: Text = key("127.0.0.1", "Address the embedded NATS server listens on.")
    port: int = key(4222, "Port the embedded NATS server listens on; 0 means any free one.", ge=0, le=65535)
    advertise: Text = key("", "Address of the NATS server told to nodes instead of the one listened on.")
    urls: tuple[ServerURL, ...] = key(
        (), "External NATS servers to use; empty means to start the embedded one."
    )
    gateway: bool = key(True, "Whether the orchestrator also serves the HTTP API.")
    replicas: int = key(
        0, "Copies of each stream; 0 means 3 when the NATS server is clustered, else 1.", ge=0, le=5
    )
    job_retention: Duration = key(
        168 * 3600.0, "Age at which finished jobs are forgotten; 0 means never.", ge=0
    )
    auth: TokenSettings = part(TokenSettings)
    tls: OrchestratorTLSSettings = part(OrchestratorTLSSettings)
    cluster: ClusterSettings = part(ClusterSettings)
    node_manager: NodeManagerSettings = part(NodeManagerSettings)
    scheduler: SchedulerSettings = part(SchedulerSettings)
    evaluation_broker: EvaluationBrokerSettings = part(EvaluationBrokerSettings)
    logs: LogStreamSettings = part(LogStreamSettings)
    support_reverse_proxy: bool = key(
        False, "Whether the NATS server sits behind a reverse proxy that ends TLS.", unused=True
    )
