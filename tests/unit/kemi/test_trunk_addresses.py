"""A trunk's host name: looked up beside the calls, and known while DNS is away."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from kemi_routes import emergency_table, trunk_addresses, trunk_branch, trunks
from kemi_routes.emergency_table import EmergencyKeeper
from kemi_routes.trunk_addresses import AddressKeeper
from tests.unit.kemi.emergency_town import fill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.kemi.fake_ksr import FakeKsr

NAMED = ("named", "sip.carrier.example:5070", "tcp", "", "", "", 0, "e164")
RELAYING = trunk_branch.Relaying("b", "r", "f", 1, 1)


class Dns:
    """Answers as told; None: it is away. Remembers what it was asked."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] | None = {}
        self.asked: list[str] = []

    def __call__(self, host: str, *_: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        if host[0].isdigit():
            return [(0, 0, 0, "", (host, 0))]
        if self.addresses is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in self.addresses[host]]


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Dns:
    made = Dns()
    monkeypatch.setattr("kemi_routes.trunk_addresses.socket.getaddrinfo", made)
    monkeypatch.setattr(trunk_addresses, "_LOOK_UP_EVERY_S", -1.0)
    return made


def test_a_call_goes_to_the_address_that_was_looked_up_before(fake: FakeKsr, dns: Dns) -> None:
    dns.addresses = {"sip.carrier.example": ["10.0.0.9", "10.0.0.7"]}
    keeper = AddressKeeper()
    assert keeper.follow(fake.ksr, [NAMED[:2]])
    asked = len(dns.asked)
    assert trunk_branch.send(fake.ksr, RELAYING, "sip:+79160000012@sip.carrier.example:5070;transport=tcp")
    assert fake.relayed == ["sip:10.0.0.7:5070;transport=tcp"]
    assert fake.message.ruri == "sip:+79160000012@sip.carrier.example:5070;transport=tcp", "what the carrier reads"
    assert len(dns.asked) == asked
    assert {trunk_addresses.trunk_at(fake.ksr, address) for address in ("10.0.0.7", "10.0.0.9")} == {"named"}
    assert not keeper.follow(fake.ksr, [NAMED[:2]])
    dns.addresses["sip.carrier.example"] = ["10.0.0.5", "10.0.0.7"]
    assert keeper.follow(fake.ksr, [NAMED[:2]])
    assert keeper.addresses == {"sip.carrier.example": "10.0.0.7"}, "it stays where it is while that is there"


@pytest.mark.parametrize("uri", ["sip:12@10.0.0.1", "sip:12@10.0.0.1:5070", "sip:12@sip.carrier.example"])
def test_an_address_needs_no_look_and_a_name_without_port_is_kamailios(fake: FakeKsr, dns: Dns, uri: str) -> None:
    dns.addresses = {"sip.carrier.example": ["10.0.0.9"]}
    AddressKeeper().follow(fake.ksr, [("named", "sip.carrier.example"), ("other", "10.0.0.1:5070")])
    assert trunk_branch.send(fake.ksr, RELAYING, uri)
    assert fake.relayed == [uri]


def test_the_answer_to_a_challenge_goes_there_too(fake: FakeKsr, dns: Dns) -> None:
    dns.addresses = {"sip.carrier.example": ["10.0.0.9"]}
    fake.trunk_rows = [(*NAMED[:3], "we", "realm", "0" * 32, *NAMED[6:])]
    trunks.TrunkKeeper().tick(fake.ksr)
    AddressKeeper().follow(fake.ksr, [NAMED[:2]])
    trunk_branch.send(fake.ksr, RELAYING, "sip:12@sip.carrier.example:5070;transport=tcp")
    fake.dst_uri = ""
    fake.results["uac.uac_auth_mode"] = 1
    assert trunk_branch.answer_challenge(fake.ksr, RELAYING, "named", 407)
    assert fake.relayed == ["sip:10.0.0.9:5070;transport=tcp"] * 2


def test_what_was_known_holds_while_dns_is_away_and_goes_when_dns_says_so(fake: FakeKsr, dns: Dns) -> None:
    dns.addresses = {"sip.carrier.example": ["10.0.0.9"]}
    keeper = AddressKeeper()
    keeper.follow(fake.ksr, [NAMED[:2]])
    dns.addresses = None
    assert not keeper.follow(fake.ksr, [NAMED[:2]])
    assert trunk_addresses.trunk_at(fake.ksr, "10.0.0.9") == "named"
    assert trunk_addresses.next_hop(fake.ksr, "sip:12@sip.carrier.example:5070") == "sip:10.0.0.9:5070"
    dns.addresses = {}
    assert keeper.follow(fake.ksr, [NAMED[:2]])
    assert trunk_addresses.trunk_at(fake.ksr, "10.0.0.9") is None


def test_a_restart_without_dns_and_database_knows_them(fake: FakeKsr, dns: Dns, tmp_path: Path) -> None:
    path = tmp_path / "emergency.json"
    fill(fake)
    fake.trunk_rows.append(NAMED)
    dns.addresses = {"sip.carrier.example": ["10.0.0.9"]}
    EmergencyKeeper(str(path), "").tick(fake.ksr)
    fake.tables.clear()
    dns.addresses = fake.database = None
    EmergencyKeeper(str(path), "").load(fake.ksr)
    assert trunk_addresses.next_hop(fake.ksr, "sip:12@sip.carrier.example:5070") == "sip:10.0.0.9:5070"
    told = json.loads(path.read_text())
    del told["addresses"]  # the file of a former version
    path.write_text(json.dumps(told))
    fake.tables.clear()
    EmergencyKeeper(str(path), "").load(fake.ksr)
    assert emergency_table.place(fake.ksr, "p10002") is not None


def test_a_name_that_is_none_hinders_nothing(fake: FakeKsr, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real resolver raises UnicodeError for it."""
    monkeypatch.setattr(trunk_addresses, "_LOOK_UP_EVERY_S", -1.0)
    keeper = AddressKeeper()
    for _ in range(2):
        keeper.follow(fake.ksr, [("odd", "a..b:5060"), ("long", "x" * 70), ("plain", "10.0.0.1")])
    assert keeper.hosts == {"10.0.0.1": "plain"}
