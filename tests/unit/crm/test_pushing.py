from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from cryptography.fernet import Fernet

from crm_api import jobs, pushes
from crm_api.adapters.push_services.push import ACCEPTED, Push, Verdict
from crm_api.adapters.stream_entries import Wish
from crm_api.config import CrmConfig
from crm_api.services import pushing
from crm_api.services.pushing import Pushing, Wanted
from crm_api.services.visitor_pictures import KEPT_MS, VisitorPictures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from crm_api.adapters.push_services.push import PushService
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Clock, Town
    from tests.unit.crm.fakes import FakePanelDriver


class Service:
    """A push service that answers as ordered: verdicts or errors in turn, then accepts; `hangs` never answers."""

    def __init__(self, *answers: Verdict | Exception, hangs: bool = False) -> None:
        self.answers = list(answers)
        self.hangs = hangs
        self.sent: list[tuple[str, Push]] = []

    async def send(self, token: str, push: Push) -> Verdict:
        self.sent.append((token, push))
        if self.hangs:
            await asyncio.Event().wait()
        answer = self.answers.pop(0) if self.answers else ACCEPTED
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def device(town: Town) -> Town:
    """The app of apartment 12 has a device."""
    body = {"account": "a12", "device": "pixel", "platform": "fcm", "token": "token-of-a12"}
    town.platform("POST", "/v1/push-tokens", body)
    return town


def wanted(context: Context, *, ring_timeout_s: int = 30, call_id: str = "c1", at_ms: int | None = None) -> Wanted:
    return Wanted(
        call_id,
        context.now_ms() if at_ms is None else at_ms,
        "p1",
        "12",
        0,
        ring_timeout_s,
        "Entrance 1",
        ["a12", "h12"],
    )


def process_of(
    tmp_path: Path, context: Context, service: Service, found: list[Wish], monkeypatch: pytest.MonkeyPatch
) -> pushes.PushProcess:
    """The process that pushes, with these wishes in its stream."""

    async def wishes(_block_ms: int) -> list[Wish]:
        return found

    process = pushes.PushProcess(config_in(tmp_path))
    monkeypatch.setattr(process._stream, "wishes", wishes)
    pushing = Pushing(context, {"fcm": service}, VisitorPictures(context, {}, ""), lambda _: None)
    monkeypatch.setattr(process, "_pushing", pushing)
    return process


def config_in(directory: Path) -> CrmConfig:
    """Settings of a process of its own, without a Redis."""
    key = directory / "key"
    key.write_bytes(Fernet.generate_key())
    return CrmConfig(
        database_url=f"sqlite:///{directory}/crm.db",
        redis_url="redis://127.0.0.1:1",
        sip_domain="entryphone.test",
        encryption_key_file=key,
    )


def played(
    context: Context, services: dict[str, PushService], play: Callable[[Pushing], Any], driver: FakePanelDriver
) -> list[tuple[str, str | None]]:
    """What was told of the pushes."""
    told: list[dict[str, Any]] = []

    async def run() -> None:
        pictures = VisitorPictures(context, {"generic": driver, "beward": driver}, "https://crm.example")
        pushes = Pushing(context, services, pictures, told.append)
        play(pushes)
        await pushes.idle()
        pushes.over("c1", None)
        await pushes.idle()

    asyncio.run(run())
    return [(event["outcome"], event["reason"]) for event in told]


