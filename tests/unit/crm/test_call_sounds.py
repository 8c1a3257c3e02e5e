from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest

from agi_apps.sound_shipper import wav_of
from crm_api.services.call_sounds import DAY_MS, remove_expired
from crm_api.services.message_pictures import WAITS_MS, MessagePictures
from crm_api.services.message_pushes import MessagePushes
from crm_api.services.message_sounds import MessageSounds

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Clock, Town
    from tests.unit.crm.fakes import FakePanelDriver

URL = "https://door.example"
SOUND = wav_of(b"\x7f" * 8000)


def pushes_of(context: Context) -> MessagePushes:
    return MessagePushes(context, MessagePictures(context, {}, URL), MessageSounds(context, URL))


def kept(  # noqa: PLR0917 - what a request is made of
    town: Town,
    at_ms: int,
    kind: str = "message",
    call_id: str = "c@1",
    panel: str = "p1",
    body: bytes = SOUND,
    **more: Any,
) -> Any:
    query = urlencode({"kind": kind, "call_id": call_id, "panel": panel, "dialled": "12", "at_ms": at_ms, **more})
    return town.client.simulate_post(
        "/v1/recorded-sounds",
        query_string=query,
        headers={**town.service._headers, "Content-Type": "audio/wav", "Content-Length": str(len(SOUND))},
        body=body,
    )


def test_a_message_is_kept_listed_heard_and_fetched(town: Town, clock: Clock) -> None:
    answer = kept(town, clock.now)
    assert answer.status_code == 201, answer.text
    made = answer.json
    assert (made["apartment_id"], made["duration_ms"], made["heard_at_ms"]) == (town.apartment, 1000, None)
    assert made["expires_at_ms"] == made["at_ms"] + 14 * DAY_MS
    assert town.platform("GET", f"/v1/call-sounds?apartment_id={town.apartment}&kind=message")["items"] == [made]
    path = f"/v1/call-sounds/{made['id']}"
    sound = town.client.simulate_get(f"{path}/audio", headers=town.platform._headers)
    assert (sound.content, sound.headers["content-type"]) == (SOUND, "audio/wav")
    assert town.platform("POST", f"{path}/heard")["heard_at_ms"] is not None
    town.platform("DELETE", path)
    town.platform("GET", path, expect=404)


def test_what_is_sent_again_is_kept_once(town: Town, clock: Clock) -> None:
    assert kept(town, clock.now).json == kept(town, clock.now).json
    assert kept(town, clock.now, kind="recording").status_code == 201
    assert len(town.platform("GET", "/v1/call-sounds")["items"]) == 2


def test_a_part_of_a_sound_is_not_taken_for_the_whole(town: Town, clock: Clock) -> None:
    broken_off = kept(town, clock.now, body=SOUND[:4000])
    assert broken_off.status_code == 408
    assert broken_off.json["detail"].endswith(
        f"4000 bytes came, Content-Length says {len(SOUND)}: send it again, as a whole"
    )
    assert kept(town, clock.now).json["duration_ms"] == 1000


@pytest.mark.parametrize(("kind", "field"), [("message", "message_kept_days"), ("recording", "recording_kept_days")])
def test_it_is_gone_when_its_time_is_over(town: Town, clock: Clock, context: Context, kind: str, field: str) -> None:
    town.platform("PATCH", f"/v1/companies/{town.company}", {field: 2})
    key = kept(town, clock.now, kind=kind).json["id"]
    clock.now += 2 * DAY_MS - 1000
    town.platform("GET", f"/v1/call-sounds/{key}")
    assert remove_expired(context) == 0
    clock.now += 2000
    town.platform("GET", f"/v1/call-sounds/{key}", expect=404)
    assert town.platform("GET", "/v1/call-sounds")["items"] == []
    assert remove_expired(context) == 1
    for table in ("call_sounds", "call_sound_files"):
        assert context.database.rows(f"SELECT * FROM {table}") == []  # noqa: S608 - constants


def test_a_sound_of_no_panel_and_what_is_no_sound_are_refused(town: Town, clock: Clock) -> None:
    assert kept(town, clock.now, panel="nobody").status_code == 404
    query = urlencode({"kind": "message", "call_id": "c", "panel": "p1", "dialled": "12", "at_ms": clock.now})
    headers = {**town.service._headers, "Content-Type": "audio/wav"}
    answer = town.client.simulate_post("/v1/recorded-sounds", query_string=query, headers=headers, body=b"not a sound")
    assert answer.status_code == 422


