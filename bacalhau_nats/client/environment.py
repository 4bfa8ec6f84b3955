"""Which server is meant, and who asks, as the environment says.

``BACALHAU_API_HOST`` (a host or a whole URL) and ``BACALHAU_API_PORT`` name the server; ``BACALHAU_API_KEY``, or
``BACALHAU_API_USERNAME`` with ``BACALHAU_API_PASSWORD``, are the credentials. Pure: the caller brings the
environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from bacalhau_nats.errors import UserError

_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}
_PORT = "1234"


def address(environ: Mapping[str, str], host: str = "", port: str = "") -> str:
    """Give the address of the server; ``host`` and ``port`` go before the environment. Raises UserError."""
    return endpoint(
        host or environ.get("BACALHAU_API_HOST", ""), port or environ.get("BACALHAU_API_PORT", "") or _PORT
    )


def credentials(environ: Mapping[str, str]) -> tuple[str, tuple[str, str] | None]:
    """Give the key, and user and password; at most one of them is there. Raises UserError."""
    key = environ.get("BACALHAU_API_KEY", "")
    user = environ.get("BACALHAU_API_USERNAME", "")
    password = environ.get("BACALHAU_API_PASSWORD", "")
    if key and (user or password):
        raise UserError(
            "BACALHAU_API_KEY and BACALHAU_API_USERNAME/BACALHAU_API_PASSWORD are both set",
            hint="unset one of them",
        )
    if bool(user) != bool(password):
        raise UserError(
            "only one of BACALHAU_API_USERNAME and BACALHAU_API_PASSWORD is set", hint="set both, or unset it"
        )
    return key, (user, password) if user else None


def endpoint(host: str, port: str) -> str:
    """Turn a host or a whole URL, and a port, into the address of a server. Raises UserError."""
    if "://" in host:
        try:
            parts = urlsplit(host)
            has_port = bool(parts.port)
        except ValueError as error:
            raise UserError(
                f"{host!r} is not an address of a server: {error}", hint="write it as http://host:port"
            ) from None
        bare = f"{parts.scheme}://{parts.netloc}"
        return bare if has_port else f"{bare}:{port}"
    host = _ANY_ADDRESS.get(host, host)
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{bracketed}:{port}"
