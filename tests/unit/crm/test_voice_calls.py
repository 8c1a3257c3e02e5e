"""Phones that a voice API calls: wishes are done once, webhooks are believed when signed, told once and in time."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

from crm_api.adapters.twilio_voice import PhoneCall, VoiceAccount, VoiceRefusedError
from crm_api.services.call_recording import CallRecording
from crm_api.services.voice_calls import ANSWER_PATH, EVENT_PATH, SETTLES_MS, VoiceCalls, VoiceWish, url_key
from tests.unit.crm.test_call_records import T, entry, story

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

URL = "https://door.example"
ACCOUNT = VoiceAccount("AC1", "the account's token")
TOKEN = "v" + "1" * 32
SID = "CA1"


class FakeVoiceApi:
    """Takes what it is told; a refusal, or something to do while it calls, can be ordered."""

    def __init__(self) -> None:
        self.calls: list[tuple[VoiceAccount, PhoneCall]] = []
        self.ended: list[tuple[VoiceAccount, str]] = []
        self.refusal: VoiceRefusedError | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def call(self, account: VoiceAccount, call: PhoneCall) -> str:
        self.calls.append((account, call))
        self.meanwhile()
        if self.refusal is not None:
            raise self.refusal
        return f"CA{len(self.calls)}"

    def end(self, account: VoiceAccount, sid: str) -> None:
        self.ended.append((account, sid))
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture
def api(town: Town) -> FakeVoiceApi:
    body = {
        "name": "twilio", "kind": "twilio_voice", "username": ACCOUNT.sid, "password": ACCOUNT.token,
        "routes": [{"caller_number": "+74950000001"}],
    }  # fmt: skip
    town.platform("POST", "/v1/trunks", body)
    return FakeVoiceApi()


@pytest.fixture
def calls(context: Context, api: FakeVoiceApi) -> VoiceCalls:
    return VoiceCalls(context, api, URL + "/")


def wish(clock: Clock, **changed: Any) -> VoiceWish:
    usual: dict[str, Any] = {
        "event": "call", "token": TOKEN, "at_ms": clock.now, "call_id": "c1", "stage": 1, "branch": 2, "account": "f12",
        "trunk": "twilio", "number": "+79161234567", "caller_number": "+74950000001",
    }  # fmt: skip
    return VoiceWish(**{**usual, **changed})


def told(database: CrmDatabase) -> list[str]:
    rows = database.rows("SELECT account FROM kamailio_changes WHERE account LIKE ? ORDER BY id", ("voice:%",))
    return [row[0].removeprefix(f"voice:{TOKEN} ") for row in rows]


def test_a_phone_is_called_once_and_the_proxy_is_told(
    calls: VoiceCalls, api: FakeVoiceApi, clock: Clock, database: CrmDatabase, context: Context
) -> None:
    calls.do(wish(clock))
    calls.do(wish(clock))  # the stream has given it to another worker, too
    key = url_key(context, TOKEN)
    urls = (f"{URL}{ANSWER_PATH}{key}", f"{URL}{EVENT_PATH}{key}")
    assert api.calls == [(ACCOUNT, PhoneCall("+79161234567", "+74950000001", *urls))]
    assert TOKEN not in key
    assert told(database) == ["100"]
    calls.do(wish(clock, event="end"))
    assert api.ended == [(ACCOUNT, SID)]


@pytest.mark.parametrize("status", [404, 503])
def test_a_refusal_is_told_as_a_carrier_would(
    calls: VoiceCalls, api: FakeVoiceApi, clock: Clock, database: CrmDatabase, status: int
) -> None:
    api.refusal = VoiceRefusedError("HTTP 400, code 21211", status)
    calls.do(wish(clock))
    assert told(database) == [str(status)]
    calls.do(wish(clock, event="end"))
    assert api.ended == []


def test_what_is_late_or_has_no_trunk_calls_nobody(
    calls: VoiceCalls, api: FakeVoiceApi, clock: Clock, database: CrmDatabase
) -> None:
    calls.do(wish(clock), 6000)
    calls.do(wish(clock, trunk="another"))
    calls.do(wish(clock, event="end", token="v" + "2" * 32))
    assert (api.calls, api.ended) == ([], [])
    assert told(database) == ["503"]


@pytest.mark.parametrize("apart_ms", [-60_000, 60_000])
def test_a_phone_is_called_although_the_clocks_of_two_hosts_are_apart(
    calls: VoiceCalls, api: FakeVoiceApi, clock: Clock, apart_ms: int
) -> None:
    calls.do(wish(clock, at_ms=clock.now + apart_ms))
    assert len(api.calls) == 1


def test_a_visitor_who_leaves_while_twilio_is_asked(calls: VoiceCalls, api: FakeVoiceApi, clock: Clock) -> None:
    api.meanwhile = lambda: calls.do(wish(clock, event="end"))
    calls.do(wish(clock))
    assert api.ended == [(ACCOUNT, SID)]


def test_a_visitor_who_leaves_as_the_call_is_placed(
    calls: VoiceCalls, api: FakeVoiceApi, clock: Clock, database: CrmDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PostgreSQL orders it: the call is placed between the look at it and the write that it has ended."""
    calls.do(wish(clock))
    database.rows("UPDATE voice_calls SET sid = NULL")
    row = database.row

    def looked(sql: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        found = row(sql, parameters)
        if "v.token = ?" in sql:
            assert row("UPDATE voice_calls SET sid = ? RETURNING ended_at_ms", (SID,)) == (None,)
        return found

    monkeypatch.setattr(database, "row", looked)
    calls.do(wish(clock, event="end"))
    assert api.ended == [(ACCOUNT, SID)]


def test_a_visitor_who_has_left_before_a_busy_worker_calls(
    calls: VoiceCalls, api: FakeVoiceApi, clock: Clock, database: CrmDatabase
) -> None:
    calls.do(wish(clock, event="end"))
    calls.do(wish(clock))
    assert (api.calls, api.ended) == ([], [])
    clock.now += 25 * 3600 * 1000
    calls.forget()
    assert database.row("SELECT count(*) FROM voice_ends") == (0,)


def test_an_end_that_does_not_see_the_call_yet_ends_it(
    calls: VoiceCalls, api: FakeVoiceApi, clock: Clock, database: CrmDatabase
) -> None:
    """As PostgreSQL orders it: neither of two that are written at one moment sees the other."""
    token = wish(clock).token
    api.meanwhile = lambda: database.rows("INSERT INTO voice_ends (token, at_ms) VALUES (?, ?)", (token, clock.now))
    calls.do(wish(clock))
    assert api.ended == [(ACCOUNT, SID)]


def test_a_call_that_cannot_be_ended_is_no_fault_of_ours(calls: VoiceCalls, api: FakeVoiceApi, clock: Clock) -> None:
    calls.do(wish(clock))
    api.refusal = VoiceRefusedError("away", 503)
    calls.do(wish(clock, event="end"))
    assert len(api.ended) == 1


def test_calls_of_yesterday_are_forgotten(calls: VoiceCalls, clock: Clock, database: CrmDatabase) -> None:
    calls.do(wish(clock))
    calls.forget()
    assert database.row("SELECT count(*) FROM voice_calls") == (1,)
    clock.now += 25 * 3600 * 1000
    calls.forget()
    assert database.row("SELECT count(*) FROM voice_calls") == (0,)


class Hook:
    """Posts forms as Twilio does, signed by Twilio's own library."""

    def __init__(self, town: Town, context: Context, clock: Clock) -> None:
        self._client, self._clock = town.client, clock
        self._key = url_key(context, TOKEN)

    def __call__(
        self,
        path: str = EVENT_PATH,
        *,
        signed_by: str = ACCOUNT.token,
        signed_url: str = URL,
        key: str = "",
        **changed: str,
    ) -> Any:
        fields = {
            "CallSid": SID, "AccountSid": ACCOUNT.sid, "CallStatus": "ringing",
            "Timestamp": formatdate(self._clock.now / 1000),
        } | changed  # fmt: skip
        path += key or self._key
        signature = RequestValidator(signed_by).compute_signature(signed_url + path, fields)
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
        return self._client.simulate_post(path, body=urlencode(fields), headers=headers)


@pytest.fixture
def hook(town: Town, context: Context, clock: Clock, calls: VoiceCalls) -> Hook:
    calls.do(wish(clock))
    return Hook(town, context, clock)


def test_an_answer_is_twiml_with_the_token_and_is_given_once(hook: Hook) -> None:
    answer = hook(ANSWER_PATH)
    assert answer.headers["content-type"].startswith("text/xml")
    assert f"<Sip>sip:{TOKEN}@sip.door.example:5060</Sip>" in answer.text
    assert hook(ANSWER_PATH).status_code == 409


def test_an_answer_that_comes_late_joins_nothing(hook: Hook, clock: Clock, calls: VoiceCalls, context: Context) -> None:
    clock.now += 6 * 60_000
    assert hook(ANSWER_PATH).status_code == 409
    other = VoiceWish(**{**{f: getattr(wish(clock), f) for f in VoiceWish.__struct_fields__}, "token": "v" + "3" * 32})
    calls.do(other)
    calls.do(VoiceWish("end", other.token, clock.now))
    answer = hook(ANSWER_PATH, key=url_key(context, other.token), CallSid="CA2")
    assert "<Hangup />" in answer.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"signed_by": "another token"},
        {"signed_url": "https://elsewhere.example"},
        {"key": "0" * 64},
        {"CallSid": "CA9"},
        {"CallSid": ""},
        {"AccountSid": "AC9"},
    ],
)
@pytest.mark.parametrize("path", [ANSWER_PATH, EVENT_PATH])
def test_what_is_not_signed_for_this_call_is_refused(
    hook: Hook, path: str, wrong: dict[str, Any], database: CrmDatabase
) -> None:
    answer = hook(path, **wrong)
    assert (answer.status_code, answer.json["type"]) == (403, "urn:entryphone:problem:forbidden")
    assert told(database) == ["100"]
    assert hook(path).status_code in {200, 204}


