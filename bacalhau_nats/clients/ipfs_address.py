"""Where an IPFS node's RPC API is: ``/ip4/127.0.0.1/tcp/5001`` or ``http://127.0.0.1:5001``."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

_HOSTS = ("ip4", "ip6", "dns", "dns4", "dns6")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_WANTED = "write it as /ip4/127.0.0.1/tcp/5001 or http://127.0.0.1:5001"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Scheme, host (an IPv6 address without brackets) and port."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """The address as a URL, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Read an address. Raises ValueError saying what is wrong and what is wanted."""
    given = text.strip()
    return _from_multiaddress(given) if given.startswith("/") else _from_url(given)


def _from_multiaddress(text: str) -> Endpoint:
    from multiaddr import Multiaddr  # noqa: PLC0415 - only where IPFS is used
    from multiaddr.exceptions import Error  # noqa: PLC0415 - the same

    try:
        parts = {protocol.name: value for protocol, value in Multiaddr(text).items()}
    except (Error, ValueError) as error:
        raise ValueError(f"{text!r} is not a multiaddress: {error}; {_WANTED}") from None
    host = next((parts[name] for name in _HOSTS if parts.get(name)), None)
    if host is None or not parts.get("tcp"):
        raise ValueError(f"{text!r} has no host, or no TCP port; {_WANTED}")
    return Endpoint("https" if {"https", "tls"} & parts.keys() else "http", str(host), int(str(parts["tcp"])))


def _from_url(text: str) -> Endpoint:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is not a URL: {error}; {_WANTED}") from None
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise ValueError(f"{text!r} is neither a URL nor a multiaddress; {_WANTED}")
    if parts.path.rstrip("/") not in ("", "/api/v0") or parts.query or parts.username:
        raise ValueError(f"{text!r} must have nothing but a host and a port; {_WANTED}")
    return Endpoint(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])
