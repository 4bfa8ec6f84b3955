"""Why a node would never run a job, or not now, in words that read after "this node"."""

import pytest

from bacalhau_nats.domain.bidding import why_never, why_not_now
from bacalhau_nats.domain.resources import Resources
from bacalhau_nats.domain.spec import InputSource, Requirement, ResourcesConfig, ResultPath, SpecConfig
from tests.support.builders import a_job, a_node, a_task

NODE = a_node(storages=("inline", "s3"), publishers=("local", "nats"), labels={"zone": "a"})


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({}, ""),
        ({"engine": SpecConfig(type=" NOOP ")}, ""),
        ({"engine": SpecConfig(type="docker")}, "does not support engine docker; it has noop"),
        ({"publisher": SpecConfig(type="Local")}, ""),
        ({"publisher": SpecConfig(type="noop")}, ""),
        ({"publisher": SpecConfig(type="s3")}, "does not support publisher s3; it has local, nats"),
        ({"publisher": SpecConfig(type="myPub")}, "does not support publisher myPub; it has local, nats"),
        ({"result_paths": (ResultPath(name="out", path="/out"),)}, ""),
        ({"input_sources": (InputSource(source=SpecConfig(type="S3"), target="/in"),)}, ""),
        (
            {"input_sources": (InputSource(source=SpecConfig(type="ipfs"), target="/in"),)},
            "does not support input source ipfs; it has inline, s3",
        ),
        ({"resources": ResourcesConfig(cpu="2", memory="1GB")}, ""),
        ({"resources": ResourcesConfig(gpu="1")}, "is too small for the job: GPU 1 of 0"),
        (
            {"resources": ResourcesConfig(cpu="3", memory="2GB")},
            "is too small for the job: CPU 3 of 2, memory 2.0 GB of 1.0 GB",
        ),
    ],
)
def test_whether_a_node_could_ever_run_a_task(task, reason):
    assert why_never(a_job(task=a_task().but(**task)), NODE) == reason


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        (Requirement(key="zone", operator="=", values=("a",)), ""),
        (Requirement(key="zone", operator="=", values=("b",)), "has labels that do not match [zone = b]"),
        (Requirement(key="favour_zone", operator="=", values=("b",)), ""),
    ],
)
def test_constraints_must_match_and_favours_need_not(requirement, reason):
    assert why_never(a_job(constraints=(requirement,)), NODE) == reason


def test_results_need_the_bus_publisher_where_none_is_named():
    job = a_job(task=a_task(result_paths=(ResultPath(name="out", path="/out"),)))
    assert why_never(job, a_node()) == "does not support publisher nats; it has none"


def test_every_reason_is_told():
    job = a_job(task=a_task(engine=SpecConfig(type="wasm"), publisher=SpecConfig(type="s3")))
    assert why_never(job, a_node()) == (
        "does not support engine wasm; it has noop; does not support publisher s3; it has none"
    )


def test_a_busy_node_says_what_is_missing():
    needs = Resources(milli_cpu=1500)
    assert why_not_now(needs, Resources(milli_cpu=500)) == "is busy: CPU 1.5 of 0.5 free"
    assert why_not_now(needs, Resources(milli_cpu=1500)) == ""
