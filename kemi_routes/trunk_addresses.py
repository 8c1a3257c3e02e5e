"""Network addresses of the trunks: whose call comes in, and where ours go without a worker asking DNS.

Kamailio's own resolver keeps a worker waiting for as long as DNS takes. Here the process that follows changes looks
names up, when they are new and once a minute; what was found last holds while DNS is away.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from KSR import Ksr

_HOSTS = "trunk_hosts"
"""Address -> name of the trunk that has it."""
_ADDRESSES = "trunk_addresses"
"""Host name -> address."""
_LOOK_UP_EVERY_S = 60.0


def trunk_at(ksr: Ksr, address: str) -> str | None:
    """Find the trunk that has this network address; None when no trunk has."""
    name = ksr.htable.sht_get(_HOSTS, address)
    return name if isinstance(name, str) else None


def next_hop(ksr: Ksr, uri: str) -> str | None:
    """Return where a request URI leads, with an address in place of the name (RFC 3263, 4.2: a name with a port).

    None when there is nothing to say: the host is an address, is not known, or has no port, which asks for SRV records
    and is left to Kamailio.
    """
    place, separator, parameters = uri.partition("@")[2].partition(";")
    host, _, port = place.partition(":")
    address = ksr.htable.sht_get(_ADDRESSES, host) if port else None
    return f"sip:{address}:{port}{separator}{parameters}" if isinstance(address, str) else None


class AddressKeeper:
    """Keeps both tables; lives in the process of the rtimer `changes`."""

    def __init__(self) -> None:
        self.hosts: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        self._known: dict[str, list[str]] = {}
        self._looked_up_at = float("-inf")

    def follow(self, ksr: Ksr, trunks: Iterable[tuple[str, ...]]) -> bool:
        """Look up the hosts of trunks (name, `host[:port]`); say whether anything has changed."""
        again = time.monotonic() - self._looked_up_at > _LOOK_UP_EVERY_S
        if again:
            self._looked_up_at = time.monotonic()
        hosts: dict[str, str] = {}
        addresses: dict[str, str] = {}
        for name, address in trunks:
            host = address.rpartition(":")[0] or address
            if again or host not in self._known:
                self._known[host] = _looked_up(host, self._known.get(host, []))
            found = self._known[host]
            hosts.update(dict.fromkeys(found, name))
            if found and host not in found:
                before = self.addresses.get(host)
                addresses[host] = before if before in found else found[0]
        return self.put(ksr, hosts, addresses)

    def put(self, ksr: Ksr, hosts: dict[str, str], addresses: dict[str, str]) -> bool:
        """Put these in place of what was there; say whether that is another thing."""
        changed = (hosts, addresses) != (self.hosts, self.addresses)
        for table, kept, found in ((_HOSTS, self.hosts, hosts), (_ADDRESSES, self.addresses, addresses)):
            for key in kept.keys() - found.keys():
                ksr.htable.sht_rm(table, key)
            for key, value in found.items():
                if kept.get(key) != value:
                    ksr.htable.sht_sets(table, key, value)
        self.hosts, self.addresses = hosts, addresses
        return changed


def _looked_up(host: str, known: list[str]) -> list[str]:
    """Return the addresses of a host: those known before when DNS does not say that there are none."""
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_DGRAM)
    except socket.gaierror as error:
        return [] if error.errno == socket.EAI_NONAME else known
    except (OSError, UnicodeError):  # UnicodeError: a label that is empty or too long
        return known
    return sorted({str(entry[4][0]) for entry in found})
