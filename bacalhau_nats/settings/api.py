"""The section `API`: where the gateway listens, where a client finds it, and who may use it."""

from __future__ import annotations

from pydantic import field_validator

from bacalhau_nats.settings.section import Section, key, part
from bacalhau_nats.settings.users import Oauth2Settings, User, check_users
from bacalhau_nats.settings.values import Text


class APITLSSettings(Section):
    """TLS of the HTTP API, for the gateway (certificate) and the client (trust)."""

    cert_file: Text = key("", "Certificate (PEM) the gateway serves HTTPS with.")
    key_file: Text = key("", "Private key (PEM) that belongs to the certificate.")
    ca_file: Text = key("", "Authorities (PEM) a client trusts instead of the system's.")
    use_tls: bool = key(False, "Whether a client speaks HTTPS to the gateway.")
    insecure: bool = key(False, "Whether a client accepts any certificate.")
    self_signed: bool = key(False, "Serve HTTPS with a self-signed certificate.", unused=True)
    auto_cert: Text = key("", "Host name to get a certificate for from Let's Encrypt.", unused=True)
    auto_cert_cache_path: Text = key("", "Where such certificates are kept.", unused=True)


class AuthMethod(Section):
    """One way to authenticate that the gateway offers."""

    type: Text = key("", "How the client proves itself: challenge or ask.")
    policy_path: Text = key("", "Policy that decides about the proof.", unused=True)


def _client_key() -> dict[str, AuthMethod]:
    return {"ClientKey": AuthMethod(type="challenge")}


class APIAuthSettings(Section):
    """Who may use the HTTP API. With no users and no provider it is open."""

    methods: dict[str, AuthMethod] = key(_client_key, "Ways to authenticate offered by an open gateway.")
    access_policy_path: Text = key("", "Rego policy of the original; refused here, use API.Auth.Users.")
    users: tuple[User, ...] = key((), "Users with their secrets and capabilities.")
    oauth2: Oauth2Settings = part(Oauth2Settings)

    @field_validator("users")
    @classmethod
    def _whole(cls, users: tuple[User, ...]) -> tuple[User, ...]:
        check_users(users)
        return users

    @field_validator("access_policy_path")
    @classmethod
    def _no_policy(cls, path: str) -> str:
        # Accepting a policy without enforcing it would open what its owner meant to close.
        if path:
            raise ValueError("Rego policies are not supported: name users and capabilities in API.Auth.Users")
        return path


class APISettings(Section):
    """The HTTP API: where the gateway listens and where a client finds it."""

    host: Text = key("127.0.0.1", "Address the gateway listens on; for a client a host or a whole URL.")
    port: int = key(
        1234,
        "Port of the HTTP API; 0 means any free one. A node that only computes serves the agent's part there if this is set, and not 0.",
        ge=0,
        le=65535,
    )
    tls: APITLSSettings = part(APITLSSettings)
    auth: APIAuthSettings = part(APIAuthSettings)

    @property
    def url(self) -> str:
        """The base URL a client uses; a listener on all addresses is reached over loopback."""
        scheme, _, host = self.host.rpartition("://")
        if scheme and ":" in host.rpartition("]")[2]:  # a whole URL with its port
            return self.host.rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host.rstrip("/"))
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"{scheme or ('https' if self.tls.use_tls else 'http')}://{host}:{self.port}"
