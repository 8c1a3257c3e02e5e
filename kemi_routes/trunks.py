"""Trunks: carriers that phones are dialled through, kept whole in shared memory by the process that follows changes.

A worker never asks the database for one. While the database is away, what is known stays.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import database, voice_trunks
from kemi_routes.headers import is_account_name
from kemi_routes.kept_rows import KeptRows

if TYPE_CHECKING:
    from KSR import Ksr

_TABLE = "trunks"
# Trunks that did not answer, or said that they cannot: tried last for a while.
_RESTING = "resting"
_REST_S = 30
_ALL = "*"
_SEPARATOR = "|"
_COLUMNS = "name, address, transport, username, realm, ha1, registers, number_format"
_QUERY = f"select {_COLUMNS} from kamailio_trunks order by name"  # noqa: S608 - constants
CHANGE_MARK = "trunk:"
# An empty parameter of uac.reg_add.
_NOTHING = "."
_REGISTERED_S = 300
# The uac module knows by the time of day when to register again: put back by an hour, it would not for an hour, while
# carriers let registrations end. By more than this a clock does not go wrong between two ticks.
_CLOCK_JUMP_S = 2.0


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
    return sorted(known, key=lambda name: rests(ksr, name))


def rest(ksr: Ksr, name: str) -> None:
    """Try others first for a while."""
    ksr.htable.sht_seti(_RESTING, name, int(time.monotonic()) + _REST_S)


def rests(ksr: Ksr, name: str) -> bool:
    """Tell whether a trunk failed just now. The table forgets by the time of day, which may be put back by an hour."""
    until_s = ksr.htable.sht_get(_RESTING, name)
    return isinstance(until_s, int) and time.monotonic() < until_s


def _parse(entry: str) -> Trunk:
    name, address, transport, username, realm, ha1, registers, number_format = entry.split(_SEPARATOR)
    return Trunk(name, address, transport, username, realm, ha1, registers == "1", number_format)


def _call(ksr: Ksr, method: str, *parameters: str | int) -> None:
    request = {"jsonrpc": "2.0", "method": method, "params": parameters, "id": 1}
    ksr.jsonrpcs.exec(json.dumps(request))
    answer = str(ksr.jsonrpcs.response() or "")
    if '"error"' in answer:
        ksr.err(f"{method} {parameters[0]}: {answer}\n")


def _ahead_s() -> float:
    """By how much the time of day is ahead of the clock that nobody sets."""
    return time.time() - time.monotonic()


class TrunkKeeper(KeptRows):
    """Keeps the table of trunks as the database says, and is registered where a carrier wants it."""

    table = _TABLE

    def __init__(self) -> None:
        super().__init__()
        self._ahead_s = _ahead_s()

    def tick(self, ksr: Ksr) -> None:
        """Keep the table, and registrations when the clock was put back."""
        super().tick(ksr)
        before_s, self._ahead_s = self._ahead_s, _ahead_s()
        if self._ahead_s < before_s - _CLOCK_JUMP_S:
            ksr.warn(f"the clock was put back by {before_s - self._ahead_s:.0f} s: trunks are registered again\n")
            for entry in self._kept.values():
                trunk = _parse(entry)
                if trunk.registers:
                    # Has the module register within its next round, whatever it thinks that it still has.
                    _call(ksr, "uac.reg_enable", "l_uuid", trunk.name)

    def read(self, ksr: Ksr) -> dict[str, str] | None:
        """Return entries by name."""
        rows = database.rows(ksr, _TABLE, _QUERY, len(Trunk._fields))
        if rows is None:
            return None
        return {
            columns[0]: _SEPARATOR.join(columns)
            for columns in rows
            if is_account_name(columns[0]) and not any(_SEPARATOR in column for column in columns)
        }

    def gone(self, ksr: Ksr, entry: str) -> None:
        """Register there no more."""
        self._unregister(ksr, _parse(entry))

    def changed(self, ksr: Ksr, before: str | None, entry: str) -> None:
        """Give it a chance at once, and register as it wants it now."""
        trunk = _parse(entry)
        ksr.htable.sht_rm(_RESTING, trunk.name)
        if before is not None:
            self._unregister(ksr, _parse(before))
        self._register(ksr, trunk)

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
