"""Who is it: digest, wrong passwords, floods, and the cache of accounts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from kemi_routes import accounts, database, digest, flood
from kemi_routes.pipeline import DONE, NEXT
from tests.unit.kemi.steps import login

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted within a window of seconds is counted in one, however slow the machine is."""
    now_s = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now_s)


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


@pytest.mark.parametrize(
    ("method", "user"), [("INVITE", "from_user"), ("REGISTER", "to_user"), ("MESSAGE", "from_user")]
)
def test_the_name_looked_up_is_the_one_that_was_proved(fake: FakeKsr, request_of: Make, method: str, user: str) -> None:
    """With two credentials in one request the auth module checks the second, under the first one's password."""
    login(fake)
    fake.message.method = method
    setattr(fake.message, user, "victim")
    request = request_of(fake)
    assert digest.authenticate(fake.ksr, request) is DONE
    assert fake.replies == [(403, "Forbidden")]
    assert request.account == ""


@pytest.mark.parametrize("case", ["wrong", "unknown", "disabled"])
def test_wrong_unknown_and_disabled_look_the_same(fake: FakeKsr, request_of: Make, case: str) -> None:
    login(fake, password=case != "wrong", enabled=int(case != "disabled"))
    if case == "unknown":
        fake.database = {}
    for checks in (2, 1):  # at first the database is asked, then it is known
        fake.calls.clear()
        assert digest.authenticate(fake.ksr, request_of(fake)) is DONE
        assert fake.replies.pop() == (407, "challenge")
        assert len(fake.called("auth.pv_auth_check")) == checks
        assert len(fake.called("sqlops.sql_query")) == checks - 1


@pytest.mark.parametrize(("result", "flags"), [(-4, 17), (-6, 17), (-5, 1), (-1, 17)])
@pytest.mark.parametrize("there", [True, False])
def test_a_nonce_that_is_not_ours_or_not_fresh_asks_no_database(
    fake: FakeKsr, request_of: Make, result: int, flags: int, *, there: bool
) -> None:
    login(fake)
    if not there:
        fake.database = {}
    fake.results["auth.pv_auth_check"] = result
    for number in range(3):
        if not there:
            fake.message.auth_user = f"name-{number}"
        assert digest.authenticate(fake.ksr, request_of(fake)) is DONE
    assert fake.called("sqlops.sql_query") == []
    assert fake.called("auth.auth_challenge") == [("entryphone.test", flags)] * 3
    assert not fake.tables["wrong"], "whoever bars an address has to receive there"


