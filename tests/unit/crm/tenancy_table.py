"""How each noun is made for a company, and which operations need no such line: the table of test_tenancy.py.

A new endpoint needs a line here, or the test fails.

* `MAKES`: for every POST to a list (or to another address without a key) bodies that are right for a company. The
  first one makes the object that the other company then tries to reach; every field that refers to something must be
  in one of them, and is replaced by the other company's.
* `KEYS`: for every address with keys, how the company's own object is named there.
* `NOT_OF_COMPANIES`: operations that show and touch nothing of any company, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Own:
    """What one company has: keys by noun (the plural in the address), and names that only it uses."""

    name: str
    company: int
    admin: Any
    keys: dict[str, Any] = field(default_factory=dict)
    made: int = 0
    address: str = ""
    number: int = 0
    """Address of its house, number of its apartment there."""

    def fresh(self) -> int:
        """Return a number that was not used before, so that no two objects contradict each other."""
        self.made += 1
        return self.made

    def panel_account(self) -> str:
        """Make another account of kind panel."""
        return self._account("panel", company_id=self.company)

    def concierge(self) -> str:
        """Make another account of kind concierge."""
        return self._account("concierge", company_id=self.company)

    def apartment(self) -> int:
        """Make another apartment."""
        body = {"entrance_id": self["entrances"], "number": 3000 + self.fresh()}
        return int(self.admin("POST", "/v1/apartments", body)["id"])

    def house(self) -> int:
        """Make another house."""
        body = {"company_id": self.company, "address": f"{self.name} lane {self.fresh()}"}
        return int(self.admin("POST", "/v1/houses", body)["id"])

    def resident(self) -> int:
        """Make another resident, at home in the company's apartment."""
        home = {"apartment_id": self["apartments"], "role": "owner"}
        body = {"company_id": self.company, "name": f"{self.name} resident {self.fresh()}", "apartments": [home]}
        return int(self.admin("POST", "/v1/residents", body)["id"])

    def _account(self, kind: str, **more: Any) -> str:
        name = f"{self.name}-{kind}{self.fresh()}"
        return str(self.admin("POST", "/v1/accounts", {"account": name, "kind": kind, **more})["account"])

    def __getitem__(self, noun: str) -> Any:
        return self.keys[noun]


def stages(*targets: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"ring_timeout_s": 20, "targets": list(targets)}]


