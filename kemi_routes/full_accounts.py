"""An account has ten contacts at most: another one takes the place of that which was refreshed longest ago.

An app that has a new port at each start, and does not name itself, leaves a contact behind each time; nobody takes that
away for up to an hour. The registrar refuses the eleventh (503), and the app would be offline until then.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import foreign_text

if TYPE_CHECKING:
    from KSR import Ksr

_TABLE = "location"
# As the registrar has it (modules.cfg).
_MAX_CONTACTS = 10
_PROFILE = "full"
_INSTANCE = re.compile(r'\+sip\.instance\s*=\s*"([^"]*)"', re.IGNORECASE)


class _Registered(NamedTuple):
    """A contact as the registrar has it."""

    modified_s: int
    ruid: str
    uri: str
    instance: str


def make_room(ksr: Ksr, account_uri: str, contact: str) -> None:
    """Take away one contact of a full account that is to have another one.

    Args:
        ksr: Kamailio.
        account_uri: address of record.
        contact: header of the new contact. A device that names itself takes its own place: the registrar counts it as
            another one.
    """
    registered = _registered(ksr, account_uri)
    if not registered:
        return
    named = _INSTANCE.search(contact)
    own = [known for known in registered if named is not None and known.instance.strip("<>") == named[1].strip("<>")]
    # Of one second it is the last in the list, which begins with what was refreshed last.
    away = min(reversed(own or registered), key=lambda known: known.modified_s)
    ksr.registrar.unregister_ruid(_TABLE, account_uri, away.ruid)
    ksr.notice(f"contact refreshed longest ago makes room; account={account_uri} contact={away.uri}\n")


def fewest_first(ksr: Ksr, accounts: tuple[str, ...], domain: str, most: int) -> tuple[str, ...]:
    """Order the accounts of a stage that takes so many contacts at most: those of whoever has the most come last.

    What is left out are the oldest of these then, and the dead ones of one account cost no other its ring.
    """
    uris = {account: f"sip:{account}@{domain}" for account in accounts}
    # Nearly always there is room for all, and each word of a contact is a function of KSR.
    if len(accounts) * _MAX_CONTACTS <= most or sum(_count(ksr, uri) for uri in uris.values()) <= most:
        return accounts
    return tuple(sorted(accounts, key=lambda account: len(_registered(ksr, uris[account]))))


def _count(ksr: Ksr, account_uri: str) -> int:
    """Count an account's contacts, with those that are not valid any more and not cleared away yet."""
    if ksr.registrar.reg_fetch_contacts(_TABLE, account_uri, _PROFILE) < 0:
        return 0
    try:
        return _fetched(ksr)
    finally:
        ksr.registrar.reg_free_contacts(_PROFILE)


def _fetched(ksr: Ksr) -> int:
    return int(ksr.pv.get(f"$ulc({_PROFILE}=>count)") or 0)


def _registered(ksr: Ksr, account_uri: str) -> list[_Registered]:
    """Contacts of an account that are valid."""
    if ksr.registrar.reg_fetch_contacts(_TABLE, account_uri, _PROFILE) < 0:
        return []

    def get(what: str, index: int) -> str:
        return foreign_text.read(ksr, f"$(ulc({_PROFILE}=>{what})[{index}])") or ""

    try:
        now_s = time.time()
        return [
            _Registered(int(get("modified", i) or 0), get("ruid", i), get("addr", i), get("instance", i))
            for i in range(_fetched(ksr))
            if (expires_s := int(get("expires", i) or 0)) == 0 or expires_s > now_s
        ]
    finally:
        ksr.registrar.reg_free_contacts(_PROFILE)
