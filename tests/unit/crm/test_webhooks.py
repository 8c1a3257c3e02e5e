from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from crm_api.adapters.customer_posts import client_of
from crm_api.domain.network_addresses import networks_of
from crm_api.services.call_recording import CallRecording
from crm_api.services.message_pictures import MessagePictures
from crm_api.services.telling import BATCH, KEPT_MS, LEASE_MS, UNDELIVERED_KEPT_MS, Telling, is_due, prune
from crm_api.tables.webhook_rows import DUE, OF_ONE
from tests.unit.crm.test_call_records import T, entry, story
from tests.unit.crm.test_call_sounds import kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town
    from tests.unit.crm.fakes import FakePanelDriver

URL = "https://crm.homes.example/hook"


class Company:
    """A client company's server: checks every signature, answers as ordered."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.secret = ""
        self.told: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        parts = dict(part.split("=", 1) for part in request.headers["Entryphone-Signature"].split(","))
        signed = f"{parts['t']}.".encode() + request.content
        right = hmac.digest(self.secret.encode(), signed, hashlib.sha256).hex()
        assert hmac.compare_digest(parts["v1"], right)
        body = json.loads(request.content)
        assert request.headers["Entryphone-Event"] == body["event"]
        self.told.append(body)
        return httpx.Response(self.statuses.pop(0) if self.statuses else 204)


@pytest.fixture
def company(town: Town) -> Company:
    made = town.platform("POST", "/v1/webhooks", {"company_id": town.company, "url": URL})
    there = Company()
    there.secret = made["secret"]
    assert "secret" not in town.platform("GET", f"/v1/webhooks/{made['id']}")
    return there


def tell(context: Context, company: Callable[[httpx.Request], httpx.Response]) -> int:
    async def deliver() -> int:
        async with httpx.AsyncClient(transport=httpx.MockTransport(company)) as client:
            pictures = MessagePictures(context, {}, "https://door.example")
            return await Telling(context, client, pictures, (1.0, 2.0)).deliver()

    return asyncio.run(deliver())


def test_a_call_and_its_door_are_told_once(town: Town, context: Context, clock: Clock, company: Company) -> None:
    recording = CallRecording(context)
    recording.record([entry(1, story("c1"))])
    recording.record([entry(1, story("c1"))])  # delivered twice
    assert not is_due(context)  # the record may still be completed
    assert tell(context, company) == 0
    clock.now += 2000
    assert is_due(context)
    assert tell(context, company) == 2
    told = {body["event"]: body for body in company.told}
    assert told["call.ended"]["data"] | {"started_at_ms": 0} == {
        "call_id": "c1", "panel": "p1", "dialled": "12", "apartment_id": town.apartment, "house_id": town.house,
        "started_at_ms": 0, "ended_at_ms": T + 9000, "talk_ms": 6000, "answered_by": "a12", "result": "answered",
        "reason": None,
    }  # fmt: skip
    assert (told["door.opened"]["data"]["account"], told["door.opened"]["data"]["result"]) == ("a12", "sent")
    clock.now += 100_000
    assert tell(context, company) == 0


def test_a_door_that_an_operator_opened_is_told(
    town: Town, context: Context, clock: Clock, company: Company, driver: FakePanelDriver
) -> None:
    (gate,) = (panel for panel in town.platform("GET", "/v1/panels")["items"] if panel["account"] == "p2")
    door_id = gate["doors"][0]["id"]
    opened = town.platform("POST", f"/v1/doors/{door_id}/open")
    driver.refusal = "no"
    town.platform("POST", f"/v1/doors/{door_id}/open", expect=502)
    clock.now += 2000
    assert tell(context, company) == 1
    (told,) = company.told
    assert (told["event"], told["data"]["id"], told["data"]["door_id"]) == (
        "door.opened", opened["access_record_id"], door_id,
    )  # fmt: skip
    assert (told["data"]["panel"], told["data"]["account"], told["data"]["opened_by"]) == ("p2", None, "test")


def test_a_server_that_fails_is_tried_again_then_given_up_and_replayed(
    town: Town, context: Context, clock: Clock, company: Company
) -> None:
    CallRecording(context).record([entry(1, story("c1")[:1] + story("c1")[-1:])])
    company.statuses = [500, 503, 500]
    clock.now += 2000
    assert tell(context, company) == 1
    assert tell(context, company) == 0  # it waits
    clock.now += 1500
    assert tell(context, company) == 1
    clock.now += 2500
    assert tell(context, company) == 1
    (dead,) = town.platform("GET", "/v1/webhook-deliveries?state=dead")["items"]
    assert (dead["attempts"], dead["last_error"], dead["subject"]) == (3, "HTTP 500", "c1")
    town.platform("POST", f"/v1/webhook-deliveries/{dead['id']}/replay")
    assert tell(context, company) == 1
    (done,) = town.platform("GET", "/v1/webhook-deliveries")["items"]
    assert done["state"] == "delivered"
    town.platform("POST", f"/v1/webhook-deliveries/{dead['id']}/replay", expect=409)


def test_only_what_was_asked_for_is_told(town: Town, context: Context, clock: Clock, company: Company) -> None:
    (hook,) = town.platform("GET", "/v1/webhooks")["items"]
    town.platform("PATCH", f"/v1/webhooks/{hook['id']}", {"events": ["door.opened"]})
    CallRecording(context).record([entry(1, story("c1"))])
    clock.now += 2000
    tell(context, company)
    assert [body["event"] for body in company.told] == ["door.opened"]


def test_a_message_that_was_left_is_told(
    town: Town, context: Context, clock: Clock, company: Company, driver: FakePanelDriver
) -> None:
    pictures = MessagePictures(context, {"beward": driver, "generic": driver}, "https://door.example")
    pictures.take("c@1", "p2")
    made = kept(town, clock.now, panel="p2").json
    assert kept(town, clock.now, panel="p2").status_code == 201  # sent again
    clock.now += 2000
    assert tell(context, company) == 1
    (body,) = company.told
    assert (body["event"], body["data"]["id"], body["data"]["duration_ms"]) == ("message.left", made["id"], 1000)
    assert body["data"]["picture_url"] == pictures.link(made["id"]) != ""


def test_what_was_told_is_forgotten_after_a_week(
    context: Context, clock: Clock, company: Company, database: CrmDatabase
) -> None:
    CallRecording(context).record([entry(1, story("c1"))])
    clock.now += 2000
    company.statuses = [204, 500]
    assert tell(context, company) == 2
    prune(context)
    assert len(database.rows("SELECT id FROM webhook_deliveries")) == 2
    clock.now += KEPT_MS + 1
    prune(context)
    assert database.rows("SELECT state FROM webhook_deliveries") == [("waiting",)]


@pytest.mark.parametrize("state", ["dead", "waiting"])
def test_what_nobody_took_for_a_month_is_forgotten(
    context: Context, clock: Clock, company: Company, database: CrmDatabase, state: str
) -> None:
    assert company.told == []
    CallRecording(context).record([entry(1, story("c1"))])
    database.rows("UPDATE webhook_deliveries SET state = ?", (state,))
    clock.now += UNDELIVERED_KEPT_MS - 1000
    prune(context)
    assert len(database.rows("SELECT id FROM webhook_deliveries")) == 2
    clock.now += 2000
    prune(context)
    assert database.rows("SELECT id FROM webhook_deliveries") == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://xn--/"])
def test_an_address_that_nobody_can_connect_to_keeps_nobody_else_from_being_told(
    town: Town, context: Context, clock: Clock, url: str
) -> None:
    town.platform("POST", "/v1/webhooks", {"company_id": town.company, "url": url, "events": ["call.ended"]})
    CallRecording(context).record([entry(1, story("c1"))])
    clock.now += 2000

    async def deliver() -> int:
        async with client_of(networks_of(["127.0.0.0/8"])) as client:
            return await Telling(context, client, MessagePictures(context, {}, "https://door.example")).deliver()

    assert asyncio.run(deliver()) == 1
    (tried,) = town.platform("GET", "/v1/webhook-deliveries")["items"]
    assert (tried["state"], tried["attempts"]) == ("waiting", 1)
    assert tried["last_error"]


def test_a_secret_that_cannot_be_read_has_nobody_else_told_twice(
    town: Town, context: Context, clock: Clock, company: Company
) -> None:
    other = town.platform("POST", "/v1/webhooks", {"company_id": town.company, "url": f"{URL}-too"})["id"]
    with context.database.transaction():
        context.database.rows("UPDATE webhooks SET secret = 'of another key' WHERE id = ?", (other,))
    CallRecording(context).record([entry(1, story("c1")[:1] + story("c1")[-1:])])
    clock.now += 2000
    assert tell(context, company) == 2
    clock.now += LEASE_MS
    tell(context, company)
    assert len(company.told) == 1
    states = {row["webhook_id"]: row for row in town.platform("GET", "/v1/webhook-deliveries")["items"]}
    assert states.pop(other)["last_error"].endswith("check encryption_key_file")
    assert [row["state"] for row in states.values()] == ["delivered"]


def test_what_two_processes_find_at_one_moment_is_told_by_one(town: Town, context: Context, clock: Clock) -> None:
    for number in range(BATCH // OF_ONE):
        hook = {"company_id": town.company, "url": f"{URL}/{number}", "events": ["call.ended"]}
        town.platform("POST", "/v1/webhooks", hook)
    for number in range(OF_ONE):
        CallRecording(context).record([entry(number, story(f"c{number}"))])
    clock.now += 2000
    together = Barrier(4)

    def take() -> list[int]:
        context.database.ping()  # connected by now
        together.wait(60)
        try:
            telling = Telling(context, httpx.AsyncClient(), MessagePictures(context, {}, "https://door.example"))
            return [delivery.key for delivery in telling._take()]
        finally:
            context.database.forget_connection()

    with ThreadPoolExecutor(4) as threads:
        taken = [key for future in [threads.submit(take) for _ in range(4)] for key in future.result()]
    assert len(taken) == len(set(taken)) == BATCH


@pytest.fixture
def hanging(town: Town, database: CrmDatabase) -> int:
    """The webhook of another company, for which 60 deliveries are due before all others."""
    company = town.platform("POST", "/v1/companies", {"name": "Hangs"})["id"]
    hook: int = town.platform("POST", "/v1/webhooks", {"company_id": company, "url": "https://hangs.example/hook"})[
        "id"
    ]
    database.many(WAITING, [(hook, company, str(number), 60 - number) for number in range(60)])
    return hook


WAITING = """
INSERT INTO webhook_deliveries (webhook_id, company_id, event, subject, state, attempts, created_at_ms, due_at_ms)
VALUES (?, ?, 'test', ?, 'waiting', 0, 0, ?)
"""


class Hanging:
    """Of two servers one hangs, while `silent`; which deliveries each was told."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.silent = True
        self.told: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != "hangs.example":
            return self.company(request)
        self.told.append(int(json.loads(request.content)["data"]["id"]))
        if self.silent:
            raise httpx.ReadTimeout("nothing was said")
        return httpx.Response(204)


