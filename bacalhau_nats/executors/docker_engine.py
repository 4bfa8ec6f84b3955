"""The Engine API through the Docker SDK: blocking calls, our errors. Everything here runs in a thread.

The low-level client is used, and streams are read raw: the SDK's own stream helpers ask for the container's
settings before each of them, lose which stream output came from, and cannot be ended from outside. Importing
this module imports the SDK (about a tenth of a second), which is why nobody imports it at the top.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import quote

import docker.auth
import docker.errors
import docker.utils
import requests
import urllib3.exceptions
from docker.constants import MINIMUM_DOCKER_API_VERSION

from bacalhau_nats.executors.docker_errors import EngineError, EngineGone, NoSuchImage
from bacalhau_nats.executors.docker_transport import mend

_CHUNK = 65536
_PROBE_TIMEOUT = 2  # seconds for questions that a healthy engine answers in milliseconds
_CALL_TIMEOUT = 60  # seconds for everything else but waiting
_WAIT_TURN = 30  # seconds of one wait request; asked again until the container ends
_PULL_SILENCE = 120.0  # seconds a pull may show no progress
_STATUS_NOT_FOUND = 404
_STATUS_CONFLICT = 409


class Source:
    """An answer that arrives bit by bit."""

    def __init__(self, response: requests.Response) -> None:
        self._raw: Any = response.raw
        self._ended = False

    def read(self) -> bytes:
        """Wait for the next bytes; empty at the end. Raises EngineGone when the engine breaks off."""
        try:
            return bytes(self._raw.read1(_CHUNK))
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
            if self._ended:
                return b""
            raise EngineGone(str(error)) from error

    def interrupt(self) -> None:
        """Make a `read` that waits in another thread return."""
        self._ended = True
        # Raised when the answer is complete and its connection handed back: nothing waits there then.
        with suppress(RuntimeError, ValueError, OSError):
            self._raw.shutdown()

    def close(self) -> None:
        """End the connection; only while nobody reads."""
        self._ended = True
        self._raw.close()


class Engine:
    """One Docker engine. Every method blocks; raises EngineError, or EngineGone when nobody answers."""

    def __init__(self, host: str = "", *, connections: int = 128) -> None:
        with _translating():
            address = {"base_url": host} if host else docker.utils.kwargs_from_env()
            # Asked with a short timeout: an engine that hangs must not hang the node.
            with closing(_client(address, MINIMUM_DOCKER_API_VERSION, _PROBE_TIMEOUT, 1)) as probe:
                version = str(probe.version(api_version=False)["ApiVersion"])
            self._api = _client(address, version, _CALL_TIMEOUT, connections)

    def ping(self) -> None:
        """Ask whether the engine is there."""
        with _translating():
            answer = self._api.get(f"{self._api.base_url}/_ping", timeout=_PROBE_TIMEOUT)
            answer.raise_for_status()

    def create(self, name: str, config: Mapping[str, Any]) -> None:
        """Create a container, in place of a stale one with the same labels. Raises NoSuchImage."""
        try:
            self._create(name, config)
        except EngineError as error:
            stale = self.inspect(name) if error.status == _STATUS_CONFLICT else None
            if stale is None or stale["Config"]["Labels"] != config["Labels"]:
                raise
            self.remove(name)
            self._create(name, config)

    def start(self, name: str) -> None:
        """Start it."""
        with _translating():
            self._api.start(name)

    def attach(self, name: str) -> Source:
        """Follow the output from now on, as a multiplexed stream."""
        return self._stream("POST", name, "attach", {"stream": 1, "stdout": 1, "stderr": 1})

    def logs(self, name: str) -> Source:
        """Read the output from its first byte on, and follow it to the end."""
        return self._stream("GET", name, "logs", {"follow": 1, "stdout": 1, "stderr": 1})

    def wait(self, name: str) -> int:
        """Wait for its end; give the exit code."""
        while True:
            with _translating(), _may_time_out():
                answer: Any = self._api.wait(name, timeout=_WAIT_TURN)
                if why := (answer.get("Error") or {}).get("Message"):
                    raise EngineError(str(why))
                return int(answer["StatusCode"])

    def inspect(self, name: str) -> dict[str, Any] | None:
        """Describe a container; None when there is none of that name."""
        try:
            with _translating():
                return dict(self._api.inspect_container(name))
        except EngineError as error:
            if error.status == _STATUS_NOT_FOUND:
                return None
            raise

    def terminate(self, name: str, grace: float) -> None:
        """Send SIGTERM and wait up to ``grace`` seconds for the end."""
        with _translating(), _may_time_out():
            self._api.kill(name, signal="SIGTERM")
            self._api.post(self._url(f"containers/{quote(name)}/wait"), timeout=grace)

    def remove(self, name: str) -> bool:
        """Kill and remove it with its anonymous volumes; False when it was not there."""
        try:
            with _translating():
                self._api.remove_container(name, force=True, v=True)
        except EngineError as error:
            # Conflict: somebody else is removing it at this moment.
            if error.status in (_STATUS_NOT_FOUND, _STATUS_CONFLICT):
                return False
            raise
        return True

    def labelled(self, labels: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """Find the containers with all of ``labels``, running or not; give each one's labels by its id."""
        wanted = [f"{key}={value}" for key, value in labels.items()]
        with _translating():
            found = self._api.containers(all=True, filters={"label": wanted})
        return {item["Id"]: dict(item["Labels"]) for item in found}

    def pull(self, image: str, credentials: Mapping[str, tuple[str, str]]) -> Source:
        """Fetch an image from its registry; progress comes as lines of JSON.

        ``credentials`` are user name and password by registry. For others the Docker client's own
        configuration of this machine counts.
        """
        repository, tag = docker.utils.parse_repository_tag(image)
        with _translating():
            registry, _ = docker.auth.resolve_repository_name(repository)
            header = (
                docker.auth.encode_header(
                    dict(zip(("username", "password"), credentials[registry], strict=True))
                )
                if registry in credentials
                else docker.auth.get_config_header(self._api, registry)
            )
            answer = self._api.post(
                self._url("images/create"),
                # Without a tag the engine would fetch all of them.
                params={"fromImage": repository, "tag": tag or "latest"},
                headers={"X-Registry-Auth": header} if header else {},
                stream=True,
                timeout=(_PROBE_TIMEOUT, _PULL_SILENCE),
            )
            return _checked(answer)

    def close(self) -> None:
        """Close the idle connections."""
        self._api.close()

    def _create(self, name: str, config: Mapping[str, Any]) -> None:
        with _translating():
            self._api.create_container_from_config(dict(config), name)  # type: ignore[no-untyped-call]  # stubs

    def _stream(self, method: str, name: str, what: str, params: Mapping[str, int]) -> Source:
        with _translating():
            answer = self._api.request(
                method,
                self._url(f"containers/{quote(name)}/{what}"),
                params=dict(params),
                stream=True,
                timeout=(_PROBE_TIMEOUT, None),
            )
            return _checked(answer)

    def _url(self, path: str) -> str:
        return f"{self._api.base_url}/v{self._api.api_version}/{path}"


def _client(address: Mapping[str, Any], version: str, timeout: int, connections: int) -> docker.APIClient:
    # With an explicit version the SDK asks nothing yet, so that its transport can be exchanged before.
    api = docker.APIClient(**address, version=version, timeout=timeout)
    mend(api, connections)
    return api


def _checked(answer: requests.Response) -> Source:
    try:
        answer.raise_for_status()
    except requests.exceptions.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)
    return Source(answer)


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except EngineError:
        raise
    except docker.errors.APIError as error:
        kind = NoSuchImage if isinstance(error, docker.errors.ImageNotFound) else EngineError
        raise kind(error.explanation or str(error), error.status_code or 0) from error
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        OSError,
        ValueError,
    ) as error:
        raise EngineGone(str(error)) from error


@contextmanager
def _may_time_out() -> Iterator[None]:
    try:
        yield
    except requests.exceptions.ReadTimeout:
        pass
    except requests.exceptions.ConnectionError as error:
        # The engine sends the headers of a wait at once and the body at the end: the time-out is then
        # found while reading, and `requests` calls that a connection error.
        if not (error.args and isinstance(error.args[0], urllib3.exceptions.ReadTimeoutError)):
            raise
