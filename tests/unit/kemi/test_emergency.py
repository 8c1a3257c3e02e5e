"""Emergency calls in the proxy: what is one, what Asterisk is told, which way is tried."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kemi_routes import (
    dialogs,
    digest,
    emergency_calls,
    emergency_table,
    headers,
    nodes,
    panel_calls,
    settings,
    story,
    trunks,
)
from kemi_routes.panel_states import PanelStates
from kemi_routes.pipeline import DONE, NEXT
from tests.unit.kemi.emergency_town import LEG, leg
from tests.unit.kemi.sip_message import Message
from tests.unit.kemi.steps import RELAY, cancelled_while, events

if TYPE_CHECKING:
    from pathlib import Path

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.emergency_town import Make
    from tests.unit.kemi.fake_ksr import FakeKsr


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
    ("account", "number", "alarms", "nodes_tried"),
    [("p10001", "101", False, (21, 22)), ("p10002", "103", False, (21, 22)), ("p77", "101", False, (24, 21, 22)),
     ("p10001", "102", True, (24, 21, 22)), ("p10001", "911", True, (24, 21, 22)),
     ("p10001", "112", True, (24, 21, 22))],
)  # fmt: skip
def test_a_call_that_moves_alarms_nobody_unless_it_is_an_emergency_call(
    known: FakeKsr, request_of: Make, account: str, number: str, nodes_tried: tuple[int, ...], *, alarms: bool
) -> None:
    """101 is an apartment behind the first panel, 103 nothing behind the second; what it is at p77 its plan tells."""
    known.emergency_node = "127.0.0.24"
    request = panel_request(known, request_of, number, account)
    assert emergency_calls.mark(known.ksr, request) is NEXT
    panel_calls.send_to_node(known.ksr, request)
    known.message.status = 503
    while not known.replies:
        panel_calls.on_failure(known.ksr, request.settings)
    assert known.relayed == [f"sip:127.0.0.{host}:5060" for host in nodes_tried]
    assert any(event["event"] == "emergency" for event in events(known)) is alarms


@pytest.mark.parametrize(
    ("kind", "number", "may"),
    [("panel", "112", True), ("app", "112", True), ("handset", "112", True), ("app", "101", False),
     ("stranger", "112", True), ("trunk", "112", False), ("concierge", "112", False)],
)  # fmt: skip
def test_who_may_call_it(known: FakeKsr, request_of: Make, kind: str, number: str, may: bool) -> None:
    request = panel_request(known, request_of, number, kind=kind)
    assert (panel_calls.check_permission(known.ksr, request) is NEXT) is may


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
    emergency_calls.on_reply(known.ksr, settings.read(known.ksr))
    for _ in range(3):
        fail(known, 500)
    given_ms = [ring_ms for ring_ms, _ in known.called("tm.t_set_fr")]
    assert given_ms == [6000, 6000, 180_000, 6000, 6000, 180_000]
    assert len(known.relayed) == 5


def test_the_last_way_has_all_the_time_it_needs_after_its_challenge_too(known: FakeKsr, request_of: Make) -> None:
    known.trunk_rows = [(*row[:3], "user", "realm", "ha1", *row[6:]) for row in known.trunk_rows]
    keeper = trunks.TrunkKeeper()
    keeper.tick(known.ksr)
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    fail(known, 407)
    for _ in range(4):
        fail(known, 500)
    fail(known, 407)
    given_ms = [ring_ms for ring_ms, _ in known.called("tm.t_set_fr")]
    assert given_ms == [6000, 6000, 6000, 6000, 6000, 180_000, 180_000]


def test_a_leg_to_the_centre_is_known_by_its_node_until_it_has_its_final_answer(
    known: FakeKsr, request_of: Make
) -> None:
    """So that it ends when the node dies: nobody would talk with the dispatcher who takes it."""
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    assert known.tables["setup"] == {"call-1": "S 127.0.0.21:5060 1"}
    fail(known, 503)
    assert known.tables["setup"], "the next way is tried"
    known.message.status = 200
    emergency_calls.on_reply(known.ksr, settings.read(known.ksr))
    assert not known.tables["setup"]
    emergency_calls.ring_centre(known.ksr, request_of(known))
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    fail(known, 603)
    assert not known.tables["setup"]


@pytest.mark.parametrize("status", [503, 407])
def test_a_call_that_is_cancelled_while_the_next_way_is_taken_blames_no_trunk(
    known: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """tm sends nothing to it, which looks as if it could not be reached; nor is that an alarm."""
    known.trunk_rows = [(*row[:3], "user", "realm", "ha1", *row[6:]) for row in known.trunk_rows]
    trunks.TrunkKeeper().tick(known.ksr)
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    cancelled_while(monkeypatch, RELAY)
    fail(known, status)
    assert list(known.tables["resting"]) == (["city-line"] if status == 503 else [])
    assert "trunk_failed" not in [name for name, _ in steps(known)]
    assert known.logs == []
    assert not known.tables["setup"]


def test_a_leg_whose_node_was_lost_tries_no_other_way(known: FakeKsr, request_of: Make) -> None:
    """The panel's call comes again through another node; a line that was silent cannot be cancelled."""
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    known.queues["lost_nodes"].append(("sip:127.0.0.21:5060", "dispatcher:dst-down"))
    nodes.NodeWatch(settings.read(known.ksr)).tick(known.ksr)
    assert known.called("tmx.t_cancel_callid") == [("call-1", "1", 0)]
    fail(known, 408, silent=True)
    assert len(known.relayed) == 1


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


