"""Contacts of accounts: REGISTER (RFC 3261, 10.3), NAT and Path (RFC 3327)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import policy
from kemi_routes.pipeline import DONE, Refusal
from kemi_routes.replies import refuse

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request

TABLE = "location"
# Flag of save().
_NO_REPLY = 2
# Result of save() that is no refusal by rule.
_FAULT = -1
# Branch flag of usrloc's nat_bflag: contacts that get keep-alive pings.
_NATTED_FLAG = 6
# nat_uac_test: Via against source address (2) and port (16), Contact against source address (32) and port (128). A
# contact that is not where the request came from is reached at the latter, so nobody can register another's address.
NAT_TESTS = 2 | 16 | 32 | 128


def save_contacts(ksr: Ksr, request: Request) -> Outcome:
    """Keep the contacts of an authenticated account; the registrar answers."""
    if request.kind not in policy.MAY_REGISTER:
        return refuse(ksr, request, Refusal(403, "Forbidden", f"accounts of kind {request.kind} do not register"))
    if ksr.hdr.is_present("Path") > 0 and not request.settings.is_exempt(request.source_ip):
        # A stranger's Path could lead calls to Asterisk itself, which trusts what comes from us.
        return refuse(ksr, request, Refusal(403, "Forbidden", "Path from an address that is none of our networks"))
    if ksr.nathelper.nat_uac_test(NAT_TESTS) > 0:
        ksr.nathelper.fix_nated_register()
        ksr.setbflag(_NATTED_FLAG)
    kept = ksr.registrar.save(TABLE, _NO_REPLY)
    if kept == _FAULT:
        # Once more, for when the database was busy. usrloc's timer writes what is in memory only.
        kept = ksr.registrar.save(TABLE, _NO_REPLY)
    if kept < 0:
        # The registrar's answer says which (too many contacts, too brief, ...).
        ksr.notice(
            f"REGISTER not kept; account={request.account} source={request.source_ip} call_id={request.call_id}\n"
        )
    ksr.registrar.reg_send_reply()
    return DONE
