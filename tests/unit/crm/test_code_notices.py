"""Residents are told their new code: awake, once by SMS, until it is taken by push."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from crm_api.adapters.messages import NotSentError, TwilioSms
from crm_api.config import SmsConfig
from crm_api.services.code_notices import KEPT_MS, RETRY_MS, SENDING_MS
from crm_api.services.timetable import Timetable
from scheduler.code_steps import TellResidents
from scheduler.jobs import make_jobs
from scheduler.work import Telling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town

NOON, NIGHT = 1_795_435_200_000, 1_795_384_800_000  # 2026-11-23 12:00 and 2026-11-22 22:00 UTC


@dataclass
class FakeMessenger:
    """Takes messages, or refuses them."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    refusal: NotSentError | None = None

    def send(self, address: str, text: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.sent.append((address, text))


@pytest.fixture
def sms(town: Town, services: Services, clock: Clock) -> FakeMessenger:
    """Two residents of one phone and one more, in a company that pays for SMS; it is noon."""
    clock.now = NOON
    for name, phone in (("Anna", "+79123456789"), ("Boris", "+79123456789"), ("Vera", "+79123456700")):
        home = {"apartment_id": town.apartment, "role": "owner"}
        body = {"company_id": town.company, "name": name, "phones": [phone], "apartments": [home]}
        town.platform("POST", "/v1/residents", body)
    services.access_code_rules.fill()
    rule = town.platform("GET", "/v1/access-code-rules")["items"][0]
    town.platform("PATCH", f"/v1/access-code-rules/{rule['id']}", {"sms": True})
    return FakeMessenger()


def tell(services: Services, sms: FakeMessenger, push: FakeMessenger | None = None) -> None:
    is_due = services.code_notices.is_any_due()
    found = services.code_notices.prepare()
    found += services.code_notices.send({"sms": sms, **({"push": push} if push else {})}, 100)
    assert is_due or not found


def test_each_phone_is_told_once(
    town: Town, services: Services, sms: FakeMessenger, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = iter("40719")  # a drawn one may by chance be part of a moment or of a telephone number
    monkeypatch.setattr("crm_api.services.code_renewal.secrets.choice", lambda _: next(scripted))
    code = town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")["code"]
    tell(services, sms)
    tell(services, sms)
    assert sorted(address for address, _ in sms.sent) == ["+79123456700", "+79123456789"]
    assert all(f"Lenina 1, entrance 1: {code}" in text for _, text in sms.sent)
    notices = town.platform("GET", "/v1/code-notices?state=sent")["items"]
    assert len(notices) == 2
    assert code not in str(notices)


def test_nobody_is_woken(town: Town, services: Services, sms: FakeMessenger, clock: Clock) -> None:
    clock.now = NIGHT
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    tell(services, sms)
    assert sms.sent == []
    clock.now = NIGHT + 11 * 3_600_000
    tell(services, sms)
    assert len(sms.sent) == 2


def test_nobody_is_woken_whose_house_is_where_it_is_night(
    town: Town, services: Services, sms: FakeMessenger, clock: Clock
) -> None:
    """Noon where the company is, and midnight in Kamchatka."""
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    city = town.platform("POST", "/v1/cities", {"name": "Harbour", "time_zone": "Asia/Kamchatka"})["id"]
    town.platform("PATCH", f"/v1/houses/{town.house}", {"city_id": city})
    tell(services, sms)
    assert town.platform("GET", "/v1/code-notices")["items"] == []
    clock.now = NOON + 9 * 3_600_000  # 21:00 where the company is
    tell(services, sms)
    assert len(sms.sent) == 2


def test_a_message_that_was_not_taken_waits_for_the_morning_of_the_house(
    town: Town, services: Services, sms: FakeMessenger, clock: Clock
) -> None:
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    services.code_notices.prepare()
    city = town.platform("POST", "/v1/cities", {"name": "Harbour", "time_zone": "Asia/Kamchatka"})["id"]
    town.platform("PATCH", f"/v1/houses/{town.house}", {"city_id": city})
    tell(services, sms)
    assert sms.sent == []
    clock.now = NOON + 9 * 3_600_000
    tell(services, sms)
    assert len(sms.sent) == 2


def test_who_was_not_reached_in_the_evening_is_told_in_the_morning(
    town: Town, services: Services, sms: FakeMessenger, clock: Clock
) -> None:
    clock.now = NOON + 8 * 3_600_000 - 30_000  # half a minute before people are left alone
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    sms.refusal = NotSentError("busy", final=False)
    tell(services, sms)
    sms.refusal = None
    for _ in range(12):
        clock.now += 3_600_000
        tell(services, sms)
        assert sms.sent == [], "it is night"
    assert {n["tries"] for n in town.platform("GET", "/v1/code-notices")["items"]} == {1}
    clock.now = NOON + 21 * 3_600_000
    tell(services, sms)
    assert len(sms.sent) == 2


def test_many_messages_do_not_last_into_the_night(
    town: Town, services: Services, sms: FakeMessenger, clock: Clock
) -> None:
    clock.now = NOON + 8 * 3_600_000 - 30_000

    def slowly(address: str, text: str) -> None:
        FakeMessenger.send(sms, address, text)
        clock.now += 60_000

    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    services.code_notices.prepare()
    slow = FakeMessenger()
    slow.send = slowly  # type: ignore[method-assign]
    services.code_notices.send({"sms": slow}, 100)
    assert len(sms.sent) == 1
    clock.now = NOON + 21 * 3_600_000
    tell(services, sms)
    assert len(sms.sent) == 2


def test_messages_go_out_beside_one_another(town: Town, services: Services, sms: FakeMessenger) -> None:
    del sms
    together = threading.Barrier(2)

    class Slow(FakeMessenger):
        def send(self, address: str, text: str) -> None:
            together.wait(60)  # one after the other they would never meet
            super().send(address, text)

    slow = Slow()
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    TellResidents(services.code_notices, {"sms": slow}).step(threading.Event())
    assert len(slow.sent) == 2
    assert {n["state"] for n in town.platform("GET", "/v1/code-notices")["items"]} == {"sent"}


def test_an_app_is_told_by_push(town: Town, services: Services, sms: FakeMessenger) -> None:
    token = {"account": "a12", "device": "d1", "platform": "fcm", "token": "token-of-an-app"}
    town.platform("POST", "/v1/push-tokens", token)
    push = FakeMessenger()
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    tell(services, sms, push)
    assert [address for address, _ in push.sent] == ["a12"]


def test_a_guest_is_told_no_code_after_his_time(
    town: Town, services: Services, sms: FakeMessenger, clock: Clock
) -> None:
    ends_at_ms = clock.now + 60_000
    home = {"apartment_id": town.apartment, "role": "guest", "ends_at_ms": ends_at_ms}
    guest = town.platform("POST", "/v1/residents", {"name": "Gleb", "apartments": [home]})
    account = {"account": "aguest", "kind": "app", "apartment_id": town.apartment, "resident_id": guest["id"]}
    town.platform("POST", "/v1/accounts", account)
    token = {"account": "aguest", "device": "d1", "platform": "fcm", "token": "token-of-a-guest"}
    town.platform("POST", "/v1/push-tokens", token)
    for expected in (["aguest"], []):
        push = FakeMessenger()
        town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
        tell(services, sms, push)
        assert [address for address, _ in push.sent] == expected
        clock.now = ends_at_ms


def test_what_was_not_taken_is_tried_again_and_what_is_refused_for_good_is_not(
    town: Town, services: Services, sms: FakeMessenger, clock: Clock
) -> None:
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    sms.refusal = NotSentError("busy", final=False)
    tell(services, sms)
    assert {n["state"] for n in town.platform("GET", "/v1/code-notices")["items"]} == {"waiting"}
    sms.refusal = NotSentError("no such number", final=True)
    clock.now += 120_000
    tell(services, sms)
    notices = town.platform("GET", "/v1/code-notices")["items"]
    assert {(n["state"], n["last_error"]) for n in notices} == {("failed", "no such number")}


def test_an_sms_whose_sender_died_is_not_sent_twice(
    town: Town, services: Services, sms: FakeMessenger, clock: Clock
) -> None:
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    services.code_notices.prepare()
    services.code_notices.database.rows("UPDATE code_notices SET state = 'sending', next_try_ms = ?", (clock.now,))
    clock.now += 3_600_000
    tell(services, sms)
    assert sms.sent == []
    assert {n["state"] for n in town.platform("GET", "/v1/code-notices")["items"]} == {"failed"}


def test_telling_residents_is_due_when_a_code_or_a_message_is(
    town: Town, services: Services, sms: FakeMessenger, clock: Clock
) -> None:
    telling = TellResidents(services.code_notices, {"sms": sms})
    assert not telling.is_due()
    clock.now = NIGHT
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    assert not telling.is_due(), "people sleep"
    clock.now = NOON
    assert telling.is_due()
    sms.refusal = NotSentError("busy", final=False)
    telling.step(threading.Event())
    assert not telling.is_due(), "the service is busy"
    clock.now += RETRY_MS
    assert telling.is_due()
    sms.refusal = None
    telling.step(threading.Event())
    assert len(sms.sent) == 2
    services.code_notices.database.rows("UPDATE code_notices SET state = 'sending', next_try_ms = ?", (clock.now,))
    assert not telling.is_due(), "somebody sends them"
    clock.now += SENDING_MS + 1
    assert telling.is_due(), "he was lost"


def test_a_code_that_is_out_of_date_is_not_told(town: Town, services: Services, sms: FakeMessenger) -> None:
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    services.code_notices.prepare()
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    services.code_notices.send({"sms": sms}, 100)
    assert sms.sent == []


# --- Twilio ---------------------------------------------------------------------------------------------------------


@dataclass
class FakeTwilio:
    """The messages resource of Twilio's REST API."""

    status: int = 201
    requests: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def twilio() -> Iterator[FakeTwilio]:
    fake = FakeTwilio()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            fake.requests.append((self.path, parse_qs(form)))
            error = {"code": 21211, "message": "not a phone number", "status": fake.status}
            body = json.dumps({"sid": "SM1"} if fake.status == 201 else error).encode()
            self.send_response(fake.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


def made(fake: FakeTwilio) -> TwilioSms:
    sid = "AC" + "0" * 32
    return TwilioSms(SmsConfig(account_sid=sid, auth_token="t" * 32, from_number="+15550001111", api_url=fake.url))


def test_an_sms_by_twilio(twilio: FakeTwilio) -> None:
    made(twilio).send("+79123456789", "New code")
    path, form = twilio.requests[0]
    assert path.endswith("/Messages.json")
    assert form == {"To": ["+79123456789"], "From": ["+15550001111"], "Body": ["New code"]}


@pytest.mark.parametrize(("status", "final"), [(400, True), (429, False), (500, False)])
def test_what_twilio_refuses(twilio: FakeTwilio, status: int, final: bool) -> None:
    twilio.status = status
    with pytest.raises(NotSentError, match=str(status)) as refused:
        made(twilio).send("+1", "x")
    assert refused.value.final is final


def test_who_was_told_is_forgotten_after_a_while(
    town: Town, services: Services, sms: FakeMessenger, clock: Clock
) -> None:
    context = services.jobs.context
    Timetable(context).fill()
    (job,) = town.platform("GET", "/v1/scheduled-jobs?kind=clean_up")["items"]

    def clean_up() -> int:
        town.platform("POST", f"/v1/scheduled-jobs/{job['id']}/start")
        run = services.job_runs.take("here")
        assert run is not None
        result = make_jobs(context, None)["clean_up"](Telling(run, services.job_runs, threading.Event()))
        services.job_runs.end(run, result)
        removed: int = result["code_notices_removed"]
        return removed

    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    tell(services, sms)
    clock.now += KEPT_MS - 1000
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    services.code_notices.prepare()
    assert clean_up() == 0
    clock.now += 2000
    assert clean_up() == 2
    assert {notice["state"] for notice in town.platform("GET", "/v1/code-notices")["items"]} == {"waiting"}