@pytest.mark.usefixtures("hook")
def test_without_a_signature_nothing_is_read(town: Town, context: Context) -> None:
    path = EVENT_PATH + url_key(context, TOKEN)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert town.client.simulate_post(path, body="CallSid=CA1&AccountSid=AC1", headers=form).status_code == 403
    assert town.client.simulate_post(path, body=b"\xff\xfe", headers=form).status_code == 422
    assert town.client.simulate_post(path, body=b"a=1&" * 300, headers=form).status_code == 422
    assert town.client.simulate_post(path, body=b"a" * 70_000, headers=form).status_code == 413


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"CallStatus": "initiated"}, []),
        ({"CallStatus": "ringing"}, ["180"]),
        ({"CallStatus": "in-progress"}, []),
        ({"CallStatus": "busy"}, ["486"]),
        ({"CallStatus": "no-answer"}, ["480"]),
        ({"CallStatus": "canceled"}, ["480"]),
        ({"CallStatus": "completed"}, ["480"]),
        ({"CallStatus": "failed"}, ["404"]),
        ({"CallStatus": "failed", "SipResponseCode": "603"}, ["603"]),
        ({"CallStatus": "failed", "SipResponseCode": "200"}, ["404"]),
        ({"CallStatus": "failed", "SipResponseCode": "x"}, ["404"]),
        ({"CallStatus": "something new"}, []),
    ],
)
def test_a_status_is_told_to_the_proxy_once(
    hook: Hook, database: CrmDatabase, fields: dict[str, str], said: list[str]
) -> None:
    assert hook(**fields).status_code == 204
    assert told(database) == ["100", *said]
    replayed = hook(**fields)
    assert (replayed.status_code, replayed.json["type"]) == (409, "urn:entryphone:problem:conflict")
    assert told(database) == ["100", *said]


