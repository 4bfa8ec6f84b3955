"""One HTTP exchange with a server: JSON in, JSON out, every failure an error of our tree."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bacalhau_nats.client.credentials import SIGN_IN, Credential, Login
from bacalhau_nats.errors import (
    BacalhauError,
    BusTimeout,
    Conflict,
    Forbidden,
    InternalError,
    InvalidSpec,
    NotFound,
    StorageFull,
    Unavailable,
    UserError,
)

if TYPE_CHECKING:
    import httpx

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_OK = 200
_BY_STATUS: dict[int, type[BacalhauError]] = {
    400: UserError,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: UserError,
    429: Unavailable,
    503: Unavailable,
    504: BusTimeout,
}
_BY_CODE: dict[str, type[BacalhauError]] = {
    "ValidationError": InvalidSpec,
    "ResourceExhausted": StorageFull,
    "TimeOut": BusTimeout,
}
_UNKNOWN, _NOT_ALLOWED = 401, 403


class BrokenOff(Unavailable):
    """The connection ended while the server was answering: what was asked may have happened."""


def is_loopback(url: str) -> bool:
    """Say whether ``url`` names this machine: no proxy is wanted then."""
    return urlsplit(url).hostname in _LOOPBACK


class Transport:
    """A connection to one server; the HTTP library is loaded when it is first used."""

    def __init__(
        self, base_url: str, *, headers: Mapping[str, str], timeout: float, verify: bool | str = True
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.headers = dict(headers)
        self._timeout = timeout
        self._verify = verify
        self._client: httpx.AsyncClient | None = None
        self._login: Login | None = None

    def sign(self, credential: Credential | None, login: Login | None = None) -> None:
        """Send this credential from now on, if any, and have this way to get another."""
        self._login = login
        if credential is not None:
            self.headers["Authorization"] = credential.authorization
            if self._client is not None:
                self._client.headers["Authorization"] = credential.authorization

    async def _logged_in(self, status: int) -> bool:
        """Log in if that is what an answer asks for; say whether to ask again."""
        # Servers with a policy answer 403, and not 401, to a request without a token.
        wanted = status == _UNKNOWN or (status == _NOT_ALLOWED and "Authorization" not in self.headers)
        if not wanted or self._login is None:
            return False
        login, self._login = self._login, None
        found = await login()
        self.sign(found)
        return found is not None

    async def json(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> dict[str, Any]:
        """Ask and give the JSON object of the answer.

        Query values that are empty, zero or False are left out, as the server reads them the same way.
        Raises the error that the server's answer stands for, Unavailable when nobody answers.
        """
        wanted = {key: _text(value) for key, value in sorted((query or {}).items()) if value}
        with translating(self.base_url, self._timeout):
            response = await self._http().request(method, path, params=wanted, json=body)
        if await self._logged_in(response.status_code):
            with translating(self.base_url, self._timeout):
                response = await self._http().request(method, path, params=wanted, json=body)
        if response.status_code != _OK:
            raise error_of(response.status_code, response.content)
        try:
            found = json.loads(response.content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise InternalError(
                f"{self.base_url}{path} answered with something that is not a JSON object: "
                f"{response.text[:200]!r}",
                hint="check that the address is that of a bacalhau API",
            )
        return found

    @asynccontextmanager
    async def stream(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """Open a download. The own server gets our credentials, another one gets none."""
        import httpx  # noqa: PLC0415 - loaded late: starting the command line must stay quick

        own = urlsplit(url)[:2] == urlsplit(self.base_url)[:2]
        async with httpx.AsyncClient(
            headers={**(self.headers if own else {}), "Accept-Encoding": "identity"},
            timeout=self._timeout,
            follow_redirects=True,
            verify=_tls(self._verify) if url.startswith("https:") else False,
            trust_env=not is_loopback(url),
        ) as client:
            with translating(url.partition("?")[0], self._timeout):  # the rest may be as good as a key
                async with client.stream("GET", url, headers=dict(headers)) as response:
                    yield response

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx  # noqa: PLC0415 - loaded late: starting the command line must stay quick

            self._client = httpx.AsyncClient(
                base_url=self.base_url,
                headers=self.headers,
                timeout=self._timeout,
                # Reading the trust store takes 20 ms, which plain http does not need.
                verify=_tls(self._verify) if self.base_url.startswith("https:") else False,
                trust_env=not is_loopback(self.base_url),
            )
        return self._client


def _tls(verify: bool | str) -> Any:
    import ssl  # noqa: PLC0415 - only for https

    return ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify


def _text(value: Any) -> str | list[str]:
    if isinstance(value, bool):
        return "true"
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return str(value)


class translating:  # noqa: N801 - used as a statement, like contextlib's
    """Turn what the HTTP library raises for ``url`` into our errors."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import httpx  # noqa: PLC0415 - loaded late: starting the command line must stay quick

        match error:
            case httpx.ConnectError() | httpx.ConnectTimeout():
                raise unreachable(self._url, str(error)) from error
            case httpx.TimeoutException():
                raise BusTimeout(
                    f"{self._url} did not answer within {self._timeout:g} s",
                    hint="what was asked may or may not have happened: look before you repeat it",
                ) from error
            case httpx.InvalidURL() | httpx.UnsupportedProtocol():
                raise UserError(
                    f"{self._url!r} is not an address of a server: {error}",
                    hint="write it as http://host:port",
                ) from error
            case httpx.TransportError():
                raise BrokenOff(f"the connection to {self._url} broke off: {error}") from error


def unreachable(url: str, why: str) -> Unavailable:
    """Say that nobody listens at ``url`` and what to do about it."""
    return Unavailable(
        f"no server can be reached at {url} ({why})",
        hint="start one with 'bacalhau serve --orchestrator --compute', or name another with --api-host and "
        "--api-port (BACALHAU_API_HOST, BACALHAU_API_PORT)",
    )


def error_of(status: int, content: bytes) -> BacalhauError:
    """Turn an answer that is not a success into the error it stands for.

    Reads the API's error body, the body of its version gate (``{"Error": …}``) and plain text.
    """
    text = content.decode("utf-8", "replace").strip()
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        kind = _BY_STATUS.get(status, BacalhauError)
        return kind(f"the server answered {status}: {text[:200] or 'nothing'}", Status=str(status))
    code = str(body.get("Code") or "")
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, BacalhauError)
    message = str(body.get("Message") or body.get("Error") or f"the server answered {status}")
    hint = str(body.get("Hint") or "")
    details = {str(key): str(value) for key, value in (body.get("Details") or {}).items()}
    if status in (_UNKNOWN, _NOT_ALLOWED) and details.get("reason"):
        message = f"{message}: {details['reason']}"
    if status == _UNKNOWN and (not hint or hint.startswith("Unauthorized principal")):  # says nothing to do
        hint = SIGN_IN
    details.update(Status=str(status), Code=code, Component=str(body.get("Component") or ""))
    for taken in ("message", "hint"):
        details.pop(taken, None)
    return kind(message, hint=hint, **details)
