"""The images that docker-compose.yml builds on and starts, made without a registry.

Python comes from Debian packages of this machine's release with the wheels that the project needs, so that the
Dockerfile is built as it is, by a pip that asks nobody. The servers are those that the other tests use.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import ipfs

ROOT = Path(__file__).parents[2]
_PREFIX = "bacalhau-test"
_DEBS = ("python3-minimal", "libpython3-stdlib", "busybox-static", "ca-certificates", "libstdc++6")
_UNWANTED = (
    "perl",
    "dpkg",
    "debconf",
    "tar",
    "install-info",
    "cdebconf",
    "mailcap",
    "mime-support",
    "openssl",
)
_PIP_CONF = "[global]\nno-index = true\nfind-links = /wheels\nbreak-system-packages = true\n"


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command; fail with what it said."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"$ {' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def python_image() -> str:
    """Make an image like python:slim, with the wheels of everything the project needs; give its name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needs = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    name = f"{_PREFIX}-python:{_digest(needs, _DEBS, Path(__file__).read_text())}"
    if _is_there(name):
        return name
    with _folder() as root:
        _unpack_debs(root)
        _add_python(root)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        site = root / f"usr/local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/dist-packages"
        run(*pip, "install", "--no-compile", "--target", site, "pip")
        run(*pip, "wheel", "--wheel-dir", root / "wheels", *needs)
        (root / "etc/pip.conf").write_text(_PIP_CONF)
        _import(root, name, "ENV PATH=/usr/local/bin:/usr/bin:/bin", 'CMD ["python3"]')
    return name


def nats_image() -> str:
    """Make an image like nats:alpine; give its name."""
    return _server_image("nats", Path(sys.prefix) / "bin" / "nats-server", '["nats-server"]')


def seaweedfs_image() -> str:
    """Make an image like chrislusf/seaweedfs; give its name."""
    return _server_image("seaweedfs", Path(sys.prefix) / "bin" / "weed", '["weed"]')


def ipfs_service(python: str) -> dict[str, object]:
    """Say how Compose runs the IPFS node of the other tests: in ``python``, mounted, as it has 30,000 files."""
    program = ipfs.installed()
    return {
        "image": python,
        "environment": {"IPFS_HOST": "0.0.0.0"},
        "entrypoint": ["node", f"/ipfs/{program.name}", "/data/ipfs", "5001", "4001"],
        "command": [],
        "volumes": [f"{program.parent}:/ipfs:ro", f"{shutil.which('node')}:/usr/local/bin/node:ro"],
    }


def _server_image(kind: str, binary: Path, entry: str) -> str:
    name = f"{_PREFIX}-{kind}:{_digest(binary.stat().st_size, binary.stat().st_mtime_ns)}"
    if _is_there(name):
        return name
    with _folder() as root:
        shutil.copy(binary, root / binary.name)
        (root / "Dockerfile").write_text(
            f"FROM busybox:1.37\nCOPY {binary.name} /usr/bin/{binary.name}\nENTRYPOINT {entry}\n"
        )
        run("docker", "build", "--quiet", "--tag", name, root)
    return name


# --- a root file system -----------------------------------------------------------------------------------


def _unpack_debs(root: Path) -> None:
    quiet = [
        f"--no-{what}" for what in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    ]
    listed = run("apt-cache", "depends", "--recurse", *quiet, *_DEBS)
    names = sorted({line for line in listed.splitlines() if line[:1].isalnum()})
    wanted = [name for name in names if not name.startswith(_UNWANTED)]
    with _folder() as debs:
        run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *wanted, cwd=debs)
        for deb in sorted(debs.glob("*.deb")):
            run("dpkg-deb", "-x", deb, root)


def _add_python(root: Path) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert (root / f"usr/bin/python{version}").exists(), (
        f"Debian's Python on this machine is not {version}, for which the wheels are; "
        f"it has {sorted(path.name for path in (root / 'usr/bin').glob('python*'))}"
    )
    for folder in ("tmp", "proc", "sys", "dev", "root", "etc", "usr/local/bin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    pip = root / "usr/local/bin/pip"
    pip.write_text('#!/bin/sh\nexec python3 -m pip "$@"\n')
    pip.chmod(0o755)
    for applet in run(root / "bin/busybox", "--list").split():
        link = root / "bin" / applet
        if not link.is_symlink() and not link.exists() and not (root / "usr/bin" / applet).exists():
            link.symlink_to("/bin/busybox")


def _import(root: Path, name: str, *changes: str) -> None:
    archive = root.with_suffix(".tar")
    try:
        with tarfile.open(archive, "w") as tar:
            tar.add(root, ".", filter=_owned_by_root)
        options = [word for change in changes for word in ("--change", change)]
        run("docker", "import", *options, archive, name)
    finally:
        archive.unlink(missing_ok=True)


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


# --- small things -----------------------------------------------------------------------------------------


def _is_there(image: str) -> bool:
    return (
        subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode
        == 0
    )


def _digest(*what: object) -> str:
    return hashlib.sha256(json.dumps(what, default=str).encode()).hexdigest()[:12]


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bacalhau-image-") as folder:
        root = Path(folder) / "root"
        root.mkdir()
        yield root