MAKES: Final[dict[str, Callable[[Own], list[Any]]]] = {
    "/v1/houses": lambda o: [{"company_id": o.company, "address": f"{o.name} street {o.fresh()}"}],
    "/v1/entrances": lambda o: [{"house_id": o["houses"], "number": o.fresh() % 90 + 1}],
    "/v1/apartments": lambda o: [{"entrance_id": o["entrances"], "number": o.fresh() + 1000}],
    "/v1/apartment-ranges": lambda o: [
        {"house_id": o["houses"], "first": 2000 + o.fresh() * 10, "last": 2001 + o.made * 10, "entrances": [77],
         "make_entrances": True},
    ],
    "/v1/gates": lambda o: [{"company_id": o.company, "name": f"{o.name} gate {o.fresh()}", "houses": [o["houses"]]}],
    "/v1/accounts": lambda o: [
        {"kind": "app", "apartment_id": o["apartments"]},
        {"kind": "concierge", "company_id": o.company},
        {"kind": "app", "apartment_id": o["apartments"], "resident_id": o.resident()},
    ],
    "/v1/push-tokens": lambda o: [
        {"account": o["accounts"], "device": f"d{o.fresh()}", "platform": "fcm", "token": f"token-{o.name}-{o.made}"},
    ],
    "/v1/relays": lambda o: [
        {"company_id": o.company, "name": f"{o.name} relay {o.fresh()}", "address": f"10.0.{o.company}.1",
         "doors": [{"output": 1, "gate_id": o["gates"]}, {"output": 2, "entrance_id": o["entrances"]}]},
    ],
    "/v1/panels": lambda o: [
        {"account": o.panel_account(), "name": f"{o.name} panel", "places": [{"entrance_id": o["entrances"]}],
         "doors": [{"method": "relay", "relay_id": o["relays"], "relay_output": 1}]},
        {"account": o.panel_account(), "name": f"{o.name} gate", "gate_id": o["gates"],
         "places": [{"house_id": o["houses"], "code": "21"}], "doors": []},
    ],
    "/v1/residents": lambda o: [
        {"company_id": o.company, "name": f"{o.name} resident", "phones": [f"+7912{3_000_000 + o.fresh():07}"],
         "apartments": [{"apartment_id": o["apartments"], "role": "owner"}]},
    ],
    "/v1/groups": lambda o: [{"company_id": o.company, "kind": "houses", "name": f"{o.name} group {o.fresh()}"}],
    "/v1/keys": lambda o: [
        {"number": f"{o.company:02X}{o.fresh():06X}", "notation": "hex", "apartment_id": o["apartments"]},
        {"number": f"{o.company:02X}{o.fresh():06X}", "notation": "hex", "entrance_id": o["entrances"]},
        {"number": f"{o.company:02X}{o.fresh():06X}", "notation": "hex", "house_id": o["houses"]},
        {"number": f"{o.company:02X}{o.fresh():06X}", "notation": "hex", "resident_id": o["residents"]},
        {"number": f"{o.company:02X}{o.fresh():06X}", "notation": "hex", "company_id": o.company},
    ],
    "/v1/access-codes": lambda o: [
        {"entrance_id": o["entrances"], "apartment_id": o["apartments"]},
        {"gate_id": o["gates"]},
    ],
    "/v1/probe-campaigns": lambda o: [
        {"company_id": o.company, "name": f"{o.name} campaign",
         "hours": [{"day": "mon", "from": "10:00", "until": "12:00"}],
         "selection": {"house_ids": [o["houses"]], "group_ids": [o["groups"]], "apartment_ids": [o["apartments"]]}},
    ],
    "/v1/key-uses": lambda o: [
        {"panel": o["panel account"], "number": f"{o.company:02X}FF{o.fresh():04X}", "opened": True},
    ],
    "/v1/block-kinds": lambda o: [
        {"company_id": o.company, "name": f"{o.name} kind {o.fresh()}", "stops_calls": True, "stops_opening": True},
    ],
    "/v1/blocks": lambda o: [{"apartment_id": o["apartments"], "kind_id": o["block-kinds"], "reason": "debt"}],
    "/v1/ring-plans": lambda o: [
        {"apartment_id": o.apartment(), "stages": stages({"kind": "all"}, {"account": o["accounts"]})},
        {"house_id": o.house(), "stages": stages({"kind": "all"})},
        {"company_id": o.company, "stages": stages({"kind": "all"})},
    ],
    "/v1/webhooks": lambda o: [{"company_id": o.company, "url": f"https://{o.name}.example/{o.fresh()}"}],
    "/v1/concierge-desks": lambda o: [
        {"account": o.concierge(), "name": f"{o.name} desk", "house_id": o["houses"]},
    ],
    "/v1/emergency-test-calls": lambda o: [{"panel": o["panel account"]}],
    "/v1/staff": lambda o: [
        {"login": f"{o.name}{o.fresh()}@example.test", "name": f"{o.name} person", "role": "operator",
         "companies": [o.company]},
    ],
    "/v1/service-accounts": lambda o: [
        {"name": f"{o.name} program {o.fresh()}", "role": "operator", "companies": [o.company]},
    ],
    "/v1/tokens": lambda o: [{"service_account_id": o["service-accounts"], "name": f"{o.name} token {o.fresh()}"}],
}  # fmt: skip

UPLOADS: Final[dict[str, Callable[[Own], str]]] = {
    "/v1/imports/houses": lambda o: f"address;entrances\n{o.name} import {o.fresh()};1\n",
    "/v1/imports/apartments": lambda o: f"address;entrance;apartment\n{o.address};77;{4000 + o.fresh()}\n",
    "/v1/imports/residents": lambda o: f"name;address;apartment\n{o.name} {o.fresh()};{o.address};{o.number}\n",
    "/v1/imports/keys": lambda o: (
        f"number;address;apartment\n{o.company:02X}EE{o.fresh():04X};{o.address};{o.number}\n"
    ),
}
"""Files for every address that takes one; the other company's address in them is none."""
CREATES_BY_UPLOAD: Final = frozenset({"/v1/imports/houses"})
"""What a file makes here refers to nothing: only `company_id` of the query could be another's."""

KEYS: Final[dict[str, Callable[[Own], dict[str, Any]]]] = {
    "/v1/companies/{key}/phone-statement": lambda o: {"key": o.company},
    "/v1/companies/{key}": lambda o: {"key": o.company},
    "/v1/doors/{key}/open": lambda o: {"key": o["doors"]},
    "/v1/ring-plans/{key}/{dialled}": lambda o: {"key": o["panel account"], "dialled": o["number dialled"]},
    "/v1/calls/{call_id}": lambda o: {"call_id": o["calls"]},
    "/v1/probe-calls/{key}/recording": lambda o: {"key": o["probe-calls"]},
    "/v1/call-sounds/{key}": lambda o: {"key": o["call-sounds"]},
    "/v1/call-sounds/{key}/audio": lambda o: {"key": o["call-sounds"]},
    "/v1/call-sounds/{key}/heard": lambda o: {"key": o["call-sounds"]},
    "/v1/calls/{call_id}/why/{account}": lambda o: {"call_id": o["calls"], "account": o["accounts"]},
    "/v1/webhook-deliveries/{key}/replay": lambda o: {"key": o["webhook-deliveries"]},
    "/v1/code-locks/{key}": lambda o: {"key": o["code-locks"]},
    "/v1/companies/{key}/emergency-rules": lambda o: {"key": o.company},
    "/v1/number-leases/{key}/release": lambda o: {"key": o["number-leases"]},
    "/v1/emergency-calls/{key}": lambda o: {"key": o["emergency-test-calls"]},
    "/v1/sessions/{key}": lambda o: {"key": o["sessions"]},
}
"""Addresses `/v1/<noun>/{key}` and those below them need no line when `MAKES` has the noun."""

