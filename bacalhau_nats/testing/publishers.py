"""What every publisher must do: ``await check_publisher(open_mine, context, download)``.

``download`` gets what the publisher answered and a path, and must bring the archive of the results there the
way a client would; None for a publisher that keeps nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.ids import ExecutionID
from bacalhau_nats.domain.resources import NOTHING
from bacalhau_nats.domain.spec import JobSpec, SpecConfig, Task
from bacalhau_nats.ports import PluginContext, Publisher, Work, WorkFailed
from bacalhau_nats.publishers.archive import unpack
from bacalhau_nats.testing.claims import must

OpenPublisher = Callable[[PluginContext], AbstractAsyncContextManager[Publisher]]
Download = Callable[[SpecConfig, Path], Awaitable[None]]

_FILES = {
    "stdout": b"hello\n",
    "stderr": b"",
    "exitCode": b"0",
    "outputs/deep/er/data.bin": bytes(range(256)) * 4096,
    "outputs/name with blanks and \u00fcml\u00e4uts": b"x",
}


async def check_publisher(
    open_publisher: OpenPublisher,
    context: PluginContext,
    download: Download | None,
    spec: SpecConfig | None = None,
    *,
    by_content: bool = False,
) -> None:
    """Put a publisher through its duties. Raises AssertionError saying which one it fails.

    ``context.data_dir`` must be an empty folder of the test's own. ``spec`` is what a job would say. ``by_content``
    says that a result is named by its content, so that equal results are one.
    """
    wish = spec or SpecConfig()
    results = context.data_dir / "conformance" / "results"
    await asyncio.to_thread(_fill, results)
    async with open_publisher(context) as publisher:
        health = await publisher.check()
        must(health.ok, f"check() says it cannot be used: {health.why}")
        first = await publisher.publish(a_work("e-conformance-1"), results, wish)
        again = await publisher.publish(a_work("e-conformance-1"), results, wish)
        other = await publisher.publish(a_work("e-conformance-2"), results, wish)
        must(
            await asyncio.to_thread(_read, results) == _FILES,
            "publish() changed the folder it was to publish",
        )
        if download is None:
            must(first.kind == "", f"a publisher that keeps nothing answered {first}")
            return
        must(first.kind != "", "the result has no Type")
        must(by_content or first != other, f"two executions have one result, {first}: one of them is lost")
        for number, result in enumerate((first, again, other)):
            await _comes_back(result, download, context.data_dir / "conformance" / f"got-{number}")
        await _fails_in_words(publisher, context.data_dir / "conformance" / "nothing", wish)
        await _can_be_cancelled(publisher, results, wish)


async def _comes_back(result: SpecConfig, download: Download, folder: Path) -> None:
    await asyncio.to_thread(folder.mkdir, parents=True)
    archive = folder / "result.tar.gz"
    await download(result, archive)
    await unpack(archive, folder / "unpacked")
    got = await asyncio.to_thread(_read, folder / "unpacked")
    must(got == _FILES, f"what came back has {sorted(got)}, not {sorted(_FILES)}, or other content")


async def _fails_in_words(publisher: Publisher, missing: Path, spec: SpecConfig) -> None:
    try:
        result = await publisher.publish(a_work("e-conformance-3"), missing, spec)
    except WorkFailed as failed:
        must(failed.failure.reason is Reason.PUBLISH, f"the reason is {failed.failure.reason!r}, not publish")
        must(bool(failed.failure.message.strip()), "publish() fails without a word")
        return
    raise AssertionError(f"publishing a folder that is not there gave {result}")


async def _can_be_cancelled(publisher: Publisher, results: Path, spec: SpecConfig) -> None:
    task = asyncio.create_task(publisher.publish(a_work("e-conformance-4"), results, spec))
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    must(task in done, "publish() does not end within 5 s of being cancelled")
    if not task.cancelled() and task.exception() is not None:
        raise AssertionError(f"a cancelled publish() raised {task.exception()!r}")
    must((await publisher.check()).ok, "after a cancelled publish() the publisher cannot be used")


def a_work(execution: str) -> Work:
    """Build the little of an execution that a publisher looks at."""
    task = Task()
    return Work(
        execution_id=ExecutionID(execution),
        job=JobSpec(tasks=(task,)),
        task=task,
        partition=0,
        resources=NOTHING,
        env={},
        inputs=(),
        outputs=(),
        scratch=Path("scratch"),
    )


def _fill(folder: Path) -> None:
    for name, content in _FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
