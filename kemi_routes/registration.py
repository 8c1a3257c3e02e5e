"""Contacts of accounts: REGISTER (RFC 3261, 10.3), NAT and Path (RFC 3327)."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import contact_address, foreign_text, full_accounts, policy, refreshes, waking
from kemi_routes.pipeline import DONE, Refusal
from kemi_routes.replies import refuse

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request

TABLE = "location"
# Flags of save().
_MEMORY_ONLY = 1
_NO_REPLY = 2
# Results of save(); it says `inserted` of a repeated request as well.
_TOO_MANY = -2
_FAULT = -1
_INSERTED = 1
_UPDATED = 2
# Branch flag of usrloc's nat_bflag: contacts that get keep-alive pings.
_NATTED_FLAG = 6

# Contacts whose row is written: `account URI` -> `fingerprint of all that the row says but moments, ruid`. A device
# that names itself by `+sip.instance` has one row whatever its URI is: `ruid` -> fingerprint of what that says now.
_WRITTEN = "written"
_INSTANCE = "+sip.instance"
_MAX_CONTACTS = 10
_RECEIVED = re.compile(r'received\s*=\s*"?([^">,]*)', re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SHORTEST_URI, _LONGEST_URI = 5, 255


class _Contact(NamedTuple):
    """The one contact of a REGISTER.

    Attributes:
        key: its name in the table `written`.
        uri: its URI.
        fingerprint: of all that its row says but moments.
        is_instance: it names its device.
        written_ruid: the row that says all this already; empty when none does.
    """

    key: str
    uri: str
    fingerprint: str
    is_instance: bool
    written_ruid: str


def save_contacts(ksr: Ksr, request: Request) -> Outcome:
    """Keep the contacts of an authenticated account; the registrar answers."""
    if request.kind not in policy.MAY_REGISTER:
        return refuse(ksr, request, Refusal(403, "Forbidden", f"accounts of kind {request.kind} do not register"))
    has_path = ksr.hdr.is_present("Path") > 0
    texts = _contacts(ksr)
    text, several = texts[0], len(texts) > 1
    # A contact that is not where the request came from is reached at the latter: nobody registers another's address.
    # Behind a Path it is the proxy that is reached.
    natted = ksr.nathelper.nat_uac_test(contact_address.NAT_TESTS) > 0 or (
        not has_path and (several or contact_address.is_elsewhere(ksr, text))
    )
    # Read before the registrar's own attributes are added to Contact.
    contact = None if has_path or several else _only_contact(ksr, request, text, natted=natted)
    # What its row says already was looked at when that was written, and came from the same address.
    is_new = contact is None or not contact.written_ruid
    if is_new and (refusal := _refusal(ksr, request, texts, has_path=has_path)):
        return refuse(ksr, request, refusal)
    if natted:
        ksr.nathelper.fix_nated_register()
        ksr.setbflag(_NATTED_FLAG)
    kept = _save(ksr, request, contact)
    # A stage that begins from now on finds what was saved.
    legs = waking.waiting(ksr, request.account) if kept >= 0 else []
    if legs and (mute := waking.mute(ksr, request.account, legs)):
        kept = _save_anew(ksr, request, text, mute, kept)
    if kept < 0:
        # The registrar's answer says which (too many contacts, too brief, ...).
        ksr.notice(
            f"REGISTER not kept; account={request.account} source={request.source_ip} call_id={request.call_id}\n"
        )
    if has_path and kept >= 0:
        _return_path(ksr)
    ksr.registrar.reg_send_reply()
    if kept >= 0:
        waking.registered(ksr, request.settings, request.account, legs)
    return DONE


def _refusal(ksr: Ksr, request: Request, texts: list[str], *, has_path: bool) -> Refusal | None:
    """Return why these contacts are not kept, None when they may be."""
    if has_path and not request.settings.is_exempt(request.source_ip):
        # A stranger's Path could lead calls to Asterisk itself, which trusts what comes from us.
        return Refusal(403, "Forbidden", "Path from an address that is none of our networks")
    if not all(contact_address.is_readable(said) for said in texts):
        # Whoever rings this account later would have to read it.
        return Refusal(400, "Bad Contact", "address of a contact is not UTF-8")
    if unusable := contact_address.unusable(ksr, texts):
        # The call that should ring it would ring nobody else either.
        told = foreign_text.one_line(unusable)
        return Refusal(400, "Bad Contact", f"nothing can be sent to the contact {told!r}")
    if not has_path and _says_received_elsewhere(ksr, texts):
        return Refusal(403, "Forbidden", "Contact received at another address than this")
    return None


def _return_path(ksr: Ksr) -> None:
    """Say the Path of a REGISTER in its 200 (RFC 3327, 5.3): save() with a reply of its own to come forgets it."""
    index = 0
    while (path := foreign_text.nth_header(ksr, "Path", index)) is not None:
        ksr.hdr.append_to_reply(f"Path: {path}\r\n")
        index += 1


def look_up_first(ksr: Ksr, account_uri: str) -> str:
    """Set request URI and branches to an account's contacts while there are none else; return the first, "" without.

    tm makes no transaction of a request URI that Kamailio cannot read: nobody at all would ring. Such a contact was
    let in by an earlier version, or somebody wrote it to the database; it is taken away.
    """
    for _ in range(_MAX_CONTACTS):
        if ksr.registrar.lookup_uri(TABLE, account_uri) < 0:
            break
        first = foreign_text.read(ksr, "$ru") or ""
        if ksr.siputils.is_uri(first) > 0:
            return first
        count = ksr.pv.get("$branch(count)")
        for index in reversed(range(count if isinstance(count, int) else 0)):
            ksr.pv.unset(f"$(branch(uri)[{index}])")
        ksr.registrar.unregister_ruid(TABLE, account_uri, str(ksr.pv.get("$ruid")))
        ksr.warn(f"contact taken away, nothing can be sent to it; account={account_uri} contact={first!r}\n")
    return ""


def _save_anew(ksr: Ksr, request: Request, text: str, mute: set[waking.Contact], kept: int) -> int:
    """Save once more, as another contact, what a call waits for in vain: tm rings none twice (waking.py).

    The registrar has kept the unique id, also at another URI, when the device names itself (RFC 5626).
    """
    uri = _only_uri(text)
    ruid, _ = _find(ksr, uri) if uri else ("", 0)
    if ruid not in {contact.ruid for contact in mute}:
        return kept
    _forget(ksr, request, ruid)
    ksr.htable.sht_rm(_WRITTEN, f"{request.account} {uri}")
    return _write_through(ksr, request)


def _forget(ksr: Ksr, request: Request, ruid: str) -> None:
    ksr.registrar.unregister_ruid(TABLE, f"sip:{request.account}@{request.settings.domain}", ruid)


def _contacts(ksr: Ksr) -> list[str]:
    """Return every Contact header; without any an empty one."""
    texts = [foreign_text.header(ksr, "Contact")]
    while (value := foreign_text.nth_header(ksr, "Contact", len(texts))) is not None:
        texts.append(value)
    return texts


def _says_received_elsewhere(ksr: Ksr, texts: list[str]) -> bool:
    """Tell whether a Contact has a parameter `received` that is not true: the registrar believes it (save.c).

    Our own answer to a REGISTER has it, so a phone may say it again.
    """
    said = [uri for text in texts if "received" in text.lower() for uri in _RECEIVED.findall(text)]
    here = f"sip:{ksr.kx.get_srcip()}:{ksr.kx.get_srcport()}" if said else ""
    return any(uri.partition(";transport=")[0] != here for uri in said)


def _only_contact(ksr: Ksr, request: Request, text: str, *, natted: bool) -> _Contact | None:
    """Return the contact of the only Contact header when it is one and its refreshes may go to the journal."""
    if refreshes.journal_of(request.settings.location_url) is None:
        return None
    uri = _only_uri(text)
    if not uri:
        return None
    kx = ksr.kx
    expires, device = foreign_text.header(ksr, "Expires"), foreign_text.header(ksr, "User-Agent")
    said = (text, expires, device, kx.get_proto(), request.source_ip, kx.get_srcport(), natted)
    # Equal in every worker: the seed of hash() was drawn before the fork. A restart draws anew, with an empty table.
    key, fingerprint, is_instance = f"{request.account} {uri}", f"{hash(said):x}", _INSTANCE in text.lower()
    entry = ksr.htable.sht_get(_WRITTEN, key)
    written, _, ruid = entry.partition(" ") if isinstance(entry, str) else ("", "", "")
    if written != fingerprint or (is_instance and ksr.htable.sht_get(_WRITTEN, ruid) != fingerprint):
        ruid = ""
    return _Contact(key, uri, fingerprint, is_instance, ruid)


def _only_uri(contact: str) -> str:
    """Return the URI in angle brackets; empty for a list (a comma), for `*`, and for what is no URI."""
    plain = _QUOTED.sub("", contact) if '"' in contact else contact
    before, _, rest = plain.partition("<")
    uri, closed, after = rest.partition(">")
    odd = "," in plain or '"' in plain or ">" in before or "<" in rest or ">" in after or uri.split() != [uri]
    odd = odd or f"<{uri}>" not in contact  # quotes within it
    return "" if odd or not closed or not _SHORTEST_URI <= len(uri) <= _LONGEST_URI else uri


def _save(ksr: Ksr, request: Request, contact: _Contact | None) -> int:
    """Save; a refresh of a contact whose row is written goes to memory and to the journal."""
    if contact is None:
        return _write_through(ksr, request)
    if not contact.written_ruid:
        return _save_whole(ksr, request, contact)
    kept = ksr.registrar.save(TABLE, _NO_REPLY | _MEMORY_ONLY)
    if kept == _TOO_MANY:
        return _save_whole(ksr, request, contact)  # taken away meanwhile, and the account is full
    if kept == _UPDATED:
        if contact.is_instance and _find(ksr, contact.uri)[0] != contact.written_ruid:
            return _save_whole(ksr, request, contact)  # another row, which may say another address
        _note(ksr, request, contact)
    elif kept == _INSERTED:
        ruid, _ = _find(ksr, contact.uri)
        if ruid != contact.written_ruid:
            # It had been taken away meanwhile, so this is a new one without a row: take it away and save it whole.
            _forget(ksr, request, ruid)
            ksr.htable.sht_rm(_WRITTEN, contact.key)
            kept = _write_through(ksr, request)
    return kept


def _save_whole(ksr: Ksr, request: Request, contact: _Contact) -> int:
    """Write through, and remember what the row says now."""
    kept = _write_through(ksr, request)
    ruid, _ = _find(ksr, contact.uri)
    if kept in (_INSERTED, _UPDATED) and ruid:
        ksr.htable.sht_sets(_WRITTEN, contact.key, f"{contact.fingerprint} {ruid}")
        if contact.is_instance:
            ksr.htable.sht_sets(_WRITTEN, ruid, contact.fingerprint)
        else:
            ksr.htable.sht_rm(_WRITTEN, ruid)  # the same URI, without the device's name
        # In the journal as well, so that what it still holds of this contact from before does not come last.
        _note(ksr, request, contact)
    return kept


def _write_through(ksr: Ksr, request: Request) -> int:
    kept = ksr.registrar.save(TABLE, _NO_REPLY)
    if kept == _TOO_MANY:
        text = foreign_text.header(ksr, "Contact")
        if not _only_uri(text) or foreign_text.nth_header(ksr, "Contact", 1) is not None:
            return kept  # several, and who knows for how many there is room
        full_accounts.make_room(ksr, f"sip:{request.account}@{request.settings.domain}", text)
        kept = ksr.registrar.save(TABLE, _NO_REPLY)
    if kept == _FAULT:
        # Once more, for when the database was busy. usrloc's timer writes what is in memory only.
        kept = ksr.registrar.save(TABLE, _NO_REPLY)
    return kept


def _find(ksr: Ksr, uri: str) -> tuple[str, int]:
    """Unique id and seconds to live of a contact that was just saved; empty and 0 when it is not among them."""
    for index in range(_MAX_CONTACTS):
        found = foreign_text.read(ksr, f"$xavp(saved=>contact[{index}])")
        if found is None:
            break
        if found == uri:
            expires_s = ksr.pv.get(f"$xavp(saved=>expires[{index}])")
            ruid = ksr.pv.get(f"$xavp(saved=>ruid[{index}])")
            return str(ruid), expires_s if isinstance(expires_s, int) else 0
    return "", 0


def _note(ksr: Ksr, request: Request, contact: _Contact) -> None:
    """Write the refresh to the journal; when that fails, the next one is written through."""
    failure = "the registrar does not name the contact"
    ruid, expires_s = _find(ksr, contact.uri)
    journal = refreshes.journal_of(request.settings.location_url)
    if ruid and journal is not None:
        now_s = int(time.time())
        cseq = int(ksr.pv.get("$cs") or 0)
        try:
            journal.append(refreshes.Refresh(ruid, now_s + expires_s, request.call_id, cseq, now_s))
        except OSError as error:
            failure = f"journal not written ({error})"
        else:
            return
    ksr.htable.sht_rm(_WRITTEN, contact.key)
    ksr.err(f"refresh of a contact is in memory only: {failure}; account={request.account} call_id={request.call_id}\n")
