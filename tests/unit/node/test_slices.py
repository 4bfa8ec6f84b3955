"""Each role gets its own slice of the settings."""

import pytest

from bacalhau_nats import plugins
from bacalhau_nats.clients.s3 import Place
from bacalhau_nats.clients.s3_signing import ManagedBucket, SigningSettings
from bacalhau_nats.domain.locality import input_digest
from bacalhau_nats.domain.spec import (
    InputSource,
    NetworkConfig,
    NetworkType,
    ResourcesConfig,
    SpecConfig,
)
from bacalhau_nats.node import slices
from bacalhau_nats.settings import Settings
from tests.support.builders import a_job, a_task

E, S, P = plugins.EXECUTORS, plugins.STORAGE, plugins.PUBLISHERS


def load(*overrides):
    return Settings.load((), {"HOME": "/home/ada"}, overrides)


def test_a_requester_is_told_how_to_retry_and_when_to_sweep():
    found = slices.requester_settings(
        load(
            "Orchestrator.Scheduler.MaxAttempts=7",
            "Orchestrator.Scheduler.RetryBackoff=5s",
            "Orchestrator.Scheduler.HousekeepingInterval=1m",
            "Orchestrator.NodeManager.ManualApproval=true",
        )
    )
    retry = found.desk.policy.retry
    assert (retry.max_attempts, retry.backoff) == (7, 5.0)
    assert (found.desk.sweep_every, found.desk.manual_approval) == (60.0, True)
    assert found.workers > 0


@pytest.mark.parametrize(
    ("overrides", "clustered", "replicas"),
    [([], False, 1), ([], True, 3), (["Orchestrator.Replicas=5"], False, 5)],
)
def test_streams_have_as_many_copies_as_there_are_servers_for(overrides, clustered, replicas):
    assert slices.topology(load(*overrides), clustered=clustered).replicas == replicas


def test_the_log_stream_is_bounded_as_set():
    found = slices.topology(
        load("Orchestrator.Logs.MaxBytes=1MB", "Orchestrator.Logs.MaxAge=1h"), clustered=False
    )
    assert (found.logs_max_bytes, found.logs_max_age) == (10**6, 3600.0)


def test_jobs_get_the_defaults_of_their_type():
    found = slices.job_defaults(
        load(
            "JobDefaults.Batch.Priority=3",
            "JobDefaults.Batch.Task.Resources.CPU=250m",
            "JobDefaults.Batch.Task.Publisher.Type=local",
            "JobDefaults.Batch.Task.Timeouts.TotalTimeout=1h",
            "JobDefaults.Daemon.Task.Resources.Memory=1Gb",
        )
    )
    assert (found.batch.priority, found.batch.resources.cpu) == (3, "250m")
    assert (found.batch.publisher.type, found.batch.total_timeout) == ("local", 3600)
    assert found.daemon.resources.memory.lower() == "1gb"
    assert found.service.publisher == SpecConfig()


def test_plugins_are_switched_off_whatever_the_case():
    settings = load("Engines.Disabled=Docker", "InputSources.Disabled=s3", "Publishers.Disabled=LOCAL")
    assert slices.disabled(settings, E) == {"docker"}
    assert "s3" in slices.disabled(settings, S)
    assert "local" in slices.disabled(settings, P)


def test_ipfs_is_there_where_its_node_is_named():
    one = load("InputSources.Types.IPFS.Endpoint=/ip4/127.0.0.1/tcp/5001", "InputSources.ReadTimeout=7s")
    assert ["ipfs" in slices.disabled(one, group) for group in (E, S, P)] == [False, False, True]
    section = slices.plugin_section(one, S, "ipfs")
    assert (section["Endpoint"], section["ReadTimeout"]) == ("/ip4/127.0.0.1/tcp/5001", 7)
    other = load("Publishers.Types.IPFS.Endpoint=http://x", "Publishers.Disabled=IPFS")
    assert ["ipfs" in slices.disabled(other, group) for group in (S, P)] == [True, True]


