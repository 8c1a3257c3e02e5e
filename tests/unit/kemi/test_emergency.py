"""Emergency calls in the proxy: what is one, what Asterisk is told, which way is tried, who calls back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from kemi_routes import (
    call_backs,
    dialogs,
    digest,
    emergency_calls,
    emergency_table,
    headers,
    panel_calls,
    pidf_lo,
    story,
    trunks,
)
from kemi_routes.emergency_table import City, EmergencyKeeper, Place, Way
from kemi_routes.pipeline import DONE, NEXT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]

LINE = ("city-line", "10.0.0.1", "udp", "", "", "", 0, "e164")
SECOND = ("second", "10.0.0.2", "udp", "", "", "", 0, "digits")
CARRIER = ("carrier", "10.0.0.3", "udp", "", "", "", 0, "e164")
NUMBERS = '["101", "102"]'
LEG = "1|+7495001|city-line|p10001|112|call-1,p10001,112"


def fill(fake: FakeKsr) -> None:
    fake.trunk_rows = [LINE, SECOND, CARRIER]
    fake.views["kamailio_emergency_cities"] = [
        (1, "Riverside", "RU", "+7495000", "city-line", "112", "+7495112", "+7495113", 1)
    ]
    fake.views["kamailio_emergency_trunks"] = [
        (1, "city-line", "asserted", 1),
        (1, "second", "from", 0),
        (1, "gone", "both", 1),
    ]
    fake.views["kamailio_city_numbers"] = [("+7495000", "city-line"), ("+7495001", "city-line")]
    fake.views["kamailio_emergency_apartments"] = [("p10001", 101)]
    fake.views["kamailio_emergency_panels"] = [
        ("p10001", 1, "Lenina 1", 2, "55755800", "37617300", NUMBERS, "911", "ru"),
        ("p10002", 1, "Sadovaya 7", 0, "", "", "[]", "", "en"),
    ]


@pytest.fixture
def known(fake: FakeKsr, tmp_path: Path) -> FakeKsr:
    """City, panels and trunks are known."""
    fill(fake)
    trunks.TrunkKeeper().tick(fake.ksr)
    EmergencyKeeper(str(tmp_path / "emergency.json"), "").tick(fake.ksr)
    return fake


def panel_request(fake: FakeKsr, make: Make, number: str, account: str = "p10001", kind: str = "panel") -> Request:
    fake.message.ruri = f"sip:{number}@entryphone.test"
    request = make(fake)
    request.emergency = request.emergency or emergency_table.is_sos(fake.ksr, number)
    request.account, request.kind = account, kind
    return request


@pytest.mark.parametrize(
    ("account", "number", "emergency"),
    [("p10001", "112", True), ("p10001", "102", True), ("p10001", "101", False), ("p10001", "103", False),
     ("p10001", "911", True), ("p10002", "911", False), ("p10002", "112", True), ("p10001", "*112*", True)],
)  # fmt: skip
def test_which_numbers_of_a_panel_are_emergency_numbers(
    known: FakeKsr, request_of: Make, account: str, number: str, emergency: bool
) -> None:
    request = panel_request(known, request_of, number, account)
    assert emergency_calls.mark(known.ksr, request) is NEXT
    assert request.emergency is emergency
    told = known.header(headers.EMERGENCY)
    if not emergency:
        assert told is None
        return
    where = "Lenina%201%202|ru" if account == "p10001" else "Sadovaya%207|en"
    assert told == f"1|+7495000|city-line|{number}|1|{where}"
    assert known.user_host()[0] == "112"


@pytest.mark.parametrize(
    ("who", "number", "goes_on"),
    [(("p10001", "panel"), "102", True), (("p10001", "panel"), "101", False), (("p10002", "panel"), "911", False),
     (("p77", "panel"), "101", True), (("h1", "handset"), "911", False), (("h1", "handset"), "112", True)],
)  # fmt: skip
def test_a_disabled_account_reaches_no_apartment_by_an_emergency_number_of_others(
    known: FakeKsr, request_of: Make, who: tuple[str, str], number: str, goes_on: bool
) -> None:
    account, kind = who
    assert known.database is not None
    known.database[account] = ("ha1", kind, 0)
    known.message.auth_user, known.passwords[account] = account, "ha1"
    request = panel_request(known, request_of, number, account, kind)
    assert digest.authenticate(known.ksr, request) is NEXT
    assert emergency_calls.mark(known.ksr, request) is (NEXT if goes_on else DONE)
    assert known.replies == ([] if goes_on else [(403, "Forbidden")])


def test_a_panel_that_nobody_knows_calls_the_default_city(known: FakeKsr, request_of: Make) -> None:
    request = panel_request(known, request_of, "112", "p77")
    emergency_calls.mark(known.ksr, request)
    assert known.header(headers.EMERGENCY) == "1|+7495000|city-line|112|1||en"
    known.message.headers.clear()
    other = panel_request(known, request_of, "101", "p77")
    emergency_calls.mark(known.ksr, other)
    assert known.header(headers.EMERGENCY) is None, "the ring plan decides: it may be an apartment"


@pytest.mark.parametrize(
    ("kind", "number", "may"),
    [("panel", "112", True), ("app", "112", True), ("handset", "112", True), ("app", "101", False),
     ("stranger", "112", True), ("trunk", "112", False), ("concierge", "112", False)],
)  # fmt: skip
def test_who_may_call_it(known: FakeKsr, request_of: Make, kind: str, number: str, may: bool) -> None:
    request = panel_request(known, request_of, number, kind=kind)
    assert (panel_calls.check_permission(known.ksr, request) is NEXT) is may


def leg(known: FakeKsr, header: str = LEG) -> None:
    known.message.source_ip = "127.0.0.21"
    known.message.ruri = "sip:112@127.0.0.10"
    known.message.headers = [(headers.EMERGENCY, header), ("P-Asserted-Identity", "<sip:x@y>")]


def steps(fake: FakeKsr) -> list[tuple[str, str]]:
    events = [json.loads(text) for _, text in fake.queues[story.QUEUE]]
    return [(event["step"], event["detail"]) for event in events if event["event"] == "emergency"]


def fail(fake: FakeKsr, status: int, *, silent: bool = False) -> None:
    fake.message.status = status
    fake.results["tm.t_branch_timeout"] = 1 if silent else -1
    fake.results["tm.t_branch_replied"] = -1 if silent else 1
    emergency_calls.on_failure(fake.ksr)


def test_the_ways_are_tried_in_order_to_the_last(known: FakeKsr, request_of: Make) -> None:
    leg(known)
    assert emergency_calls.ring_centre(known.ksr, request_of(known)) is DONE
    assert known.message.headers == []
    for status, silent in ((408, True), (486, False), (500, False), (404, False)):
        fail(known, status, silent=silent)
    assert known.relayed == [
        "sip:112@10.0.0.1", "sip:112@10.0.0.2", "sip:+7495112@10.0.0.1", "sip:7495112@10.0.0.2",
        "sip:+7495112@10.0.0.3",
    ]  # fmt: skip
    fail(known, 503)
    assert len(known.relayed) == 5, "no way is left"
    assert [name for name, _ in steps(known)] == ["dial", "way_failed"] * 5
    assert steps(known)[1] == ("way_failed", "city-line 112 silent")


@pytest.mark.parametrize(
    ("status", "silent", "put_last"), [(408, True, False), (503, False, True), (486, False, False)]
)
def test_under_overload_a_line_is_blamed_for_what_it_says_and_not_for_its_silence(
    known: FakeKsr, request_of: Make, status: int, *, silent: bool, put_last: bool
) -> None:
    """Its answer may wait at our own door."""
    known.tables["dialled_calls"]["limit"] = 8
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    fail(known, status, silent=silent)
    assert ("city-line" in known.tables["resting"]) is put_last
    assert known.relayed == ["sip:112@10.0.0.1", "sip:112@10.0.0.2"], "the next way is tried in any case"


def test_a_way_that_does_not_ring_has_six_seconds_the_last_one_and_one_that_rings_all_it_needs(
    known: FakeKsr, request_of: Make
) -> None:
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    fail(known, 408)
    known.message.status = 183
    emergency_calls.on_reply(known.ksr)
    for _ in range(3):
        fail(known, 500)
    given_ms = [ring_ms for ring_ms, _ in known.called("tm.t_set_fr")]
    assert given_ms == [6000, 6000, 180_000, 6000, 6000, 180_000]
    assert len(known.relayed) == 5


@pytest.mark.parametrize("status", [603, 487])
def test_what_the_dispatcher_says_ends_the_call(known: FakeKsr, request_of: Make, status: int) -> None:
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    fail(known, status)
    assert len(known.relayed) == 1


def test_a_trunk_that_just_failed_is_tried_last_and_the_numbers_own_first(known: FakeKsr, request_of: Make) -> None:
    leg(known, LEG.replace("city-line", "second"))
    emergency_calls.ring_centre(known.ksr, request_of(known))
    assert known.relayed == ["sip:112@10.0.0.2"]
    trunks.rest(known.ksr, "second")
    leg(known, LEG.replace("city-line", "second"))
    emergency_calls.ring_centre(known.ksr, request_of(known))
    assert known.relayed[1:] == ["sip:112@10.0.0.1"]


def test_a_test_call_goes_to_the_test_number_on_each_trunk(known: FakeKsr, request_of: Make) -> None:
    leg(known, LEG.replace("|112|", "|*112*|"))
    emergency_calls.ring_centre(known.ksr, request_of(known))
    fail(known, 503)
    fail(known, 503)
    fail(known, 503)
    assert known.relayed == ["sip:+7495113@10.0.0.1", "sip:7495113@10.0.0.2", "sip:+7495113@10.0.0.3"]


@pytest.mark.parametrize("header", ["1|2", "", LEG + "|x"])
def test_a_leg_of_another_shape_is_refused(known: FakeKsr, request_of: Make, header: str) -> None:
    leg(known, header)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    assert known.replies[0][0] == 400


def test_a_city_that_nobody_knows_is_the_default_one_only_when_no_city_is_named(
    known: FakeKsr, request_of: Make
) -> None:
    leg(known, LEG.replace("1|", "7|", 1))
    emergency_calls.ring_centre(known.ksr, request_of(known))
    assert known.replies[0][0] == 480
    assert steps(known)[0][0] == "no_way"
    leg(known, "-|-|-" + LEG[LEG.index("|p10001") :])
    emergency_calls.ring_centre(known.ksr, request_of(known))
    assert known.relayed == ["sip:112@10.0.0.1"]


def test_each_trunk_is_told_caller_and_place_as_it_wants(known: FakeKsr, request_of: Make) -> None:
    leg(known)
    request = request_of(known)
    emergency_calls.ring_centre(known.ksr, request)
    emergency_calls.on_branch(known.ksr, request.settings)
    assert known.called("uac.uac_replace_from") == [("", "sip:+7495000@entryphone.test")]
    assert ("P-Asserted-Identity", "<sip:+7495001@entryphone.test>") in known.message.headers
    assert ("Geolocation", "<cid:panel@entryphone.test>") in known.message.headers
    ((body, kind),) = known.called("textops.set_body")
    assert str(kind).startswith("multipart/mixed;boundary=")
    assert "Content-ID: <panel@entryphone.test>" in str(body)
    known.message.headers.clear()
    fail(known, 503)
    emergency_calls.on_branch(known.ksr, request.settings)
    assert known.called("uac.uac_replace_from")[-1] == ("", "sip:7495001@entryphone.test")
    assert known.message.headers == []
    assert len(known.called("textops.set_body")) == 1


def test_the_table_is_there_again_after_a_restart_without_the_database(fake: FakeKsr, tmp_path: Path) -> None:
    fill(fake)
    trunks.TrunkKeeper().tick(fake.ksr)
    path = tmp_path / "emergency.json"
    EmergencyKeeper(str(path), "").tick(fake.ksr)
    assert path.stat().st_mode & 0o777 == 0o600, "trunks have passwords"
    fake.tables.clear()
    fake.database = None
    keeper = EmergencyKeeper(str(path), "")
    keeper.load(fake.ksr)
    keeper.tick(fake.ksr)
    assert emergency_table.place(fake.ksr, "p10001") == Place(
        "1", "Lenina 1", 2, "55755800", "37617300", ("112", "102", "911"), "ru"
    )
    city = emergency_table.city(fake.ksr, "")
    assert city is not None
    assert city.ways[0] == Way("city-line", "112", "asserted", sends_location=True)
    assert trunks.find(fake.ksr, "city-line") is not None
    assert emergency_table.trunk_at(fake.ksr, "10.0.0.1") == "city-line"
    assert len([line for line in fake.logs if "database away" in line]) == 1


def test_the_new_password_of_a_trunk_is_kept_as_well(
    fake: FakeKsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(fake)
    trunks.TrunkKeeper().tick(fake.ksr)
    path = tmp_path / "emergency.json"
    monkeypatch.setattr(emergency_table, "_CITIES_EVERY_S", 0.0)
    keeper = EmergencyKeeper(str(path), "")
    keeper.tick(fake.ksr)
    fake.trunk_rows = [(*LINE[:3], "we", "realm", "1" * 32, *LINE[6:]), SECOND, CARRIER]
    trunks.TrunkKeeper().tick(fake.ksr)
    keeper.tick(fake.ksr)
    assert "1" * 32 in json.loads(path.read_text())["trunks"]["city-line"]


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_broken_file_is_said_so_and_the_database_asked(fake: FakeKsr, tmp_path: Path, text: str) -> None:
    fill(fake)
    path = tmp_path / "emergency.json"
    path.write_text(text)
    keeper = EmergencyKeeper(str(path), "")
    keeper.load(fake.ksr)
    keeper.tick(fake.ksr)
    assert emergency_table.place(fake.ksr, "p10002") is not None
    assert any("cannot be read" in line for line in fake.logs)


def test_what_the_crm_removes_is_gone_here_too(known: FakeKsr, tmp_path: Path) -> None:
    keeper = EmergencyKeeper(str(tmp_path / "emergency.json"), "")
    keeper.tick(known.ksr)
    known.views["kamailio_emergency_panels"].pop()
    keeper._places_due = float("-inf")
    keeper.tick(known.ksr)
    assert emergency_table.place(known.ksr, "p10002") is None


def stranger(fake: FakeKsr, make: Make, per_minute: int) -> tuple[object, Request]:
    fake.defines["EP_STRANGERS_PER_MINUTE"] = str(per_minute)
    fake.message.ruri, fake.message.from_user = "sip:112@entryphone.test", "nobody"
    request = make(fake)
    return digest.authenticate(fake.ksr, request), request


def test_a_device_without_account_is_served_so_often_as_policy_says(fake: FakeKsr, request_of: Make) -> None:
    assert stranger(fake, request_of, 0)[0] is DONE
    assert fake.replies == [(407, "challenge")]
    outcomes = [stranger(fake, request_of, 2) for _ in range(3)]
    assert [outcome for outcome, _ in outcomes] == [NEXT, NEXT, DONE]
    assert outcomes[0][1].kind == "stranger"
    assert fake.replies[-1][0] == 403
    fake.database = {"nobody": ("0" * 32, "panel", 1)}
    fake.tables["absent"].clear()
    assert stranger(fake, request_of, 9)[0] is DONE, "an account must prove itself"


def from_trunk(fake: FakeKsr, make: Make, number: str, address: str = "10.0.0.1") -> Request:
    fake.message.source_ip = address
    fake.message.ruri = f"sip:{number}@127.0.0.10"
    return make(fake)


@pytest.mark.parametrize("number", ["+7495001", "7495001"])
def test_a_trunk_calls_a_number_of_the_city_back(known: FakeKsr, request_of: Make, number: str) -> None:
    request = from_trunk(known, request_of, number)
    assert call_backs.take(known.ksr, request) is NEXT
    assert (request.kind, request.account) == ("trunk", "city-line")
    assert known.header(headers.CALL_BACK) == "+7495001|city-line|-"
    assert known.user_host()[0] == "call-back"


def test_who_called_with_a_number_last_is_told(known: FakeKsr, request_of: Make) -> None:
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    known.message.headers.clear()
    call_backs.take(known.ksr, from_trunk(known, request_of, "+7495001"))
    assert known.header(headers.CALL_BACK) == "+7495001|city-line|p10001"


@pytest.mark.parametrize("number", ["+7495999", "12", "abc", "1;drop"])
def test_other_numbers_of_a_trunk_are_refused(known: FakeKsr, request_of: Make, number: str) -> None:
    assert call_backs.take(known.ksr, from_trunk(known, request_of, number)) is DONE
    assert known.replies[0][0] == 404


def test_an_address_that_is_no_trunks_is_a_stranger(known: FakeKsr, request_of: Make) -> None:
    request = from_trunk(known, request_of, "+7495001", "10.9.9.9")
    assert call_backs.take(known.ksr, request) is NEXT
    assert request.kind == ""


def test_a_panels_talk_is_known_from_its_answer_to_its_end(known: FakeKsr, request_of: Make) -> None:
    call_backs.talk_begins(known.ksr, "p10001", "127.0.0.21:5060", "call-9")
    known.message.source_ip = "127.0.0.22"
    known.message.headers = [(headers.CALL_BACK, "p10001")]
    known.message.ruri = "sip:end-talk@127.0.0.10"
    call_backs.end_talk(known.ksr, request_of(known))
    assert known.relayed == ["sip:end-talk@127.0.0.21:5060"]
    assert known.message.headers == [(headers.CALL_BACK, "call-9")]
    known.message.method, known.message.to_tag, known.message.call_id = "BYE", True, "call-8"
    known.message.source_ip, known.message.from_user = "127.0.1.1", "p10001"
    known.message.ruri = "sip:x@127.0.0.21:5060"
    dialogs.pass_in_dialog(known.ksr, request_of(known))
    assert known.tables["talks"], "another call's end"
    known.message.call_id = "call-9"
    dialogs.pass_in_dialog(known.ksr, request_of(known))
    assert not known.tables["talks"]
    known.message.headers = [(headers.CALL_BACK, "p10001")]
    call_backs.end_talk(known.ksr, request_of(known))
    assert known.replies[-1][0] == 480


@pytest.mark.parametrize(
    ("address", "street", "house"),
    [("Lenina 1", "Lenina", "1"), ("ул. Ленина, 12к3", "ул. Ленина", "12к3"),
     ("Sadovaya 7 стр. 2", "Sadovaya", "7 стр. 2"), ("ул. 8 Марта, 5", "ул. 8 Марта", "5"),
     ("Somewhere", "Somewhere", "")],
)  # fmt: skip
def test_an_address_is_street_and_house(address: str, street: str, house: str) -> None:
    assert pidf_lo.parts_of(address) == (street, house)


def test_the_document_escapes_what_xml_would_misread() -> None:
    city = City("1", 'A & "B"', "RU", "", "", "", records_calls=False, ways=())
    place = Place("1", "<Street> & Co 1", 3, "-1000", "180000000", ("112",))
    root = ET.fromstring(pidf_lo.document('sip:"x"@y', "sip:p1@y", city, place, "2026-11-21T16:05:00Z"))  # noqa: S314 - ours
    told = {element.tag.rpartition("}")[2]: element.text for element in root.iter()}
    assert (told["A3"], told["RD"], told["HNO"], told["LOC"], told["FLR"]) == (
        'A & "B"', "<Street> & Co", "1", "entrance 3", "0",
    )  # fmt: skip
    assert told["pos"] == "-0.001000 180.000000"
