"""Emergency calls as the call path needs them: leases, calls back, the directory; and their records."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from crm_api.services.kept import Document, Listed
from crm_api.services.number_leases import Leasing
from crm_api.tables import emergency_facts
from crm_api.tables.emergency import EmergencyCall, EmergencyFinding, EmergencyNotice, EmergencyRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs.emergency import CallBack, WantedLease
    from crm_api.services.context import Context, Tenant
    from crm_api.services.paging import Asked, Page

SHARED_CALL_BACK_MS: Final = 15 * 60_000
"""So long after a call with the shared number a call back to it reaches the panel that called last."""

_APPS: Final = frozenset({"app", "handset", "indoor_unit", "home_gateway"})
_NO_LEASE: Final[dict[str, Any]] = dict.fromkeys(("city_id", "number", "trunk", "source", "held_until_ms"))
_ASKS: Final = """
SELECT a.kind, r.from_apps FROM accounts a
LEFT JOIN apartments ap ON ap.id = a.apartment_id
LEFT JOIN emergency_rules r ON r.company_id = coalesce(a.company_id, ap.company_id)
WHERE a.account = ?
"""
_CENTRE: Final = "SELECT test_number, records_calls FROM emergency_centres WHERE city_id = ?"
_PLACE: Final = """
SELECT h.address, e.number, c.language, p.maker FROM accounts a
JOIN panels p ON p.account_id = a.id
JOIN companies c ON c.id = p.company_id
LEFT JOIN panel_places pp ON pp.id = (SELECT min(id) FROM panel_places WHERE panel_id = p.id)
LEFT JOIN houses h ON h.id = pp.house_id
LEFT JOIN entrances e ON e.id = pp.entrance_id
WHERE a.account = ?
"""
_PANEL: Final = "SELECT a.account, p.company_id FROM panels p JOIN accounts a ON a.id = p.account_id WHERE p.id = ?"
_LAST_ON: Final = """
SELECT panel, company_id FROM emergency_calls
WHERE number = ? AND direction = 'out' AND test = ? AND started_at_ms > ? AND panel IS NOT NULL
ORDER BY started_at_ms DESC LIMIT 1
"""
_SHARED: Final = "SELECT 1 FROM city_numbers WHERE number = ? AND shared = ?"
_LANGUAGE: Final = "SELECT language FROM companies WHERE id = ?"
_LAST_COMPANY: Final = """
SELECT company_id FROM number_leases WHERE number = ? AND company_id IS NOT NULL ORDER BY id DESC LIMIT 1
"""
_COMPANY_OF_CITY: Final = """
SELECT c.id FROM city_numbers n JOIN companies c ON c.city_id = n.city_id
WHERE n.number = ? AND EXISTS (SELECT 1 FROM concierge_desks d WHERE d.company_id = c.id AND d.on_duty = ?)
ORDER BY c.id LIMIT 1
"""


class EmergencyPath:
    """What the call path asks."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._database = context.database
        self._leasing = Leasing(context)

    def lease(self, wanted: WantedLease) -> Document:
        """Take a number for a call; an account that nobody has gets none."""
        asks = self._database.row(_ASKS, (wanted.panel,))
        if asks is None:
            return {"panel": wanted.panel, **_NO_LEASE, "refused": False, "test_number": None, "records_calls": False}
        if asks[0] in _APPS and asks[1] == "refused":
            return {"panel": wanted.panel, **_NO_LEASE, "refused": True, "test_number": None, "records_calls": False}
        lease = self._leasing.lease(wanted.panel, wanted.call_id)
        city_id = None if lease is None else lease.city_id
        centre = self._database.row(_CENTRE, (city_id,)) or (None, False)
        told = _NO_LEASE if lease is None else {name: getattr(lease, name) for name in _NO_LEASE}
        return {
            "panel": wanted.panel,
            **told,
            "refused": False,
            "test_number": centre[0],
            "records_calls": bool(centre[1]),
        }

    def call_back(self, asked: CallBack) -> Document:
        """Tell who is called back on a number."""
        number = asked.number if asked.number.startswith("+") else f"+{asked.number}"
        panel_id = self._leasing.called_back(number, asked.call_id)
        if panel_id is not None:
            row: Any = self._database.row(_PANEL, (panel_id,))
            return self._told(number, row[0], row[1], "lease")
        shared = self._database.row(_SHARED, (number, True)) is not None
        if shared:
            last = self._database.row(_LAST_ON, (number, False, self._context.now_ms() - SHARED_CALL_BACK_MS))
            if last is not None:
                return self._told(number, last[0], last[1], "last_caller")
        company = self._database.row(_LAST_COMPANY, (number,)) or self._database.row(_COMPANY_OF_CITY, (number, True))
        return self._told(number, None, None if company is None else company[0], "shared" if shared else "desk")

    def _told(self, number: str, panel: str | None, company_id: int | None, source: str) -> Document:
        desks = [] if company_id is None else emergency_facts.desks(self._database).get(str(company_id), [])
        place = None if panel is None else self._database.row(_PLACE, (panel,))
        if place is None:
            company = None if company_id is None else self._database.row(_LANGUAGE, (company_id,))
            place = ("", None, "en" if company is None else company[0], None)
        return {
            "number": number,
            "panel": panel,
            "company_id": company_id,
            "desks": desks,
            "source": source,
            "address": place[0] or "",
            "entrance": place[1],
            "language": place[2],
            "auto_answer": (place[3] or "").lower() in emergency_facts.AUTO_ANSWERING,
        }


