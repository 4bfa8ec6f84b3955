"""Credentials are found where AWS clients look for them, and never shown."""

import pytest

from bacalhau_nats.clients.s3_credentials import find_credentials, may_have_credentials, why_none
from bacalhau_nats.clients.s3_library import load

SECRET = "a-secret-that-must-not-show"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.fixture
def found(tmp_path):
    load()
    vendor = tmp_path / "vendor"

    def look(**env):
        return find_credentials({"HOME": str(tmp_path), **env}, vendor)

    return look


def shared_file(folder, text):
    (folder / ".aws").mkdir(exist_ok=True)
    (folder / ".aws" / "credentials").write_text(text)


def test_the_environment_comes_first(found, tmp_path):
    shared_file(tmp_path, "[default]\naws_access_key_id = file\naws_secret_access_key = x\n")
    credentials = found(**KEYS, AWS_SESSION_TOKEN="token").retrieve()
    assert (credentials.access_key, credentials.session_token) == ("key", "token")


@pytest.mark.parametrize(("env", "key"), [({}, "first"), ({"AWS_PROFILE": "other"}, "second")])
def test_then_the_profile_of_the_shared_file(env, key, found, tmp_path):
    shared_file(
        tmp_path,
        "[default]\naws_access_key_id=first\naws_secret_access_key=x\n"
        "[other]\naws_access_key_id=second\naws_secret_access_key=x\n",
    )
    assert found(**env).retrieve().access_key == key


def test_a_shared_file_may_lie_elsewhere(found, tmp_path):
    (tmp_path / "keys").write_text("[default]\naws_access_key_id=there\naws_secret_access_key=x\n")
    assert found(AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "keys")).retrieve().access_key == "there"


@pytest.mark.parametrize("text", [f"aws_secret_access_key = {SECRET}\n", f"[default]\n{SECRET}\n"])
def test_a_damaged_file_is_told_without_what_is_in_it(text, found, tmp_path):
    shared_file(tmp_path, text)
    why = why_none(found())
    assert "cannot be read" in why
    assert SECRET not in why


def test_where_there_are_none_that_is_told(found):
    assert "AWS_ACCESS_KEY_ID" in why_none(found(AWS_ACCESS_KEY_ID="half"))
    assert why_none(found(**KEYS)) == ""


@pytest.mark.parametrize(
    ("env", "vendor", "expected"),
    [
        ({}, "", False),
        ({}, "QEMU\n", False),
        (KEYS, "", True),
        ({"AWS_ACCESS_KEY_ID": "half"}, "", False),
        ({}, "Amazon EC2\n", True),
        ({"AWS_EC2_METADATA_DISABLED": "true"}, "Amazon EC2\n", False),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/x"}, "", True),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}, "", True),
    ],
)
def test_a_role_is_asked_for_only_where_there_may_be_one(env, vendor, expected, tmp_path):
    file = tmp_path / "vendor"
    if vendor:
        file.write_text(vendor)
    assert may_have_credentials({"HOME": str(tmp_path), **env}, file) is expected