def test_plans_tell_whether_messages_are_taken_and_talks_recorded(town: Town) -> None:
    plan = town.plan("p1", "12")
    assert (plan["message_limit_s"], plan["records"]) == (0, False)
    town.platform("PATCH", f"/v1/companies/{town.company}", {"message_limit_s": 30, "records_calls": True})
    plan = town.plan("p1", "12")
    assert (plan["message_limit_s"], plan["records"]) == (30, True)
    assert town.plan("p1", "112")["records"] is False


def test_each_device_of_the_household_is_told_of_a_message_once(town: Town, clock: Clock, context: Context) -> None:
    for device, platform in (("phone", "fcm"), ("tablet", "webhook"), ("iphone", "apns_voip")):
        token = {"account": "a12", "device": device, "platform": platform, "token": f"token-{device}-{'x' * 20}"}
        if platform == "webhook":
            token["token"] = "https://apps.example/push"
        town.platform("POST", "/v1/push-tokens", token)
    pushes = pushes_of(context)
    assert pushes.take() == []
    key = kept(town, clock.now).json["id"]
    kept(town, clock.now, kind="recording")
    told = pushes.take()
    assert [(p.call_id, p.device.device, p.push.data["message_id"]) for p in told] == [
        ("c@1", "phone", str(key)), ("c@1", "tablet", str(key)),
    ]  # fmt: skip
    assert (told[0].push.data["type"], told[0].push.data["house"]) == ("message", "Lenina 1")
    assert pushes.take() == []


def test_nobody_is_told_of_a_message_of_yesterday(town: Town, clock: Clock, context: Context) -> None:
    token = {"account": "a12", "device": "d", "platform": "fcm", "token": "token-" + "x" * 20}
    town.platform("POST", "/v1/push-tokens", token)
    kept(town, clock.now - DAY_MS)
    assert pushes_of(context).take() == []


def test_a_guest_is_told_of_no_message_after_his_time(town: Town, clock: Clock, context: Context) -> None:
    home = {"apartment_id": town.apartment, "role": "guest", "ends_at_ms": clock.now + 60_000}
    guest = town.platform("POST", "/v1/residents", {"name": "Gleb", "apartments": [home]})
    account = {"account": "aguest", "kind": "app", "apartment_id": town.apartment, "resident_id": guest["id"]}
    town.platform("POST", "/v1/accounts", account)
    token = {"account": "aguest", "device": "d", "platform": "fcm", "token": "token-" + "x" * 20}
    town.platform("POST", "/v1/push-tokens", token)
    pushes = pushes_of(context)
    kept(town, clock.now)
    assert [push.device.account for push in pushes.take()] == ["aguest"]
    clock.now += 60_000
    kept(town, clock.now, call_id="c@2")
    assert pushes.take() == []


@pytest.fixture
def pictures(context: Context, driver: FakePanelDriver) -> MessagePictures:
    return MessagePictures(context, {"beward": driver, "generic": driver}, URL + "/")


def test_a_message_has_the_picture_of_its_moment_as_long_as_it_is_kept(
    town: Town, clock: Clock, context: Context, pictures: MessagePictures
) -> None:
    assert pictures.take("c@1", "p2")
    made = kept(town, clock.now, panel="p2").json
    assert made["has_picture"]
    path = f"/v1/call-sounds/{made['id']}"
    seen = town.client.simulate_get(f"{path}/picture", headers=town.platform._headers)
    assert (seen.content[:2], seen.headers["content-type"]) == (b"\xff\xd8", "image/jpeg")
    link = pictures.link(made["id"])
    assert link.startswith(f"{URL}/v1/message-pictures/")
    shown = town.client.simulate_get(link.removeprefix(URL))
    assert (shown.content, shown.headers["Cache-Control"]) == (seen.content, "private, no-store")

    clock.now += WAITS_MS + 1
    kept(town, clock.now - 60_000, call_id="c@2")
    assert remove_expired(context) == 0  # the picture is not alone
    assert town.client.simulate_get(link.removeprefix(URL)).status_code == 200
    clock.now = made["expires_at_ms"] + 1
    assert town.client.simulate_get(link.removeprefix(URL)).status_code == 404
    assert remove_expired(context) == 1
    assert context.database.rows("SELECT call_id FROM message_pictures") == []


