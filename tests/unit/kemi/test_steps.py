"""Every step of the pipelines, without Kamailio."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from kemi_routes import (
    accounts,
    admission,
    checks,
    dialogs,
    digest,
    flood,
    late_ringing,
    node_life,
    panel_calls,
    registration,
    router,
    settings,
    stage_calls,
    talks,
)
from kemi_routes.pipeline import DONE, NEXT
from tests.unit.kemi.fake_ksr import Contact, FakeKsr, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request

    Make = Callable[[FakeKsr], Request]


def events(fake: FakeKsr) -> list[dict[str, object]]:
    return [event for _, value in fake.queues["story"] for event in json.loads(f"[{value}]")]


# ---- bad input ----


def test_too_long_is_513(fake: FakeKsr, request_of: Make) -> None:
    fake.message.length = 16385
    assert checks.check_size(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(513, "Message Too Large")]
    assert "call_id=call-1" in fake.logs[0]


def test_as_long_as_allowed_passes(fake: FakeKsr, request_of: Make) -> None:
    fake.message.length = 16384
    assert checks.check_size(fake.ksr, request_of(fake)) is NEXT


def test_malformed_is_answered_by_the_sanity_module_and_logged(fake: FakeKsr, request_of: Make) -> None:
    fake.message.malformed = True
    assert checks.check_form(fake.ksr, request_of(fake)) is DONE
    assert fake.called("sanity.sanity_reply")
    assert "malformed" in fake.logs[0]


def test_used_up_hops_are_483(fake: FakeKsr, request_of: Make) -> None:
    fake.message.max_forwards = 0
    assert checks.check_hops(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(483, "Too Many Hops")]


def test_foreign_private_headers_are_stripped(fake: FakeKsr, request_of: Make) -> None:
    fake.message.headers = [("x-entryphone-KIND", "panel"), ("X-Entryphone-Future", "1"), ("Subject", "s")]
    checks.strip_foreign_headers(fake.ksr, request_of(fake))
    assert fake.message.headers == [("Subject", "s")]


def test_text_that_cannot_be_read_is_stripped_all_the_same(fake: FakeKsr, request_of: Make) -> None:
    fake.message.latin1 = True
    fake.message.headers = [("X-Entryphone-Kind", "panel")]
    checks.strip_foreign_headers(fake.ksr, request_of(fake))
    assert fake.message.headers == []


def test_headers_of_asterisk_stay(fake: FakeKsr, request_of: Make) -> None:
    fake.message.source_ip = "127.0.0.21"
    fake.message.headers = [("X-Entryphone-Stage", "0")]
    checks.strip_foreign_headers(fake.ksr, request_of(fake))
    assert fake.message.headers == [("X-Entryphone-Stage", "0")]


def test_another_domain_is_404(fake: FakeKsr, request_of: Make) -> None:
    fake.message.ruri = "sip:12@example.com"
    assert checks.check_destination(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(404, "Not Here")]


def test_unserved_methods_are_405_with_allow(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "SUBSCRIBE"
    assert checks.check_method(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(405, "Method Not Allowed")]
    assert fake.reply_headers[0].startswith("Allow: INVITE")


def test_options_is_200(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "OPTIONS"
    checks.check_method(fake.ksr, request_of(fake))
    assert fake.replies == [(200, "OK")]


# ---- who is it ----


def login(fake: FakeKsr, name: str = "p1", kind: str = "panel", *, password: bool = True, enabled: int = 1) -> None:
    assert fake.database is not None
    fake.database[name] = ("ha1-of-" + name, kind, enabled)
    fake.message.auth_user = name
    fake.passwords[name] = "ha1-of-" + name if password else "another"


def test_without_credentials_comes_a_challenge_and_no_log(fake: FakeKsr, request_of: Make) -> None:
    assert digest.authenticate(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(407, "challenge")]
    assert fake.logs == []
    assert list(fake.tables["challenged"]) == [fake.message.call_id]


def test_calls_of_a_flood_are_no_unanswered_challenges(fake: FakeKsr, request_of: Make) -> None:
    limit = request_of(fake).settings.unauth_limit
    for number in range(limit + 50):
        fake.message.call_id = f"flood-{number}"
        digest.authenticate(fake.ksr, request_of(fake))
    assert len(fake.tables["challenged"]) == limit


@pytest.mark.parametrize("password", [True, False])
def test_credentials_answer_a_challenge_good_or_bad(fake: FakeKsr, request_of: Make, *, password: bool) -> None:
    digest.authenticate(fake.ksr, request_of(fake))
    login(fake, password=password)
    digest.authenticate(fake.ksr, request_of(fake))
    assert fake.tables["challenged"] == {}


def test_good_credentials_name_account_and_kind(fake: FakeKsr, request_of: Make) -> None:
    login(fake)
    request = request_of(fake)
    assert digest.authenticate(fake.ksr, request) is NEXT
    assert (request.account, request.kind) == ("p1", "panel")
    assert fake.called("auth.consume_credentials")


@pytest.mark.parametrize("case", ["wrong", "unknown", "disabled"])
def test_wrong_unknown_and_disabled_look_the_same(fake: FakeKsr, request_of: Make, case: str) -> None:
    login(fake, password=case != "wrong", enabled=int(case != "disabled"))
    if case == "unknown":
        fake.database = {}
    assert digest.authenticate(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(407, "challenge")]
    assert len(fake.called("auth.pv_auth_check")) == 1


def test_from_of_another_account_is_403(fake: FakeKsr, request_of: Make) -> None:
    login(fake)
    fake.results["auth.pv_auth_check"] = -8
    assert digest.authenticate(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(403, "Forbidden")]


@pytest.mark.parametrize("result", [-4, -6])
def test_an_old_nonce_is_no_wrong_password(fake: FakeKsr, request_of: Make, result: int) -> None:
    login(fake)
    fake.results["auth.pv_auth_check"] = result
    digest.authenticate(fake.ksr, request_of(fake))
    assert fake.called("auth.auth_challenge") == [("entryphone.test", 17)]
    assert not fake.tables["wrong"]


def test_tenth_wrong_password_bars_the_address(fake: FakeKsr, request_of: Make) -> None:
    login(fake, password=False)
    for _ in range(9):
        digest.authenticate(fake.ksr, request_of(fake))
    assert {status for status, _ in fake.replies} == {407}
    digest.authenticate(fake.ksr, request_of(fake))
    assert fake.replies[-1] == (403, "Forbidden")
    assert "address barred for 60 s" in fake.logs[-1]
    logged = len(fake.logs)
    assert flood.check_barred(fake.ksr, request_of(fake)) is DONE
    assert len(fake.logs) == logged


def test_a_success_ends_the_row_of_wrong_passwords(fake: FakeKsr, request_of: Make) -> None:
    login(fake, password=False)
    for _ in range(9):
        digest.authenticate(fake.ksr, request_of(fake))
    login(fake)
    assert digest.authenticate(fake.ksr, request_of(fake)) is NEXT
    assert not fake.tables["wrong"]


def test_emergency_calls_pass_a_bar(fake: FakeKsr, request_of: Make) -> None:
    fake.tables["barred"]["127.0.1.1"] = 1
    fake.message.ruri = "sip:112@entryphone.test"
    assert flood.check_barred(fake.ksr, request_of(fake)) is NEXT


def test_a_flood_gets_503_then_silence_and_two_lines(
    fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    fake.message.method = "REGISTER"
    for _ in range(500):
        digest.authenticate(fake.ksr, request_of(fake))
    statuses = [status for status, _ in fake.replies]
    assert statuses == [401] * 100 + [503] * 300
    assert len(fake.logs) == 2
    assert fake.reply_headers[0] == "Retry-After: 10\r\n"


def test_an_emergency_call_from_the_address_of_a_flood_is_challenged_as_ever(
    fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    for _ in range(500):
        digest.authenticate(fake.ksr, request_of(fake))
    fake.replies.clear()
    fake.message.ruri = "sip:112@entryphone.test"
    digest.authenticate(fake.ksr, request_of(fake))
    assert [status for status, _ in fake.replies] == [407]


def test_good_credentials_are_served_beside_a_flood(
    fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    for _ in range(500):
        digest.authenticate(fake.ksr, request_of(fake))
    login(fake)
    assert digest.authenticate(fake.ksr, request_of(fake)) is NEXT


def test_who_authenticates_is_never_limited(fake: FakeKsr, request_of: Make) -> None:
    for _ in range(500):
        fake.message.auth_user = None
        digest.authenticate(fake.ksr, request_of(fake))
        login(fake)
        assert digest.authenticate(fake.ksr, request_of(fake)) is NEXT
    assert {status for status, _ in fake.replies} == {407}


def test_exempt_networks_are_not_counted(fake: FakeKsr, request_of: Make) -> None:
    fake.defines["EP_EXEMPT_NETWORKS"] = "10.0.0.0/8, 127.0.1.0/24"
    for _ in range(500):
        digest.authenticate(fake.ksr, request_of(fake))
    assert {status for status, _ in fake.replies} == {407}


# ---- the cache of accounts ----


def test_with_the_database_away_a_cached_account_stays(fake: FakeKsr) -> None:
    assert fake.database is not None
    fake.database["p1"] = ("h", "panel", 1)
    found = accounts.find(fake.ksr, "p1", 300)
    fake.database = None
    assert accounts.find(fake.ksr, "p1", 300) == found
    assert accounts.find(fake.ksr, "p1", 0) == found
    with pytest.raises(accounts.DatabaseAwayError):
        accounts.find(fake.ksr, "p2", 300)


def test_away_and_not_cached_is_503_and_no_wrong_password(fake: FakeKsr, request_of: Make) -> None:
    login(fake)
    fake.database = None
    digest.authenticate(fake.ksr, request_of(fake))
    assert fake.replies == [(503, "Service Unavailable")]
    assert not fake.tables["wrong"]


def test_an_emergency_call_goes_on_although_its_account_cannot_be_read(fake: FakeKsr, request_of: Make) -> None:
    login(fake)
    fake.database = None
    fake.message.ruri = "sip:112@entryphone.test"
    request = request_of(fake)
    assert digest.authenticate(fake.ksr, request) is NEXT
    assert (request.account, request.kind) == ("p1", "panel")
    assert "unproved" in fake.logs[0]
    fake.results["auth.pv_auth_check"] = -4  # a nonce that is not fresh proves no address
    assert digest.authenticate(fake.ksr, request) is DONE
    assert fake.called("auth.auth_challenge") == [("entryphone.test", 17)]


def test_a_disabled_account_with_the_right_password_bars_nobody(fake: FakeKsr, request_of: Make) -> None:
    login(fake, enabled=0)
    for _ in range(20):
        assert digest.authenticate(fake.ksr, request_of(fake)) is DONE
    assert set(fake.replies) == {(407, "challenge")}
    assert not fake.tables["barred"]
    assert all("disabled" in line for line in fake.logs)


def test_sql_never_sees_what_is_no_account_name(fake: FakeKsr) -> None:
    assert accounts.find(fake.ksr, "x' or '1'='1", 300) is None
    assert fake.called("sqlops.sql_query") == []


def test_a_dropped_account_is_read_again(fake: FakeKsr) -> None:
    assert fake.database is not None
    assert accounts.find(fake.ksr, "p1", 300) is None
    fake.database["p1"] = ("h", "panel", 1)
    assert accounts.find(fake.ksr, "p1", 300) is None
    accounts.forget(fake.ksr, "p1")
    assert accounts.find(fake.ksr, "p1", 300) == accounts.Account("h", "panel", True)


# ---- registration ----


def test_contacts_behind_nat_are_kept_alive(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method, fake.message.natted = "REGISTER", True
    request = request_of(fake)
    request.kind = "handset"
    assert registration.save_contacts(fake.ksr, request) is DONE
    assert fake.called("setbflag") == [(6,)]
    assert fake.called("registrar.save") == [("location", 2)]
    assert len(fake.called("registrar.reg_send_reply")) == 1


def test_a_busy_database_is_asked_once_more_before_the_answer(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "REGISTER"
    request = request_of(fake)
    request.kind = "handset"
    fake.results["registrar.save"] = -1
    registration.save_contacts(fake.ksr, request)
    assert len(fake.called("registrar.save")) == 2
    assert len(fake.called("registrar.reg_send_reply")) == 1
    assert len(fake.logs) == 1


def test_a_trunk_does_not_register(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "REGISTER"
    request = request_of(fake)
    request.kind = "trunk"
    registration.save_contacts(fake.ksr, request)
    assert fake.replies == [(403, "Forbidden")]
    assert not fake.called("registrar.save")


def test_a_strangers_path_is_refused(fake: FakeKsr, request_of: Make) -> None:
    fake.message.headers = [("Path", "<sip:127.0.0.21;lr>")]
    request = request_of(fake)
    request.kind = "handset"
    registration.save_contacts(fake.ksr, request)
    assert fake.replies == [(403, "Forbidden")]


# ---- calls of panels ----


@pytest.mark.parametrize(
    "number",
    ["103", "*40719", "%2A40719", "stage", "call-back", "end-talk", "voice", "h", "i", "s", "t", "+79001234567", ""],
)
def test_a_resident_calls_no_emergency_number_but_112_no_code_and_nothing_of_asterisks_own(
    fake: FakeKsr, request_of: Make, number: str
) -> None:
    request = request_of(fake)
    request.kind, request.number = "handset", number
    assert panel_calls.check_permission(fake.ksr, request) is DONE
    assert fake.replies == [(403, "Forbidden")]
    assert not any("40719" in line for line in fake.logs)


@pytest.mark.parametrize("number", ["0", "concierge", "12", "2112", "21*12", "p10001"])
@pytest.mark.parametrize("kind", ["handset", "indoor_unit", "app", "home_gateway", "concierge"])
def test_desks_neighbours_and_panels_are_for_the_crm_to_allow(
    fake: FakeKsr, request_of: Make, kind: str, number: str
) -> None:
    request = request_of(fake)
    request.kind, request.number = kind, number
    assert panel_calls.check_permission(fake.ksr, request) is NEXT


def test_an_access_code_is_told_to_nobody(fake: FakeKsr, request_of: Make) -> None:
    request = request_of(fake)
    request.kind, request.number, request.account = "panel", "*40719", "p10001"
    panel_calls.send_to_node(fake.ksr, request)
    told = " ".join(map(str, (*fake.logs, *fake.called("mqueue.mq_add"))))
    assert "40719" not in told
    assert "access_code" in told


def test_a_panels_call_goes_to_a_node_with_its_kind(fake: FakeKsr, request_of: Make) -> None:
    request = request_of(fake)
    request.account, request.kind = "p1", "panel"
    fake.message.headers = [("Route", "<sip:evil.example;lr>")]
    panel_calls.send_to_node(fake.ksr, request)
    assert fake.relayed == ["sip:127.0.0.21:5060"]
    assert fake.message.headers == [("X-Entryphone-Kind", "panel")]
    assert events(fake)[0] | {"at_ms": 0} == {
        "event": "dialled",
        "call_id": "call-1",
        "at_ms": 0,
        "panel": "p1",
        "dialled": "12",
    }


def test_no_node_up_is_503_with_retry_after(fake: FakeKsr, request_of: Make) -> None:
    fake.nodes = []
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    assert fake.replies == [(503, "Service Unavailable")]
    assert fake.reply_headers == ["Retry-After: 2\r\n"]
    assert events(fake)[0]["event"] == "refused"


def test_a_node_that_is_down_but_was_heard_takes_calls(fake: FakeKsr, request_of: Make) -> None:
    fake.nodes = []
    node_life.Hearing().note(fake.ksr, "127.0.0.22")
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    assert fake.relayed == ["sip:127.0.0.22:5060"]


def test_an_emergency_call_tries_every_node_although_none_is_up(fake: FakeKsr, request_of: Make) -> None:
    fake.nodes = []
    fake.message.ruri = "sip:112@entryphone.test"
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    fake.message.status = 503
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert sorted(fake.relayed) == ["sip:127.0.0.21:5060", "sip:127.0.0.22:5060"]
    assert fake.replies == []
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert fake.replies == [(503, "Service Unavailable")]


@pytest.mark.parametrize(
    ("status", "rang", "logged"),
    [
        (488, False, "no common codec"),
        (404, False, "Because"),
        (404, True, ""),
        (486, False, ""),
        (480, True, ""),
    ],
)
def test_what_a_node_refuses_is_one_line(fake: FakeKsr, request_of: Make, status: int, rang: bool, logged: str) -> None:
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    if rang:
        fake.message.status = 183
        panel_calls.on_reply(fake.ksr)
    fake.message.status = status
    fake.pvs["$T_reply_reason"] = "Because"
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert len(fake.logs) == int(bool(logged))
    assert all(f"call ended by node: {status} {logged}; node=127.0.0.21:5060" in line for line in fake.logs)
    assert [event["event"] for event in events(fake)].count("refused") == int(status == 488)


def test_a_silent_node_is_passed_over(fake: FakeKsr, request_of: Make) -> None:
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    fake.message.status = 408
    fake.results = {"tm.t_branch_timeout": 1, "tm.t_branch_replied": -1}
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert fake.relayed == ["sip:127.0.0.21:5060", "sip:127.0.0.22:5060"]
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert fake.replies == [(503, "Service Unavailable")]
    assert not fake.tables["setup"]


@pytest.mark.parametrize(("status", "moved"), [(500, True), (502, True), (503, True), (486, False), (480, False)])
def test_which_failures_are_the_nodes(fake: FakeKsr, request_of: Make, status: int, moved: bool) -> None:
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    fake.message.status = status
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert (len(fake.relayed) == 2) is moved


def test_a_call_that_rang_is_not_rung_again(fake: FakeKsr, request_of: Make) -> None:
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    fake.message.status = 180
    panel_calls.on_reply(fake.ksr)
    assert sum(v for v in fake.tables["silent"].values() if isinstance(v, int)) == 0
    fake.message.status = 503
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert len(fake.relayed) == 1


def test_a_cancelled_call_is_left_alone(fake: FakeKsr, request_of: Make) -> None:
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    fake.results["tm.t_is_canceled"] = 1
    fake.message.status = 503
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert len(fake.relayed) == 1


# ---- overload ----


def test_above_the_rate_calls_are_refused_but_not_emergency_calls(
    fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.5)
    for _ in range(400):
        assert admission.check_load(fake.ksr, request_of(fake)) is NEXT
        admission.take_token(fake.ksr, request_of(fake))
    assert admission.check_load(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(503, "Overloaded")]
    assert fake.reply_headers == ["Retry-After: 2\r\n"]
    fake.message.ruri = "sip:112@entryphone.test"
    assert admission.check_load(fake.ksr, request_of(fake)) is NEXT


# ---- stages ----


def stage(fake: FakeKsr, accounts: str) -> None:
    fake.message = Message(
        ruri="sip:stage@127.0.0.10",
        source_ip="127.0.0.21",
        call_id="leg-1",
        headers=[
            ("X-Entryphone-Stage", f"1 {accounts} call-1,p1,12"),
        ],
    )


def test_a_stage_rings_every_contact_of_every_account(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h1,h2,h3")
    fake.location = {"h2": [Contact("sip:a@1", "r1"), Contact("sip:b@2", "r2")], "h3": [Contact("sip:c@3", "r3")]}
    assert stage_calls.ring_stage(fake.ksr, request_of(fake)) is DONE
    assert fake.relayed == ["sip:a@1"]
    assert [c.uri for c in fake.branches] == ["sip:b@2", "sip:c@3"]
    assert fake.message.headers == []
    told = [(e["outcome"], e["account"], e["branch"], e["contact"], e["stage"], e["call_id"]) for e in events(fake)]
    assert told == [
        ("offline", "h1", None, None, 1, "call-1"),
        ("invited", "h2", 0, "sip:a@1", 1, "call-1"),
        ("invited", "h2", 1, "sip:b@2", 1, "call-1"),
        ("invited", "h3", 2, "sip:c@3", 1, "call-1"),
    ]


def test_a_stage_that_rings_a_panel_takes_it(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "p7")
    fake.tables["emergency_places"]["p7"] = "[]"
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    told = events(fake)
    assert [event["event"] for event in told] == ["panel_called", "branch"]
    assert (told[0]["panel"], told[0]["call_id"]) == ("p7", "call-1")


def test_nobody_registered_is_480_at_once(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h1")
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    assert fake.replies == [(480, "Nobody Registered")]
    assert [e["outcome"] for e in events(fake)] == ["offline"]


@pytest.mark.parametrize("header", ["", "h1,,h2", "h1;drop", ",".join(f"h{i}" for i in range(31))])
def test_bad_accounts_are_400(fake: FakeKsr, request_of: Make, header: str) -> None:
    stage(fake, header)
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    assert fake.replies == [(400, "Bad Stage")]


def test_the_answer_tells_who_and_cannot_be_forged(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h2,h3")
    fake.location = {"h2": [Contact("sip:a@1", "r1")], "h3": [Contact("sip:c@3", "r13")]}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    fake.message.status = 200
    fake.message.headers = [("X-Entryphone-Answered-By", "h2")]
    fake.pvs["$T_reply_ruid"] = "r13"
    stage_calls.on_reply(fake.ksr)
    assert fake.message.headers == [("X-Entryphone-Answered-By", "h3")]
    told = [(event["outcome"], event["account"]) for event in events(fake)[2:]]
    assert told == [("answered", "h3"), ("cancelled", "h2")]
    stage_calls.on_reply(fake.ksr)  # the same 200 once more
    assert len(events(fake)) == 4
    assert not fake.tables["setup"]


def test_who_was_busy_is_not_told_as_cancelled(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h2,h3")
    fake.location = {"h2": [Contact("sip:a@1", "r1")], "h3": [Contact("sip:c@3", "r2")]}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    for ruid, status in (("r1", 486), ("r2", 200)):
        fake.message.status = status
        fake.pvs["$T_reply_ruid"] = ruid
        stage_calls.on_reply(fake.ksr)
    assert [event["outcome"] for event in events(fake)[2:]] == ["busy", "answered"]


def test_a_phone_that_rings_after_another_answered_tells_nothing(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h2,h3")
    fake.location = {"h2": [Contact("sip:a@1", "r1")], "h3": [Contact("sip:c@3", "r2")]}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    for ruid, status, source_ip in (("r1", 180, "127.0.2.1"), ("r1", 200, "127.0.2.1"), ("r2", 180, "127.0.2.2")):
        fake.message.status, fake.message.source_ip = status, source_ip
        fake.pvs["$T_reply_ruid"] = ruid
        if late_ringing.is_ringing(fake.ksr):
            late_ringing.keep(fake.ksr, request_of(fake).settings)
        stage_calls.on_reply(fake.ksr)
    assert [event["outcome"] for event in events(fake)[2:]] == ["ringing", "answered", "cancelled"]
    assert list(fake.tables["ringing"]) == ["leg-1 127.0.2.2 5060"]


def test_asterisk_hears_once_that_a_stage_rings(fake: FakeKsr, request_of: Make) -> None:
    stage(fake, "h2,h3,h4,h5")
    fake.location = {name: [Contact(f"sip:{name}@1", f"r-{name}")] for name in ("h2", "h3", "h4", "h5")}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    heard = []
    for name, status, body in (
        ("h2", 180, ""),
        ("h3", 180, ""),
        ("h4", 180, "v=0"),
        ("h5", 183, "v=0"),
        ("h2", 200, ""),
    ):
        fake.message.status, fake.message.body = status, body
        fake.pvs["$T_reply_ruid"] = f"r-{name}"
        stage_calls.on_reply(fake.ksr)
        heard.append(fake.message.status)
    assert heard == [180, 100, 180, 183, 200]
    told = [(event["account"], event["outcome"], event["sip_status"]) for event in events(fake) if event["sip_status"]]
    assert told[:4] == [("h2", "ringing", 180), ("h3", "ringing", 180), ("h4", "ringing", 180), ("h5", "ringing", 183)]


def test_only_ringing_of_devices_is_kept(fake: FakeKsr) -> None:
    made = router.build(fake.ksr, first=False)
    us = fake.defines["EP_SIP_ADDRESS"]
    for status, source_ip, call_id, kept in (
        (100, "127.0.2.1", "leg-1", 0),
        (200, "127.0.2.1", "leg-1", 0),
        (180, us, "leg-1", 0),
        (180, "127.0.0.21", "call-1", 0),
        (183, "127.0.2.1", "leg-1", 1),
    ):
        fake.tables["setup"] = {"call-1": "P 127.0.0.21:5060 sent 1", "leg-1": "S 127.0.0.21:5060 7"}
        fake.message = Message(status=status, source_ip=source_ip, call_id=call_id)
        made.ksr_reply_route(None)
        assert len(fake.tables["ringing"]) == kept


# ---- dialogs ----


def bye(fake: FakeKsr, request_of: Make, call_id: str = "call-1", to_user: str = "12") -> None:
    fake.message = Message(
        method="BYE", ruri="sip:x@127.0.0.21:5060", to_tag=True, call_id=call_id, from_user="p1", to_user=to_user
    )
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))


def answered(fake: FakeKsr, request_of: Make, plan_source: str) -> None:
    stage(fake, "h2")
    fake.message.headers = [("X-Entryphone-Stage", f"1 h2 call-1,p1,12 {plan_source}".strip())]
    fake.location = {"h2": [Contact("sip:a@1", "r1")]}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    fake.message.status = 200
    fake.pvs["$T_reply_ruid"] = "r1"
    stage_calls.on_reply(fake.ksr)
    stage_calls.on_reply(fake.ksr)  # its 200 once more
    fake.queues["story"].clear()


def test_a_bye_ends_an_answered_call_once(fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 10**18
    monkeypatch.setattr("kemi_routes.talks.time.time_ns", lambda: now_ns)
    answered(fake, request_of, "redis")
    now_ns += 15 * 10**8
    bye(fake, request_of, "leg-1", stage_calls.USER)
    assert events(fake) == []
    bye(fake, request_of)
    told = [(event["event"], event["call_id"], event["result"], event["talk_ms"]) for event in events(fake)]
    assert told == [("ended", "call-1", "answered", 1500)]
    assert not fake.tables["talking"]


def test_a_call_cancelled_in_the_moment_of_the_answer_never_was(fake: FakeKsr, request_of: Make) -> None:
    fake.results["tm.t_is_canceled"] = 1
    for plan_source, told in (("redis", ["caller_hung_up"]), ("", [])):
        answered(fake, request_of, plan_source)
        fake.message = Message(status=487, source_ip="127.0.0.21")
        panel_calls.on_failure(fake.ksr, settings.read(fake.ksr))
        assert [event["result"] for event in events(fake)] == told
        assert "call-1" not in fake.tables["talking"]


def bye_of_node(fake: FakeKsr, request_of: Make, call_id: str, cause: str) -> None:
    reason = ("Reason", f"Q.850;cause={cause}")
    fake.message = Message(method="BYE", source_ip="127.0.0.21", to_tag=True, call_id=call_id, headers=[reason])
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))


@pytest.mark.parametrize(("cause", "reason"), [("16", None), ("44", talks.NO_MEDIA)])
def test_a_call_whose_panel_is_silent_says_so(fake: FakeKsr, request_of: Make, cause: str, reason: str | None) -> None:
    answered(fake, request_of, "redis")
    bye_of_node(fake, request_of, "call-1", cause)
    bye_of_node(fake, request_of, "leg-1", "16")
    assert [(event["cause"], event["reason"]) for event in events(fake)] == [(int(cause), reason)]
    assert not fake.tables["talking"]


@pytest.mark.parametrize("order", [("leg-1", "call-1"), ("call-1", "leg-1")])
def test_a_call_whose_phone_is_silent_says_so_whichever_bye_is_first(
    fake: FakeKsr, request_of: Make, order: tuple[str, str]
) -> None:
    answered(fake, request_of, "redis")
    for call_id in order:
        bye_of_node(fake, request_of, call_id, "44" if call_id == "leg-1" else "16")
    told = events(fake)
    assert {event["call_id"] for event in told} == {"call-1"}
    assert [event["reason"] for event in told if event["reason"]] == [talks.NO_MEDIA]
    assert len([event for event in told if event["talk_ms"] is not None]) == 1
    assert not fake.tables["talking"]


def test_the_end_of_a_call_that_is_not_ordinary_is_left_to_fastagi(fake: FakeKsr, request_of: Make) -> None:
    answered(fake, request_of, "")
    assert not fake.tables["talking"]


def test_cancel_of_nothing_is_481(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "CANCEL"
    fake.results["tm.t_check_trans"] = -1
    dialogs.pass_cancel(fake.ksr, request_of(fake))
    assert fake.replies[0][0] == 481


def test_refer_is_405(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method, fake.message.to_tag = "REFER", True
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))
    assert fake.replies[0][0] == 405


def test_a_device_reaches_only_nodes_in_a_dialog(fake: FakeKsr, request_of: Make) -> None:
    fake.message = Message(method="BYE", ruri="sip:x@203.0.113.1", to_tag=True)
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))
    assert fake.replies[0][0] == 403
    fake.message = Message(method="BYE", ruri="sip:x@127.0.0.21:5060", to_tag=True)
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))
    assert fake.relayed == ["sip:x@127.0.0.21:5060"]


def test_a_stray_ack_is_dropped_without_an_answer(fake: FakeKsr, request_of: Make) -> None:
    fake.message = Message(method="ACK", to_tag=True)
    fake.results = {"rr.loose_route": -1, "tm.t_check_trans": -1}
    assert dialogs.pass_ack(fake.ksr, request_of(fake)) is DONE
    assert fake.relayed == []


def test_a_repeated_invite_is_absorbed(fake: FakeKsr, request_of: Make) -> None:
    fake.results["tmx.t_precheck_trans"] = 1
    assert dialogs.absorb_retransmission(fake.ksr, request_of(fake)) is DONE