class EmergencyCalls(Listed[EmergencyCall]):
    """Emergency calls, newest first."""

    noun = "emergency call"
    model = EmergencyCall
    hidden = frozenset({"moves"})

    def documents(self, rows: Sequence[EmergencyCall]) -> list[Document]:
        """Show calls with their steps."""
        return [{**self.shown_of(row), "steps": json.loads(str(row.steps))} for row in rows]


class EmergencyFindings(Listed[EmergencyFinding]):
    """What the daily check has found."""

    noun = "finding"
    model = EmergencyFinding


class EmergencyNotices(Listed[EmergencyNotice]):
    """Messages about emergency calls and pools; where those to the dispatch centre go, only the platform reads."""

    noun = "notice"
    model = EmergencyNotice

    def listed(self, tenant: Tenant, asked: Asked) -> Page:
        """Return a page; to a company's people without the centre's address, and what it has answered."""
        page = super().listed(tenant, asked)
        return page if tenant.is_platform else replace(page, items=self._without_centres(page.items))

    def got(self, tenant: Tenant, key: Any) -> Document:
        """Return one document, as it is listed, or raise `NotFoundError`."""
        document = super().got(tenant, key)
        return document if tenant.is_platform else self._without_centres([document])[0]

    def documents(self, rows: Sequence[EmergencyNotice]) -> list[Document]:
        """Show notices without their text."""
        return [{n: v for n, v in row.__data__.items() if n not in {"body", "due_at_ms"}} for row in rows]

    def _without_centres(self, notices: list[Document]) -> list[Document]:
        """Leave address and error to notices that went where the company's own rule says.

        By the rule as it is now: no notice says whose address it has, and a rule that was changed must not show more.
        """
        companies = {notice["company_id"] for notice in notices}
        rules: Any = EmergencyRule.select().where(EmergencyRule.company_id.in_(sorted(companies)))
        own = {(rule.company_id, "webhook", rule.webhook_url) for rule in rules}
        own |= {(rule.company_id, "email", rule.email) for rule in rules}
        return [
            notice
            if (notice["company_id"], notice["channel"], notice["destination"]) in own
            else {**notice, "destination": None, "last_error": None}
            for notice in notices
        ]
