"""Network addresses of the trunks: whose call comes in, and where ours go without a worker asking DNS.

Kamailio's own resolver keeps a worker waiting for as long as DNS takes. A process of its own looks names up, when they
are new and once a minute, and nothing else waits for it; what was found last holds while DNS is away.
"""

from __future__ import annotations

import json
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
_FOUND = "trunk_names"
"""Host name -> addresses that DNS has told last (JSON); `_WANTED` -> the names to look up (JSON)."""
_WANTED = " wanted"  # no host has a space in its name
_LOOK_UP_EVERY_S = 60.0
# A name that DNS could say nothing of is tried again sooner.
_TRY_AGAIN_S = 10.0
# What DNS says (glibc): there is no such name; the name is there, and no address of this kind any more.
_NO_ADDRESS = frozenset((socket.EAI_NONAME, socket.EAI_NODATA))


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


class NameWatch:
    """Asks DNS; lives in the process of the rtimer `names`, where nothing waits for it."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def tick(self, ksr: Ksr) -> None:
        """Look up the name that is due longest, a new one first, and tell what DNS says; nothing when it is away."""
        wanted = _read(ksr, _WANTED)
        for host in self._due.keys() - set(wanted):
            del self._due[host]
            ksr.htable.sht_rm(_FOUND, host)
        due_s, host = min(((self._due.get(host, 0.0), host) for host in wanted), default=(float("inf"), ""))
        if time.monotonic() < due_s:
            return
        found = _looked_up(host)
        self._due[host] = time.monotonic() + (_TRY_AGAIN_S if found is None else _LOOK_UP_EVERY_S)
        if found is not None:
            _write(ksr, host, found)


class AddressKeeper:
    """Keeps the tables that calls read; lives in the process of the rtimer `changes`, and never asks DNS itself."""

    def __init__(self) -> None:
        self.hosts: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        self.known: dict[str, list[str]] = {}
        """Host -> its addresses, as DNS has told them last."""
        self._trunks: list[tuple[str, str]] | None = None
        self._wanted: list[str] = []

    def follow(self, ksr: Ksr, trunks: Iterable[tuple[str, ...]]) -> None:
        """Take these trunks (name, `host[:port]`) in place of those before."""
        named = [(name, address.rpartition(":")[0] or address) for name, address in trunks]
        self._trunks = [(name, host) for name, host in named if host]
        wanted = sorted({host for _, host in self._trunks if not _is_address(host)})
        if wanted != self._wanted:
            self._wanted = wanted
            _write(ksr, _WANTED, wanted)

    def take(self, ksr: Ksr) -> bool:
        """Put what is known of their hosts by now; say whether anything has changed.

        Of a host that was not found yet, what the file of this host's disk has given holds.
        """
        if self._trunks is None:
            return False
        known: dict[str, list[str]] = {}
        hosts: dict[str, str] = {}
        addresses: dict[str, str] = {}
        for name, host in self._trunks:
            if _is_address(host):
                hosts[host] = name
                continue
            found = known[host] = _read(ksr, host, self.known.get(host, []))
            hosts.update(dict.fromkeys(found, name))
            if found:
                before = self.addresses.get(host)
                addresses[host] = before if before in found else found[0]
        changed = known != self.known
        return self.put(ksr, hosts, addresses, known) or changed

    def put(self, ksr: Ksr, hosts: dict[str, str], addresses: dict[str, str], known: dict[str, list[str]]) -> bool:
        """Put these in place of what was there; say whether calls find another thing."""
        changed = (hosts, addresses) != (self.hosts, self.addresses)
        for table, kept, found in ((_HOSTS, self.hosts, hosts), (_ADDRESSES, self.addresses, addresses)):
            for key in kept.keys() - found.keys():
                ksr.htable.sht_rm(table, key)
            for key, value in found.items():
                if kept.get(key) != value:
                    ksr.htable.sht_sets(table, key, value)
        self.hosts, self.addresses, self.known = hosts, addresses, known
        return changed


def _is_address(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        return False
    return True


def _read(ksr: Ksr, key: str, otherwise: list[str] | None = None) -> list[str]:
    entry = ksr.htable.sht_get(_FOUND, key)
    if not isinstance(entry, str):
        return otherwise or []
    told: list[str] = json.loads(entry)
    return told


def _write(ksr: Ksr, key: str, names: list[str]) -> None:
    ksr.htable.sht_sets(_FOUND, key, json.dumps(names))


def _looked_up(host: str) -> list[str] | None:
    """Return the addresses of a host: none when DNS says that there are none, None when it says nothing."""
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_DGRAM)
    except socket.gaierror as error:
        return [] if error.errno in _NO_ADDRESS else None
    except (OSError, UnicodeError):  # UnicodeError: a label that is empty or too long
        return None
    return sorted({str(entry[4][0]) for entry in found})
