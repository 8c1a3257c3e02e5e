"""Accounts: read from the CRM's view through a cache in shared memory that outlives the database's absence."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import database
from kemi_routes.headers import is_account_name

if TYPE_CHECKING:
    from KSR import Ksr

_CACHE = "accounts"
_ABSENT = "absent"
# That there is no such account is believed for so long.
_ABSENT_S = 5
_DROPPED = "dropped"
_LAST = "last"
_RESULT = "account"
_SEPARATOR = "|"


class Account(NamedTuple):
    """What Kamailio knows of an account; the order is that of a cache entry."""

    ha1: str
    kind: str
    enabled: bool


class DatabaseAwayError(Exception):
    """The account is not cached and the database does not answer."""


def _parse(entry: str) -> tuple[Account, int]:
    ha1, kind, enabled, read_at = entry.split(_SEPARATOR)
    return Account(ha1, kind, enabled == "1"), int(read_at)


def _read(ksr: Ksr, name: str) -> Account | None:
    """Read an account from the database.

    `name` has passed `is_account_name`: letters, digits and `._+-` only, so it can stand inside quotes.

    Raises:
        DatabaseAwayError: the query failed.
    """
    query = f"select ha1, kind, enabled from kamailio_accounts where account='{name}'"  # noqa: S608 - name is checked
    rows = database.rows_for_worker(ksr, _RESULT, query, 3)
    if rows is None:
        raise DatabaseAwayError(name)
    if not rows:
        return None
    ha1, kind, enabled = rows[0]
    return Account(ha1, kind, enabled in ("1", "t", "true", "True"))


def at_hand(ksr: Ksr, name: str, fresh_s: int) -> tuple[bool, Account | None]:
    """Say what is known of an account without asking the database.

    Returns:
        Whether that is all there is to know (else `find` asks the database), and the account as the cache has it.
    """
    entry = ksr.htable.sht_get(_CACHE, name)
    if isinstance(entry, str):
        cached, read_at = _parse(entry)
        return time.monotonic() - read_at < fresh_s, cached
    until_s = ksr.htable.sht_get(_ABSENT, name)
    is_absent = isinstance(until_s, int) and time.monotonic() < until_s
    return is_absent or not is_account_name(name), None


def find(ksr: Ksr, name: str, fresh_s: int) -> Account | None:
    """Find an account by its name; None when there is none.

    An entry older than `fresh_s` seconds is read again; when the database is away the old one stays valid.

    Raises:
        DatabaseAwayError: not cached, and the database does not answer.
    """
    enough, cached = at_hand(ksr, name, fresh_s)
    if enough:
        return cached
    dropped = ksr.htable.sht_get(_DROPPED, _LAST)
    try:
        found = _read(ksr, name)
    except DatabaseAwayError:
        if cached is None:
            raise
        found = cached  # and asked again after another fresh_s, not at every request
    if found is None:
        ksr.htable.sht_rm(_CACHE, name)
        ksr.htable.sht_seti(_ABSENT, name, int(time.monotonic()) + _ABSENT_S)
    else:
        enabled = "1" if found.enabled else "0"
        ksr.htable.sht_sets(_CACHE, name, _SEPARATOR.join((found.ha1, found.kind, enabled, str(int(time.monotonic())))))
    # A slow database may have read the row before it was changed, and answer after it was dropped: the next asks again.
    if ksr.htable.sht_get(_DROPPED, _LAST) != dropped:
        _drop(ksr, name)
    return found


def forget(ksr: Ksr, name: str) -> None:
    """Drop what is cached of an account, also that it does not exist."""
    # First: whoever reads the old row meanwhile sees one of the two, this or his entry dropped.
    ksr.htable.sht_sets(_DROPPED, _LAST, str(time.monotonic_ns()))
    _drop(ksr, name)


def _drop(ksr: Ksr, name: str) -> None:
    ksr.htable.sht_rm(_CACHE, name)
    ksr.htable.sht_rm(_ABSENT, name)
