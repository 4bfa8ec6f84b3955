"""Addresses of IPFS nodes, and names of content."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats_cid.cid import make_cid

from bacalhau_nats.clients.ipfs_address import parse_endpoint
from bacalhau_nats.clients.ipfs_cid import why_no_cid

V0 = "QmSBkVYvBhU9LAADgAw1viBdrZUjBbS5fchxZJ2FXzWvwP"
V1 = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001"),
        ("/ip6/::1/tcp/5001", "http://[::1]:5001"),
        ("/dns4/ipfs.example/tcp/443/https", "https://ipfs.example:443"),
        ("/dns/ipfs/tcp/5001/http", "http://ipfs:5001"),
        (" http://127.0.0.1:5001/ ", "http://127.0.0.1:5001"),
        ("http://ipfs:5001/api/v0", "http://ipfs:5001"),
        ("https://ipfs.example", "https://ipfs.example:443"),
        ("http://[::1]:5001", "http://[::1]:5001"),
    ],
)
def test_an_address_is_a_multiaddress_or_a_url(text, url):
    assert parse_endpoint(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        *("", "ipfs", "127.0.0.1:5001", "ftp://x:1", "http://", "http://x:y", "http://x:70000", "http://x/y"),
        *("http://me:secret@x", "/ip4/127.0.0.1", "/ip4/1.2.3/tcp/1", "/tcp/5001", "/nope/1", "/", "/ip4"),
    ],
)
def test_what_is_no_address_is_told_with_what_is_wanted(text):
    with pytest.raises(ValueError, match=r"/ip4/127\.0\.0\.1/tcp/5001 or http://127\.0\.0\.1:5001"):
        parse_endpoint(text)


@given(st.text())
def test_any_text_is_an_address_or_told_to_be_none(text):
    with suppress(ValueError):
        assert parse_endpoint(text).port >= 0


@pytest.mark.parametrize("cid", [V0, V1, f" {V0}\n", "zdj7WhuEjrB52m1BisYCtmjH1hSKa7yZ3jEZ9JcXaFRD51wVz"])
def test_cids_of_both_versions_are_taken(cid):
    assert why_no_cid(cid) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "needs a CID"),
        (7, "needs a CID"),
        ("", "needs a CID"),
        ("hello", "'hello' is not a CID"),
        (V0[:-1], "is not a CID"),
        (V0[:-1] + "0", "base58"),
        (V1[:-1] + "1", "is not a CID"),
        (f"{V0}/data.csv", "give the CID alone"),
        (f"ipfs://{V0}", "give the CID alone"),
        ("k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8", "names libp2p-key"),
    ],
)
def test_what_is_no_cid_is_told_with_what_is_wrong(value, said):
    assert said in why_no_cid(value)


@given(st.text() | st.text(alphabet=V0 + V1))
def test_any_text_is_a_cid_or_told_to_be_none(text):
    if not why_no_cid(text):
        assert make_cid(text.strip()).codec in ("dag-pb", "raw")