def test_an_account_that_was_read_long_ago_is_read_again(
    fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    login(fake)
    assert digest.authenticate(fake.ksr, request_of(fake)) is NEXT
    assert fake.database is not None
    fake.database["p1"] = ("ha1-of-p1", "app", 1)
    request = request_of(fake)
    later_s = time.monotonic() + request.settings.account_fresh_s
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    assert digest.authenticate(fake.ksr, request) is NEXT
    assert request.kind == "app"


def test_from_of_another_account_is_403(fake: FakeKsr, request_of: Make) -> None:
    login(fake)
    fake.results["auth.pv_auth_check"] = -8
    assert digest.authenticate(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(403, "Forbidden")]


@pytest.mark.parametrize("result", [-1, -4, -6])
def test_an_old_nonce_is_no_wrong_password(fake: FakeKsr, request_of: Make, result: int) -> None:
    login(fake)
    fake.results["auth.pv_auth_check"] = result
    digest.authenticate(fake.ksr, request_of(fake))
    assert fake.called("auth.auth_challenge") == [("entryphone.test", 17)]
    assert not fake.tables["wrong"]


_ELSEWHERE = 'Digest username="p1", realm="elsewhere", nonce="x", uri="sip:12@entryphone.test", response="0"'
_OURS = 'Digest uri="sip:{}@entryphone.test", x="realm=\\"elsewhere\\"", Realm = "Entryphone.test", username="p1"'


@pytest.mark.parametrize(
    ("uri", "passes"),
    [
        ("sip:12@entryphone.test", True),
        ("sip:12@127.0.0.10:5060;transport=udp", True),
        ("sips:12:secret@entryphone.test", True),
        ("sip:1%32@entryphone.test", True),
        ("sip:entryphone.test", True),
        ("sip:127.0.0.10:5060", True),
        ("/", True),
        ("sip:13@entryphone.test", False),
        ("sip:12;x=y@entryphone.test", False),
        ("sip:@entryphone.test:12@x", False),
    ],
)
@pytest.mark.parametrize("first", ["ours", "another"])
def test_credentials_of_a_call_to_another_number_are_challenged(
    fake: FakeKsr, request_of: Make, uri: str, *, passes: bool, first: str
) -> None:
    login(fake)
    fake.message.auth_uri = uri
    if first == "another":
        fake.message.auth_uri, fake.message.auth_realm = "sip:12@entryphone.test", "elsewhere"
        ours = _OURS.format("12").replace("sip:12@entryphone.test", uri)
        fake.message.headers = [("Proxy-Authorization", _ELSEWHERE), ("Proxy-Authorization", ours)]
    request = request_of(fake)
    assert digest.authenticate(fake.ksr, request) is (NEXT if passes else DONE)
    assert request.account == ("p1" if passes else "")
    assert fake.called("auth.auth_challenge") == ([] if passes else [("entryphone.test", 17)])
    assert not fake.tables["wrong"]
    assert passes or "of a call to another number" in fake.logs[0]


@pytest.mark.parametrize(
    ("realm", "header"),
    [
        ("ENTRYPHONE.Test", ""),
        ("elsewhere", 'Digest realm="entryphone.test", uri="sip:12@a", x="\\", uri="sip:13@a"'),
        ("elsewhere", 'Digest x="realm="y", realm=EntryPhone.test , uri="sip:13@a"x="y'),
        ("elsewhere", 'Digest realm="entryphone.test", uri="sip:13@a", x, uri="sip:12@a"'),
    ],
)
def test_which_number_overheard_credentials_are_of_is_read_as_the_proxy_reads_it(
    fake: FakeKsr, request_of: Make, realm: str, header: str
) -> None:
    login(fake)
    fake.message.auth_realm, fake.message.auth_uri = realm, "sip:13@a" if not header else "sip:12@a"
    fake.message.headers = [("Proxy-Authorization", header)] if header else []
    assert digest.authenticate(fake.ksr, request_of(fake)) is DONE
    assert "of a call to another number" in fake.logs[0]


def test_long_credentials_are_read_quickly() -> None:
    began_s = time.process_time()
    assert digest._parameters("Digest " + "a" * 14_000) == {}
    assert len(digest._parameters("Digest " + "a=,b " * 3_000)) == 2
    assert time.process_time() - began_s < 0.1


@pytest.mark.parametrize("whose", ["emergency", "registration", "our network"])
def test_credentials_of_another_request_are_good_for(fake: FakeKsr, request_of: Make, whose: str) -> None:
    login(fake)
    fake.message.auth_uri = "sip:13@entryphone.test"
    if whose == "emergency":
        fake.message.ruri = "sip:112@entryphone.test"
    elif whose == "registration":
        fake.message.method = "REGISTER"
    else:
        fake.defines["EP_EXEMPT_NETWORKS"] = "127.0.1.0/24"
    assert digest.authenticate(fake.ksr, request_of(fake)) is NEXT


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
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
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
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    for _ in range(500):
        digest.authenticate(fake.ksr, request_of(fake))
    fake.replies.clear()
    fake.message.ruri = "sip:112@entryphone.test"
    digest.authenticate(fake.ksr, request_of(fake))
    assert [status for status, _ in fake.replies] == [407]


def test_good_credentials_are_served_beside_a_flood(
    fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
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


def test_an_account_that_was_dropped_while_it_was_read_is_not_cached(
    fake: FakeKsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that takes seconds has read the row before its password was changed."""
    assert fake.database is not None
    fake.database["p1"] = ("old", "panel", 1)
    answers = database.rows_for_worker

    def slow(*arguments: Any) -> list[tuple[str, ...]] | None:
        rows = answers(*arguments)
        for _ in range(2):
            accounts.forget(fake.ksr, "p1")
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(database, "rows_for_worker", slow)
        accounts.find(fake.ksr, "p1", 300)
    fake.database["p1"] = ("new", "panel", 1)
    assert accounts.find(fake.ksr, "p1", 300) == accounts.Account("new", "panel", True)
    fake.database["p1"] = ("newer", "panel", 1)
    assert accounts.find(fake.ksr, "p1", 300) == accounts.Account("new", "panel", True), "cached again"


def test_a_dropped_account_is_read_again(fake: FakeKsr) -> None:
    assert fake.database is not None
    assert accounts.find(fake.ksr, "p1", 300) is None
    fake.database["p1"] = ("h", "panel", 1)
    assert accounts.find(fake.ksr, "p1", 300) is None
    accounts.forget(fake.ksr, "p1")
    assert accounts.find(fake.ksr, "p1", 300) == accounts.Account("h", "panel", True)
