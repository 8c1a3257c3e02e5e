"""What each function of KSR does to the fake; one that is not here is not modelled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.kemi.fake_ksr import FakeKsr


# What parse_uri() of Kamailio reads, as far as tests need it: no `^` in a host, no port above 65535, no other scheme.
_PORT = r"(?::(?:[0-5]?\d{0,4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5]))?"
_HOST = r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])"
_USABLE_URI = re.compile(rf"(?is)sips?:(?:[^@]+@)?{_HOST}{_PORT}(?:[;?].*)?|tel:.+|urn:service:.+")


def _positive(*_: object) -> int:
    return 1


def _log(fake: FakeKsr, text: str) -> None:
    fake.logs.append(text)


def _add(fake: FakeKsr, queue: str, key: str, value: str) -> int:
    fake.queues[queue].append((key, value))
    return 1


def _is(method: str) -> Callable[[FakeKsr], bool]:
    return lambda fake: fake.message.method == method


def _append_reply(fake: FakeKsr, text: str) -> int:
    fake.reply_headers.append(text)
    return 1


HANDLERS: dict[str, Callable[..., object]] = {
    **dict.fromkeys(("err", "warn", "notice", "info", "dbg"), _log),
    **dict.fromkeys(
        (
            "tm.t_on_reply",
            "tm.t_on_failure",
            "tm.t_on_branch",
            "tm.t_newtran",
            "tm.t_send_reply",
            "tmx.t_suspend",
            "tmx.t_continue",
            "tsilo.ts_append_to_uri",
            "htable.sht_lock",
            "htable.sht_unlock",
            "uac.uac_replace_from",
            "uac.uac_replace_to_uri",
            "uac.uac_auth_mode",
            "textops.set_body",
            "textops.set_body_hex",
            "tm.t_set_fr",
            "rr.record_route",
            "nathelper.set_contact_alias_trim",
            "nathelper.fix_nated_register",
            "nathelper.handle_ruri_alias",
            "auth.consume_credentials",
            "registrar.save",
            "registrar.reg_send_reply",
            "sanity.sanity_reply",
            "sqlops.sql_result_free",
            "mqueue.mq_pv_free",
            "htable.sht_iterator_end",
            "tmx.t_cancel_callid",
            "rr.loose_route",
            "tm.t_check_trans",
        ),
        _positive,
    ),
    "seturi": lambda fake, uri: fake.set_uri(uri),
    "setdsturi": lambda fake, uri: fake.set_pv("$du", uri),
    "resetdsturi": lambda fake: fake.set_pv("$du", "") > 0,
    "set_drop": lambda _fake: None,
    "force_rport": lambda _fake: True,
    "setbflag": lambda _fake, _flag: True,
    "is_ACK": _is("ACK"),
    "is_myself_ruri": lambda fake: fake.user_host()[1] in ("entryphone.test", "127.0.0.10"),
    "siputils.has_totag": lambda fake: 1 if fake.message.to_tag else -1,
    "sanity.sanity_check_defaults": lambda fake: -1 if fake.message.malformed else 1,
    "sanity.sanity_check": lambda fake, checks, _uris: -1 if checks & fake.message.malformed else 1,
    "maxfwd.process_maxfwd": lambda fake, _limit: fake.hops(),
    "kx.get_method": lambda fake: fake.message.method,
    "kx.get_bodylen": lambda fake: len(fake.message.body),
    "textopsx.change_reply_status_code": lambda fake, code: fake.change_status(code),
    "pv.seti": lambda fake, name, value: fake.set_pv(name, value),
    "kx.get_callid": lambda fake: fake.message.call_id,
    "kx.get_fuser": lambda fake: fake.message.sender,
    "kx.get_tuser": lambda fake: fake.message.called,
    "kx.get_srcip": lambda fake: fake.message.source_ip,
    "kx.get_srcport": lambda fake: fake.message.source_port,
    "kx.get_ruri": lambda fake: fake.message.ruri,
    "kx.gete_fuser": lambda fake: fake.message.sender,
    "kx.gete_tuser": lambda fake: fake.message.called,
    "kx.gete_ruser": lambda fake: fake.user_host()[0],
    "kx.get_duri": lambda fake: fake.dst_uri,
    "kx.get_nhuri": lambda fake: fake.dst_uri or fake.message.ruri,
    "kx.get_au": lambda fake: fake.message.auth_user,
    "kx.get_status": lambda fake: fake.message.status,
    "kx.get_msglen": lambda fake: fake.message.length,
    "kx.get_msgbuf": lambda fake: fake.text(),
    "kx.get_ua": lambda fake: fake.header("User-Agent"),
    "kx.get_proto": lambda _fake: "udp",
    "kx.get_def": lambda fake, name: fake.defines.get(name),
    "hdr.get": lambda fake, name: fake.header(name),
    "hdr.get_idx": lambda fake, name, index: fake.nth_header(name, index),
    "hdr.gete": lambda fake, name: fake.header(name) or "",
    "hdr.is_present": lambda fake, name: 1 if fake.header(name) is not None else -1,
    "hdr.append": lambda fake, text: fake.add_header(text),
    "hdr.remove": lambda fake, name: fake.remove(lambda key: key.lower() == name.lower()),
    "hdr.append_to_reply": _append_reply,
    "textops.remove_hf_re": lambda fake, expr: fake.remove(lambda key: re.search(expr, key, re.IGNORECASE) is not None),
    "sl.send_reply": lambda fake, status, phrase: fake.reply(status, phrase),
    "sl.send_reply_error": lambda fake: fake.reply(500, "error"),
    "tm.t_reply": lambda fake, status, phrase: fake.reply(status, phrase),
    "auth.auth_challenge": lambda fake, _realm, _flags: fake.reply(
        401 if fake.message.method == "REGISTER" else 407, "challenge"
    ),
    "auth.pv_auth_check": lambda fake, *_: fake.check_password(),
    "tm.t_uac_send": _positive,
    "corex.send_data": _positive,
    "tm.t_relay": lambda fake: fake.relay(),
    "tm.t_relay_to_flags": lambda fake, _flags: fake.relay(),
    "tm.t_is_canceled": lambda _fake: -1,
    "tm.t_branch_timeout": lambda _fake: -1,
    "tm.t_branch_replied": lambda _fake: 1,
    "tm.t_get_status_code": lambda fake: fake.message.status,
    "tm.t_get_branch_index": lambda _fake: 0,
    "tmx.t_precheck_trans": lambda _fake: -1,
    "nathelper.nat_uac_test": lambda fake, _tests: 1 if fake.message.natted else -1,
    "dispatcher.ds_is_from_list": lambda fake, _set: 1 if fake.message.source_ip in fake.node_addresses else -1,
    "dispatcher.ds_is_from_list_uri": lambda fake, group, _mode, uri: fake.is_node_uri(group, uri),
    "dispatcher.ds_select_dst": lambda fake, group, _algorithm: fake.select_node(group),
    "dispatcher.ds_next_dst": lambda fake: fake.next_node(),
    "dispatcher.ds_mark_addr": lambda fake, state, _set, uri: fake.mark(state, uri),
    "jsonrpcs.exec": lambda fake, text: fake.remote_procedure(text),
    "jsonrpcs.response": lambda fake: fake.rpc_answer,
    "registrar.unregister_ruid": lambda fake, _table, uri, ruid: fake.forget_one(uri, ruid),
    "registrar.reg_fetch_contacts": lambda fake, _table, uri, _profile: fake.fetch_contacts(uri),
    "registrar.reg_free_contacts": lambda fake, _profile: fake.free_contacts(),
    "registrar.unregister": lambda fake, _table, uri: fake.forget(uri),
    "registrar.lookup_uri": lambda fake, _table, uri: fake.lookup(uri, rewrite=True),
    "registrar.lookup_to_dset": lambda fake, _table, uri: fake.lookup(uri, rewrite=False),
    "pv.get": lambda fake, name: fake.get_pv(name),
    "pv.unset": lambda fake, name: fake.unset_pv(name),
    "siputils.is_uri": lambda _fake, uri: 1 if _USABLE_URI.fullmatch(uri) else -1,
    "pv.sets": lambda fake, name, value: fake.set_pv(name, value),
    "htable.sht_get": lambda fake, table, key: fake.tables[table].get(key),
    "htable.sht_sets": lambda fake, table, key, value: fake.put(table, key, value),
    "htable.sht_seti": lambda fake, table, key, value: fake.put(table, key, value),
    "htable.sht_inc": lambda fake, table, key: fake.increment(table, key, 1),
    "htable.sht_dec": lambda fake, table, key: fake.increment(table, key, -1),
    "htable.sht_rm": lambda fake, table, key: fake.drop(table, key),
    "htable.sht_iterator_start": lambda fake, _name, table: fake.iterate(table),
    "htable.sht_iterator_next": lambda fake, _name: fake.iterate_next(),
    "mqueue.mq_add": _add,
    "mqueue.mq_fetch": lambda fake, queue: fake.fetch(queue),
    "mqueue.mqk_get": lambda fake, _queue: fake.item()[0],
    "mqueue.mqv_get": lambda fake, _queue: fake.item()[1],
    "sqlops.sql_query": lambda fake, _db, text, _result: fake.query(text),
    "sqlops.sql_num_rows": lambda fake, _result: len(fake.rows()),
    "sqlops.sql_result_get": lambda fake, _result, row, column: fake.rows()[row][column],
}
