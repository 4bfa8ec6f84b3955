"""Logging in with an identity provider: the device flow of RFC 8628.

A person opens a page anywhere and types a code there, while this program asks the provider for the token again
and again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bacalhau_nats.client.transport import is_loopback, translating
from bacalhau_nats.errors import Forbidden, Unavailable, UserError

if TYPE_CHECKING:
    import httpx

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_USUAL_INTERVAL, _SLOWER_BY = 5.0, 5.0  # seconds, as the RFC has them
_USUAL_LIFE = 600.0
_ANSWER_SECONDS = 30.0
_OK, _SERVER_ERROR = 200, 500
_NEEDED = ("DeviceAuthorizationEndpoint", "TokenEndpoint", "DeviceClientID")

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a person must do: open a page and type a code; ``whole`` is a page that has the code already, or empty."""

    page: str
    code: str
    whole: str
    seconds: float


async def device_login(
    provider: Mapping[str, Any], show: Callable[[Prompt], None], *, sleep: Sleep = asyncio.sleep
) -> str:
    """Let a person log in and give the access token.

    ``provider`` is ``Config`` of the server's ``agent/authconfig``. ``show`` is called with what to do. Raises
    Forbidden when the person says no or is too late, UserError when the provider takes no such login, Unavailable.
    """
    missing = [name for name in _NEEDED if not provider.get(name)]
    if missing:
        raise UserError(
            f"the server does not say how to log in: its API.Auth.Oauth2 has no {', '.join(missing)}",
            hint="ask whoever runs that server to set it",
        )
    import httpx  # noqa: PLC0415 - loaded late: starting the command line must stay quick

    address = str(provider["TokenEndpoint"])
    async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=not is_loopback(address)) as http:
        begun = await _begin(http, provider)
        show(begun.prompt)
        return await _poll(http, provider, begun, sleep)


@dataclass(frozen=True, slots=True)
class _Begun:
    prompt: Prompt
    device_code: str
    interval: float


async def _begin(http: httpx.AsyncClient, provider: Mapping[str, Any]) -> _Begun:
    url = str(provider["DeviceAuthorizationEndpoint"])
    form = {"client_id": str(provider["DeviceClientID"])}
    if scopes := provider.get("Scopes"):
        form["scope"] = " ".join(str(scope) for scope in scopes)
    if audience := provider.get("Audience"):
        form["audience"] = str(audience)
    status, found = await _post(http, url, form)
    if status != _OK:
        raise UserError(
            f"the identity provider refuses the login at {url}: {_why(status, found)}",
            hint="check DeviceClientID, Audience and Scopes of the server's API.Auth.Oauth2",
        )
    try:
        prompt = Prompt(
            page=str(found["verification_uri"]),
            code=str(found["user_code"]),
            whole=str(found.get("verification_uri_complete") or ""),
            seconds=float(found.get("expires_in") or _USUAL_LIFE),
        )
        interval = found.get("interval") or provider.get("PollingInterval") or _USUAL_INTERVAL
        return _Begun(prompt, str(found["device_code"]), float(interval))
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(
            f"{url} did not answer as a device login does: {error} is wrong or missing"
        ) from error


async def _poll(http: httpx.AsyncClient, provider: Mapping[str, Any], begun: _Begun, sleep: Sleep) -> str:
    url, interval, left = str(provider["TokenEndpoint"]), begun.interval, begun.prompt.seconds
    form = {
        "grant_type": _GRANT,
        "device_code": begun.device_code,
        "client_id": str(provider["DeviceClientID"]),
    }
    while left > 0:
        await sleep(interval)
        left -= interval
        try:
            status, found = await _post(http, url, form)
        except Unavailable:
            interval *= 2  # so the RFC wants it: the provider may be overloaded
            continue
        if status == _OK and found.get("access_token"):
            return str(found["access_token"])
        match found.get("error"):
            case "authorization_pending":
                continue
            case "slow_down":
                interval += _SLOWER_BY
            case "access_denied":
                raise Forbidden(
                    "the login was refused on the provider's page", hint="log in again and allow it"
                )
            case "expired_token":
                break
            case _ if status >= _SERVER_ERROR:
                interval *= 2
            case _:
                raise UserError(f"the identity provider gives no token: {_why(status, found)}")
    raise Forbidden(
        f"nobody logged in within {begun.prompt.seconds:g} s, so the code has expired",
        hint="run 'bacalhau auth sso login' again",
    )


async def _post(http: httpx.AsyncClient, url: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Send a form; give the status and the JSON object of the answer, which is empty when it is none."""
    try:
        with translating(url, _ANSWER_SECONDS):
            response = await http.post(url, data=dict(form), headers={"Accept": "application/json"})
    except Unavailable as error:
        raise Unavailable(
            f"the identity provider does not answer: {error.message}",
            hint="check that this machine reaches it, and try again",
        ) from error
    try:
        found = json.loads(response.content)
    except ValueError:
        found = None
    return response.status_code, found if isinstance(found, dict) else {}


def _why(status: int, found: Mapping[str, Any]) -> str:
    told = found.get("error_description") or found.get("error") or f"the answer is {status}"
    return str(told)[:300]
