"""Codes on panels that keep them: what should be where, what is, and what has to be tried again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from crm_api.adapters.panel_drivers import PanelAccess
from crm_api.services.code_renewal import KEEPING_DRIVERS
from crm_api.services.kept import Document, Listed
from crm_api.tables.block_facts import STOPPED_APARTMENTS
from crm_api.tables.codes import PanelCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.tables.database import CrmDatabase

FIRST_RETRY_MS: Final = 30_000
LAST_RETRY_MS: Final = 30 * 60_000

_DRIVERS: Final = ", ".join(f"'{driver}'" for driver in KEEPING_DRIVERS)

_STOPPED: Final = STOPPED_APARTMENTS.format(what="stops_codes", true="?")

# A code that opens now. One that is for a single use cannot be taken back by a panel that asks nobody, so it works only
# at panels that send what is typed.
_OPENS: Final = f"""
c.ended_at_ms IS NULL AND c.superseded_by IS NULL AND c.single_use = ? AND c.valid_from_ms <= ?
AND (c.valid_until_ms IS NULL OR c.valid_until_ms > ?)
AND (c.apartment_id IS NULL OR c.apartment_id NOT IN ({_STOPPED}))
"""
# Codes that should be on a panel and are not known there. CROSS JOIN has SQLite begin with the panels that keep codes,
# and read of the codes at each entrance only those that have not ended, from an index.
_MISSING: Final = f"""
SELECT c.company_id, d.id, c.id FROM panels d CROSS JOIN panel_places p CROSS JOIN access_codes c
WHERE d.driver = ? AND d.address IS NOT NULL AND p.panel_id = d.id AND c.entrance_id = p.entrance_id AND {_OPENS}
AND NOT EXISTS (SELECT 1 FROM panel_codes k WHERE k.panel_id = d.id AND k.access_code_id = c.id)
ORDER BY d.id, c.id LIMIT ?
"""  # noqa: S608 - constants
# A place that a panel may still have the code at belongs to it.
_IN_USE: Final = "NOT (wanted = 'absent' AND state = 'done')"
_PLACES: Final = f"SELECT panel_id, place FROM panel_codes WHERE {_IN_USE}"  # noqa: S608 - constants
_ADD: Final = """
INSERT INTO panel_codes (company_id, panel_id, access_code_id, place, wanted, state)
VALUES (?, ?, ?, ?, 'present', 'waiting')
"""
# Off the panel: a code that has ended, or that a block stops; one of an entrance that the panel serves no more; and the
# old one some time after the panel has the new one. One look at what is on panels finds them all; `_IN_USE` is there
# for its index, without which each look would read what panels had in three months.
_OFF: Final = f"""
UPDATE panel_codes SET wanted = 'absent', state = 'waiting', tries = 0, next_try_ms = 0, last_error = NULL
WHERE wanted = 'present' AND {_IN_USE} AND EXISTS (
    SELECT 1 FROM access_codes c WHERE c.id = panel_codes.access_code_id
    AND (c.ended_at_ms IS NOT NULL OR c.valid_until_ms <= ? OR c.apartment_id IN ({_STOPPED})
        OR NOT EXISTS (
            SELECT 1 FROM panel_places p WHERE p.panel_id = panel_codes.panel_id AND p.entrance_id = c.entrance_id)
        OR (c.superseded_by IS NOT NULL AND EXISTS (
            SELECT 1 FROM panel_codes n LEFT JOIN access_code_rules r ON r.company_id = n.company_id
            WHERE n.panel_id = panel_codes.panel_id AND n.access_code_id = c.superseded_by AND n.state = 'done'
            AND n.set_at_ms + coalesce(r.grace_s, 86400) * 1000 <= ?))))
"""  # noqa: S608 - constants
_OFF_ONE_PANEL: Final = f"{_OFF} AND panel_id = ?"
# A code that was removed, with its apartment or entrance or by itself: its place is what is left of it. A statement of
# its own, as an OR in `_OFF` would have PostgreSQL look up the code of each row by itself.
_REMOVED: Final = """
UPDATE panel_codes SET wanted = 'absent', state = 'waiting', tries = 0, next_try_ms = 0, last_error = NULL
WHERE access_code_id IS NULL AND wanted = 'present'
"""
# The panel has forgotten it.
_REMOVED_THERE_TOO: Final = """
DELETE FROM panel_codes WHERE access_code_id IS NULL AND wanted = 'absent' AND state = 'done'
"""
# What another device in the same place must be told, as it knows nothing of what its predecessor confirmed. The moment
# of the next try differs from that of an errand to the predecessor that is still on its way (`_DONE`).
_ANEW: Final = """
UPDATE panel_codes SET state = 'waiting', tries = 0, next_try_ms = ?, last_error = NULL
WHERE panel_id = ? AND (wanted = 'present' OR state = 'waiting')
"""
# The block is over, or the panel is back at the entrance, before the panel has confirmed that it forgot the code.
_BACK: Final = f"""
UPDATE panel_codes SET wanted = 'present', tries = 0, next_try_ms = 0, last_error = NULL, set_at_ms = NULL
WHERE wanted = 'absent' AND state = 'waiting' AND EXISTS (
    SELECT 1 FROM access_codes c JOIN panel_places p ON p.entrance_id = c.entrance_id
    WHERE c.id = panel_codes.access_code_id AND p.panel_id = panel_codes.panel_id AND {_OPENS})
