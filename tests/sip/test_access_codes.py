"""An access code typed at the panel: the panel sends it as a call to `*` and the digits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from lab.peers.town import Town

if TYPE_CHECKING:
    from lab.peers.calls import OutgoingCall
    from lab.peers.town import Panel
    from tests.sip.scene import Scene

_WRONG = "*90817"
_BY_CHANCE = re.compile(r"[0-9a-f]{16,}|(?<=:\d\d)[.,]\d+")
"""What may hold any digits: names of calls, and fractions of seconds."""


def _panel(town: Town, method: str) -> Panel:
    return next(panel for panel in town.panels if panel.access_code and panel.method == method)


async def _type(scene: Scene, at: Panel, code: str) -> OutgoingCall:
    visitor = await scene.visitor(at)
    return await visitor.call(at.credentials, code)


async def _unlock_places(scene: Scene) -> None:
    for lock in (await scene.office.get("/v1/code-locks"))["items"]:
        await scene.office.send("DELETE", f"/v1/code-locks/{lock['id']}")


async def _no_code_in_any_log(scene: Scene, *codes: str) -> None:
    for path in scene.stack.settings.log.rglob("*"):
        if path.is_file():
            for code in codes:
                digits = code.removeprefix("*")
                lines = scene.new_lines(path, digits)
                assert [line for line in lines if digits in _BY_CHANCE.sub("", line)] == [], path


async def test_a_right_code_opens_by_dtmf_and_is_written_nowhere(scene: Scene) -> None:
    at = _panel(scene.town, "dtmf")
    call = await _type(scene, at, f"*{at.access_code}")
    assert (await call.final()).status == 200
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.wait_request("BYE", 5)
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["dialled"]) == ("code_accepted", "access_code")
    (opening,) = await scene.office.access_records(call.call_id)
    assert (opening["result"], opening["method"], opening["account"]) == ("sent", "dtmf", None)
    assert opening["access_code_id"] is not None
    await _no_code_in_any_log(scene, at.access_code)


async def test_a_right_code_opens_over_http(scene: Scene) -> None:
    at = _panel(scene.town, "http")
    panel = await scene.panel(at, Town.relay_login(at))
    call_id = await panel.phone.dial(f"*{at.access_code}")
    assert (await panel.door.wait_opened(5)).cause == "http"
    await panel.phone.wait_for("CALL_CLOSED", timeout_s=5)
    (opening,) = await scene.office.access_records(call_id)
    assert (opening["result"], opening["method"]) == ("opened", "http")


async def test_a_wrong_code_is_explained_counted_and_at_last_locks_the_panel(scene: Scene) -> None:
    at = _panel(scene.town, "dtmf")
    results: list[Any] = []
    try:
        for _ in range(6):
            call = await _type(scene, at, _WRONG)
            await call.wait_status(183, 3)
            await call.rtp.wait_for_sound(3)
            await call.cancel()
            results.append((await scene.office.call_record(call.call_id))["result"])
        # The fifth wrong code has locked the panel, so the sixth try is not looked at, and the right code neither.
        assert results == ["code_refused"] * 4 + ["code_locked"] * 2
        call = await _type(scene, at, f"*{at.access_code}")
        await call.wait_status(183, 3)
        assert (await call.final(15)).status == 403
        assert (await scene.office.call_record(call.call_id))["result"] == "code_locked"
        locks = (await scene.office.get("/v1/code-locks"))["items"]
        locked = [lock for lock in locks if lock["locked_until_ms"] is not None]
        assert {lock["panel_id"] is not None for lock in locked} == {True, False}  # the panel, and its entrance
        assert any(lock["entrance_id"] is not None for lock in locked)
    finally:
        await _unlock_places(scene)
    call = await _type(scene, at, f"*{at.access_code}")
    assert (await call.final()).status == 200
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.wait_request("BYE", 5)
    await _no_code_in_any_log(scene, at.access_code, _WRONG)


async def test_without_the_crm_no_code_opens(scene: Scene) -> None:
    at = _panel(scene.town, "dtmf")
    await scene.kill("crm")
    call = await _type(scene, at, f"*{at.access_code}")
    assert (await call.final(15)).status == 480
    await _no_code_in_any_log(scene, at.access_code)


@pytest.mark.parametrize("kind", ["app", "handset"])
async def test_only_a_panel_sends_codes(scene: Scene, kind: str) -> None:
    resident = next(r for apartment in scene.town.apartments for r in apartment.residents if r.kind == kind)
    at = _panel(scene.town, "dtmf")
    phone = await scene.resident(resident)
    call = await phone.call(resident.credentials, f"*{at.access_code}")
    assert (await call.final()).status == 403
    await _no_code_in_any_log(scene, at.access_code)
