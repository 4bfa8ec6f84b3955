"""Settings are listed, sent to clients and written to files without giving secrets away."""

import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.settings import AllocatedCapacity, Settings, all_keys, allocate, set_key

HOME = {"HOME": "/home/ada"}
ORIGINAL = """
NameProvider DataDir StrictVersionMatch DisableAnalytics Labels API.{Host,Port}
API.TLS.{CertFile,KeyFile,CAFile,AutoCert,AutoCertCachePath,UseTLS,Insecure,SelfSigned}
API.Auth.{Methods,AccessPolicyPath,Users}
API.Auth.Oauth2.{ProviderID,ProviderName,TokenEndpoint,JWKSUri,Issuer,DeviceClientID,Audience}
API.Auth.Oauth2.{DeviceAuthorizationEndpoint,Scopes,PollingInterval}
Orchestrator.{Enabled,Host,Port,Advertise,Auth.Token,SupportReverseProxy}
Orchestrator.TLS.{ServerCert,ServerKey,CACert,ServerTimeout} Orchestrator.Cluster.{Name,Host,Advertise,Port,Peers}
Orchestrator.NodeManager.{DisconnectTimeout,ManualApproval}
Orchestrator.Scheduler.{WorkerCount,QueueBackoff,HousekeepingInterval,HousekeepingTimeout}
Orchestrator.EvaluationBroker.{VisibilityTimeout,MaxRetryCount}
Compute.{Enabled,Orchestrators,Auth.Token,TLS.CACert,TLS.RequireTLS,AllowListedLocalPaths,Env.AllowList}
Compute.Heartbeat.{InfoUpdateInterval,Interval,ResourceUpdateInterval}
Compute.AllocatedCapacity.{CPU,Memory,Disk,GPU} Compute.Network.{AdvertisedAddress,PortRangeStart,PortRangeEnd}
WebUI.{Enabled,Listen,Backend} InputSources.{Disabled,ReadTimeout,MaxRetryCount,Types.IPFS.Endpoint}
Publishers.{Disabled,Types.IPFS.Endpoint,Types.S3.PreSignedURLDisabled,Types.S3.PreSignedURLExpiration}
Publishers.Types.S3Managed.{Bucket,Key,Region,Endpoint,PreSignedURLExpiration} Publishers.Types.Local.{Address,Port}
Engines.Disabled Engines.Types.Docker.ManifestCache.{Size,TTL,Refresh}
ResultDownloaders.{Disabled,Timeout,Types.IPFS.Endpoint}
JobDefaults.{Batch,Ops}.{Priority,Task.Publisher.Type,Task.Publisher.Params}
JobDefaults.{Batch,Ops}.Task.Timeouts.{TotalTimeout,ExecutionTimeout}
JobDefaults.{Daemon,Service}.Priority JobDefaults.{Batch,Ops,Daemon,Service}.Task.Resources.{CPU,Memory,Disk,GPU}
JobAdmissionControl.{Locality,RejectStatelessJobs,RejectNetworkedJobs,ProbeHTTP,ProbeExec}
Logging.{Level,Mode,LogDebugInfoInterval} UpdateConfig.Interval
"""
OWN = """
Cell Orchestrator.{URLs,Gateway,Replicas,JobRetention} Orchestrator.Scheduler.{MaxAttempts,RetryBackoff}
Orchestrator.Logs.{MaxBytes,MaxAge} Compute.{DiskReserve,HoldTime,ShutdownGrace} Compute.Logs.{Quota,Rate}
Engines.Types.Docker.{Registry,Username,Password,SkipImagePull}
InputSources.Types.URL.{CacheSize,MaxSize,DeniedNetworks} Publishers.Types.Local.{MaxAge,MaxSize}
InputSources.Types.IPFS.MaxSize InputSources.Types.S3.Anonymous
"""


def expand(pattern: str) -> list[str]:
    head, brace, rest = pattern.partition("{")
    if not brace:
        return [pattern]
    choices, _, tail = rest.partition("}")
    return [name for choice in choices.split(",") for name in expand(f"{head}{choice}{tail}")]


def names(table: str) -> set[str]:
    return {name for pattern in table.split() for name in expand(pattern)}


def load(*overrides, environ=HOME):
    return Settings.load(environ=environ, overrides=overrides)


def test_all_130_keys_of_the_original_exist_and_the_others_are_known():
    assert len(names(ORIGINAL)) == 130
    assert {key.name for key in all_keys().all} == names(ORIGINAL) | names(OWN)


