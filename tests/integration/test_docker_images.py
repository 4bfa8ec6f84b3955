"""Engine `docker` and registries."""

from __future__ import annotations

import asyncio
import time

import pytest

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.ports import WorkFailed
from tests.support.docker import IMAGE, Bench, Sink, docker_work
from tests.support.registry import Registry
from tests.support.waiting import eventually

pytestmark = pytest.mark.docker


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def registry(bench):
    with Registry(b"".join(bench.api.get_image(IMAGE))) as registry:
        yield registry
        for image in bench.api.images():
            for tag in image["RepoTags"] or ():
                if tag.startswith(registry.address):
                    bench.api.remove_image(tag, force=True)


async def test_a_missing_image_is_pulled_and_people_see_how(bench, registry):
    image = f"{registry.address}/some/thing:1"
    logs = Sink()
    async with bench.open() as executor:
        assert (await executor.run(docker_work("echo", "hi", image=image), logs)).exit_code == 0
    assert logs.stdout == "hi\n"
    assert logs.events[0] == f"pulling image {image}"
    assert logs.events[-1].startswith(f"pulled image {image} in ")
    assert any("layer" in line and "pulled" in line for line in logs.events)
    assert len(logs.events) < 20


async def test_an_image_that_is_there_asks_no_registry(bench, registry):
    work = docker_work("true", image=f"{registry.address}/some/thing:1")
    async with bench.open() as executor:
        await executor.run(work, Sink())
        registry.asked.clear()
        await executor.run(docker_work("true", image=f"{registry.address}/some/thing:1"), Sink())
    assert registry.asked == []


async def test_an_image_without_a_tag_means_latest_and_not_all(bench, registry):
    async with bench.open() as executor:
        await executor.run(docker_work("true", image=f"{registry.address}/some/thing"), Sink())
    assert any(path.endswith("/manifests/latest") for path in registry.asked)


async def test_many_who_want_one_image_share_one_pull(bench, registry):
    image = f"{registry.address}/shared:1"
    sinks = [Sink() for _ in range(5)]
    registry.go.clear()
    async with bench.open() as executor, asyncio.TaskGroup() as group:
        for sink in sinks:
            group.create_task(executor.run(docker_work("echo", "hi", image=image), sink))
        await eventually(lambda: all(sink.events for sink in sinks))
        registry.go.set()
    assert sum("GET" in line and "/manifests/" in line for line in registry.asked) == 1
    assert {tuple(sink.events) for sink in sinks} == {tuple(sinks[0].events)}
    assert all(sink.stdout == "hi\n" for sink in sinks)


async def test_one_who_is_cancelled_does_not_end_the_pull_of_the_others(bench, registry):
    image = f"{registry.address}/shared:1"
    registry.go.clear()
    async with bench.open() as executor:
        first, second = Sink(), Sink()
        leaving = asyncio.create_task(executor.run(docker_work("true", image=image), first))
        staying = asyncio.create_task(executor.run(docker_work("echo", "hi", image=image), second))
        await eventually(lambda: first.events and second.events)
        leaving.cancel()
        await asyncio.wait({leaving}, timeout=2)
        assert leaving.cancelled()
        registry.go.set()
        assert (await staying).exit_code == 0


async def test_a_run_cancelled_while_pulling_ends_at_once_and_a_new_one_pulls_anew(bench, registry):
    image = f"{registry.address}/slow:1"
    registry.go.clear()
    async with bench.open() as executor:
        logs = Sink()
        running = asyncio.create_task(executor.run(docker_work("true", image=image), logs))
        await eventually(lambda: any("/blobs/" in line for line in registry.asked))
        began = time.monotonic()
        running.cancel()
        await asyncio.wait({running}, timeout=5)
        assert running.cancelled()
        assert time.monotonic() - began < 1
        registry.go.set()
        assert (await executor.run(docker_work("true", image=image), Sink())).exit_code == 0
        assert len(bench.containers()) <= 1


async def test_a_registry_that_does_not_know_the_image_makes_the_job_invalid(bench, registry):
    image = f"{registry.address}/missing:1"
    async with bench.open() as executor:
        with pytest.raises(WorkFailed, match="manifest unknown") as caught:
            await executor.run(docker_work("true", image=image), Sink())
    assert image in caught.value.failure.message
    assert (caught.value.failure.reason, caught.value.failure.retryable) == (Reason.INVALID, False)
    assert caught.value.failure.hint


async def test_a_registry_that_cannot_be_reached_may_be_tried_again(bench):
    async with bench.open() as executor:
        with pytest.raises(WorkFailed, match="connection refused") as caught:
            await executor.run(docker_work("true", image="127.0.0.1:1/x:1"), Sink())
    assert (caught.value.failure.reason, caught.value.failure.retryable) == (Reason.INPUT, True)


async def test_a_name_that_is_none_makes_the_job_invalid(bench):
    async with bench.open() as executor:
        with pytest.raises(WorkFailed, match="invalid reference format") as caught:
            await executor.run(docker_work("true", image="NOT::an image"), Sink())
    assert caught.value.failure.reason is Reason.INVALID


async def test_credentials_go_to_their_registry_only(bench):
    saved = b"".join(bench.api.get_image(IMAGE))
    with Registry(saved, login=("me", "s3cret")) as private:
        image = f"{private.address}/private:1"
        async with bench.open(Username="me", Password="s3cret") as executor:  # those of docker.io
            with pytest.raises(WorkFailed) as caught:
                await executor.run(docker_work("true", image=image), Sink())
        assert caught.value.failure.reason is Reason.INVALID
        assert "DOCKER_USERNAME" in caught.value.failure.hint
        async with bench.open(Username="me", Password="s3cret", Registry=private.address) as executor:
            assert (await executor.run(docker_work("true", image=image), Sink())).exit_code == 0
        bench.api.remove_image(image, force=True)
