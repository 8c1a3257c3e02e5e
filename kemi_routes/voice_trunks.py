"""Trunks of the kind `twilio_voice`: no carrier that we call, a voice API that calls phones and then calls us.

Kept in shared memory as `name` -> networks that its calls come from, by the process that follows changes.
"""

from __future__ import annotations

import ipaddress
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from kemi_routes import table_rows
from kemi_routes.headers import is_account_name

if TYPE_CHECKING:
    from KSR import Ksr

_TABLE = "voice_trunks"
_DATABASE = "crm"
_QUERY = "select name, networks from kamailio_voice_trunks order by name"
_WHOLE_AGAIN_S = 60.0


def is_known(ksr: Ksr, name: str) -> bool:
    """Tell whether a trunk of this kind has this name."""
    return isinstance(ksr.htable.sht_get(_TABLE, name), str)


def calls_from(ksr: Ksr, name: str, address: str) -> bool:
    """Tell whether the calls of this trunk come from this network address."""
    networks = ksr.htable.sht_get(_TABLE, name)
    return isinstance(networks, str) and _is_in(address, networks)


def is_edge(ksr: Ksr, address: str) -> bool:
    """Tell whether the calls of any such trunk come from this network address; looks through all of them."""
    return any(_is_in(address, networks) for networks in table_rows.collect(ksr, _TABLE).values())


@lru_cache(maxsize=1024)
def _is_in(address: str, networks: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.strip("[]"))
        return any(ip in ipaddress.ip_network(network) for network in networks.split(","))
    except ValueError:
        return False


class VoiceTrunkKeeper:
    """Keeps the table of them as the database says; lives in the process of the rtimer `changes`."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}
        self._read_at = float("-inf")

    def read_anew(self) -> None:
        """Read them at the next tick: a trunk has changed."""
        self._read_at = float("-inf")

    def tick(self, ksr: Ksr) -> None:
        """Read them when a trunk has changed, and once a minute; while the database is away, what is known stays."""
        if time.monotonic() - self._read_at < _WHOLE_AGAIN_S:
            return
        found = _query(ksr)
        if found is None:
            return
        self._read_at = time.monotonic()
        for name in self._kept.keys() - found.keys():
            ksr.htable.sht_rm(_TABLE, name)
        for name, networks in found.items():
            ksr.htable.sht_sets(_TABLE, name, networks)
        self._kept = found


def _query(ksr: Ksr) -> dict[str, str] | None:
    """Networks by name; None while the database is away (changes.py says so in the log)."""
    if ksr.sqlops.sql_query(_DATABASE, _QUERY, _TABLE) < 0:
        return None
    try:
        get = ksr.sqlops.sql_result_get
        rows = [(str(get(_TABLE, row, 0)), str(get(_TABLE, row, 1))) for row in range(ksr.sqlops.sql_num_rows(_TABLE))]
    finally:
        ksr.sqlops.sql_result_free(_TABLE)
    return {name: networks for name, networks in rows if is_account_name(name)}