def test_a_push_says_where_the_visitor_stands_and_a_cancel_follows(
    device: Town, context: Context, driver: FakePanelDriver
) -> None:
    service = Service()
    told = played(context, {"fcm": service}, lambda p: p.begin(wanted(context)), driver)
    assert told == [("queued", None), ("sent", None), ("accepted", None), ("cancelled", None)]
    (_, call), (_, cancel) = service.sent
    assert {name: call.data[name] for name in ("type", "house", "entrance", "panel", "account", "caller_name")} == {
        "type": "call", "house": "Lenina 1", "entrance": "1", "panel": "Lenina 1, entrance 1", "account": "a12",
        "caller_name": "Entrance 1",
    }  # fmt: skip
    assert (cancel.data["type"], cancel.data["reason"]) == ("cancel", "over")
    assert device.platform("GET", "/v1/push-tokens")["items"][0]["invalidated_at_ms"] is None


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("apart_ms", [-600_000, 600_000])
def test_an_app_is_woken_although_the_clocks_of_two_hosts_are_apart(
    context: Context, apart_ms: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment of a wish is told by the host of FastAGI, and judged here."""
    service, body = Service(), msgspec.json.encode(wanted(context, at_ms=context.now_ms() + apart_ms))

    async def run() -> None:
        process = process_of(tmp_path, context, service, [Wish(body, 2_000)], monkeypatch)
        await process._take_wishes()
        await process._pushing.idle()
        process._pushing.over("c1", None)

    asyncio.run(run())
    (call,) = [push for _, push in service.sent if push.data["type"] == "call"]
    assert call.expires_at_ms == pytest.approx(context.now_ms() + 28_000, abs=500), "it rings for 30 s, and has for two"


@pytest.mark.usefixtures("device")
def test_a_wish_that_has_waited_for_the_whole_stage_wakes_nobody(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, body = Service(), msgspec.json.encode(wanted(context))

    async def run() -> None:
        process = process_of(tmp_path, context, service, [Wish(body, 30_000)], monkeypatch)
        await process._take_wishes()
        await process._pushing.idle()

    asyncio.run(run())
    assert service.sent == []


def begun_and_answered(context: Context) -> Service:
    """A call that woke a household's devices, and that its app has answered."""
    service = Service()

    async def run() -> None:
        pushes = Pushing(context, {"fcm": service}, VisitorPictures(context, {}, ""), lambda _: None)
        pushes.begin(wanted(context))
        await pushes.idle()
        pushes.over("c1", "a12")
        await pushes.idle()

    asyncio.run(run())
    return service


@pytest.mark.usefixtures("device")
def test_the_account_that_answered_is_not_told_to_stop(context: Context) -> None:
    service = begun_and_answered(context)
    assert [push.data["type"] for _, push in service.sent] == ["call"]


@pytest.mark.usefixtures("device")
def test_of_two_devices_of_the_account_that_answered_both_are_told(device: Town, context: Context) -> None:
    """Which of them answered nobody knows by its token; the other one would go on ringing."""
    body = {"account": "a12", "device": "tablet", "platform": "fcm", "token": "token-of-the-tablet"}
    device.platform("POST", "/v1/push-tokens", body)
    service = begun_and_answered(context)
    told = [token for token, push in service.sent if push.data["type"] == "cancel"]
    assert sorted(told) == ["token-of-a12", "token-of-the-tablet"]
    assert {push.data["reason"] for _, push in service.sent if push.data["type"] == "cancel"} == {"answered"}


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(
    ("confirm", "stage"),
    [(False, 0), (True, 0), (None, 0), (False, 1)],
    ids=["connected at once", "asked for a key", "asked by a FastAGI that does not say", "of another stage"],
)
def test_a_phone_that_answers_ends_the_ringing_where_no_key_is_asked(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, confirm: bool | None, stage: int
) -> None:
    told = ["answered"] if (confirm, stage) == (False, 0) else []
    wish = msgspec.json.decode(msgspec.json.encode(wanted(context)))
    wish.pop("confirm", None)
    if confirm is not None:
        wish["confirm"] = confirm
    answer = {"event": "branch", "call_id": "c1", "stage": stage, "outcome": "answered", "account": "f12",
              "trunk": "carrier-a"}  # fmt: skip
    service = Service()

    async def run() -> None:
        process = process_of(tmp_path, context, service, [Wish(msgspec.json.encode(wish), 0)], monkeypatch)
        await process._take_wishes()
        await process._pushing.idle()
        process._look([msgspec.json.encode([answer])])
        await process._pushing.idle()
        assert process._pushing.rings is not bool(told)
        cancels = [push.data["reason"] for _, push in service.sent if push.data["type"] == "cancel"]
        assert cancels == told
        process._pushing.over("c1", None)

    asyncio.run(run())


@pytest.mark.usefixtures("device")
def test_a_call_that_is_over_before_its_devices_are_known_wakes_nobody(context: Context) -> None:
    service = Service()

    async def run() -> list[bool]:
        pushes = Pushing(context, {"fcm": service}, VisitorPictures(context, {}, ""), lambda _: None)
        rings = [pushes.rings]
        pushes.begin(wanted(context))
        rings.append(pushes.rings)
        pushes.over("c1", None)
        await pushes.idle()
        return [*rings, pushes.rings]

    assert asyncio.run(run()) == [False, True, False]
    assert service.sent == []


def test_a_call_without_a_device_to_wake_is_not_followed(context: Context) -> None:
    async def run() -> bool:
        pushes = Pushing(context, {"fcm": Service()}, VisitorPictures(context, {}, ""), lambda _: None)
        pushes.begin(wanted(context))
        await pushes.idle()
        return pushes.rings

    assert asyncio.run(run()) is False


@pytest.mark.usefixtures("device")
def test_what_fails_for_a_moment_is_tried_again(
    context: Context, driver: FakePanelDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "FIRST_PAUSE_S", 0.01)
    service = Service(httpx.ConnectError("refused"), Verdict("try_again", "503"))
    told = played(context, {"fcm": service}, lambda p: p.begin(wanted(context)), driver)
    assert told[:3] == [("queued", None), ("sent", None), ("accepted", None)]
    assert len([push for _, push in service.sent if push.data["type"] == "call"]) == 3


@pytest.mark.usefixtures("device")
def test_a_service_that_hangs_is_given_up_when_the_ringing_ends(context: Context) -> None:
    service = Service(hangs=True)

    async def run() -> list[str]:
        told: list[str] = []
        given_up = asyncio.Event()

        def tell(event: dict[str, Any]) -> None:
            told.append(event["outcome"])
            if event["outcome"] == "failed":
                service.hangs = False
                given_up.set()

        pushes = Pushing(context, {"fcm": service}, VisitorPictures(context, {}, ""), tell)
        pushes.begin(wanted(context, ring_timeout_s=1))
        await asyncio.wait_for(given_up.wait(), 60)
        # The stage ends in this same moment, before or after: so no push of its end is begun as this loop is closed.
        pushes.over("c1", None)
        await pushes.idle()
        return told

    assert asyncio.run(run()) == ["queued", "sent", "failed", "cancelled"]


def test_a_dead_token_is_used_no_more(device: Town, context: Context, driver: FakePanelDriver) -> None:
    service = Service(Verdict("dead_token", "UNREGISTERED"))
    told = played(context, {"fcm": service}, lambda p: p.begin(wanted(context)), driver)
    assert told[:3] == [("queued", None), ("sent", None), ("refused", "UNREGISTERED")]
    (row,) = device.platform("GET", "/v1/push-tokens")["items"]
    assert row["invalid_reason"] == "UNREGISTERED"
    assert not any(t.get("wakes") for s in device.plan("p1", "12")["stages"] for t in s["targets"])
    service.sent.clear()
    assert played(context, {"fcm": service}, lambda p: p.begin(wanted(context)), driver) == []


@pytest.mark.usefixtures("device")
def test_a_service_nobody_has_set_up_is_told(context: Context, driver: FakePanelDriver) -> None:
    told = played(context, {}, lambda p: p.begin(wanted(context)), driver)
    assert told[0] == ("queued", None)
    assert told[1] == ("refused", "no push service is configured for fcm")


def test_a_picture_is_for_its_household_and_for_minutes(town: Town, context: Context, driver: FakePanelDriver) -> None:
    pictures = VisitorPictures(context, {"beward": driver, "generic": driver}, "https://crm.example")
    assert pictures.take("c1", "p2", town.apartment)
    link = pictures.link("c1", town.apartment, context.now_ms())
    path = link.removeprefix("https://crm.example")
    answer = town.client.simulate_get(path)
    assert (answer.status_code, answer.content[:2]) == (200, b"\xff\xd8")
    assert "no-store" in answer.headers["Cache-Control"]
    other = pictures.link("c1", town.neighbour, context.now_ms()).removeprefix("https://crm.example")
    assert town.client.simulate_get(other).status_code == 404
    assert town.client.simulate_get(path[:-1] + ("0" if path[-1] != "0" else "1")).status_code == 404
    assert pictures.take("c1", "p2", town.neighbour), "a desk passes the call on: that household has a link of its own"
    assert [town.client.simulate_get(one).status_code for one in (path, other)] == [200, 200]
    old = pictures.link("c1", town.apartment, context.now_ms() - 6 * 60_000).removeprefix("https://crm.example")
    assert town.client.simulate_get(old).status_code == 404


def test_pictures_go_after_an_hour_also_when_no_visitor_comes_any_more(
    town: Town, context: Context, clock: Clock, driver: FakePanelDriver
) -> None:
    pictures = VisitorPictures(context, {"beward": driver, "generic": driver}, "https://crm.example")
    assert pictures.take("c1", "p2", town.apartment)
    jobs.worker(context, threading.Event())()
    count = "SELECT count(*) FROM visitor_pictures"
    assert context.database.row(count) == (1,)
    clock.now += KEPT_MS + 1000
    jobs.worker(context, threading.Event())()
    assert context.database.row(count) == (0,)


def test_a_fault_of_ours_ends_no_step_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that had ended unseen would wake nobody until somebody started the process anew."""
    monkeypatch.setattr(pushes, "LAST_RETRY_S", 0.0)

    async def play() -> None:
        done, turns = asyncio.Event(), 0

        async def step() -> None:
            nonlocal turns
            turns += 1
            if turns == 1:
                raise ValueError("what nobody thought of")
            done.set()
            await asyncio.Event().wait()

        steps = asyncio.create_task(pushes._repeat(step))
        waiting = asyncio.create_task(done.wait())
        await asyncio.wait({steps, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert done.is_set()
        steps.cancel()

    asyncio.run(play())


def test_what_came_of_pushes_is_told_when_redis_is_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody looks for events that have not come; those that could not be told wait, with those that come then."""
    monkeypatch.setattr(pushes, "TELL_EVERY_S", 0.0)
    told: list[list[str]] = []
    is_away = True

    async def tell(events: list[dict[str, Any]]) -> None:
        if is_away:
            raise ConnectionError("redis is away")
        told.append([event["outcome"] for event in events])

    async def play() -> None:
        nonlocal is_away
        process = pushes.PushProcess(config_in(tmp_path))
        monkeypatch.setattr(process._stream, "tell", tell)
        process._note({"outcome": "queued"})
        with pytest.raises(ConnectionError):
            await process._tell()
        is_away = False
        process._note({"outcome": "sent"})
        await process._tell()
        nothing = asyncio.create_task(process._tell())
        for _ in range(10):
            await asyncio.sleep(0)
        process._note({"outcome": "accepted"})
        await nothing

    asyncio.run(play())
    assert told == [["queued", "sent"], ["accepted"]]
