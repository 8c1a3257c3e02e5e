"""Notices of emergency calls: to whom they go, signed with whose secret, sent once, tried again, given up."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import structlog.testing

from crm_api.adapters.notice_senders import MailSender, SendError, SmsSender, WebhookSender, text_of
from crm_api.domain.network_addresses import networks_of
from crm_api.services import notice_delivery
from crm_api.services.context import Tenant
from crm_api.services.notice_delivery import FIRST_PAUSE_MS, GIVEN_UP_AFTER_MS, TAKEN_FOR_MS, NoticeDelivery
from tests.unit.crm.conftest import Api
from tests.unit.crm.test_emergency import centre
from tests.unit.crm.test_emergency_recording import OUT, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.adapters.notice_senders import NoticeSender
    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town


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
    thread.join(60)
    server.server_close()


def test_the_centre_is_never_told_a_code_that_opens_once_and_rather_one_that_the_panel_has(
    town: Town, database: CrmDatabase, context: Context, clock: Clock
) -> None:
    centre(town, database, email="duty@112.example")

    def made(**more: object) -> tuple[int, str]:
        code = town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance, **more})
        return code["id"], code["code"]

    def told_code(call_id: str) -> str | None:
        told(context, {**OUT[1], "call_id": call_id})
        sql = "SELECT body FROM emergency_notices WHERE call_id = ?"
        ((body,),) = database.rows(sql, (call_id,))
        code: str | None = json.loads(body)["entrance_code"]
        return code

    assert told_code("c0") is None
    made(single_use=True)
    assert told_code("c1") is None
    before, old = made()
    _, weekly = made()
    made(valid_until_ms=clock.now + 7_200_000)
    made(single_use=True)
    assert told_code("c2") == weekly
    database.rows(
        "INSERT INTO panel_codes (company_id, panel_id, access_code_id, place, wanted, state, tries, next_try_ms) "
        "SELECT p.company_id, p.id, ?, 1, 'present', 'done', 0, 0 FROM panels p JOIN accounts a ON a.id = p.account_id "
        "WHERE a.account = 'p1'",
        (before,),
    )
    assert told_code("c3") == old


def test_centre_and_company_are_told_at_once_with_address_map_and_entrance_code(
    town: Town, database: CrmDatabase, context: Context, clock: Clock, web: Any
) -> None:
    url, got = web
    centre(town, database, webhook_url=f"{url}/centre", webhook_secret="a secret of sixteen", sms_number="+79123456789")
    rules = {"webhook_url": f"{url}/broken"}
    town.platform("PUT", f"/v1/companies/{town.company}/emergency-rules", rules)
    town.platform("PATCH", f"/v1/houses/{town.house}", {"latitude": 55.5, "longitude": 37.25})
    code = "40719"  # a drawn one may by chance be part of a moment or of a number
    town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance, "code": code})
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


def reader_of(town: Town) -> Api:
    """Return the API as somebody of the company sees it who changes nothing."""
    made = town.platform(
        "POST", "/v1/service-accounts", {"name": "reader", "role": "read_only", "companies": [town.company]}
    )
    return Api(
        town.client, town.platform("POST", "/v1/tokens", {"service_account_id": made["id"], "name": "x"})["token"]
    )


def test_a_companys_people_do_not_read_where_the_centre_is_told(
    town: Town, database: CrmDatabase, context: Context, services: Services
) -> None:
    url = "https://112.example/hook?key=of-the-centre"
    centre(town, database, webhook_url=url, webhook_secret="a secret of sixteen", email="duty@112.example",
           sms_number="+79123456789")  # fmt: skip
    rules = {"webhook_url": "https://homes.example/hook", "email": "duty@homes.example"}
    town.platform("PUT", f"/v1/companies/{town.company}/emergency-rules", rules)
    told(context, *OUT)
    NoticeDelivery(context, {}).deliver()

    def shown(api: Api) -> set[tuple[str, str | None, bool]]:
        found = api("GET", "/v1/emergency-notices")["items"]
        return {(n["channel"], n["destination"], n["last_error"] is not None) for n in found}

    own = {("webhook", "https://homes.example/hook", True), ("email", "duty@homes.example", True)}
    of_centre = {("webhook", url, True), ("email", "duty@112.example", True), ("sms", "+79123456789", True)}
    hidden = {("webhook", None, False), ("email", None, False), ("sms", None, False)}
    assert shown(town.platform) == own | of_centre
    reader = reader_of(town)
    assert shown(reader) == own | hidden
    assert shown(Api(town.client, services.tokens.create("operator", "operator", "Homes"))) == own | hidden
    (key,) = (n["id"] for n in town.platform("GET", "/v1/emergency-notices")["items"] if n["destination"] == url)
    assert services.emergency_notices.got(Tenant.of(town.company), key)["destination"] is None
    assert services.emergency_notices.got(Tenant(None), key)["destination"] == url
    town.platform("PUT", f"/v1/companies/{town.company}/emergency-rules", {"email": "duty@homes.example"})
    assert shown(reader) == hidden | {("email", "duty@homes.example", True)}


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


def test_a_notice_is_sent_at_once_by_a_process_whose_clock_is_behind(
    town: Town, database: CrmDatabase, context: Context, clock: Clock
) -> None:
    centre(town, database, webhook_url="https://112.example/hook")
    told(context, OUT[1])
    sent: list[str] = []

    class Sender:
        def send(self, destination: str, _body: dict[str, Any], _secret: str | None) -> None:
            sent.append(destination)

    clock.now -= 600_000
    assert NoticeDelivery(context, {"webhook": Sender()}).deliver() == 1
    assert sent == ["https://112.example/hook"]


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


class UntoldError(Exception):
    """Says nothing of itself: asked for its words it raises."""

    def __str__(self) -> str:
        raise UntoldError


@pytest.mark.parametrize("dialled", ["112", "*112*"])
def test_a_test_call_of_which_the_proxy_tells_first_is_no_emergency_to_anybody(
    town: Town, database: CrmDatabase, context: Context, dialled: str
) -> None:
    centre(town, database, webhook_url="http://127.0.0.1:1/", webhook_secret="a secret of sixteen")
    told(context, {**OUT[1], "dialled": dialled})
    told(context, {**OUT[0], "dialled": dialled})
    (call,) = town.platform("GET", "/v1/emergency-calls")["items"]
    notices = town.platform("GET", "/v1/emergency-notices")["items"]
    assert (call["test"], call["dialled"], len(notices)) == (dialled == "*112*", dialled, dialled == "112")


@pytest.mark.parametrize("fault", [ValueError("half of \ud83d, and \x00"), UntoldError()])
def test_a_fault_with_one_notice_counts_as_a_failed_try_and_ends_nothing(
    town: Town, database: CrmDatabase, context: Context, clock: Clock, fault: Exception
) -> None:
    """What cannot be written down ended the process."""
    tried: list[str] = []

    class Sender:
        def send(self, destination: str, _body: dict[str, Any], _secret: str | None) -> None:
            tried.append(destination)
            if destination == "duty@112.example":
                raise fault

    centre(town, database, email="duty@112.example", webhook_url="https://112.example/hook")
    town.platform("PUT", f"/v1/companies/{town.company}/emergency-rules", {"email": "company@112.example"})
    told(context, OUT[1])
    delivery = NoticeDelivery(context, {"email": Sender(), "webhook": Sender()})
    with structlog.testing.capture_logs() as logged:
        assert delivery.deliver() == 2
    notices = {notice["destination"]: notice for notice in town.platform("GET", "/v1/emergency-notices")["items"]}
    failed = notices.pop("duty@112.example")
    assert all(notice["sent_at_ms"] for notice in notices.values())
    assert (failed["attempts"], failed["sent_at_ms"]) == (1, None)
    assert type(fault).__name__ in failed["last_error"]
    assert [(line["log_level"], line["notice"], line["call_id"]) for line in logged] == [("error", failed["id"], "c1")]
    for pause_ms in (FIRST_PAUSE_MS, 2 * FIRST_PAUSE_MS):
        before = len(tried)
        delivery.deliver()
        assert len(tried) == before, "not at once again"
        clock.now += pause_ms
        delivery.deliver()
        assert len(tried) == before + 1


def test_a_secret_that_cannot_be_looked_up_is_a_fault_of_its_notice_alone(
    town: Town, database: CrmDatabase, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rules:
        webhook_url = company_id = None

        @staticmethod
        def get_or_none(_condition: object) -> None:
            raise LookupError("rules")

    class Sender:
        def send(self, destination: str, _body: dict[str, Any], _secret: str | None) -> None:
            assert destination == "duty@112.example"

    centre(town, database, email="duty@112.example", webhook_url="https://112.example/hook")
    told(context, OUT[1])
    monkeypatch.setattr(notice_delivery, "EmergencyRule", Rules)
    assert NoticeDelivery(context, {"email": Sender(), "webhook": Sender()}).deliver() == 1
    notices = {notice["channel"]: notice for notice in town.platform("GET", "/v1/emergency-notices")["items"]}
    assert notices["email"]["sent_at_ms"]
    assert (notices["webhook"]["attempts"], notices["webhook"]["last_error"]) == (1, "LookupError: rules")


def test_a_notice_that_cannot_be_read_is_given_up_after_a_day_like_any_other(
    town: Town, database: CrmDatabase, context: Context, clock: Clock
) -> None:
    centre(town, database, email="duty@112.example")
    told(context, OUT[1])
    with database.transaction():
        database.rows("UPDATE emergency_notices SET body = 'of 4711 half'")
    delivery = NoticeDelivery(context, {"email": MailSender("smtp://127.0.0.1:1", "x@example.org")})
    assert delivery.deliver() == 0
    clock.now += GIVEN_UP_AFTER_MS + FIRST_PAUSE_MS
    with structlog.testing.capture_logs() as logged:
        assert delivery.deliver() == 0
    (notice,) = town.platform("GET", "/v1/emergency-notices")["items"]
    assert (notice["attempts"], notice["given_up_at_ms"] is not None) == (2, True)
    assert "4711" not in str(database.rows("SELECT body FROM emergency_notices")), "it may hold a code"
    assert [line["event"] for line in logged][-1] == "notice given up"


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
