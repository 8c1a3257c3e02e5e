"""The daily check: from which panels an emergency call would not go the whole way, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_api.services.kept import platform_only
from crm_api.tables import emergency_facts
from crm_api.tables.emergency import EmergencyFinding

if TYPE_CHECKING:
    from crm_api.services.context import Context, Tenant
    from crm_api.services.kept import Document
    from crm_api.tables.emergency_facts import CityState, PanelState


class EmergencyChecks:
    """Finds and keeps what is wrong; a finding keeps the moment when it was first found."""

    def __init__(self, context: Context) -> None:
        self._context = context

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
        found: dict[tuple[int, str], dict[str, Any]] = {}
        for panel in emergency_facts.panels(database):
            city = None if panel.city_id is None else cities.get(panel.city_id)
            for problem in problems_of(panel, city):
                found[panel.panel_id, problem] = {
                    "company_id": panel.company_id,
                    "panel_id": panel.panel_id,
                    "panel": panel.panel,
                    "city_id": panel.city_id,
                    "problem": problem,
                    "found_at_ms": now_ms,
                }
        with database.transaction():
            known = {(row.panel_id, row.problem): row.id for row in EmergencyFinding.select()}
            gone = [known[key] for key in known.keys() - found.keys()]
            database.many("DELETE FROM emergency_findings WHERE id = ?", [(key,) for key in gone])
            fresh = [found[key] for key in found.keys() - known.keys()]
            for first in range(0, len(fresh), 1000):
                EmergencyFinding.insert_many(fresh[first : first + 1000]).execute()
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
