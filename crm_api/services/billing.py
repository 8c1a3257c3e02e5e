"""Companies as billing has them: synchronised before codes are renewed; billing away leaves the last state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.adapters.billing import BillingAwayError
from crm_api.domain.problems import ConflictError, ProblemError
from crm_api.services.context import Tenant
from crm_api.services.places import Companies
from crm_api.tables.models import Company

if TYPE_CHECKING:
    from crm_api.adapters.billing import BilledCompany, BillingSource
    from crm_api.services.context import Context

FRESH_MS: Final = 10 * 60_000
"""Companies whose codes are due at one time share one answer of billing."""
TOLD: Final = 20
"""So many companies of each kind are named in the result."""
_NAME: Final = "billing"
_PLATFORM: Final = Tenant(None, "billing")
_TRIED: Final = """
INSERT INTO billing_states (name, tried_at_ms, ok_at_ms, error) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET tried_at_ms = excluded.tried_at_ms, error = excluded.error,
    ok_at_ms = coalesce(excluded.ok_at_ms, billing_states.ok_at_ms)
"""


class Billing:
    """Takes names, contracts and who is a customer from billing."""

    def __init__(self, context: Context, source: BillingSource | None) -> None:
        self._context = context
        self._source = source
        self._companies = Companies(context)

    def synchronise(self, fresh_ms: int = 0) -> dict[str, Any]:
        """Ask billing and write what has changed; return what to say about it, `ok` first.

        Args:
            fresh_ms: an answer not older than this is good enough.
        """
        if self._source is None:
            return {"ok": True, "source": "none"}
        now_ms = self._context.now_ms()
        state = self._context.database.row("SELECT ok_at_ms FROM billing_states WHERE name = ?", (_NAME,))
        known_at_ms = None if state is None else state[0]
        if known_at_ms is not None and 0 <= now_ms - known_at_ms < fresh_ms:
            return {"ok": True, "state_of_ms": known_at_ms}
        try:
            billed = self._source.companies()
        except BillingAwayError as error:
            self._keep(now_ms, None, str(error))
            return {"ok": False, "reason": str(error), "state_of_ms": known_at_ms}
        told = self._write(billed)
        self._keep(now_ms, now_ms, None)
        return {"ok": True, "state_of_ms": now_ms, **told}

    def _write(self, billed: list[BilledCompany]) -> dict[str, Any]:
        known: dict[str, Any] = {
            str(row.billing_id): row for row in Company.select().where(Company.billing_id.is_null(False))
        }
        changed: set[int] = set()
        refused: dict[str, str] = {}
        names: dict[int, BilledCompany] = {}
        for company in billed:
            row = known.get(company.billing_id)
            if row is None:
                continue
            wanted = {"name": company.name, "active": company.active, "contract": company.contract}
            values = {name: value for name, value in wanted.items() if getattr(row, name) != value}
            refusal = self._refusal(row.id, values)
            if isinstance(refusal, ConflictError) and values.pop("name", None) is not None:
                # Another company has the name. Whether this one is a customer does not depend on that.
                names[row.id] = company
                refusal = self._refusal(row.id, values)
            if refusal is not None:
                refused[company.billing_id] = str(refusal)
            elif values:
                changed.add(row.id)
        changed |= self._rename(names)
        refused |= {company.billing_id: f"another company is named {company.name!r}" for company in names.values()}
        ids = {company.billing_id for company in billed}
        return {
            "changed": len(changed),
            "refused": [{"billing_id": key, "reason": refused[key]} for key in sorted(refused)[:TOLD]],
            "unknown_here": sorted(ids - known.keys())[:TOLD],
            "unknown_to_billing": sorted(known.keys() - ids)[:TOLD],
        }

    def _refusal(self, key: int, values: dict[str, Any]) -> ProblemError | None:
        """Change a company; return why it cannot be changed, which must not keep others from being changed."""
        try:
            if values:
                self._companies.change(_PLATFORM, key, dict(values))
        except ProblemError as error:
            return error
        return None

    def _rename(self, names: dict[int, BilledCompany]) -> set[int]:
        """Give names that other companies had until now; return who has got one, and leave in `names` who has not."""
        wanted = set(names)
        before = len(names) + 1
        while len(names) < before:  # each name that is given may set another one free
            before = len(names)
            for key in list(names):
                if self._refusal(key, {"name": names[key].name}) is None:
                    del names[key]
        rows: Any = Company.select(Company.id, Company.name).where(Company.id.in_(list(names)))
        holders = {str(row.name): int(row.id) for row in rows}
        for key in list(names):
            circle = _circle(key, names, holders)
            if circle and self._swap(circle, names):
                for swapped in circle:
                    del names[swapped]
        return wanted - names.keys()

    def _swap(self, circle: list[int], names: dict[int, BilledCompany]) -> bool:
        """Give each the name that the next one has; meanwhile the first has one that only the audit log shows."""
        first = circle[0]
        try:
            with self._context.database.transaction():
                self._companies.change(_PLATFORM, first, {"name": f"{names[first].name} ({names[first].billing_id})"})
                for key in (*reversed(circle[1:]), first):
                    self._companies.change(_PLATFORM, key, {"name": names[key].name})
        except ProblemError:
            return False
        return True

    def _keep(self, tried_at_ms: int, ok_at_ms: int | None, error: str | None) -> None:
        with self._context.database.transaction():
            self._context.database.rows(_TRIED, (_NAME, tried_at_ms, ok_at_ms, error))


def _circle(first: int, names: dict[int, BilledCompany], holders: dict[str, int]) -> list[int]:
    """Return companies of which each wants the name of the next, the last that of the first; [] if there are none."""
    circle, key = [], first
    while key in names and key not in circle:
        circle.append(key)
        key = holders.get(names[key].name, -1)
    return circle if key == first and len(circle) > 1 else []
