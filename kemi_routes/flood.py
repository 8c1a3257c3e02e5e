"""Protection against strangers: barred addresses and the count of unauthenticated requests by address.

Only requests that prove nothing are counted, and a success takes one back, so that a busy network address or a load
generator that authenticates is never limited; a device that sends good credentials is served beside a flood from its
address.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kemi_routes import foreign_text, replies
from kemi_routes.pipeline import DONE, NEXT, Refusal

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request
    from kemi_routes.settings import Settings

_UNAUTH = "unauth"
_WRONG = "wrong"
_BARRED = "barred"


def check_barred(ksr: Ksr, request: Request) -> Outcome:
    """Refuse a barred address without work and without a log line: it was logged when it was barred."""
    if request.from_node or request.emergency:
        return NEXT
    # The table forgets by the time of day, which may be put back by an hour: the bar has an end of its own.
    until_s = ksr.htable.sht_get(_BARRED, request.source_ip)
    if not isinstance(until_s, int) or time.monotonic() >= until_s:
        return NEXT
    if request.method != "ACK":
        ksr.sl.send_reply(403, "Forbidden")
    return DONE


def _window(source_ip: str, settings: Settings) -> str:
    return f"{source_ip} {int(time.monotonic()) // settings.unauth_window_s}"


def may_be_told(ksr: Ksr, settings: Settings, source_ip: str) -> bool:
    """Tell whether a reply that was dropped is worth a line in the log: so many from an address within the window are.

    They are counted for themselves: replies from an address that somebody claims to have make no flood of it.
    """
    return ksr.htable.sht_inc(_UNAUTH, f"replies {_window(source_ip, settings)}") <= settings.unauth_limit


def count_unauthenticated(ksr: Ksr, request: Request) -> Outcome:
    """Count a request that proves nothing: NEXT when it may be challenged, else it has been refused or dropped.

    Above the limit 503 with Retry-After; above the second threshold silence. One log line for each, address and window.
    """
    settings = request.settings
    if request.emergency or settings.is_exempt(request.source_ip):
        return NEXT
    count = ksr.htable.sht_inc(_UNAUTH, _window(request.source_ip, settings))
    if count <= settings.unauth_limit:
        return NEXT
    if count in (settings.unauth_limit + 1, settings.unauth_silent + 1):
        what = "answering 503" if count <= settings.unauth_silent else "silent now"
        ksr.warn(
            f"flood: {count} unauthenticated requests from {request.source_ip} "
            f"within {settings.unauth_window_s} s, {what}; "
            f"last was {request.method} call_id={foreign_text.one_line(request.call_id)}\n"
        )
    if count <= settings.unauth_silent and request.method != "ACK":
        replies.retry_after(ksr, settings.unauth_window_s)
        ksr.sl.send_reply(503, "Too Many Requests")
    return DONE


def wrong_password(ksr: Ksr, request: Request, account: str) -> Outcome:
    """Count a wrong password: NEXT when the sender may try again, else its address has been barred and 403 sent."""
    settings = request.settings
    if settings.is_exempt(request.source_ip):
        return NEXT
    count = ksr.htable.sht_inc(_WRONG, request.source_ip)
    if count < settings.wrong_passwords or request.emergency:
        return NEXT
    ksr.htable.sht_rm(_WRONG, request.source_ip)
    ksr.htable.sht_seti(_BARRED, request.source_ip, int(time.monotonic()) + settings.bar_s)
    reason = f"{count} wrong passwords in a row, address barred for {settings.bar_s} s, last account tried {account}"
    return replies.refuse(ksr, request, Refusal(403, "Forbidden", reason))


def proved(ksr: Ksr, request: Request) -> None:
    """Good credentials: the row of wrong passwords ends, and the challenge that led here no longer counts."""
    if ksr.htable.sht_get(_WRONG, request.source_ip):
        ksr.htable.sht_rm(_WRONG, request.source_ip)
    window = _window(request.source_ip, request.settings)
    count = ksr.htable.sht_get(_UNAUTH, window)
    if isinstance(count, int) and 0 < count <= request.settings.unauth_limit:
        ksr.htable.sht_dec(_UNAUTH, window)
