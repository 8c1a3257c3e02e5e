"""Keys held to a panel's reader, as panels tell it: each use is an access record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.key_numbers import written
from crm_api.domain.problems import NotFoundError
from crm_api.services.context import Tenant, find, visible
from crm_api.services.idempotency import Idempotency
from crm_api.services.keys import number_of
from crm_api.tables.fund import RfidKey
from crm_api.tables.models import AccessRecord, Account, Panel
from crm_api.tables.opening_houses import house_of

if TYPE_CHECKING:
    from crm_api.domain.inputs.calls import NewKeyUse
    from crm_api.services.context import Context
    from crm_api.services.idempotency import Repeatable
    from crm_api.services.kept import Document

AHEAD_MS: Final = 5 * 60_000
"""By so much the clock of a panel may be ahead of ours."""
BEHIND_MS: Final = 90 * 86_400_000
"""For so long a panel without a network may have kept what it tells. What is older comes of a clock that was never set,
and would be removed with the records of that time, or be in no report."""
_HOME: Final = """
SELECT a.id, a.house_id FROM apartments a
JOIN panel_places pp ON pp.house_id = a.house_id AND (pp.entrance_id IS NULL OR pp.entrance_id = a.entrance_id)
WHERE pp.panel_id = ? AND (a.id = ? OR a.id IN (SELECT apartment_id FROM residencies WHERE resident_id = ?))
ORDER BY a.id LIMIT 1
"""


class KeyUses:
    """Writes what panels tell about keys."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._idempotency = Idempotency(context)

    def told(self, tenant: Tenant, use: NewKeyUse, wish: Repeatable | None = None) -> Document:
        """Record the use of a key, known or not, once for each `Idempotency-Key`: a panel may repeat itself."""
        return self._idempotency.once(tenant, wish, lambda: self._recorded(tenant, use))

    def _recorded(self, tenant: Tenant, use: NewKeyUse) -> Document:
        """Record that the panel has opened, or has refused."""
        number = number_of(use.number, use.notation, use.byte_order)
        now_ms = self._context.now_ms()
        database = self._context.database
        with database.transaction():
            account: Account | None = visible(tenant, Account).where(Account.account == use.panel).first()
            panel = None if account is None else Panel.select().where(Panel.account_id == account.id).first()
            if panel is None:
                raise NotFoundError.of("panel", use.panel)
            company = Tenant.of(panel.company_id)
            key: Any = visible(company, RfidKey).where(RfidKey.number == number).first()
            home = None
            if key is not None:
                home = database.row(_HOME, (panel.id, key.apartment_id, key.resident_id))
            reasons = [] if key is not None else [f"nobody knows key {written(number)}"]
            at_ms = now_ms if use.at_ms is None else use.at_ms
            if not now_ms - BEHIND_MS <= at_ms <= now_ms + AHEAD_MS:
                reasons.append(
                    f"by the panel's clock at {datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
                )
                at_ms = now_ms
            row = AccessRecord.create(
                company_id=panel.company_id,
                at_ms=at_ms,
                panel_id=panel.id,
                panel=use.panel,
                apartment_id=None if home is None else home[0],
                house_id=house_of(database, panel_id=panel.id) if home is None else home[1],
                key_id=None if key is None else key.id,
                key_number=number,
                method="key",
                result="opened" if use.opened else "refused",
                reason="; ".join(reasons) or None,
            )
            Panel.update(last_seen_at_ms=now_ms).where(Panel.id == panel.id).execute()
        return dict(find(company, AccessRecord, "access record", row.id).__data__)
