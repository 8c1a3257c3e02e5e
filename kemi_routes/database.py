"""The CRM's database, read through its views (docs/contracts.md); nothing is ever written there.

A database that is gone says so at once. One that hangs (its machine, or the network to it) costs whoever asks seconds
(db_postgres in modules.cfg), and SIP workers are few: so it then rests, and one asks it again now and then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from KSR import Ksr

_CONNECTION = "crm"
_TABLE = "database"
_RESTS = "rests_until"
_HANGS_S: Final = 1.0
"""A query that fails after so long has not been refused."""
REST_S: Final = 10


def rows(ksr: Ksr, result: str, query: str, columns: int) -> list[tuple[str, ...]] | None:
    """Return the rows as text, an absent value as an empty one; None while the database is away.

    Args:
        ksr: Kamailio.
        result: name of the result; each place that asks has its own.
        query: SQL. What is put into it has been checked: the module knows no parameters.
        columns: how many columns a row has.
    """
    if _rests(ksr):
        return None
    began_s, is_again = time.monotonic(), False
    while ksr.sqlops.sql_query(_CONNECTION, query, result) < 0:
        if time.monotonic() - began_s >= _HANGS_S:
            _rest(ksr)
            ksr.err(f"the CRM's database hangs: not asked for {REST_S} s\n")
            return None
        if is_again:
            return None
        is_again = True  # the connection was of before a restart of the database, and is made anew
    ksr.htable.sht_rm(_TABLE, _RESTS)
    get = ksr.sqlops.sql_result_get
    try:
        found = []
        for row in range(ksr.sqlops.sql_num_rows(result)):
            values = (get(result, row, column) for column in range(columns))
            found.append(tuple("" if value is None else str(value) for value in values))
        return found
    finally:
        ksr.sqlops.sql_result_free(result)


def _rests(ksr: Ksr) -> bool:
    until = ksr.htable.sht_get(_TABLE, _RESTS)
    if not isinstance(until, str):
        return False
    if time.time() < int(until):
        return True
    _rest(ksr)  # for all others, while this worker asks
    return False


def _rest(ksr: Ksr) -> None:
    ksr.htable.sht_sets(_TABLE, _RESTS, str(int(time.time()) + REST_S))
