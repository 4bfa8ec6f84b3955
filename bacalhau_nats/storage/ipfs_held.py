"""What an IPFS node holds itself, as far as its compute node knows: what was fetched through it, and what it has pinned.

Asked for at leisure, not when a job comes: the pins are listed once a minute, the size of each is asked for once, and
of what is not pinned, and so may be removed there at any time, some are looked through each time.
"""

from __future__ import annotations

import asyncio
from itertools import islice

from bacalhau_nats.clients.ipfs import IPFSNode
from bacalhau_nats.domain.locality import MOST, SMALL, input_digest
from bacalhau_nats.domain.spec import SpecConfig
from bacalhau_nats.errors import BacalhauError, Unavailable

_EVERY = 60.0
_NEW, _OLD = 64, 4  # pins whose size is asked for in one look, and contents that are looked through
_SIZE_LIMIT, _THROUGH_LIMIT = 2.0, 10.0


class HeldContent:
    """The largest contents that the IPFS node holds, at most `locality.MOST`; lost with the process."""

    def __init__(self, node: IPFSNode) -> None:
        self._node = node
        self._held: dict[str, tuple[str, int]] = {}  # CID and size by name, looked through longest ago first
        self._known_pins: set[str] = set()

    def held(self) -> dict[str, int]:
        """See `ports.Holder`."""
        return {digest: size for digest, (_, size) in self._held.items()}

    def note(self, source: SpecConfig, cid: str, size: int) -> None:
        """Remember that the content of ``source`` is there now."""
        if size < SMALL:
            return
        self._held[input_digest(source)] = (cid, size)
        if len(self._held) > MOST:
            del self._held[min(self._held, key=lambda digest: self._held[digest][1])]

    async def keep_looking(self) -> None:
        """Look once a minute, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY)

    async def look(self) -> None:
        """Find out what is new there and what is gone. An IPFS node that does not answer changes nothing."""
        try:
            pins = await self._node.pins()
        except BacalhauError:
            return
        self._known_pins &= pins
        for cid in list(islice(sorted(pins - self._known_pins), _NEW)):
            try:
                size = (await self._node.look_up(cid, _SIZE_LIMIT)).size
            except Unavailable:
                continue
            except BacalhauError:  # something else than files: no input
                size = 0
            self._known_pins.add(cid)
            self.note(SpecConfig(type="ipfs", params={"CID": cid}), cid, size)
        loose = [(digest, cid) for digest, (cid, _) in self._held.items() if cid not in pins]
        for digest, cid in loose[:_OLD]:
            if not await self._node.has(cid, _THROUGH_LIMIT):
                self._held.pop(digest, None)
            elif known := self._held.pop(digest, None):
                self._held[digest] = known
