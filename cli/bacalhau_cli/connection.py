"""Which server a command talks to and with which credential, and what a refusal by it means.

The server: what flags, environment or configuration name, then the profile's, then ``http://127.0.0.1:1234``. The
credential: the environment's, then the profile's token, then the token that was kept for this server. A profile's
token goes to the profile's own server only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bacalhau_cli import notices
from bacalhau_cli.moment import seconds
from bacalhau_cli.profiles import Profile, Profiles, address
from bacalhau_nats.client.credentials import SIGN_IN, Credential, TokenFile, bearer, of_environment
from bacalhau_nats.errors import BacalhauError, Forbidden, NotFound

if TYPE_CHECKING:
    from bacalhau_cli.context import Caller

USUAL_SECONDS = 30.0
DEFAULT = "http://127.0.0.1:1234"
_ONE_OF_OURS = "log in again: bacalhau auth sso login"


@dataclass(frozen=True)
class Server:
    """A server as named; ``named`` is false for the default one, which a profile may take the place of."""

    url: str
    named: bool
    verify: bool | str = True


@dataclass(frozen=True)
class Connection:
    """The server, what to trust, how long to wait, and who asks; ``profile`` is the one that is used, or empty."""

    url: str
    verify: bool | str
    timeout: float
    profile: str
    credential: Credential | None
    renewable: bool
    """Whether the server's own login may replace the credential: there is none, or it is from there."""


def connection(caller: Caller) -> Connection:
    """Find out. Raises UserError: a named profile that does not exist, credentials of two kinds."""
    name, chosen_by = _profile_name(caller)
    profile = _load(Profiles(caller.data_dir()), name, chosen_by)
    server = caller.server()
    mine = address(profile.endpoint) if profile else ""
    if server.named and profile is not None and server.url != mine:
        if chosen_by:
            notices.warn(
                f'{server.url} was named, so it is asked, and not {mine} of profile "{name}"; '
                "unset BACALHAU_API_HOST and BACALHAU_API_PORT, or leave out --api-host, to use the profile"
            )
        profile = None
    url = mine if profile else server.url
    found, kept = _credential(caller, url, name, profile)
    return Connection(
        url=url,
        verify=False if profile and profile.insecure else server.verify,
        timeout=_seconds(profile, name),
        profile=name if profile else "",
        credential=found,
        renewable=found is None or kept,
    )


def _profile_name(caller: Caller) -> tuple[str, str]:
    """Give the name of the profile, and what named it; that is empty for the current one."""
    for named, by in (
        (caller.given.get("profile"), "--profile"),
        (caller.environ.get("BACALHAU_PROFILE"), "BACALHAU_PROFILE"),
    ):
        if named:
            return str(named), by
    return Profiles(caller.data_dir()).current(), ""


def _load(profiles: Profiles, name: str, chosen_by: str) -> Profile | None:
    if not name:
        return None
    try:
        return profiles.load(name)
    except NotFound as error:
        if chosen_by:
            raise NotFound(f"{error.message} (named by {chosen_by})", hint=error.hint) from None
        raise NotFound(
            f'the current profile "{name}" does not exist any more',
            hint="choose another with 'bacalhau profile select NAME', or save it again",
        ) from None


def _seconds(profile: Profile | None, name: str) -> float:
    if profile is None or not profile.timeout:
        return USUAL_SECONDS
    return seconds(profile.timeout, f'the timeout of profile "{name}"')


def token_files(data_dir: Path) -> tuple[TokenFile, TokenFile]:
    """Give the file of tokens of identity providers, and that of tokens of servers."""
    return TokenFile(data_dir / "jwt-tokens.json"), TokenFile(data_dir / "tokens.json")


def _credential(
    caller: Caller, url: str, name: str, profile: Profile | None
) -> tuple[Credential | None, bool]:
    """Give the credential for a server, and whether it is a token that this server gave for a challenge."""
    if (found := of_environment(caller.environ)) is not None:
        return found, False
    if profile is not None and profile.token:
        return bearer(profile.token, f'the token of profile "{name}"', _ONE_OF_OURS), False
    of_provider, of_server = token_files(caller.data_dir())
    if token := of_provider.get(url):
        return bearer(token, "the token of 'auth sso login'", _ONE_OF_OURS), False
    if token := of_server.get(url):
        return bearer(token, f"the token kept in {of_server.path}", SIGN_IN), True
    return None, False


def explained(error: BacalhauError, of: Connection) -> BacalhauError:
    """Say with a refusal who asked, and what to do; any other error is given back as it is."""
    status = error.details.get("Status")
    if status not in ("401", "403") or not isinstance(error, Forbidden):
        return error
    if of.credential is None:
        hint = f"no credential was sent to {of.url}; {SIGN_IN}"
    elif status == "401":
        hint = f"{of.credential.origin} was sent to {of.url} and refused; {of.credential.advice}"
    else:
        hint = (
            f"{of.credential.origin} was sent to {of.url}; whoever runs that server can allow more "
            "(API.Auth.Users, or the provider's permissions)"
        )
    return Forbidden(error.message, hint=hint, **_without_words(error.details))


def _without_words(details: Mapping[str, str]) -> dict[str, Any]:
    return {key: value for key, value in details.items() if key not in ("message", "hint")}
