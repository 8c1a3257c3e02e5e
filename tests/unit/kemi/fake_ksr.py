"""A strict stand-in for KSR: knows the functions of the stub only, checks every argument, models what we use.

Where Kamailio would log an error and return False (unknown function, wrong type, too few arguments), this raises.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, cast

from tests.unit.kemi.fake_rows import NotModelledError, rows_of
from tests.unit.kemi.fake_tables import FakeTables
from tests.unit.kemi.ksr_functions import HANDLERS
from tests.unit.kemi.ksr_signatures import signatures
from tests.unit.kemi.sip_message import Contact, Message, Saved

if TYPE_CHECKING:
    from collections.abc import Callable

    from KSR import Ksr, Value

_READ_ONLY = frozenset(
    ("$ci", "$cs", "$rm", "$si", "$sp", "$ruid", "$T_reply_ruid", "$T_reply_reason", "$branch(count)")
)


class NoSuchFunctionError(AttributeError):
    """KSR has no such module or function."""


class ReadOnlyError(ValueError):
    """The pseudo-variable cannot be written."""


# From here on the class of a reply may be changed.
_NEGATIVE = 300


def _octets(text: str) -> bytes:
    """Return the bytes on the wire; one that is not UTF-8 is a surrogate in the text of a message."""
    return text.encode("utf-8", "surrogateescape")


def _as_c_string(text: str) -> None:
    """Raise what PyArg_ParseTuple("s") raises."""
    text.encode()
    if "\0" in text:
        raise ValueError("embedded null character")


class _Module:
    def __init__(self, fake: FakeKsr, name: str) -> None:
        self._fake = fake
        self._name = name

    def __getattr__(self, function: str) -> Callable[..., object]:
        return self._fake.function(f"{self._name}.{function}")


class FakeKsr(FakeTables):
    """See the module. Attributes below are what a test sets and reads."""

    def __init__(self, message: Message | None = None) -> None:
        super().__init__()
        self.message = message or Message()
        self.defines: dict[str, str] = {}
        self.nodes = ["sip:127.0.0.21:5060", "sip:127.0.0.22:5060"]
        self.node_addresses = {"127.0.0.21", "127.0.0.22"}
        self.emergency_node = ""  # one of the addresses that is up, and chosen for emergency calls alone
        self.next_nodes: list[str] = []
        self.trunk_rows: list[tuple[str, str, str, str, str, str, int, str]] = []
        self.location: dict[str, list[Contact]] = {}
        self.database: dict[str, tuple[str, str, int]] | None = {}
        self.changes: list[tuple[int, str]] = []
        self.queried: list[str] = []
        self.passwords: dict[str, str] = {}
        self.replies: list[tuple[int, str]] = []
        self.reply_headers: list[str] = []
        self.logs: list[str] = []
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.results: dict[str, int] = {}
        self.pvs: dict[str, str | int] = {}
        self.relayed: list[str] = []
        self.unreachable: set[str] = set()
        self.dst_uri: str | None = None
        self.branches: list[Contact] = []
        self.saved: list[Saved] = []
        self.fetched: list[Contact] = []
        self.ruid: str | None = None
        self.rpc_answer: str | None = None
        self.registrations: list[tuple[str, list[str | int]]] = []
        self.log_pages = 0
        self.views: dict[str, list[tuple[object, ...]]] = defaultdict(list)
        self._rows: list[tuple[object, ...]] = []

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
        handler = HANDLERS.get(name)

        def call(*arguments: object) -> object:
            if len(arguments) != len(types):
                raise TypeError(f"KSR.{name} takes {len(types)} arguments, got {len(arguments)}")
            for argument, kind in zip(arguments, types, strict=True):
                if type(argument) is not kind:
                    raise TypeError(f"KSR.{name} wants {kind.__name__}, got {argument!r}")
                if isinstance(argument, str):
                    _as_c_string(argument)
            self.calls.append((name, arguments))
            if name in self.results:
                return self.results[name]
            if handler is None:
                raise NotModelledError(f"KSR.{name}")
            result = handler(self, *arguments)
            return _octets(result).decode() if isinstance(result, str) else result

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
        """Record a relay; -1 where the host has no route (`unreachable`: URIs)."""
        to = self.dst_uri or self.message.ruri
        self.relayed.append(to)
        return -1 if to in self.unreachable else 1

    def remove(self, match: Callable[[str], bool]) -> int:
        """Remove headers."""
        kept = [(k, v) for k, v in self.message.headers if not match(k)]
        removed = len(self.message.headers) - len(kept)
        self.message.headers[:] = kept
        return 1 if removed else -1

    def get_pv(self, name: str) -> Value:
        """Read a pseudo-variable, as it is or in hexadecimal."""
        found = re.fullmatch(r"\$\((.+)\{s\.encode\.hexa\}\)", name)
        if not found:
            return self._header_pv(name)
        plain = self._header_pv(f"$({found[1]})" if found[1][-1] in "}]" else f"${found[1]}")
        return None if plain is None else _octets(str(plain)).hex()

    def _header_pv(self, name: str) -> Value:
        found = re.fullmatch(r"\$(?:hdr\(([\w-]+)\)|\(hdr\(([\w-]+)\)\[(\d+)\]\))", name)
        return self.nth_header(found[1] or found[2], int(found[3] or 0)) if found else self._plain_pv(name)

    def _plain_pv(self, name: str) -> Value:
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
            "$tt": (self.header("To") or "").partition("tag=")[2],
            "$sut": f"sip:{self.message.source_ip}:{self.message.source_port};transport=udp",
            "$(ct{nameaddr.uri})": (self.header("Contact") or "<>").partition("<")[2].partition(">")[0],
            "$ruid": self.ruid,
            "$branch(count)": len(self.branches),
            **dict.fromkeys(("$ulc(full=>count)", "$ulc(told=>count)"), len(self.fetched)),
            "$rb": self.message.body,
            "$mb": self.text(),
            "$fU": self.message.sender,
            "$tU": self.message.called,
            "$au": self.message.auth_user,
            "$ar": self.message.auth_realm if self.message.auth_user else None,
            "$adu": self.message.digest_uri if self.message.auth_user else None,
            "$T(id_index)": 17,
            "$T(id_label)": 4711,
        }
        if name in fixed:
            return fixed[name]
        found = re.fullmatch(r"\$\(ulc\((?:full|told)=>(\w+)\)\[(\d+)\]\)", name)
        if found:
            value = getattr(self.fetched[int(found[2])], {"addr": "uri"}.get(found[1], found[1]))
            return cast("Value", value.decode() if isinstance(value, bytes) else value)
        found = re.fullmatch(r"\$\(branch\((uri|ruid)\)\[(\d+)\]\)", name)
        if found:
            contact = self.branches[int(found[2])]
            return contact.uri if found[1] == "uri" else contact.ruid
        found = re.fullmatch(r"\$xavp\(saved=>(contact|ruid|expires)\[(\d+)\]\)", name)
        if found:
            index = int(found[2])
            return cast("Value", getattr(self.saved[index], found[1])) if index < len(self.saved) else None
        if name.startswith(("$avp(", "$T_reply_ruid", "$T_reply_reason", "$T_reply_last")):
            return self.pvs.get(name)
        if name.startswith(("$shtitkey", "$shtitval")):
            return self.iterated[0][0 if "key" in name else 1]
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

    def unset_pv(self, name: str) -> bool:
        """pv.unset of the URI of a branch: the branch is gone, those after it move up."""
        found = re.fullmatch(r"\$\(branch\(uri\)\[(\d+)\]\)", name)
        if not found:
            raise NotModelledError(name)
        del self.branches[int(found[1])]
        return True

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

    def forget_one(self, uri: str, ruid: str) -> int:
        """registrar.unregister_ruid; the account is named as `forget` has it."""
        account = uri.partition(":")[2].partition("@")[0]
        self.location[account] = [contact for contact in self.location.get(account, []) if contact.ruid != ruid]
        return 1

    def fetch_contacts(self, uri: str) -> int:
        """registrar.reg_fetch_contacts: for `$ulc`, until they are freed; -1 when the account has none."""
        self.fetched = list(self.location.get(uri.partition(":")[2].partition("@")[0], []))
        return 1 if self.fetched else -1

    def free_contacts(self) -> int:
        """registrar.reg_free_contacts."""
        self.fetched = []
        return 1

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
        self.queried.append(text)
        if self.database is None:
            return -1
        self._rows = rows_of(self, self.database, text)
        return 1

    def rows(self) -> list[tuple[object, ...]]:
        """Rows of the last query."""
        return self._rows

    def check_password(self) -> int:
        """pv_auth_check: the password sent is the account's ha1 in `passwords`."""
        user = self.message.auth_user
        if user is None:
            return -5
        (_, ha1, _, _) = self.called("auth.pv_auth_check")[-1]
        return 1 if self.passwords.get(user) == ha1 else -2

    def next_node(self) -> int:
        """ds_select_dst and ds_next_dst."""
        if not self.next_nodes:
            return -1
        self.dst_uri = self.next_nodes.pop(0)
        return 1

    def select_node(self, group: int) -> int:
        """ds_select_dst: all nodes of set 1, in order; the one of set 2."""
        emergency = [f"sip:{self.emergency_node}:5060"] if self.emergency_node else []
        self.next_nodes = list(self.nodes) if group == 1 else emergency
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
        if called["method"] in {"uac.reg_add", "uac.reg_remove", "uac.reg_enable"}:
            self.registrations.append((called["method"], called["params"]))
            self.rpc_answer = json.dumps({"result": {}})
            return 1
        if called["method"] != "dispatcher.list":
            raise NotModelledError(text)
        targets = [{"DEST": {"URI": f"sip:{address}:5060"}} for address in sorted(self.node_addresses)]
        self.rpc_answer = json.dumps({"result": {"RECORDS": [{"SET": {"ID": 1, "TARGETS": targets}}]}})
        return 1

    def is_node_uri(self, group: int, uri: str) -> int:
        """ds_is_from_list_uri by address: set 1 holds all nodes, set 2 the one of emergency calls."""
        known = self.node_addresses if group == 1 else {self.emergency_node} - {""}
        return 1 if uri.partition(":")[2].rpartition("@")[2].partition(":")[0] in known else -1

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