def test_a_server_that_hangs_leaves_room_for_the_others(
    context: Context, clock: Clock, company: Company, hanging: int, database: CrmDatabase
) -> None:
    servers = Hanging(company)
    CallRecording(context).record([entry(1, story("c1"))])
    clock.now += 2000
    assert tell(context, servers) == OF_ONE + 2
    assert (servers.told, len(company.told)) == ([59, 58, 57, 56, 55], 2)
    tried = "SELECT count(*) FROM webhook_deliveries WHERE webhook_id = ? AND attempts > 0"
    assert database.rows(tried, (hanging,)) == [(OF_ONE,)]


def test_what_waits_for_a_server_that_hangs_rests_and_keeps_its_order_and_its_tries(
    context: Context, clock: Clock, company: Company, hanging: int, database: CrmDatabase
) -> None:
    servers = Hanging(company)
    assert tell(context, servers) == OF_ONE
    left = "SELECT subject, due_at_ms FROM webhook_deliveries WHERE webhook_id = ? AND attempts = 0 ORDER BY due_at_ms"
    assert database.rows(left, (hanging,)) == [(str(number), 60 - number) for number in range(54, -1, -1)]
    assert not is_due(context)
    assert tell(context, servers) == 0
    clock.now += 1000
    assert is_due(context)
    assert tell(context, servers) == OF_ONE
    clock.now += 1500
    assert not is_due(context), "it is silent again: it rests for longer"
    servers.silent = False
    clock.now += 500
    while tell(context, servers):
        pass
    first = [*range(59, 49, -1), *range(49, -1, -1)]
    assert servers.told[: len(first)] == first
    assert sorted(servers.told[len(first) :]) == list(range(50, 60))
    assert database.rows("SELECT DISTINCT state FROM webhook_deliveries") == [("delivered",)]
    assert database.rows("SELECT rests_until_ms, silences FROM webhooks WHERE id = ?", (hanging,)) == [(0, 0)]


