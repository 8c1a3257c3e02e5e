"""What the steps of emergency calls leave: records, ends of leases, messages; sent, tried again, given up."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import peewee
import pytest

from crm_api.adapters.customer_posts import networks_of
from crm_api.adapters.notice_senders import MailSender, SendError, SmsSender, WebhookSender, text_of
from crm_api.domain.call_record import Event
from crm_api.emergency import worker
from crm_api.services.call_recording import CallRecording
from crm_api.services.emergency_checks import EmergencyChecks
from crm_api.services.emergency_recording import EmergencyRecording
from crm_api.services.emergency_tests import EmergencyTests
from crm_api.services.notice_delivery import TAKEN_FOR_MS, NoticeDelivery
from crm_api.services.number_leases import Leasing
from tests.unit.crm.test_emergency import centre, city_of, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.adapters.notice_senders import NoticeSender
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

AT_MS = 1_790_000_000_000


def step(name: str, at_ms: int, **more: Any) -> dict[str, Any]:
    return {"event": "emergency", "call_id": "c1", "at_ms": AT_MS + at_ms, "step": name, **more}


OUT = [
    step("number", 5, panel="p1", dialled="112", number="+74951110001", number_source="leased", detail="leased, crm",
         started_at_ms=AT_MS),
    step("dial", 7, panel="p1", number="+74951110001", detail="city-line 112"),
    step("rings", 40, panel="p1", number="+74951110001", detail="city-line 180"),
    step("answered", 900, panel="p1", number="+74951110001", detail="city-line 112"),
    step("ended", 5000, panel="p1", dialled="112", result="answered", direction="out", talk_ms=4100, detail="x"),
]  # fmt: skip


def told(context: Context, *events: dict[str, Any]) -> None:
    CallRecording(context).record([("1-1", json.dumps(list(events)).encode())])


def calls(town: Town) -> list[dict[str, Any]]:
    return list(town.platform("GET", "/v1/emergency-calls")["items"])


def test_the_steps_become_one_record_in_any_order_and_any_number_of_times(
    town: Town, database: CrmDatabase, context: Context
) -> None:
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c1"})
    for event in (OUT[3], OUT[1], OUT[4], OUT[0], OUT[2], *OUT):
        told(context, event)
    (call,) = calls(town)
    assert [s["step"] for s in call["steps"]] == ["number", "dial", "rings", "answered", "ended"]
    assert (call["started_at_ms"], call["answered_at_ms"], call["ended_at_ms"]) == (AT_MS, AT_MS + 900, AT_MS + 5000)
    assert (call["panel"], call["company_id"], call["city_id"], call["result"], call["route"]) == (
        "p1", town.company, city_of(database), "answered", "city-line 112",
    )  # fmt: skip
    (row,) = town.platform("GET", "/v1/city-numbers")["items"]
    assert (row["status"], row["held_until_ms"]) == ("kept", AT_MS + 5000 + 86_400_000)


def test_a_call_that_nobody_could_lease_for_is_recorded_with_the_shared_number(
    town: Town, database: CrmDatabase, context: Context
) -> None:
    number(town, database, "+74951119999", shared=True)
    late = step("number", 5, panel="p1", dialled="112", number="+74951119999", number_source="shared",
                detail="shared, told by nobody")  # fmt: skip
    told(context, late)
    told(context, late)
    told(context, step("ended", 700, panel="p1", result="answered", direction="out", detail="x"))
    (lease,) = town.platform("GET", "/v1/number-leases")["items"]
    assert (lease["panel"], lease["number"], lease["end_reason"], lease["ended_at_ms"]) == (
        "p1", "+74951119999", "shared", AT_MS + 700,
    )  # fmt: skip


def test_without_fastagi_kamailios_steps_are_a_record_all_the_same(town: Town, context: Context) -> None:
    told(context, OUT[1], OUT[3])
    (call,) = calls(town)
    assert (call["panel"], call["number"], call["result"], call["ended_at_ms"]) == (
        "p1", "+74951110001", "answered", None,
    )  # fmt: skip
    told(context, step("hung_up", 4000, panel="p1", detail="x"))
    (call,) = calls(town)
    assert (call["result"], call["ended_at_ms"]) == ("answered", AT_MS + 4000)


def test_without_fastagi_the_use_of_the_shared_number_is_in_the_history_once(
    town: Town, database: CrmDatabase, context: Context
) -> None:
    number(town, database, "+74951119999", shared=True)
    dial = step("dial", 7, panel="p1", number="+74951119999", detail="city-line 112")
    told(context, dial, {**dial, "at_ms": AT_MS + 1600, "detail": "second-line 112"})
    told(context, step("hung_up", 700, panel="p1", detail="x"))
    (lease,) = town.platform("GET", "/v1/number-leases")["items"]
    assert (lease["panel"], lease["call_id"], lease["end_reason"], lease["ended_at_ms"]) == (
        "p1", "c1", "shared", AT_MS + 700,
    )  # fmt: skip


def test_a_number_is_kept_from_the_first_end_that_is_told(town: Town, database: CrmDatabase, context: Context) -> None:
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c1"})
    told(context, *OUT[:4], step("hung_up", 4990, panel="p1", detail="x"))
    for _ in range(2):
        (row,) = town.platform("GET", "/v1/city-numbers")["items"]
        assert (row["status"], row["held_until_ms"]) == ("kept", AT_MS + 4990 + 86_400_000)
        told(context, OUT[4])
    (call,) = calls(town)
    assert (call["ended_at_ms"], call["result"]) == (AT_MS + 4990, "answered")


@pytest.mark.parametrize("told_by", ["redis", "last_known"])
def test_a_number_that_its_panel_used_without_the_crm_is_kept_after_that_call(
    town: Town, database: CrmDatabase, context: Context, clock: Clock, told_by: str
) -> None:
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c0"})
    Leasing(context).ended("c0", clock.now)
    again_ms = clock.now + 86_000_000  # some minutes before it would be free
    used = {"event": "emergency", "call_id": "c1", "panel": "p1", "number": "+74951110001"}
    first = {**used, "at_ms": again_ms, "step": "number", "detail": f"leased, told by {told_by}"}
    told(context, first)
    told(context, first)
    (row,) = town.platform("GET", "/v1/city-numbers")["items"]
    assert (row["status"], row["panel"]) == ("in_call", "p1")
    told(context, {**used, "at_ms": again_ms + 60_000, "step": "ended", "direction": "out", "detail": "x"})
    clock.now = again_ms + 3_600_000  # the CRM is back
    Leasing(context).expire()
    (row,) = town.platform("GET", "/v1/city-numbers")["items"]
    assert (row["status"], row["held_until_ms"]) == ("kept", again_ms + 60_000 + 86_400_000)
    (lease,) = town.platform("GET", "/v1/number-leases")["items"]
    assert (lease["calls"], lease["call_id"], lease["ended_at_ms"]) == (2, "c1", None)


def test_a_number_that_its_panel_does_not_hold_any_more_is_not_given_to_it_by_a_late_step(
    town: Town, database: CrmDatabase, context: Context, clock: Clock
) -> None:
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p2", "call_id": "c0"})
    late = {"event": "emergency", "call_id": "c1", "panel": "p1", "number": "+74951110001", "step": "number"}
    before = town.platform("GET", "/v1/city-numbers")["items"]
    told(context, {**late, "at_ms": clock.now + 5, "detail": "leased, told by redis"})
    assert town.platform("GET", "/v1/city-numbers")["items"] == before
    assert before[0]["panel"] == "p2"


class Web(BaseHTTPRequestHandler):
    """Takes what comes; says 500 to everything under /broken, Twilio's words under its own addresses."""

    got: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, dict(self.headers), body))
        told = json.dumps({"sid": "SM1"}).encode()
        self.send_response(500 if self.path.startswith("/broken") else 201 if "Messages" in self.path else 200)
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    got: list[tuple[str, dict[str, str], bytes]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Here", (Web,), {"got": got}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join(5)
    server.server_close()


def test_centre_and_company_are_told_at_once_with_address_map_and_entrance_code(
    town: Town, database: CrmDatabase, context: Context, clock: Clock, web: Any
) -> None:
    url, got = web
    centre(town, database, webhook_url=f"{url}/centre", webhook_secret="a secret of sixteen", sms_number="+79123456789")
    rules = {"webhook_url": f"{url}/broken"}
    town.platform("PUT", f"/v1/companies/{town.company}/emergency-rules", rules)
    town.platform("PATCH", f"/v1/houses/{town.house}", {"latitude": 55.5, "longitude": 37.25})
    code = town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance})["code"]
    told(context, OUT[1])
    told(context, *OUT)
    senders: dict[str, NoticeSender] = {
        "webhook": WebhookSender(networks_of(["127.0.0.0/8"])),
        "sms": SmsSender("AC" + "1" * 32, "t" * 20, "+74951110000", url),
    }
    delivery = NoticeDelivery(context, senders)
    assert delivery.deliver() == 2
    sent = {path: (headers, body) for path, headers, body in got}
    headers, body = sent["/centre"]
    told_at, signed = (part.partition("=")[2] for part in headers["Entryphone-Signature"].split(","))
    assert signed == hmac.new(b"a secret of sixteen", told_at.encode() + b"." + body, hashlib.sha256).hexdigest()
    document = json.loads(body)
    assert (document["event"], document["address"], document["entrance"], document["city"]) == (
        "emergency_call", "Lenina 1", 1, "Riverside",
    )  # fmt: skip
    assert (document["entrance_code"], document["latitude"], document["longitude"]) == (code, 55.5, 37.25)
    assert "mlat=55.5&mlon=37.25" in document["map"]
    assert "Entryphone-Signature" not in sent["/broken"][0]
    assert "entrance_code" not in json.loads(sent["/broken"][1])
    assert b"Lenina+1" in next(body for path, _, body in got if "Messages" in path)
    shown = town.platform("GET", "/v1/emergency-notices")["items"]
    assert {(n["channel"], n["sent_at_ms"] is not None) for n in shown} == {
        ("webhook", True), ("webhook", False), ("sms", True),
    }  # fmt: skip
    failed = next(n for n in shown if n["sent_at_ms"] is None)
    assert failed["last_error"].endswith("HTTP 500")
    assert delivery.deliver() == 0
    assert len(got) == 3, "not at once again"
    clock.now += 3_000
    delivery.deliver()
    assert len(got) == 4
    clock.now += 25 * 3_600_000
    delivery.deliver()
    clock.now += 3_600_000
    delivery.deliver()
    assert town.platform("GET", "/v1/emergency-notices")["items"][-1]["given_up_at_ms"] or len(got) == 5
    assert code not in str(shown)
    assert code not in str(database.rows("SELECT body FROM emergency_notices")), "codes are kept encrypted"


