"""Who gets through to the API of this node, from its settings."""

from __future__ import annotations

import time
from ipaddress import ip_address

from bacalhau_nats.gateway.access import Principal
from bacalhau_nats.gateway.accounts import Accounts, User
from bacalhau_nats.gateway.http.authorizing import Gatekeeper
from bacalhau_nats.gateway.tokens import Keys, Provider, Tokens, fetch_keys
from bacalhau_nats.settings import Settings
from bacalhau_nats.settings.users import actions_of


def gatekeeper(settings: Settings) -> Gatekeeper | None:
    """Make the gatekeeper of the users and the provider that are set; None when the API is open."""
    auth = settings.api.auth
    users = [
        User(
            Principal(user.name, actions_of(user.capabilities)),
            username=user.username,
            password=user.password,
            api_key=user.api_key,
        )
        for user in auth.users
    ]
    tokens = None
    if auth.oauth2.provider_id:
        provider = Provider(auth.oauth2.jwks_uri, auth.oauth2.issuer, auth.oauth2.audience)
        tokens = Tokens(provider, Keys(provider.jwks_uri, fetch_keys, time.monotonic))
    return Gatekeeper(Accounts(users), tokens) if users or tokens else None


def warning(settings: Settings) -> str:
    """Say that anybody may run jobs here; empty when only this machine, or only known users, can."""
    host = settings.api.host
    if is_loopback(host) or settings.api.auth.users or settings.api.auth.oauth2.provider_id:
        return ""
    return (
        f"the API listens on {host or 'every address'} without authentication: everybody who reaches it may run "
        "jobs on this cluster; name users in API.Auth.Users, or set API.Host to 127.0.0.1"
    )


def is_loopback(host: str) -> bool:
    """Say whether an address to listen on can be reached from this machine only."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
