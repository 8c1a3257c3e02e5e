"""Addresses that others choose, judged before anything is sent there.

An IPv6 address may stand for an IPv4 address, to which a translator on the way takes what is sent: both are judged.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - part of this module's types
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are an IPv4 address."""
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
"""RFC 4291: so are these, which no network ever sees."""
_EMBEDDING: Final = (_NAT64, _MAPPED, IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))
"""And so were the compatible (RFC 4291) and the translated (RFC 2765)."""
_INTERNET: Final = IPv6Network("2000::/3")
"""All that is given out of IPv6 (RFC 4291, IANA): not what was given up, such as fec0::/10."""
_OF_CLOUDS: Final = tuple(
    ip_network(text)
    for text in (
        "100.100.100.200/32", "168.63.129.16/32",
        "fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128", "fd00:42::42/128",
    )
)  # fmt: skip
"""Where clouds keep what their machines log in with, and what sets these up; one is an address of the internet."""
_NO_DEVICES: Final = (
    *map(
        ip_network,
        (
            "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
            "::/127", "fe80::/10", "ff00::/8",
            "64:ff9b:1::/48",
        ),
    ),
    *_OF_CLOUDS,
)  # fmt: skip
"""This host and its own link, and everybody at once.

Also what translators of one's own take to any IPv4 address (RFC 8215): who has one knows where its bits are (RFC 6052,
2.2), and names the network.
"""


def networks_of(texts: Sequence[str]) -> Networks:
    """Return the networks that are named as `10.0.0.0/8`."""
    return tuple(ip_network(text) for text in texts)


def may_be_device(text: str, named: Networks) -> bool:
    """Tell whether a panel or relay may have this address: it is in a named network, or nobody's but a device's."""
    address = address_of(text)
    all_of_it = (address, *_embedded(address))
    return _is_in(all_of_it, named) or not _is_in(all_of_it, _NO_DEVICES)


def is_of_internet(text: str, named: Networks) -> bool:
    """Tell whether it is of the internet, with all that it stands for, or in a named network."""
    address = address_of(text)
    embedded = _embedded(address)
    if _is_in((address, *embedded), named):
        return True
    means_the_embedded_alone = bool(embedded) and (address in _NAT64 or address in _MAPPED)
    return all(map(_is_global, embedded if means_the_embedded_alone else (address, *embedded)))


def _is_global(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _INTERNET:
        return False
    return address.is_global and not address.is_multicast and not _is_in((address,), _OF_CLOUDS)


def address_of(text: str) -> Address:
    """Return an address that a resolver or a socket tells, without the zone of its link."""
    return ip_address(text.partition("%")[0])


def _is_in(addresses: Sequence[Address], networks: Networks) -> bool:
    return any(address in network for address in addresses for network in networks)


def _embedded(address: Address) -> tuple[Address, ...]:
    """Return the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return ()
    if any(address in network for network in _EMBEDDING) and int(address) > 1:
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    return address.teredo or ()
