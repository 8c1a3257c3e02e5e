"""A strict stand-in for KSR: knows the functions of the stub only, checks every argument, models what we use.

Where Kamailio would log an error and return False (unknown function, wrong type, too few arguments), this raises.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from KSR import Ksr, Value

STUB = Path(__file__).resolve().parents[3] / "stubs" / "KSR.pyi"
_TYPES: dict[str, type] = {"int": int, "str": str, "bool": bool}
_READ_ONLY = frozenset(
    ("$ci", "$cs", "$rm", "$si", "$sp", "$ruid", "$T_reply_ruid", "$T_reply_reason", "$branch(count)")
)


class NoSuchFunctionError(AttributeError):
    """KSR has no such module or function."""


class NotModelledError(NotImplementedError):
    """KSR has the function, the fake gives it no meaning."""


class ReadOnlyError(ValueError):
    """The pseudo-variable cannot be written."""


@functools.cache
def signatures() -> dict[str, tuple[type, ...]]:
    """Parameter types by `module.function` (core functions without a module), read from the stub."""
    found: dict[str, tuple[type, ...]] = {}
    for node in ast.parse(STUB.read_text()).body:
        if not isinstance(node, ast.ClassDef):
            continue
        prefix = "" if node.name == "Ksr" else node.name[1:].lower() + "."
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and not item.decorator_list:
                annotations = [argument.annotation for argument in item.args.posonlyargs[1:]]
                found[prefix + item.name] = tuple(_TYPES[a.id] for a in annotations if isinstance(a, ast.Name))
    return found


# From here on the class of a reply may be changed.
_NEGATIVE = 300


@dataclass
class Contact:
    """A registered contact."""

    uri: str
    ruid: str


@dataclass
class Saved:
    """What save() tells of one contact, in `$xavp(saved)`."""

    contact: str
    ruid: str
    expires: int


@dataclass
class Message:
    """The SIP message being handled."""

    method: str = "INVITE"
    ruri: str = "sip:12@entryphone.test"
    call_id: str = "call-1"
    source_ip: str = "127.0.1.1"
    source_port: int = 5060
    headers: list[tuple[str, str]] = field(default_factory=list)
    to_tag: bool = False
    from_user: str = ""
    to_user: str = ""
    status: int = 0
    length: int = 500
    auth_user: str | None = None
    cseq: str = "1"
    max_forwards: int = 70
    natted: bool = False
    malformed: bool = False
    body: str = ""
    latin1: bool = False


class _Module:
    def __init__(self, fake: FakeKsr, name: str) -> None:
        self._fake = fake
        self._name = name

    def __getattr__(self, function: str) -> Callable[..., object]:
        return self._fake.function(f"{self._name}.{function}")


class FakeKsr:
    """See the module. Attributes below are what a test sets and reads."""

    def __init__(self, message: Message | None = None) -> None:
        self.message = message or Message()
        self.defines: dict[str, str] = {}
        self.nodes = ["sip:127.0.0.21:5060", "sip:127.0.0.22:5060"]
        self.node_addresses = {"127.0.0.21", "127.0.0.22"}
        self.next_nodes: list[str] = []
        self.trunk_rows: list[tuple[str, str, str, str, str, str, int, str]] = []
        self.location: dict[str, list[Contact]] = {}
        self.database: dict[str, tuple[str, str, int]] | None = {}
        self.changes: list[tuple[int, str]] = []
        self.tables: dict[str, dict[str, str | int]] = defaultdict(dict)
        self.queues: dict[str, deque[tuple[str, str]]] = defaultdict(deque)
        self.passwords: dict[str, str] = {}
        self.replies: list[tuple[int, str]] = []
        self.reply_headers: list[str] = []
        self.logs: list[str] = []
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.results: dict[str, int] = {}
        self.pvs: dict[str, str | int] = {}
        self.relayed: list[str] = []
        self.dst_uri: str | None = None
        self.branches: list[Contact] = []
        self.saved: list[Saved] = []
        self.ruid: str | None = None
        self.rpc_answer: str | None = None
        self.registrations: list[tuple[str, list[str | int]]] = []
        self.log_pages = 0
        self.views: dict[str, list[tuple[object, ...]]] = defaultdict(list)
        self._rows: list[tuple[object, ...]] = []
        self._item: tuple[str, str] | None = None
        self._iterator: list[tuple[str, str | int]] = []

    @property
    def ksr(self) -> Ksr:
        """This fake, typed as what the routes expect."""
        return cast("Ksr", self)

    def called(self, name: str) -> list[tuple[object, ...]]:
        """Arguments of every call of a function."""
        return [arguments for function, arguments in self.calls if function == name]

    def __getattr__(self, name: str) -> object:
        if name in signatures():
            return self.function(name)
        if any(function.startswith(name + ".") for function in signatures()):
            return _Module(self, name)
        raise NoSuchFunctionError(f"KSR.{name}")

    def function(self, name: str) -> Callable[..., object]:
        """Return the checked function."""
        types = signatures().get(name)
        if types is None:
            raise NoSuchFunctionError(f"KSR.{name}")
        handler = _HANDLERS.get(name)

        def call(*arguments: object) -> object:
            if len(arguments) != len(types):
                raise TypeError(f"KSR.{name} takes {len(types)} arguments, got {len(arguments)}")
            for argument, kind in zip(arguments, types, strict=True):
                if type(argument) is not kind:
                    raise TypeError(f"KSR.{name} wants {kind.__name__}, got {argument!r}")
            self.calls.append((name, arguments))
            if name in self.results:
                return self.results[name]
            if handler is None:
                raise NotModelledError(f"KSR.{name}")
            return handler(self, *arguments)

        return call

    # ---- what the handlers share ----
    def user_host(self) -> tuple[str, str]:
        """User and host of the request URI as it is now."""
        user, _, host = self.message.ruri.partition(":")[2].rpartition("@")
        return user, host.partition(";")[0]

    def header(self, name: str) -> str | None:
        """First header of this name."""
        return next((value for key, value in self.message.headers if key.lower() == name.lower()), None)

    def nth_header(self, name: str, index: int) -> str | None:
        """hdr.get_idx."""
        values = [value for key, value in self.message.headers if key.lower() == name.lower()]
        return values[index] if index < len(values) else None

    def text(self) -> str:
        """The message as text."""
        if self.message.latin1:
            b"\xff".decode()
        first = (
            f"SIP/2.0 {self.message.status} X"
            if self.message.status
            else f"{self.message.method} {self.message.ruri} SIP/2.0"
        )
        return "\r\n".join([first, *(f"{k}: {v}" for k, v in self.message.headers), "", self.message.body])

    def reply(self, status: int, phrase: str) -> int:
        """Record a reply."""
        if self.message.method == "ACK":
            raise AssertionError("an ACK is never answered")
        self.replies.append((status, phrase))
        return 1

    def relay(self) -> int:
        """Record a relay."""
        self.relayed.append(self.dst_uri or self.message.ruri)
        return 1

    def remove(self, match: Callable[[str], bool]) -> int:
        """Remove headers."""
        kept = [(k, v) for k, v in self.message.headers if not match(k)]
        removed = len(self.message.headers) - len(kept)
        self.message.headers[:] = kept
        return 1 if removed else -1

    def get_pv(self, name: str) -> Value:
        """Read a pseudo-variable."""
        user, host = self.user_host()
        fixed: dict[str, Value] = {
            "$ru": self.message.ruri,
            "$rU": user,
            "$rd": host,
            "$du": self.dst_uri,
            "$ci": self.message.call_id,
            "$cs": self.message.cseq,
            "$rm": self.message.method,
            "$si": self.message.source_ip,
            "$sp": self.message.source_port,
            "$ruid": self.ruid,
            "$branch(count)": len(self.branches),
            "$rb": self.message.body,
            "$T(id_index)": 17,
            "$T(id_label)": 4711,
        }
        if name in fixed:
            return fixed[name]
        found = re.fullmatch(r"\$\(branch\((uri|ruid)\)\[(\d+)\]\)", name)
        if found:
            contact = self.branches[int(found[2])]
            return contact.uri if found[1] == "uri" else contact.ruid
        found = re.fullmatch(r"\$xavp\(saved=>(contact|ruid|expires)\[(\d+)\]\)", name)
        if found:
            index = int(found[2])
            return cast("Value", getattr(self.saved[index], found[1])) if index < len(self.saved) else None
        if name.startswith(("$avp(", "$T_reply_ruid", "$T_reply_reason")):
            return self.pvs.get(name)
        if name.startswith(("$shtitkey", "$shtitval")):
            return self._iterator[0][0 if "key" in name else 1]
        raise NotModelledError(name)

    def set_pv(self, name: str, value: str | int) -> bool:
        """Write a pseudo-variable; `$ru`, `$rU` and `$rd` stay coherent."""
        if name in _READ_ONLY or name.startswith("$sht"):
            raise ReadOnlyError(name)
        user, host = self.user_host()
        if name == "$ru":
            self.message.ruri = str(value)
        elif name == "$rU":
            self.message.ruri = f"sip:{value}@{host}"
        elif name == "$rd":
            self.message.ruri = f"sip:{user}@{value}"
        elif name == "$du":
            self.dst_uri = str(value)
        elif name.startswith("$avp("):
            self.pvs[name] = value
        else:
            raise NotModelledError(name)
        return True

    def increment(self, table: str, key: str, by: int) -> int:
        """sht_inc and sht_dec of a table with initval=0."""
        value = self.tables[table].get(key, 0)
        if not isinstance(value, int):
            return -255
        self.tables[table][key] = value + by
        return value + by

    def lookup(self, uri: str, *, rewrite: bool) -> int:
        """registrar.lookup_uri and lookup_to_dset."""
        contacts = self.location.get(uri.partition(":")[2].partition("@")[0], [])
        if not contacts:
            return -1
        rest = list(contacts)
        if rewrite:
            first = rest.pop(0)
            self.message.ruri, self.ruid = first.uri, first.ruid
        self.branches += rest
        return 1

    def forget(self, uri: str) -> int:
        """registrar.unregister: every contact of an account goes; -1 when it had none."""
        return 1 if self.location.pop(uri.partition(":")[2].partition("@")[0], None) else -1

    def change_status(self, code: int) -> int:
        """textopsx.change_reply_status_code: within the class of the reply, or among negative replies."""
        if code // 100 != self.message.status // 100 and min(code, self.message.status) < _NEGATIVE:
            return -1
        self.message.status = code
        return 1

    def set_uri(self, uri: str) -> bool:
        """Replace the request URI."""
        self.message.ruri = uri
        return True

    def query(self, text: str) -> int:
        """Run one of our queries."""
        if self.database is None:
            return -1
        if text.startswith("pragma "):
            self._rows = [(0, self.log_pages, self.log_pages)] if "checkpoint" in text else []
            return 1
        found = re.search(r"account='([^']*)'", text)
        if found:
            row = self.database.get(found[1])
            self._rows = [row] if row else []
        elif found := re.search(r"from kamailio_accounts where account in \((.*)\)$", text):
            names = re.findall(r"'([^']*)'", found[1])
            self._rows = [(name, self.database[name][1]) for name in names if name in self.database]
        elif found := re.search(r"from (kamailio_emergency_\w+|kamailio_city_numbers|kamailio_voice_trunks)", text):
            after = re.search(r"account > '([^']*)'", text)
            self._rows = [row for row in self.views[found[1]] if after is None or str(row[0]) > after[1]]
        elif text == "select name, address from kamailio_trunks order by name":
            self._rows = [row[:2] for row in self.trunk_rows]
        elif "from kamailio_trunks" in text:
            self._rows = list(self.trunk_rows)
        elif "max(id)" in text:
            self._rows = [(max((i for i, _ in self.changes), default=0), 0)]
        else:
            floor = re.search(r"id > (-?\d+)", text)
            if floor is None:
                raise NotModelledError(text)
            self._rows = sorted(row for row in self.changes if row[0] > int(floor[1]))
        return 1

    def rows(self) -> list[tuple[object, ...]]:
        """Rows of the last query."""
        return self._rows

    def fetch(self, queue: str) -> int:
        """mq_fetch."""
        self._item = self.queues[queue].popleft() if self.queues[queue] else None
        return 1 if self._item else -1

    def item(self) -> tuple[str, str]:
        """Return what mq_fetch has fetched."""
        if self._item is None:
            raise AssertionError("nothing was fetched")
        return self._item

    def iterate(self, table: str) -> int:
        """sht_iterator_start."""
        self._iterator = [("", ""), *self.tables[table].items()]
        return 1

    def iterate_next(self) -> int:
        """sht_iterator_next."""
        self._iterator.pop(0)
        return 1 if self._iterator else -1

    def check_password(self) -> int:
        """pv_auth_check: the password sent is the account's ha1 in `passwords`."""
        user = self.message.auth_user
        if user is None:
            return -5
        (_, ha1, _, _) = self.called("auth.pv_auth_check")[-1]
        return 1 if self.passwords.get(user) == ha1 else -2

    def drop(self, table: str, key: str) -> int:
        """sht_rm."""
        self.tables[table].pop(key, None)
        return 1

    def put(self, table: str, key: str, value: str | int) -> int:
        """sht_sets and sht_seti."""
        self.tables[table][key] = value
        return 1

    def next_node(self) -> int:
        """ds_select_dst and ds_next_dst."""
        if not self.next_nodes:
            return -1
        self.dst_uri = self.next_nodes.pop(0)
        return 1

    def select_node(self) -> int:
        """ds_select_dst: all nodes, in order."""
        self.next_nodes = list(self.nodes)
        return self.next_node()

    def mark(self, state: str, uri: str) -> int:
        """ds_mark_addr: only taking up again is modelled."""
        if state != "ap":
            raise NotModelledError(state)
        self.nodes.append(uri)
        return 1

    def remote_procedure(self, text: str) -> int:
        """jsonrpcs.exec of dispatcher.list (every node, up or down), and of the uac module's registrations."""
        called = json.loads(text)
        if called["method"] in {"uac.reg_add", "uac.reg_remove"}:
            self.registrations.append((called["method"], called["params"]))
            self.rpc_answer = json.dumps({"result": {}})
            return 1
        if called["method"] != "dispatcher.list":
            raise NotModelledError(text)
        targets = [{"DEST": {"URI": f"sip:{address}:5060"}} for address in sorted(self.node_addresses)]
        self.rpc_answer = json.dumps({"result": {"RECORDS": [{"SET": {"ID": 1, "TARGETS": targets}}]}})
        return 1

    def is_node_uri(self, uri: str) -> int:
        """ds_is_from_list_uri by address."""
        return 1 if uri.partition(":")[2].rpartition("@")[2].partition(":")[0] in self.node_addresses else -1

    def hops(self) -> int:
        """process_maxfwd."""
        if self.message.max_forwards < 1:
            return -1
        self.message.max_forwards -= 1
        return 1

    def add_header(self, text: str) -> int:
        """hdr.append."""
        if not text.endswith("\r\n"):
            raise ValueError("a header ends with CR LF")
        name, _, value = text.rstrip("\r\n").partition(":")
        self.message.headers.append((name.strip(), value.strip()))
        return 1


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