def test_a_link_is_for_one_message(town: Town, clock: Clock, pictures: MessagePictures) -> None:
    pictures.take("c@1", "p2")
    first = kept(town, clock.now, panel="p2").json
    pictures.take("c@2", "p2")
    second = kept(town, clock.now, call_id="c@2", panel="p2").json
    path = pictures.link(first["id"]).removeprefix(URL)
    _, until, signed = path.rpartition("/")[2].split("-")
    for other in (
        f"{second['id']}-{until}-{signed}",
        f"{first['id']}-{int(until) + 1}-{signed}",
        f"{first['id']}-{until}-{'0' * len(signed)}",
        f"{first['id']}",
        "x-y-z",
        "9" * 40 + f"-{until}-{signed}",
    ):
        assert town.client.simulate_get(f"/v1/message-pictures/{other}").status_code == 404
    town.platform("DELETE", f"/v1/call-sounds/{first['id']}")
    assert town.client.simulate_get(path).status_code == 404
    assert pictures.link(first["id"]) == ""
    assert pictures.link(second["id"])


def test_without_a_picture_a_message_is_a_message(
    town: Town, clock: Clock, pictures: MessagePictures, driver: FakePanelDriver
) -> None:
    assert not pictures.take("c@1", "nobody")
    driver.refusal = "no camera"
    assert not pictures.take("c@1", "p2")
    made = kept(town, clock.now).json
    assert not made["has_picture"]
    town.platform("GET", f"/v1/call-sounds/{made['id']}/picture", expect=404)
    assert pictures.link(made["id"]) == ""


@pytest.mark.usefixtures("town")
def test_a_picture_nobody_spoke_to_is_removed_after_a_day(
    clock: Clock, context: Context, pictures: MessagePictures
) -> None:
    pictures.take("c@1", "p2")
    pictures.take("c@1", "p2")  # once
    remove_expired(context)
    assert len(context.database.rows("SELECT call_id FROM message_pictures")) == 1
    clock.now += WAITS_MS + 1
    remove_expired(context)
    assert context.database.rows("SELECT call_id FROM message_pictures") == []


def test_the_push_of_a_message_links_to_its_picture(
    town: Town, clock: Clock, context: Context, pictures: MessagePictures
) -> None:
    token = {"account": "a12", "device": "d", "platform": "fcm", "token": "token-" + "x" * 20}
    town.platform("POST", "/v1/push-tokens", token)
    pictures.take("c@1", "p2")  # the panel with a camera
    key = kept(town, clock.now).json["id"]
    kept(town, clock.now, call_id="c@2")
    first, second = MessagePushes(context, pictures, MessageSounds(context, URL)).take()
    assert first.push.data["picture_url"] == pictures.link(key)
    assert second.push.data["picture_url"] == ""


@pytest.mark.parametrize(("quiet_from", "silent"), [("22:00", True), ("23:30", False)])
def test_who_keeps_quiet_hours_is_told_of_a_message_without_a_sound(
    town: Town, clock: Clock, context: Context, quiet_from: str, silent: bool
) -> None:
    town.platform("PATCH", "/v1/cities/1", {"time_zone": "Europe/Moscow"})
    town.platform("PATCH", "/v1/accounts/a12", {"quiet_from": quiet_from, "quiet_until": "07:00"})
    clock.now = int(datetime(2026, 11, 20, 23, tzinfo=ZoneInfo("Europe/Moscow")).timestamp() * 1000)
    token = {"account": "a12", "device": "d", "platform": "apns", "token": "token-" + "x" * 20}
    town.platform("POST", "/v1/push-tokens", token)
    kept(town, clock.now)
    (push,) = [one.push for one in pushes_of(context).take()]
    assert (push.silent, push.data["quiet"]) == (silent, "1" if silent else "")
    assert push.alert is not None, "it is there in the morning"


def test_the_push_of_a_message_links_to_its_sound(town: Town, clock: Clock, context: Context) -> None:
    token = {"account": "a12", "device": "d", "platform": "fcm", "token": "token-" + "x" * 20}
    town.platform("POST", "/v1/push-tokens", token)
    made = kept(town, clock.now).json
    (push,) = pushes_of(context).take()
    path = push.push.data["audio_url"].removeprefix(URL)
    heard = town.client.simulate_get(path)
    assert (heard.headers["content-type"], heard.headers["Cache-Control"]) == ("audio/wav", "private, no-store")
    audio = f"/v1/call-sounds/{made['id']}/audio"
    assert heard.content == town.client.simulate_get(audio, headers=town.platform._headers).content
    recording = kept(town, clock.now, kind="recording").json["id"]
    for other in (path[:-1] + ("1" if path[-1] == "0" else "0"), path.replace(f"/{made['id']}-", f"/{recording}-")):
        assert town.client.simulate_get(other).status_code == 404
    assert MessageSounds(context, URL).link(recording) == ""
    assert MessageSounds(context, "").link(made["id"]) == ""
    clock.now = made["expires_at_ms"] + 1
    assert town.client.simulate_get(path).status_code == 404
