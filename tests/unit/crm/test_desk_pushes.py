"""Every emergency call is told to the company's desks on duty: once, at once, and to nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.desk_pushes import FRESH_MS, DeskPushes
from tests.unit.crm.test_emergency_recording import AT_MS, OUT, step, told

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Clock, Town


@pytest.fixture
def clock(clock: Clock) -> Clock:
    """It is the moment of the call."""
    clock.now = AT_MS + 1000
    return clock


def desk(town: Town, name: str, **more: Any) -> None:
    """A desk with an app on a phone and one that only rings."""
    town.platform("POST", "/v1/accounts", {"account": name, "kind": "concierge", "company_id": town.company})
    town.platform("POST", "/v1/concierge-desks", {"account": name, "name": name, **more})
    for device, platform in (("phone", "fcm"), ("iphone", "apns_voip")):
        token = {"account": name, "device": device, "platform": platform, "token": f"token-{name}-{device}-{'x' * 20}"}
        town.platform("POST", "/v1/push-tokens", token)


def test_the_desks_on_duty_are_told_once(town: Town, context: Context, clock: Clock) -> None:
    desk(town, "duty")
    desk(town, "asleep", on_duty=False)
    pushes = DeskPushes(context)
    assert pushes.take() == []
    told(context, *OUT)
    (push,) = pushes.take()
    assert (push.call_id, push.device.account, push.device.device) == ("c1", "duty", "phone")
    assert push.push.data == {
        "type": "emergency_call", "call_id": "c1", "account": "duty", "panel": "Lenina 1, entrance 1",
        "house": "Lenina 1", "entrance": "1", "number": "+74951110001", "at_ms": str(AT_MS),
    }  # fmt: skip
    assert push.push.expires_at_ms > clock.now
    assert pushes.take() == []
    told(context, step("ended", 9000, panel="p1", result="answered", direction="out"))
    assert pushes.take() == []
    assert town.platform("GET", "/v1/emergency-calls")["items"][0]["desks_told_at_ms"] is not None


@pytest.mark.parametrize(
    "more", [{"direction": "back"}, {"dialled": "*112*"}], ids=["a call back", "a test call"]
)  # fmt: skip
def test_what_is_no_call_for_help_is_told_to_nobody(town: Town, context: Context, clock: Clock, more: Any) -> None:
    assert clock
    desk(town, "duty")
    told(context, {**step("dial", 5, panel="p1", detail="city-line 112"), **more})
    assert DeskPushes(context).take() == []


def test_a_call_of_long_ago_is_no_news(town: Town, context: Context, clock: Clock) -> None:
    desk(town, "duty")
    told(context, *OUT)
    clock.now += FRESH_MS
    assert DeskPushes(context).take() == []


def test_a_call_of_a_company_without_desks_is_told_to_no_other_companys(
    town: Town, context: Context, clock: Clock
) -> None:
    assert clock
    other = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    town.platform("POST", "/v1/accounts", {"account": "theirs", "kind": "concierge", "company_id": other})
    town.platform("POST", "/v1/concierge-desks", {"account": "theirs", "name": "Theirs"})
    token = {"account": "theirs", "device": "d", "platform": "fcm", "token": "token-" + "x" * 20}
    town.platform("POST", "/v1/push-tokens", token)
    told(context, *OUT)
    assert DeskPushes(context).take() == []
