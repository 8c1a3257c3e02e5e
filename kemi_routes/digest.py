"""Digest authentication of everything that is no Asterisk node (RFC 3261, 22; RFC 2617)."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from kemi_routes import accounts, challenges, flood, foreign_text, sip_uri
from kemi_routes.pipeline import DONE, NEXT, Refusal
from kemi_routes.policy import PANEL, STRANGER
from kemi_routes.replies import refuse, retry_after

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request

# Flags of the auth module.
_QOP_AUTH = 1
_STALE = 16
_HA1_GIVEN = 1
_CHECK_USER = 1
# Results of pv_auth_check.
_WRONG_PASSWORD = -2
_STALE_NONCE = -4
_NO_CREDENTIALS = -5
_NONCE_REUSED = -6
_USER_MISMATCH = -8
_NOT_OUR_NONCE = -1
# Results that are no wrong password, and the flag of the challenge that follows. A nonce that is not ours, is old, or
# was given to another address (modules.cfg) proves nothing of its sender: a datagram says whatever address it likes,
# and would bar that. -1 is every other error of the module, too, such as a response that is no MD5: such a device is
# challenged until the flood's limit ends it.
_NOTHING_PROVED = {_NOT_OUR_NONCE: _STALE, _STALE_NONCE: _STALE, _NONCE_REUSED: _STALE, _NO_CREDENTIALS: 0}
# A parameter of credentials as Kamailio reads it (digest_parser.c): no quote is escaped, and what follows a value, up
# to the comma, means nothing.
_PAIR = re.compile(r'([^=]*+)=[ \t\r\n]*+(?:"([^"]*+)"|([^ \t\r\n,]*+))[^,]*+,?')
_SCHEME = "Digest "
_STRANGE = "strange"
_MINUTE_S = 60
# Checked against when there is no account to check against.
_NOBODY = "0" * 32


def authenticate(ksr: Ksr, request: Request) -> Outcome:
    """Check the credentials; sets `request.account` and `request.kind`."""
    name = _login(ksr)
    if request.emergency and _is_stranger(ksr, request, name or foreign_text.caller(ksr)):
        return _stranger(ksr, request)
    if name is None:
        return _challenge(ksr, request, 0, first=True)
    challenges.answered(ksr, request)
    enough, account = accounts.at_hand(ksr, name, request.settings.account_fresh_s)
    if not enough:
        # The nonce is checked before any password: a flood of names whose nonces are not ours, or not fresh, ends here.
        result = _check(ksr, request, _NOBODY)
        if result <= 0 and result != _WRONG_PASSWORD:
            return _not_proved(ksr, request, name, result)
        try:
            account = accounts.find(ksr, name, request.settings.account_fresh_s)
        except accounts.DatabaseAwayError:
            return _unreadable(ksr, request, name)
    return _proved(ksr, request, name, account)


def _login(ksr: Ksr) -> str | None:
    try:
        return ksr.kx.get_au()
    except UnicodeDecodeError:
        return foreign_text.read(ksr, "$au")


def _proved(ksr: Ksr, request: Request, name: str, account: accounts.Account | None) -> Outcome:
    # The same work for an account that does not exist.
    result = _check(ksr, request, _NOBODY if account is None else account.ha1)
    if result <= 0 or account is None:
        return _not_proved(ksr, request, name, result)
    # What was checked are the credentials for our realm, whose user To or From names; `name` is of the first ones that
    # came. With two headers one account must not be taken for another.
    if name != (foreign_text.called(ksr) if request.method == "REGISTER" else foreign_text.caller(ksr)):
        return _not_proved(ksr, request, name, _USER_MISMATCH)
    if not account.enabled and not request.emergency:
        return _disabled(ksr, request, name)
    if request.method != "REGISTER" and _is_of_another_call(ksr, request):
        return _of_another_call(ksr, request, name)
    flood.proved(ksr, request)
    if request.method != "REGISTER":  # which ends here
        ksr.auth.consume_credentials()
    request.account = name
    request.kind = account.kind
    request.disabled = not account.enabled
    return NEXT


def _is_of_another_call(ksr: Ksr, request: Request) -> bool:
    """Tell whether the credentials are of a call to another number (RFC 7616, 3.4.6): overheard, most likely.

    Devices write the digest's `uri` in ways of their own (with or without port, domain for address, a `%` escape), and
    some leave the number out: what counts is the number, if there is one. A proxy of our own networks may have changed
    that on the way, and an emergency call is put through.
    """
    if request.emergency:
        return False
    said = sip_uri.user(_digest_uri(ksr, request.settings.domain))
    return said not in ("", sip_uri.plain(request.number)) and not request.settings.is_exempt(request.source_ip)


def _digest_uri(ksr: Ksr, domain: str) -> str:
    """Return the `uri` of the credentials that were checked: the first ones for our realm."""
    if _is_realm(foreign_text.read(ksr, "$ar") or "", domain):
        return foreign_text.read(ksr, "$adu") or ""
    index = 0
    while (text := foreign_text.nth_header(ksr, "Proxy-Authorization", index)) is not None:
        said = _parameters(text)
        if _is_realm(said.get("realm", ""), domain):
            return said.get("uri", "")
        index += 1
    return ""


def _is_realm(said: str, domain: str) -> bool:
    """Tell whether this is our realm, as Kamailio does: by ASCII letters of either case."""
    return said.isascii() and said.lower() == domain.lower()


def _parameters(text: str) -> dict[str, str]:
    """Return the parameters of credentials by name; of two with a name the last counts, as it does for Kamailio."""
    text = text.lstrip()[len(_SCHEME) :]
    said: dict[str, str] = {}
    end = 0
    while found := _PAIR.match(text, end):
        name, quoted, plain = found.groups()
        said[name.strip(" \t\r\n").lower()] = plain if quoted is None else quoted
        end = found.end()
    return said


def _of_another_call(ksr: Ksr, request: Request, name: str) -> Outcome:
    """Challenge: a device that kept the credentials of its last call makes new ones, a thief cannot."""
    ksr.notice(
        f"credentials of {name} are of a call to another number: {request.method} challenged again; "
        f"source={request.source_ip} call_id={request.call_id}\n"
    )
    return _challenge(ksr, request, _STALE)


def _check(ksr: Ksr, request: Request, ha1: str) -> int:
    return ksr.auth.pv_auth_check(request.settings.domain, ha1, _HA1_GIVEN, _CHECK_USER)


def _not_proved(ksr: Ksr, request: Request, name: str, result: int) -> Outcome:
    if result == _USER_MISMATCH:
        return refuse(ksr, request, Refusal(403, "Forbidden", f"authenticated as {name}, but From or To names another"))
    if result in _NOTHING_PROVED:
        return _challenge(ksr, request, _NOTHING_PROVED[result])
    return _wrong_password(ksr, request, name)


def _disabled(ksr: Ksr, request: Request, name: str) -> Outcome:
    """Answer as to a wrong password, but count none: a phone that keeps trying must not bar its house's address."""
    ksr.notice(
        f"account {name} is disabled, password right: {request.method} challenged again; "
        f"source={request.source_ip} call_id={request.call_id}\n"
    )
    return _challenge(ksr, request, 0)


