"""Settings are put together from defaults, files, environment, flags and -c, and say where they are from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.executors.docker_settings import read_settings
from bacalhau_nats.settings import Settings

HOME = {"HOME": "/home/ada"}


def load(*overrides, files=(), environ=None, flags=None, cwd=None):
    return Settings.load(files, {**HOME, **(environ or {})}, overrides, flags, cwd=cwd)


def refusal(*overrides, **sources) -> InvalidSettings:
    with pytest.raises(InvalidSettings) as caught:
        load(*overrides, **sources)
    return caught.value


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# --- precedence -------------------------------------------------------------------------------------

PORTS = {"first file": 1, "second file": 2, "environment": 3, "flag": 4, "-c": 5}


@given(present=st.sets(st.sampled_from(sorted(PORTS))))
def test_the_last_source_that_gives_a_value_wins(tmp_path_factory, present):
    folder = tmp_path_factory.mktemp("settings")
    files = [
        write(folder / f"{which}.yaml", f"API:\n  Port: {PORTS[f'{which} file']}\n")
        for which in ("first", "second")
        if f"{which} file" in present
    ]
    environ = {"BACALHAU_API_PORT": "3"} if "environment" in present else {}
    # A flag and -c for one key exclude each other; what matters is that each beats the rest.
    flags = {"API.Port": 4} if "flag" in present and "-c" not in present else {"API.Port": None}
    overrides = ["api.port=5"] if "-c" in present else []
    settings = load(*overrides, files=files, environ=environ, flags=flags)
    assert settings.api.port == max((PORTS[name] for name in present), default=1234)


def test_maps_are_merged_from_file_to_file_and_replaced_by_anything_later(tmp_path):
    files = [
        write(tmp_path / "a.yaml", "Labels: {zone: a, team: red}"),
        write(tmp_path / "b.yaml", "labels: {team: blue, rack: 7}"),
    ]
    assert load(files=files).labels == {"zone": "a", "team": "blue", "rack": "7"}
    assert load("Labels=x=y", files=files).labels == {"x": "y"}
    assert load(files=files, environ={"BACALHAU_LABELS": "e=1,f=2"}).labels == {"e": "1", "f": "2"}


def test_a_list_in_a_later_file_replaces_the_earlier_one(tmp_path):
    files = [
        write(tmp_path / "a.yaml", "Engines: {Disabled: [docker]}"),
        write(tmp_path / "b.yaml", "engines: {disabled: wasm}"),
    ]
    assert load(files=files).engines.disabled == ("wasm",)


def test_a_flag_and_an_override_for_the_same_key_are_refused():
    assert "both by its flag and by -c" in refusal("api.HOST=a", flags={"API.Host": "b"}).message


def test_the_config_file_of_the_data_folder_is_read_unless_one_is_named(tmp_path):
    write(tmp_path / "config.yaml", "Cell: quiet")
    other = write(tmp_path / "other.yml", "API: {Port: 9}")
    data_dir = f"DataDir={tmp_path}"
    assert load(data_dir).cell == "quiet"
    assert load(environ={"BACALHAU_DIR": str(tmp_path)}).cell == "quiet"
    assert load(data_dir, str(other)).cell == "main"
    assert load(data_dir, files=[other]).api.port == 9


# --- the meanings of -c -------------------------------------------------------------------------------


def test_an_override_is_a_value_a_file_or_a_switch(tmp_path):
    file = write(tmp_path / "c.yaml", "Orchestrator: {Enabled: true}")
    settings = load(str(file), "compute.enabled", "API.Host=a=b")
    assert settings.orchestrator.enabled
    assert settings.compute.enabled
    assert settings.api.host == "a=b"


def test_a_switch_must_be_a_boolean_key():
    error = refusal("API.Port")
    assert error.message == "-c API.Port: API.Port needs a value"
    assert error.hint == "write -c API.Port=<value>, a whole number"


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("Compute.Orchestrators=a:1, nats://b", ("nats://a:1", "nats://b")),
        ("compute.orchestrators=tls://c", ("tls://c",)),
    ],
)
def test_lists_are_separated_by_commas(override, value):
    assert load(override).compute.orchestrators == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("Engines.Disabled=a b", "separated by commas"),
        ("Engines.Disabled=a;b", "separated by commas"),
        ("Engines.Disabled=a,,b", "an item is empty"),
        ("Labels=a", "not of the form name=value"),
        ("Labels=a=", "not of the form name=value"),
        ("Labels=a=b=c", "not of the form name=value"),
        ("API.Port=99999", "less than or equal to 65535"),
        ("API.Port=x", "valid integer"),
        ("Compute.Enabled=perhaps", "valid boolean"),
        ("Compute.Heartbeat.Interval=3x", "is no duration"),
        ("Compute.Heartbeat.Interval=0s", "greater than 0"),
        ("Compute.Orchestrators=http://x", "URL of a NATS server"),
        ("Compute.AllocatedCapacity.CPU=120%", "from 0% to 100%"),
        ("Compute.AllocatedCapacity.GPU=1.5", "invalid GPU"),
        ("JobDefaults.Batch.Task.Resources.CPU=fast", "invalid CPU"),
        ("Logging.Level=loud", "Input should be"),
        ("InputSources.Types.URL.DeniedNetworks=home", "IPv4 or IPv6"),
        ("API.Auth.AccessPolicyPath=p.rego", "API.Auth.Users"),
        ('API.Auth.Users=[{"Usrname":"u"}]', "Usrname"),
        ("Cell=", "at least 1 character"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_key_and_source(override, message):
    error = refusal(override)
    assert error.message.startswith(f"{override.partition('=')[0]}: ")
    assert "from -c cannot be used" in error.message
    assert message in error.message


def test_a_rule_over_two_keys_names_the_key_that_was_set():
    error = refusal("Compute.Network.PortRangeStart=40000")
    assert error.message == (
        "Compute.Network: PortRangeStart must not be above PortRangeEnd (Compute.Network.PortRangeStart from -c)"
    )


# --- names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Compute.Heartbet.Interval", "did you mean Compute.Heartbeat.Interval"),
        ("Orchestrator.Gatway", "did you mean Orchestrator.Gateway"),
        ("Zzz", "config list"),
    ],
)
def test_an_unknown_key_is_refused_with_what_was_probably_meant(name, hint):
    error = refusal(f"{name}=1")
    assert error.message == f'"{name}" is not a valid config key'
    assert hint in error.hint


def test_a_section_cannot_be_set_as_a_whole():
    error = refusal("compute=1")
    assert error.message == "Compute is a section, not a key"
    assert error.hint == "set one of its keys, such as Compute.Enabled"


def test_a_plugin_from_outside_has_a_section_of_its_own(tmp_path):
    file = write(tmp_path / "c.yaml", "Engines: {Types: {Echo: {Speed: 5, Deep: {Er: [1]}}}}")
    settings = load(str(file), "engines.types.echo.Loud=true")
    assert settings.engines.types.of("ECHO") == {"Speed": 5, "Deep": {"Er": [1]}, "Loud": True}
    assert settings.engines.types.of("other") == {}
    assert settings.publishers.types.of("local")["Port"] == 6001
    assert "not a valid config key" in refusal("Publishers.Types.Local.Prt=1").message


# --- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("API:\n  Port: many\n", ":2 cannot be used"),
        ("API:\n  Prt: 1\n", ':2: "API.Prt" is not a valid config key'),
        ("API:\n  Port: 1\n  port: 2\n", ":3: API.port is given twice"),
        ("API: 5\n", ":1: expected keys with values below API"),
        ("- 1\n", ":1: expected keys with values below the top"),
        ("API: {\n", ":2 is no valid YAML: "),
        ("Cell: \x01", "is no valid YAML"),
        ("API: {Port: [1]}\n", ":1 cannot be used"),
    ],
)
def test_a_mistake_in_a_file_is_reported_with_its_line(tmp_path, text, message):
    error = refusal(files=[write(tmp_path / "c.yaml", text)])
    assert f"{tmp_path / 'c.yaml'}" in error.message
    assert message in error.message


def test_a_file_that_was_named_must_be_a_file(tmp_path):
    (tmp_path / "dir.yaml").mkdir()
    assert "does not exist" in refusal(str(tmp_path / "none.yaml")).message
    assert "is a directory" in refusal(str(tmp_path / "dir.yaml")).message


def test_empty_files_and_empty_sections_say_nothing(tmp_path):
    assert (
        load(files=[write(tmp_path / "a.yaml", ""), write(tmp_path / "b.yaml", "API:\nCell:\n")]).cell
        == "main"
    )


# --- environment and data folder ---------------------------------------------------------------------------


def test_variables_are_named_after_keys_and_empty_ones_are_not_set():
    settings = load(
        environ={
            "BACALHAU_COMPUTE_ENABLED": "1",
            "BACALHAU_UPDATECONFIG_INTERVAL": "-1s",
            "BACALHAU_API_HOST": "",
            "BACALHAU_COMPUTE_ORCHESTRATORS": "nats://a,nats://b",
            "BACALHAU_API_KEY": "somebody else's",
            "LOG_LEVEL": "DEBUG",
        }
    )
    assert settings.compute.enabled
    assert settings.update_config.interval == -1
    assert settings.api.host == "127.0.0.1"
    assert settings.compute.orchestrators == ("nats://a", "nats://b")
    assert settings.logging.level == "debug"


def test_the_name_of_the_key_wins_over_the_short_variable():
    environ = {
        "BACALHAU_DIR": "/a",
        "BACALHAU_DATADIR": "/b",
        "LOG_LEVEL": "debug",
        "BACALHAU_LOGGING_LEVEL": "warn",
    }
    assert load(environ=environ).data_dir == Path("/b")
    assert load(environ=environ).logging.level == "warn"


def test_the_variables_for_a_private_registry_reach_the_docker_engine():
    settings = load(environ={"DOCKER_USERNAME": "ada", "DOCKER_PASSWORD": "hunter2"})
    engine = read_settings(settings.engines.types.of("docker"))
    assert (engine.registry, engine.username) == ("docker.io", "ada")
    assert engine.password.get_secret_value() == "hunter2"
    assert "hunter2" not in str(settings.describe())


def test_the_variable_that_forbids_to_fetch_images_reaches_the_docker_engine():
    assert read_settings(load(environ={"SKIP_IMAGE_PULL": "1"}).engines.types.of("docker")).skip_image_pull
    assert not read_settings(load().engines.types.of("docker")).skip_image_pull


def test_a_wrong_variable_is_named():
    assert "from the variable BACALHAU_API_PORT" in refusal(environ={"BACALHAU_API_PORT": "x"}).message


def test_the_data_folder_is_absolute_in_the_end():
    assert load().data_dir == Path("/home/ada/.bacalhau")
    assert load("DataDir=~/x").data_dir == Path("/home/ada/x")
    assert load(environ={"BACALHAU_DIR": "~/x"}).data_dir == Path("/home/ada/x")
    assert load("DataDir=../x", cwd=Path("/srv/here")).data_dir == Path("/srv/x")
    assert load(flags={"DataDir": "x"}, cwd=Path("/srv")).data_dir == Path("/srv/x")


def test_a_data_folder_that_depends_on_where_one_stands_is_refused(tmp_path):
    assert "absolute" in refusal(environ={"BACALHAU_DIR": "x"}).message
    assert "absolute" in refusal(files=[write(tmp_path / "c.yaml", "DataDir: x")]).message
    assert "without $" in refusal("DataDir=$HOME/x").message
    assert "without $" in refusal("DataDir=").message


# --- reading them -----------------------------------------------------------------------------------------


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        load().api.port = 5


@pytest.mark.parametrize(
    ("overrides", "url"),
    [
        ((), "http://127.0.0.1:1234"),
        (("API.Host=0.0.0.0",), "http://127.0.0.1:1234"),
        (("API.Host=::1", "API.TLS.UseTLS"), "https://[::1]:1234"),
        (("API.Host=https://example.org:444/",), "https://example.org:444"),
        (("API.Host=https://example.org", "API.Port=5"), "https://example.org:5"),
    ],
)
def test_a_client_finds_the_api_by_its_url(overrides, url):
    assert load(*overrides).api.url == url