REFERENCES: Final[dict[str, Callable[[Own], Any]]] = {
    "company_id": lambda o: o.company,
    "campaign_id": lambda o: o["probe-campaigns"],
    "house_ids": lambda o: [o["houses"]],
    "group_ids": lambda o: [o["groups"]],
    "apartment_ids": lambda o: [o["apartments"]],
    "job_id": lambda o: o["scheduled-jobs"],
    "companies": lambda o: [o.company],
    "house_id": lambda o: o["houses"],
    "houses": lambda o: [o["houses"]],
    "entrance_id": lambda o: o["entrances"],
    "apartment_id": lambda o: o["apartments"],
    "gate_id": lambda o: o["gates"],
    "panel_id": lambda o: o["panels"],
    "relay_id": lambda o: o["relays"],
    "resident_id": lambda o: o["residents"],
    "kind_id": lambda o: o["block-kinds"],
    "key_id": lambda o: o["keys"],
    "access_code_id": lambda o: o["access-codes"],
    "service_account_id": lambda o: o["service-accounts"],
    "webhook_id": lambda o: o["webhooks"],
    "principal_id": lambda o: o["service-accounts"],
    "account": lambda o: o["accounts"],
    "panel": lambda o: o["panel account"],
    "add": lambda o: [o["houses"]],
}
"""Fields of bodies and queries that refer to something of a company, and the company's own."""

NO_REFERENCES: Final = frozenset({"probe_id", "fias_id", "billing_id", "city_id"})
"""Their names end like references, and they refer to nothing of a company."""

CHOOSES_A_NAME: Final = frozenset({("/v1/accounts", "account")})
"""A new row's own name, that only looks like a reference."""

NOT_OF_COMPANIES: Final = {
    "GET /health": "no token",
    "GET /v1/openapi.json": "no token",
    "GET /v1/docs": "no token",
    "GET /v1/visitor-pictures/{key}": "no token: the link is signed for one household",
    "GET /v1/docs/{file}": "no token",
    "GET /v1/message-pictures/{key}": "no token: the link is signed for one message",
    "GET /v1/message-sounds/{key}": "no token: the link is signed for one message",
    "POST /v1/twilio/voice-answers/{key}": "no token: signed with the token of a trunk's account",
    "POST /v1/twilio/voice-events/{key}": "no token: signed with the token of a trunk's account",
    "GET /v1/cities": "cities are nobody's secret",
    "POST /v1/cities": "the platform's alone: 403",
    "GET /v1/cities/{key}": "cities are nobody's secret",
    "PATCH /v1/cities/{key}": "the platform's alone: 403",
    "DELETE /v1/cities/{key}": "the platform's alone: 403",
    "POST /v1/companies": "the platform's alone: 403",
    "GET /v1/trunks": "the platform's alone: 403",
    "POST /v1/trunks": "the platform's alone: 403",
    "GET /v1/trunks/{key}": "the platform's alone: 403",
    "PATCH /v1/trunks/{key}": "the platform's alone: 403",
    "DELETE /v1/trunks/{key}": "the platform's alone: 403",
    "POST /v1/code-entries": "the call path's own service account acts for all companies",
    **{
        f"{method} /v1/{noun}{key}": "the platform's alone: 403"
        for noun in ("emergency-centres", "city-numbers")
        for method, key in (("GET", ""), ("POST", ""), ("GET", "/{key}"), ("PATCH", "/{key}"), ("DELETE", "/{key}"))
    },
    "GET /v1/number-pools": "the platform's alone: 403",
    "POST /v1/emergency-checks": "the platform's alone: 403",
    "GET /metrics": "the platform's alone: 403",
    "POST /v1/cities/{key}/numbers": "the platform's alone: 403",
    "POST /v1/cities/{key}/twilio-numbers": "the platform's alone: 403",
    "POST /v1/emergency-leases": "the call path's own service account acts for all companies",
    "POST /v1/emergency-call-backs": "the call path's own service account acts for all companies",
    "POST /v1/recorded-sounds": "the call path's own service account acts for all companies",
    "POST /v1/door-openings": "the call path's own service account acts for all companies",
    "POST /v1/login": "no token",
    "POST /v1/probe-results": "the call path's own service account acts for all companies",
    "POST /v1/logout": "the sender's own session",
    "GET /v1/me": "the sender",
    "POST /v1/me/password": "the sender",
}
