"""Profiles: kept, shown and chosen, and which server and credential a command then uses."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest
import yaml
from bacalhau_cli.connection import connection
from bacalhau_cli.context import Caller
from bacalhau_cli.profiles import Profile, Profiles, address
from hypothesis import example, given
from hypothesis import strategies as st

from bacalhau_nats.errors import NotFound, UserError
from tests.unit.cli.conftest import Run
from tests.unit.client.fake_api import Answer, FakeApi

JOBS = "/api/v1/orchestrator/jobs"
DEFAULT = "http://127.0.0.1:1234"
PROD = "https://prod.example:8443"


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    """The profiles of the user whose home is the test's folder."""
    return Profiles(tmp_path / ".bacalhau")


def test_a_profile_is_saved_listed_shown_selected_and_deleted(run: Run, profiles: Profiles) -> None:
    assert run("profile", "list").err == "No profiles found\n"
    assert run("profile", "list", "--output", "json").out == "[]\n"
    saved = run(
        "profile", "save", "prod", "--endpoint", PROD, "--timeout", "2m", "--description", "the real one"
    )
    assert (saved.code, saved.out) == (0, 'Profile "prod" saved\n')
    assert run("profile", "save", "dev", "--endpoint", "localhost:1234", "--select").out == (
        'Profile "dev" saved\nSwitched to profile "dev"\n'
    )
    assert run("profile", "list").out.splitlines() == [
        "CURRENT  NAME  ENDPOINT                   AUTH",
        "*        dev   http://localhost:1234",
        "         prod  https://prod.example:8443",
    ]
    assert run("profile", "show", "prod").out.splitlines() == [
        "Name:        prod",
        f"Endpoint:    {PROD}",
        "Auth:        none",
        "TLS:         secure",
        "Timeout:     2m",
        "Description: the real one",
    ]
    assert run("profile", "select", "prod").out == 'Switched to profile "prod"\n'
    assert "Name:        prod (current)" in run("profile", "show").out
    assert "Name:        dev\n" in run("profile", "show", BACALHAU_PROFILE="dev").out
    assert run("profile", "delete", "dev").out == 'Profile "dev" deleted\n'
    asked = run("profile", "delete", "prod")
    assert (asked.code, profiles.names()) == (1, ["prod"])
    assert "--force" in asked.err
    assert run("profile", "delete", "prod", "-f").code == 0
    assert (profiles.names(), profiles.current()) == ([], "")
    assert "no current profile set" in run("profile", "show").err


def test_only_the_user_may_read_a_profile_and_the_link_is_relative(run: Run, profiles: Profiles) -> None:
    run("profile", "save", "prod", "--endpoint", PROD, "--select")
    assert stat.S_IMODE((profiles.folder / "prod.yaml").stat().st_mode) == 0o600
    assert stat.S_IMODE(profiles.folder.stat().st_mode) == 0o700
    assert str((profiles.folder / "current").readlink()) == "prod.yaml"
    assert sorted(path.name for path in profiles.folder.iterdir()) == ["current", "prod.yaml"]


def test_what_is_not_given_stays_as_it_was(run: Run, profiles: Profiles) -> None:
    profiles.save("prod", Profile(PROD, "d", "5s", "the-token", insecure=True))
    run("profile", "save", "prod", "--timeout", "9s")
    assert profiles.load("prod") == Profile(PROD, "d", "9s", "the-token", insecure=True)
    run("profile", "save", "prod", "--insecure=false", "--description", "")
    assert profiles.load("prod") == Profile(PROD, "", "9s", "the-token")


def test_a_token_does_not_go_along_to_another_server(run: Run, profiles: Profiles) -> None:
    profiles.save("prod", Profile(PROD, token="the-token"))
    done = run("profile", "save", "prod", "--endpoint", "https://other.example")
    assert profiles.load("prod") == Profile("https://other.example")
    assert "token" in done.err