def test_receivers_of_one_address_are_sent_what_is_signed_with_their_own_secret(
    town: Town, database: CrmDatabase, context: Context
) -> None:
    """A company cannot have its messages signed as another's, nor have another's signed with its secret."""
    posted: list[tuple[str, str | None]] = []

    class Sender:
        def send(self, destination: str, body: dict[str, Any], secret: str | None) -> None:
            assert body["event"] == "emergency_call"
            posted.append((destination, secret))

    url = "https://112.example/hook"
    other_city = town.platform("POST", "/v1/cities", {"name": "Lakeside"})["id"]
    centre(town, database, city_id=other_city, webhook_url=url, webhook_secret="secret of another city")
    other = town.platform("POST", "/v1/companies", {"name": "Other", "city_id": other_city})["id"]
    for company, secret in ((other, "secret of another company"), (town.company, "secret of our company")):
        rules = {"webhook_url": url, "webhook_secret": secret}
        town.platform("PUT", f"/v1/companies/{company}/emergency-rules", rules)
    told(context, OUT[1])
    assert NoticeDelivery(context, {"webhook": Sender()}).deliver() == 1
    assert posted == [(url, "secret of our company")]


def test_what_two_processes_find_at_one_moment_is_sent_by_one(
    town: Town, database: CrmDatabase, context: Context, clock: Clock
) -> None:
    centre(town, database, webhook_url="https://112.example/hook")
    told(context, OUT[1])
    sent: list[str] = []

    class Sender:
        """While it sends, the other process looks as well; then this one dies."""

        def send(self, destination: str, _body: dict[str, Any], _secret: str | None) -> None:
            sent.append(destination)
            try:
                assert NoticeDelivery(context, {"webhook": self}).deliver() == 0
            finally:
                context.database.forget_connection()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        NoticeDelivery(context, {"webhook": Sender()}).deliver()
    assert len(sent) == 1
    clock.now += TAKEN_FOR_MS
    with pytest.raises(KeyboardInterrupt):
        NoticeDelivery(context, {"webhook": Sender()}).deliver()
    assert len(sent) == 2, "what a dead process had taken is sent by the next"