def test_docker_is_told_of_networks_and_of_when_its_node_counts_as_lost():
    section = slices.plugin_section(
        load(
            "JobAdmissionControl.RejectNetworkedJobs=true", "Orchestrator.NodeManager.DisconnectTimeout=42s"
        ),
        E,
        "docker",
    )
    assert section["RejectNetworked"] is True
    assert section["LostWindow"] == 42.0


def test_url_inputs_are_told_of_retries():
    section = slices.plugin_section(
        load("InputSources.MaxRetryCount=7", "InputSources.ReadTimeout=9s"), S, "urldownload"
    )
    assert (section["MaxRetryCount"], section["ReadTimeout"]) == (7, 9.0)


def test_s3_is_told_of_retries_and_of_networks_that_are_denied():
    settings = load(
        "InputSources.MaxRetryCount=7",
        "InputSources.ReadTimeout=9s",
        "InputSources.Types.URL.DeniedNetworks=10.0.0.0/8",
        "InputSources.Types.S3.Anonymous=true",
    )
    denied = ("10.0.0.0/8",)
    assert slices.plugin_section(settings, S, "s3") == {
        "Anonymous": True, "MaxRetryCount": 7, "ReadTimeout": 9.0, "DeniedNetworks": denied,
    }  # fmt: skip
    assert slices.plugin_section(settings, P, "s3") == {"DeniedNetworks": denied}
    assert slices.plugin_section(settings, P, "s3managed") == {"DeniedNetworks": denied}


def test_an_orchestrator_signs_as_it_is_told():
    assert slices.signing(load()) == SigningSettings()
    settings = load(
        "Publishers.Types.S3.PreSignedURLDisabled=true",
        "Publishers.Types.S3.PreSignedURLExpiration=1m",
        "Publishers.Types.S3Managed.Bucket=b",
        "Publishers.Types.S3Managed.Key=k",
        "Publishers.Types.S3Managed.Region=r",
        "Publishers.Types.S3Managed.Endpoint=http://e",
        "Publishers.Types.S3Managed.PreSignedURLExpiration=2h",
    )
    bucket = ManagedBucket("b", "k", Place("http://e", "r"), 7200.0)
    assert slices.signing(settings) == SigningSettings(shared=False, expiration=60.0, managed=bucket)


@pytest.mark.parametrize("name", ["local", "localdirectory"])
def test_local_inputs_are_told_what_is_allowed(name):
    section = slices.plugin_section(load("Compute.AllowListedLocalPaths=/data/**:rw"), S, name)
    assert section == {"AllowListedLocalPaths": ("/data/**:rw",)}


@pytest.mark.parametrize(("overrides", "port"), [([], None), (["Publishers.Types.Local.Port=7001"], 7001)])
def test_the_local_publisher_keeps_to_a_port_only_when_asked(overrides, port):
    assert slices.plugin_section(load(*overrides), P, "local").get("Port") == port


def test_other_plugins_get_their_own_section():
    settings = load(
        "Engines.Types.Mine.Speed=9", "InputSources.Types.Mine.Where=here", "Publishers.Types.Mine.Who=me"
    )
    assert slices.plugin_section(settings, E, "mine") == {"Speed": 9}
    assert slices.plugin_section(settings, S, "mine") == {"Where": "here"}
    assert slices.plugin_section(settings, P, "mine") == {"Who": "me"}
    assert slices.plugin_section(settings, E, "noop") == {}


class Choosy:
    def refuses(self, source):
        return "does not serve /etc" if source.param("Path") == "/etc" else ""


class Particular:
    """A publisher that wants a bucket."""

    def refuses(self, spec):
        return "" if spec.param("Bucket") else "wants a bucket"


