"""Follows `kamailio_changes` in a process of its own: what is changed leaves the cache, what is removed its contacts.

`contacts:<account>` is of an account that was removed or has a new password: what is registered is not its any more.
Contacts outlive a restart, so what is done of these rows does, too (changes_done.py); a start goes on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import accounts, database, headers, registration, trunks, voice_calls, voice_trunks
from kemi_routes.changes_done import DoneChanges

if TYPE_CHECKING:
    from KSR import Ksr

_RESULT = "changes"
# Transactions commit out of the order of their ids: one with a lower id may appear this much later.
_LOOK_BACK = 300
# Rows taken in one tick; after a long absence of the database the rest comes in the next ones.
_BATCH = 2000
# Names asked for in one query.
_NAMES = 200
_CONTACTS_MARK = "contacts:"


class ChangeFollower:
    """State of the following: ids already seen, and names to drop once more at the next tick.

    Each name is dropped twice, because a worker that read the old row just before the change was committed may have
    cached it just after the first drop; what takes longer to read is not cached (accounts.py). An account that is not
    there any more loses its contacts then: a new one of the same name belongs to other people. One that is only
    disabled keeps them, and rings at once when it is enabled.
    """

    def __init__(self, domain: str, emergency_file: str) -> None:
        self._domain = domain
        self._done = DoneChanges(emergency_file)
        self._last: int | None = None
        self._seen: dict[int, str] = {}
        self._again: list[str] = []
        self._away = False
        self._nothing_new = ""
        self._trunks = trunks.TrunkKeeper()
        self._voice_trunks = voice_trunks.VoiceTrunkKeeper()

    def tick(self, ksr: Ksr) -> None:
        """Look for changes once. While the database is away nothing is dropped and nothing is lost."""
        for name in self._again:
            self._forget(ksr, name)
        self._drop_contacts(ksr, [name for name in self._again if ":" not in name])
        self._again = []
        self._follow(ksr)
        self._trunks.tick(ksr)
        self._voice_trunks.tick(ksr)

    def _forget(self, ksr: Ksr, name: str) -> None:
        if name.startswith(trunks.CHANGE_MARK):
            self._trunks.read_anew()
            self._voice_trunks.read_anew()
        elif name.startswith(voice_calls.CHANGE_MARK):
            voice_calls.told(ksr, name.removeprefix(voice_calls.CHANGE_MARK))
        elif not name.startswith(_CONTACTS_MARK):
            accounts.forget(ksr, name)

    def _drop_contacts(self, ksr: Ksr, changed: list[str]) -> None:
        """Drop the contacts of those that were removed.

        While the database is away nobody knows which those are: they expire then, and no plan rings them.
        """
        for first in range(0, len(changed), _NAMES):
            names = [name for name in changed[first : first + _NAMES] if headers.is_account_name(name)]
            if not names:
                continue
            listed = ",".join(f"'{name}'" for name in names)
            rows = self._query(ksr, f"select account, kind from kamailio_accounts where account in ({listed})")  # noqa: S608 - names are checked
            if rows is None:
                return
            for name in set(names).difference(name for name, _ in rows):
                self._unregister(ksr, name)

    def _unregister(self, ksr: Ksr, name: str) -> None:
        ksr.registrar.unregister(registration.TABLE, f"sip:{name}@{self._domain}")

    def _begin(self, ksr: Ksr) -> None:
        """Go on where this host has stopped; what is not done is new.

        Where that is not known, all contacts go whose accounts the CRM still names: a phone too many registers anew.
        Rows that it has forgotten (after a week) are of contacts that have expired.
        """
        rows = self._query(ksr, "select coalesce(max(id), 0), 0 from kamailio_changes")
        if rows is None:
            return
        last = int(rows[0][0])
        done = self._done.read(ksr)
        # A database that comes back from a backup gives the same ids a second time.
        if done is not None and done.last <= last:
            self._last, self._seen = done
            return
        names = self._named_contacts(ksr, last)
        rows = self._query(ksr, f"select id, account from kamailio_changes where id > {last - _LOOK_BACK} order by id")  # noqa: S608
        if rows is None or names is None:
            return
        for name in names:
            self._unregister(ksr, name)
        self._last = last
        for identifier, name in rows:
            if int(identifier) <= last:
                self._remember(int(identifier), name)
        self._done.keep(ksr, last, self._seen)

    def _named_contacts(self, ksr: Ksr, last: int) -> list[str] | None:
        """Accounts of every `contacts:` row up to this one; None while the database is away."""
        after = 0
        names: list[str] = []
        while True:
            rows = self._query(
                ksr,
                f"select id, account from kamailio_changes where id > {after} and id <= {last} "  # noqa: S608 - numbers
                f"and account like '{_CONTACTS_MARK}%' order by id limit {_BATCH}",
            )
            if rows is None:
                return None
            names += [name.removeprefix(_CONTACTS_MARK) for _, name in rows]
            if len(rows) < _BATCH:
                return names
            after = int(rows[-1][0])

    def _follow(self, ksr: Ksr) -> None:
        if self._last is None:
            self._begin(ksr)
        if self._last is None:
            return
        floor = self._last - _LOOK_BACK
        # Most ticks find nothing: one row tells so, instead of all that were looked at the last time.
        summary = self._query(ksr, f"select count(*), coalesce(sum(id), 0) from kamailio_changes where id > {floor}")  # noqa: S608
        if summary is None or (seen := f"{floor} {summary}") == self._nothing_new:
            return
        rows = self._query(
            ksr,
            f"select id, account from kamailio_changes where id > {floor} order by id limit {_LOOK_BACK + _BATCH}",  # noqa: S608
        )
        new = [(identifier, name) for identifier, name in rows or () if self._remember(int(identifier), name)]
        # Contacts go first, and once: who registers with the new password is let in when the old one is forgotten.
        for _, name in new:
            if name.startswith(_CONTACTS_MARK):
                self._unregister(ksr, name.removeprefix(_CONTACTS_MARK))
        for _, name in new:
            self._forget(ksr, name)
            self._again.append(name)
        if new:
            self._done.keep(ksr, self._last, self._seen)
        if rows is not None and not new:
            self._nothing_new = seen

    def _remember(self, identifier: int, name: str) -> bool:
        """Note a row; tell whether it is new."""
        if self._seen.get(identifier) == name:
            return False
        self._seen[identifier] = name
        if self._last is None or identifier > self._last:
            self._last = identifier
        # Ids so old that no query returns them again can be forgotten.
        while (oldest := next(iter(self._seen))) <= self._last - 2 * _LOOK_BACK:
            del self._seen[oldest]
        return True

    def _query(self, ksr: Ksr, query: str) -> list[tuple[str, ...]] | None:
        """Rows of two columns as text, None while the database is away (said once)."""
        found = database.rows(ksr, _RESULT, query, 2)
        if (found is None) is not self._away:
            self._away = found is None
            now = (
                "cannot be followed: database away; cached accounts stay valid" if self._away else "are followed again"
            )
            ksr.warn(f"changes of accounts {now}\n")
        return found