def test_a_test_call_is_placed_by_one_of_several_processes(town: Town, context: Context) -> None:
    town.platform("POST", "/v1/emergency-test-calls", {"panel": "p1"})
    together = threading.Barrier(4)

    def take(_: int) -> bool:
        try:
            together.wait(60)
            return EmergencyTests(context).take() is not None
        finally:
            context.database.forget_connection()

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(take, range(4))) == 1


def test_steps_that_are_told_at_one_moment_are_all_kept(town: Town, context: Context) -> None:
    """The worker of test calls and that of call events write one record, and the desks' pushes mark it."""
    call = town.platform("POST", "/v1/emergency-test-calls", {"panel": "p1"})
    tests, recording = EmergencyTests(context), EmergencyRecording(context)
    together = threading.Barrier(4)

    def note(teller: int) -> None:
        try:
            together.wait(60)
            for number in range(10):
                if teller % 2:
                    tests._note(call["call_id"], f"told {teller} {number}", "")
                    continue
                told = Event("emergency", call["call_id"], AT_MS, panel="p1", step=f"told {teller} {number}", detail="")
                with context.database.transaction():
                    recording.write([told])
        finally:
            context.database.forget_connection()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(note, range(4))) == [None] * 4
    (kept,) = calls(town)
    assert len(kept["steps"]) == 1 + 40