def reasons(job, *overrides):
    rules = slices.policy_rules(load(*overrides), {"local": Choosy()}, {"s3": Particular(), "noop": object()})
    return [reason for rule in rules if (reason := rule(job))]


def an_input(path, kind="Local"):
    return InputSource(source=SpecConfig(type=kind, params={"Path": path}), target="/in")


def test_a_plain_job_is_refused_by_no_rule():
    assert reasons(a_job()) == []


@pytest.mark.parametrize(
    ("kind", "refused"), [(NetworkType.DEFAULT, False), (NetworkType.NONE, False), (NetworkType.HTTP, True)]
)
def test_networked_jobs_are_refused_where_that_is_set(kind, refused):
    job = a_job(task=a_task(network=NetworkConfig(type=kind)))
    said = ["does not take jobs that want a network"] if refused else []
    assert reasons(job, "JobAdmissionControl.RejectNetworkedJobs=true") == said
    assert reasons(job) == []


class Keeper:
    """A storage that keeps one URL."""

    def refuses(self, source):
        return ""

    def held(self):
        return {input_digest(SpecConfig(type="urlDownload", params={"URL": "http://x/kept"})): 7}

    def shrink(self):
        pass


@pytest.mark.parametrize(
    ("source", "here"),
    [
        (SpecConfig(type="urlDownload", params={"url": "http://x/kept"}), True),
        (SpecConfig(type="urlDownload", params={"URL": "http://x/other"}), False),
        (SpecConfig(type="s3", params={"Bucket": "b"}), False),
        (SpecConfig(type="inline", params={"URL": "data:,x"}), True),
    ],
)
def test_a_node_that_wants_its_data_local_refuses_what_it_would_have_to_fetch(source, here):
    job = a_job(task=a_task(input_sources=(InputSource(source=source, target="/in"),)))

    def said(*overrides):
        rules = slices.policy_rules(load(*overrides), {"urldownload": Keeper()}, {})
        return [reason for rule in rules if (reason := rule(job))]

    refusal = ["takes only jobs whose inputs it holds, and does not hold /in"]
    assert said("JobAdmissionControl.Locality=local") == ([] if here else refusal)
    assert said() == []


def test_jobs_without_inputs_are_refused_where_that_is_set():
    setting = "JobAdmissionControl.RejectStatelessJobs=true"
    assert reasons(a_job(), setting) == ["does not take jobs without inputs"]
    assert reasons(a_job(task=a_task(input_sources=(an_input("/data"),))), setting) == []


def test_variables_of_the_node_are_refused_unless_allowed():
    job = a_job(task=a_task(env={"HOME": "env:HOME"}))
    assert len(reasons(job)) == 1
    assert "HOME" in reasons(job)[0]
    assert reasons(job, "Compute.Env.AllowList=HO*") == []


def test_sources_that_a_storage_never_serves_are_refused():
    job = a_job(task=a_task(input_sources=(an_input("/etc"), an_input("/data"), an_input("/etc", "other"))))
    assert reasons(job) == ["does not serve /etc"]


@pytest.mark.parametrize(
    ("publisher", "refused"),
    [("s3", True), ("noop", False), ("other", False)],
)
def test_what_a_publisher_can_never_do_is_refused_before_the_work(publisher, refused):
    job = a_job(task=a_task(publisher=SpecConfig(type=publisher)))
    assert reasons(job) == (["wants a bucket"] if refused else [])
    kept = a_job(task=a_task(publisher=SpecConfig(type=publisher, params={"Bucket": "b"})))
    assert reasons(kept) == []


def test_resources_stay_as_they_are_written():
    assert slices.job_defaults(load()).ops.resources == ResourcesConfig(
        cpu=load().job_defaults.ops.task.resources.cpu,
        memory=load().job_defaults.ops.task.resources.memory,
        disk=load().job_defaults.ops.task.resources.disk,
        gpu=load().job_defaults.ops.task.resources.gpu,
    )
