"""The ``ipfs`` publisher: results become a folder on IPFS, pinned on the IPFS node of this compute node.

The result is ``{"Type": "ipfs", "Params": {"CID": …}}``, the CID that any IPFS node computes for this folder with
Kubo's own choices (version 0, chunks of 256 KiB). Links in the results are not kept. Nothing removes the pin: results
stay until somebody unpins them (``ipfs pin rm``), unlike those on the bus, which go with their job.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import Field

from bacalhau_nats.clients.ipfs import IPFSNode
from bacalhau_nats.clients.ipfs_address import Endpoint, parse_endpoint
from bacalhau_nats.clients.ipfs_upload import add
from bacalhau_nats.domain.execution import Reason
from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import BacalhauError, InvalidSettings
from bacalhau_nats.ports import Health, PluginContext, Work, WorkFailed

TYPE = "ipfs"
SETTING = "Publishers.Types.IPFS.Endpoint"


class IPFSSettings(Model):
    """`Publishers.Types.IPFS`."""

    endpoint: str = Field(description="address of the IPFS node's RPC API, a multiaddress or a URL")
    timeout: float = Field(300.0, gt=0, description="seconds without progress after which publishing fails")


class IPFSPublisher:
    """Adds to one IPFS node."""

    def __init__(self, node: IPFSNode, endpoint: Endpoint, settings: IPFSSettings) -> None:
        self._node = node
        self._endpoint = endpoint
        self._settings = settings

    async def check(self) -> Health:
        """Ask whether the IPFS node answers; one that comes or goes later is noticed."""
        why = await self._node.check()
        return Health(ok=not why, why=why)

    async def publish(self, work: Work, results: Path, spec: SpecConfig) -> SpecConfig:  # noqa: ARG002 - no parameters
        """Add and pin the folder. Publishing an execution again gives the same CID."""
        try:
            cid = await add(self._endpoint, results, idle=self._settings.timeout)
        except (OSError, BacalhauError) as error:
            raise WorkFailed(
                f"results of {work.execution_id} could not be stored on IPFS: {error}",
                reason=Reason.PUBLISH,
                hint=getattr(error, "hint", ""),
            ) from error
        return SpecConfig(type=TYPE, params={"CID": cid})


@asynccontextmanager
async def open_ipfs(context: PluginContext) -> AsyncIterator[IPFSPublisher]:
    """Open the publisher with `IPFSSettings`. The IPFS node need not be there yet, see `IPFSPublisher.check`."""
    settings = context.read(IPFSSettings)
    try:
        endpoint = parse_endpoint(settings.endpoint)
    except ValueError as error:
        raise InvalidSettings(f"{SETTING}: {error}") from None
    yield IPFSPublisher(IPFSNode(endpoint), endpoint, settings)
