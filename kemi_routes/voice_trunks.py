"""Trunks of the kind `twilio_voice`: no carrier that we call, a voice API that calls phones and then calls us.

Kept in shared memory as `name` -> networks that its calls come from, by the process that follows changes.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from kemi_routes import database, table_rows
from kemi_routes.headers import is_account_name
from kemi_routes.kept_rows import KeptRows

if TYPE_CHECKING:
    from KSR import Ksr

_TABLE = "voice_trunks"
_QUERY = "select name, networks from kamailio_voice_trunks order by name"


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


class VoiceTrunkKeeper(KeptRows):
    """Keeps the table of them as the database says."""

    table = _TABLE

    def read(self, ksr: Ksr) -> dict[str, str] | None:
        """Return networks by name."""
        rows = database.rows(ksr, _TABLE, _QUERY, 2)
        return None if rows is None else {name: networks for name, networks in rows if is_account_name(name)}
