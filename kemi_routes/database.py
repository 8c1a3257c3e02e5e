"""The CRM's database, read through its views (docs/contracts.md); nothing is ever written there.

A database that is gone says so at once. One that hangs (its machine, or the network to it) costs whoever asks seconds
(db_postgres in modules.cfg), and SIP workers are few: so one of them is always left for all that needs no database, and
what hangs then rests, and is asked again by one now and then.
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
_ASKING: Final = "asking"
_WORKERS: Final = "workers"
_PATIENCE_S: Final = 0.1
"""How long a SIP worker waits for its turn. Queries take a millisecond: it then waits for those that hang."""
_PAUSE_S: Final = 0.002
_SHORT_REST_S: Final = 1


def rows_for_worker(ksr: Ksr, result: str, query: str, columns: int) -> list[tuple[str, ...]] | None:
    """As `rows`, for a SIP worker: not all of them ask at one time."""
    if not (most := _most_at_once(ksr)):
        return rows(ksr, result, query, columns)
    if _rests(ksr) or not _has_turn(ksr, most):
        return None
    try:
        return _asked(ksr, result, query, columns)
    finally:
        ksr.htable.sht_dec(_ASKING, _WORKERS)


def _most_at_once(ksr: Ksr) -> int:
    """How many SIP workers may ask at one time; 0: all, because SQLite is a file, and does not hang."""
    is_remote = str(ksr.kx.get_def("EP_CRM_DB_URL")).startswith("postgres")
    return max(1, int(ksr.kx.get_def("EP_CHILDREN") or 1) - 1) if is_remote else 0


def _has_turn(ksr: Ksr, most: int) -> bool:
    """Wait for a turn, which has to be given back; False when others keep theirs for too long."""
    until_s = time.monotonic() + _PATIENCE_S
    while ksr.htable.sht_inc(_ASKING, _WORKERS) > most:
        ksr.htable.sht_dec(_ASKING, _WORKERS)
        if time.monotonic() >= until_s:
            _rest(ksr, _SHORT_REST_S)
            return False
        time.sleep(_PAUSE_S)
    return True


def rows(ksr: Ksr, result: str, query: str, columns: int) -> list[tuple[str, ...]] | None:
    """Return the rows as text, an absent value as an empty one; None while the database is away.

    Args:
        ksr: Kamailio.
        result: name of the result; each place that asks has its own.
        query: SQL. What is put into it has been checked: the module knows no parameters.
        columns: how many columns a row has.
    """
    return None if _rests(ksr) else _asked(ksr, result, query, columns)


def _asked(ksr: Ksr, result: str, query: str, columns: int) -> list[tuple[str, ...]] | None:
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
    until_s = _rests_until_s(ksr)
    if not until_s:
        return False
    if time.monotonic() < until_s:
        return True
    _rest(ksr)  # for all others, while this worker asks
    return False


def _rests_until_s(ksr: Ksr) -> int:
    until_s = ksr.htable.sht_get(_TABLE, _RESTS)
    return int(until_s) if isinstance(until_s, str) else 0


def _rest(ksr: Ksr, for_s: int = REST_S) -> None:
    until_s = max(int(time.monotonic()) + for_s, _rests_until_s(ksr))
    ksr.htable.sht_sets(_TABLE, _RESTS, str(until_s))
