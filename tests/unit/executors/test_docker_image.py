from __future__ import annotations

import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.executors.docker_errors import EngineError, EngineGone, tidy, work_failed
from bacalhau_nats.executors.docker_image import Images, PullProgress, pull_failed
from bacalhau_nats.executors.docker_link import EngineLink
from bacalhau_nats.executors.docker_settings import DockerSettings
from bacalhau_nats.ports import WorkFailed
from tests.support.docker import Sink


def downloading(current, total=1000, layer="abc"):
    detail = {"current": current, "total": total}
    return {"id": layer, "status": "Downloading", "progressDetail": detail}


def test_a_long_download_is_a_few_lines():
    progress = PullProgress()
    lines = [line for at in range(1001) if (line := progress.feed(downloading(at)))]
    assert [line.split(": ")[1].split("%")[0] for line in lines] == ["0", "25", "50", "75", "100"]


def test_each_layer_is_told_of_and_small_talk_is_not():
    progress = PullProgress()
    assert progress.feed({"id": "abc", "status": "Pulling fs layer"}) == ""
    assert progress.feed({"status": "Digest: sha256:00"}) == ""
    assert progress.feed({"id": "abc", "status": "Pull complete"}) == "layer abc pulled"
    assert progress.feed({"id": "def", "status": "Already exists"}) == "layer def is there already"
    assert progress.feed(downloading(0, 0)) == ""


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (EngineError("pull access denied for x, repository does not exist", 404), Reason.INVALID, False),
        (EngineError("manifest for x:1 not found: manifest unknown", 404), Reason.INVALID, False),
        (EngineError("invalid reference format", 400), Reason.INVALID, False),
        (EngineError("unauthorized: authentication required", 500), Reason.INVALID, False),
        (EngineError("Get https://r/v2/: dial tcp: connection refused", 500), Reason.INPUT, True),
        (EngineError("Get https://r/v2/: dial tcp: lookup r: no such host", 500), Reason.INPUT, True),
        (EngineError("toomanyrequests: You have reached your pull rate limit", 500), Reason.INPUT, True),
        (EngineGone("connection reset"), Reason.ENGINE, True),
    ],
)
def test_who_is_to_blame_for_a_failed_pull(error, reason, retryable):
    failure = pull_failed("x:1", error).failure
    assert (failure.reason, failure.retryable) == (reason, retryable)
    assert "x:1" in failure.message
    assert str(error) in failure.message
    assert failure.hint


async def test_a_node_that_must_not_fetch_says_which_image_is_missing_and_may_leave_it_to_another():
    images = Images(EngineLink(DockerSettings(host="tcp://127.0.0.1:1")), {}, offline=True)
    with pytest.raises(WorkFailed, match="image busybox:9 is not on this node, and SkipImagePull") as caught:
        await images.pull("busybox:9", Sink())
    assert (caught.value.failure.reason, caught.value.failure.retryable) == (Reason.INPUT, True)
    assert "SKIP_IMAGE_PULL" in caught.value.failure.hint


def test_the_engines_wrapping_is_taken_off():
    wrapped = (
        "failed to create shim task: OCI runtime create failed: runc create failed: "
        'unable to start container process: exec: "nope": executable file not found in $PATH: unknown'
    )
    assert tidy(wrapped) == 'exec: "nope": executable file not found in $PATH'


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (EngineError('exec: "nope": executable file not found in $PATH', 400), Reason.INVALID, False),
        (EngineError("Cannot mkdir: /etc/passwd is not a directory", 500), Reason.INVALID, False),
        (EngineError("bind source path does not exist: /x", 400), Reason.ENGINE, True),
        (EngineError("could not select device driver", 500), Reason.ENGINE, True),
        (EngineGone("broken pipe"), Reason.ENGINE, True),
    ],
)
def test_who_is_to_blame_for_a_failed_start(error, reason, retryable):
    failure = work_failed(error, "start").failure
    assert (failure.reason, failure.retryable) == (reason, retryable)
