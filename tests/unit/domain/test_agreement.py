"""Who differs from whom, and what a rerun is."""

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_nats.domain.agreement import RUN, VERIFIES, Run, judge, rerun_of


def runs(outputs):
    return [Run(f"e-{n}", f"n{n}", made) for n, made in enumerate(outputs)]


@given(st.lists(st.sampled_from("abc"), max_size=7))
def test_runs_agree_exactly_when_all_made_the_same(made):
    assert judge(runs(made)).agrees == (len(set(made)) <= 1)


@given(st.lists(st.sampled_from("bcd"), max_size=6))
def test_a_majority_is_never_odd_and_everybody_else_is(others):
    made = ["a"] * (len(others) + 1) + others
    found = judge(runs(made))
    assert found.decided
    assert set(found.odd) == {f"e-{n}" for n, one in enumerate(made) if one != "a"}


def test_without_a_majority_nobody_is_said_to_be_right():
    found = judge(runs("ab"))
    assert (found.odd, found.decided) == (("e-0", "e-1"), False)
    assert not judge(runs("aabb")).decided


JOB = {
    "ID": "j-1",
    "Name": "mine",
    "Type": "batch",
    "Count": 3,
    "State": {"StateType": "Completed"},
    "Version": 4,
    "Labels": {"team": "red"},
    "Constraints": [{"Key": "region", "Operator": "=", "Values": ["eu"]}],
    "Tasks": [{"Name": "main", "Publisher": {"Type": "s3", "Params": {"Bucket": "b"}}}],
}


def test_a_rerun_is_a_job_of_its_own_elsewhere_that_says_what_it_is():
    again = rerun_of(JOB, number=2, avoid=["n2", "n1"], name="verify-1")
    assert again == {
        "Name": "verify-1",
        "Type": "batch",
        "Count": 3,
        "Labels": {"team": "red", VERIFIES: "j-1", RUN: "2"},
        "Constraints": [
            {"Key": "region", "Operator": "=", "Values": ["eu"]},
            {"Key": "name", "Operator": "notin", "Values": ["n1", "n2"]},
        ],
        "Tasks": [{"Name": "main", "Publisher": {"Type": "nats"}}],
    }


def test_a_rerun_publishes_nothing_where_the_job_does_not():
    bare = {**JOB, "Tasks": [{"Name": "main", "Publisher": {"Type": ""}}]}
    assert rerun_of(bare, number=1, avoid=[], name="v")["Tasks"] == bare["Tasks"]
    outputs = {**JOB, "Tasks": [{"Name": "main", "ResultPaths": [{"Name": "a", "Path": "/a"}]}]}
    assert rerun_of(outputs, number=1, avoid=[], name="v")["Tasks"][0]["Publisher"] == {"Type": "nats"}
