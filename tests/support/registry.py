"""A small image registry on loopback, which Docker engines accept without TLS. It serves one image of any tag."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIG = "application/vnd.docker.container.image.v1+json"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """Serves ``saved`` (what `docker save` gives) with one random layer on top, so that it is new to any engine.

    ``go`` holds back layers while it is not set; ``login`` is the user and password that it wants.
    """

    def __init__(self, saved: bytes, *, login: tuple[str, str] | None = None) -> None:
        self.go = threading.Event()
        self.go.set()
        self.asked: list[str] = []
        self.login = login and base64.b64encode(":".join(login).encode()).decode()
        self.blobs: dict[str, bytes] = {}
        self.manifest = self._build(saved)
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                registry.answer(self)

            def do_HEAD(self) -> None:
                registry.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path
        self.asked.append(f"{request.command} {path}")
        if self.login and request.headers.get("Authorization") != f"Basic {self.login}":
            self._send(request, 401, b"{}", {"WWW-Authenticate": 'Basic realm="test"'})
        elif path == "/v2/":
            self._send(request, 200, b"{}")
        elif "/manifests/" in path and "missing" not in path:
            self._send(
                request,
                200,
                self.manifest,
                {"Content-Type": _MANIFEST, "Docker-Content-Digest": _digest(self.manifest)},
            )
        elif (blob := self.blobs.get(path.rpartition("/")[2])) is not None:
            self.go.wait(30)
            self._send(request, 200, blob)
        else:
            error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            self._send(request, 404, json.dumps(error).encode(), {"Content-Type": "application/json"})

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            try:
                request.wfile.write(body)
            except OSError:
                request.close_connection = True  # the engine has given up

    def _build(self, saved: bytes) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
            index = json.load(archive.extractfile("manifest.json"))[0]
            old = json.load(archive.extractfile(index["Config"]))
            layers = [archive.extractfile(name).read() for name in index["Layers"]]
        layers.append(_random_layer())
        config = {
            "architecture": old["architecture"],
            "os": old["os"],
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
        }
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": self._add(_CONFIG, json.dumps(config).encode()),
                "layers": [self._add(_LAYER, gzip.compress(layer, 1)) for layer in layers],
            }
        ).encode()

    def _add(self, kind: str, data: bytes) -> dict[str, Any]:
        self.blobs[_digest(data)] = data
        return {"mediaType": kind, "size": len(data), "digest": _digest(data)}


def _random_layer() -> bytes:
    content = os.urandom(3_000_000)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("random")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
