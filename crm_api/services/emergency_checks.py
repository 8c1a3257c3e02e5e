"""The daily check: from which panels an emergency call would not go the whole way, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.services.kept import platform_only
from crm_api.tables import emergency_facts
from crm_api.tables.emergency import EmergencyFinding

if TYPE_CHECKING:
    from crm_api.services.context import Context, Tenant
    from crm_api.services.kept import Document
    from crm_api.tables.emergency_facts import CityState, PanelState

# Only of a panel that is still there, and once, whoever else checks. PostgreSQL would let a panel go between this look
# and that of the foreign key: the panel is held until the end.
_FOUND: Final = """
INSERT INTO emergency_findings (company_id, panel_id, panel, city_id, problem, found_at_ms)
SELECT company_id, id, ?, ?, ?, ? FROM panels WHERE id = ? {hold}
ON CONFLICT (panel_id, problem) DO NOTHING
"""


class EmergencyChecks:
    """Finds and keeps what is wrong; a finding keeps the moment when it was first found."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._found = _FOUND.format(hold="FOR KEY SHARE" if context.database.dialect == "postgresql" else "")

    def now(self, tenant: Tenant) -> Document:
        """Check at once, without waiting for the day.

        Raises:
            ForbiddenError: the tenant sees some companies only; all panels are checked.
        """
        platform_only(tenant)
        return {"findings": self.check()}

    def check(self) -> int:
        """Check every panel; return how many findings there are now."""
        database = self._context.database
        now_ms = self._context.now_ms()
        cities = emergency_facts.cities(database, now_ms)
        found: dict[tuple[int, str], tuple[object, ...]] = {}
        for panel in emergency_facts.panels(database):
            city = None if panel.city_id is None else cities.get(panel.city_id)
            for problem in problems_of(panel, city):
                row = (panel.panel, panel.city_id, problem, now_ms, panel.panel_id)
                found[panel.panel_id, problem] = row
        with database.transaction():
            known = {(row.panel_id, row.problem): row.id for row in EmergencyFinding.select()}
            # In one order, and panels before what is kept of them, as whoever removes one: nobody waits in a circle.
            database.many(self._found, [found[key] for key in sorted(found.keys() - known.keys())])
            gone = sorted(known[key] for key in known.keys() - found.keys())
            database.many("DELETE FROM emergency_findings WHERE id = ?", [(key,) for key in gone])
        return len(found)


def problems_of(panel: PanelState, city: CityState | None) -> list[str]:
    """Return what is wrong with a panel: `no_city`, `no_centre`, `no_trunk`, `no_number`, `no_address`."""
    if city is None:
        return ["no_city"]
    problems = []
    if not city.has_centre:
        problems.append("no_centre")
    elif not city.has_trunk:
        problems.append("no_trunk")
    if not city.has_number:
        problems.append("no_number")
    if not panel.address:
        problems.append("no_address")
    return problems
