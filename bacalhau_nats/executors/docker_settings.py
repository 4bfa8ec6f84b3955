"""The settings of engine ``docker``: its own section, validated here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, SecretStr, ValidationError

from bacalhau_nats.domain.model import Model
from bacalhau_nats.errors import InvalidSettings


class DockerSettings(Model):
    """How this node uses its Docker engine; keys are written in PascalCase, unknown ones are ignored.

    ``Host`` is the engine's address; when empty ``DOCKER_HOST`` and its companions count, as for the Docker
    client itself. ``Username`` and ``Password`` are sent to ``Registry`` and to no other, so that a job
    cannot have them by naming a registry of its own. ``RejectNetworked`` takes the network from jobs that
    leave its choice to the node. ``SkipImagePull`` runs only images that the engine has. ``StopGrace`` (seconds) lies between SIGTERM and SIGKILL, ``LostWindow``
    (seconds) between the death of the compute process and the removal of its containers. ``LogSize`` (bytes)
    bounds each of the two log files that the engine keeps of a container; output is read from there after a
    restart of the compute process, so it must not be smaller than the log quota of an execution.
    """

    host: str = ""
    registry: str = "docker.io"
    username: str = ""
    password: SecretStr = SecretStr("")
    reject_networked: bool = False
    skip_image_pull: bool = False
    pids_limit: int = Field(default=4096, ge=0, description="Processes in one container; 0 means any number.")
    log_size: int = Field(default=1_000_000_000, ge=1_000_000)
    stop_grace: float = Field(default=0.5, ge=0, le=1)
    lost_window: float = Field(default=60, gt=0)
    reaper: bool = True


def read_settings(section: Mapping[str, Any]) -> DockerSettings:
    """Validate the section. Raises InvalidSettings naming the key."""
    try:
        return DockerSettings.model_validate(dict(section))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidSettings(
            f"docker engine: setting {where} cannot be used: {first['msg']}",
            hint="see the keys below Engines.Types.Docker",
        ) from None