@pytest.mark.parametrize("dialled", ["112", "*112*", ""])
def test_every_step_of_a_call_says_what_was_dialled(known: FakeKsr, request_of: Make, dialled: str) -> None:
    """Whichever is recorded first tells a test call from one that the dispatch centre is told of."""
    leg(known, LEG.replace("|112|", f"|{dialled}|"))
    emergency_calls.ring_centre(known.ksr, request_of(known))
    fail(known, 503)
    for status in (180, 200):
        known.message.status = status
        emergency_calls.on_reply(known.ksr, settings.read(known.ksr))
    panels_bye(known, request_of, "call-1")
    leg(known, LEG.replace("|112|", f"|{dialled}|").replace("1|", "7|", 1))
    emergency_calls.ring_centre(known.ksr, request_of(known))
    told = [json.loads(text) for _, text in known.queues[story.QUEUE]]
    assert [event["step"] for event in told] == ["dial", "way_failed", "dial", "rings", "answered", "hung_up", "no_way"]
    assert {(event["panel"], event["dialled"]) for event in told} == {("p10001", dialled or None)}


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
    assert [name for name, _ in known.message.headers] == ["CSeq"]
    assert len(known.called("textops.set_body")) == 1


def test_a_city_without_any_number_is_called_for_all_the_same(known: FakeKsr, request_of: Make, tmp_path: Path) -> None:
    city = known.views["kamailio_emergency_cities"][0]
    known.views["kamailio_emergency_cities"][0] = (*city[:3], "", "", *city[5:])
    known.views["kamailio_city_numbers"] = []
    emergency_table.EmergencyKeeper(str(tmp_path / "emergency.json"), "").tick(known.ksr)
    emergency_calls.mark(known.ksr, panel_request(known, request_of, "112"))
    assert str(known.header(headers.EMERGENCY)).startswith("1|-|-|112|")
    leg(known, "1|-|-" + LEG[LEG.index("|p10001") :])
    request = request_of(known)
    emergency_calls.ring_centre(known.ksr, request)
    assert known.relayed == ["sip:112@10.0.0.1"]
    emergency_calls.on_branch(known.ksr, request.settings)
    assert known.called("uac.uac_replace_from") == [("", "sip:anonymous@entryphone.test")]
    assert not [name for name, _ in known.message.headers if name == "P-Asserted-Identity"]


def panels_bye(fake: FakeKsr, make: Make, call_id: str) -> None:
    fake.message = Message(method="BYE", source_ip="127.0.0.21", to_tag=True, call_id=call_id)
    dialogs.pass_in_dialog(fake.ksr, make(fake))


def test_the_end_is_told_by_the_panels_leg_whoever_hangs_up_and_frees_the_panel(
    known: FakeKsr, request_of: Make
) -> None:
    """FastAGI may be dead by then."""
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    panels_bye(known, request_of, "leg of the centre")
    assert [name for name, _ in steps(known)] == ["dial"]
    for _ in range(2):
        panels_bye(known, request_of, "call-1")
    assert [name for name, _ in steps(known)] == ["dial", "hung_up"]
    assert not known.tables["talking"]
    told = [text for _, text in known.queues[story.QUEUE]]
    assert PanelStates().command(told)[2:5] == ("2", "ep:panel_call:p10001", "ep:call_over:call-1")
    assert PanelStates().command(told)[-1] == "-call-1"


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_call_to_the_centre_that_nobody_answered_is_over_as_well(
    known: FakeKsr, request_of: Make, *, cancelled: bool
) -> None:
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    nodes.keep_panel_leg(known.ksr, "call-1", nodes.PanelLeg("127.0.0.21:5060", nodes.RINGS, "0"))
    known.message = Message(call_id="call-1", status=480)
    known.results["tm.t_is_canceled"] = 1 if cancelled else -1
    panel_calls.on_failure(known.ksr, settings.read(known.ksr))
    assert [name for name, _ in steps(known)] == ["dial", "hung_up"]
    assert not known.tables["talking"]


def test_the_end_of_a_strangers_call_frees_no_panel(known: FakeKsr, request_of: Make) -> None:
    leg(known, LEG.replace("p10001", "stranger"))
    emergency_calls.ring_centre(known.ksr, request_of(known))
    panels_bye(known, request_of, "call-1")
    assert PanelStates().command([text for _, text in known.queues[story.QUEUE]])[2] == "0"
