"""Names of content: a CID says by what it contains which file or folder is meant."""

from __future__ import annotations

_CODECS = ("dag-pb", "raw")
_FORM = "a CID looks like Qm… (version 0) or bafy… (version 1)"


def why_no_cid(value: object) -> str:
    """Say why ``value`` is not the CID of a file or folder; empty when it is one, of version 0 or 1."""
    from multiformats_cid.cid import make_cid  # noqa: PLC0415 - costs 40 ms, and most nodes have no IPFS

    if not isinstance(value, str) or not value.strip():
        return f"an IPFS input needs a CID: {_FORM}"
    if "/" in value.strip():
        return f"{value!r} is not a CID but a path or address: give the CID alone"
    try:
        cid = make_cid(value.strip())
    except ValueError as error:
        return f"{value!r} is not a CID ({error}): {_FORM}"
    if cid.codec not in _CODECS:
        return f"CID {value} names {cid.codec}, which is neither a file nor a folder"
    return ""