def test_every_key_has_one_sentence_of_meaning():
    assert [
        key.name for key in all_keys().all if not key.description.endswith(".") or len(key.description) < 10
    ] == []


@pytest.mark.parametrize("key", all_keys().all, ids=lambda key: key.name)
def test_the_default_of_every_key_can_be_written_and_is_the_same_again(key):
    text = json.dumps(key.default) if key.kind == "objects" else key.default
    if key.kind == "list":
        text = ",".join(key.default)
    if key.kind == "map":
        text = ""
    if not text and key.kind in ("list", "map"):
        return
    described = {line.key: line for line in load(f"{key.name}={text}").describe()}
    expected = "/home/ada/.bacalhau" if key.name == "DataDir" else key.default
    assert described[key.name].value == expected
    assert described[key.name].source == "-c"


def test_a_list_of_settings_says_where_each_was_written(tmp_path):
    (tmp_path / "c.yaml").write_text("\nAPI:\n  Port: 77\n")
    settings = Settings.load(
        [tmp_path / "c.yaml"], {**HOME, "LOG_LEVEL": "debug"}, ["Cell=x"], {"API.Host": "h"}
    )
    sources = {line.key: line.source for line in settings.describe() if line.source != "default"}
    assert sources == {
        "API.Port": f"{tmp_path / 'c.yaml'}:3",
        "Logging.Level": "the variable LOG_LEVEL",
        "API.Host": "the flag for API.Host",
        "Cell": "-c",
    }
    keys = [line.key for line in settings.describe()]
    assert keys == sorted(keys)


SECRETS = (
    "Compute.Auth.Token=swordfish",
    "Orchestrator.Auth.Token=swordfish",
    "Compute.Orchestrators=nats://me:swordfish@host:4222",
    'API.Auth.Users=[{"Username":"ada","Password":"a-swordfish","Capabilities":[{}]}]',
    "Engines.Types.Echo.ApiToken=swordfish",
)


def test_secrets_are_never_shown():
    settings = load(*SECRETS)
    for shown in (settings.to_wire(), settings.describe(), settings, settings.compute.auth):
        assert "swordfish" not in repr(shown)
    wire = settings.to_wire()
    assert wire["Compute"]["Auth"] == {"Token": "********"}
    assert wire["Compute"]["Orchestrators"] == ["nats://********@host:4222"]
    assert wire["API"]["Auth"]["Users"] == [
        {"Username": "ada", "Password": "********", "Capabilities": [{}]},
    ]
    assert settings.to_wire(redact=False)["Compute"]["Auth"] == {"Token": "swordfish"}
    assert settings.compute.auth.token == "swordfish"


def test_a_secret_is_not_repeated_in_an_error():
    for override in (
        'API.Auth.Users=[{"Password":"swordfish","Nam":1}]',
        'API.Auth.Users=[{"Username":"ada","Password":"swordfish"}]',
        "Orchestrator.URLs=ftp://me:swordfish@h",
    ):
        with pytest.raises(InvalidSettings) as caught:
            load(override)
        assert "swordfish" not in f"{caught.value.message}{caught.value.hint}"


def test_the_wire_form_leaves_out_what_is_empty_and_keeps_sections():
    wire = load("JobAdmissionControl.Locality=local").to_wire()
    assert wire["API"]["TLS"] == {"Insecure": False}
    assert wire["API"]["Auth"] == {"Methods": {"ClientKey": {"Type": "challenge"}}, "Oauth2": {}}
    assert wire["Orchestrator"]["NodeManager"] == {"DisconnectTimeout": "15s"}
    assert wire["JobDefaults"]["Batch"]["Task"]["Timeouts"] == {}
    assert wire["Engines"]["Types"]["WASM"] == {}
    assert wire["FeatureFlags"] == {}
    assert wire["JobAdmissionControl"] == {}
    assert wire["Compute"]["Logs"] == {"Quota": "64MiB"}
    assert wire["DataDir"] == "/home/ada/.bacalhau"
    assert "Labels" not in wire
    assert json.loads(json.dumps(wire)) == wire


def test_keys_without_meaning_are_accepted_and_can_be_warned_about():
    unused = load("StrictVersionMatch=true", "WebUI.Enabled", "API.Port=1").unused()
    assert [line.key for line in unused] == ["StrictVersionMatch", "WebUI.Enabled"]


