"""Each rule for a job, with the text that the public server was recorded to answer."""

import pytest

from bacalhau_nats.domain.draft import decode_job
from bacalhau_nats.domain.faults import message_of
from bacalhau_nats.domain.intake import JobDefaults, fill, normalise, sanitise, to_spec
from bacalhau_nats.domain.spec import ResultPath, Task, Timeouts
from bacalhau_nats.domain.validation import show_duration, stored_faults, submission_faults
from tests.unit.domain.drafts import a_draft

SOURCE = {"Type": "inline", "Params": {"URL": "data:,x"}}
ENGINE = a_draft()["Tasks"][0]["Engine"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Type": ""}, "missing job type"),
        ({"Type": "cron"}, 'invalid job type: "cron"'),
        ({"Type": "Batch"}, 'invalid job type: "Batch"'),
        ({"Tasks": []}, "missing job tasks"),
        ({"Tasks": None}, "missing job tasks"),
        ({"Count": -1}, "job count must be >= 0"),
        ({"Type": "ops", "Count": 2}, "ops jobs cannot specify count > 1 as they run on all matching nodes"),
        (
            {"Type": "daemon", "Count": 3},
            "daemon jobs cannot specify count > 1 as they run on all matching nodes",
        ),
        (
            {"Type": "x", "Count": -2, "Tasks": []},
            'invalid job type: "x"\njob count must be >= 0\nmissing job tasks',
        ),
    ],
)
def test_rules_of_the_job(changes, message):
    assert message_of(submission_faults(decode_job(a_draft(**changes)))) == message