"""  # noqa: S608 - constants
# Never reached the panel, and is out of date by now.
_OVERTAKEN: Final = """
UPDATE panel_codes SET wanted = 'absent', tries = 0, next_try_ms = 0
WHERE wanted = 'present' AND state = 'waiting' AND set_at_ms IS NULL
AND EXISTS (SELECT 1 FROM access_codes c WHERE c.id = panel_codes.access_code_id AND c.superseded_by IS NOT NULL)
"""
# The old code ends for good when every panel that keeps codes has the new one, or none of them does so any more, or the
# new one was removed. A panel that serves the entrance no more is not waited for.
_RETIRED: Final = f"""
UPDATE access_codes SET valid_until_ms = ? + 1000 * coalesce(
    (SELECT r.grace_s FROM access_code_rules r WHERE r.company_id = access_codes.company_id), 86400)
WHERE superseded_by IS NOT NULL AND ended_at_ms IS NULL AND valid_until_ms IS NULL
AND NOT EXISTS (SELECT 1 FROM panel_codes k WHERE k.access_code_id = access_codes.superseded_by AND k.state = 'waiting'
    AND k.wanted = 'present')
AND (EXISTS (SELECT 1 FROM panel_codes k WHERE k.access_code_id = access_codes.superseded_by)
    OR NOT EXISTS (SELECT 1 FROM access_codes n WHERE n.id = access_codes.superseded_by)
    OR NOT EXISTS (SELECT 1 FROM panel_places p JOIN panels d ON d.id = p.panel_id
        WHERE p.entrance_id = access_codes.entrance_id AND d.driver IN ({_DRIVERS})))
"""  # noqa: S608 - constants
# A panel of another maker in its place keeps no codes: nobody waits for it.
_KEEPS_NONE: Final = f"""
DELETE FROM panel_codes WHERE panel_id IN (SELECT id FROM panels WHERE driver NOT IN ({_DRIVERS}))
"""  # noqa: S608 - constants
_EXPIRED: Final = """
UPDATE access_codes SET ended_at_ms = valid_until_ms, end_reason = 'expired', version = version + 1
WHERE ended_at_ms IS NULL AND valid_until_ms <= ?
"""
# Not what was removed since the last sweep: its digits are gone, so that it can only be forgotten (`_REMOVED`).
_WAITS: Final = "state = 'waiting' AND next_try_ms <= ? AND (wanted = 'absent' OR access_code_id IS NOT NULL)"
_DUE: Final = f"""
SELECT k.id, k.wanted, k.place, k.tries, k.next_try_ms, d.driver, d.address, d.credentials, d.company_id,
    c.code_encrypted
FROM panel_codes k JOIN panels d ON d.id = k.panel_id LEFT JOIN access_codes c ON c.id = k.access_code_id
WHERE {_WAITS} ORDER BY k.next_try_ms, k.id LIMIT ?
"""  # noqa: S608 - constants
_ANY_DUE: Final = f"SELECT 1 FROM panel_codes WHERE {_WAITS} LIMIT 1"  # noqa: S608 - constants
# Not when what is wanted, or the device, has changed since the errand was read.
_DONE: Final = """
UPDATE panel_codes SET state = 'done', tries = tries + 1, last_error = NULL,
    set_at_ms = CASE WHEN wanted = 'present' THEN ? ELSE set_at_ms END
WHERE id = ? AND wanted = ? AND next_try_ms = ?
"""
# A code that may come again, when a block is over or a panel is back, is no longer known to a panel that forgot it.
_FORGOTTEN: Final = """
DELETE FROM panel_codes WHERE id = ? AND wanted = 'absent' AND state = 'done' AND EXISTS (
    SELECT 1 FROM access_codes c WHERE c.id = panel_codes.access_code_id
    AND c.ended_at_ms IS NULL AND c.superseded_by IS NULL)
