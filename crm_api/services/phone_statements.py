"""What a company's phones cost in a month: by trunk, and shared by the apartments that called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crm_api.domain.phone_limits import month_of
from crm_api.services.context import find
from crm_api.tables import phone_rows
from crm_api.tables.models import Company

if TYPE_CHECKING:
    from crm_api.services.context import Context, Tenant
    from crm_api.services.kept import Document


class PhoneStatements:
    """Monthly statements; a month is a calendar month, UTC."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def of(self, tenant: Tenant, company_id: int, month: str | None) -> Document:
        """Return the statement of a month (`2026-11`), of the present one when none is named.

        Raises:
            NotFoundError: no such company, or another's.
        """
        find(tenant, Company, "company", company_id)
        now_ms = self._context.now_ms()
        if month is not None:
            now_ms = int(datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).timestamp() * 1000)
        since_ms, until_ms = month_of(now_ms)
        database, span = self._context.database, (company_id, since_ms, until_ms)
        return {
            "company_id": company_id,
            "month": datetime.fromtimestamp(since_ms / 1000, UTC).strftime("%Y-%m"),
            "trunks": [_line("trunk", row) for row in database.rows(phone_rows.BY_TRUNK, span)],
            "apartments": [_line("apartment_id", row) for row in database.rows(phone_rows.BY_APARTMENT, span)],
        }


def _line(name: str, row: tuple[Any, ...]) -> Document:
    key, currency, calls, billed_s, cost_micros = row
    numbers = {"calls": int(calls), "billed_s": int(billed_s), "cost_micros": int(cost_micros)}
    return {name: key, "currency": currency, **numbers}
