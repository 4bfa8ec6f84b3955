"""The Docker engine of this machine: is there one, does it have the image, did we leave a container."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from cluster import CELL

_SECONDS = 10


def why_not(image: str) -> str:
    """Say why a container of ``image`` cannot run here and what to do about it; empty when it can."""
    import docker  # noqa: PLC0415 - heavy, and needed only here
    from docker.errors import DockerException, ImageNotFound  # noqa: PLC0415
    from requests.exceptions import RequestException  # noqa: PLC0415

    try:
        with closing(docker.from_env(timeout=_SECONDS)) as engine:
            engine.images.get(image)
    except ImageNotFound:
        return f"the Docker engine has no image {image}. Get it with: docker pull {image}"
    except (DockerException, RequestException, OSError):
        return (
            "no Docker engine answers here. On Debian or Ubuntu: sudo apt install docker.io && "
            f"sudo usermod -aG docker $USER, log in again, and: docker pull {image}"
        )
    return ""


def left(folder: Path, *, remove: bool = False) -> int:
    """Count our containers, those that mount something below ``folder``, and remove them when asked.

    Gives 0 where there is no engine.
    """
    import docker  # noqa: PLC0415
    from docker.errors import DockerException  # noqa: PLC0415
    from requests.exceptions import RequestException  # noqa: PLC0415

    ours: dict[str, str | list[str] | bool] = {"label": f"bacalhau.cell={CELL}"}
    try:
        with closing(docker.from_env(timeout=_SECONDS)) as engine:
            found = [
                container
                for container in engine.containers.list(all=True, filters=ours, ignore_removed=True)
                if any(
                    str(mount.get("Source")).startswith(f"{folder}/") for mount in container.attrs["Mounts"]
                )
            ]
            for container in found if remove else ():
                container.remove(force=True)
    except (DockerException, RequestException, OSError):
        return 0
    return len(found)