_HANDLERS: dict[str, Callable[..., object]] = {
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
            "tm.t_set_fr",
            "rr.record_route",
            "nathelper.set_contact_alias",
            "nathelper.fix_nated_register",
            "nathelper.handle_ruri_alias",
            "auth.consume_credentials",
            "registrar.save",
            "registrar.reg_send_reply",
            "registrar.unregister_ruid",
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
    "resetdsturi": lambda fake: fake.set_pv("$du", "") > 0,
    "setbflag": lambda _fake, _flag: True,
    "is_ACK": _is("ACK"),
    "is_myself_ruri": lambda fake: fake.user_host()[1] in ("entryphone.test", "127.0.0.10"),
    "siputils.has_totag": lambda fake: 1 if fake.message.to_tag else -1,
    "sanity.sanity_check_defaults": lambda fake: -1 if fake.message.malformed else 1,
    "maxfwd.process_maxfwd": lambda fake, _limit: fake.hops(),
    "kx.get_method": lambda fake: fake.message.method,
    "kx.get_bodylen": lambda fake: len(fake.message.body),
    "textopsx.change_reply_status_code": lambda fake, code: fake.change_status(code),
    "pv.seti": lambda fake, name, value: fake.set_pv(name, value),
    "kx.get_callid": lambda fake: fake.message.call_id,
    "kx.get_fuser": lambda fake: fake.message.from_user,
    "kx.get_tuser": lambda fake: fake.message.to_user,
    "kx.get_srcip": lambda fake: fake.message.source_ip,
    "kx.get_srcport": lambda fake: fake.message.source_port,
    "kx.get_ruri": lambda fake: fake.message.ruri,
    "kx.gete_fuser": lambda fake: fake.message.from_user,
    "kx.gete_tuser": lambda fake: fake.message.to_user,
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
    "tm.t_relay": lambda fake: fake.relay(),
    "tm.t_is_canceled": lambda _fake: -1,
    "tm.t_branch_timeout": lambda _fake: -1,
    "tm.t_branch_replied": lambda _fake: 1,
    "tm.t_get_status_code": lambda fake: fake.message.status,
    "tm.t_get_branch_index": lambda _fake: 0,
    "tmx.t_precheck_trans": lambda _fake: -1,
    "nathelper.nat_uac_test": lambda fake, _tests: 1 if fake.message.natted else -1,
    "dispatcher.ds_is_from_list": lambda fake, _set: 1 if fake.message.source_ip in fake.node_addresses else -1,
    "dispatcher.ds_is_from_list_uri": lambda fake, _set, _mode, uri: fake.is_node_uri(uri),
    "dispatcher.ds_select_dst": lambda fake, _set, _algorithm: fake.select_node(),
    "dispatcher.ds_next_dst": lambda fake: fake.next_node(),
    "dispatcher.ds_mark_addr": lambda fake, state, _set, uri: fake.mark(state, uri),
    "jsonrpcs.exec": lambda fake, text: fake.remote_procedure(text),
    "jsonrpcs.response": lambda fake: fake.rpc_answer,
    "registrar.unregister": lambda fake, _table, uri: fake.forget(uri),
    "registrar.lookup_uri": lambda fake, _table, uri: fake.lookup(uri, rewrite=True),
    "registrar.lookup_to_dset": lambda fake, _table, uri: fake.lookup(uri, rewrite=False),
    "pv.get": lambda fake, name: fake.get_pv(name),
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