def test_a_webhook_that_leads_elsewhere_now_rests_no_more(
    town: Town, context: Context, company: Company, hanging: int
) -> None:
    assert tell(context, Hanging(company)) == OF_ONE
    assert not is_due(context)
    town.platform("PATCH", f"/v1/webhooks/{hanging}", {"url": "https://hangs.example/no-more"})
    assert is_due(context)


def test_a_webhook_that_leads_where_it_led_rests_on_until_it_is_switched_on(
    town: Town, context: Context, company: Company, hanging: int
) -> None:
    assert tell(context, Hanging(company)) == OF_ONE
    town.platform("PATCH", f"/v1/webhooks/{hanging}", {"events": ["call.ended"]})
    town.platform("PATCH", f"/v1/webhooks/{hanging}", {"url": "https://hangs.example/hook", "enabled": True})
    assert not is_due(context)
    town.platform("PATCH", f"/v1/webhooks/{hanging}", {"enabled": False})
    town.platform("PATCH", f"/v1/webhooks/{hanging}", {"enabled": True})
    assert is_due(context)


def test_a_company_has_twenty_webhooks(town: Town) -> None:
    def hook(number: int, company: int) -> dict[str, Any]:
        return {"company_id": company, "url": f"{URL}/{number}"}

    made = [town.platform("POST", "/v1/webhooks", hook(number, town.company))["id"] for number in range(20)]
    refused = town.platform("POST", "/v1/webhooks", hook(20, town.company), expect=409)
    assert "remove one that is not used" in refused["detail"]
    other = town.platform("POST", "/v1/companies", {"name": "Other"})["id"]
    town.platform("POST", "/v1/webhooks", hook(0, other))
    town.platform("DELETE", f"/v1/webhooks/{made[0]}")
    town.platform("POST", "/v1/webhooks", hook(20, town.company))