@pytest.mark.parametrize("moment", ["", "yesterday", formatdate(0)])
def test_a_status_of_another_day_is_refused(hook: Hook, database: CrmDatabase, moment: str) -> None:
    assert hook(Timestamp=moment).status_code == 409
    assert told(database) == ["100"]
    assert hook().status_code == 204


def test_a_webhook_may_be_sooner_than_the_answer_to_our_own_request(
    calls: VoiceCalls, api: FakeVoiceApi, clock: Clock, town: Town, context: Context
) -> None:
    database = context.database
    early = Hook(town, context, clock)
    answers = []
    api.meanwhile = lambda: answers.append(early().status_code)
    calls.do(wish(clock))
    assert answers == [204]
    assert told(database) == ["180", "100"]


def recorded(context: Context, *phones: dict[str, Any]) -> None:
    CallRecording(context).record([entry(1, [*story("c1"), *phones])])


def test_a_phone_that_was_answered_and_never_joined_is_paid_for(
    hook: Hook, calls: VoiceCalls, clock: Clock, context: Context
) -> None:
    recorded(context)
    assert hook(CallStatus="completed", CallDuration="61").status_code == 204
    calls.count()
    query = "SELECT account, stage, branch, trunk, billed_s, connected FROM phone_legs"
    assert context.database.rows(query) == []  # its own record may still come
    clock.now += SETTLES_MS + 1
    calls.count()
    assert [(*row[:-1], bool(row[-1])) for row in context.database.rows(query)] == [("f12", 1, 2, "twilio", 120, False)]
    calls.count()
    assert len(context.database.rows(query)) == 1