"""
_AGAIN: Final = """
UPDATE panel_codes SET tries = tries + 1, next_try_ms = ?, last_error = ?
WHERE id = ? AND wanted = ? AND next_try_ms = ? AND state = 'waiting'
"""
MISSING_AT_ONCE: Final = 5000


@dataclass(frozen=True)
class Errand:
    """One thing to tell one panel; `code` is in clear, and empty when it was removed and is to be forgotten."""

    row_id: int
    wanted: str
    place: int
    tries: int
    due_ms: int
    driver: str
    access: PanelAccess | None
    code: str
    problem: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of an errand; `error` is empty when the panel confirmed."""

    errand: Errand
    error: str = ""


def panel_changed(database: CrmDatabase, panel_id: int, now_ms: int, *, is_another_device: bool) -> None:
    """Decide anew what stands on a panel, inside the transaction that changed it.

    Not left to the next sweep: until then another device would be told codes of where its predecessor stood.
    """
    database.rows(_OFF_ONE_PANEL, (*_off(now_ms), panel_id))
    if is_another_device:
        database.rows(_ANEW, (now_ms, panel_id))


def _off(now_ms: int) -> tuple[object, ...]:
    """Return the parameters of `_OFF`."""
    return (now_ms, True, now_ms, now_ms, now_ms)


def _opens(now_ms: int) -> tuple[object, ...]:
    """Return the parameters of `_OPENS`."""
    return (False, now_ms, now_ms, True, now_ms, now_ms)


class PanelCodes(Listed[PanelCode]):
    """Codes on panels, as the office sees them and as the scheduler works on them."""

    noun = "code on a panel"
    model = PanelCode

    def documents(self, rows: Sequence[PanelCode]) -> list[Document]:
        """Show state and trouble of each."""
        return [dict(row.__data__) for row in rows]

    def sweep(self) -> int:
        """Decide what should be on which panel now; return how many codes are new to one."""
        now_ms = self.context.now_ms()
        with self.database.transaction():
            self.database.rows(_EXPIRED, (now_ms,))
            self.database.rows(_KEEPS_NONE)
            self.database.rows(_REMOVED)
            self.database.rows(_REMOVED_THERE_TOO)
            self.database.rows(_OVERTAKEN)
            self.database.rows(_OFF, _off(now_ms))
            self.database.rows(_BACK, _opens(now_ms))
            self.database.rows(_RETIRED, (now_ms,))
        added = 0
        for driver in KEEPING_DRIVERS:
            while rows := self.database.rows(_MISSING, (driver, *_opens(now_ms), MISSING_AT_ONCE)):
                with self.database.transaction():
                    self._add(rows)
                added += len(rows)
        return added

    def is_any_due(self) -> bool:
        """Say whether `due` would return anything."""
        return self.database.row(_ANY_DUE, (self.context.now_ms(),)) is not None

    def due(self, limit: int) -> list[Errand]:
        """Return what has to be told now, longest due first."""
        return [self._errand(row) for row in self.database.rows(_DUE, (self.context.now_ms(), limit))]

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Keep what came of errands; a failed one is tried again, later each time."""
        now_ms = self.context.now_ms()
        with self.database.transaction():
            for outcome in outcomes:
                errand = outcome.errand
                asked = (errand.row_id, errand.wanted, errand.due_ms)
                if not outcome.error:
                    self.database.rows(_DONE, (now_ms, *asked))
                    if errand.wanted == "absent":
                        self.database.rows(_FORGOTTEN, (errand.row_id,))
                    continue
                wait_ms = min(FIRST_RETRY_MS * 2 ** min(errand.tries, 20), LAST_RETRY_MS)
                self.database.rows(_AGAIN, (now_ms + wait_ms, outcome.error[:500], *asked))

    def _add(self, rows: Sequence[tuple[int, int, int]]) -> None:
        taken: dict[int, set[int]] = {}
        for panel_id, place in self.database.rows(_PLACES):
            taken.setdefault(panel_id, set()).add(place)
        added = []
        for company_id, panel_id, code_id in rows:
            places = taken.setdefault(panel_id, set())
            place = next(number for number in range(1, len(places) + 2) if number not in places)
            places.add(place)
            added.append((company_id, panel_id, code_id, place))
        self.database.many(_ADD, added)

    def _errand(self, row: tuple[Any, ...]) -> Errand:
        row_id, wanted, place, tries, due_ms, driver, address, credentials, company_id, code_encrypted = row
        try:
            login = {} if credentials is None else json.loads(self.context.encryption.decrypted(credentials))
            code = "" if code_encrypted is None else self.context.encryption.decrypted(code_encrypted)
        except ValueError as error:
            return Errand(row_id, wanted, place, tries, due_ms, driver, None, "", str(error))
        user, password = login.get("user"), login.get("password")
        access = None if address is None else PanelAccess(address, user, password, company_id)
        problem = "" if access is not None else "the panel has no address: give it one"
        return Errand(row_id, wanted, place, tries, due_ms, driver, access, code, problem)
