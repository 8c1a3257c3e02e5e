"""A trunk's host name: looked up beside the calls, and known while DNS is away."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from kemi_routes import emergency_table, trunk_addresses, trunk_branch, trunks
from kemi_routes.changes import ChangeFollower
from kemi_routes.emergency_table import EmergencyKeeper
from kemi_routes.trunk_addresses import AddressKeeper, NameWatch
from tests.unit.kemi.emergency_town import CARRIER, fill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.kemi.fake_ksr import FakeKsr

NAMED = ("named", "sip.carrier.example:5070", "tcp", "", "", "", 0, "e164")
RELAYING = trunk_branch.Relaying("b", "r", "f", 1, 1)


class Dns:
    """Answers as told; None: it is away. A name may be there without an address.

    Remembers what it was asked, and lets the time pass until all is due again.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] | None = {}
        self.asked: list[str] = []
        self.now_s = 1000.0

    def __call__(self, host: str, *_: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        if self.addresses is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not self.addresses[host]:
            raise socket.gaierror(socket.EAI_NODATA, "No address associated with hostname")
        return [(0, 0, 0, "", (address, 0)) for address in self.addresses[host]]

    def asks(self, fake: FakeKsr, watch: NameWatch, times: int = 1) -> None:
        """A minute later the process `names` looks up so many names."""
        self.now_s += 60
        for _ in range(times):
            watch.tick(fake.ksr)


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Dns:
    made = Dns()
    monkeypatch.setattr("kemi_routes.trunk_addresses.socket.getaddrinfo", made)
    monkeypatch.setattr("kemi_routes.trunk_addresses.time.monotonic", lambda: made.now_s)
    return made


def keeper_of(fake: FakeKsr, dns: Dns, *trunks: tuple[str, ...]) -> tuple[AddressKeeper, NameWatch]:
    """Both processes, once every name has been looked up."""
    keeper, watch = AddressKeeper(), NameWatch()
    keeper.follow(fake.ksr, trunks)
    dns.asks(fake, watch, len(trunks))
    assert keeper.take(fake.ksr)
    return keeper, watch


def test_a_call_goes_to_the_address_that_was_looked_up_before(fake: FakeKsr, dns: Dns) -> None:
    dns.addresses = {"sip.carrier.example": ["10.0.0.9", "10.0.0.7"]}
    keeper, watch = keeper_of(fake, dns, NAMED[:2])
    asked = len(dns.asked)
    assert trunk_branch.send(fake.ksr, RELAYING, "sip:+79160000012@sip.carrier.example:5070;transport=tcp")
    assert fake.relayed == ["sip:10.0.0.7:5070;transport=tcp"]
    assert fake.message.ruri == "sip:+79160000012@sip.carrier.example:5070;transport=tcp", "what the carrier reads"
    assert len(dns.asked) == asked
    assert {trunk_addresses.trunk_at(fake.ksr, address) for address in ("10.0.0.7", "10.0.0.9")} == {"named"}
    dns.asks(fake, watch)
    assert not keeper.take(fake.ksr)
    dns.addresses["sip.carrier.example"] = ["10.0.0.5", "10.0.0.7"]
    dns.asks(fake, watch)
    assert keeper.take(fake.ksr)
    assert keeper.addresses == {"sip.carrier.example": "10.0.0.7"}, "it stays where it is while that is there"


def test_who_follows_changes_asks_no_dns(fake: FakeKsr, dns: Dns, tmp_path: Path) -> None:
    """A look at a name takes as long as DNS takes; meanwhile nobody would drop what was withdrawn."""
    fill(fake)
    fake.trunk_rows.append(NAMED)
    dns.addresses = {"sip.carrier.example": ["10.0.0.9"]}
    kept = str(tmp_path / "emergency.json")
    follower, keeper = ChangeFollower("entryphone.test", kept), EmergencyKeeper(kept, "")
    follower.tick(fake.ksr)
    keeper.tick(fake.ksr)
    assert dns.asked == []
    assert trunk_addresses.trunk_at(fake.ksr, "10.0.0.1") == "city-line", "an address is known without it"
    NameWatch().tick(fake.ksr)
    assert dns.asked == ["sip.carrier.example"]
    keeper.tick(fake.ksr)
    assert trunk_addresses.trunk_at(fake.ksr, "10.0.0.9") == "named", "at the next tick, not when cities are read next"


def test_a_name_is_looked_up_once_a_minute_and_a_new_one_at_once(fake: FakeKsr, dns: Dns) -> None:
    keeper, watch = keeper_of(fake, dns, ("a", "a.example:5060"), ("b", "b.example:5060"))
    for _ in range(3):
        watch.tick(fake.ksr)
    assert dns.asked == ["a.example", "b.example"]
    dns.now_s += 61
    keeper.follow(fake.ksr, [("b", "b.example:5060"), ("c", "c.example:5060")])
    for _ in range(3):
        watch.tick(fake.ksr)
    assert dns.asked[2:] == ["c.example", "b.example"]
    dns.addresses = None
    dns.asks(fake, watch, 3)
    dns.now_s += 11
    watch.tick(fake.ksr)
    assert dns.asked[4:] == ["b.example", "c.example", "b.example"], "sooner when DNS has said nothing"


@pytest.mark.parametrize("uri", ["sip:12@10.0.0.1", "sip:12@10.0.0.1:5070", "sip:12@sip.carrier.example"])
def test_an_address_needs_no_look_and_a_name_without_port_is_kamailios(fake: FakeKsr, dns: Dns, uri: str) -> None:
    dns.addresses = {"sip.carrier.example": ["10.0.0.9"]}
    keeper_of(fake, dns, ("named", "sip.carrier.example"), ("other", "10.0.0.1:5070"))
    assert trunk_branch.send(fake.ksr, RELAYING, uri)
    assert fake.relayed == [uri]


def test_the_answer_to_a_challenge_goes_there_too(fake: FakeKsr, dns: Dns) -> None:
    dns.addresses = {"sip.carrier.example": ["10.0.0.9"]}
    fake.trunk_rows = [(*NAMED[:3], "we", "realm", "0" * 32, *NAMED[6:])]
    trunks.TrunkKeeper().tick(fake.ksr)
    keeper_of(fake, dns, NAMED[:2])
    trunk_branch.send(fake.ksr, RELAYING, "sip:12@sip.carrier.example:5070;transport=tcp")
    fake.dst_uri = ""
    fake.results["uac.uac_auth_mode"] = 1
    assert trunk_branch.answer_challenge(fake.ksr, RELAYING, "named", 407)
    assert fake.relayed == ["sip:10.0.0.9:5070;transport=tcp"] * 2


@pytest.mark.parametrize("withdrawn", [{}, {"sip.carrier.example": []}])
def test_what_was_known_holds_while_dns_is_away_and_goes_when_dns_says_so(
    fake: FakeKsr, dns: Dns, withdrawn: dict[str, list[str]]
) -> None:
    dns.addresses = {"sip.carrier.example": ["10.0.0.9"]}
    keeper, watch = keeper_of(fake, dns, NAMED[:2])
    dns.addresses = None
    dns.asks(fake, watch)
    assert not keeper.take(fake.ksr)
    assert trunk_addresses.trunk_at(fake.ksr, "10.0.0.9") == "named"
    assert trunk_addresses.next_hop(fake.ksr, "sip:12@sip.carrier.example:5070") == "sip:10.0.0.9:5070"
    dns.addresses = withdrawn
    dns.asks(fake, watch)
    assert keeper.take(fake.ksr)
    assert trunk_addresses.trunk_at(fake.ksr, "10.0.0.9") is None


@pytest.mark.parametrize("file_of", ["this version", "the former one", "the one before"])
@pytest.mark.parametrize("database", ["away", "there"])
def test_a_restart_without_dns_knows_them(fake: FakeKsr, dns: Dns, tmp_path: Path, database: str, file_of: str) -> None:
    path = tmp_path / "emergency.json"
    fill(fake)
    fake.trunk_rows.append(NAMED)
    dns.addresses = {"sip.carrier.example": ["10.0.0.9", "10.0.0.8"]}
    before = EmergencyKeeper(str(path), "")
    before.tick(fake.ksr)
    dns.asks(fake, NameWatch())
    before.tick(fake.ksr)
    told = json.loads(path.read_text())
    for part in {"this version": (), "the former one": ("known",)}.get(file_of, ("known", "addresses")):
        del told[part]
    path.write_text(json.dumps(told))
    fake.tables.clear()
    dns.addresses = None
    if database == "away":
        fake.database = None
    keeper, watch = EmergencyKeeper(str(path), ""), NameWatch()
    keeper.load(fake.ksr)
    for _ in range(3):
        keeper.tick(fake.ksr)
        dns.asks(fake, watch)
    assert emergency_table.place(fake.ksr, "p10002") is not None
    if file_of == "the one before":
        return
    assert trunk_addresses.next_hop(fake.ksr, "sip:12@sip.carrier.example:5070") == "sip:10.0.0.8:5070"
    assert trunk_addresses.trunk_at(fake.ksr, "10.0.0.8") == "named"
    if file_of == "this version":
        assert trunk_addresses.trunk_at(fake.ksr, "10.0.0.9") == "named"
    fake.trunk_rows, fake.database = [CARRIER], {}
    dns.now_s += 60
    keeper.tick(fake.ksr)
    assert trunk_addresses.trunk_at(fake.ksr, "10.0.0.8") is None, "a trunk that is removed is gone"


def test_a_name_that_is_none_hinders_nothing(fake: FakeKsr) -> None:
    """The real resolver raises UnicodeError for it."""
    keeper, watch = AddressKeeper(), NameWatch()
    keeper.follow(fake.ksr, [("odd", "a..b:5060"), ("long", "x" * 70), ("none", ""), ("plain", "10.0.0.1")])
    for _ in range(3):
        watch.tick(fake.ksr)
        keeper.take(fake.ksr)
    assert keeper.hosts == {"10.0.0.1": "plain"}
