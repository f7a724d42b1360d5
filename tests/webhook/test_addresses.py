"""Whom webhooks may be sent to."""

import ipaddress

import pytest

from app.webhook.addresses import AddressRefusedError, AddressRules, resolve

STRICT = AddressRules(allowed_hosts=(), allows_loopback=False)


def allows(rules, address, host="receiver.example"):
    return rules.allows(host, ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "::a00:1",
    ],
)  # fmt: skip
def test_what_only_this_network_can_reach_is_refused(address):
    assert not allows(STRICT, address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_public_addresses_are_allowed(address):
    assert allows(STRICT, address)


def test_loopback_and_nothing_else_is_allowed_where_no_key_is_asked_for():
    keyless = AddressRules(allowed_hosts=(), allows_loopback=True)
    assert [allows(keyless, address) for address in ("127.8.8.8", "::1", "::ffff:127.0.0.1")] == [True] * 3
    assert not allows(keyless, "10.0.0.1")


def test_private_hosts_are_allowed_by_name_address_or_network():
    rules = AddressRules(allowed_hosts=("Hooks.internal", "10.9.9.9", "192.168.7.0/24"), allows_loopback=False)
    assert allows(rules, "10.0.0.1", host="hooks.INTERNAL.")
    assert allows(rules, "10.9.9.9")
    assert allows(rules, "192.168.7.200")
    assert allows(rules, "::ffff:192.168.7.200")
    assert not allows(rules, "192.168.8.1")
    assert not allows(rules, "10.0.0.1", host="hooks.internal.example")


@pytest.mark.parametrize("host", ["localhost", "2130706433", "127.1", "0x7f000001"])
def test_a_name_is_judged_by_what_it_resolves_to(host):
    with pytest.raises(AddressRefusedError, match=r"127\.0\.0\.1|::1"):
        resolve(host, 80, rules=STRICT)
    assert resolve(host, 80, rules=AddressRules(allowed_hosts=(), allows_loopback=True))