def test_no_job_at_all():
    assert message_of(submission_faults(None)) == "empty/nil job"


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ({"Operator": "exists"}, "selector key cannot be blank"),
        ({"Key": " ", "Operator": "exists"}, "selector key cannot be blank"),
        ({"Key": "a"}, "selector values must have exactly one value for other operators"),
        ({"Key": "a", "Operator": "~"}, "selector values must have exactly one value for other operators"),
        ({"Key": "a", "Operator": "in"}, "selector values cannot be empty for In or NotIn operators"),
        ({"Key": "a", "Operator": "notin", "Values": []}, "selector values cannot be empty for In or NotIn operators"),
        ({"Key": "a", "Operator": "exists", "Values": ["x"]}, "selector values must be empty for Exists or KeyNotInImap operators"),
        ({"Key": "a", "Operator": "=", "Values": ["x", "y"]}, "selector values must have exactly one value for other operators"),
        ({"Key": "a b", "Operator": "exists"}, ""),
        ({"Key": "a", "Operator": "gt", "Values": ["x"]}, ""),
    ],
)  # fmt: skip
def test_rules_of_constraints(requirement, message):
    fine = {"Key": "a", "Operator": "exists"}
    faults = submission_faults(decode_job(a_draft(Constraints=[fine, requirement])))
    assert message_of(faults) == (f"constraint 2 validation failed: {message}" if message else "")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"Engine": None}, "invalid engine: nil spec config"),
        ({"Engine": {"Params": {}}}, "invalid engine: missing spec type"),
        ({"Engine": {"Type": "  "}}, "invalid engine: missing spec type"),
        ({"Timeouts": {"ExecutionTimeout": -1}}, "invalid timeouts: invalid execution timeout value: 0s"),
        ({"Timeouts": {"QueueTimeout": -1}}, "invalid timeouts: invalid queue timeout value: -1s"),
        ({"Timeouts": {"TotalTimeout": -1}}, "invalid timeouts: invalid total timeout value: -1s"),
        ({"Resources": {"CPU": "lots"}}, "invalid resources: invalid CPU value: lots"),
        ({"Resources": {"CPU": "-1"}}, "invalid resources: invalid CPU value: -1.000000"),
        ({"Resources": {"Memory": "12zz"}}, "invalid resources: invalid memory value: 12zz"),
        ({"Resources": {"Disk": "-"}}, "invalid resources: invalid disk value: -"),
        ({"Resources": {"GPU": "1.5"}}, "invalid resources: invalid GPU value: 1.5"),
        ({"Resources": {"CPU": "a", "Memory": "b", "Disk": "c", "GPU": "d"}}, "invalid resources: invalid GPU value: d"),
        ({"Env": {"abc": "1"}}, "environment variable 'abc' must be uppercase"),
        ({"Env": {"1A": "1"}}, "environment variable '1A' must start with a letter"),
        ({"Env": {"_A": "1"}}, "environment variable '_A' must start with a letter"),
        ({"Env": {"A-B": "1"}}, "environment variable 'A-B' can only contain letters, numbers, and underscores"),
        ({"Env": {"BACALHAU_X": "1"}}, "environment variable 'BACALHAU_X' cannot start with BACALHAU_"),
        ({"Env": {"": "1"}}, "environment variable name cannot be empty"),
        ({"Env": {"A": ""}}, "environment variable 'A' cannot have empty value"),
        ({"InputSources": [{"Source": SOURCE}]}, "invalid input sources: input source is missing a target"),
        ({"InputSources": [{"Target": "/x"}]}, "invalid input sources: invalid input source: nil spec config"),
        ({"InputSources": [{"Source": {"Params": {}}, "Target": "/x"}]}, "invalid input sources: invalid input source: missing spec type"),
        ({"InputSources": [{"Source": SOURCE, "Target": "/x"}] * 2}, "input source with target '/x' already exists"),
        ({"InputSources": [{"Source": SOURCE, "Target": t, "Alias": "a"} for t in "xy"]}, "input source with alias 'a' already exists"),
        ({"ResultPaths": [{"Path": "/x"}]}, "invalid output: missing name"),
        ({"ResultPaths": [{"Name": "x"}]}, "invalid output: missing path\nresult path `` must be absolute"),
        ({"ResultPaths": [{"Name": "x", "Path": "x"}]}, "invalid output: result path `x` must be absolute"),
        ({"ResultPaths": [{"Name": "x", "Path": p} for p in ("/x", "/y")]}, "result path with name 'x' already exists"),
        ({"ResultPaths": [{"Name": n, "Path": "/x"} for n in "xy"]}, "result path '/x' already exists"),
        ({"Network": {"Type": "Full", "Domains": ["example.com"]}}, "invalid network: domains can only be set for HTTP network mode"),
        ({"Network": {"Type": "HTTP", "Domains": ["EXAMPLE.com"]}}, 'invalid network: invalid domain "EXAMPLE.com"'),
        ({"Network": {"Type": "HTTP", "Domains": [""]}}, 'invalid network: invalid domain ""'),
        ({"Network": {"Type": "HTTP", "Ports": [{"Name": "a"}]}}, "invalid network: ports can only be set for Host or Bridge network modes"),
        ({"Network": {"Type": "Host", "Ports": [{"Static": 2000}]}}, "invalid network: port mapping name is required"),
        ({"Network": {"Type": "Host", "Ports": [{"Name": "a"}, {"Name": "a"}]}}, 'invalid network: duplicate port mapping name "a"'),
        ({"Network": {"Type": "Host", "Ports": [{"Name": "a", "Static": 80}]}}, "invalid network: static port 80 is in privileged port range (1-1023)"),
        ({"Network": {"Type": "Host", "Ports": [{"Name": "a", "Static": 70000}]}}, "invalid network: static port 70000 is above maximum valid port 65535"),
        ({"Network": {"Type": "Host", "Ports": [{"Name": n, "Static": 2000} for n in "ab"]}}, "invalid network: duplicate port mapping static port 2000"),
        ({"Network": {"Type": "Host", "Ports": [{"Name": "a", "Target": 80}]}}, "invalid network: target ports cannot be set for Host network mode"),
        ({"Network": {"Type": "Bridge", "Ports": [{"Name": "a", "Target": -1}]}}, "invalid network: invalid target port -1"),
        ({"Network": {"Type": "Bridge", "Ports": [{"Name": n, "Target": 80} for n in "ab"]}}, "invalid network: duplicate port mapping target port 80"),
        ({"Network": {"Type": "Bridge", "Ports": [{"Name": "a", "HostNetwork": "here"}]}}, "invalid network: invalid host network IP address: here"),
    ],
)  # fmt: skip
def test_rules_of_tasks(task, message):
    faults = submission_faults(decode_job(a_draft(task=task)))
    assert message_of(faults) == f"task main validation failed: {message}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a-b", "port name must be a valid environment"),
        ("1a", "port name must be a valid environment"),
        ("a" * 238, "port name too long (max 237 characters)"),
        ("a" * 237, ""),
    ],
)
def test_port_names_are_names_of_variables(name, message):
    task = {"Network": {"Type": "Host", "Ports": [{"Name": name}]}}
    found = message_of(submission_faults(a_draft(task=task)))
    assert message in found
    assert bool(found) == bool(message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "task  validation failed: missing task name"),
        (" ", "task   validation failed: missing task name"),
        ("a\0", "task a\0 validation failed: task name cannot contain null characters"),
    ],
)
def test_rules_of_task_names(name, message):
    assert message_of(submission_faults(a_draft(task={"Name": name}))) == message


@pytest.mark.parametrize("domain", ["http://example.com", "*.example.com", "10.0.0.1", "example.com"])
def test_domains_are_checked_loosely(domain):
    assert submission_faults(a_draft(task={"Network": {"Type": "HTTP", "Domains": [domain]}})) == []