@pytest.mark.parametrize(("token", "shown"), [("abcdefgh", "****"), ("abcd-long-token-wxyz", "abcd****wxyz")])
def test_a_token_is_shown_when_asked_for(run: Run, profiles: Profiles, token: str, shown: str) -> None:
    profiles.save("prod", Profile(PROD, token=token))
    assert f"token ({shown})" in run("profile", "show", "prod").out
    assert f"token ({token})" in run("profile", "show", "prod", "--show-token").out
    for form in ("table", "json", "csv", "yaml"):
        assert token not in run("profile", "list", "--output", form).out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("save", "prod"), "needs an endpoint"),
        (("save", "a/b", "--endpoint", PROD), "no name of a profile"),
        (("save", "..", "--endpoint", PROD), "no name of a profile"),
        (("save", " ", "--endpoint", PROD), "no name of a profile"),
        (("save", "x\n", "--endpoint", PROD), "no name of a profile"),
        (("save", "prod", "--endpoint", "ftp://h"), "not the address of a server"),
        (("save", "prod", "--endpoint", "http://"), "not the address of a server"),
        (("save", "prod", "--endpoint", "h:port"), "not the address of a server"),
        (("save", "prod", "--endpoint", "http://me:pw@h"), "must not hold a name or password"),
        (("save", "prod", "--endpoint", PROD, "--timeout", "soon"), "not a duration"),
        (("save", "prod", "--endpoint", PROD, "--timeout", "0s"), "more than 0"),
        (("show", "prod"), 'profile "prod" not found'),
        (("select", "prod"), 'profile "prod" not found'),
        (("delete", "prod"), 'profile "prod" not found'),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    run: Run, profiles: Profiles, args: tuple[str, ...], told: str
) -> None:
    done = run("profile", *args)
    assert (done.code, done.out) == (1, "")
    assert told in done.err
    assert "Hint: " in done.err
    assert not profiles.folder.exists() or not list(profiles.folder.iterdir())


@pytest.mark.parametrize(
    "text", ["", "a: [", "[]", "auth: {token: t}", "endpoint: h\nauth: x", "endpoint: h\ntls: 1"]
)
def test_a_damaged_profile_is_named_with_how_to_mend_it(run: Run, profiles: Profiles, text: str) -> None:
    profiles.save("prod", Profile(PROD))
    (profiles.folder / "prod.yaml").write_text(text)
    done = run("agent", "alive", "--profile", "prod", BACALHAU_API_HOST="")
    assert done.code == 1
    assert "prod.yaml is damaged" in done.err
    assert "bacalhau profile save prod" in done.err
    listed = run("profile", "list")
    assert "prod" in listed.out
    assert "damaged" in listed.err


def test_a_profile_of_the_original_is_read(profiles: Profiles) -> None:
    profiles.folder.mkdir(parents=True)
    written = {
        "endpoint": PROD,
        "auth": {"token": "t"},
        "tls": {"insecure": False},
        "timeout": "1m0s",
        "more": 1,
    }
    (profiles.folder / "my server.yaml").write_text(yaml.safe_dump(written))
    assert profiles.names() == ["my server"]
    assert profiles.load("my server") == Profile(PROD, "", "1m0s", "t")


@given(st.builds(Profile, endpoint=st.text(min_size=1), description=st.text(), timeout=st.text(), token=st.text(), insecure=st.booleans()))  # fmt: skip
def test_what_is_saved_is_what_is_loaded(tmp_path_factory: pytest.TempPathFactory, profile: Profile) -> None:
    profiles = Profiles(tmp_path_factory.mktemp("p"))
    profiles.save("a", profile)
    assert profiles.load("a") == profile


@given(st.text())
@example("0\x0c/")
@example("a b")
def test_an_address_is_a_scheme_a_host_and_a_port_or_refused(text: str) -> None:
    try:
        found = address(text)
    except UserError:
        return
    assert found.startswith(("http://", "https://"))
    assert address(found) == found


# --- which server, which credential --------------------------------------------------------------------------


@pytest.fixture
def asked(profiles: Profiles, tmp_path: Path):
    """Tell which server and credential a command line, with an environment, stands for; there is a profile prod."""
    profiles.save("prod", Profile(PROD, timeout="7s", token="of-prod", insecure=True))
    profiles.save("dev", Profile("http://dev:1", token="of-dev"))

    def ask(given: dict[str, object] | None = None, **environ: str) -> tuple[str, str]:
        found = connection(Caller({"HOME": str(tmp_path), **environ}, dict(given or {})))
        return found.url, found.credential.authorization if found.credential else ""

    return ask


def test_without_a_word_it_is_the_default_server_and_nobody(asked) -> None:
    assert asked() == (DEFAULT, "")


def test_a_profile_is_named_by_flag_then_environment_then_by_being_current(asked, profiles: Profiles) -> None:
    assert asked({"profile": "prod"}) == (PROD, "Bearer of-prod")
    assert asked(BACALHAU_PROFILE="prod") == (PROD, "Bearer of-prod")
    assert asked({"profile": "dev"}, BACALHAU_PROFILE="prod") == ("http://dev:1", "Bearer of-dev")
    profiles.select("prod")
    assert asked() == (PROD, "Bearer of-prod")
    assert asked(BACALHAU_PROFILE="dev") == ("http://dev:1", "Bearer of-dev")