@pytest.mark.parametrize("at_home", [True, False])
def test_a_phone_that_never_joined_is_paid_by_its_own_household(
    hook: Hook, calls: VoiceCalls, clock: Clock, context: Context, town: Town, *, at_home: bool
) -> None:
    """Not by the one that was called, whose plan has named a desk's phone, or that has passed the call on."""
    if at_home:
        body = {"account": "f12", "kind": "phone", "apartment_id": town.neighbour, "phone": "+79161234567"}
    else:
        body = {"account": "f12", "kind": "concierge", "company_id": town.company}
    town.platform("POST", "/v1/accounts", body)
    recorded(context)
    hook(CallStatus="completed", CallDuration="61")
    clock.now += SETTLES_MS + 1
    calls.count()
    rows = context.database.rows("SELECT company_id, apartment_id, billed_s FROM phone_legs")
    assert rows == [(town.company, town.neighbour if at_home else None, 120)]


@pytest.mark.parametrize("charged", ["", "0", "-1", "x", "999999"])
def test_nothing_charged_is_nothing_paid(
    hook: Hook, calls: VoiceCalls, clock: Clock, context: Context, charged: str
) -> None:
    recorded(context)
    assert hook(CallStatus="completed", CallDuration=charged).status_code == 204
    clock.now += SETTLES_MS + 1
    calls.count()
    assert context.database.rows("SELECT * FROM phone_legs") == []


def test_a_phone_that_has_joined_is_paid_once(hook: Hook, calls: VoiceCalls, clock: Clock, context: Context) -> None:
    joined = {
        "event": "phone", "call_id": "c1", "at_ms": T + 9000, "panel": "p1", "dialled": "12", "stage": 1, "branch": 2,
        "account": "f12", "trunk": "twilio", "phone_ms": 5000, "confirmed": None,
    }  # fmt: skip
    recorded(context, joined)
    hook(CallStatus="completed", CallDuration="61")
    clock.now += SETTLES_MS + 1
    calls.count()
    (row,) = context.database.rows("SELECT phone_ms, connected FROM phone_legs")
    assert (row[0], bool(row[1])) == (5000, True)
