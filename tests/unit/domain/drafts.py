"""Drafts of jobs, drawn and written out."""

from hypothesis import strategies as st

words = st.text("abcz09-", min_size=1, max_size=8)
configs = st.fixed_dictionaries(
    {"Type": st.sampled_from(["docker", " Wasm ", "noop"])},
    optional={"Params": st.dictionaries(words, st.one_of(words, st.none(), st.integers()), max_size=2)},
)
inputs = st.lists(
    st.fixed_dictionaries({"Target": words.map(lambda t: f"/{t}"), "Source": configs}),
    max_size=3,
    unique_by=lambda source: source["Target"],
)
tasks = st.fixed_dictionaries(
    {"Name": words, "Engine": configs},
    optional={
        "Publisher": st.one_of(st.none(), configs),
        "Env": st.dictionaries(st.sampled_from(["A", "B_2"]), words, max_size=2),
        "InputSources": inputs,
        "Resources": st.fixed_dictionaries(
            {},
            optional={
                "CPU": st.sampled_from(["500M", "0.5", ""]),
                "Memory": st.sampled_from(["64 MB", "1Gi"]),
            },
        ),
        "Network": st.fixed_dictionaries({}, optional={"Type": st.sampled_from(["None", "Host"])}),
        "Timeouts": st.fixed_dictionaries({}, optional={"ExecutionTimeout": st.integers(0, 90)}),
    },
)
jobs = st.fixed_dictionaries(
    {
        "Type": st.sampled_from(["batch", "service", "ops", "daemon"]),
        "Tasks": st.lists(tasks, min_size=1, max_size=2),
    },
    optional={
        "Name": words,
        "ID": words,
        "Namespace": words,
        "Count": st.integers(0, 1),
        "Priority": st.integers(-5, 5),
        "Labels": st.dictionaries(words, words, max_size=2),
        "Meta": st.dictionaries(st.one_of(words, st.just("bacalhau.org/x")), words, max_size=2),
        "State": st.just({"StateType": "Running"}),
        "Version": st.integers(0, 3),
    },
)


def a_draft(**changes):
    """A small batch job as a client sends it."""
    task = {"Name": "main", "Engine": {"Type": "docker", "Params": {"Image": "busybox"}}}
    return {"Name": "a", "Type": "batch", "Tasks": [task | changes.pop("task", {})]} | changes