# --- config set --------------------------------------------------------------------------------------------


def test_setting_a_key_keeps_the_others_and_the_case_of_keys(tmp_path):
    file = tmp_path / "new" / "config.yaml"
    set_key(file, "api.port", "77")
    set_key(file, "COMPUTE.ENABLED", "true")
    set_key(file, "labels", "zone=a,team=red")
    set_key(file, "compute.orchestrators", "nats://a,nats://b")
    set_key(file, "Compute.Heartbeat.Interval", "5s")
    set_key(file, "api.port", "78")
    assert yaml.safe_load(file.read_text()) == {
        "API": {"Port": 78},
        "Compute": {
            "Enabled": True,
            "Orchestrators": ["nats://a", "nats://b"],
            "Heartbeat": {"Interval": "5s"},
        },
        "Labels": {"zone": "a", "team": "red"},
    }
    assert file.stat().st_mode & 0o777 == 0o600
    settings = Settings.load([file], HOME)
    assert settings.api.port == 78
    assert settings.compute.heartbeat.interval == 5


def test_keys_typed_in_another_case_are_not_doubled(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("api: {port: 5, host: h}\n")
    set_key(file, "API.Port", "6")
    assert yaml.safe_load(file.read_text()) == {"api": {"port": 6, "host": "h"}}


def test_comments_order_and_spelling_of_a_file_are_kept(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("# ours\napi:\n  port: 5  # not 1234\n\n  # where\n  host: 'h'\nlabels:\nCompute: {}\n")
    set_key(file, "API.Port", "6")
    set_key(file, "API.TLS.Insecure", "true")
    set_key(file, "Labels", "zone=a")
    set_key(file, "Compute.Enabled", "true")
    assert file.read_text() == (
        "# ours\napi:\n  port: 6  # not 1234\n\n  # where\n  host: 'h'\n  TLS:\n    Insecure: true\n"
        "labels:\n  zone: a\nCompute:\n  Enabled: true\n"
    )


@given(
    st.text(min_size=1).filter(
        lambda text: text == text.strip() and text != "name" and not set(text) & set("=,")
    )
)
@example("yes")
@example("12:30:00")
@example("0o17")
@example("# no comment")
@example("null")
def test_a_text_that_was_set_is_read_back_as_that_text(tmp_path_factory, text):
    """The file is written in YAML 1.2 and read in 1.1, which takes more words for something else."""
    file = tmp_path_factory.mktemp("set") / "config.yaml"
    try:
        set_key(file, "Labels", f"name={text},{text}=name")
    except InvalidSettings:
        assert not file.exists()
    else:
        assert Settings.load([file], HOME).labels == {"name": text, text: "name"}


@pytest.mark.parametrize(
    ("name", "text"),
    [("API.Port", "x"), ("API.Prt", "1"), ("DataDir", "relative"), ("Labels", "a"), ("API", "1")],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, name, text):
    file = tmp_path / "config.yaml"
    file.write_text("Cell: x\n")
    with pytest.raises(InvalidSettings):
        set_key(file, name, text)
    assert file.read_text() == "Cell: x\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "blocked").write_text("")
    with pytest.raises(InvalidSettings, match="cannot be written"):
        set_key(tmp_path / "blocked" / "config.yaml", "Cell", "x")


# --- capacity ----------------------------------------------------------------------------------------------

MACHINE = Resources(milli_cpu=4000, memory=10**10, disk=10**11, gpu=3)


def test_capacity_is_a_share_or_an_amount():
    assert allocate(MACHINE, AllocatedCapacity()) == Resources(
        milli_cpu=3200, memory=8 * 10**9, disk=8 * 10**10, gpu=3
    )
    amounts = AllocatedCapacity(cpu="1500m", memory="2GiB", disk="50 %", gpu="2")
    assert allocate(MACHINE, amounts) == Resources(milli_cpu=1500, memory=2 * 1024**3, disk=5 * 10**10, gpu=2)


@pytest.mark.parametrize(
    ("total", "share", "gpus"), [(3, "50%", 1), (1, "10%", 1), (1, "0%", 0), (0, "100%", 0), (8, "25%", 2)]
)
def test_a_share_of_gpus_never_rounds_to_none_where_there_is_one(total, share, gpus):
    assert allocate(Resources(gpu=total), AllocatedCapacity(gpu=share)).gpu == gpus
