"""What changes by itself at a moment (a guest's end, a block's begin or end) waits in the outbox by apartment.

Rows of the release before name the numbers of the moment in which they were written. They stay and are delivered; the
apartments of what is still to come are put beside them, as their numbers may be others by then.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from crm_api.migrations.outbox_scopes import outbox_of

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

PLANS_LIVE_MS: Final = 24 * 3_600_000
_MOMENTS: Final = """
SELECT ends_at_ms, apartment_id FROM residencies WHERE ends_at_ms > ?
UNION SELECT starts_at_ms, apartment_id FROM blocks WHERE starts_at_ms > ?
UNION SELECT ends_at_ms, apartment_id FROM blocks WHERE ends_at_ms > ?
"""


def fill(database: CrmDatabase) -> None:
    """Write the apartments of each moment to come, and of those for which the cache may still hold a plan."""
    since_ms = time.time_ns() // 1_000_000 - PLANS_LIVE_MS
    apartments: dict[int, list[int]] = {}
    for at_ms, apartment_id in database.rows(_MOMENTS, (since_ms,) * 3):
        apartments.setdefault(at_ms, []).append(apartment_id)
    database.many(
        "INSERT INTO outbox (due_at_ms, scope, payload) VALUES (?, 'apartments', ?)",
        [(at_ms, json.dumps(sorted(ids))) for at_ms, ids in sorted(apartments.items())],
    )


STATEMENTS = (*outbox_of("numbers", "apartments", "panel", "house", "company", "city"), fill)
