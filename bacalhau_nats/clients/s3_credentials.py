"""Which AWS credentials this machine has, found as every AWS client finds them.

In this order: the environment, the shared credentials file (``AWS_PROFILE``, ``AWS_SHARED_CREDENTIALS_FILE``),
a role. A role is asked for only where there can be one: where the environment names it (ECS, EKS, web identity)
or the firmware says that this is a machine of EC2. Elsewhere the metadata address does not exist, and asking
it would cost seconds. Nothing here ever puts a key into a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minio.credentials.providers import Provider

NONE_FOUND = "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_ROLE = (
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
_VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")
_PATIENCE = 2.0


def may_have_credentials(env: Mapping[str, str], vendor: Path = _VENDOR) -> bool:
    """Say whether it is worth to look for credentials at all, without loading the library for it. Blocking.

    ``env`` is the environment of the process, ``vendor`` the file in which the firmware names who made this machine.
    """
    return bool(_keys(env)) or _shared_file(env).exists() or _may_have_role(env, vendor)


def find_credentials(env: Mapping[str, str], vendor: Path = _VENDOR) -> Provider:
    """Give the chain of providers; nothing is asked yet. The library must be loaded. Blocking."""
    from minio.credentials.providers import (  # noqa: PLC0415 - loaded already
        AWSConfigProvider,
        ChainedProvider,
        IamAwsProvider,
        StaticProvider,
    )
    from urllib3 import PoolManager, Timeout  # noqa: PLC0415 - loaded already

    chain: list[Provider] = []
    if keys := _keys(env):
        chain.append(StaticProvider(*keys, env.get("AWS_SESSION_TOKEN") or None))
    chain.append(AWSConfigProvider(str(_shared_file(env)), env.get("AWS_PROFILE") or "default"))
    if _may_have_role(env, vendor):
        chain.append(IamAwsProvider(http_client=PoolManager(timeout=Timeout(_PATIENCE), retries=False)))
    return ChainedProvider(chain)


def why_none(provider: Provider) -> str:
    """Say why ``provider`` gives no credentials; empty when it does. Blocking."""
    try:
        provider.retrieve()
    except ValueError:
        return NONE_FOUND
    except Exception as error:  # noqa: BLE001 - the texts of a parser quote the file, so none is shown
        return f"the AWS credentials cannot be read: {type(error).__name__}"
    return ""


def _keys(env: Mapping[str, str]) -> tuple[str, str] | None:
    access, secret = env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
    return (access, secret) if access and secret else None


def _shared_file(env: Mapping[str, str]) -> Path:
    named = env.get("AWS_SHARED_CREDENTIALS_FILE")
    return Path(named) if named else Path(env.get("HOME") or Path.home(), ".aws", "credentials")


def _may_have_role(env: Mapping[str, str], vendor: Path) -> bool:
    if any(env.get(name) for name in _ROLE):
        return True
    disabled = env.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    return not disabled and _on_ec2(vendor)


def _on_ec2(vendor: Path) -> bool:
    try:
        return "Amazon EC2" in vendor.read_text()
    except OSError:
        return False