def _unreadable(ksr: Ksr, request: Request, name: str) -> Outcome:
    """The account is neither cached nor readable: 503, but an emergency call goes on unproved.

    Its nonce must be ours and fresh, so the sender is at the address it claims; its password cannot be checked
    (docs/decisions/0004-emergency-calls-fail-open.md).
    """
    if not request.emergency:
        retry_after(ksr, request.settings.retry_after_s)
        return refuse(ksr, request, Refusal(503, "Service Unavailable", f"account {name} not cached, database away"))
    result = _check(ksr, request, _NOBODY)
    if result in _NOTHING_PROVED:
        return _challenge(ksr, request, _NOTHING_PROVED[result])
    ksr.auth.consume_credentials()
    ksr.warn(
        f"emergency call let in unproved: account {name} not cached, database away; number={request.number} "
        f"source={request.source_ip} call_id={request.call_id}\n"
    )
    request.account = name
    request.kind = PANEL
    return NEXT


def _is_stranger(ksr: Ksr, request: Request, name: str) -> bool:
    """Tell whether an emergency call comes from a device that has no account at all, and policy serves such."""
    if not request.settings.strangers_per_minute:
        return False
    try:
        return accounts.find(ksr, name, request.settings.account_fresh_s) is None
    except accounts.DatabaseAwayError:
        return False


def _stranger(ksr: Ksr, request: Request) -> Outcome:
    """Let a device without account call the default city's dispatch centre, so many times a minute and address."""
    count = ksr.htable.sht_inc(_STRANGE, f"{request.source_ip} {int(time.monotonic()) // _MINUTE_S}")
    if count > request.settings.strangers_per_minute:
        retry_after(ksr, 60)
        return refuse(
            ksr,
            request,
            Refusal(403, "Forbidden", f"{count} emergency calls within a minute by a device without account"),
        )
    ksr.warn(
        f"emergency call of a device without account let in; number={request.number} source={request.source_ip} "
        f"call_id={request.call_id}\n"
    )
    request.account = request.kind = STRANGER
    return NEXT


def _wrong_password(ksr: Ksr, request: Request, name: str) -> Outcome:
    if flood.wrong_password(ksr, request, name) is DONE:
        return DONE
    ksr.notice(
        f"wrong password or unknown account {name!r}: {request.method} challenged again; "
        f"source={request.source_ip} call_id={request.call_id}\n"
    )
    return _challenge(ksr, request, 0)


def _challenge(ksr: Ksr, request: Request, flags: int, *, first: bool = False) -> Outcome:
    if flood.count_unauthenticated(ksr, request) is DONE:
        return DONE
    if first:  # not of a flood: each of these is a line in the log later
        challenges.sent(ksr, request)
    ksr.auth.auth_challenge(request.settings.domain, _QOP_AUTH | flags)
    return DONE
