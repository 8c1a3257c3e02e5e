"""Trunks: carriers that phones are dialled through, kept whole in shared memory by the process that follows changes.

A worker never asks the database for one. While the database is away, what is known stays.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import voice_trunks
from kemi_routes.headers import is_account_name

if TYPE_CHECKING:
    from KSR import Ksr

_TABLE = "trunks"
# Trunks that did not answer, or said that they cannot: tried last for a while.
_RESTING = "resting"
_REST_S = 30
_ALL = "*"
_SEPARATOR = "|"
_DATABASE = "crm"
_RESULT = "trunks"
_COLUMNS = "name, address, transport, username, realm, ha1, registers, number_format"
_QUERY = f"select {_COLUMNS} from kamailio_trunks order by name"  # noqa: S608 - constants
_WHOLE_AGAIN_S = 60.0
CHANGE_MARK = "trunk:"
# An empty parameter of uac.reg_add.
_NOTHING = "."
_REGISTERED_S = 300


class Trunk(NamedTuple):
    """A carrier: where it is, and what it wants to see."""

    name: str
    address: str
    transport: str
    username: str
    realm: str
    ha1: str
    registers: bool
    number_format: str

    def uri(self, number: str) -> str:
        """Return the request URI of a number (E.164) at this carrier."""
        dialled = number.removeprefix("+") if self.number_format == "digits" else number
        transport = ";transport=tcp" if self.transport == "tcp" else ""
        return f"sip:{dialled}@{self.address}{transport}"

    def shown(self, caller_number: str) -> str:
        """Return the caller's number as this carrier wants it."""
        return caller_number.removeprefix("+") if self.number_format == "digits" else caller_number


def find(ksr: Ksr, name: str) -> Trunk | None:
    """Find a trunk by its name; None when it is not known or switched off."""
    entry = ksr.htable.sht_get(_TABLE, name)
    return _parse(entry) if isinstance(entry, str) else None


def in_order(ksr: Ksr, names: list[str]) -> list[str]:
    """Return known trunks in the order wanted, those that rest at the end."""
    known = [name for name in names if voice_trunks.is_known(ksr, name) or find(ksr, name) is not None]
    return sorted(known, key=lambda name: ksr.htable.sht_get(_RESTING, name) is not None)


def rest(ksr: Ksr, name: str) -> None:
    """Try others first for a while."""
    ksr.htable.sht_seti(_RESTING, name, 1)


def _parse(entry: str) -> Trunk:
    name, address, transport, username, realm, ha1, registers, number_format = entry.split(_SEPARATOR)
    return Trunk(name, address, transport, username, realm, ha1, registers == "1", number_format)


def _call(ksr: Ksr, method: str, *parameters: str | int) -> None:
    request = {"jsonrpc": "2.0", "method": method, "params": parameters, "id": 1}
    ksr.jsonrpcs.exec(json.dumps(request))
    answer = str(ksr.jsonrpcs.response() or "")
    if '"error"' in answer:
        ksr.err(f"{method} {parameters[0]}: {answer}\n")


class TrunkKeeper:
    """Keeps the table of trunks as the database says; lives in the process of the rtimer `changes`."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}
        self._read_at = float("-inf")

    def read_anew(self) -> None:
        """Read the trunks at the next tick: one has changed."""
        self._read_at = float("-inf")

    def tick(self, ksr: Ksr) -> None:
        """Read the trunks when one has changed, and once a minute."""
        if time.monotonic() - self._read_at < _WHOLE_AGAIN_S:
            return
        found = self._query(ksr)
        if found is None:
            return
        self._read_at = time.monotonic()
        for name in self._kept.keys() - found.keys():
            ksr.htable.sht_rm(_TABLE, name)
            self._unregister(ksr, _parse(self._kept[name]))
        for name, entry in found.items():
            if self._kept.get(name) != entry:
                ksr.htable.sht_sets(_TABLE, name, entry)
                ksr.htable.sht_rm(_RESTING, name)
                if name in self._kept:
                    self._unregister(ksr, _parse(self._kept[name]))
                self._register(ksr, _parse(entry))
        self._kept = found

    @staticmethod
    def _register(ksr: Ksr, trunk: Trunk) -> None:
        """Have the uac module register there, and again before each registration ends."""
        if not trunk.registers:
            return
        host = trunk.address.partition(":")[0]
        proxy = f"sip:{trunk.address}" + (";transport=tcp" if trunk.transport == "tcp" else "")
        told = (trunk.name, trunk.username, host, trunk.username, host, trunk.realm or host, trunk.username)
        secret = (_NOTHING, trunk.ha1 or _NOTHING)
        _call(ksr, "uac.reg_add", *told, *secret, proxy, _REGISTERED_S, 0, 0, _NOTHING, _NOTHING)

    @staticmethod
    def _unregister(ksr: Ksr, trunk: Trunk) -> None:
        """Register there no more; what stands ends by itself."""
        if trunk.registers:
            _call(ksr, "uac.reg_remove", trunk.name)

    def _query(self, ksr: Ksr) -> dict[str, str] | None:
        """Entries by name; None while the database is away (changes.py says so in the log)."""
        if ksr.sqlops.sql_query(_DATABASE, _QUERY, _RESULT) < 0:
            return None
        found = {}
        try:
            for row in range(ksr.sqlops.sql_num_rows(_RESULT)):
                columns = [str(ksr.sqlops.sql_result_get(_RESULT, row, i)) for i in range(len(Trunk._fields))]
                if is_account_name(columns[0]) and not any(_SEPARATOR in column for column in columns):
                    found[columns[0]] = _SEPARATOR.join(columns)
        finally:
            ksr.sqlops.sql_result_free(_RESULT)
        return found