@pytest.mark.parametrize(
    ("given_", "environ"),
    [
        ({"api_host": "h", "api_port": 9}, {}),
        ({}, {"BACALHAU_API_HOST": "h", "BACALHAU_API_PORT": "9"}),
        ({"config": ("API.Host=h", "API.Port=9")}, {}),
    ],
)
def test_a_server_that_is_named_goes_before_a_profile_and_gets_not_its_token(
    asked,
    profiles: Profiles,
    capsys: pytest.CaptureFixture[str],
    given_: dict[str, object],
    environ: dict[str, str],
) -> None:
    profiles.select("prod")
    assert asked(given_, **environ) == ("http://h:9", "")
    assert capsys.readouterr().err == ""
    assert asked({**given_, "profile": "prod"}, **environ) == ("http://h:9", "")
    told = capsys.readouterr().err
    assert "http://h:9" in told
    assert PROD in told


def test_naming_the_profiles_own_server_keeps_its_token(asked) -> None:
    assert asked({"profile": "prod"}, BACALHAU_API_HOST=PROD) == (PROD, "Bearer of-prod")


def test_where_a_node_listens_is_no_wish_of_its_user(asked, profiles: Profiles, tmp_path: Path) -> None:
    profiles.select("prod")
    file = tmp_path / ".bacalhau" / "config.yaml"
    file.write_text("API: {Host: 0.0.0.0, Port: 1234}")
    assert asked() == (PROD, "Bearer of-prod")
    file.write_text("API: {Host: h, Port: 1234}")
    assert asked() == ("http://h:1234", "")


def test_credentials_go_environment_profile_provider_server(asked, tmp_path: Path) -> None:
    data = tmp_path / ".bacalhau"
    (data / "tokens.json").write_text(json.dumps({DEFAULT: "of-server", PROD: "x"}))
    assert asked() == (DEFAULT, "Bearer of-server")
    (data / "jwt-tokens.json").write_text(json.dumps({DEFAULT: "of-provider", PROD: "x"}))
    assert asked() == (DEFAULT, "Bearer of-provider")
    assert asked({"profile": "prod"}) == (PROD, "Bearer of-prod")
    assert asked({"profile": "prod"}, BACALHAU_API_KEY="k") == (PROD, "Bearer k")


def test_a_profile_sets_the_time_limit_and_what_is_trusted(asked, tmp_path: Path) -> None:
    found = connection(Caller({"HOME": str(tmp_path)}, {"profile": "prod"}))
    assert (found.timeout, found.verify) == (7.0, False)
    plain = connection(Caller({"HOME": str(tmp_path)}))
    assert (plain.timeout, plain.verify) == (30.0, True)


@pytest.mark.parametrize(
    ("given_", "environ"), [({"profile": "typo"}, {}), ({}, {"BACALHAU_PROFILE": "typo"})]
)
def test_a_profile_that_is_not_there_is_an_error_and_not_another_server(
    asked, given_: dict[str, object], environ: dict[str, str]
) -> None:
    with pytest.raises(NotFound, match='profile "typo" not found') as caught:
        asked(given_, **environ)
    assert "dev, prod" in caught.value.hint


def test_a_current_profile_that_was_removed_by_hand_is_an_error(asked, profiles: Profiles) -> None:
    profiles.select("prod")
    (profiles.folder / "prod.yaml").unlink()
    with pytest.raises(NotFound, match='current profile "prod" does not exist any more'):
        asked()


@pytest.mark.parametrize(
    "words",
    [
        ("job", "list"),
        ("node", "list"),
        ("agent", "node"),
        ("agent", "alive"),
        ("version",),
        ("auth", "info"),
    ],
)
def test_every_command_that_asks_a_server_takes_a_profile_wherever_it_stands(
    run: Run, api: FakeApi, profiles: Profiles, words: tuple[str, ...]
) -> None:
    profiles.save("here", Profile(api.url, token="of-here"))
    group, *rest = words
    for line in ((*words, "--profile", "here"), (group, "--profile", "here", *rest)):
        before = len(api.asked)
        run(*line, BACALHAU_API_HOST="")
        assert len(api.asked) == before + 1


@pytest.mark.parametrize("words", [("config", "list"), ("profile", "list"), ("serve",), ("devstack",)])
def test_commands_that_ask_no_server_take_none(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, "--profile", "x")
    assert done.code == 2
    assert "--profile" in done.err


def test_a_time_limit_of_a_profile_is_kept(run: Run, api: FakeApi, profiles: Profiles) -> None:
    gate = threading.Event()
    profiles.save("slow", Profile(api.url, timeout="20ms"))
    api.on("GET /api/v1/agent/alive", lambda _: Answer({"Status": "OK"}) if gate.wait(10) else None)
    done = run("agent", "alive", "--profile", "slow", BACALHAU_API_HOST="")
    gate.set()
    assert done.code == 1
    assert "did not answer within 0.02 s" in done.err