def test_a_test_call_that_rings_for_long_keeps_no_notice_waiting(
    town: Town, database: CrmDatabase, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = threading.Event()
    rings, was_sent = threading.Event(), []

    class Sender:
        def send(self, _destination: str, _body: dict[str, Any], _secret: str | None) -> None:
            sent.set()

    def ring(*_: Any) -> None:
        rings.set()
        was_sent.append(sent.wait(60))

    monkeypatch.setattr(EmergencyTests, "place_one", ring)
    town.platform("POST", "/v1/emergency-test-calls", {"panel": "p1"})
    centre(town, database, email="duty@112.example")
    work = worker(context, {"email": Sender()}, None)
    work()
    assert rings.wait(60)
    told(context, OUT[1])
    work()
    assert sent.is_set()
    deadline_s = time.monotonic() + 60
    while not was_sent and time.monotonic() < deadline_s:
        sent.wait(0.01)
    assert was_sent == [True]


def test_a_notice_that_cannot_be_sent_keeps_no_other_from_being_sent(
    town: Town, database: CrmDatabase, context: Context
) -> None:
    sent: list[str] = []

    class Sender:
        def send(self, destination: str, _body: dict[str, Any], _secret: str | None) -> None:
            if destination == "duty@112.example":
                raise ValueError("what no sender should raise")
            sent.append(destination)

    url = "https://112.example/hook"
    centre(town, database, email="duty@112.example", webhook_url=url, webhook_secret="a secret of sixteen")
    rules = {"webhook_url": f"{url}/of-the-company", "email": "company@112.example"}
    town.platform("PUT", f"/v1/companies/{town.company}/emergency-rules", rules)
    with database.transaction():
        database.rows("UPDATE emergency_centres SET webhook_secret = 'of another key'")
    told(context, OUT[1])
    assert NoticeDelivery(context, {"email": Sender(), "webhook": Sender()}).deliver() == 2
    assert sorted(sent) == ["company@112.example", f"{url}/of-the-company"]
    notices = {notice["destination"]: notice for notice in town.platform("GET", "/v1/emergency-notices")["items"]}
    assert notices["duty@112.example"]["last_error"] == "ValueError: what no sender should raise"
    assert "encryption_key_file" in notices[url]["last_error"]


def test_a_daily_check_that_the_database_prevented_is_done_as_soon_as_it_is_back(
    town: Town, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert town.company
    checked = 0

    def check(_: EmergencyChecks) -> int:
        nonlocal checked
        checked += 1
        if checked == 1:
            raise peewee.OperationalError("away")
        return 0

    monkeypatch.setattr(EmergencyChecks, "check", check)
    work = worker(context, {}, None)
    with pytest.raises(peewee.OperationalError):
        work()
    work()
    work()
    assert checked == 2


def test_a_channel_that_is_not_set_up_is_said_so(town: Town, database: CrmDatabase, context: Context) -> None:
    centre(town, database, email="duty@112.example")
    told(context, OUT[1])
    assert NoticeDelivery(context, {}).deliver() == 0
    (notice,) = town.platform("GET", "/v1/emergency-notices")["items"]
    assert notice["last_error"] == "no email is set up in crm.json"


def test_a_mail_server_that_is_away_is_an_error_of_ours() -> None:
    with pytest.raises(SendError, match="duty@"):
        MailSender("smtp://127.0.0.1:1", "x@example.org").send("duty@112.example", {"event": "emergency_call"}, None)
    assert "Emergency call" in text_of({"event": "emergency_call", "address": "Lenina 1"})


def test_an_event_of_before_is_still_understood() -> None:
    assert Event("ended", "c", 1).step is None
