"""A node lends the files its operator listed, and no others, whatever links say."""

import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import InvalidSettings
from bacalhau_nats.ports import PluginContext, WorkFailed
from bacalhau_nats.storage.allowlist import AllowList
from bacalhau_nats.storage.local import open_local
from bacalhau_nats.testing.storage import RecordedLog


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "sub/deep").mkdir(parents=True)
    (folder / "a.csv").write_text("a")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("key")
    return folder


def lend(tmp_path, *entries):
    settings = {"AllowListedLocalPaths": list(entries)}
    return open_local(PluginContext("test", NodeID("n-1"), tmp_path / "node", settings))


def local(path, **params):
    return SpecConfig(type="localDirectory", params={"SourcePath": str(path), **params})


async def fetch(storage, source, tmp_path):
    return await storage.fetch(source, "/in", tmp_path / "into", RecordedLog())


@pytest.mark.parametrize(
    ("glob", "path", "allowed"),
    [
        ("/x/**", "/x", True),
        ("/x/**", "/x/a/b", True),
        ("/x/**", "/xy", False),
        ("/x/*", "/x/a", True),
        ("/x/*", "/x/a/b", False),
        ("/x/*", "/x", False),
        ("/x", "/x", True),
        ("/x", "/x/a", False),
        ("/x/", "/x", True),
        ("/x/**/c", "/x/c", True),
        ("/x/**/c", "/x/a/b/c", True),
        ("/x/**/c", "/x/abc", False),
        ("/x/?.csv", "/x/a.csv", True),
        ("/x/?.csv", "/x/aXcsv", False),
        ("/x/[a-c]", "/x/b", True),
        ("/x/[!a-c]", "/x/b", False),
        ("/x/[!a-c]", "/x/d", True),
        ("/x/{a,b*}/c", "/x/bb/c", True),
        ("/x/{a,b}/c", "/x/d/c", False),
        ("/**", "/anything/at/all", True),
        ("/x/**", "/x/../y", False),
        ("/x/a+b", "/x/aab", False),
    ],
)
def test_globs_mean_what_a_shell_user_expects(glob, path, allowed):
    assert (AllowList([glob]).refuses(path, write=False) == "") is allowed


def test_the_right_to_write_must_be_given():
    entries = AllowList(["/x/ro", "/x/also:ro", "/x/rw:rw"])
    assert entries.refuses("/x/rw", write=True) == ""
    assert entries.refuses("/x/rw", write=False) == ""
    assert ":rw" in entries.refuses("/x/ro", write=True)
    assert ":rw" in entries.refuses("/x/also", write=True)
    assert AllowList(["/x/**", "/x/w:rw"]).refuses("/x/w", write=True) == ""


async def test_an_allowed_path_is_lent_as_it_is(data, tmp_path):
    async with lend(tmp_path, f"{data}/**") as storage:
        volume = await fetch(storage, local(data / "a.csv"), tmp_path)
    assert (volume.source, volume.target, volume.read_only) == (data / "a.csv", "/in", True)
    assert not (tmp_path / "into").exists()


async def test_a_refusal_names_path_list_and_setting(data, tmp_path):
    async with lend(tmp_path, "/nothing/*:rw") as storage:
        why = storage.refuses(local(data))
        for word in (str(data), "/nothing/*:rw", "Compute.AllowListedLocalPaths"):
            assert word in why
        with pytest.raises(WorkFailed) as caught:
            await fetch(storage, local(data), tmp_path)
    assert caught.value.failure.reason is Reason.INPUT


async def test_nothing_is_lent_when_nothing_is_listed(data, tmp_path):
    async with lend(tmp_path) as storage:
        assert "empty" in storage.refuses(local(data))


@pytest.mark.parametrize("way", ["link/key", "sub/up/../../../secret/key", "file", "../secret/key"])
async def test_a_link_out_of_the_list_is_followed_before_it_is_judged(way, data, tmp_path):
    (data / "link").symlink_to(tmp_path / "secret")
    (data / "sub/up").symlink_to("deep")
    (data / "file").symlink_to("link/key")
    async with lend(tmp_path, f"{data}/**:rw") as storage:
        why = storage.refuses(local(data / way))
        assert "not allowed" in why
        assert str(tmp_path / "secret/key") in why or "secret" in way
        with pytest.raises(WorkFailed):
            await fetch(storage, local(data / way), tmp_path)


async def test_the_operators_own_links_may_be_listed(data, tmp_path):
    (tmp_path / "alias").symlink_to(data)
    async with lend(tmp_path, f"{tmp_path}/alias/**") as storage:
        volume = await fetch(storage, local(tmp_path / "alias/a.csv"), tmp_path)
    assert volume.source == data / "a.csv"


@pytest.mark.parametrize(("create_as", "made"), [("dir", "is_dir"), ("file", "is_file")])
async def test_a_missing_path_is_made_when_writable(create_as, made, data, tmp_path):
    async with lend(tmp_path, f"{data}/**:rw") as storage:
        source = local(data / "new/thing", ReadWrite="true", CreateAs=create_as)
        volume = await fetch(storage, source, tmp_path)
    assert getattr(volume.source, made)()
    assert not volume.read_only


@pytest.mark.parametrize(
    "params", [{}, {"CreateAs": "dir"}, {"ReadWrite": True}, {"ReadWrite": True, "CreateAs": "noCreate"}]
)
async def test_a_missing_path_fails_otherwise(params, data, tmp_path):
    async with lend(tmp_path, f"{data}/**:rw") as storage:
        with pytest.raises(WorkFailed, match="No such file"):
            await fetch(storage, local(data / "new", **params), tmp_path)
    assert not (data / "new").exists()


@pytest.mark.parametrize(
    "params", [{}, {"SourcePath": ""}, {"SourcePath": "relative"}, {"SourcePath": "/x", "CreateAs": "socket"}]
)
async def test_parameters_that_cannot_work_are_refused(params, tmp_path):
    async with lend(tmp_path, "/**") as storage:
        assert storage.refuses(SpecConfig(type="local", params=params))


async def test_an_entry_that_is_no_path_is_a_mistake_in_the_settings(tmp_path):
    with pytest.raises(InvalidSettings, match=r"Compute\.AllowListedLocalPaths.*'data/\*\*'"):
        async with lend(tmp_path, "data/**"):
            pass


@pytest.mark.parametrize(
    ("there", "params", "refused"),
    [
        (True, {}, False),
        (False, {}, True),
        (False, {"ReadWrite": True}, True),
        (False, {"ReadWrite": True, "CreateAs": "dir"}, False),
        (False, {"CreateAs": "dir"}, True),  # only read-write sources are made
    ],
)
async def test_a_node_without_the_data_leaves_the_job_to_one_that_has_it(
    there, params, refused, data, tmp_path
):
    path = data / "somewhere"
    if there:
        path.mkdir()
    async with lend(tmp_path, f"{data}/**:rw") as storage:
        why = storage.refuses(local(path, **params))
    assert why == (f"does not have the local input {path}" if refused else "")
