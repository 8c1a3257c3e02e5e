"""Calls that were challenged and never came back with credentials: one log line each.

Every honest call begins without credentials (RFC 3261, 22.2), so the line cannot be written when the challenge is sent.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from kemi_routes import table_rows

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Request

_TABLE: Final = "challenged"
"""Call-ID -> when it was challenged (seconds of the clock that nobody sets), address."""
PATIENCE_S: Final = 3
"""How long a caller may take to answer a challenge before it is told; later it is still taken."""


def sent(ksr: Ksr, request: Request) -> None:
    """A request without credentials is challenged now."""
    if request.method == "INVITE":
        ksr.htable.sht_sets(_TABLE, request.call_id, f"{int(time.monotonic())} {request.source_ip}")


def answered(ksr: Ksr, request: Request) -> None:
    """Credentials have come; good or bad ones, whoever checks them says so."""
    if request.method == "INVITE":
        ksr.htable.sht_rm(_TABLE, request.call_id)


def tell_unanswered(ksr: Ksr) -> None:
    """Log the calls whose challenge is not answered, each once."""
    latest_s = int(time.monotonic()) - PATIENCE_S
    for call_id, value in table_rows.collect(ksr, _TABLE).items():
        at_s, _, source = value.partition(" ")
        if int(at_s) <= latest_s:
            ksr.htable.sht_rm(_TABLE, call_id)
            ksr.notice(
                f"no credentials: INVITE was challenged and did not come back; source={source} call_id={call_id}\n"
            )