@pytest.mark.parametrize(
    "domain",
    ["localhost", "a.b", "A.com", "x_y.com", "a-.com", "a..b", "*", "[::1]", "fe80::1%eth0", "é.com", ""],
)
def test_a_domain_has_a_name_before_its_top_level_of_letters(domain):
    for kind, first in (("HTTP", ""), ("Host", "domains can only be set for HTTP network mode\n")):
        task = {"Network": {"Type": kind, "Domains": [domain]}}
        found = message_of(submission_faults(a_draft(task=task)))
        assert found == f'task main validation failed: invalid network: {first}invalid domain "{domain}"'


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("ß", False),
        ("A٣", False),
        ("字", False),
        ("ﬁ", False),
        ("A²", True),
        ("A½", True),
        ("Ⅷ", True),
        ("á", True),
    ],
)
def test_names_of_variables_are_upper_case_letters_and_digits_of_any_script(name, wrong):
    assert bool(submission_faults(a_draft(task={"Env": {name: "x"}}))) == wrong


def test_a_network_type_and_an_alias_are_read_without_blanks():
    inputs = [
        {"Source": ENGINE, "Alias": alias, "Target": target} for alias, target in ((" x ", "/a"), ("x", "/b"))
    ]
    draft = decode_job(a_draft(task={"Network": {"Type": " host "}, "InputSources": inputs}))
    assert draft["Tasks"][0]["Network"]["Type"] == "Host"
    assert "alias 'x' already exists" in message_of(submission_faults(draft))


def test_all_faults_are_collected_each_with_its_place():
    faults = submission_faults(
        decode_job(a_draft(Count=-1, Tasks=[{"Name": "main", "Engine": ENGINE}, {"Env": {"a": "b"}}]))
    )
    assert [fault.path for fault in faults] == [
        "Job.Count",
        "Job.Tasks[1].Name",
        "Job.Tasks[1].Env.a",
        "Job.Tasks[1].Engine",
    ]


def stored(**changes):
    draft, _ = sanitise(normalise(decode_job(a_draft())))
    spec = to_spec(fill(draft, JobDefaults()), id="j-1")
    return spec.but(**changes)


def with_task(**changes):
    task: Task = stored().task
    return {"tasks": (task.but(**changes),)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": " "}, "missing job ID\njob ID contains a space"),
        ({"id": "a b"}, "job ID contains a space"),
        ({"id": "a\0"}, "job ID contains a null character"),
        ({"name": "  "}, "missing job name"),
        ({"name": "a\0b"}, "job Name contains a null character"),
        ({"namespace": " "}, "job must be in a namespace"),
        (
            with_task(timeouts=Timeouts(execution_timeout=50, queue_timeout=60, total_timeout=100)),
            (
                "task main validation failed: task timeouts validation failed: execution timeout 50s and queue "
                "timeout 1m0s should be less than total timeout 1m40s"
            ),
        ),
        (with_task(result_paths=(ResultPath(name="x", path="/x"),)), ""),  # kept on the bus then
        (with_task(timeouts=Timeouts(execution_timeout=100, total_timeout=100)), ""),
        ({}, ""),
    ],
)
def test_rules_of_a_completed_job(changes, message):
    assert message_of(stored_faults(stored(**changes))) == message


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (50, "50s"),
        (100, "1m40s"),
        (300, "5m0s"),
        (3600, "1h0m0s"),
        (90061, "25h1m1s"),
        (-61, "-1m1s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds, shown):
    assert show_duration(seconds) == shown


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"CPU": "x", "Memory": "y", "Disk": "z"},
            "CPU value: x|invalid memory value: y|invalid disk value: z",
        ),
        ({"CPU": "x", "Memory": "y", "Disk": "z", "GPU": "w"}, "GPU value: w"),
        ({"Memory": "1 mb MB", "Disk": "1gb"}, "memory value: 1mbmb"),
    ],
)
def test_all_amounts_that_do_not_parse_are_named_unless_it_is_the_gpus(wanted, message):
    found = message_of(submission_faults(a_draft(task={"Resources": wanted})))
    assert found == "task main validation failed: invalid resources: invalid " + message.replace("|", "\n")


def test_a_task_is_checked_in_the_order_of_the_public_server():
    task = {"Name": "a\0", "Env": {"a": "b"}, "Engine": {"Type": ""}, "Resources": {"CPU": "x"}}
    lines = message_of(submission_faults(a_draft(task=task))).splitlines()
    assert ["null" in lines[0], "uppercase" in lines[1], "engine" in lines[2], "CPU" in lines[3]] == [
        True
    ] * 4
