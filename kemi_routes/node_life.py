"""Which Asterisk nodes live: what they send counts more than an answer to a probe that comes late.

On a busy machine a node answers probes late, or drops them (its own overload guard), while it carries calls. Taking it
for dead would move its calls, ring apartments twice and double the load of the other node.
"""

from __future__ import annotations

import functools
import ipaddress
import json
from typing import TYPE_CHECKING

from kemi_routes import sip_uri
from kemi_routes.clock import steady_ms

if TYPE_CHECKING:
    from KSR import Ksr

# Every node of ours; who is disabled there is believed and never chosen for an ordinary call.
SET = 1
# The node that emergency calls go to first, and nobody else's (docs/decisions/0021).
EMERGENCY_SET = 2
_IN_TURN = 4
# ds_is_from_list_uri: compare address and port, not the protocol, which a plain URI does not name.
_ANY_TRANSPORT = 2
_UDP_ONLY = frozenset(("transport=tcp", "transport=tls", "transport=sctp", "transport=ws", "transport=wss"))
_HEARD = "heard"
# A node that sent anything within this time lives. Two missed probes take longer (1.75 s): a dead node is not kept up.
_LIVES_MS = 1600
# The moment is written down at most this often by each process.
_NOTE_EVERY_MS = 250
_LIST = '{"jsonrpc":"2.0","id":1,"method":"dispatcher.list"}'
_UP_AND_PROBED = "ap"


class Hearing:
    """Notes for all processes when a node was last heard by this one."""

    def __init__(self) -> None:
        self._noted_ms: dict[str, int] = {}

    def note(self, ksr: Ksr, address: str) -> None:
        """A message from this address is being handled."""
        at_ms = steady_ms()
        if at_ms - self._noted_ms.get(address, 0) >= _NOTE_EVERY_MS:
            self._noted_ms[address] = at_ms
            ksr.htable.sht_sets(_HEARD, address, str(at_ms))


def lives(ksr: Ksr, address: str) -> bool:
    """Tell whether a node has sent us anything just now."""
    heard = ksr.htable.sht_get(_HEARD, address)
    return isinstance(heard, str) and steady_ms() - int(heard) < _LIVES_MS


def bring_back(ksr: Ksr, uri: str) -> None:
    """Take a node up again that probes had taken down."""
    group = EMERGENCY_SET if is_for_emergencies(ksr, uri) else SET
    ksr.dispatcher.ds_mark_addr(_UP_AND_PROBED, group, uri)


def is_node(ksr: Ksr, uri: str) -> bool:
    """Tell whether a URI leads to one of our nodes, to the very port where it listens for SIP."""
    return _is_listed(ksr, SET, uri)


def is_for_emergencies(ksr: Ksr, uri: str) -> bool:
    """Tell whether a URI leads to the node of emergency calls."""
    return _is_listed(ksr, EMERGENCY_SET, uri)


def _is_listed(ksr: Ksr, group: int, uri: str) -> bool:
    """Anybody may send any URI: the dispatcher would look a name up in DNS, and the worker would wait for it."""
    name = name_of(uri)
    if not _is_address(name.rpartition(":")[0]) or not _UDP_ONLY.isdisjoint(uri.lower().split(";")):
        return False
    return ksr.dispatcher.ds_is_from_list_uri(group, _ANY_TRANSPORT, f"sip:{name}") > 0


@functools.lru_cache(256)
def _is_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")) is not None
    except ValueError:
        return False


def choose(ksr: Ksr) -> bool:
    """Choose a node that is up, in turn; the others follow it if it fails (ds_next_dst)."""
    return ksr.dispatcher.ds_select_dst(SET, _IN_TURN) > 0


def choose_for_emergency(ksr: Ksr) -> bool:
    """Choose the node of emergency calls; while it is down, any other."""
    return ksr.dispatcher.ds_select_dst(EMERGENCY_SET, _IN_TURN) > 0 or choose(ksr)


def every_uri(ksr: Ksr) -> list[str]:
    """URIs of all nodes, up or down, those that live first; none (and a line in the log) when there is no list.

    Costs a remote procedure within the process: only for when no node counts as up.
    """
    if ksr.jsonrpcs.exec(_LIST) < 0:
        ksr.err("list of Asterisk nodes is not to be had: dispatcher.list fails\n")
        return []
    answer = json.loads(str(ksr.jsonrpcs.response()))
    found = [
        str(target["DEST"]["URI"])
        for record in answer["result"]["RECORDS"]
        if record["SET"]["ID"] == SET
        for target in record["SET"]["TARGETS"]
    ]
    return sorted(found, key=lambda uri: not lives(ksr, address_of(uri)))


def name_of(uri: str) -> str:
    """`host:port` of a node's URI, the name under which its legs are kept."""
    return sip_uri.host_and_port(uri)


def address_of(uri: str) -> str:
    """Address of a node's URI, without port."""
    return name_of(uri).rpartition(":")[0]
