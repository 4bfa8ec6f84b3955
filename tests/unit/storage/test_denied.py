"""Addresses that no URL may lead to."""

import pytest

from bacalhau_nats.clients.denied import DeniedNetworks


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
    ],
)
def test_link_local_metadata_and_this_host_are_always_denied(address):
    assert DeniedNetworks().why(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "93.184.216.34", "2606:2800:220:1::1", "::1"])
def test_other_addresses_are_allowed_unless_the_operator_denies_them(address):
    assert DeniedNetworks().why(address) == ""
    assert "denied on this node" in DeniedNetworks(["0.0.0.0/0", "::/0"]).why(address)


def test_a_denied_network_also_covers_its_addresses_in_ipv6_form():
    assert "10.0.0.0/8" in DeniedNetworks(["10.0.0.0/8"]).why("::ffff:10.0.0.1")


@pytest.mark.parametrize("network", ["10.0.0.0/33", "example.com", "10.0.0.1/8"])
def test_what_is_no_network_is_an_error(network):
    with pytest.raises(ValueError, match=network.partition("/")[0]):
        DeniedNetworks([network])
