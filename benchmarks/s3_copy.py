"""One way of copying, in a process of its own so that its memory is its own: `python -m benchmarks.s3_copy '{…}'`.

``way`` is ``in`` or ``out`` with what this project does, ``raw-in`` or ``raw-out`` with the client library as it is.
Prints the seconds, and the largest memory in bytes.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3
from minio import Minio

from bacalhau_nats.clients.denied import DeniedNetworks
from bacalhau_nats.clients.s3 import THREADS, S3Clients
from bacalhau_nats.clients.s3_library import load
from bacalhau_nats.domain.ids import NodeID
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.publishers.s3 import S3Publisher
from bacalhau_nats.storage.s3 import S3Settings, S3Storage
from bacalhau_nats.testing.publishers import a_work
from bacalhau_nats.testing.storage import RecordedLog


def main(asked: dict[str, Any]) -> None:
    """Do it and print how it went."""
    load()
    folder = Path(asked["folder"])
    params = {"Bucket": asked["bucket"], "Key": asked["key"], "Endpoint": asked["endpoint"]}
    ways: dict[str, Callable[[], None]] = {
        "in": lambda: asyncio.run(_fetch(params, folder)),
        "out": lambda: asyncio.run(_publish(params | {"Encoding": "plain"}, folder)),
        "out-gzip": lambda: asyncio.run(_publish(params, folder)),
        "raw-in": lambda: _raw_fetch(asked, folder),
        "raw-out": lambda: _raw_put(asked, folder),
    }
    began = time.perf_counter()
    ways[asked["way"]]()
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


async def _fetch(params: dict[str, Any], folder: Path) -> None:
    clients = S3Clients(os.environ, DeniedNetworks())  # noqa: TID251 - the keys come this way
    storage = S3Storage(clients, S3Settings())
    await storage.fetch(SpecConfig(params=params), "/in", folder / "in", RecordedLog())
    clients.close()


async def _publish(params: dict[str, Any], folder: Path) -> None:
    clients = S3Clients(os.environ, DeniedNetworks())  # noqa: TID251 - the keys come this way
    publisher = S3Publisher(clients, NodeID("n"), folder / "drafts", lambda: datetime.now(UTC))
    publisher.settled.set()
    await publisher.publish(a_work("e-1"), folder / "results", SpecConfig(params=params))
    clients.close()


def _client(asked: dict[str, Any]) -> Minio:
    return Minio(
        asked["endpoint"].removeprefix("http://"),
        os.environ["AWS_ACCESS_KEY_ID"],  # noqa: TID251 - the keys come this way
        os.environ["AWS_SECRET_ACCESS_KEY"],  # noqa: TID251 - the same
        secure=False,
        region="us-east-1",
        http_client=urllib3.PoolManager(maxsize=THREADS),
    )


def _raw_fetch(asked: dict[str, Any], folder: Path) -> None:
    client, bucket = _client(asked), asked["bucket"]
    names = [one.object_name for one in client.list_objects(bucket, asked["key"], recursive=True)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda name: client.fget_object(bucket, name, str(folder / "raw" / name)), names))


def _raw_put(asked: dict[str, Any], folder: Path) -> None:
    for file in (folder / "results").iterdir():
        _client(asked).fput_object(asked["bucket"], f"{asked['key']}/{file.name}", str(file))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