def test_names_of_a_companys_webhooks_are_looked_up_for_that_company(
    town: Town, context: Context, clock: Clock, company: Company
) -> None:
    owners: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        owners.append(request.extensions.get("whose"))
        return company(request)

    CallRecording(context).record([entry(1, story("c1")[:1] + story("c1")[-1:])])
    clock.now += 2000
    assert tell(context, answer) == 1
    assert owners == [town.company]


def test_a_server_that_refuses_does_not_rest(context: Context, clock: Clock, company: Company) -> None:
    CallRecording(context).record([entry(1, story("c1"))])
    company.statuses = [500, 500]
    clock.now += 2000
    assert tell(context, company) == 2
    assert context.database.rows("SELECT rests_until_ms, silences FROM webhooks") == [(0, 0)]


def test_a_long_queue_of_one_webhook_is_not_read_for_its_first(
    context: Context, hanging: int, database: CrmDatabase
) -> None:
    if database.dialect != "sqlite":
        pytest.skip("counts the steps of SQLite's machine")
    ((company,),) = database.rows("SELECT company_id FROM webhooks WHERE id = ?", (hanging,))
    steps = []
    for more in (0, 5000):
        with database.transaction():
            database.many(WAITING, [(hanging, company, f"more {number}", 100 + number) for number in range(more)])
        counted: list[int] = []
        connection = database.peewee.connection()
        connection.set_progress_handler(lambda counted=counted: counted.append(1), 10)
        assert is_due(context)
        assert len(database.rows(DUE["sqlite"], (context.now_ms(), True, context.now_ms(), BATCH))) == OF_ONE
        connection.set_progress_handler(None, 0)
        steps.append(len(counted))
    assert steps[1] <= steps[0] + 1
